//! Tests only: where the public vectors are.

use std::path::PathBuf;

/// A folder of the corpus, or nothing when it is not on this machine. In CI its absence is a failure, not a skip.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INDELIBLE_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there; set INDELIBLE_CORPUS to the corpus", folder.display());
    println!("skipped: {} is not there; set INDELIBLE_CORPUS to the corpus", folder.display());
    None
}

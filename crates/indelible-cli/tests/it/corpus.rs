//! Where the real events are: `INDELIBLE_CORPUS`, else `../shared/data` beside the workspace.

use std::path::PathBuf;

/// A folder of the corpus. Absent, the test is skipped with a word; in CI that is a failure.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INDELIBLE_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs the corpus: {} is absent (set INDELIBLE_CORPUS)", folder.display());
    eprintln!("skipped: {} is absent (set INDELIBLE_CORPUS)", folder.display());
    None
}

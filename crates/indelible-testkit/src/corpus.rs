//! Where the real events are: `INDELIBLE_CORPUS`, else `../shared/data` beside the workspace.

use std::path::{Path, PathBuf};

/// A folder of the corpus. Absent, the test is skipped with a word; in CI that is a failure.
///
/// # Panics
/// In CI, if the folder is not there.
#[must_use]
#[expect(clippy::print_stdout, reason = "the test harness shows it beside the test")]
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INDELIBLE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there; set INDELIBLE_CORPUS to the corpus", folder.display());
    println!("skipped: {} is not there; set INDELIBLE_CORPUS to the corpus", folder.display());
    None
}

/// Every file below `folder` whose name ends in `ending`, sorted.
///
/// # Panics
/// If a folder cannot be listed.
#[must_use]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

//! The Python that other people's readers and the independent verifier run in.

use std::path::PathBuf;
use std::process::Command;

/// A Python that can import these packages: `INDELIBLE_PYTHON`, else `python3`. Absent, the test is skipped with a word; in CI that is
/// a failure.
pub(crate) fn python(packages: &str) -> Option<PathBuf> {
    let python = std::env::var_os("INDELIBLE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let found = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
    if found.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let why = format!("{} with the packages `{packages}` is not there: set INDELIBLE_PYTHON", python.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    None
}

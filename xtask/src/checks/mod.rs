//! What must hold of the tree itself, besides building and passing its tests.

use std::fs;
use std::path::Path;

use crate::process::{command, output, root};

pub(crate) mod boundaries;
pub(crate) mod dependencies;
pub(crate) mod licences;
pub(crate) mod links;
pub(crate) mod readme;
pub(crate) mod tree;

mod markdown;
mod spdx;

/// A text file of the tree.
#[derive(Debug, Clone)]
struct TextFile {
    /// Relative to the root, with slashes.
    path: String,
    text: String,
}

/// Files larger than this are data, not text somebody wrote.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Every text file that belongs to the tree: what git tracks or would add.
fn text_files() -> Result<Vec<TextFile>, String> {
    let root = root();
    let listed = output(&mut command("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let full = root.join(path);
        // A file that git tracks may have been removed and not committed yet.
        if !full.metadata().is_ok_and(|found| found.is_file() && found.len() <= TEXT_BYTES_MAX) {
            continue;
        }
        let bytes = fs::read(&full).map_err(|error| format!("could not read {path}: {error}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// All problems in one message, or the note.
fn verdict(problems: &[String], note: String) -> Result<String, String> {
    if problems.is_empty() { Ok(note) } else { Err(format!("\n  {}", problems.join("\n  "))) }
}

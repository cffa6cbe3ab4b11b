//! Which files are meant: named ones, and in directories those that hold events.
//!
//! What is named is read, whatever it is. In a directory a file is read if its name says JSON (`.json .jsonl .ndjson .log`, also
//! with `.gz` or `.zst`), or else if its content begins like an object; the rest is skipped, and said so.
//! Hidden names and links to directories are passed over.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

use super::tally::Tally;

/// One file to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// Its size on disk; 0 for stdin and pipes.
    pub(crate) bytes: u64,
    /// It is to be read whatever it holds: it was named by the user, or its name says what it is.
    pub(crate) by_name: bool,
}

impl Input {
    pub(crate) fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// For messages.
    pub(crate) fn name(&self) -> &Path {
        if self.is_stdin() { Path::new("stdin") } else { &self.path }
    }
}

const NAMES: &[&str] = &["json", "jsonl", "ndjson", "log"];
/// Directories inside one another; deeper ones are the work of a loop or of somebody who means harm.
const DEPTH_MAX: usize = 64;

/// All inputs, sorted within each directory.
pub(crate) fn find(paths: &[PathBuf], tally: &mut Tally) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            inputs.push(Input { path: path.clone(), bytes: 0, by_name: true });
            continue;
        }
        let found = fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?;
        if found.is_dir() {
            walk(path, DEPTH_MAX, &mut inputs, tally);
        } else {
            inputs.push(Input { path: path.clone(), bytes: found.len(), by_name: true });
        }
    }
    if inputs.is_empty() {
        return Err(Failure::new("not_found", "there is no file to import")
            .hint("name files, directories that hold some, or - for stdin"));
    }
    Ok(inputs)
}

fn walk(dir: &Path, depth: usize, inputs: &mut Vec<Input>, tally: &mut Tally) {
    let mut entries: Vec<_> = match fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => {
            tally.file_failed(dir, &error.to_string());
            return;
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth == 0 {
                tally.file_failed(&path, "too many directories inside one another");
            } else {
                walk(&path, depth - 1, inputs, tally);
            }
            continue;
        }
        // A link to a file counts as the file; links to directories could lead in circles, pipes could wait for ever.
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => inputs.push(Input { bytes: found.len(), by_name: names_json(&path), path }),
            Ok(_) => tally.file_skipped(&path),
            Err(error) => tally.file_failed(&path, &error.to_string()),
        }
    }
}

fn names_json(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = [".gz", ".zst"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, extension)| NAMES.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_json_also_when_packed() {
        for name in ["a.json", "a.JSON.gz", "a.b.ndjson.zst", "audit.log", "x.jsonl"] {
            assert!(names_json(Path::new(name)), "{name}");
        }
        for name in ["LICENSE", "SOURCE.md", "a.gz", "a.json.txt", "json"] {
            assert!(!names_json(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn directories_are_walked_in_order_without_hidden_files_and_loops() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden.json", "README", "sub/c.json.gz"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
        let mut tally = Tally::default();
        let found = find(&[dir.path().to_owned()], &mut tally).unwrap();
        let names: Vec<_> = found.iter().map(|input| input.path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["README", "a.json", "b.json", "sub/c.json.gz"]);
        assert!(!found[0].by_name && found[1].by_name && found[3].by_name);
        assert_eq!(tally.skipped, 1, "the loop is said to be skipped");
        assert!(find(&[dir.path().join("none")], &mut tally).is_err());
    }
}

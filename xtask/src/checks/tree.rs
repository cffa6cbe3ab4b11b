//! No traces of the machine it was written on, nothing left unfinished, and only the public registry.

use super::{TextFile, has_extension, text_files, verdict};
use crate::gate::Outcome;
use crate::process::root;

/// Written in pieces, so that this file does not find itself.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Use", "rs/"), concat!("/tmp/ba", "sh")];
const UNFINISHED: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X:")];
const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn run() -> Outcome {
    let mut needles: Vec<String> = MACHINE_PATHS.iter().map(|path| (*path).to_owned()).collect();
    needles.extend(this_machine());
    let files = text_files()?;
    let problems: Vec<String> = files.iter().flat_map(|file| problems(file, &needles)).collect();
    verdict(&problems, format!("{} text files", files.len()))
}

fn problems(file: &TextFile, machine: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (nth, line) in file.text.lines().enumerate() {
        let mut report = |what: String| found.push(format!("{}:{}: {what}", file.path, nth + 1));
        if let Some(needle) = machine.iter().find(|needle| line.contains(needle.as_str())) {
            report(format!("names a place on one machine ({needle})"));
        }
        if has_extension(&file.path, "rs") && UNFINISHED.iter().any(|mark| line.contains(mark)) {
            report("is not finished".to_owned());
        }
        if file.path.ends_with("Cargo.lock") && line.starts_with("source = ") && !line.contains(PUBLIC_REGISTRY) {
            report("a dependency does not come from crates.io".to_owned());
        }
        if file.path.ends_with("requirements.txt") && (line.trim_start().starts_with('-') || line.contains("://")) {
            report("a Python package does not come from PyPI by name".to_owned());
        }
    }
    found
}

/// What would betray the machine this runs on, where that is more than a common word.
fn this_machine() -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let telling = host.len() >= 8 && host.bytes().any(|byte| byte == b'-' || byte.is_ascii_digit());
    let home = std::env::var("HOME").ok().filter(|home| home.len() > 2).map(|home| format!("{}/", home.trim_end_matches('/')));
    let here = root().to_string_lossy().into_owned();
    let here = (here.matches('/').count() > 1).then_some(here);
    [telling.then_some(host), home, here].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_machine_path_is_found_with_its_line() {
        let machine = vec!["/somewhere/special/".to_owned()];
        assert_eq!(problems(&file("a.md", "fine\nsee /somewhere/special/x"), &machine).len(), 1);
        assert!(problems(&file("a.md", "fine"), &machine).is_empty());
    }

    #[test]
    fn unfinished_code_and_private_registries_are_found() {
        let unfinished = format!("fn f() {{ {} }}", concat!("todo", "!()"));
        assert_eq!(problems(&file("a.rs", &unfinished), &[]).len(), 1);
        assert_eq!(problems(&file("Cargo.lock", "source = \"registry+https://mirror.example/index\""), &[]).len(), 1);
        assert!(problems(&file("Cargo.lock", &format!("source = \"{PUBLIC_REGISTRY}\"")), &[]).is_empty());
        assert_eq!(problems(&file("tools/requirements.txt", "--index-url https://mirror.example"), &[]).len(), 1);
    }
}

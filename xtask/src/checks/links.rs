//! What the documentation points to is there.

use std::path::Path;

use super::markdown::{self, Link};
use super::{TextFile, has_extension, text_files, verdict};
use crate::gate::Outcome;
use crate::process::root;

/// Code spans that begin with one of these name a path from the root.
const ROOTS: &[&str] = &["crates/", "docs/", "tools/", "xtask/", "fuzz/", "packaging/", ".ci/"];
/// Made by running things; not part of the tree.
const MADE: &[&str] = &["fuzz/corpus", "fuzz/artifacts"];

pub(crate) fn run() -> Outcome {
    let pages: Vec<TextFile> = text_files()?.into_iter().filter(|file| has_extension(&file.path, "md")).collect();
    let mut problems = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for link in markdown::links(&page.text)
            .into_iter()
            .filter(|link| !link.target.contains("://") && !link.target.starts_with("mailto:"))
        {
            checked += 1;
            problems.extend(broken(page, &link, &pages));
        }
        for span in markdown::code_spans(&page.text).iter().filter(|span| names_a_path(&span.target)) {
            checked += 1;
            if !root().join(&span.target).exists() {
                problems.push(format!("{}:{}: `{}` is not there", page.path, span.line, span.target));
            }
        }
    }
    verdict(&problems, format!("{checked} links in {} pages", pages.len()))
}

fn broken(page: &TextFile, link: &Link, pages: &[TextFile]) -> Option<String> {
    let report = |what: &str| Some(format!("{}:{}: {what}: {}", page.path, link.line, link.target));
    let (path, anchor) = link.target.split_once('#').map_or((link.target.as_str(), None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.path.clone() } else { beside(&page.path, path) };
    let page_there = pages.iter().find(|other| other.path == target);
    if page_there.is_none() && !root().join(&target).exists() {
        return report("there is no such file");
    }
    let anchor = anchor?;
    let there = page_there.is_some_and(|other| markdown::anchors(&other.text).iter().any(|known| known == anchor));
    if there { None } else { report("there is no such heading") }
}

/// `path` as seen from the folder of `page`, from the root.
fn beside(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> =
        Path::new(page).parent().and_then(Path::to_str).unwrap_or_default().split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn names_a_path(span: &str) -> bool {
    ROOTS.iter().any(|root| span.starts_with(root))
        && !MADE.iter().any(|made| span.starts_with(made))
        && span.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_their_page() {
        assert_eq!(beside("docs/format/event.md", "commitment.md"), "docs/format/commitment.md");
        assert_eq!(beside("docs/decisions/0001-x.md", "../format/event.md"), "docs/format/event.md");
        assert_eq!(beside("README.md", "./docs/keys.md"), "docs/keys.md");
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let page = TextFile { path: "README.md".into(), text: "# Here\n[a](#here) [b](#there) [c](nowhere.md)".into() };
        let found: Vec<bool> =
            markdown::links(&page.text).iter().map(|link| broken(&page, link, std::slice::from_ref(&page)).is_some()).collect();
        assert_eq!(found, [false, true, true]);
    }

    #[test]
    fn only_whole_paths_are_taken_for_paths() {
        assert!(names_a_path("docs/format/event.md"));
        assert!(!names_a_path("docs/format/*.md"));
        assert!(!names_a_path("docs and more"));
        assert!(!names_a_path("user.login"));
    }
}

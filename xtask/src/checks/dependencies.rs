//! How much of other people's code an embedded log brings along.

use std::collections::BTreeSet;

use crate::gate::Outcome;
use crate::process::{cargo, output};

/// Crates linked into a program by depending on `indelible` without its default features, itself and procedural macros included.
const EMBEDDED_CRATES_MAX: usize = 60;

pub(crate) fn run() -> Outcome {
    let tree = output(&mut cargo(&[
        "tree",
        "--locked",
        "-p",
        "indelible",
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let crates = distinct(&tree);
    let count = crates.len();
    if count > EMBEDDED_CRATES_MAX {
        let names: Vec<&str> = crates.into_iter().collect();
        return Err(format!("the embedded engine is {count} crates, the limit is {EMBEDDED_CRATES_MAX}: {}", names.join(", ")));
    }
    Ok(format!("the embedded engine is {count} crates (limit {EMBEDDED_CRATES_MAX})"))
}

/// Name and version of each crate once.
fn distinct(tree: &str) -> BTreeSet<&str> {
    let two_words = |line: &'_ str| line.match_indices(' ').nth(1).map_or(line.len(), |(at, _)| at);
    tree.lines().filter(|line| !line.is_empty()).map(|line| line.get(..two_words(line)).unwrap_or(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_crates_count_once_and_versions_apart() {
        let tree = "indelible v0.1.0 (path)\nsyn v2.0.1\nsyn v3.0.0\nsyn v2.0.1 (*)\npaste v1.0.0 (proc-macro)\n";
        assert_eq!(
            distinct(tree).into_iter().collect::<Vec<_>>(),
            ["indelible v0.1.0", "paste v1.0.0", "syn v2.0.1", "syn v3.0.0"]
        );
    }
}

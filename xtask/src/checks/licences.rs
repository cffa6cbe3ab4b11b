//! Licences of the dependencies: only permissive ones are shipped.
//!
//! What only tests, benchmarks and the gate use is never distributed; a few more licences are allowed there, and it is listed.

use std::collections::BTreeMap;

use super::spdx;
use super::verdict;
use crate::gate::Outcome;
use crate::process::{cargo, output, say};

/// May be shipped.
const SHIPPED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// May be used besides by what is not shipped.
const NOT_SHIPPED: &[&str] = &["BSL-1.0", "MIT-0", "MPL-2.0", "NCSA", "OpenSSL"];
const SHIPPED_CRATES: &[&str] = &["indelible-format", "indelible", "indelible-adapters", "indelible-client", "indelible-cli"];
/// What they bring along only for those who ask.
const SHIPPED_FEATURES: &str = "indelible/client,indelible-adapters/tower,indelible-adapters/tracing";

pub(crate) fn run() -> Outcome {
    let mut shipped_tree =
        cargo(&["tree", "--locked", "--target", "all", "--edges", "normal,build", "--prefix", "none", "--format", "{p} | {l}"]);
    for name in SHIPPED_CRATES {
        shipped_tree.args(["-p", name]);
    }
    shipped_tree.args(["--features", SHIPPED_FEATURES]);
    let shipped_tree = output(&mut shipped_tree)?;
    let all_tree = output(&mut cargo(&[
        "tree",
        "--locked",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p} | {l}",
    ]))?;
    let shipped = licences(&shipped_tree);
    let mut others = licences(&all_tree);
    others.retain(|name, _| !shipped.contains_key(name));
    let mut problems = not_allowed(&shipped, SHIPPED, "is shipped");
    problems.extend(not_allowed(&others, &[SHIPPED, NOT_SHIPPED].concat(), "is used by tests"));
    let names: Vec<&str> = others.keys().map(String::as_str).collect();
    say(&format!("not shipped: {}", names.join(", ")));
    verdict(&problems, format!("{} crates shipped, {} more for tests only", shipped.len(), others.len()))
}

/// Licence by crate and version.
fn licences(tree: &str) -> BTreeMap<String, String> {
    tree.lines()
        .filter_map(|line| {
            let (name, licence) = line.split_once(" | ")?;
            let name = name.split(' ').take(2).collect::<Vec<_>>().join(" ");
            Some((name, licence.trim_end_matches(" (*)").trim().to_owned()))
        })
        .collect()
}

fn not_allowed(licences: &BTreeMap<String, String>, allowed: &[&str], how: &str) -> Vec<String> {
    let fits = |licence: &str| spdx::satisfied(licence, &|id| allowed.contains(&id));
    let bad = licences.iter().filter(|(_, licence)| !fits(licence).unwrap_or(false));
    bad.map(|(name, licence)| format!("{name} {how} under `{licence}`, which is not on the list")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copyleft_is_refused_and_a_choice_is_taken() {
        let tree = "free v1.0.0 | MIT OR Apache-2.0\nfree v1.0.0 | MIT OR Apache-2.0 (*)\nchoice v2.0.0 (proc-macro) | LGPL-2.1-or-later OR MIT\n\
                    bound v3.0.0 | AGPL-3.0-only\nsilent v4.0.0 | \n";
        let found = licences(tree);
        assert_eq!(found.len(), 4);
        let problems = not_allowed(&found, SHIPPED, "is shipped");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("bound v3.0.0")));
        assert!(problems.iter().any(|problem| problem.starts_with("silent v4.0.0")));
    }
}

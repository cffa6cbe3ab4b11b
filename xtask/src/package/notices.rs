//! The licences of everything that is linked into the program: who gives it away has to give them, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::process::{cargo, output};

/// Files that hold a licence begin with one of these.
const NAMES: &[&str] = &["licen", "copying", "notice", "copyright", "unlicense"];

/// Every crate with its licence, then each text once, under the crates that have it.
pub(super) fn third_party() -> Result<String, String> {
    let tree = output(&mut cargo(&[
        "tree",
        "--locked",
        "-p",
        "indelible-cli",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p} | {l}",
    ]))?;
    let crates: BTreeSet<(String, String)> = tree.lines().filter_map(outside).collect();
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, _) in &crates {
        let found = texts_of(name)?;
        for text in found {
            texts.entry(text).or_default().push(name);
        }
    }
    let mut out = String::from("Libraries that are part of the program, and their licences.\n\n");
    for (name, licence) in &crates {
        let _ = writeln!(out, "{name}: {licence}");
    }
    for (text, names) in texts {
        let _ = write!(out, "\n{}\n{}\n\n{}\n", "-".repeat(80), names.join(", "), text.trim_end());
    }
    Ok(out)
}

/// Name and version, and licence, of a crate that is not ours.
fn outside(line: &str) -> Option<(String, String)> {
    let (name, licence) = line.split_once(" | ")?;
    let mut words = name.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // Ours are followed by their folder.
    let ours = words.any(|word| word.starts_with("(/"));
    (!ours).then(|| (format!("{name}-{version}"), licence.trim_end_matches(" (*)").trim().to_owned()))
}

/// The texts in the source of a crate, as the registry has it.
fn texts_of(name: &str) -> Result<Vec<String>, String> {
    let folder = source(name).ok_or_else(|| format!("the source of {name} is not where cargo keeps it"))?;
    let entries = fs::read_dir(&folder).map_err(|error| format!("could not read {}: {error}", folder.display()))?;
    let is_licence = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        path.is_file() && NAMES.iter().any(|name| file.starts_with(name))
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_licence).collect();
    paths.sort();
    Ok(paths.iter().filter_map(|path| fs::read_to_string(path).ok()).map(|text| text.replace('\r', "")).collect())
}

fn source(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry").join("src")).ok()?;
    registries.filter_map(Result::ok).map(|registry| registry.path().join(name)).find(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_not_third_parties() {
        assert_eq!(outside("indelible v0.1.0 (/somewhere/crates/indelible) | MIT OR Apache-2.0"), None);
        let found = |line| outside(line).unwrap();
        assert_eq!(found("zstd v0.13.3 | MIT"), ("zstd-0.13.3".to_owned(), "MIT".to_owned()));
        assert_eq!(found("serde_derive v1.0.1 (proc-macro) | MIT OR Apache-2.0 (*)").1, "MIT OR Apache-2.0");
    }
}

//! The invariants of absence of ARCHITECTURE.md: what a part of the code must not know.
//!
//! Crate boundaries are read from `cargo tree`; boundaries within a crate from the text of its files, tests left out.

use std::collections::BTreeSet;

use super::{TextFile, has_extension, text_files, verdict};
use crate::gate::Outcome;
use crate::process::{cargo, output};

/// Under this path none of these words may stand, because of the reason. `except`: folders in which they may.
struct Absence {
    under: &'static str,
    except: &'static [&'static str],
    words: &'static [&'static str],
    why: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence {
        under: "crates/indelible-format/src/",
        except: &[],
        words: &["std::fs", "std::net", "std::thread", "std::process", "SystemTime::now", "Instant::now", "expect(unsafe_code"],
        why: "the format crate is bytes and proofs only: no I/O, no clock, no threads, no unsafe",
    },
    Absence {
        under: "crates/indelible-segment/src/",
        except: &[],
        words: &["std::thread", "std::net", "SystemTime::now", "Instant::now", "SigningKey", "frame::", "expect(unsafe_code"],
        why: "segments are files made of records: no journal, no threads, no keys",
    },
    Absence {
        under: "crates/indelible/src/",
        except: &["crates/indelible/src/world/"],
        words: &[
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "SystemTime::now",
            "getrandom::",
            "rustix::",
            "libc::",
            "expect(unsafe_code",
        ],
        why: "world/ is the only door to disk, wall clock and randomness",
    },
    Absence {
        under: "crates/indelible/src/search/",
        except: &[],
        words: &["crate::commit", "crate::buffer", "crate::admit", "crate::engine", "SigningKey"],
        why: "search reads; it cannot append or sign",
    },
    Absence {
        under: "crates/indelible/src/verify/",
        except: &[],
        words: &[
            "journal::Journal",
            "Nursery",
            "crate::commit::pipeline",
            "crate::buffer",
            "crate::engine",
            "SigningKey",
            "Open::Create",
        ],
        why: "verify reads; it cannot write or sign",
    },
    Absence {
        under: "crates/indelible-server/src/",
        // Writes a table for other programs; it is in no store, and nobody of ours reads it.
        except: &["crates/indelible-server/src/api/export/"],
        words: &["indelible_segment", "format::frame", "SigningKey", ".wal", ".parquet", "expect(unsafe_code"],
        why: "the server asks the engine: it knows neither bytes on disk nor keys",
    },
];

/// This crate must not have that one below it, whatever the path.
const CRATES_APART: &[(&str, &[&str])] = &[
    ("indelible-format", &["indelible", "indelible-adapters", "serde", "serde_json", "tokio"]),
    ("indelible", &["indelible-adapters", "indelible-client", "indelible-testkit", "serde", "serde_json", "tokio", "clap"]),
    ("indelible-segment", &["indelible", "indelible-adapters", "tokio"]),
    ("indelible-adapters", &["indelible", "indelible-client", "serde", "serde_json", "tokio"]),
    // What client and engine have in common is in the format crate, so that a program can have one without the other.
    ("indelible-client", &["indelible", "ring", "openssl", "native-tls", "tokio"]),
    // aws-lc-rs is the one source of cryptography for TLS: two would be two to watch.
    ("indelible-server", &["ring", "openssl", "native-tls", "indelible-testkit"]),
    ("indelible-cli", &["indelible-testkit", "indelible-bench", "ring"]),
];

pub(crate) fn run() -> Outcome {
    let files = text_files()?;
    let mut problems: Vec<String> = Vec::new();
    for absence in ABSENCES {
        let concerned: Vec<&TextFile> = files.iter().filter(|file| absence.concerns(&file.path)).collect();
        if concerned.is_empty() {
            problems.push(format!("{}: there is nothing there; the rule has lost its object", absence.under));
        }
        problems.extend(concerned.into_iter().flat_map(|file| absence.problems(file)));
    }
    for (name, apart) in CRATES_APART {
        let below = crates_below(name)?;
        problems.extend(apart.iter().filter(|other| below.contains(**other)).map(|other| format!("{name} depends on {other}")));
    }
    verdict(&problems, format!("{} folders, {} crates", ABSENCES.len(), CRATES_APART.len()))
}

impl Absence {
    fn concerns(&self, path: &str) -> bool {
        path.starts_with(self.under)
            && has_extension(path, "rs")
            && !self.except.iter().any(|folder| path.starts_with(folder))
            && !is_test(path)
    }

    fn problems(&self, file: &TextFile) -> Vec<String> {
        let code = file.text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .filter_map(|(nth, line)| {
                let word = self.words.iter().find(|word| line.contains(**word))?;
                Some(format!("{}:{}: `{word}`: {}", file.path, nth + 1, self.why))
            })
            .collect()
    }
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/corpus.rs")
}

/// Names of the crates that a build of `name` uses.
fn crates_below(name: &str) -> Result<BTreeSet<String>, String> {
    let tree =
        output(&mut cargo(&["tree", "--locked", "-p", name, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]))?;
    Ok(tree.lines().filter_map(|line| line.split(' ').next()).filter(|found| *found != name).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_looked_at_and_comments_and_tests_are_not() {
        let rule = &ABSENCES[0];
        let file = |text: &str| TextFile { path: "crates/indelible-format/src/x.rs".into(), text: text.into() };
        assert_eq!(rule.problems(&file("use std::fs;")).len(), 1);
        assert!(rule.problems(&file("// std::fs is not for us")).is_empty());
        assert!(rule.problems(&file("fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }")).is_empty());
        assert!(rule.concerns("crates/indelible-format/src/json/mod.rs"));
        assert!(!rule.concerns("crates/indelible-format/src/json/tests.rs"));
        assert!(!ABSENCES[1].concerns("crates/indelible/src/world/disk.rs"));
    }
}

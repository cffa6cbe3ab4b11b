//! Both verifiers come to the same verdict about stores whose beginning has expired, and about what was done to them.
//!
//! What needs columns to be written anew is in `tools/test_expired.py`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::sha256::sha256;
use indelible_testkit::expired;
use serde_json::{Value, json};

use crate::agree::{Change, both, codes, compare, edit_file, edit_manifest, listed};
use crate::python::python;

/// The one file in `segments/` whose name begins and ends like this.
fn file(dir: &Path, begin: &str, end: &str) -> PathBuf {
    let names = std::fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begin) && name.ends_with(end)
    };
    let mut found: Vec<PathBuf> = names.filter(fits).collect();
    assert_eq!(found.len(), 1, "{begin}…{end}: {found:?}");
    found.remove(0)
}

fn kept(dir: &Path) -> PathBuf {
    file(dir, "1-", ".expired")
}

/// A sparse segment: it holds position 300, and leaf hashes.
fn sparse(dir: &Path) -> PathBuf {
    file(dir, "1-000000000256-", ".parquet")
}

/// Changes what stays of log 1, and everything that no signature binds fits.
fn forge(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    edit_file(&kept(dir), |bytes| {
        bytes.truncate(bytes.len() - 32);
        change(bytes);
        let digest = sha256(bytes);
        bytes.extend_from_slice(&digest.0);
    });
    let digest = sha256(&std::fs::read(kept(dir)).unwrap());
    edit_manifest(dir, |manifest| manifest["expired"][0]["sha256"] = STANDARD.encode(digest.0).into());
}

/// Replaces `from`, which is there once, by `to`.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let places: Vec<usize> = (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert_eq!((places.len(), from.len()), (1, to.len()));
    bytes[places[0]..places[0] + to.len()].copy_from_slice(to);
}

/// Changes a segment, and the digest that the manifest has of it.
fn edit_segment(dir: &Path, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    edit_file(path, change);
    let digest = sha256(&std::fs::read(path).unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    edit_manifest(dir, |manifest| {
        let info = listed(manifest).iter_mut().find(|info| info["file"] == name).unwrap();
        info["sha256"] = STANDARD.encode(digest.0).into();
    });
}

fn edit_store(dir: &Path, change: impl FnOnce(&mut Value)) {
    edit_file(&dir.join("store.json"), |bytes| {
        let mut store: Value = serde_json::from_slice(bytes).unwrap();
        change(&mut store);
        *bytes = store.to_string().into_bytes();
    });
}

/// Where this stands first.
fn place(bytes: &[u8], value: &[u8]) -> usize {
    (0..bytes.len() - value.len()).find(|at| bytes[*at..].starts_with(value)).unwrap()
}

const EXPIRED: &[Change] = &[
    ("intact", None, |_| {}),
    ("kept-flipped", Some("expired-mismatch"), |dir| edit_file(&kept(dir), |bytes| bytes[30] ^= 1)),
    ("kept-cut-off", Some("expired-mismatch"), |dir| edit_file(&kept(dir), |bytes| bytes.truncate(bytes.len() - 1))),
    ("kept-empty", Some("expired-mismatch"), |dir| edit_file(&kept(dir), Vec::clear)),
    ("kept-removed", Some("expired-mismatch"), |dir| std::fs::remove_file(kept(dir)).unwrap()),
    ("kept-of-another-log", Some("expired-mismatch"), |dir| {
        assert!(std::fs::copy(file(dir, "2-", ".expired"), kept(dir)).is_ok());
    }),
    ("kept-tenant-altered", Some("expired-mismatch"), |dir| forge(dir, |bytes| replace(bytes, b"\x02\0t1", b"\x02\0t9"))),
    ("kept-producer-altered", Some("expired-mismatch"), |dir| forge(dir, |bytes| replace(bytes, b"\x04\0gate", b"\x04\0gale"))),
    ("kept-root-altered", Some("expired-mismatch"), |dir| forge(dir, |bytes| bytes[25] ^= 1)),
    ("kept-node-altered", Some("expired-mismatch"), |dir| forge(dir, |bytes| *bytes.last_mut().unwrap() ^= 1)),
    ("manifest-below-raised", Some("expired-mismatch"), |dir| {
        let raised = kept(dir).to_str().unwrap().replace("-000000001024-", "-000000001536-");
        std::fs::rename(kept(dir), &raised).unwrap();
        edit_manifest(dir, |manifest| {
            manifest["expired"][0]["below"] = 1536.into();
            manifest["expired"][0]["file"] = Path::new(&raised).file_name().unwrap().to_str().unwrap().into();
            listed(manifest).retain(|info| info["first"] != 1024 || info["log"] != 1);
        });
    }),
    ("manifest-entry-elsewhere", Some("expired-mismatch"), |dir| {
        edit_manifest(dir, |manifest| manifest["expired"][0]["entry"] = manifest["expired"][1]["entry"].clone());
    }),
    ("manifest-entry-nowhere", Some("expired-mismatch"), |dir| {
        edit_manifest(dir, |manifest| manifest["expired"][0]["entry"] = 100_000.into());
    }),
    ("manifest-expired-dropped", Some("manifest"), |dir| {
        edit_manifest(dir, |manifest| drop(manifest["expired"].as_array_mut().unwrap().remove(0)));
    }),
    ("manifest-format-of-before", Some("manifest"), |dir| edit_manifest(dir, |manifest| manifest["format"] = 1.into())),
    ("manifest-name-otherwise", Some("manifest"), |dir| {
        let other = kept(dir).to_str().unwrap().replace("-000000001024-", "-000000000512-");
        std::fs::rename(kept(dir), &other).unwrap();
        edit_manifest(dir, |manifest| {
            manifest["expired"][0]["file"] = Path::new(&other).file_name().unwrap().to_str().unwrap().into();
        });
    }),
    ("sparse-removed", Some("segment-damaged"), |dir| std::fs::remove_file(sparse(dir)).unwrap()),
    ("sparse-removed-and-forgotten", Some("expired-mismatch"), |dir| {
        std::fs::remove_file(sparse(dir)).unwrap();
        edit_manifest(dir, |manifest| listed(manifest).retain(|info| info["first"] != 256));
    }),
    ("sparse-event-altered", Some("segment-damaged"), |dir| {
        edit_segment(dir, &sparse(dir), |bytes| {
            let at = place(bytes, b"door.open");
            bytes[at] ^= 1;
        });
    }),
    ("sparse-leaf-altered", Some("segment-damaged"), |dir| {
        // The hashes, 8 KiB of them, are nearly the last before the index block.
        edit_segment(dir, &sparse(dir), |bytes| {
            let at = place(bytes, b"INDLIDX1");
            bytes[at - 1_000] ^= 1;
        });
    }),
    ("policy-shortened", Some("store-identity"), |dir| edit_store(dir, |store| store["retention"]["keep"][0]["days"] = 1.into())),
    ("policy-rule-added", Some("store-identity"), |dir| {
        edit_store(dir, |store| store["retention"]["rules"] = json!([{"class": "critical", "log": "telemetry"}]));
    }),
    ("policy-entry-elsewhere", Some("store-identity"), |dir| edit_store(dir, |store| store["retention"]["entry"] = 0.into())),
];

#[test]
fn an_independent_verifier_agrees_about_what_has_expired() {
    let Some(python) = python("cryptography, pyarrow.parquet") else { return };
    let dir = tempfile::tempdir().unwrap();
    let whole = expired::store(dir.path()).unwrap().dir;
    compare(&python, dir.path(), &whole, EXPIRED);
}

#[test]
fn an_independent_verifier_says_the_same_of_notes_warnings_and_old_checkpoints() {
    let Some(python) = python("cryptography, pyarrow.parquet") else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = expired::store(dir.path()).unwrap();
    let said = |report: &Value| -> Vec<(String, String)> {
        let findings = report["findings"].as_array().unwrap().iter();
        let mut all: Vec<_> = findings.map(|finding| (crate::text(&finding["code"]), crate::text(&finding["level"]))).collect();
        all.sort();
        all
    };
    let mut verdicts = BTreeSet::new();
    for day in [0, 1, store.anchored, store.checkpoints.len() - 1] {
        let against = dir.path().join(format!("checkpoint-{day:02}"));
        let [ours, theirs] = both(&python, &store.dir, &[&against]);
        assert_eq!((said(&ours), &ours["anchored"]), (said(&theirs), &theirs["anchored"]), "day {day}");
        assert_eq!(ours["ok"], true, "{}", ours["findings"]);
        assert_eq!(codes(&ours["findings"], "note").iter().filter(|code| *code == "expired").count(), 2);
        verdicts.insert(ours["anchored"].as_bool().unwrap());
    }
    assert_eq!(verdicts.len(), 2, "of some day nothing was kept, of others it was");

    // Announced, and not taken up: an interruption leaves the same, so it does not fail.
    edit_store(&store.dir, |store| drop(store.as_object_mut().unwrap().remove("retention")));
    let [ours, theirs] = both(&python, &store.dir, &[]);
    assert_eq!(said(&ours), said(&theirs));
    assert!(
        ours["ok"] == true && codes(&ours["findings"], "warn").iter().any(|code| code == "store-identity"),
        "{}",
        ours["findings"]
    );
}

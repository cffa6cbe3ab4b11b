//! The independent verifier in `tools/` comes to the same verdict about every attacked copy, and names it with the same code.
//!
//! Needs Python with the packages of `tools/requirements.txt`: `INDELIBLE_PYTHON` names the interpreter, else `python3`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use indelible::{Config, Draft, Producer, Store};
use serde_json::Value;

use crate::drill::{Shape, run, store};
use crate::python::python;

/// Rows where the two name the same fault differently, with the other's code and the reason. Verdicts agree even there.
const OTHER_CODES: &[(&str, &str, &str)] = &[
    ("frames-reordered", "frame-chain", "a later frame in a frame's place: a broken chain for one, missing frames for the other"),
    ("frame-removed", "frame-chain", "the same: what follows stands in the missing frame's place"),
];

/// What the independent verifier says: verdict and codes.
pub(crate) fn second_opinion(python: &Path, arguments: &[String]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify.py");
    let output = Command::new(python).arg(script).args(arguments).args(["-o", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn codes(findings: &Value, level: &str) -> Vec<String> {
    let findings = findings.as_array().unwrap().iter().filter(|finding| finding["level"] == level);
    findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// The evidence as arguments; the trusted state is looked up by the id of the store that is found, as the engine does.
fn evidence(kept: &Path, name: &str, dir: &Path) -> Vec<String> {
    let folder = kept.join("evidence");
    match name {
        "key" => vec!["--key".into(), std::fs::read_to_string(folder.join("key")).unwrap().trim().into()],
        "checkpoint" => {
            let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let notes = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("checkpoint-"));
            ["--against".to_owned()].into_iter().chain(notes.map(|path| path.to_str().unwrap().to_owned())).collect()
        }
        "state" => {
            let identity: Value = serde_json::from_slice(&std::fs::read(dir.join("store.json")).unwrap()).unwrap();
            let state = folder.join("state").join(format!("{}.json", identity["store"].as_str().unwrap()));
            if state.exists() { vec!["--state".into(), state.to_str().unwrap().into()] } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

fn disagreement(python: &Path, kept: &Path, row: &Value, view: &Value) -> Option<String> {
    let (name, with) = (row["name"].as_str().unwrap(), view["evidence"].as_str().unwrap());
    let dir = kept.join(name);
    let proof = name.starts_with("proof-");
    let mut arguments = if proof {
        vec!["--proof".to_owned(), dir.join("event.tlog-proof").to_str().unwrap().to_owned()]
    } else {
        vec![dir.to_str().unwrap().to_owned()]
    };
    arguments.extend(evidence(kept, with, &dir));
    let theirs = second_opinion(python, &arguments);
    if theirs["ok"] != view["ok"] {
        return Some(format!("{name} with {with}: {} here, {} there: {}", view["ok"], theirs["ok"], theirs["findings"]));
    }
    // A proof is accepted or refused: the engine answers with an error, not with findings.
    let code = row["code"].as_str().filter(|_| !proof)?;
    let level = view["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == code)?["level"].as_str().unwrap();
    let other = OTHER_CODES.iter().find(|(other, ..)| *other == name).map(|(_, code, _)| *code);
    let found = codes(&theirs["findings"], level);
    let named = found.iter().any(|theirs| theirs == code || Some(theirs.as_str()) == other);
    (!named).then(|| format!("{name} with {with}: {code} ({level}) is not among {}", theirs["findings"]))
}

#[test]
fn an_independent_verifier_agrees_about_every_attack() {
    let Some(python) = python("cryptography") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    store(&data, Shape { sessions: 3, frames: 4, events: 9 });
    let drill = run(&data, &["--keep", kept.to_str().unwrap()]);
    assert_eq!(drill["ok"], true);
    let pairs = |row: &'static Value| row["views"].as_array().unwrap().iter().map(move |view| (row, view));
    let drill: &'static Value = Box::leak(Box::new(drill));
    let work: Vec<_> = drill["attacks"].as_array().unwrap().iter().flat_map(pairs).collect();
    assert!(work.len() > 200);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let disagreements: Vec<String> = std::thread::scope(|scope| {
        let parts = work.chunks(work.len().div_ceil(threads));
        let (python, kept) = (&python, &kept);
        let running: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    part.iter().filter_map(|(row, view)| disagreement(python, kept, row, view)).collect::<Vec<_>>()
                })
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

/// A store of segments of 512 rows, and of a journal behind them.
fn sealed_store(dir: &Path) {
    let mut config = Config::new(dir);
    config.threads = false;
    config.sealing.rows_max = 512;
    let store = Store::open(config).unwrap();
    for number in 0..1500u64 {
        let key = format!("key-{number}");
        let mut draft = Draft::new("file.read").actor("ada").target("file", "a\"b").detail("n", number);
        if number.is_multiple_of(7) {
            draft = draft.idempotency_key(&key).tenant("east").producer(Producer { id: "p", epoch: 1, seq: number / 7 });
        }
        store.emit(&draft).unwrap();
        if number.is_multiple_of(200) {
            store.flush().unwrap();
        }
        if [700, 1100, 1400].contains(&number) {
            store.record_tenants().unwrap();
            assert!(store.seal().unwrap().segments > 0);
        }
    }
    store.record_tenants().unwrap();
    store.close().unwrap();
}

/// What is done to the lines of a tenant's copy; whether it holds then.
type Bend = (&'static str, bool, fn(&mut Vec<String>));

const BENDS: &[Bend] = &[
    ("intact", true, |_| {}),
    ("first-event-dropped", false, |lines| drop(lines.remove(2))),
    ("event-twice", false, |lines| lines.insert(2, lines[2].clone())),
    ("last-line-dropped", false, |lines| drop(lines.pop())),
    ("line-behind", false, |lines| lines.push("{}".into())),
    ("other-tenant", false, |lines| lines[0] = lines[0].replace("\"east\"", "\"west\"")),
    ("other-salt", false, |lines| {
        let mut line: Value = serde_json::from_str(&lines[1]).unwrap();
        line["salt"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
        lines[1] = line.to_string();
    }),
    ("a-log-under-another-salt", false, |lines| {
        let at = lines.iter().position(|line| line.contains("\"log\":2")).unwrap();
        let mut line: Value = serde_json::from_str(&lines[at]).unwrap();
        line["salt"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
        lines[at] = line.to_string();
    }),
];

#[test]
fn an_independent_verifier_agrees_about_tenants_copies() {
    let Some(python) = python("cryptography") else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("whole");
    sealed_store(&data);
    let mut config = Config::new(&data);
    config.threads = false;
    let store = Store::open(config).unwrap();
    let mut copy = Vec::new();
    store.write_tenant("east", &[], std::time::Duration::ZERO, &mut copy).unwrap();
    let key = store.identity().unwrap().verifier_key(0).unwrap().to_string();
    store.close().unwrap();
    for (name, holds, bend) in BENDS {
        let mut lines: Vec<String> = std::str::from_utf8(&copy).unwrap().lines().map(str::to_owned).collect();
        bend(&mut lines);
        let path = dir.path().join(name);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let arguments = ["--tenant", path.to_str().unwrap(), "--key", &key].map(str::to_owned);
        let ours = Command::new(env!("CARGO_BIN_EXE_indelible")).arg("verify").args(&arguments).output().unwrap();
        let theirs = second_opinion(&python, &arguments);
        assert_eq!((ours.status.success(), theirs["ok"] == true), (*holds, *holds), "{name}: {}", theirs["findings"]);
    }
}

/// Names of the segments of log 1, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = names
        .filter(|path| path.extension().is_some_and(|end| end == "parquet") && path.to_string_lossy().contains("/1-"))
        .collect();
    found.sort();
    found
}

pub(crate) fn edit_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn edit_manifest(dir: &Path, change: impl FnOnce(&mut Value)) {
    edit_file(&dir.join("manifest"), |bytes| {
        let mut manifest: Value = serde_json::from_slice(bytes).unwrap();
        change(&mut manifest);
        *bytes = manifest.to_string().into_bytes();
    });
}

/// The segments that a manifest names: the first is of log 0, the others of log 1.
pub(crate) fn listed(manifest: &mut Value) -> &mut Vec<Value> {
    manifest["segments"].as_array_mut().unwrap()
}

fn state(dir: &Path) -> PathBuf {
    let mut names = std::fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.extension().is_some_and(|end| end == "state")).unwrap()
}

fn exchange(one: &Path, other: &Path) {
    let kept = one.with_extension("kept");
    std::fs::rename(one, &kept).unwrap();
    std::fs::rename(other, one).unwrap();
    std::fs::rename(kept, other).unwrap();
}

/// Its name, the code that both verifiers give it, and what is done.
pub(crate) type Change = (&'static str, Option<&'static str>, fn(&Path));

/// What is done to a copy of a sealed store, and the code that names it; without one nothing may be found.
const SEALED: &[Change] = &[
    ("intact", None, |_| {}),
    ("segment-being-replaced", None, |dir| {
        let path = segments(dir).remove(1);
        std::fs::rename(&path, format!("{}.old", path.display())).unwrap();
    }),
    ("page-flipped-early", Some("segment-damaged"), |dir| edit_file(&segments(dir)[0], |bytes| bytes[40] ^= 1)),
    ("page-flipped-late", Some("segment-damaged"), |dir| edit_file(&segments(dir)[1], |bytes| bytes[1500] ^= 0x40)),
    ("segment-cut-off", Some("segment-damaged"), |dir| edit_file(&segments(dir)[1], |bytes| bytes.truncate(bytes.len() / 2))),
    ("segment-empty", Some("segment-damaged"), |dir| edit_file(&segments(dir)[0], Vec::clear)),
    ("segment-removed", Some("segment-damaged"), |dir| std::fs::remove_file(&segments(dir)[1]).unwrap()),
    ("segments-swapped", Some("segment-damaged"), |dir| exchange(&segments(dir)[0], &segments(dir)[1])),
    ("segment-repeated", Some("segment-damaged"), |dir| assert!(std::fs::copy(&segments(dir)[0], &segments(dir)[1]).is_ok())),
    ("manifest-removed", Some("journal-corrupt"), |dir| std::fs::remove_file(dir.join("manifest")).unwrap()),
    ("manifest-empty", Some("manifest"), |dir| edit_file(&dir.join("manifest"), Vec::clear)),
    ("manifest-of-another-store", Some("manifest"), |dir| {
        edit_manifest(dir, |manifest| manifest["store"] = "0".repeat(32).into())
    }),
    ("manifest-first-dropped", Some("manifest"), |dir| edit_manifest(dir, |manifest| drop(listed(manifest).remove(1)))),
    ("manifest-middle-dropped", Some("manifest"), |dir| edit_manifest(dir, |manifest| drop(listed(manifest).remove(2)))),
    ("manifest-last-dropped", Some("sealed-state"), |dir| edit_manifest(dir, |manifest| drop(listed(manifest).pop()))),
    ("manifest-swapped", Some("manifest"), |dir| edit_manifest(dir, |manifest| listed(manifest).swap(1, 2))),
    ("manifest-journal-later", Some("journal-corrupt"), |dir| {
        edit_manifest(dir, |manifest| {
            let lsn = crate::text(&manifest["journal"]["lsn"]).parse::<u64>().unwrap();
            manifest["journal"]["lsn"] = (lsn + 1).into();
        });
    }),
    ("manifest-journal-otherwise", Some("file-header"), |dir| {
        edit_manifest(dir, |manifest| manifest["journal"]["prev"] = format!("{}=", "A".repeat(43)).into());
    }),
    ("state-flipped", Some("sealed-state"), |dir| edit_file(&state(dir), |bytes| bytes[60] ^= 1)),
    ("state-removed", Some("sealed-state"), |dir| std::fs::remove_file(state(dir)).unwrap()),
];

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            assert!(std::fs::copy(entry.path(), to).is_ok())
        }
    }
}

/// Both verifiers' findings of level `fail` about a copy of `whole` for each change, compared with the code that names it.
pub(crate) fn compare(python: &Path, dir: &Path, whole: &Path, changes: &[Change]) {
    for (name, code, change) in changes {
        let attacked = dir.join(name);
        copy(whole, &attacked);
        change(&attacked);
        let [ours, theirs] =
            both(python, &attacked, &[]).map(|report| codes(&report["findings"], "fail").into_iter().collect::<BTreeSet<_>>());
        match code {
            Some(code) => assert!(ours.contains(*code) && theirs.contains(*code), "{name}: {ours:?} here, {theirs:?} there"),
            None => assert!(ours.is_empty() && theirs.is_empty(), "{name}: {ours:?} here, {theirs:?} there"),
        }
    }
}

/// What this verifier and the independent one say about a store, compared with these checkpoints.
pub(crate) fn both(python: &Path, dir: &Path, against: &[&Path]) -> [Value; 2] {
    let mut arguments = vec![dir.to_str().unwrap().to_owned()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
    command.arg("--data").arg(dir).args(["verify", "-o", "json"]);
    // The trusted state of this machine would know of the copies before, and anchor them.
    let state = tempfile::tempdir().unwrap();
    command.env("INDELIBLE_STATE", state.path());
    for checkpoint in against {
        command.arg("--against").arg(checkpoint);
        arguments.extend(["--against".to_owned(), checkpoint.to_str().unwrap().to_owned()]);
    }
    let output = command.output().unwrap();
    let ours = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", dir.display(), String::from_utf8_lossy(&output.stderr)));
    [ours, second_opinion(python, &arguments)]
}

#[test]
fn an_independent_verifier_agrees_about_what_is_sealed() {
    let Some(python) = python("cryptography, pyarrow.parquet") else { return };
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    sealed_store(&whole);
    assert!(segments(&whole).len() > 2, "{:?}", segments(&whole));
    compare(&python, dir.path(), &whole, SEALED);
}

//! The independent verifier in `tools/` comes to the same verdict about every attacked copy, and names it with the same code.
//!
//! Needs Python with the `cryptography` package: `INDELIBLE_PYTHON` names the interpreter, else `python3`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::drill::{Shape, run, store};

/// Rows where the two name the same fault differently, with the other's code and the reason. Verdicts agree even there.
const OTHER_CODES: &[(&str, &str, &str)] = &[
    ("frames-reordered", "frame-chain", "a later frame in a frame's place: a broken chain for one, missing frames for the other"),
    ("frame-removed", "frame-chain", "the same: what follows stands in the missing frame's place"),
];

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("INDELIBLE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let found = Command::new(&python).args(["-c", "import cryptography"]).output();
    if found.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let why = format!("{} with the package `cryptography` is not there: set INDELIBLE_PYTHON", python.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    None
}

/// What the independent verifier says: verdict and codes.
fn second_opinion(python: &Path, arguments: &[String]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify.py");
    let output = Command::new(python).arg(script).args(arguments).args(["-o", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn codes(findings: &Value, level: &str) -> Vec<String> {
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
    let Some(python) = python() else { return };
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

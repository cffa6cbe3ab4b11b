//! Every attack of the threat table is named by the check the table says, on logs of several shapes, and intact logs raise no alarm.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use indelible::{Config, Draft, Outcome, Store};
use serde_json::Value;

/// A log's shape: how often it was opened, frames of each time, events of each frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) sessions: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
}

/// One frame of events; a few; many frames of one event; more than one group of 256, in frames that straddle them.
const SHAPES: [Shape; 4] = [
    Shape { sessions: 1, frames: 1, events: 12 },
    Shape { sessions: 3, frames: 4, events: 9 },
    Shape { sessions: 2, frames: 40, events: 1 },
    Shape { sessions: 3, frames: 5, events: 97 },
];

/// What has no place in a log whose events are all in one frame.
const NEEDS_FRAMES: &[&str] = &["seed-altered-once", "frames-reordered-chained", "frame-removed-chained"];
/// What has no place where every frame holds one event: cutting it out leaves no frame.
const NEEDS_NEIGHBOURS: &[&str] = &["delete-careless", "delete", "producer-gap"];
/// What has no place in a log of so few frames that no file would hold two.
const NEEDS_FILES: &[&str] = &[
    "file-removed",
    "file-removed-first",
    "file-renamed",
    "files-swapped",
    "header-altered",
    "header-altered-first",
    "header-states-altered",
];

/// Makes a store of this shape.
pub(crate) fn store(dir: &Path, shape: Shape) {
    for session in 0..shape.sessions {
        let mut config = Config::new(dir);
        config.threads = false;
        let store = Store::open(config).unwrap();
        for frame in 0..shape.frames {
            for n in 0..shape.events {
                let number = (session * shape.frames + frame) * shape.events + n;
                let (id, key) = (format!("event-{number}"), format!("key-{number}"));
                let mut draft = Draft::new("user.login")
                    .outcome(Outcome::Failure)
                    .actor("ada")
                    .target("host", "db-1")
                    .detail("n", number)
                    .id(&id);
                draft = if number.is_multiple_of(3) { draft.idempotency_key(&key) } else { draft.tenant("east") };
                store.emit(&draft).unwrap();
            }
            store.flush().unwrap();
        }
        store.close().unwrap();
    }
}

/// Runs the drill on the store in `dir`.
pub(crate) fn run(dir: &Path, more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_indelible"))
        .arg("--data")
        .arg(dir)
        .args(["drill", "-o", "json"])
        .args(more)
        .output()
        .unwrap();
    let (code, errors) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
    let drill: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!(code, Some(if drill["ok"] == true { 0 } else { 3 }), "{errors}");
    drill
}

/// The drill of the made-up log and of each shape, run once.
fn drills() -> &'static [(String, Value)] {
    static DRILLS: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    DRILLS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut drills = vec![("the made-up log".to_owned(), run(&dir.path().join("none"), &[]))];
        for (nth, shape) in SHAPES.into_iter().enumerate() {
            let dir = dir.path().join(nth.to_string());
            store(&dir, shape);
            drills.push((format!("{shape:?}"), run(&dir, &[])));
        }
        drills
    })
}

fn rows(drill: &Value) -> &[Value] {
    drill["attacks"].as_array().unwrap()
}

fn may_be_skipped(name: &str, nth: usize) -> bool {
    match nth {
        1 => NEEDS_FRAMES.contains(&name) || NEEDS_FILES.contains(&name),
        3 => NEEDS_NEIGHBOURS.contains(&name),
        _ => false,
    }
}

/// The row of this name, in every drill that has a place for it.
fn each(name: &str, check: impl Fn(&str, &Value)) {
    let mut seen = 0;
    for (nth, (log, drill)) in drills().iter().enumerate() {
        let row = rows(drill).iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no row {name}"));
        if row["verdict"] == "skipped" {
            assert!(may_be_skipped(name, nth), "{name} has no place in {log}: {row}");
            continue;
        }
        check(log, row);
        seen += 1;
    }
    assert!(seen >= 3, "{name} was tried on {seen} logs only");
}

/// A trusted state is a checkpoint kept elsewhere.
fn strength(evidence: &str) -> u8 {
    match evidence {
        "nothing" => 0,
        "key" => 1,
        _ => 2,
    }
}

/// The attack is caught by this code, with this evidence and no less.
fn caught(name: &str, code: &str, evidence: &str) {
    each(name, |log, row| {
        assert_eq!(row["verdict"], "caught", "{log}: {row}");
        assert_eq!((row["code"].as_str(), row["evidence"].as_str()), (Some(code), Some(evidence)), "{log}");
        for view in row["views"].as_array().unwrap() {
            let named =
                view["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == code && finding["level"] == "fail");
            let with = view["evidence"].as_str().unwrap();
            if with == evidence {
                assert!(named && view["ok"] == false, "{log}: {view}");
            } else if strength(with) < strength(evidence) {
                assert_eq!(view["ok"], true, "{log}: {view}");
            }
        }
    });
}

/// The attack does not fail verification, but this is said.
fn said(name: &str, code: &str, level: &str) {
    each(name, |log, row| {
        assert_eq!((row["verdict"].as_str(), row["code"].as_str()), (Some("caught"), Some(code)), "{log}: {row}");
        let view = &row["views"][0];
        assert_eq!((view["evidence"].as_str(), view["ok"].as_bool()), (Some("nothing"), Some(true)), "{log}: {view}");
        assert!(
            view["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == code && finding["level"] == level),
            "{log}: {view}"
        );
    });
}

/// No attack, or none that anything proved depends on: nothing is said that is not said of the untouched copy.
fn silent(name: &str, verdict: &str) {
    each(name, |log, row| {
        assert_eq!(row["verdict"], verdict, "{log}: {row}");
        let views = row["views"].as_array().unwrap();
        assert!(!views.is_empty() && views.iter().all(|view| view["ok"] == true), "{log}: {row}");
        let worse = views.iter().flat_map(|view| view["findings"].as_array().unwrap()).find(|finding| finding["level"] != "note");
        assert_eq!(worse, None, "{log}");
    });
}

/// One test for each row, and the names of all rows that have one.
macro_rules! rows {
    ($($test:ident: $name:literal => $check:ident($($argument:literal),*);)+) => {
        $(#[test] fn $test() { $check($name $(, $argument)*); })+
        const TESTED: &[&str] = &[$($name),+];
    };
}

rows! {
    an_intact_copy_raises_no_alarm: "intact" => silent("quiet");
    a_changed_byte_is_caught: "edit-raw" => caught("frame-crc", "nothing");
    a_changed_value_with_checksums_is_caught: "edit-checksummed" => caught("root-mismatch", "nothing");
    a_changed_value_with_its_chain_is_caught: "edit-chained" => caught("root-mismatch", "nothing");
    a_changed_value_with_its_roots_is_caught: "edit" => caught("checkpoint-mismatch", "nothing");
    a_changed_value_without_signatures_is_caught_from_outside: "edit-unsigned" => caught("anchor-mismatch", "checkpoint");
    a_deleted_event_leaves_a_hole_in_its_tenants_numbers: "delete-careless" => caught("tenant-sequence", "nothing");
    a_deleted_event_leaves_the_log_shorter_than_signed: "delete" => caught("checkpoint-ahead", "nothing");
    a_hash_in_an_events_place_is_caught: "delete-to-hash" => caught("withheld", "nothing");
    a_hash_in_a_values_place_is_caught: "erase-value" => caught("withheld", "nothing");
    an_inserted_event_is_caught: "insert" => caught("checkpoint-mismatch", "nothing");
    swapped_events_are_caught: "swap" => caught("checkpoint-mismatch", "nothing");
    an_appended_event_is_unsigned: "append" => said("unsigned-tail", "note");
    a_cut_off_tail_is_caught: "truncate" => caught("checkpoint-ahead", "nothing");
    a_torn_off_tail_is_caught: "truncate-torn" => caught("checkpoint-ahead", "nothing");
    a_tail_cut_off_with_its_checkpoints_is_caught_from_outside: "truncate-and-unsign" => caught("anchor-ahead", "checkpoint");
    a_rollback_is_caught_from_outside: "rollback" => caught("anchor-ahead", "checkpoint");
    history_signed_anew_is_caught_from_outside: "resign" => caught("anchor-mismatch", "checkpoint");
    history_signed_with_another_key_is_caught_by_key: "resign-other-key" => caught("key-mismatch", "key");
    another_store_is_caught_by_key: "other-store" => caught("key-mismatch", "key");
    a_duplicated_producer_number_is_caught: "producer-duplicate" => caught("producer-duplicate", "nothing");
    a_missing_producer_number_is_warned_of: "producer-gap" => said("producer-gap", "warn");
    a_missing_tenant_number_is_caught: "tenant-gap" => caught("tenant-sequence", "nothing");
    another_encoding_is_caught: "re-encode" => caught("not-canonical", "nothing");
    an_altered_field_index_is_caught: "span-altered" => caught("span-mismatch", "nothing");
    an_altered_seed_is_caught: "seed-altered" => caught("root-mismatch", "nothing");
    a_seed_altered_in_one_frame_is_caught: "seed-altered-once" => caught("seed-missing", "nothing");
    an_altered_root_is_caught: "root-altered" => caught("root-mismatch", "nothing");
    an_unlisted_record_is_caught: "record-unlisted" => caught("sequence", "nothing");
    an_invented_log_is_caught: "log-invented" => caught("log-unknown", "nothing");
    an_altered_note_is_caught: "note-altered" => caught("checkpoint-signature", "nothing");
    a_note_before_its_time_is_caught: "note-too-early" => caught("checkpoint-ahead", "nothing");
    an_altered_checkpoint_is_caught: "checkpoint-altered" => caught("checkpoint-signature", "nothing");
    a_checkpoint_of_another_log_is_caught: "checkpoint-cross-log" => caught("checkpoint-mismatch", "nothing");
    altered_heads_are_caught: "heads-altered" => caught("heads-mismatch", "nothing");
    an_altered_creation_is_caught: "log-created-altered" => caught("store-identity", "nothing");
    a_removed_creation_is_caught: "log-created-removed" => caught("log-unknown", "nothing");
    an_altered_prefix_is_caught: "store-prefix" => caught("store-identity", "nothing");
    an_altered_public_key_is_caught: "store-key" => caught("store-identity", "nothing");
    an_altered_store_id_is_caught: "store-id" => caught("store-identity", "nothing");
    a_dropped_log_is_caught: "store-log-dropped" => caught("log-unknown", "nothing");
    a_renamed_log_is_caught: "store-log-names" => caught("store-identity", "nothing");
    // Known limits, asserted as they are: no signature binds these.
    an_altered_idempotency_digest_is_not_bound: "idempotency-altered" => silent("not bound");
    an_altered_frame_time_is_not_bound: "frame-time-altered" => silent("not bound");
    an_early_carry_frame_is_caught: "carry-early" => caught("sequence", "nothing");
    a_forged_carry_frame_is_said_and_never_shown: "carry-forged" => said("carry-unchecked", "note");
    an_altered_tree_file_does_not_matter: "tree-altered" => silent("quiet");
    an_altered_status_does_not_matter: "status-altered" => silent("quiet");
    reordered_frames_are_caught: "frames-reordered" => caught("journal-corrupt", "nothing");
    reordered_frames_in_a_chain_are_caught: "frames-reordered-chained" => caught("sequence", "nothing");
    a_duplicated_frame_is_caught: "frame-duplicated" => caught("journal-corrupt", "nothing");
    a_removed_frame_is_caught: "frame-removed" => caught("journal-corrupt", "nothing");
    a_frame_removed_from_the_chain_is_caught: "frame-removed-chained" => caught("sequence", "nothing");
    a_stale_frame_is_caught: "stale-frame" => caught("journal-corrupt", "nothing");
    altered_padding_is_caught: "padding-altered" => caught("frame-crc", "nothing");
    a_removed_file_is_caught: "file-removed" => caught("journal-corrupt", "nothing");
    a_removed_first_file_is_caught: "file-removed-first" => caught("journal-corrupt", "nothing");
    a_removed_last_file_is_caught: "file-removed-last" => caught("checkpoint-ahead", "nothing");
    a_renamed_file_is_caught: "file-renamed" => caught("journal-corrupt", "nothing");
    swapped_files_are_caught: "files-swapped" => caught("file-header", "nothing");
    a_damaged_header_is_caught: "header-altered" => caught("file-header", "nothing");
    a_damaged_first_header_is_caught: "header-altered-first" => caught("file-header", "nothing");
    a_header_that_states_other_sizes_is_caught: "header-states-altered" => caught("file-header", "nothing");
    frames_in_other_files_are_no_attack: "spread" => silent("quiet");
    a_torn_tail_is_no_attack: "torn-tail" => silent("quiet");
    trailing_zeros_are_no_attack: "trailing-zeros" => silent("quiet");
    an_intact_proof_is_accepted: "proof-intact" => silent("quiet");
    a_proof_of_another_value_is_refused: "proof-value" => caught("proof-refused", "key");
    a_proof_with_another_salt_is_refused: "proof-salt" => caught("proof-refused", "key");
    a_proof_with_another_hash_is_refused: "proof-hash" => caught("proof-refused", "key");
    a_proof_for_another_position_is_refused: "proof-index" => caught("proof-refused", "key");
    an_inner_node_is_no_leaf: "proof-node-as-leaf" => caught("proof-refused", "key");
    two_leaves_are_no_entry: "proof-pair-as-entry" => caught("proof-refused", "key");
    a_proof_under_another_root_is_refused: "proof-checkpoint" => caught("proof-refused", "key");
    a_proof_of_another_store_is_refused: "proof-other-store" => caught("proof-refused", "key");
}

#[test]
fn every_row_has_a_test_and_a_line_in_the_threat_table() {
    let (_, drill) = &drills()[0];
    let names: BTreeSet<&str> = rows(drill).iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, TESTED.iter().copied().collect());
    assert_eq!(names.len(), rows(drill).len(), "a name stands twice");
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../SECURITY.md")).unwrap();
    for row in rows(drill) {
        let name = row["name"].as_str().unwrap();
        let lines: Vec<&str> = table.lines().filter(|line| line.starts_with(&format!("| `{name}` |"))).collect();
        assert_eq!(lines.len(), 1, "SECURITY.md has {} lines for {name}", lines.len());
        if let Some(code) = row["code"].as_str() {
            assert!(lines[0].contains(&format!("`{code}`")), "SECURITY.md names another check for {name}: {}", lines[0]);
        }
    }
}

#[test]
fn a_long_log_is_drilled_on_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    store(&data, Shape { sessions: 2, frames: 40, events: 400 });
    let drill = run(&data, &[]);
    assert_eq!(
        (drill["ok"].as_bool(), drill["whole"].as_bool(), drill["example"].as_bool()),
        (Some(true), Some(false), Some(false)),
        "{drill}"
    );
    let events = drill["events"].as_u64().unwrap();
    assert!((1_000..32_000).contains(&events), "{events}");
    assert_eq!(
        rows(&drill).iter().filter(|row| row["verdict"] == "skipped" || row["verdict"] == "MISSED").collect::<Vec<_>>(),
        [] as [&Value; 0]
    );
}

#[test]
fn the_drill_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    store(&data, SHAPES[1]);
    let contents = || {
        let mut files = Vec::new();
        for folder in ["", "journal", "checkpoint", "tree"] {
            for entry in std::fs::read_dir(data.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    files.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    };
    let before = contents();
    assert_eq!(run(&data, &["--only", "edit", "--only", "rollback"])["attacks"].as_array().unwrap().len(), 2);
    assert!(before == contents());
}

#[test]
fn a_log_that_fails_by_itself_is_not_drilled() {
    let dir = tempfile::tempdir().unwrap();
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    store(&data, SHAPES[1]);
    run(&data, &["--only", "edit", "--keep", kept.to_str().unwrap()]);
    let output =
        Command::new(env!("CARGO_BIN_EXE_indelible")).arg("--data").arg(kept.join("edit")).arg("drill").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("fails verification before anybody attacks it: ") && said.contains("checkpoint-mismatch"), "{said}");
}

#[test]
fn kept_copies_hold_no_private_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    store(&data, SHAPES[0]);
    run(&data, &["--keep", kept.to_str().unwrap()]);
    let mut folders = vec![kept];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(12).any(|window| window == b"PRIVATE+KEY+"), "{}", path.display());
        }
    }
    assert!(files > 100);
}

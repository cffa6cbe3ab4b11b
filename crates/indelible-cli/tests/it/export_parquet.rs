//! An export to Parquet says to readers that know nothing of us what the export to NDJSON says.
//!
//! That NDJSON gives every value of real records back is the promise of `export`.

use std::path::{Path, PathBuf};
use std::process::Command;

use indelible_testkit::corpus;
use serde_json::Value;

use crate::export::{home, names, stop_in_the_middle};
use crate::python::python;
use crate::{Home, text};

/// Makes the object of each line of NDJSON from a row of Parquet, as two readers give it, and compares. Numbers count as they are written.
const COMPARE: &str = r#"
import datetime, json, sys
import duckdb, pyarrow, pyarrow.parquet
parquet, ndjson = sys.argv[1], sys.argv[2]

def load(text):
    return json.loads(text, parse_int=lambda n: ("number", n), parse_float=lambda n: ("number", n))

def nanoseconds(text):
    moment, fraction = text.rstrip("Z").split(".")
    seconds = datetime.datetime.fromisoformat(moment + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))

def present(pairs):
    return {key: value for key, value in pairs if value is not None}

def event(row, logs):
    actor, origin, targets = row["actor"], row["origin"], row["targets"]
    made = present([
        ("log", logs[str(row["log"])]), ("seq", ("number", str(row["seq"]))),
        ("id", row["id_text"] if row["id"] is None else str(row["id"])),
        ("time", row["time"]), ("received", row["received"]), ("action", row["action"]), ("outcome", row["outcome"]),
        ("severity", row["severity"]), ("class", row["class"]), ("tenant", row["tenant"]),
        ("tenant_seq", ("number", str(row["tenant_seq"]))), ("source", row["source"] or None),
        ("weight", None if row["weight"] == 1 else ("number", str(row["weight"]))),
        ("actor", actor and present(actor.items())), ("origin", origin and present(origin.items())),
        ("session", row["session"]), ("targets", targets and [present(target.items()) for target in targets]),
        ("frameworks", row["frameworks"]),
        ("details", None if row["details"] is None else load(row["details"])),
        ("identity_details", None if row["identity_details"] is None else load(row["identity_details"])),
    ])
    if row["producer"]:
        producer = row["producer"]
        made["producer"] = {"id": producer["id"], **{key: ("number", str(producer[key])) for key in ("epoch", "seq")}}
    if row["trace"]:
        made["trace"] = {key: value.hex() for key, value in row["trace"].items()}
    if row["raw"]:
        made["raw"] = {"media_type": row["raw"]["media_type"], "text": row["raw"]["bytes"].decode()}
    assert row["kind"] == "event" and row["record"] is None, row
    return made

lines = [load(line) for line in open(ndjson, encoding="utf-8", newline="\n")]
trailer = lines.pop()["indelible_export"]
file = pyarrow.parquet.ParquetFile(parquet)
entries = {key.decode(): value.decode() for key, value in file.metadata.metadata.items() if key.startswith(b"indelible.")}
logs = json.loads(entries["indelible.logs"])
for line in lines:
    line["time"], line["received"] = nanoseconds(line["time"]), nanoseconds(line["received"])

def compare(reader, rows):
    count = 0
    for line, row in zip(lines, rows, strict=True):
        row = event(row, logs)
        assert line == row, (reader, line, row)
        count += 1
    return count

def of_arrow():
    for batch in file.iter_batches():
        for name in ("time", "received"):
            at = batch.schema.get_field_index(name)
            batch = batch.set_column(at, name, batch.column(at).cast(pyarrow.int64()))
        yield from batch.to_pylist()

def of_duckdb():
    times = "epoch_ns(time) AS time, epoch_ns(received) AS received"
    connection = duckdb.connect()
    # It would be drawn on stdout as soon as a query takes seconds.
    connection.execute("SET enable_progress_bar = false")
    found = connection.execute(f"SELECT * REPLACE ({times}) FROM '{parquet}'")
    columns = [column[0] for column in found.description]
    while rows := found.fetchmany(10_000):
        yield from (dict(zip(columns, row)) for row in rows)

told = json.loads(entries["indelible.export"])["indelible_export"]
print(json.dumps({
    "pyarrow": compare("pyarrow", of_arrow()), "duckdb": compare("duckdb", of_duckdb()),
    "groups": file.metadata.num_row_groups, "trailer": told,
}))
"#;

/// Exports in both forms, and compares. Gives what was found out.
#[track_caller]
fn agree(home: &Home, python: &Path, options: &[&str]) -> Value {
    home.run(["export", "--out", "f.ndjson", "--overwrite"]).ok();
    home.run([&["export", "-o", "parquet", "--out", "f.parquet", "--overwrite"], options].concat()).ok();
    let found = compare(python, &home.path("f.parquet"), &home.path("f.ndjson"));
    let count = &found["trailer"]["count"];
    assert_eq!((&found["pyarrow"], &found["duckdb"]), (count, count));
    let told = std::fs::read_to_string(home.path("f.ndjson")).unwrap();
    let mut told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    told["indelible_export"]["format"] = "parquet".into();
    assert_eq!(found["trailer"], told["indelible_export"]);
    found
}

/// Reads both, and compares event by event. Gives what was counted, and the trailer of the table.
#[track_caller]
pub(crate) fn compare(python: &Path, table: &Path, lines: &Path) -> Value {
    let compared = Command::new(python).args(["-c", COMPARE]).args([table, lines]).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    serde_json::from_slice(&compared.stdout).unwrap()
}

fn import(files: &[PathBuf]) -> Home {
    let home = Home::with_store();
    let imported = home.command(["import"]).args(files).output().unwrap();
    assert!(matches!(imported.status.code(), Some(0 | 4)));
    home
}

#[test]
fn every_value_of_real_cloudtrail_is_there_sealed_or_not() {
    let Some(folder) = corpus::folder("cloudtrail-invictus") else { return };
    let Some(python) = python("duckdb, pyarrow.parquet") else { return };
    let home = import(&corpus::files(&folder, ".json.gz"));
    let found = agree(&home, &python, &["--row-group", "1000"]);
    assert_eq!((text(&found["pyarrow"]), text(&found["groups"])), ("2900".into(), "3".into()));
    let before = std::fs::read(home.path("f.parquet")).unwrap();
    home.run(["seal"]).ok();
    agree(&home, &python, &["--row-group", "1000"]);
    assert!(before == std::fs::read(home.path("f.parquet")).unwrap(), "sealing changes nothing of what is exported");
}

#[test]
fn every_value_of_real_windows_events_is_there() {
    let Some(folder) = corpus::folder("otrf-security-datasets") else { return };
    let Some(python) = python("duckdb, pyarrow.parquet") else { return };
    let mut files = corpus::files(&folder, ".zst");
    let long = std::env::var_os("INDELIBLE_LONG").is_some();
    if !long {
        files.sort_by_key(|path| path.metadata().unwrap().len());
        files.truncate(20);
    }
    let home = import(&files);
    home.run(["seal"]).ok();
    let found = agree(&home, &python, &[]);
    println!("{} events in {} row groups", found["pyarrow"], found["groups"]);
    if long {
        assert_eq!(text(&found["pyarrow"]), "219808");
    }
}

#[test]
fn hostile_text_every_field_and_what_is_no_json_are_kept_exactly() {
    let Some(python) = python("duckdb, pyarrow.parquet") else { return };
    let home = Home::with_store();
    agree(&home, &python, &[]);
    let hostile = "=1+1 \u{1b}[2J\u{7}\r\nforged\u{202e}gnp\u{9b}\u{200b}\u{7f}\",'\\ \u{fffd}\u{1f600}";
    let target = format!("file:{hostile}");
    let note = format!("note={hostile}");
    let event = ["emit", "file.read", "--actor", hostile, "--actor-name", "", "--user-agent", hostile, "--detail", &note];
    home.run([&event[..], &["--target", &target, "--target", "x:y"]].concat()).ok();
    home.run(["emit", "file.read"]).ok();
    home.run(["emit", "file.read", "--details-json", "{\"n\":[9007199254740993,1.10,1e400,-0,0.1e-7],\"\":{\"\\u0000\":null}}"])
        .ok();
    home.run(["emit", "file.read", "--details-json", "{}"]).ok();
    home.run(["emit", "performance.measure", "--actor-type", "service"]).ok();
    let odd = home.write("odd.ndjson", "{\"a\":1,\"a\":2}\n{\"s\":\"\\ud800\"}\n");
    home.run(["import".as_ref(), odd.as_os_str()]).ok();
    let found = agree(&home, &python, &[]);
    assert_eq!(text(&found["pyarrow"]), "7");
}

#[test]
fn a_killed_export_to_parquet_goes_on_and_ends_with_the_same_bytes() {
    let home = home(3000);
    let export = |name: &'static str| ["export", "-o", "parquet", "--row-group", "7", "--out", name, "--save-every", "1"];
    for signal in ["-KILL", "-INT", "-KILL", "-TERM"] {
        stop_in_the_middle(&home, &export("f"), "f.part", signal);
    }
    // What a crash leaves behind the last saved place is cut off.
    let mut part = std::fs::read(home.path("f.part")).unwrap();
    part.extend_from_slice(b"half a row group");
    std::fs::write(home.path("f.part"), part).unwrap();
    for (other, why) in [
        (&["export", "-o", "parquet", "--row-group", "8", "--out", "f"][..], "other row groups"),
        (&["export", "-o", "parquet", "--row-group", "7", "--out", "f", "--fields", "action"], "other columns"),
        (&["export", "-o", "ndjson", "--out", "f"], "another form"),
    ] {
        let refused = home.run(other).exits(1);
        assert!(refused.stderr.contains("the beginning of another export"), "{why}: {}", refused.stderr);
    }
    let resumed = home.run(["export", "-o", "parquet", "--row-group", "7", "--out", "f"]).ok();
    assert!(resumed.stderr.contains("going on behind") && resumed.stderr.contains("complete"), "{}", resumed.stderr);
    home.run(["export", "-o", "parquet", "--row-group", "7", "--out", "g"]).ok();
    let read = |name: &str| std::fs::read(home.path(name)).unwrap();
    assert!(read("f") == read("g"));
    let piped = home.command(["export", "-o", "parquet", "--row-group", "7"]).output().unwrap();
    assert!(piped.stdout == read("g"), "to stdout goes the same");
    assert_eq!(names(&home), ["f", "g"]);
    if let Some(python) = python("duckdb, pyarrow.parquet") {
        let found = agree(&home, &python, &["--row-group", "7"]);
        assert_eq!(text(&found["groups"]), "429");
    }
}

#[test]
fn parquet_takes_names_of_columns_as_fields_and_says_which_there_are() {
    let home = home(20);
    home.run(["export", "-o", "parquet", "--fields", "time,actor.id,targets", "--out", "f"]).ok();
    if let Some(python) = python("pyarrow.parquet") {
        let names = "import sys, pyarrow.parquet as p; print(p.read_schema(sys.argv[1]).names)";
        let read = Command::new(python).args(["-c", names]).arg(home.path("f")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "['time', 'actor', 'targets']");
    }
    for field in ["details.n", "control", "nobody"] {
        let refused = home.run(["export", "-o", "parquet", "--out", "g", "--fields", field]).exits(2);
        assert!(refused.stderr.contains("has no column") && refused.stderr.contains("actor.id"), "{}", refused.stderr);
    }
    assert_eq!(names(&home), ["f"], "nothing was begun");
}

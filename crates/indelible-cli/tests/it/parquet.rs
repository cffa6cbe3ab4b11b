//! Segments are plain Parquet: what others count in `segments/*.parquet` is what the log counts, and no event is there twice.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use indelible::{Config, Draft, Store};
use indelible_testkit::corpus;
use serde_json::Value;

use crate::python::python;
use crate::{Home, arguments, text};

/// Counts the events by action with two readers that know nothing of us, and the positions of log 1 that are there.
const COUNT: &str = r#"
import collections, glob, json, sys
import duckdb, pyarrow.parquet
files = f"{sys.argv[1]}/segments/*.parquet"
sql = duckdb.connect()
counted = {"duckdb": dict(sql.execute(f"SELECT action, count(*) FROM '{files}' WHERE kind = 'event' GROUP BY action").fetchall())}
rows, positions = sql.execute(f"SELECT count(*), count(DISTINCT (log, seq)) FROM '{files}'").fetchone()
actions = collections.Counter()
for name in glob.glob(files):
    for row in pyarrow.parquet.read_table(name, columns=["kind", "action"]).to_pylist():
        if row["kind"] == "event":
            actions[row["action"]] += 1
counted["pyarrow"] = dict(actions)
print(json.dumps({**counted, "rows": rows, "positions": positions}))
"#;

type Counted = BTreeMap<String, u64>;

fn counted(python: &Path, home: &Home) -> Value {
    let output = Command::new(python).args(["-c", COUNT]).arg(home.data()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stated(home: &Home) -> Counted {
    let stats = home.run(["stats", "--by", "action", "-n", "0", "-o", "json"]).ok().json();
    stats["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (text(&group["action"]), text(&group["events"]).parse().unwrap()))
        .collect()
}

#[track_caller]
fn agree(python: &Path, home: &Home, events: u64) {
    let (theirs, ours) = (counted(python, home), stated(home));
    assert_eq!(ours.values().sum::<u64>(), events);
    for reader in ["duckdb", "pyarrow"] {
        assert_eq!(serde_json::from_value::<Counted>(theirs[reader].clone()).unwrap(), ours, "{reader}");
    }
    assert_eq!(theirs["rows"], theirs["positions"], "a position is there twice");
}

#[test]
fn other_readers_count_what_the_log_counts() {
    let Some(cloudtrail) = corpus::folder("cloudtrail-invictus") else { return };
    let Some(python) = python("duckdb, pyarrow.parquet") else { return };
    let home = Home::with_store();
    home.run(arguments(&["import"], &cloudtrail)).ok();
    home.run(["seal"]).ok();
    agree(&python, &home, 2900);

    home.run(["emit", "user.login", "--actor", "ada"]).ok();
    home.run(["emit", "user.login", "--actor", "\u{e9}\u{1f600}"]).ok();
    let sealed = home.run(["seal", "-o", "json"]).ok().json();
    assert!(text(&sealed["merged"]).parse::<u64>().unwrap() > 0, "the segments before were to be taken in: {sealed}");
    agree(&python, &home, 2902);
}

/// Counts what is sealed again and again, by the names of the files and by the manifest's list of them (docs/format/store.md), until it
/// was enough; then once more. Says a line of each reading; one that finds a file gone is made again.
const WATCH: &str = r#"
import os, sys
import duckdb
data, enough = sys.argv[1], sys.argv[2]
sql = duckdb.connect()
sql.execute("SET enable_progress_bar = false")
COUNT = "SELECT count(*), count(DISTINCT (log, seq)) FROM"

def by_name():
    rows, positions = sql.execute(f"{COUNT} read_parquet('{data}/segments/*.parquet')").fetchone()
    assert rows == positions, f"{rows} rows have {positions} positions: some are there twice"
    return rows

def by_list():
    sql.execute(f"CREATE OR REPLACE TEMP TABLE listed AS SELECT unnest(segments) AS segment FROM read_json('{data}/manifest')")
    sql.execute(f"SET VARIABLE files = (SELECT list('{data}/segments/' || segment.file) FROM listed)")
    rows, positions = sql.execute(f"{COUNT} read_parquet(getvariable('files'))").fetchone()
    total, = sql.execute("SELECT sum(segment.count) FROM listed").fetchone()
    assert rows == positions == total, f"{rows} rows have {positions} positions, and should be {total}"
    return rows

is_last = False
while not is_last:
    is_last = os.path.exists(enough)
    for name, read in (("name", by_name), ("list", by_list)):
        try:
            print(name, read(), flush=True)
        except duckdb.IOException as error:
            assert not is_last and ("No such file" in str(error) or "No files found" in str(error)), error
            print(name, "gone", flush=True)
"#;

/// While small segments are merged and what they replace goes, whoever reads by the manifest's list has every event exactly once, and whoever
/// reads by name never has one twice.
#[test]
fn a_reader_beside_a_writer_that_merges_has_every_event_once() {
    let Some(python) = python("duckdb") else { return };
    let home = Home::with_store();
    let mut config = Config::new(home.data());
    config.trusted_state_dir = Some(home.path("state"));
    config.sealing.background = false;
    let store = Store::open(config).unwrap();
    let seal = |count: u64| {
        (0..count).for_each(|n| assert!(store.emit(&Draft::new("file.read").detail("n", n)).is_ok()));
        store.seal().unwrap().merged
    };
    seal(1);
    let enough = home.path("enough");
    let mut watcher = Command::new(python);
    watcher.args(["-c", WATCH]).args([home.data(), enough.clone()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watcher = watcher.spawn().unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut merged, mut whole, mut last) = (0, BTreeMap::new(), String::new());
    // A reading for each merging, at the least; they run beside each other.
    for line in lines.by_ref() {
        let (by, rows) = line.split_once(' ').unwrap();
        *whole.entry(by.to_owned()).or_insert(0) += u64::from(rows != "gone");
        if merged >= 100 && whole.values().all(|readings| *readings >= 25) {
            break;
        }
        merged += seal(20);
    }
    std::fs::write(enough, "").unwrap();
    lines.for_each(|line| last = line);
    let output = watcher.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sealed: u64 = store.reader().unwrap().segments().unwrap().iter().map(|info| info.count).sum();
    assert_eq!(last, format!("list {sealed}"), "the last reading, of everything");
    println!("{merged} segments merged beside {whole:?} whole readings");
    store.close().unwrap();
}

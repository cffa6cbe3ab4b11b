//! Segments are plain Parquet: what others count in `segments/*.parquet` is what the log counts, and no event is there twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

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

//! What is exported is all there is, and an export that was interrupted ends as one that was not.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use indelible_adapters::{ReadLimits, for_each_record};
use indelible_testkit::corpus;
use serde_json::Value;

use crate::{Home, arguments, text};

fn trailer(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 1, "{line}");
    value["indelible_export"].clone()
}

fn lines(home: &Home, name: &str) -> Vec<String> {
    std::fs::read_to_string(home.path(name)).unwrap().lines().map(str::to_owned).collect()
}

pub(crate) fn names(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.dir.path()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !matches!(name.as_str(), "audit" | "state"));
    names.sort();
    names
}

/// A store with `count` events, a tenth of them in the log of telemetry.
pub(crate) fn home(count: usize) -> Home {
    let home = Home::with_store();
    let action = |nth: usize| if nth % 10 == 9 { "performance.measure" } else { "file.read" };
    let line = |nth: usize| format!("{{\"action\":\"{}\",\"n\":{nth},\"user\":\"u{}\"}}\n", action(nth), nth % 7);
    home.write("in/events.ndjson", (0..count).map(line).collect::<String>());
    home.run(["import", "in"]).ok();
    std::fs::remove_dir_all(home.path("in")).unwrap();
    home
}

#[test]
fn an_export_is_what_a_search_shows_and_a_trailer() {
    let home = home(50);
    home.run(["emit", "user.login", "--actor", "ann", "--outcome", "denied"]).ok();
    for query in [&[][..], &["outcome:denied"], &["--fields", "seq,action,actor.id"]] {
        let searched = home.run([&["search", "-o", "ndjson"], query].concat()).ok().stdout;
        home.run([&["export", "--out", "f", "--overwrite"], query].concat()).ok();
        let mut exported = lines(&home, "f");
        let trailer = trailer(&exported.pop().unwrap());
        assert_eq!(exported, searched.lines().collect::<Vec<_>>());
        assert_eq!((text(&trailer["count"]), &trailer["complete"]), (exported.len().to_string(), &true.into()));
        let main = trailer["logs"].as_array().unwrap().iter().find(|log| log["log"] == "main").unwrap();
        assert_eq!(text(&main["size"]), "46");
        let piped = home.run([&["export"], query].concat()).ok().stdout;
        assert_eq!(piped.as_bytes(), std::fs::read(home.path("f")).unwrap());
    }
    assert_eq!(names(&home), ["f"], "nothing else is left");
    let refused = home.run(["export", "--out", "f"]).exits(1);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
}

#[test]
fn spreadsheets_get_no_formulas_and_the_trailer_stands_beside() {
    let home = Home::with_store();
    home.run(["emit", "file.read", "--actor", "=1+1", "--detail", "note=a,\"b\"\n"]).ok();
    home.run(["export", "-o", "csv", "--out", "f.csv", "--fields", "actor,details.note"]).ok();
    assert_eq!(std::fs::read_to_string(home.path("f.csv")).unwrap(), "actor,details.note\r\n'=1+1,\"a,\"\"b\"\"\n\"\r\n");
    let beside = lines(&home, "f.csv.trailer.json");
    assert_eq!(text(&trailer(&beside[0])["count"]), "1");
    assert_eq!(names(&home), ["f.csv", "f.csv.trailer.json"]);
}

/// Starts the command and sends it a signal once it has saved some progress.
pub(crate) fn stop_in_the_middle(home: &Home, command: &[&str], part: &str, signal: &str) {
    let mut child = home.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let state = home.path(&format!("{part}.state"));
    let before = std::fs::read_to_string(&state).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(60);
    let saved = || std::fs::read_to_string(&state).is_ok_and(|state| state != before && !state.contains("\"count\":0"));
    while !saved() {
        assert!(child.try_wait().unwrap().is_none(), "it was over too soon");
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), if signal == "-KILL" { None } else { Some(4) });
    assert!(home.path(part).exists() && state.exists());
}

#[test]
fn a_killed_export_goes_on_and_ends_with_the_same_bytes() {
    let home = home(3000);
    for form in ["ndjson", "csv", "ocsf"] {
        // Every event is synced by itself, so that there is a middle to be killed in.
        let command = ["export", "--out", "f", "-o", form, "--save-every", "1"];
        for signal in ["-KILL", "-INT", "-KILL", "-TERM"] {
            stop_in_the_middle(&home, &command, "f.part", signal);
        }
        // What a crash leaves behind the last saved place is cut off.
        let mut part = std::fs::read(home.path("f.part")).unwrap();
        part.extend_from_slice(b"half a li");
        std::fs::write(home.path("f.part"), part).unwrap();
        for (other, why) in [
            (&["export", "--out", "f", "-o", form, "file.read"][..], "another query"),
            (&["export", "--out", "f", "-o", if form == "csv" { "ocsf" } else { "csv" }], "another form"),
            (&["export", "--out", "f", "-o", form, "--since", "2021"], "another time"),
        ] {
            let refused = home.run(other).exits(1);
            assert!(refused.stderr.contains("the beginning of another export"), "{why}: {}", refused.stderr);
        }
        let resumed = home.run(["export", "--out", "f", "-o", form]).ok();
        assert!(resumed.stderr.contains("going on behind") && resumed.stderr.contains("complete"), "{}", resumed.stderr);
        home.run(["export", "--out", "g", "-o", form]).ok();
        for ending in ["", ".trailer.json"] {
            let read = |name: &str| std::fs::read(home.path(&format!("{name}{ending}"))).unwrap_or_default();
            assert!(read("f") == read("g"), "{form}{ending}");
        }
        assert!(!names(&home).iter().any(|name| name.contains(".part")), "{:?}", names(&home));
        for name in names(&home) {
            std::fs::remove_file(home.path(&name)).unwrap();
        }
    }
}

/// Two logs: what is sealed before, or between an interruption and going on, changes nothing.
#[test]
fn an_export_is_the_same_sealed_or_not_and_goes_on_when_its_store_was_sealed_in_the_meantime() {
    let home = home(3000);
    let read = |name: &str| std::fs::read(home.path(name)).unwrap();
    let forms = ["ndjson", "parquet"];
    let export = |form: &'static str, name: &str| {
        ["export", "-o", form, "--row-group", "7", "--save-every", "1", "--out", name].map(str::to_owned)
    };
    for form in forms {
        home.run(export(form, &format!("unsealed.{form}"))).ok();
        let command = export(form, &format!("f.{form}"));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        stop_in_the_middle(&home, &command, &format!("f.{form}.part"), "-KILL");
    }
    home.run(["seal"]).ok();
    for form in forms {
        let resumed = home.run(export(form, &format!("f.{form}"))).ok();
        assert!(resumed.stderr.contains("going on behind"), "{}", resumed.stderr);
        home.run(export(form, &format!("sealed.{form}"))).ok();
        let unsealed = read(&format!("unsealed.{form}"));
        assert!(unsealed == read(&format!("sealed.{form}")), "{form}: sealing changed what is exported");
        assert!(unsealed == read(&format!("f.{form}")), "{form}: going on changed what is exported");
    }
    let events = lines(&home, "f.ndjson");
    let places: Vec<(String, u64)> = events[..events.len() - 1]
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| (text(&event["log"]), text(&event["seq"]).parse().unwrap()))
        .collect();
    let of = |log: &str| places.iter().filter(|(of, _)| of == log).map(|(_, seq)| *seq).collect::<Vec<_>>();
    assert_eq!((places.len(), of("main").len(), of("telemetry").len()), (3000, 2700, 300));
    assert!([of("main"), of("telemetry")].iter().all(|seqs| seqs.windows(2).all(|pair| pair[0] < pair[1])));
}

/// The moment that a kill seldom meets: everything is written, the trailer too, and the file has not got its name. Here a directory stands
/// where it belongs; what lies beside it is then what a kill leaves, and a power cut, which takes of what was not synced what it likes.
#[test]
fn an_export_that_ended_between_its_trailer_and_its_name_is_made_whole_by_the_next_run() {
    let home = home(300);
    let read = |name: &str| std::fs::read(home.path(name)).unwrap_or_default();
    let remove = |names: &[&str]| names.iter().for_each(|name| drop(std::fs::remove_file(home.path(name))));
    for form in ["ndjson", "csv", "ocsf", "parquet"] {
        home.run(["export", "-o", form, "--row-group", "7", "--out", "whole"]).ok();
        let whole = read("whole");
        for (save_every, is_saved) in [("1", true), ("64MiB", false)] {
            let export = ["export", "-o", form, "--row-group", "7", "--save-every", save_every, "--out", "f"];
            home.write("f/in the way", "");
            home.run([&export[..], &["--overwrite"]].concat()).exits(1);
            assert!(read("f.part") == whole, "{form}: the trailer was written");
            let state = read("f.part.state");
            std::fs::remove_dir_all(home.path("f")).unwrap();
            let saved = serde_json::from_slice::<Value>(state.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
            let saved: usize = text(&saved["bytes"]).parse().unwrap();
            // What CSV says of itself stands beside it, so that its last row may be saved; of the others the end never is.
            assert!(if is_saved { saved > 0 && saved <= whole.len() } else { saved == 0 }, "{form}: {saved}");
            for left in [whole.len(), whole.len() - 1, whole.len().midpoint(saved), saved] {
                std::fs::write(home.path("f.part"), &whole[..left.max(saved)]).unwrap();
                std::fs::write(home.path("f.part.state"), &state).unwrap();
                assert!(!home.path("f").exists());
                let ended = home.run(export).ok();
                assert_eq!(ended.stderr.contains("going on behind"), is_saved, "{}", ended.stderr);
                assert!(read("f") == whole, "{form}: {left} of {} bytes were there", whole.len());
                assert!(read("f.trailer.json") == read("whole.trailer.json"));
                assert!(!names(&home).iter().any(|name| name.contains(".part")), "{:?}", names(&home));
                remove(&["f", "f.trailer.json"]);
            }
        }
        // It got its name, and the state was left: what is there is whole, and is left alone or made anew.
        home.run(["export", "-o", form, "--row-group", "7", "--out", "f"]).ok();
        home.write("f.part.state", "{}\n{\"now\":1,\"bytes\":5,\"count\":1,\"next\":[]}\n");
        home.run(["export", "-o", form, "--row-group", "7", "--out", "f"]).exits(1);
        assert!(read("f") == whole);
        home.run(["export", "-o", form, "--row-group", "7", "--out", "f", "--overwrite"]).ok();
        assert!(read("f") == whole);
        remove(&["f", "f.trailer.json", "whole", "whole.trailer.json", "f.part.state"]);
    }
}

#[test]
fn a_damaged_journal_makes_an_incomplete_export_that_says_so() {
    let home = home(500);
    let journal = home.data().join("journal");
    let mut changed = 0;
    for entry in std::fs::read_dir(journal).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(7).position(|window| window == b"\"n\":250") {
            bytes[at + 4] = b'9';
            std::fs::write(&path, bytes).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    home.run(["export", "--out", "f"]).exits(4);
    let trailer = trailer(lines(&home, "f").last().unwrap());
    assert_eq!(trailer["complete"], false);
    assert!(text(&trailer["reason"]).contains("broken"), "{trailer}");
}

/// A number that stands for a JSON value: equal for equal values, number lexemes included.
fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// How often each record of the files occurs, refused ones left out.
fn records(files: &[PathBuf]) -> HashMap<u64, i64> {
    let mut records = HashMap::new();
    for path in files {
        let file = std::fs::File::open(path).unwrap();
        let contents: Box<dyn std::io::Read> = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
            _ => Box::new(zstd::Decoder::new(file).unwrap()),
        };
        for_each_record(&mut BufReader::new(contents), ReadLimits::default(), &mut |record| {
            if let Ok(value) = record.map_err(drop).and_then(|record| serde_json::from_slice::<Value>(record.bytes).map_err(drop))
            {
                *records.entry(fingerprint(&value)).or_default() += 1;
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    records
}

/// Whether two files, which may be large, hold the same bytes.
fn are_equal(one: &Path, other: &Path) -> bool {
    let [mut one, mut other] = [one, other].map(|path| BufReader::new(std::fs::File::open(path).unwrap()));
    loop {
        let (left, right) = (one.fill_buf().unwrap(), other.fill_buf().unwrap());
        let both = left.len().min(right.len());
        if left[..both] != right[..both] || (both == 0 && left.len() != right.len()) {
            return false;
        }
        if both == 0 {
            return true;
        }
        one.consume(both);
        other.consume(both);
    }
}

/// Imports the files, seals, exports everything, and compares record by record.
fn comes_back(files: &[PathBuf]) -> u64 {
    let home = Home::with_store();
    let imported = home.command(["import"]).args(files).output().unwrap();
    assert!(matches!(imported.status.code(), Some(0 | 4)));
    home.run(["export", "--out", "unsealed"]).ok();
    home.run(["seal"]).ok();
    home.run(["export", "--out", "f"]).ok();
    assert!(are_equal(&home.path("unsealed"), &home.path("f")), "sealing changed what is exported");
    let mut records = records(files);
    let mut count = 0;
    for line in BufReader::new(std::fs::File::open(home.path("f")).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event.get("indelible_export").is_some() {
            continue;
        }
        // A record that readers could disagree about came back byte for byte.
        let record = match event.get("raw") {
            Some(raw) => serde_json::from_str(raw["text"].as_str().unwrap()).unwrap(),
            None => event["details"].clone(),
        };
        *records.entry(fingerprint(&record)).or_default() -= 1;
        count += 1;
    }
    let different = records.values().filter(|count| **count != 0).count();
    assert_eq!(different, 0, "records that are missing or were not there");
    count
}

#[test]
fn every_value_of_real_cloudtrail_comes_back() {
    let Some(folder) = corpus::folder("cloudtrail-invictus") else { return };
    assert_eq!(comes_back(&corpus::files(&folder, ".json.gz")), 2900);
}

#[test]
fn every_value_of_real_windows_events_comes_back() {
    let Some(folder) = corpus::folder("otrf-security-datasets") else { return };
    let mut files = corpus::files(&folder, ".zst");
    let long = std::env::var_os("INDELIBLE_LONG").is_some();
    if !long {
        files.sort_by_key(|path| path.metadata().unwrap().len());
        files.truncate(20);
    }
    let count = comes_back(&files);
    println!("{count} events");
    if long {
        // 219,820 lines, of which 12 are no JSON.
        assert_eq!(count, 219_808);
    }
}

#[test]
fn real_events_keep_who_and_what_on_their_way_through_ocsf() {
    let Some(cloudtrail) = corpus::folder("cloudtrail-invictus") else { return };
    let (first, second) = (Home::with_store(), Home::with_store());
    first.run(arguments(&["import"], &cloudtrail)).ok();
    first.run(["export", "-o", "ocsf", "--out", "f"]).ok();
    let mut exported = lines(&first, "f");
    exported.pop();
    second.write("in.ndjson", exported.join("\n"));
    let imported = second.run(["import", "in.ndjson", "-o", "json"]).ok().json();
    assert_eq!(text(&imported["formats"]["ocsf"]), "2900");
    let events = |home: &Home| -> HashMap<String, Value> {
        let shown = home.run(["search", "-o", "ndjson"]).ok().stdout;
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).map(|event: Value| (text(&event["id"]), event)).collect()
    };
    let (before, after) = (events(&first), events(&second));
    assert_eq!(after.len(), 2900);
    for (id, event) in &before {
        let again = &after[id];
        for key in ["time", "outcome", "severity", "actor", "session", "origin"] {
            assert_eq!(event.get(key), again.get(key), "{key} of {id}");
        }
        let action = text(&again["action"]);
        assert!(action.starts_with("api_activity.") || action == "authentication.logon", "{action}");
        assert_eq!(again["details"]["metadata"]["event_code"], event["action"]);
    }
    // What came as OCSF goes out as it came.
    second.run(["export", "-o", "ocsf", "--out", "g"]).ok();
    let mut again = lines(&second, "g");
    again.pop();
    let values = |lines: &[String]| {
        let mut values: Vec<u64> = lines.iter().map(|line| fingerprint(&serde_json::from_str(line).unwrap())).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(values(&exported), values(&again));
}

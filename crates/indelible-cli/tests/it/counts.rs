//! Counts are exact, in every form, by any fields and stretches of time.

use std::collections::BTreeMap;

use indelible_testkit::corpus;
use serde_json::Value;

use crate::{Home, arguments, text};

/// Five events of two days; one of them has two targets.
fn home() -> Home {
    let home = Home::with_store();
    let lines = [
        r#"{"action":"user.login","time":"2021-01-30T23:59:59Z","user":"ann","outcome":"failure"}"#,
        r#"{"action":"user.login","time":"2021-01-31T00:00:00Z","user":"ann","outcome":"failure"}"#,
        r#"{"action":"user.login","time":"2021-01-31T01:30:00Z","user":"bob","outcome":"success"}"#,
        r#"{"action":"file.read","time":"2021-01-31T09:00:00Z","tags":["x","y","x"]}"#,
        r#"{"action":"file.read","time":"2021-01-31T09:10:00Z","user":"","tags":["x"]}"#,
    ];
    home.write("in.ndjson", lines.join("\n"));
    home.run(["import", "in.ndjson", "--format", "json"]).ok();
    home
}

fn rows(home: &Home, arguments: &[&str]) -> Vec<String> {
    let shown = home.run([arguments, &["-o", "csv"]].concat()).ok().stdout;
    shown.lines().map(str::to_owned).collect()
}

#[test]
fn events_are_counted_by_several_fields() {
    let home = home();
    let counted = rows(&home, &["stats", "--by", "action,outcome"]);
    assert_eq!(counted[0], "action,outcome,events,first,last");
    assert_eq!(counted[1], "file.read,unknown,2,2021-01-31T09:00:00.000000000Z,2021-01-31T09:10:00.000000000Z", "{counted:?}");
    assert!(counted[2].starts_with("user.login,failure,2,") && counted[3].starts_with("user.login,success,1,"), "{counted:?}");
    assert_eq!(counted.len(), 4);
}

#[test]
fn days_are_days_in_utc_and_empty_ones_are_shown_to_people() {
    let home = home();
    let days = rows(&home, &["stats", "--interval", "1d"]);
    assert_eq!(days[0], "start,events,unknown,success,failure,denied,error,first,last");
    assert!(days[1].starts_with("2021-01-30T00:00:00.000000000Z,1,0,0,1,0,0,"), "{days:?}");
    assert!(days[2].starts_with("2021-01-31T00:00:00.000000000Z,4,2,1,1,0,0,"), "{days:?}");
    let hours = home.run(["stats", "--interval", "1h"]).ok().stdout;
    for line in ["2021-01-31T00:00:00Z ", "2021-01-31T01:00:00Z ", "… 7 × 1h without events", "2021-01-31T09:00:00Z "] {
        assert!(hours.contains(line), "{line} is not in\n{hours}");
    }
    let minutes = home.run(["stats", "--interval", "15m", "--by", "action", "-o", "json", "user.login"]).ok().json();
    assert_eq!(minutes["interval"], "15m");
    assert_eq!(minutes["groups"].as_array().unwrap().len(), 3);
}

#[test]
fn an_event_counts_once_for_every_value_and_none_is_not_empty() {
    let home = home();
    let tags = home.run(["stats", "--by", "details.tags", "-o", "json", "file.read"]).ok().json();
    let told: BTreeMap<String, String> =
        tags["groups"].as_array().unwrap().iter().map(|group| (text(&group["details.tags"]), text(&group["events"]))).collect();
    assert_eq!(told, BTreeMap::from([("x".into(), "2".into()), ("y".into(), "1".into())]));
    let users = home.run(["facets", "details.user", "-o", "json"]).ok().json()["facets"][0].clone();
    assert_eq!((text(&users["distinct"]), text(&users["missing"])), ("3".into(), "1".into()));
    assert_eq!(users["values"][0]["value"], "ann");
    assert_eq!(users["values"][0]["share"].to_string(), "0.400000");
}

#[test]
fn limits_show_less_and_count_all() {
    let home = home();
    let first = home.run(["stats", "--by", "outcome", "-n", "1", "-o", "json"]).ok().json();
    assert_eq!((first["groups"].as_array().unwrap().len(), text(&first["groups_total"])), (1, "3".into()));
    let of_each = rows(&home, &["stats", "--by", "action", "--interval", "1d", "-n", "1"]);
    assert_eq!(of_each.len(), 3, "one group of each day: {of_each:?}");
    let facet = home.run(["facets", "outcome,action", "-n", "1"]).ok().stdout;
    assert!(facet.contains("(2 more)") && facet.contains("user.login"), "{facet}");
}

#[test]
fn facets_of_real_events_are_what_counting_by_hand_gives() {
    let Some(cloudtrail) = corpus::folder("cloudtrail-invictus") else { return };
    let home = Home::with_store();
    home.run(arguments(&["import"], &cloudtrail)).ok();
    let lines = home.run(["search", "-o", "ndjson"]).ok().stdout;
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let facets = home.run(["facets", "action,ip,details.awsRegion", "-n", "0", "-o", "json"]).ok().json();
    for (facet, pointer) in facets["facets"].as_array().unwrap().iter().zip(["/action", "/origin/ip", "/details/awsRegion"]) {
        let mut by_hand: BTreeMap<String, u64> = BTreeMap::new();
        for value in events.iter().filter_map(|event| event.pointer(pointer)) {
            *by_hand.entry(text(value)).or_default() += 1;
        }
        let told: BTreeMap<String, u64> = facet["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| (text(&value["value"]), text(&value["events"]).parse().unwrap()))
            .collect();
        assert_eq!(told, by_hand, "{pointer}");
        let missing = 2900 - by_hand.values().sum::<u64>();
        assert_eq!(text(&facet["missing"]), missing.to_string(), "{pointer}");
    }
    // The same from the other verb.
    let by_action = home.run(["stats", "--by", "action", "-n", "0", "-o", "ndjson"]).ok().stdout;
    assert_eq!(by_action.lines().count().to_string(), text(&facets["facets"][0]["distinct"]));
}

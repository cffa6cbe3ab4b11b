//! Expiry is killed: each log has expired or it has not, what is held is there, and the next run ends it.

use std::collections::BTreeSet;

use super::Scene;
use super::store::{self, EVENTS, events, expect_same, expect_tidy, expect_verified, log_of};
use crate::{Home, text};

/// Names of the logs of which the manifest says that their beginning has expired.
fn expired(home: &Home) -> BTreeSet<String> {
    let segments = home.run(["segments", "-o", "json"]).ok().json();
    segments["expired"].as_array().unwrap().iter().map(|expired| text(&expired["log"])).collect()
}

#[test]
fn a_killed_expiry_leaves_each_log_expired_or_not_and_is_ended_by_the_next() {
    let scene = Scene {
        home: store::store(15),
        command: &["retention", "apply", "-o", "json"],
        watched: &["audit", "audit/segments", "audit/journal", "audit/checkpoint"],
    };
    let before = events(&scene.home);
    assert_eq!(before.len(), EVENTS);
    let (whole, said, pace) = scene.whole();
    let after = events(&whole);
    let logs: Vec<String> = said.json()["expired"].as_array().unwrap().iter().map(|expired| text(&expired["log"])).collect();
    assert_eq!(logs, ["main", "telemetry", "acme"]);
    assert!(after.len() > EVENTS / 3 && after.len() < EVENTS * 2 / 3, "{}", after.len());
    let held = |lines: &[String]| lines.iter().filter(|line| line.contains("\"actor\":{\"id\":\"user-7\"}")).count();
    assert!(held(&before) > 20 && held(&before) == held(&after));
    expect_tidy(&whole, "whole");

    let stays: BTreeSet<&String> = after.iter().collect();
    let stages = scene.kill(&pace, 8, |killed| {
        let (home, story) = (&killed.home, killed.story.as_str());
        // As it lies there, with half of the names changed perhaps.
        let gone = expired(home);
        expect_verified(home, story);
        let expected: Vec<String> =
            before.iter().filter(|line| stays.contains(line) || !gone.contains(&log_of(line))).cloned().collect();
        expect_same(&events(home), &expected, story);
        if killed.nth.is_multiple_of(3) {
            store::open(home, story);
            expect_tidy(home, story);
            expect_same(&events(home), &expected, story);
        }
        home.run(scene.command).ok();
        assert_eq!(expired(home).len(), 3, "{story}");
        expect_same(&events(home), &after, story);
        expect_tidy(home, story);
        expect_verified(home, story);
        gone.len()
    });
    assert!(stages.iter().any(|gone| *gone < 3), "{stages:?}");
}

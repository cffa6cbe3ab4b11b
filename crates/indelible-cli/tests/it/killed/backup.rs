//! A backup is killed: what was backed up before is there, or what was to be, and the next one finishes it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::store::{self, EVENTS, events, expect_same, expect_verified, number};
use super::{Scene, names};
use crate::{Home, text};

/// Verifies the backup where it lies. Gives the number of events in it.
#[track_caller]
fn checked(home: &Home, story: &str) -> usize {
    let ended = home.run(["restore", "backup", "--check", "--against", "kept/main", "-o", "json"]);
    assert_eq!(ended.code, 0, "{story}\n{}{}", ended.stdout, ended.stderr);
    usize::try_from(number(&ended.json()["backup"]["verified"]["events"])).unwrap()
}

/// The backup has the files that it names and no others.
#[track_caller]
fn expect_tidy(home: &Home, story: &str) {
    let own = ["backup.json", "files", "lock"].map(str::to_owned);
    assert_eq!(names(&home.path("backup")), BTreeSet::from(own), "{story}");
    let contents: Value = serde_json::from_slice(&fs::read(home.path("backup/backup.json")).unwrap()).unwrap();
    let named = contents["files"].as_array().unwrap().iter().map(|file| text(&file["sha256"])).collect();
    assert_eq!(names(&home.path("backup/files")), named, "{story}");
}

#[test]
fn a_killed_backup_leaves_the_one_before_or_the_new_one() {
    let home = store::store(15);
    home.run(["backup", "backup"]).ok();
    // The segments of before become others, so that the files of before are not those of after.
    home.run(["seal"]).ok();
    for nth in 0..3 {
        home.run(["emit", "user.login", "--actor", &format!("u{nth}")]).ok();
    }
    let scene = Scene { home, command: &["backup", "backup", "-o", "json"], watched: &["backup", "backup/files"] };
    let before = events(&scene.home);
    assert_eq!(before.len(), EVENTS + 3);
    let (whole, said, pace) = scene.whole();
    assert!(number(&said.json()["copied_files"]) > 5, "{}", said.stdout);
    assert_eq!(checked(&whole, "whole"), EVENTS + 3);
    expect_tidy(&whole, "whole");

    let stages = scene.kill(&pace, 8, |killed| {
        let (home, story) = (&killed.home, killed.story.as_str());
        let count = checked(home, story);
        assert!(count == EVENTS || count == EVENTS + 3, "{story}: {count}");
        home.run(scene.command).ok();
        assert_eq!(checked(home, story), EVENTS + 3, "{story}");
        expect_tidy(home, story);
        if killed.nth.is_multiple_of(4) {
            fs::rename(home.data(), home.path("lost")).unwrap();
            home.run(["restore", "backup"]).ok();
            expect_same(&events(home), &before, story);
            expect_verified(home, story);
        }
        count - EVENTS
    });
    assert!(stages.contains(&0), "{stages:?}");
}

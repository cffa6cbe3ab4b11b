//! Restoring is killed: there is no store, and the next restoration begins anew; or there is one, and it is whole.

use std::collections::BTreeSet;

use super::store::{self, EVENTS, events, expect_same, expect_tidy, expect_verified};
use super::{Scene, names};
use crate::Home;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing that says whose the directory is.
    Nothing,
    /// What was begun, and is no store.
    Begun,
    /// A store.
    Store,
}

fn stage(home: &Home) -> Stage {
    let data = home.data();
    if data.join("store.json").exists() {
        Stage::Store
    } else if data.join("store.json.restoring").exists() {
        Stage::Begun
    } else {
        let left: BTreeSet<String> = names(&data);
        assert!(left.is_empty() || left == BTreeSet::from(["store.json.restoring.new".to_owned()]), "{left:?}");
        Stage::Nothing
    }
}

#[test]
fn a_killed_restoration_is_no_store_or_a_whole_one() {
    let home = store::store(15);
    let before = events(&home);
    assert_eq!(before.len(), EVENTS);
    home.run(["backup", "backup"]).ok();
    std::fs::remove_dir_all(home.data()).unwrap();
    let scene = Scene {
        home,
        command: &["restore", "backup", "-o", "json"],
        watched: &["audit", "audit/segments", "audit/journal", "audit/checkpoint"],
    };
    let (whole, _, pace) = scene.whole();
    expect_same(&events(&whole), &before, "whole");
    expect_tidy(&whole, "whole");

    let stages = scene.kill(&pace, 8, |killed| {
        let (home, story) = (&killed.home, killed.story.as_str());
        let stage = stage(home);
        if stage == Stage::Store {
            // Before anybody opens it to write.
            expect_verified(home, story);
            expect_same(&events(home), &before, story);
            store::open(home, story);
        } else {
            let why = if stage == Stage::Begun { "was not finished" } else { "there is no store" };
            for command in [&["verify"][..], &["export"], &["emit", "a.b"]] {
                let refused = home.run(command).exits(1);
                assert!(refused.stderr.contains(why), "{story}: {}", refused.stderr);
            }
            if stage == Stage::Begun {
                let refused = home.run(["init"]).exits(1);
                assert!(refused.stderr.contains("was not finished"), "{story}: {}", refused.stderr);
            }
            home.run(scene.command).ok();
        }
        expect_same(&events(home), &before, story);
        expect_tidy(home, story);
        expect_verified(home, story);
        let refused = home.run(scene.command).exits(1);
        assert!(refused.stderr.contains("already"), "{story}: {}", refused.stderr);
        stage
    });
    assert!(stages.contains(&Stage::Begun), "{stages:?}");
}

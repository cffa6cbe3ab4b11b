//! Sealing is killed: what goes from the journal into segments, and from small segments into larger ones, is there once all the
//! time.

use super::Scene;
use super::store::{self, EVENTS, events, expect_same, expect_tidy, expect_verified, manifest, number};
use crate::Home;

fn generation(home: &Home) -> u64 {
    manifest(home).map_or(0, |manifest| number(&manifest["generation"]))
}

/// Kills `seal` over a store where what came before day `sealed` is in small segments, of which it takes in at least so many.
fn expect_nothing_moved(sealed: u32, merged: u64, kills: u32) {
    let scene = Scene {
        home: store::store(sealed),
        command: &["seal", "-o", "json"],
        watched: &["audit", "audit/segments", "audit/journal", "audit/checkpoint"],
    };
    let (before, generation_before) = (events(&scene.home), generation(&scene.home));
    assert_eq!(before.len(), EVENTS);
    let (whole, said, pace) = scene.whole();
    assert!(number(&said.json()["merged"]) >= merged, "{}", said.stdout);
    expect_same(&events(&whole), &before, "whole");
    expect_tidy(&whole, "whole");

    let stages = scene.kill(&pace, kills, |killed| {
        let (home, story) = (&killed.home, killed.story.as_str());
        let stage = generation(home) - generation_before;
        assert!(stage <= 1, "{story}");
        expect_verified(home, story);
        expect_same(&events(home), &before, story);
        if killed.nth.is_multiple_of(3) {
            store::open(home, story);
            expect_tidy(home, story);
            expect_same(&events(home), &before, story);
        }
        home.run(scene.command).ok();
        assert_eq!(generation(home), generation_before + 1, "{story}");
        expect_same(&events(home), &before, story);
        expect_tidy(home, story);
        expect_verified(home, story);
        stage
    });
    assert!(stages.contains(&0), "{stages:?}");
}

#[test]
fn a_killed_seal_moves_nothing_or_everything() {
    expect_nothing_moved(0, 0, 5);
}

#[test]
fn a_killed_merge_of_small_segments_has_each_event_once() {
    expect_nothing_moved(15, 4, 7);
}

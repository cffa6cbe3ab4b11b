//! No query and no record makes the search panic, whatever their bytes.

use proptest::prelude::*;

use super::round_trip::any_soup;
use super::*;
use crate::search::filter::FIELDS;
use crate::search::view::Selector;

fn rich() -> Model {
    Model {
        trace: Some(([1; 16], [2; 8])),
        producer: Some(("p".to_owned(), 1, 2)),
        frameworks: vec!["sox".to_owned()],
        actor_id: some("al\\ice\n"),
        ip: some("10.0.0.1"),
        session: some("s"),
        targets: vec![(some("repo"), some("42"), some("n")), (None, some("7"), None)],
        identity_details: Some(object([("user", object([("a", text("x\u{1f}"))]))])),
        details: Some(object([("a", Json::List(vec![number("1e5"), text("q\"uote"), object([("b", Json::Null)])]))])),
        raw: Some(("text/plain".to_owned(), "raw alice".to_owned())),
        ..Model::default()
    }
}

/// Asks every kind of question.
fn interrogate(view: &View<'_>, query: &str) {
    let queries = [
        query,
        "alice*x",
        "é",
        "details.a.b:1 OR details.*.*:x* OR details.a:>1 OR details.a:>b",
        "target:repo:* OR target:9",
        "ip:10.0.0.0/8",
        "raw:?é",
        "has:details.a",
    ];
    for filter in queries.iter().filter_map(|query| Filter::parse(query).ok()) {
        let matcher = filter.compile(NOW).unwrap();
        let opposite = filter.not().compile(NOW).unwrap();
        assert_ne!(matcher.matches(view), opposite.matches(view));
    }
    for field in FIELDS {
        let _ = Selector::new(field.name).unwrap().text(view);
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_runs(query in any::<String>(), soup in any_soup()) {
        rich().ask(|view| {
            interrogate(view, &query);
            interrogate(view, &soup);
        });
    }

    #[test]
    fn altered_records_are_searched_without_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\u0\n-t\xff\x00\x01".to_vec())), 1..6),
        soup in any_soup(),
    ) {
        let mut record = rich().encode();
        for (place, byte) in damage {
            // The record's own length stays, so that most of these are still records.
            let place = 4 + place.index(record.len() - 4);
            record[place] = byte;
        }
        ask(&record, 0, |view| interrogate(view, &soup));
    }
}

#[test]
fn every_single_altered_byte_is_searched_without_harm() {
    let record = rich().encode();
    let mut searched = 0;
    for place in 4..record.len() {
        for byte in *b"\"\\{[:\xff" {
            let mut altered = record.clone();
            altered[place] = byte;
            searched += usize::from(ask(&altered, 0, |view| interrogate(view, "s:x OR a")).is_some());
        }
    }
    // Most alterations fall into bodies, where they leave a record.
    assert!(searched > record.len(), "{searched} of {} places", record.len());
}

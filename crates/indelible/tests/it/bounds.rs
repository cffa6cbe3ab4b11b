//! What an answer takes is bounded, and what it says of itself is so: which values were not told apart, where a page ends, what was read.

use std::collections::HashMap;
use std::ops::ControlFlow;

use indelible::search::{Filter, Grouping, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, Query, Selector};
use indelible::{Config, Draft, Reader, Store};
use indelible_testkit::SimWorld;
use indelible_testkit::scenario::Scenario;
use indelible_testkit::watched::Watched;

const EVENTS: u64 = 20_000;

fn config() -> Config {
    let mut config = Scenario::config();
    config.sealing.background = false;
    config.sealing.rows_max = 16_384;
    config
}

/// Every event has a session of its own and a number; most are sealed.
fn store() -> SimWorld {
    let machine = Scenario::sealing(8).machine();
    let store = Store::open_in(config(), machine.world()).unwrap();
    for n in 0..EVENTS {
        let (session, actor) = (format!("session-{n:024}"), format!("u-{}", n % 400));
        store.emit(&Draft::new("door.open").session(&session).actor(&actor).detail("n", n)).unwrap();
        if n == EVENTS - 1_000 {
            store.seal().unwrap();
        }
    }
    store.close().unwrap();
    machine
}

fn reader(machine: &SimWorld) -> Reader {
    Reader::open_in(Scenario::dir(), machine.world()).unwrap()
}

fn all() -> Query {
    Query::new(&Filter::All, 0).unwrap()
}

#[test]
fn a_facet_of_more_values_than_are_told_apart_says_so_and_what_it_lists_is_exact() {
    let reader = reader(&store());
    for (name, values, each) in [("session", EVENTS, 1), ("details.n", EVENTS, 1), ("actor.id", 400, EVENTS / 400)] {
        let field = Selector::new(name).unwrap();
        // Asked twice, as of some segments the answer is kept.
        for _ in 0..2 {
            for (values_max, bytes_max) in [(100, usize::MAX), (usize::MAX, 300), (usize::MAX, usize::MAX)] {
                let facet = reader.facet_within(&all(), &field, values_max, bytes_max).unwrap();
                assert!(facet.counts.iter().all(|(value, count)| value.is_some() && *count == each), "{name}");
                let listed = facet.counts.len() as u64;
                assert_eq!(listed * each + facet.others, EVENTS, "{name}");
                let bytes: usize = facet.counts.iter().filter_map(|(value, _)| value.as_ref()).map(String::len).sum();
                assert!(facet.counts.len() <= values_max && bytes <= bytes_max, "{name}: {listed}, {bytes}");
                assert_eq!(facet.summary.incomplete.is_some(), listed < values, "{name}");
                assert_eq!(facet.summary.matched, EVENTS);
                let mut grouping = Grouping::by([name]).unwrap();
                (grouping.groups_max, grouping.key_bytes_max) = (values_max, bytes_max);
                let counted = reader.aggregate(&all(), grouping).unwrap();
                assert!(counted.groups.groups.iter().all(|group| group.tally.events == each), "{name}");
                assert_eq!(counted.groups.groups.len() as u64 * each + counted.groups.others, EVENTS, "{name}");
                assert_eq!(counted.groups.all.unwrap().events, EVENTS);
                assert_eq!(counted.summary.incomplete.is_some(), counted.groups.others > 0, "{name}");
            }
        }
    }
}

#[test]
fn only_what_is_little_of_a_segment_is_remembered() {
    let reader = reader(&store());
    let ask = |name: &str| reader.facet(&all(), &Selector::new(name).unwrap()).unwrap().summary.explain;
    // Of the larger segment there are more sessions than are kept.
    for (name, is_little) in [("session", false), ("actor.id", true)] {
        let before = reader.result_counts().bytes;
        ask(name);
        let again = ask(name);
        let segments = again.segments - again.segments_by_time;
        assert!(segments > 1 && (again.segments_by_result == segments) == is_little, "{name}: {again:?}");
        assert!(reader.result_counts().bytes - before < 1 << 20, "{name}");
    }
    let by = || reader.aggregate(&all(), Grouping::by(["action", "outcome"]).unwrap()).unwrap();
    let first = by();
    let again = by();
    assert_eq!(first.groups, again.groups);
    assert!(again.summary.explain.segments_by_result > 0 && again.summary.explain.rows_read == 0);
    assert!(first.summary.explain.rows_read > 10_000);
}

/// Asks page by page for as many as there are. Gives the events of each page, and the bytes of their records.
fn pages(reader: &Reader) -> Vec<(u64, usize)> {
    let (mut pages, mut before, mut next) = (Vec::new(), None, u64::MAX);
    loop {
        let mut bytes = 0;
        let page = reader
            .latest(&all(), u64::MAX, before.as_ref(), &mut |view| {
                assert!(view.seq < next, "newest first, and none twice");
                next = view.seq;
                bytes += view.record.bytes().len();
                ControlFlow::Continue(())
            })
            .unwrap();
        pages.push((page.shown, bytes));
        before = page.next;
        if before.is_none() {
            return pages;
        }
    }
}

#[test]
fn a_page_has_a_bound_of_events_whatever_is_asked_for() {
    let pages = pages(&reader(&store()));
    assert_eq!(pages.iter().map(|(shown, _)| shown).sum::<u64>(), EVENTS);
    assert!(pages.iter().all(|(shown, _)| *shown <= PAGE_EVENTS_MAX), "{pages:?}");
}

#[test]
fn a_page_has_a_bound_of_bytes_sealed_or_not() {
    const LARGE: u64 = 400;
    let machine = Scenario::sealing(8).machine();
    let store = Store::open_in(config(), machine.world()).unwrap();
    let pad = "0123456789abcdef".repeat(12 << 10);
    for n in 0..LARGE {
        store.append(&Draft::new("door.open").detail("n", n).detail("pad", pad.as_str())).unwrap();
    }
    for _ in 0..2 {
        let pages = pages(&store.reader().unwrap());
        assert_eq!(pages.iter().map(|(shown, _)| shown).sum::<u64>(), LARGE);
        assert!(pages.len() > 2 && pages.iter().all(|(_, bytes)| *bytes <= PAGE_BYTES_MAX + 2 * pad.len()), "{pages:?}");
        store.seal().unwrap();
    }
    store.close().unwrap();
}

#[test]
fn bytes_read_are_those_that_the_disk_handed_out_for_this_question() {
    let machine = store();
    let (watched, world) = Watched::before(machine.world());
    let reader = || Reader::open_in(Scenario::dir(), world.clone()).unwrap();
    let query = |text: &str| Query::new(&text.parse().unwrap(), 0).unwrap();
    let mut alone = HashMap::new();
    for text in
        ["*", "details.n:17", "\"17\"", "actor.id:u-17", "session:session-000000000000000000004711", "NOT details.n:[1 TO 9]"]
    {
        let query = query(text);
        let reader = reader();
        for again in [false, true] {
            let compare = |what: &str, explain: indelible::search::Explain, before: u64| {
                assert_eq!(explain.bytes_read, watched.bytes_read() - before, "{what} {text}, again: {again}");
            };
            let before = watched.bytes_read();
            compare("count", reader.count(&query).unwrap().explain, before);
            let before = watched.bytes_read();
            let latest = reader.latest(&query, 3_000, None, &mut |_| ControlFlow::Continue(())).unwrap();
            compare("latest", latest.explain, before);
            let before = watched.bytes_read();
            compare("search", reader.search(&query, &mut |_| ControlFlow::Continue(())).unwrap().explain, before);
            let before = watched.bytes_read();
            compare("facet", reader.facet(&query, &Selector::new("details.n").unwrap()).unwrap().summary.explain, before);
            let before = watched.bytes_read();
            compare("stats", reader.aggregate(&query, Grouping::by(["action"]).unwrap()).unwrap().summary.explain, before);
        }
        let before = watched.bytes_read();
        let explain = self::reader(&machine).count(&query).unwrap().explain;
        assert_eq!(watched.bytes_read(), before, "that is another disk");
        alone.insert(text, explain);
    }
    assert!(alone["details.n:17"].bytes_read > 30_000, "{alone:?}");
    // Beside each other each counts its own.
    let shared = reader();
    let before = watched.bytes_read();
    let explains: Vec<_> = std::thread::scope(|scope| {
        let ask = |text: &'static str| {
            let (shared, query) = (&shared, query(text));
            scope.spawn(move || shared.count(&query).unwrap().explain)
        };
        let asked: Vec<_> = ["details.n:17", "details.n:18", "\"19\"", "\"20\""].map(ask).into();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let sum: u64 = explains.iter().map(|explain| explain.bytes_read).sum();
    assert_eq!(sum, watched.bytes_read() - before, "{explains:?}");
}

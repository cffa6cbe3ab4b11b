//! What cannot be read is not passed over: no answer says that it is complete without it, and nothing expires by it.

use std::ops::ControlFlow;

use indelible::search::{Grouping, Query, Selector};
use indelible::{Config, Draft, Error, ErrorKind, ExpireOptions, PlanOptions, Reader, Retention, Store};
use indelible_testkit::SimWorld;
use indelible_testkit::parquet::spoil_record;
use indelible_testkit::scenario::Scenario;

const EVENTS: u64 = 600;

fn config() -> Config {
    let mut config = Scenario::config();
    config.sealing.background = false;
    config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 1));
    config
}

/// A store that holds some of its events, all of it sealed; and the position of the entry that says so.
fn held() -> (SimWorld, u64) {
    let machine = Scenario::sealing(8).machine();
    let store = Store::open_in(config(), machine.world()).unwrap();
    for n in 0..EVENTS {
        let actor = format!("u-{}", n % 7);
        store.emit(&Draft::new("door.open").actor(&actor).detail("n", n)).unwrap();
    }
    let entry = store.hold("case 17", "actor.id:u-3", "a court asks").unwrap().entry;
    store.seal().unwrap();
    store.close().unwrap();
    (machine, entry)
}

/// Makes the record at a sealed position one that nobody can read; all checksums are right.
fn spoil(machine: &SimWorld, log: u32, seq: u64) {
    let segments = reader(machine).segments().unwrap();
    let info = segments.iter().find(|info| info.log == log && (info.first_seq..info.end()).contains(&seq)).unwrap();
    let path = Scenario::dir().join("segments").join(&info.file);
    let bad = spoil_record(&machine.disk.contents(&path).unwrap(), seq).unwrap();
    machine.disk.tamper(&path, &bad).unwrap();
}

fn reader(machine: &SimWorld) -> Reader {
    Reader::open_in(Scenario::dir(), machine.world()).unwrap()
}

fn assert_corrupt<T: std::fmt::Debug>(what: &str, answer: Result<T, Error>) {
    match answer {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        Ok(answer) => panic!("{what}: {answer:?}"),
    }
}

#[test]
fn no_answer_is_complete_without_a_row_that_cannot_be_read() {
    let (machine, _) = held();
    spoil(&machine, 1, 4);
    for text in ["*", "actor.id:u-4", "details.n:<10", "NOT actor.id:u-1"] {
        let query = Query::new(&text.parse().unwrap(), 0).unwrap();
        let reader = reader(&machine);
        // Asked twice, as nothing of it may be remembered as an answer.
        for _ in 0..2 {
            assert_corrupt(text, reader.search(&query, &mut |_| ControlFlow::Continue(())));
            assert_corrupt(text, reader.count(&query));
            assert_corrupt(text, reader.latest(&query, EVENTS, None, &mut |_| ControlFlow::Continue(())));
            for field in ["action", "details.n"] {
                assert_corrupt(text, reader.facet(&query, &Selector::new(field).unwrap()));
                assert_corrupt(text, reader.aggregate(&query, Grouping::by([field]).unwrap()));
            }
        }
    }
    assert_corrupt("records", reader(&machine).records(&mut |_| ControlFlow::Continue(())));
    // What does not come by it is answered.
    let other = Query::new(&"actor.id:nobody".parse().unwrap(), 0).unwrap();
    assert_eq!(reader(&machine).count(&other).unwrap().matched, 0);
}

#[test]
fn nothing_expires_while_a_hold_cannot_be_read() {
    let (machine, entry) = held();
    let plan = reader(&machine).plan_expiry(PlanOptions { trust_clock: true }).unwrap();
    assert_eq!(plan.holds.len(), 1);
    // The hold itself, and an entry in front of it.
    for seq in [entry, 1] {
        let (machine, _) = held();
        machine.clock.advance(std::time::Duration::from_secs(40 * 86_400));
        spoil(&machine, 0, seq);
        assert_corrupt("holds", reader(&machine).holds());
        assert_corrupt("plan", reader(&machine).plan_expiry(PlanOptions { trust_clock: true }));
        // Whether the store opens at all, or refuses then: its events stay.
        if let Ok(store) = Store::open_in(config(), machine.world()) {
            let options = ExpireOptions { plan: PlanOptions { trust_clock: true }, ..ExpireOptions::default() };
            assert_corrupt("expire", store.expire(&options));
            assert_corrupt("hold", store.hold("case 18", "", "another"));
            store.close().unwrap();
        }
        assert_eq!(reader(&machine).record(1, 3).unwrap().unwrap().seq, 3);
    }
}

#[test]
fn nothing_expires_by_events_that_cannot_be_read() {
    let (machine, _) = held();
    machine.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    spoil(&machine, 1, 4);
    assert_corrupt("plan", reader(&machine).plan_expiry(PlanOptions { trust_clock: true }));
    let store = Store::open_in(config(), machine.world()).unwrap();
    let options = ExpireOptions { plan: PlanOptions { trust_clock: true }, ..ExpireOptions::default() };
    assert_corrupt("expire", store.expire(&options));
    store.close().unwrap();
    assert!(reader(&machine).expired().unwrap().is_empty());
}

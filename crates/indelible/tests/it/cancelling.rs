//! A question that nobody waits for any more ends soon, whatever it is, and is not taken for an answer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indelible::search::{Filter, Grouping, Interval, Query, Selector};
use indelible::{Draft, ErrorKind, Reader, Result, Store};
use indelible_testkit::scenario::Scenario;
use indelible_testkit::{Fault, OpKind, SimWorld};

const EVENTS: u64 = 24_000;
const SEALED: u64 = 20_000;

/// A store of a dozen segments and a journal behind them.
fn machine() -> SimWorld {
    let machine = Scenario::sealing(1).machine();
    let mut config = Scenario::config();
    config.sealing.rows_max = 2_048;
    let store = Store::open_in(config, machine.world()).unwrap();
    for n in 0..EVENTS {
        let (actor, note) =
            (format!("u-{}", n % 97), format!("note {n} of some length: {:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let draft = Draft::new("file.read").time_ns(1_700_000_000_000_000_000 + n.cast_signed()).actor(&actor);
        assert!(store.emit(&draft.detail("note", note.as_str())).is_ok());
        if (n + 1) % 1_000 == 0 {
            store.flush().unwrap();
        }
        if n + 1 == SEALED {
            store.seal().unwrap();
        }
    }
    assert!(store.reader().unwrap().segments().unwrap().len() >= 8);
    store.close().unwrap();
    machine
}

type Ask = fn(&Reader, &Query) -> Result<u64>;

/// Everything that can be asked, of queries whose answer needs all events: by their columns, by their records, and by neither.
const QUESTIONS: [(&str, &str, Ask); 8] = [
    ("search", "details.note:*some*", search),
    ("search", "*", search),
    ("latest", "details.note:*some*", latest),
    ("count", "details.note:*some*", count),
    ("count", "details.note:*some* OR details.other:1", count),
    ("facet", "*", facet),
    ("stats", "actor.id:u-*", stats),
    ("histogram", "*", histogram),
];

fn search(reader: &Reader, query: &Query) -> Result<u64> {
    reader.search(query, &mut |_| ControlFlow::Continue(())).map(|summary| summary.matched)
}

fn latest(reader: &Reader, query: &Query) -> Result<u64> {
    let (mut shown, mut before) = (0, None);
    loop {
        let page = reader.latest(query, u64::MAX, before.as_ref(), &mut |_| ControlFlow::Continue(()))?;
        shown += page.shown;
        before = page.next;
        if before.is_none() {
            return Ok(shown);
        }
    }
}

fn count(reader: &Reader, query: &Query) -> Result<u64> {
    reader.count(query).map(|summary| summary.matched)
}

fn facet(reader: &Reader, query: &Query) -> Result<u64> {
    reader.facet(query, &Selector::new("details.note").unwrap()).map(|facet| facet.summary.matched)
}

fn stats(reader: &Reader, query: &Query) -> Result<u64> {
    reader.aggregate(query, Grouping::by(["actor.id"]).unwrap()).map(|answer| answer.summary.matched)
}

fn histogram(reader: &Reader, query: &Query) -> Result<u64> {
    let hours = Grouping::by([""; 0]).unwrap().every("1h".parse::<Interval>().unwrap());
    reader.aggregate(query, hours).map(|answer| answer.summary.matched)
}

fn query(text: &str, cancel: &Arc<AtomicBool>) -> Query {
    let mut query = Query::new(&text.parse::<Filter>().unwrap(), 0).unwrap();
    query.cancel = Some(Arc::clone(cancel));
    query
}

/// Reads of these files since the list of calls was begun anew.
fn reads(machine: &SimWorld, part: &str) -> u64 {
    let is_read = |op: &&indelible_testkit::Op| op.kind == OpKind::Read && op.path.to_string_lossy().contains(part);
    machine.disk.ops().iter().filter(is_read).count() as u64
}

/// A reader that knows nothing yet.
fn reader(machine: &SimWorld) -> Reader {
    machine.disk.clear_ops();
    Reader::open_in(Scenario::dir(), machine.world()).unwrap()
}

#[test]
fn every_question_ends_soon_after_it_is_cancelled() {
    let machine = machine();
    for (name, text, ask) in QUESTIONS {
        // As long as it takes when somebody waits.
        let nobody = Arc::new(AtomicBool::new(false));
        let whole = reader(&machine);
        assert_eq!(ask(&whole, &query(text, &nobody)).unwrap(), EVENTS, "{name} {text}");
        let all = reads(&machine, ".parquet");
        assert!(all > 100, "{name} {text}: {all} reads are too few to be cancelled in between");
        for at in [0, all / 4, all / 2] {
            let cancel = Arc::new(AtomicBool::new(false));
            let reader = reader(&machine);
            machine.disk.fault(Fault::raising(OpKind::Read, at, &cancel).on(".parquet"));
            let error = ask(&reader, &query(text, &cancel)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{name} {text}: {error}");
            assert!(cancel.load(Ordering::Relaxed));
            // The blocks that two threads were at, or the segment that was being opened.
            let behind = reads(&machine, ".parquet") - at;
            println!("{name} {text}: {behind} reads behind {at} of {all}");
            assert!(behind <= all / 4, "{name} {text}: {behind} reads behind {at} of {all}");
            // Nothing of it is remembered as an answer.
            cancel.store(false, Ordering::Relaxed);
            assert_eq!(ask(&reader, &query(text, &cancel)).unwrap(), EVENTS, "{name} {text}");
        }
    }
}

#[test]
fn what_is_cancelled_before_it_is_asked_reads_nothing_that_is_sealed() {
    let machine = machine();
    let cancel = Arc::new(AtomicBool::new(true));
    for (name, text, ask) in QUESTIONS {
        let reader = reader(&machine);
        let error = ask(&reader, &query(text, &cancel)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{name} {text}");
        assert_eq!(reads(&machine, ".parquet"), 0, "{name} {text}");
    }
}

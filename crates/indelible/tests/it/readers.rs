//! Readers need no lock and are never alarmed; there is one writer, and the others are told who; a forked copy is none.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indelible::verify::{self, Level};
use indelible::world::World;
use indelible::{Class, Config, Draft, Durability, ErrorKind, LaneConfig, Lanes, Overflow, Reader, Store};
use indelible_testkit::gate::Gate;
use indelible_testkit::process::in_fork;

use crate::tasks::block_on;

pub(crate) fn event(n: u64) -> Draft<'static> {
    Draft::new("widget.polish").actor("alice").detail("n", n)
}

fn count(reader: &Reader) -> u64 {
    let mut events = 0;
    let scan = reader
        .records(&mut |position| {
            events += u64::from(position.log == 1);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(scan.complete, "{scan:?}");
    events
}

#[test]
fn a_reader_beside_a_writer_sees_what_is_acknowledged_and_is_never_alarmed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut config = Config::new(&path);
    config.checkpoint_interval = Duration::from_millis(5);
    config.journal_file_bytes_max = 4 << 20;
    let store = Store::open(config).unwrap();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pad = "x".repeat(2_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            for n in 0.. {
                store.append(&event(n).detail("pad", pad.as_str())).unwrap();
                acknowledged.store(n + 1, Ordering::SeqCst);
                if n > 2_500 || began.elapsed() > Duration::from_secs(8) {
                    break;
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        let (mut looks, mut last) = (0, 0);
        while !over.load(Ordering::SeqCst) || looks < 3 {
            let reader = Reader::open(&path).unwrap();
            let before = acknowledged.load(Ordering::SeqCst);
            let seen = count(&reader);
            assert!(seen >= before.max(last), "acknowledged {before}, seen {seen}, seen earlier {last}");
            last = seen;
            let report = verify::verify(&path, Default::default()).unwrap();
            assert!(report.findings.iter().all(|finding| finding.level == Level::Note), "{:?}", report.findings);
            looks += 1;
        }
    });
    store.close().unwrap();
    assert_eq!(count(&Reader::open(&path).unwrap()), acknowledged.load(Ordering::SeqCst));
}

#[test]
fn a_reader_never_sees_what_is_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (gate, world) = Gate::before(World::real());
    let store = Store::open_in(Config::new(&path), world).unwrap();
    store.append(&event(0)).unwrap();
    gate.shut();
    let ticket = store.emit(&event(1)).unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    while gate.waiting() == 0 {
        assert!(Instant::now() < patience, "no sync began");
        std::thread::yield_now();
    }
    // Written, in the page cache, and not synced.
    assert_eq!(count(&Reader::open(&path).unwrap()), 1);
    assert!(verify::verify(&path, Default::default()).unwrap().ok);
    gate.open();
    ticket.wait().unwrap();
    assert_eq!(count(&Reader::open(&path).unwrap()), 2);
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut config = Config::new(&path);
    config.command = "payroll --night".into();
    let store = Store::open(config).unwrap();
    let refused = || {
        let error = Store::open(Config::new(&path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.hint().is_some());
        error.to_string()
    };
    let told = refused();
    assert!(told.contains("payroll --night") && told.contains(&format!("\"pid\":{}", std::process::id())), "{told}");
    // From another process it is the same.
    let other = in_fork(|| match Store::open(Config::new(&path)) {
        Err(error) if error.kind() == ErrorKind::Locked => 7,
        _ => 1,
    });
    assert_eq!(other.unwrap(), 7);
    store.close().unwrap();
    Store::open(Config::new(&path)).unwrap();
}

#[test]
fn use_after_fork_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::open(Config::new(&path)).unwrap();
    store.append(&event(0)).unwrap();
    let copy = store.clone();
    let code = in_fork(move || {
        let emit = copy.emit(&event(1)).map(drop);
        let flush = copy.flush();
        let refused = |result: indelible::Result<()>| {
            result.is_err_and(|error| error.kind() == ErrorKind::Closed && error.hint().is_some())
        };
        let signed = copy.checkpoint(1).map(drop);
        let all = refused(emit) && refused(flush) && refused(signed) && refused(copy.close().map(drop));
        if all { 7 } else { 1 }
    });
    assert_eq!(code.unwrap(), 7, "the forked copy was not refused");
    // The lock is still the parent's, and it goes on.
    assert_eq!(Store::open(Config::new(&path)).unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(store.append(&event(2)).unwrap().seq, Some(1));
    store.close().unwrap();
    assert!(verify::verify(&path, Default::default()).unwrap().ok);
}

/// What waited in the lanes at the fork is in the copy's memory, too; only the parent may write it.
#[test]
fn a_ticket_from_before_the_fork_writes_nothing_in_the_copy() {
    for durability in [Durability::Immediate, Durability::Batched { events: 1 << 40, interval: Duration::from_secs(3600) }] {
        let dir = tempfile::tempdir().unwrap();
        let (gate, world) = Gate::before(World::real());
        let mut config = Config::new(dir.path().join("store"));
        config.durability = durability;
        let store = Store::open_in(config, world).unwrap();
        // The committer hangs in a sync, so that what comes next is still in its lane.
        gate.shut();
        store.emit(&event(0)).unwrap();
        let ticket = store.emit(&event(1)).unwrap();
        let refused = |error: indelible::Error| error.kind() == ErrorKind::Closed && error.hint().is_some();
        let code = in_fork(|| u8::from(ticket.wait().is_err_and(refused) && block_on(ticket).is_err_and(refused)));
        assert_eq!(code.unwrap(), 1, "{durability:?}: the forked copy was not refused");
        gate.open();
        store.flush().unwrap();
        assert!(ticket.wait().is_ok());
        store.close().unwrap();
        let report = verify::verify(dir.path().join("store"), Default::default()).unwrap();
        assert!(report.ok && report.events == 2, "{report:?}");
    }
}

#[test]
fn dropping_the_store_drains_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for durability in [Durability::Immediate, Durability::Batched { events: 1 << 40, interval: Duration::from_secs(3600) }] {
        let mut config = Config::new(&path);
        config.durability = durability;
        let before = if path.exists() { count(&Reader::open(&path).unwrap()) } else { 0 };
        let store = Store::open(config).unwrap();
        for n in 0..1_000 {
            store.emit(&event(n)).unwrap();
        }
        drop(store);
        assert_eq!(count(&Reader::open(&path).unwrap()), before + 1_000);
    }
}

#[test]
fn batched_events_gather_and_flush_does_not_wait_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.durability = Durability::Batched { events: 100, interval: Duration::from_secs(3600) };
    let store = Store::open(config).unwrap();
    // A hundred make a batch, by themselves.
    let tickets: Vec<_> = (0..100).map(|n| store.emit(&event(n)).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let frames = store.stats().frames;
    for n in 0..10 {
        store.emit(&event(n)).unwrap();
    }
    assert_eq!(store.stats().frames, frames, "ten were not let gather");
    let began = Instant::now();
    store.flush().unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "flush waited for the interval");
    assert_eq!(store.heads()[1].size, 110);
}

/// Whoever completes a batch has it committed, however it came in, and however long others may gather.
#[test]
fn a_batch_is_committed_when_it_is_complete() {
    let open = |events, lanes| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("store"));
        config.durability = Durability::Batched { events, interval: Duration::from_secs(3600) };
        config.lanes = lanes;
        (Store::open(config).unwrap(), dir)
    };
    // By appending, each from its own thread.
    let (store, _dir) = open(8, Lanes::default());
    std::thread::scope(|scope| {
        (0..8).for_each(|n| {
            drop(scope.spawn({
                let store = &store;
                move || store.append(&event(n)).unwrap()
            }))
        })
    });
    // By events of several lanes together.
    let (store, _dir) = open(10, Lanes::default());
    let tickets: Vec<_> =
        (0..10).map(|n| store.emit(&event(n).class(if n % 2 == 0 { Class::Critical } else { Class::Normal })).unwrap()).collect();
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    // By what does not fit into a lane that is less than half full.
    let small = LaneConfig { bytes: 10_000, overflow: Overflow::Block(Duration::from_secs(20)) };
    let (store, _dir) = open(1 << 40, Lanes { normal: small, ..Lanes::default() });
    let first = store.emit(&event(0).detail("text", &*"x".repeat(3_000))).unwrap();
    let second = store.emit(&event(1).detail("text", &*"x".repeat(8_000))).unwrap();
    first.wait().unwrap();
    store.flush().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_timer_closes_an_idle_batch() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.durability = Durability::Batched { events: 1 << 40, interval: Duration::from_millis(20) };
    let store = Store::open(config).unwrap();
    let ticket = store.emit(&event(0)).unwrap();
    assert_eq!(ticket.wait().unwrap().seq, Some(0));
}

#[test]
fn hybrid_commits_critical_events_at_once_and_with_them_all_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.durability = Durability::Hybrid { events: 1 << 40, interval: Duration::from_secs(3600) };
    let store = Store::open(config).unwrap();
    let normal = store.emit(&event(0)).unwrap();
    let receipt = store.append(&event(1).class(Class::Critical)).unwrap();
    assert_eq!(receipt.seq, Some(0), "critical first");
    assert_eq!(normal.wait().unwrap().seq, Some(1));
}

#[test]
fn a_tap_hands_out_committed_events_in_order_and_counts_what_it_could_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path().join("store"))).unwrap();
    let (mut all, mut few) = (store.subscribe(10_000).unwrap(), store.subscribe(10).unwrap());
    for n in 0..500 {
        store.emit(&event(n)).unwrap();
    }
    store.close().unwrap();
    let mut seqs = Vec::new();
    while let Some(event) = all.next_within(Duration::from_secs(5)) {
        assert!(event.record().is_some());
        if event.log == 1 {
            seqs.push(event.seq);
        }
    }
    assert_eq!(seqs, (0..500).collect::<Vec<_>>());
    assert_eq!(all.missed(), 0);
    let mut held = 0;
    while few.next_within(Duration::ZERO).is_some() {
        held += 1;
    }
    // Log 0 has a few entries too.
    assert_eq!(held, 10);
    assert!(few.missed() >= 490);
}

//! Critical events are never dropped or reordered behind normal ones, and nothing is lost silently.

use std::collections::BTreeMap;
use std::time::Duration;

use indelible::format::record::Kind;
use indelible::json::{self, Document};
use indelible::world::World;
use indelible::{Class, Config, Draft, ErrorKind, Idempotence, LaneConfig, Overflow, Producer, Rejection, Store};
use indelible_testkit::check::{Placed, read_store};
use indelible_testkit::gate::Gate;
use indelible_testkit::scenario::{Scenario, chain};
use indelible_testkit::watched::Watched;
use indelible_testkit::{Fault, OpKind, SimWorld, What, errno};

/// A `gap` entry.
#[derive(Debug)]
struct Gap {
    reason: String,
    class: Option<String>,
    count: u64,
    range: Option<(u64, u64)>,
}

fn gaps(journal: &[Placed]) -> Vec<Gap> {
    let mut document = Document::new();
    let mut found = Vec::new();
    for placed in journal {
        let record = placed.record().unwrap();
        if record.kind() != Kind::Control {
            continue;
        }
        let root = document.parse(record.control().unwrap(), &json::Limits::default()).unwrap();
        let text = |key: &str| root.get(key).and_then(|node| node.as_str()).map(String::from);
        let number = |key: &str| root.get(key).and_then(|node| node.as_u64());
        if text("type").as_deref() == Some("gap") {
            let range = number("first_seq").zip(number("last_seq"));
            found.push(Gap { reason: text("reason").unwrap(), class: text("class"), count: number("count").unwrap(), range });
        }
    }
    found
}

/// Every number the store gave out is on an event or in a recorded gap. Returns how many were given out.
fn every_number_is_accounted_for(journal: &[Placed]) -> u64 {
    let gaps = gaps(journal);
    let on_events: BTreeMap<u64, &Placed> =
        journal.iter().filter_map(|placed| Some((placed.record()?.head()?.producer?.seq, placed))).collect();
    let events = journal.iter().filter(|placed| placed.record().is_some_and(|record| record.kind() == Kind::Event)).count();
    assert_eq!(on_events.len(), events, "a number was given twice");
    let highest = on_events.keys().copied().chain(gaps.iter().filter_map(|gap| Some(gap.range?.1))).max().unwrap();
    let covered = |seq: &u64| gaps.iter().any(|gap| gap.range.is_some_and(|(first, last)| (first..=last).contains(seq)));
    let missing: Vec<u64> = (0..=highest).filter(|seq| !on_events.contains_key(seq)).collect();
    assert!(missing.iter().all(covered), "{missing:?} are neither there nor in {gaps:?}");
    let counted: u64 = gaps.iter().filter(|gap| gap.range.is_some()).map(|gap| gap.count).sum();
    assert_eq!(counted, missing.len() as u64, "{gaps:?}");
    highest + 1
}

fn lane(bytes: usize, overflow: Overflow) -> LaneConfig {
    LaneConfig { bytes, overflow }
}

fn critical(n: u64) -> Draft<'static> {
    Draft::new("privilege.escalate").class(Class::Critical).detail("n", n)
}

fn normal(n: u64) -> Draft<'static> {
    Draft::new("file.read").class(Class::Normal).detail("n", n)
}

fn telemetry(n: u64) -> Draft<'static> {
    Draft::new("performance.measure").class(Class::Telemetry).detail("n", n)
}

#[test]
fn critical_events_come_first_in_their_frame() {
    let machine = SimWorld::new(1);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    for n in 0..10 {
        store.emit(&telemetry(n)).unwrap();
        store.emit(&normal(n)).unwrap();
        store.emit(&critical(n)).unwrap();
    }
    store.close().unwrap();
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    let classes: Vec<(u64, Class)> =
        journal.iter().filter_map(|placed| Some((placed.lsn, placed.record()?.head()?.class))).collect();
    assert_eq!(classes.len(), 30);
    assert!(classes.iter().all(|(lsn, _)| *lsn == classes[0].0), "all fit into one frame");
    assert!(classes.is_sorted(), "{classes:?}");
}

#[test]
fn critical_is_never_in_a_later_frame_than_a_normal_event_admitted_after_it() {
    const THREADS: u64 = 4;
    const EVENTS: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::open(Config::new(&path)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for n in 0..EVENTS {
                    let (first, second) = (format!("c-{thread}-{n}"), format!("n-{thread}-{n}"));
                    store.emit(&critical(n).id(&first)).unwrap();
                    let ticket = store.emit(&normal(n).id(&second)).unwrap();
                    if n % 64 == thread {
                        ticket.wait().unwrap();
                    }
                }
            });
        }
    });
    store.close().unwrap();
    let journal = read_store(&World::real(), &path).unwrap();
    let frames: BTreeMap<String, u64> = journal.iter().map(|placed| (placed.id(), placed.lsn)).collect();
    for thread in 0..THREADS {
        for n in 0..EVENTS {
            let (critical, normal) = (frames[&format!("c-{thread}-{n}")], frames[&format!("n-{thread}-{n}")]);
            assert!(critical <= normal, "critical {thread}-{n} is in frame {critical}, the normal event after it in {normal}");
        }
    }
    assert!(frames.values().max() > frames.values().min(), "one frame proves nothing");
    assert_eq!(every_number_is_accounted_for(&journal), 2 * THREADS * EVENTS);
}

#[test]
fn what_is_shed_is_recorded_as_a_gap_with_its_range() {
    let machine = SimWorld::new(2);
    let mut config = Scenario::config();
    config.lanes.telemetry = lane(2_000, Overflow::Shed);
    let store = Store::open_in(config, machine.world()).unwrap();
    let mut shed = 0;
    for n in 0..100 {
        shed += u64::from(store.emit(&telemetry(n)).unwrap().is_shed());
        if n % 30 == 0 {
            store.append(&critical(n)).unwrap();
        }
    }
    assert!(shed > 50, "{shed}");
    assert_eq!(store.stats().lanes[2].shed, shed);
    store.close().unwrap();
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    assert_eq!(every_number_is_accounted_for(&journal), 104);
    let gaps = gaps(&journal);
    assert!(gaps.iter().all(|gap| gap.reason == "shed" && gap.class.as_deref() == Some("telemetry")), "{gaps:?}");
    assert_eq!(gaps.iter().map(|gap| gap.count).sum::<u64>(), shed);
    let report = indelible::verify::verify_in(Scenario::dir(), Default::default(), &machine.world()).unwrap();
    assert!(report.findings.iter().all(|finding| finding.code.name() == "unanchored"), "{:?}", report.findings);
}

/// A request that is repeated is answered with its first receipt; its number is owned up to.
#[test]
fn a_repeated_request_leaves_no_unexplained_gap() {
    let machine = SimWorld::new(3);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    for n in 0..20 {
        let key = format!("key {}", n / 3);
        let receipt = store.append(&normal(n / 3).idempotency_key(&key)).unwrap();
        assert_eq!(receipt.seq, Some(n / 3));
    }
    // The same key for something else is refused, and its number is not there either.
    assert_eq!(store.append(&normal(77).idempotency_key("key 0")).unwrap_err().kind(), ErrorKind::Rejected);
    store.append(&normal(1_000)).unwrap();
    store.close().unwrap();
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    assert_eq!(every_number_is_accounted_for(&journal), 22);
    let report = indelible::verify::verify_in(Scenario::dir(), Default::default(), &machine.world()).unwrap();
    assert!(report.findings.iter().all(|finding| finding.code.name() == "unanchored"), "{:?}", report.findings);
}

/// An event that was turned away has not arrived: when it comes again, under its number and key or corrected, it is recorded, and once.
#[test]
fn a_counted_event_that_was_turned_away_may_come_again() {
    let machine = SimWorld::new(8);
    let mut config = Scenario::config();
    config.sealing.background = false;
    let store = Store::open_in(config, machine.world()).unwrap();
    // As many keys as stay in memory; for the next the index makes a file.
    for n in 0..4_096 {
        let key = format!("key {n}");
        assert!(store.emit(&normal(n).idempotency_key(&key)).is_ok());
        if n % 64 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    machine.disk.fault(Fault::nth(OpKind::Allocate, 0, What::Error(errno::ENOSPC)).on("dedupe").lasting());
    let counted = |seq| Producer { id: "gate", epoch: 1, seq };
    for _ in 0..2 {
        let error = store.append(&normal(5_000).producer(counted(0)).idempotency_key("new")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{}", chain(&error));
        assert!(chain(&error).contains("no storage space") || chain(&error).contains("No space"), "{}", chain(&error));
    }
    machine.disk.heal();
    let receipt = store.append(&normal(5_000).producer(counted(0)).idempotency_key("new")).unwrap();
    assert_eq!((receipt.idempotence, receipt.seq), (Idempotence::New, Some(4_096)));
    // The key of another event is refused; with one of its own it is recorded under the number that it had.
    let error = store.append(&normal(5_001).producer(counted(1)).idempotency_key("new")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let receipt = store.append(&normal(5_001).producer(counted(1)).idempotency_key("newer")).unwrap();
    assert_eq!((receipt.idempotence, receipt.seq), (Idempotence::New, Some(4_097)));
    for (n, key) in [(5_000, "new"), (5_001, "newer")] {
        let again = store.append(&normal(n).producer(counted(n - 5_000)).idempotency_key(key)).unwrap();
        assert_eq!(again.idempotence, Idempotence::Repeated);
    }
    store.close().unwrap();
    let report = indelible::verify::verify_in(Scenario::dir(), Default::default(), &machine.world()).unwrap();
    assert!(report.findings.iter().all(|finding| finding.code.name() == "unanchored"), "{:?}", report.findings);
}

#[test]
fn a_lane_that_rejects_says_busy_at_once_and_a_critical_lane_never_sheds() {
    let machine = SimWorld::new(4);
    let mut config = Scenario::config();
    config.lanes.normal = lane(2_000, Overflow::Reject);
    config.lanes.critical = lane(2_000, Overflow::Shed);
    let store = Store::open_in(config, machine.world()).unwrap();
    for draft in [normal, critical] {
        let mut refused = 0;
        for n in 0..50 {
            match store.emit(&draft(n)) {
                Ok(ticket) => assert!(!ticket.is_shed()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy, "{}", chain(&error));
                    assert!(error.hint().is_some());
                    refused += 1;
                }
            }
        }
        assert!(refused > 20);
    }
    let lanes = store.stats().lanes;
    assert_eq!((lanes[0].pushed + lanes[0].refused, lanes[1].pushed + lanes[1].refused), (50, 50));
    assert_eq!(lanes[0].shed, 0);
    let pushed = lanes[0].pushed + lanes[1].pushed;
    store.close().unwrap();
    // Who was refused was told; no number was given.
    assert_eq!(every_number_is_accounted_for(&read_store(&machine.world(), &Scenario::dir()).unwrap()), pushed);
}

#[test]
fn a_lane_that_blocks_waits_for_room_up_to_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, world) = Gate::before(World::real());
    let mut config = Config::new(dir.path().join("store"));
    config.lanes.normal = lane(4_000, Overflow::Block(Duration::from_millis(50)));
    let store = Store::open_in(config, world).unwrap();
    gate.shut();
    let mut admitted = 0;
    let error = (0..1_000)
        .find_map(|n| match store.emit(&normal(n)) {
            Ok(_) => {
                admitted += 1;
                None
            }
            Err(error) => Some(error),
        })
        .expect("a disk that hangs fills the lane");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(store.stats().lanes[1].blocked > 0);
    // With the disk back there is room again, and everything admitted is recorded.
    gate.open();
    store.append(&normal(admitted)).unwrap();
    store.close().unwrap();
    let journal = read_store(&World::real(), &dir.path().join("store")).unwrap();
    assert_eq!(every_number_is_accounted_for(&journal), admitted + 1);
}

#[test]
fn what_is_refused_at_the_door_is_counted_in_the_log() {
    let machine = SimWorld::new(5);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    for _ in 0..7 {
        let error = store.emit(&Draft::new("no verb")).unwrap_err();
        assert_eq!((error.kind(), error.rejection()), (ErrorKind::Rejected, Some(Rejection::Action)));
    }
    store.append(&normal(0)).unwrap();
    for _ in 0..3 {
        assert!(store.emit(&normal(1).weight(0)).is_err());
    }
    assert_eq!(store.stats().rejected, 10);
    // Nothing follows the last three: closing must not forget them.
    store.close().unwrap();
    let counts: Vec<u64> = gaps(&read_store(&machine.world(), &Scenario::dir()).unwrap())
        .iter()
        .filter(|gap| gap.reason == "rejected")
        .map(|gap| gap.count)
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 10, "{counts:?}");
}

/// The same when nothing else happened between opening and closing.
#[test]
fn refusals_alone_are_worth_a_frame() {
    let machine = SimWorld::new(6);
    Store::open_in(Scenario::config(), machine.world()).unwrap().close().unwrap();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    assert!(store.emit(&Draft::new("no verb")).is_err());
    store.close().unwrap();
    let gaps = gaps(&read_store(&machine.world(), &Scenario::dir()).unwrap());
    assert_eq!(gaps.iter().map(|gap| (gap.reason.as_str(), gap.count)).collect::<Vec<_>>(), [("rejected", 1)]);
}

/// Also where the store makes the id, and so writes into the record once more.
#[test]
fn a_producer_that_counts_by_itself_keeps_its_numbers() {
    let machine = SimWorld::new(6);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    for (nth, seq) in [3, 4, 0, 9].into_iter().enumerate() {
        let receipt = store.append(&normal(0).producer(Producer { id: "gate", epoch: 1, seq })).unwrap();
        assert_eq!(receipt.seq, Some(nth as u64), "number {seq}");
    }
    store.close().unwrap();
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    let head = |placed: &Placed| Some(placed.record()?.head()?.producer?.seq);
    assert_eq!(journal.iter().filter_map(head).collect::<Vec<_>>(), [3, 4, 0, 9]);
}

#[test]
fn nobody_else_numbers_events_in_the_name_of_the_store() {
    let machine = SimWorld::new(5);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    store.append(&normal(0)).unwrap();
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    let (id, epoch) = journal
        .iter()
        .find_map(|placed| placed.record()?.head()?.producer.map(|producer| (producer.id.to_owned(), producer.epoch)))
        .unwrap();
    // Nor in its next lives: else the numbers of the last epoch would be used twice, or none be left.
    for epoch in [epoch, epoch + 1, u64::MAX] {
        let error = store.emit(&normal(1).producer(Producer { id: &id, epoch, seq: 7 })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.hint().is_some());
    }
    assert_eq!(store.stats().rejected, 3);
    store.close().unwrap();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    // What an earlier life of the store recorded may come back, say from an export, and is judged by its number.
    let told = |seq| store.append(&normal(2).producer(Producer { id: &id, epoch, seq })).unwrap().seq;
    assert_eq!((told(0), told(7)), (None, Some(1)));
    assert_eq!(store.append(&normal(3)).unwrap().seq, Some(2));
    store.close().unwrap();
}

/// However many of a frame are waited for, in whatever order: it is not read anew for each of them.
#[test]
fn receipts_of_a_large_batch_read_a_frame_once() {
    const EVENTS: u64 = 12_000;
    let machine = SimWorld::new(7);
    let (watched, world) = Watched::before(machine.world());
    let mut config = Scenario::config();
    config.receipts_remembered = 100;
    let store = Store::open_in(config, world.clone()).unwrap();
    let emit = |n| store.emit(&Draft::new("door.open").time_ns(1).detail("n", n)).unwrap();
    let mut tickets: Vec<_> = (0..EVENTS).map(|n| (n, emit(n))).collect();
    let before = watched.journal_bytes_read();
    let last = tickets.pop().unwrap().1.wait().unwrap();
    let mut receipts = vec![(EVENTS - 1, last)];
    receipts.extend(tickets.into_iter().rev().map(|(n, ticket)| (n, ticket.wait().unwrap())));
    let read = watched.journal_bytes_read() - before;
    assert!((1..3 * EVENTS * 200).contains(&read), "{read} bytes read");
    store.close().unwrap();
    // They are what the log says.
    let journal = read_store(&world, &Scenario::dir()).unwrap();
    for (n, receipt) in receipts {
        assert_eq!((receipt.seq, receipt.tenant_seq), (Some(n), Some(n)));
        let placed = journal.iter().find(|placed| (placed.log, placed.seq) == (1, n)).unwrap();
        assert_eq!(receipt.leaf, Some(placed.leaf), "{n}");
    }
}

//! What readers keep for searching stays below the configured bound, whatever is asked, and is what they say it is.
//!
//! A binary of its own with one test, as its allocator counts the bytes of the whole process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use indelible::search::Query;
use indelible::{Config, Draft, Reader, Store};
use indelible_testkit::alloc::{CountingAllocator, allocated_bytes};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const EVENTS: u64 = 60_000;
const ACTORS: u64 = 12_000;
/// More than there is room to remember the terms of.
const UNSEALED: u64 = 120_000;
const BOUND: usize = 4 << 20;
/// What one open segment may take on top: it takes more as more of it is asked for, and others are closed when the next is asked.
const SEGMENT: usize = 64 << 10;
/// What the allocator does not see as ours, or we do not count: the manifest, names of files, files themselves, what threads keep for the next
/// question (pages as they are stored, decompressors).
const BESIDE: usize = 2 << 20;

fn ask(reader: &Reader, question: &str) -> u64 {
    let query = Query::new(&question.parse().unwrap(), 0).unwrap();
    let latest = reader.latest(&query, 100, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(latest.incomplete, None, "{question}");
    assert_eq!(reader.count(&query).unwrap().matched, latest.shown, "{question}");
    latest.shown
}

#[test]
fn what_searches_keep_is_counted_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    config.sealing.rows_max = 1_024;
    config.search_cache_bytes = BOUND;
    let store = Store::open(config).unwrap();
    for n in 0..EVENTS {
        let actor = format!("somebody-{:08x}", (n % ACTORS).wrapping_mul(0x9e37_79b1));
        let session = format!("session-{:016x}", (n / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let draft = Draft::new(if n % 3 == 0 { "user.login" } else { "data.read" }).actor(&actor).session(&session);
        assert!(store.emit(&draft.target("file", &session).detail("n", n)).is_ok());
        if n == EVENTS - 3_000 {
            store.seal().unwrap();
        }
    }
    store.flush().unwrap();
    let reader = store.reader().unwrap();
    let segments = reader.segments().unwrap().len();
    assert!(segments >= 50, "{segments}");
    // Threads and what they keep are there before anything is counted.
    assert_eq!(ask(&store.reader().unwrap(), "details.n:17"), 1);

    let before = (allocated_bytes(), reader.search_memory().total());
    let (mut rng, mut closed) = (fastrand::Rng::with_seed(7), 0);
    for round in 0..300 {
        let n = rng.u64(..EVENTS);
        let actor = format!("actor.id:somebody-{:08x}", (n % ACTORS).wrapping_mul(0x9e37_79b1));
        assert_eq!(ask(&reader, &actor), EVENTS / ACTORS, "{actor}");
        let session = format!("session:session-{:016x}", (n / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert_eq!(ask(&reader, &session), 3, "{session}");
        let memory = reader.search_memory();
        assert!(memory.total() <= BOUND + SEGMENT, "round {round}: {memory:?}");
        closed += usize::from(memory.segments_open < segments);
        let held = allocated_bytes().saturating_sub(before.0);
        let said = memory.total().saturating_sub(before.1);
        let off = held.abs_diff(said);
        assert!(off <= said / 4 + BESIDE, "round {round}: {held} bytes were allocated, {said} are said to be held: {memory:?}");
    }
    let memory = reader.search_memory();
    assert!(closed > 0 && memory.pages > BOUND / 4 && memory.segments > 0 && memory.unsealed > 0, "{closed}, {memory:?}");

    // What is not sealed takes from the pages what it needs, and no more than its own bound.
    let pages = memory.pages;
    let mut ids = Vec::new();
    for n in 0..UNSEALED {
        let session = format!("late-{n}");
        let id = format!("0192f0c1-{:04x}-7000-8000-{n:012x}", n / 4_096);
        let actor = format!("late-{}", n % 7_000);
        let draft = Draft::new("user.logout").id(&id).actor(&actor).session(&session).detail("n", n);
        assert!(store.emit(&draft.target("file", &session)).is_ok());
        if n % 10_007 == 0 {
            ids.push(id);
        }
        if n % 10_000 == 0 {
            store.flush().unwrap();
            assert_eq!(ask(&reader, &format!("session:late-{}", n / 2)), 1);
            let memory = reader.search_memory();
            assert!(memory.total() <= BOUND + SEGMENT, "{n}: {memory:?}");
        }
    }
    store.flush().unwrap();
    assert_eq!(ask(&reader, "session:late-0"), 1);
    let memory = reader.search_memory();
    assert!(memory.pages < pages && memory.unsealed > BOUND / 2, "{pages}, {memory:?}");
    // Where the terms are forgotten, the least and the greatest id are not: its block is looked at, and the one that also has ids of
    // the first events.
    for id in ids {
        let query = Query::new(&format!("id:{id}").parse().unwrap(), 0).unwrap();
        let latest = reader.latest(&query, 1, None, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(latest.shown == 1 && latest.explain.tail_records <= 2 * 1_024, "{id}: {:?}", latest.explain);
    }
    assert_eq!(ask(&reader, "actor.id:late-17"), UNSEALED.div_ceil(7_000));
    // Sealed, it gives all of that back.
    store.seal().unwrap();
    assert_eq!(ask(&reader, "session:late-4711"), 1);
    let memory = reader.search_memory();
    assert!(memory.unsealed < BOUND / 16 && memory.total() <= BOUND + SEGMENT, "{memory:?}");
    store.close().unwrap();
}

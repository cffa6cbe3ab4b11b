//! What sealing and a page of an answer need of memory is bounded, however large events are and however much is sealed already.
//!
//! A binary of its own with one test, as its allocator counts the bytes of the whole process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use indelible::search::Query;
use indelible::verify::{self, Options};
use indelible::{Config, Draft, ExpireOptions, Retention, Store};
use indelible_testkit::alloc::{CountingAllocator, allocated_bytes, forget_peak, peak_bytes};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const BOUND: usize = 16 << 20;
/// The frame that is read, what of a group waits to be hashed, and rows that are compared: as they are stored, as a page, and as records.
const BESIDE: usize = 40 << 20;

/// A page of an answer that two threads read, 32 MiB each at most, what each has on the way of one segment, as its page and row by row, and
/// the pages that are kept.
const PAGING: usize = (2 * (32 + 48) + 8) << 20;

/// Text that does not compress, or that does nothing else.
fn text(rng: &mut fastrand::Rng, bytes: usize, is_random: bool) -> String {
    let mut text = vec![0; bytes];
    if is_random {
        rng.fill(&mut text);
    }
    // Printable, and neither quote nor backslash.
    text.iter_mut().for_each(|byte| *byte = b'#' + *byte % 57);
    String::from_utf8(text).unwrap()
}

fn peak_of(work: impl FnOnce()) -> usize {
    let before = allocated_bytes();
    forget_peak();
    work();
    peak_bytes() - before
}

#[test]
fn large_events_take_no_more_memory_than_its_bound() {
    sealing();
    paging();
}

/// Hundreds of large events are asked for at once.
fn paging() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    config.search_cache_bytes = 8 << 20;
    let store = Store::open(config).unwrap();
    let text = text(&mut fastrand::Rng::with_seed(4), 400_000, false);
    for nth in 0..600 {
        assert!(store.emit(&Draft::new("file.read").detail("text", text.as_str()).detail("nth", nth)).is_ok());
    }
    store.flush().unwrap();
    store.seal().unwrap();
    let reader = store.reader().unwrap();
    let (mut before, mut shown) = (None, 0);
    loop {
        let peak = peak_of(|| {
            let query = Query::new(&"*".parse().unwrap(), 0).unwrap();
            let page = reader.latest(&query, 512, before.as_ref(), &mut |_| ControlFlow::Continue(())).unwrap();
            (shown, before) = (shown + page.shown, page.next);
        });
        assert!(peak <= PAGING, "after {shown} events {peak} bytes");
        if before.is_none() {
            break;
        }
    }
    assert_eq!(shown, 600);
}

fn sealing() {
    for (events, bytes, is_random) in [(400, 75_000, true), (100, 700_000, false), (60, 700_000, true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let mut config = Config::new(&path);
        config.sealing.background = false;
        config.sealing.memory_bytes_max = BOUND;
        config.search_cache_bytes = 8 << 20;
        config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 1));
        let store = Store::open(config).unwrap();
        let mut rng = fastrand::Rng::with_seed(3);
        let mut peaks = Vec::new();
        for _ in 0..4 {
            for nth in 0..events {
                let text = text(&mut rng, bytes, is_random);
                assert!(store.emit(&Draft::new("file.read").detail("text", text.as_str()).detail("nth", nth)).is_ok());
            }
            store.flush().unwrap();
            peaks.push(peak_of(|| {
                let sealed = store.seal().unwrap();
                assert!(sealed.records >= events, "{sealed:?}");
            }));
        }
        let story = format!("{events} events of {bytes} bytes, {peaks:?}");
        assert!(peaks.iter().all(|peak| *peak <= BOUND + BESIDE), "{story}");
        // Nothing is old enough, but everything is looked at.
        let expiring = peak_of(|| drop(store.expire(&ExpireOptions::default()).unwrap()));
        assert!(expiring <= BOUND + BESIDE, "{story}: {expiring}");
        store.close().unwrap();
        let report = verify::verify(&path, Options::default()).unwrap();
        assert!(report.ok, "{story}: {:?}", report.findings);
    }
}

//! The emitting thread allocates nothing per event once it is warm.

use std::time::Duration;

use indelible::{Class, Config, Draft, Durability, Outcome, Store, taxonomy};
use indelible_testkit::alloc::{CountingAllocator, allocations_of_this_thread};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn login(n: u64) -> Draft<'static> {
    let draft =
        Draft::new(taxonomy::USER_LOGIN).actor("alice").actor_email("alice@example.com").session("0f8fad5b").ip("203.0.113.7");
    let draft =
        draft.user_agent("Mozilla/5.0 (X11; Linux x86_64)").host("bastion-7").target("repo", "42").outcome(Outcome::Success);
    draft.detail("reason", "ok").detail("attempt", n).detail("mfa", true).detail("latency", 0.25)
}

#[test]
fn the_allocator_counts() {
    let before = allocations_of_this_thread();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(10)));
    assert_eq!(allocations_of_this_thread(), before + 1);
}

#[test]
fn emitting_allocates_nothing_after_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    // The committer must not hand a lane a buffer of another size in the middle of the count: batches are closed by flush.
    config.durability = Durability::Batched { events: 1 << 40, interval: Duration::from_secs(3600) };
    let store = Store::open(config).unwrap();
    for class in [Class::Critical, Class::Normal, Class::Telemetry] {
        // Every buffer of the lane's pool has been in use once.
        for _ in 0..4 {
            for n in 0..50 {
                store.emit(&login(n).class(class)).unwrap();
            }
            store.flush().unwrap();
        }
        let before = allocations_of_this_thread();
        for n in 0..1_000 {
            store.emit(&login(n).class(class)).unwrap();
        }
        assert_eq!(allocations_of_this_thread() - before, 0, "{}", class.name());
        store.flush().unwrap();
    }
}

#[test]
fn a_disabled_store_allocates_nothing() {
    let store = Store::disabled();
    let before = allocations_of_this_thread();
    for n in 0..1_000 {
        store.emit(&login(n)).unwrap();
    }
    assert_eq!(allocations_of_this_thread(), before);
}

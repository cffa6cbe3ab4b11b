//! Clock and entropy, and all parts behind one door.

use std::time::Duration;

use super::*;
use crate::{SimClock, SimWorld};

#[test]
fn time_stands_still_until_it_is_moved() {
    let clock = SimClock::new();
    assert_eq!((clock.wall_ns(), clock.monotonic_ns()), (SimClock::START_WALL_NS, 0));
    clock.advance(Duration::from_millis(3));
    assert_eq!((clock.wall_ns(), clock.monotonic_ns()), (SimClock::START_WALL_NS + 3_000_000, 3_000_000));
    clock.set_wall_ns(-5);
    assert_eq!((clock.wall_ns(), clock.monotonic_ns()), (-5, 3_000_000));
    clock.advance(Duration::MAX);
    assert_eq!((clock.wall_ns(), clock.monotonic_ns()), (i64::MAX - 5, u64::MAX));
}

#[test]
fn the_engine_sees_what_the_test_does() {
    let sim = SimWorld::new(3);
    let world = sim.world();
    sim.clock.advance(Duration::from_secs(1));
    assert_eq!(world.clock.monotonic_ns(), 1_000_000_000);
    world.disk.open(p("/a"), Open::CreateNew).unwrap();
    assert!(sim.disk.exists(p("/a")));

    let mut bytes = [[0; 40]; 3];
    world.entropy.fill(&mut bytes[0]).unwrap();
    sim.entropy.fill(&mut bytes[1]).unwrap();
    SimWorld::new(3).entropy.fill(&mut bytes[2]).unwrap();
    assert_ne!(bytes[0], bytes[1], "one stream, drawn from in turn");
    assert_eq!(bytes[0], bytes[2], "the same seed, the same stream");
    sim.entropy.set_broken(true);
    assert!(world.entropy.fill(&mut bytes[0]).is_err());
    sim.entropy.set_broken(false);
    assert!(world.entropy.fill(&mut bytes[0]).is_ok());
}

//! Time as a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use indelible::world::Clock;

/// A clock that stands still until the test moves it. Clones are the same clock.
///
/// Monotonic time only moves forward, with [`SimClock::advance`]; wall time may also jump, as real ones do.
#[derive(Debug, Clone)]
pub struct SimClock {
    hands: Arc<Hands>,
}

#[derive(Debug)]
struct Hands {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl SimClock {
    /// 2026-01-01T00:00:00Z, where every simulated clock begins.
    pub const START_WALL_NS: i64 = 1_767_225_600_000_000_000;

    /// A clock at [`SimClock::START_WALL_NS`], monotonic time 0.
    #[must_use]
    pub fn new() -> Self {
        let hands = Hands { wall_ns: AtomicI64::new(Self::START_WALL_NS), monotonic_ns: AtomicU64::new(0) };
        Self { hands: Arc::new(hands) }
    }

    /// Lets time pass: both clocks move on by `by`. Saturates where nanoseconds no longer fit.
    pub fn advance(&self, by: Duration) {
        let unsigned = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let signed = i64::try_from(unsigned).unwrap_or(i64::MAX);
        // One thread at a time moves a simulated clock; readers may see the two hands move one after the other.
        self.hands.monotonic_ns.store(self.monotonic_ns().saturating_add(unsigned), Ordering::SeqCst);
        self.hands.wall_ns.store(self.wall_ns().saturating_add(signed), Ordering::SeqCst);
    }

    /// Sets wall time, forward or back, as an operator or NTP would. Monotonic time does not notice.
    pub fn set_wall_ns(&self, wall_ns: i64) {
        self.hands.wall_ns.store(wall_ns, Ordering::SeqCst);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        self.hands.wall_ns.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.hands.monotonic_ns.load(Ordering::SeqCst)
    }
}

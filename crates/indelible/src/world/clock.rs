//! The machine's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Clock;

/// Wall time from the system clock, monotonic time counted from when this value was made.
///
/// **Cost**: one `clock_gettime` through the vDSO per reading; no system call, no allocation.
#[derive(Debug, Clone)]
pub struct RealClock {
    base: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self { base: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn wall_ns(&self) -> i64 {
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => nanoseconds(since.as_secs(), since.subsec_nanos()),
            // A machine without a battery may wake up before 1970: that is a wrong time, not a reason to stop.
            Err(before) => {
                let until = before.duration();
                nanoseconds(until.as_secs(), until.subsec_nanos()).saturating_neg()
            }
        }
    }

    fn monotonic_ns(&self) -> u64 {
        let elapsed = self.base.elapsed();
        elapsed.as_secs().saturating_mul(NS_PER_S).saturating_add(u64::from(elapsed.subsec_nanos()))
    }
}

/// Saturates in the year 2262, where 64-bit nanoseconds end.
fn nanoseconds(seconds: u64, rest: u32) -> i64 {
    let total = seconds.saturating_mul(NS_PER_S).saturating_add(u64::from(rest));
    i64::try_from(total).unwrap_or(i64::MAX)
}

const NS_PER_S: u64 = 1_000_000_000;

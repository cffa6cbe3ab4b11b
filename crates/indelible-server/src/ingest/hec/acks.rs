//! `ackId`s: what was said to be a success is durable, so that every id that was given out is acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ids that increase, each given out once: a channel keeps what waits for its acknowledgement by them.
#[derive(Debug)]
pub(super) struct Acks(AtomicU64);

impl Acks {
    /// Begins with the µs since 1970, so that ids from before a restart are smaller, and still acknowledged. They stay within what every JSON
    /// reader takes for a whole number.
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(AtomicU64::new(u64::try_from(since.as_micros()).unwrap_or_default()))
    }

    pub(super) fn give(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn was_given(&self, id: u64) -> bool {
        id < self.0.load(Ordering::Relaxed)
    }
}

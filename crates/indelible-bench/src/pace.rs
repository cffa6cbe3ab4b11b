//! Producers of a given rate: what an application does that has so many events, no matter how fast the log is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indelible::Store;

use crate::Result;
use crate::zipf::Zipf;

/// Events between two looks at the clock.
const CHUNK_EVENTS: u64 = 64;
/// A producer that is ahead by less goes on: sleeping for less is not exact.
const AHEAD_MIN: Duration = Duration::from_millis(1);

/// What is emitted, and how fast.
pub(crate) struct Pace<'p> {
    pub(crate) zipf: &'p Zipf,
    /// The number of the next event; producers take them in chunks.
    pub(crate) next: AtomicU64,
    /// Events per second of all producers together; 0: as many as the store takes.
    pub(crate) rate: f64,
    pub(crate) stop: AtomicBool,
}

impl<'p> Pace<'p> {
    pub(crate) const fn new(zipf: &'p Zipf, first: u64, rate: f64) -> Self {
        Self { zipf, next: AtomicU64::new(first), rate, stop: AtomicBool::new(false) }
    }

    /// Emits until told to stop. A producer that fell behind catches up without a pause.
    pub(crate) fn produce(&self, store: &Store, started: Instant, first: u64) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let chunk = self.next.fetch_add(CHUNK_EVENTS, Ordering::Relaxed);
            if self.rate > 0.0 {
                let due = Duration::from_secs_f64((chunk - first) as f64 / self.rate);
                let ahead = due.saturating_sub(started.elapsed());
                if ahead >= AHEAD_MIN {
                    thread::sleep(ahead);
                }
            }
            for nth in chunk..chunk + CHUNK_EVENTS {
                store.emit(&self.zipf.at(nth).draft())?;
            }
        }
        Ok(())
    }
}

//! What layers have in common: they offer, never wait, count what is refused, and do not hear themselves.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use indelible_format::Draft;
use indelible_format::sink::{Refusal, Sink};

thread_local! {
    static OFFERING: Cell<bool> = const { Cell::new(false) };
}

/// What a layer has done; shared with whoever asked the layer for it.
#[derive(Debug, Default)]
pub struct LayerCounts {
    taken: AtomicU64,
    rejected: AtomicU64,
    full: AtomicU64,
    stopped: AtomicU64,
}

impl LayerCounts {
    /// Events that were handed over.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Events that cannot be recorded as they are: a malformed action, a text that is too long.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Events for which there was no room. They are not recorded: a layer does not wait.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Events that came after the sink was closed.
    #[must_use]
    pub fn stopped(&self) -> u64 {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Offers `draft` and counts what became of it.
    pub(crate) fn offer(&self, sink: &impl Sink, draft: &Draft<'_>) {
        let Some(_guard) = Offering::begin() else { return };
        let count = match sink.offer(draft) {
            Ok(()) => &self.taken,
            Err(Refusal::Rejected) => &self.rejected,
            Err(Refusal::Full) => &self.full,
            Err(_) => &self.stopped,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// While it lives, this thread is inside of a sink: what is logged there is not for the sink.
struct Offering;

impl Offering {
    fn begin() -> Option<Self> {
        (!OFFERING.replace(true)).then_some(Self)
    }
}

impl Drop for Offering {
    fn drop(&mut self) {
        OFFERING.set(false);
    }
}

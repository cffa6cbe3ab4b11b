//! Taps: bounded streams of committed events for subscribers in this process.
//!
//! A tap never slows the commit path: a frame is handed over whole, with one copy, and a subscriber takes all that waits at once. When its
//! queue is full the newest events are dropped from it, counted, and can be read from the store.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use indelible_format::{Record, record};
use parking_lot::{Condvar, Mutex};

use crate::commit::builder::Batch;

/// A committed event, as a tap hands it out.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Which log.
    pub log: u32,
    /// Position in the log.
    pub seq: u64,
    /// All records of a frame that were recorded in a row.
    bytes: Arc<[u8]>,
    place: Range<usize>,
}

impl Committed {
    /// The record.
    #[must_use]
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(self.bytes.get(self.place.clone())?)
    }
}

/// A subscription.
pub struct Tap {
    queue: Arc<Queue>,
    /// Taken from the queue, not yet handed out.
    taken: VecDeque<Committed>,
}

struct Queue {
    events: Mutex<VecDeque<Committed>>,
    arrived: Condvar,
    capacity: usize,
    missed: AtomicU64,
    closed: AtomicBool,
}

impl Tap {
    /// The next event in the order of commits, durable already; `None` after `timeout`, or when the store was closed and everything was
    /// handed out.
    #[must_use]
    pub fn next_within(&mut self, timeout: Duration) -> Option<Committed> {
        if self.taken.is_empty() {
            let mut events = self.queue.events.lock();
            if events.is_empty() && !self.queue.closed.load(Ordering::Acquire) {
                let _ = self.queue.arrived.wait_for(&mut events, timeout);
            }
            // Two buffers that take turns: neither is allocated anew.
            std::mem::swap(&mut *events, &mut self.taken);
        }
        self.taken.pop_front()
    }

    /// How many events did not fit into the queue.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.queue.missed.load(Ordering::Relaxed)
    }
}

/// All subscriptions of a store.
#[derive(Default)]
pub(crate) struct Taps {
    any: AtomicBool,
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl Taps {
    pub(crate) fn subscribe(&self, capacity: usize) -> Tap {
        let queue = Arc::new(Queue {
            events: Mutex::new(VecDeque::new()),
            arrived: Condvar::new(),
            capacity: capacity.max(1),
            missed: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        self.queues.lock().push(Arc::downgrade(&queue));
        self.any.store(true, Ordering::Release);
        Tap { queue, taken: VecDeque::new() }
    }

    /// Hands a durable batch to all subscribers. Costs one load when there is none.
    pub(crate) fn publish(&self, batch: &Batch) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        self.any.store(!queues.is_empty(), Ordering::Release);
        let live: Vec<Arc<Queue>> = queues.iter().filter_map(Weak::upgrade).collect();
        drop(queues);
        if live.is_empty() {
            return;
        }
        let events = committed(batch);
        live.iter().for_each(|queue| queue.push(&events));
    }

    pub(crate) fn close(&self) {
        for queue in self.queues.lock().iter().filter_map(Weak::upgrade) {
            // Under the lock: else who just found it open and empty would sleep through this.
            let events = queue.events.lock();
            queue.closed.store(true, Ordering::Release);
            drop(events);
            queue.arrived.notify_all();
        }
    }
}

/// The records of a batch, in order.
fn committed(batch: &Batch) -> Vec<Committed> {
    let mut next: Vec<(u32, u64)> = batch.first_seqs();
    let mut events = Vec::with_capacity(usize::try_from(batch.records).unwrap_or_default());
    for part in batch.parts().into_iter().skip(1).filter(|part| !part.is_empty()) {
        let bytes: Arc<[u8]> = part.into();
        let mut at = 0;
        while let Some((length, log)) = part.get(at..).and_then(record::measure) {
            let place = at..at + length;
            at = place.end;
            let Some((_, next)) = next.iter_mut().find(|(known, _)| *known == log) else { continue };
            events.push(Committed { log, seq: *next, bytes: Arc::clone(&bytes), place });
            *next += 1;
        }
    }
    events
}

impl Queue {
    fn push(&self, events: &[Committed]) {
        let mut waiting = self.events.lock();
        let room = self.capacity.saturating_sub(waiting.len()).min(events.len());
        waiting.extend(events.iter().take(room).cloned());
        drop(waiting);
        let missed = (events.len() - room) as u64;
        if missed > 0 {
            self.missed.fetch_add(missed, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }
}

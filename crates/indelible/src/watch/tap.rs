//! Taps: bounded streams of committed events for subscribers in this process.
//!
//! A tap never slows the commit path: when its queue is full the newest events are dropped from it, counted, and can be read
//! from the store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use indelible_format::Record;
use parking_lot::{Condvar, Mutex};

use crate::commit::builder::Batch;

/// A committed event, as a tap hands it out.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Which log.
    pub log: u32,
    /// Position in the log.
    pub seq: u64,
    bytes: Arc<[u8]>,
}

impl Committed {
    /// The record.
    #[must_use]
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.bytes)
    }
}

/// A subscription. Events come in commit order, once they are durable.
pub struct Tap {
    queue: Arc<Queue>,
}

struct Queue {
    events: Mutex<VecDeque<Committed>>,
    arrived: Condvar,
    capacity: usize,
    missed: AtomicU64,
    closed: AtomicBool,
}

impl Tap {
    /// The next event, or `None` after `timeout` or when the store was closed and everything was handed out.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<Committed> {
        let mut events = self.queue.events.lock();
        if events.is_empty() && !self.queue.closed.load(Ordering::Acquire) {
            let _ = self.queue.arrived.wait_for(&mut events, timeout);
        }
        events.pop_front()
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
        Tap { queue }
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
        let mut next: Vec<(u32, u64)> = batch.first_seqs();
        for part in batch.parts().into_iter().skip(1) {
            for record in indelible_format::record::Records::new(part) {
                let Some((log, seq)) = next.iter_mut().find(|(log, _)| *log == record.log()) else { continue };
                let event = Committed { log: *log, seq: *seq, bytes: record.bytes().into() };
                *seq += 1;
                live.iter().for_each(|queue| queue.push(event.clone()));
            }
        }
    }

    pub(crate) fn close(&self) {
        for queue in self.queues.lock().iter().filter_map(Weak::upgrade) {
            queue.closed.store(true, Ordering::Release);
            queue.arrived.notify_all();
        }
    }
}

impl Queue {
    fn push(&self, event: Committed) {
        let mut events = self.events.lock();
        if events.len() >= self.capacity {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        events.push_back(event);
        self.arrived.notify_one();
    }
}

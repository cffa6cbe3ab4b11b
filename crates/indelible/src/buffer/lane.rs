//! A lane: a byte buffer that callers append records to and the committer takes whole.
//!
//! A mutex around a plain `Vec<u8>` that is swapped against an empty one beats every channel measured here: the critical section
//! is one memcpy, nothing is allocated per event, and the buffer goes to disk as it is.
//!
//! Positions count the records ever pushed into the lane; a ticket is a position. `producer_seq` is shared by the three
//! lanes and only advanced under a lane's lock, after there is room: what gets a number is in a lane, or is a recorded loss.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indelible_format::{Class, record};
use parking_lot::{Condvar, Mutex};

use crate::config::{LaneConfig, Overflow};

/// Buffers kept for reuse: one is filled while one is hashed and one is synced.
const SPARE_BUFFERS: usize = 2;
/// Ranges of lost events kept apart; more are merged into the last one.
const LOSSES_MAX: usize = 64;

pub(crate) struct Lane {
    class: Class,
    config: LaneConfig,
    inner: Mutex<Inner>,
    space: Condvar,
    // Mirrors of what is in `inner`, for those who only want to know whether it is worth locking.
    pending_bytes: AtomicUsize,
    pending_records: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    buffer: Vec<u8>,
    spare: Vec<Vec<u8>>,
    records: u64,
    next_position: u64,
    waiting: usize,
    losses: Vec<Loss>,
    stats: LaneStats,
}

/// Counters of one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Bytes waiting now.
    pub bytes: usize,
    /// Bytes that may wait.
    pub capacity: usize,
    /// Most bytes that ever waited.
    pub bytes_high_water: usize,
    /// Events pushed.
    pub pushed: u64,
    /// Events shed and recorded as lost.
    pub shed: u64,
    /// Callers that had to wait for room.
    pub blocked: u64,
    /// Callers that were refused.
    pub refused: u64,
    /// Buffers taken from the pool.
    pub buffers_reused: u64,
    /// Buffers that had to be allocated because the pool was empty.
    pub buffers_allocated: u64,
}

/// What the committer took from a lane.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) buffer: Vec<u8>,
    pub(crate) first_position: u64,
    pub(crate) records: u64,
}

/// A range of events that were shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) count: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// What a caller learns about a full lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full {
    pub(crate) bytes: usize,
    pub(crate) capacity: usize,
}

/// What is stamped into a record under the lane's lock.
pub(crate) struct Local<'a> {
    /// The store's own producer count.
    pub(crate) producer_seq: &'a AtomicU64,
    /// Whether the record carries the store's own producer.
    pub(crate) stamp_producer: bool,
    /// Key of the random bits of ids; `None` when the caller gave an id.
    pub(crate) id_key: Option<u64>,
}

impl Lane {
    pub(crate) fn new(class: Class, config: LaneConfig) -> Self {
        Self {
            class,
            config,
            inner: Mutex::new(Inner::default()),
            space: Condvar::new(),
            pending_bytes: AtomicUsize::new(0),
            pending_records: AtomicUsize::new(0),
        }
    }

    pub(crate) const fn class(&self) -> Class {
        self.class
    }

    pub(crate) const fn overflow(&self) -> Overflow {
        match (self.class, self.config.overflow) {
            (Class::Critical, Overflow::Shed) => Overflow::Reject,
            (_, overflow) => overflow,
        }
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn pending_records(&self) -> usize {
        self.pending_records.load(Ordering::Relaxed)
    }

    /// Appends a record and returns its position. A record larger than the lane is let in when the lane is empty.
    ///
    /// **Cost**: one uncontended lock and one memcpy.
    #[inline]
    pub(crate) fn push(&self, record: &[u8], local: &Local<'_>) -> Result<u64, Full> {
        let mut inner = self.inner.lock();
        let at = inner.buffer.len();
        if at + record.len() > self.config.bytes && at > 0 {
            return Err(Full { bytes: at, capacity: self.config.bytes });
        }
        if inner.buffer.capacity() == 0 {
            // Reserved whole at first use, so that a lane that fills up never moves its bytes.
            inner.buffer.reserve_exact(self.config.bytes);
        }
        inner.buffer.extend_from_slice(record);
        if local.stamp_producer || local.id_key.is_some() {
            let seq = local.producer_seq.fetch_add(u64::from(local.stamp_producer), Ordering::Relaxed);
            let position = inner.next_position;
            if let Some(record) = inner.buffer.get_mut(at..) {
                let random = local.id_key.map(|key| random_bits(key ^ u64::from(self.class.byte()) << 56, position));
                record::set_local(record, if local.stamp_producer { seq } else { 0 }, random);
            }
        }
        let position = inner.next_position;
        inner.next_position += 1;
        inner.records += 1;
        self.pending_bytes.store(inner.buffer.len(), Ordering::Relaxed);
        self.pending_records.store(usize::try_from(inner.records).unwrap_or(usize::MAX), Ordering::Relaxed);
        Ok(position)
    }

    /// Waits until something was taken from the lane, or `timeout` has passed.
    pub(crate) fn wait_for_space(&self, timeout: Duration) {
        let mut inner = self.inner.lock();
        if inner.buffer.is_empty() {
            return;
        }
        inner.waiting += 1;
        inner.stats.blocked += 1;
        let deadline = Instant::now() + timeout;
        let _ = self.space.wait_until(&mut inner, deadline);
        inner.waiting -= 1;
    }

    /// Records that one event was shed; it gets a producer number, so that the gap can be named.
    pub(crate) fn shed(&self, producer_seq: &AtomicU64) {
        let mut inner = self.inner.lock();
        let seq = producer_seq.fetch_add(1, Ordering::Relaxed);
        inner.stats.shed += 1;
        let merge = inner.losses.len() >= LOSSES_MAX;
        match inner.losses.last_mut() {
            Some(last) if merge || last.last_seq + 1 == seq => {
                last.count += 1;
                last.last_seq = seq;
            }
            _ => inner.losses.push(Loss { count: 1, first_seq: seq, last_seq: seq }),
        }
    }

    pub(crate) fn count_refused(&self) {
        self.inner.lock().stats.refused += 1;
    }

    /// Takes everything that waits. The emptied buffer comes back by [`Lane::give_back`].
    pub(crate) fn take(&self) -> Taken {
        if self.pending_records() == 0 {
            return Taken::default();
        }
        let mut inner = self.inner.lock();
        let fresh = if let Some(spare) = inner.spare.pop() {
            inner.stats.buffers_reused += 1;
            spare
        } else {
            inner.stats.buffers_allocated += 1;
            Vec::new()
        };
        let buffer = std::mem::replace(&mut inner.buffer, fresh);
        let records = std::mem::take(&mut inner.records);
        inner.stats.pushed += records;
        inner.stats.bytes_high_water = inner.stats.bytes_high_water.max(buffer.len());
        self.pending_bytes.store(0, Ordering::Relaxed);
        self.pending_records.store(0, Ordering::Relaxed);
        if inner.waiting > 0 {
            self.space.notify_all();
        }
        Taken { buffer, first_position: inner.next_position - records, records }
    }

    /// Returns a buffer to the pool.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        // A buffer that grew for one large event is let go, so that memory stays what the configuration says.
        if buffer.capacity() == 0 || buffer.capacity() > self.config.bytes {
            return;
        }
        buffer.clear();
        let mut inner = self.inner.lock();
        if inner.spare.len() < SPARE_BUFFERS {
            inner.spare.push(buffer);
        }
    }

    pub(crate) fn take_losses(&self) -> Vec<Loss> {
        std::mem::take(&mut self.inner.lock().losses)
    }

    /// Position the next record will get: everything below it has been pushed.
    pub(crate) fn next_position(&self) -> u64 {
        self.inner.lock().next_position
    }

    pub(crate) fn stats(&self) -> LaneStats {
        let inner = self.inner.lock();
        LaneStats {
            bytes: inner.buffer.len(),
            capacity: self.config.bytes,
            pushed: inner.stats.pushed + inner.records,
            ..inner.stats
        }
    }
}

/// Ten bytes that look random and never repeat for one key: ids must be unique, not secret.
fn random_bits(key: u64, position: u64) -> [u8; 10] {
    let [a, b, ..] = mix(key.wrapping_add(position.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_le_bytes();
    let [c, d, e, f, g, h, i, j] = mix(key.rotate_left(32) ^ position).to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j]
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that scatters neighbouring numbers.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

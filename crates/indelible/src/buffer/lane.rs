//! A lane: byte buffers that callers append records to and the committer takes one by one.
//!
//! A mutex around a plain `Vec<u8>` that is swapped against an empty one beats every channel measured here: the critical section
//! is one memcpy, and nothing is allocated per event. A buffer is what one frame takes of a lane: small enough to stay in the cache
//! while it is hashed and written. The critical lane is one buffer whatever its size, so that each frame takes all of it.
//!
//! Positions count the records ever pushed into the lane; a ticket is a position. `producer_seq` is shared by the three
//! lanes and only advanced under a lane's lock, after there is room: what gets a number is in a lane, or is a recorded loss.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indelible_format::{Class, record};
use parking_lot::{Condvar, Mutex};

use crate::config::{LaneConfig, Overflow};

/// Bytes of one buffer of the normal and the telemetry lane.
const BUFFER_BYTES: usize = 1 << 20;
/// Buffers kept for reuse besides those that the lane may fill: one is hashed while one is synced.
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
    /// Somebody found no room since the lane was last empty.
    crowded: AtomicBool,
}

#[derive(Default)]
struct Inner {
    /// Nothing is let in any more.
    closed: bool,
    /// Full ones, oldest first, with the records in each.
    full: VecDeque<(Vec<u8>, u64)>,
    buffer: Vec<u8>,
    /// Records in `buffer`.
    records: u64,
    /// Bytes and records in all of them.
    pending: (usize, u64),
    spare: Vec<Vec<u8>>,
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
    /// Buffers allocated because the pool was empty.
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
    /// Position of the newest record in it.
    pub(crate) last: u64,
}

/// Why a record is not in the lane.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shut {
    Full(Full),
    Closed,
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
            crowded: AtomicBool::new(false),
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
    pub(crate) fn push(&self, record: &[u8], local: &Local<'_>) -> Result<u64, Shut> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Shut::Closed);
        }
        let (bytes, records) = inner.pending;
        if bytes + record.len() > self.config.bytes && bytes > 0 {
            self.crowded.store(true, Ordering::Relaxed);
            return Err(Shut::Full(Full { bytes, capacity: self.config.bytes, last: inner.next_position.saturating_sub(1) }));
        }
        if inner.buffer.len() + record.len() > inner.buffer.capacity() {
            inner.next_buffer(self.buffer_bytes());
        }
        let at = inner.buffer.len();
        inner.buffer.extend_from_slice(record);
        if local.stamp_producer || local.id_key.is_some() {
            let seq = local.stamp_producer.then(|| local.producer_seq.fetch_add(1, Ordering::Relaxed));
            let position = inner.next_position;
            if let Some(record) = inner.buffer.get_mut(at..) {
                let random = local.id_key.map(|key| random_bits(key ^ u64::from(self.class.byte()) << 56, position));
                record::set_local(record, seq, random);
            }
        }
        let position = inner.next_position;
        inner.next_position += 1;
        inner.records += 1;
        inner.pending = (bytes + record.len(), records + 1);
        self.mirror(&inner);
        Ok(position)
    }

    #[inline]
    fn mirror(&self, inner: &Inner) {
        let (bytes, records) = inner.pending;
        self.pending_bytes.store(bytes, Ordering::Relaxed);
        self.pending_records.store(usize::try_from(records).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Whether so much waits that it should be taken, however long events may gather.
    #[inline]
    pub(crate) fn presses(&self) -> bool {
        self.pending_bytes() >= (self.config.bytes / 2).clamp(1, BUFFER_BYTES) || self.crowded.load(Ordering::Relaxed)
    }

    /// Lets nothing in any more; what is in the lane stays to be taken.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.space.notify_all();
    }

    const fn buffer_bytes(&self) -> usize {
        match self.class {
            Class::Normal | Class::Telemetry if self.config.bytes > BUFFER_BYTES => BUFFER_BYTES,
            _ => self.config.bytes,
        }
    }

    /// Waits until something was taken from the lane, or `timeout` has passed.
    pub(crate) fn wait_for_space(&self, timeout: Duration) {
        let mut inner = self.inner.lock();
        if inner.pending.1 == 0 || inner.closed {
            return;
        }
        inner.waiting += 1;
        inner.stats.blocked += 1;
        let deadline = Instant::now() + timeout;
        let _ = self.space.wait_until(&mut inner, deadline);
        inner.waiting -= 1;
    }

    /// Records that one event was shed; it gets a producer number, so that the gap can be named. `false`: the lane is closed, and nobody
    /// would record it.
    pub(crate) fn shed(&self, producer_seq: &AtomicU64) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            return false;
        }
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
        true
    }

    pub(crate) fn count_refused(&self) {
        self.inner.lock().stats.refused += 1;
    }

    /// Takes the oldest buffer that waits: all of a critical lane. It comes back by [`Lane::give_back`].
    pub(crate) fn take(&self) -> Taken {
        if self.pending_records() == 0 {
            return Taken::default();
        }
        let mut inner = self.inner.lock();
        let (buffer, records) = match inner.full.pop_front() {
            Some(full) => full,
            None => {
                // Made here rather than by the next caller.
                let fresh = inner.spare_buffer(self.buffer_bytes());
                (std::mem::replace(&mut inner.buffer, fresh), std::mem::take(&mut inner.records))
            }
        };
        let (pending_bytes, pending_records) = inner.pending;
        inner.stats.pushed += records;
        inner.stats.bytes_high_water = inner.stats.bytes_high_water.max(pending_bytes);
        inner.pending = (pending_bytes - buffer.len(), pending_records - records);
        self.mirror(&inner);
        if inner.pending.1 == 0 {
            self.crowded.store(false, Ordering::Relaxed);
        }
        if inner.waiting > 0 {
            self.space.notify_all();
        }
        Taken { buffer, first_position: inner.next_position - pending_records, records }
    }

    /// Returns a buffer to the pool.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        // A buffer that grew for one large event is let go, so that memory stays what the configuration says.
        if buffer.capacity() == 0 || buffer.capacity() > self.buffer_bytes() {
            return;
        }
        buffer.clear();
        let mut inner = self.inner.lock();
        if inner.spare.len() < self.config.bytes.div_ceil(self.buffer_bytes().max(1)) + SPARE_BUFFERS {
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
            bytes: inner.pending.0,
            capacity: self.config.bytes,
            pushed: inner.stats.pushed + inner.pending.1,
            ..inner.stats
        }
    }
}

impl Inner {
    /// Puts the full buffer behind the others and goes over to an empty one.
    #[cold]
    fn next_buffer(&mut self, bytes: usize) {
        if !self.buffer.is_empty() {
            let full = std::mem::take(&mut self.buffer);
            let records = std::mem::take(&mut self.records);
            self.full.push_back((full, records));
        }
        if self.buffer.capacity() == 0 {
            self.buffer = self.spare_buffer(bytes);
        }
    }

    /// A buffer of the pool, or a new one.
    fn spare_buffer(&mut self, bytes: usize) -> Vec<u8> {
        if let Some(spare) = self.spare.pop() {
            self.stats.buffers_reused += 1;
            return spare;
        }
        self.stats.buffers_allocated += 1;
        // Reserved whole, so that a buffer that fills up never moves its bytes.
        Vec::with_capacity(bytes)
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

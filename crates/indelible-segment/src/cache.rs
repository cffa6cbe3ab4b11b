//! Decoded pages and dictionaries, shared by all readers and bounded in bytes.
//!
//! Sixteen shards, each behind its own lock, which is held for a look-up or an insertion and never while a page is read or decoded. Within
//! a shard the clock algorithm chooses what to give up: an entry that was used since the hand last passed gets a second round.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::codec::RandomState;
use crate::column::Column;
use crate::read::{Dictionary, Page, Pieces, Prints};

const SHARDS: usize = 16;
/// Pages of which it is remembered that a row was asked: those of some hundred rows, in 32 KiB.
const ASKED: usize = 8_192;

/// Which page of which open segment; what is no page has a number that no page has: there are at most as many pages as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) segment: u64,
    pub(crate) column: Column,
    pub(crate) page: u32,
}

impl Key {
    /// Of a column's dictionary.
    pub(crate) const fn dictionary(segment: u64, column: Column) -> Self {
        Self { segment, column, page: u32::MAX }
    }

    /// Where the pieces of a column's dictionary are.
    pub(crate) const fn pieces(segment: u64, column: Column) -> Self {
        Self { segment, column, page: u32::MAX - 1 }
    }

    /// Prints of a dictionary's values.
    pub(crate) const fn prints(segment: u64, column: Column) -> Self {
        Self { segment, column, page: u32::MAX - 2 }
    }

    /// One piece of a dictionary.
    pub(crate) const fn piece(segment: u64, column: Column, nth: u32) -> Self {
        Self { segment, column, page: 1 << 31 | nth }
    }

    /// A page without the dictionary of its column.
    pub(crate) const fn bare(segment: u64, column: Column, page: u32) -> Self {
        Self { segment, column, page: 1 << 30 | page }
    }

    fn shard(&self) -> usize {
        // Neighbouring pages and columns of one row go to different shards.
        let mixed = self.segment.wrapping_mul(31).wrapping_add(self.column.index() as u64 * 7).wrapping_add(u64::from(self.page));
        usize::try_from(mixed % SHARDS as u64).unwrap_or(0)
    }
}

#[derive(Clone)]
pub(crate) enum Cached {
    Page(Arc<Page>),
    Dictionary(Arc<Dictionary>),
    Pieces(Arc<Pieces>),
    Prints(Arc<Prints>),
}

struct Slot {
    key: Key,
    entry: Cached,
    bytes: usize,
    used: bool,
}

#[derive(Default)]
struct Shard {
    places: HashMap<Key, usize, RandomState>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
}

/// Keeps pages that were decoded, up to a number of bytes. Shared by reference between threads and segments.
///
/// A page keeps the dictionary of its column alive, so memory may exceed the budget by the dictionaries of segments that have pages here.
pub struct PageCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
    /// Pages of which one row was asked: the last ones, by places that several may share.
    asked: Box<[AtomicU32]>,
    hasher: RandomState,
    hits: AtomicU64,
    misses: AtomicU64,
    bytes_read: AtomicU64,
}

/// What a cache did since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Pages and dictionaries that were there.
    pub hits: u64,
    /// Pages and dictionaries that were read and decoded.
    pub misses: u64,
    /// Bytes of those, as they are in the file.
    pub bytes_read: u64,
}

impl std::fmt::Debug for PageCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageCache").field("bytes", &self.bytes()).field("bytes_max", &(self.shard_bytes_max * SHARDS)).finish()
    }
}

impl PageCache {
    /// A cache of at most `bytes_max` bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            shard_bytes_max: bytes_max / SHARDS,
            asked: (0..if bytes_max == 0 { 0 } else { ASKED }).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let [hits, misses, bytes_read] = [&self.hits, &self.misses, &self.bytes_read].map(|count| count.load(Ordering::Relaxed));
        CacheCounts { hits, misses, bytes_read }
    }

    /// Notes that so many bytes were read, for a page that was not there.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether one row of this page was asked for lately, too: then it is worth keeping. Remembers that it was asked for now.
    pub(crate) fn was_asked(&self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        let [a, b, c, d, place @ ..] = hash.to_le_bytes();
        let place = u32::from_le_bytes(place) as usize % ASKED;
        // Forgotten, or another page's place: a row is read by itself once more. Taken for another page: a page is kept for nothing.
        self.asked.get(place).is_some_and(|asked| {
            let mark = u32::from_le_bytes([a, b, c, d]) | 1;
            asked.swap(mark, Ordering::Relaxed) == mark
        })
    }

    fn find(&self, key: &Key) -> Option<Cached> {
        let found = self.shard(key)?.lock().find(key)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    /// Gives up all pages of a segment: [`Segment::id`](crate::Segment::id).
    pub fn forget(&self, segment: u64) {
        for shard in &self.shards {
            shard.lock().forget(segment);
        }
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Shard>> {
        self.shards.get(key.shard())
    }

    pub(crate) fn page(&self, key: &Key) -> Option<Arc<Page>> {
        match self.find(key)? {
            Cached::Page(page) => Some(page),
            _ => None,
        }
    }

    pub(crate) fn pieces(&self, key: &Key) -> Option<Arc<Pieces>> {
        match self.find(key)? {
            Cached::Pieces(pieces) => Some(pieces),
            _ => None,
        }
    }

    pub(crate) fn prints(&self, key: &Key) -> Option<Arc<Prints>> {
        match self.find(key)? {
            Cached::Prints(prints) => Some(prints),
            _ => None,
        }
    }

    pub(crate) fn dictionary(&self, key: &Key) -> Option<Arc<Dictionary>> {
        match self.find(key)? {
            Cached::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    pub(crate) fn keep(&self, key: Key, entry: Cached) {
        let bytes = match &entry {
            Cached::Page(page) => page.memory(),
            Cached::Dictionary(dictionary) => dictionary.memory(),
            Cached::Pieces(pieces) => pieces.memory(),
            Cached::Prints(prints) => prints.memory(),
        };
        // What would empty the shard for itself alone is better read again.
        if bytes <= self.shard_bytes_max
            && let Some(shard) = self.shard(&key)
        {
            shard.lock().keep(Slot { key, entry, bytes, used: false }, self.shard_bytes_max);
        }
    }
}

impl Shard {
    fn find(&mut self, key: &Key) -> Option<Cached> {
        let slot = self.slots.get_mut(*self.places.get(key)?)?;
        slot.used = true;
        Some(slot.entry.clone())
    }

    fn keep(&mut self, slot: Slot, bytes_max: usize) {
        // Another reader may have been faster.
        if self.places.contains_key(&slot.key) {
            return;
        }
        while self.bytes + slot.bytes > bytes_max && !self.slots.is_empty() {
            self.hand %= self.slots.len();
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.hand += 1;
                }
                _ => self.remove(self.hand),
            }
        }
        self.bytes += slot.bytes;
        self.places.insert(slot.key, self.slots.len());
        self.slots.push(slot);
    }

    fn remove(&mut self, at: usize) {
        if at >= self.slots.len() {
            return;
        }
        let gone = self.slots.swap_remove(at);
        self.bytes -= gone.bytes;
        self.places.remove(&gone.key);
        if let Some(moved) = self.slots.get(at) {
            self.places.insert(moved.key, at);
        }
    }

    fn forget(&mut self, segment: u64) {
        let mut at = 0;
        while let Some(slot) = self.slots.get(at) {
            if slot.key.segment == segment { self.remove(at) } else { at += 1 }
        }
    }
}

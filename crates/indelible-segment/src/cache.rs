//! Decoded pages and dictionaries, shared by all readers and bounded in bytes.
//!
//! Sixteen shards, each behind its own lock, which is held for a look-up or an insertion and never while a page is read or decoded. They have
//! one bound together, so that one of them may hold what is large. Who puts something in makes room first: the shards in turn give up what the
//! clock algorithm chooses, an entry that was used since the hand last passed gets a second round. Part of the bound may be lent to others.
//!
//! A decoded page keeps the dictionary of its column alive. So a dictionary stays while a page here has it, and a page is kept only if its
//! dictionary is here: nothing is held that is not counted.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::codec::RandomState;
use crate::column::Column;
use crate::read::{Dictionary, Page, Prints};
use crate::reads;

const SHARDS: usize = 16;
/// Pages of which it is remembered that a row was asked: those of some hundred rows, in 32 KiB.
const ASKED: usize = 8_192;
/// What takes more than one part in so many of the bound is better read again than kept in place of all else.
const ENTRY_SHARE: usize = 4;
/// Bytes of an entry beside what it holds: its slot and its place, in tables that have grown by doubling, and the counts in front of it.
const SLOT_BYTES: usize = 2 * size_of::<Slot>() + 2 * size_of::<(Key, usize)>() + 16;

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

    /// Prints of a dictionary's values.
    pub(crate) const fn prints(segment: u64, column: Column) -> Self {
        Self { segment, column, page: u32::MAX - 1 }
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
    Prints(Arc<Prints>),
}

impl Cached {
    fn memory(&self) -> usize {
        match self {
            Self::Page(page) => page.memory(),
            Self::Dictionary(dictionary) => dictionary.memory(),
            Self::Prints(prints) => prints.memory(),
        }
    }

    /// Whether giving it up would free nothing, as a page has it.
    fn is_held(&self) -> bool {
        matches!(self, Self::Dictionary(dictionary) if Arc::strong_count(dictionary) > 1)
    }
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
}

/// Keeps pages that were decoded, up to a number of bytes. Shared by reference between threads and segments.
///
/// Counted is all that is kept, dictionaries that decoded pages need included, but for what an allocator adds.
pub struct PageCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Of all shards, and of what is about to be put in.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// How much of that others take now.
    lent: AtomicUsize,
    /// Counts the times that a shard was asked to give something up: so they take turns.
    turn: AtomicUsize,
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
        f.debug_struct("PageCache").field("bytes", &self.bytes()).field("bytes_max", &self.bytes_max).finish()
    }
}

impl PageCache {
    /// A cache of at most `bytes_max` bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            bytes: AtomicUsize::new(0),
            bytes_max,
            lent: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
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
        reads::count_found();
        Some(found)
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// From now on keeps so many bytes less than it may, until told another number: somebody else has them. Gives up what is too much.
    pub fn lend(&self, bytes: usize) {
        self.lent.store(bytes, Ordering::Relaxed);
        self.reserve(0);
    }

    /// What it may keep now.
    fn bound(&self) -> usize {
        self.bytes_max.saturating_sub(self.lent.load(Ordering::Relaxed))
    }

    /// Gives up all pages of a segment: [`Segment::id`](crate::Segment::id).
    pub fn forget(&self, segment: u64) {
        for shard in &self.shards {
            let freed = shard.lock().forget(segment);
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
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
        if let Cached::Page(page) = &entry
            && let Some(own) = page.dictionary()
        {
            let kept = self.dictionary(&Key::dictionary(key.segment, key.column));
            if kept.is_none_or(|kept| !Arc::ptr_eq(&kept, own)) {
                return;
            }
        }
        self.put(key, entry);
    }

    /// Keeps a dictionary, and gives the one to be used: that of another reader, if that was faster.
    pub(crate) fn keep_dictionary(&self, key: Key, dictionary: Arc<Dictionary>) -> Arc<Dictionary> {
        match self.put(key, Cached::Dictionary(Arc::clone(&dictionary))) {
            Some(Cached::Dictionary(known)) => known,
            _ => dictionary,
        }
    }

    /// Puts an entry in, if there is room for it. Gives what was there already.
    fn put(&self, key: Key, entry: Cached) -> Option<Cached> {
        let bytes = entry.memory() + SLOT_BYTES;
        let shard = self.shard(&key)?;
        if bytes > self.bound() / ENTRY_SHARE {
            return None;
        }
        if let Some(known) = shard.lock().find(&key) {
            return Some(known);
        }
        if !self.reserve(bytes) {
            return None;
        }
        let known = shard.lock().put(Slot { key, entry, bytes, used: false });
        if known.is_some() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        known
    }

    /// Makes room. False: so much is held by pages in use, or about to be put in by others, that there is none.
    fn reserve(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut in_vain = 0;
        while self.bytes.load(Ordering::Relaxed) > self.bound() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let freed = self.shards.get(turn).map_or(0, |shard| shard.lock().give_up());
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
            in_vain = if freed == 0 { in_vain + 1 } else { 0 };
            if in_vain > SHARDS {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                return false;
            }
        }
        true
    }
}

impl Shard {
    fn find(&mut self, key: &Key) -> Option<Cached> {
        let slot = self.slots.get_mut(*self.places.get(key)?)?;
        slot.used = true;
        Some(slot.entry.clone())
    }

    /// Gives what is there already, if another reader was faster.
    fn put(&mut self, slot: Slot) -> Option<Cached> {
        let known = self.find(&slot.key);
        if known.is_none() {
            self.places.insert(slot.key, self.slots.len());
            self.slots.push(slot);
        }
        known
    }

    /// Removes the next entry that nobody used since the hand passed. Gives how many bytes that frees; 0: there is none.
    fn give_up(&mut self) -> usize {
        for _ in 0..self.slots.len() * 2 {
            self.hand %= self.slots.len().max(1);
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used || slot.entry.is_held() => {
                    slot.used = false;
                    self.hand += 1;
                }
                _ => return self.remove(self.hand),
            }
        }
        0
    }

    /// Gives how many bytes that frees.
    fn remove(&mut self, at: usize) -> usize {
        if at >= self.slots.len() {
            return 0;
        }
        let gone = self.slots.swap_remove(at);
        self.places.remove(&gone.key);
        if let Some(moved) = self.slots.get(at) {
            self.places.insert(moved.key, at);
        }
        gone.bytes
    }

    /// Gives how many bytes that frees.
    fn forget(&mut self, segment: u64) -> usize {
        let (mut at, mut freed) = (0, 0);
        while let Some(slot) = self.slots.get(at) {
            if slot.key.segment == segment { freed += self.remove(at) } else { at += 1 }
        }
        freed
    }
}

//! Collects terms row by row.

use indelible_format::sha256::BatchHasher;
use std::collections::HashMap;

use super::block::{self, Terms};
use super::{BLOCK_ROWS, IndexField, first_eight, hash, pair};
use crate::container::footer::{Bounds, Zone};

/// Pages that an id must be looked for in, on average, beyond which ids are worth an index. It takes more than three bytes an event, and ids
/// that others overtook on their way, as critical events do, are a few pages off.
const ID_OVERLAP_MAX: usize = 8;
/// Up to so many pages no file has that index. Between the two it may have: writers made it there once.
const ID_OVERLAP_FEW: usize = 4;

/// The terms of one field.
#[derive(Default)]
struct Field {
    /// For each word the block in which it was met last, plus one.
    last: Vec<u32>,
    /// Words and blocks, the blocks ascending.
    met: Vec<(u32, u32)>,
    /// Terms without a word, by their hash.
    hashed: Vec<(u64, u32)>,
}

/// Collects what an index is made of.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    fields: [Field; IndexField::ALL.len()],
    /// Words of pairs: tenant and action, in the order in which they came.
    pairs: HashMap<(u32, u32), u32, crate::codec::RandomState>,
    pair_terms: Vec<(u32, u32)>,
    ids: Vec<([u8; 16], u32)>,
    block: u32,
}

impl IndexBuilder {
    /// What is added from now on belongs to this row.
    #[inline]
    pub(crate) fn row(&mut self, row: u32) {
        self.block = row / BLOCK_ROWS;
    }

    /// A term without a number.
    pub(crate) fn add(&mut self, field: IndexField, term: &[u8]) {
        if let Some(fields) = self.fields.get_mut(field.index()) {
            fields.hashed.push((hash(field, term), self.block));
        }
    }

    /// Terms by their numbers.
    #[inline]
    pub(crate) fn add_words(&mut self, field: IndexField, words: &[u32]) {
        if let Some(fields) = self.fields.get_mut(field.index()) {
            words.iter().for_each(|word| fields.add(*word, self.block));
        }
    }

    /// A tenant and an action of which one has no number.
    pub(crate) fn add_pair(&mut self, tenant: &[u8], action: &[u8]) {
        self.add(IndexField::TenantAction, &pair(tenant, action));
    }

    /// Tenants and actions row by row, by their numbers.
    pub(crate) fn add_pairs(&mut self, tenants: &[u32], actions: &[u32]) {
        let Some(fields) = self.fields.get_mut(IndexField::TenantAction.index()) else { return };
        let (terms, mut last) = (&mut self.pair_terms, None);
        for words in tenants.iter().copied().zip(actions.iter().copied()) {
            let word = match last {
                Some((last, word)) if last == words => word,
                _ => {
                    let next = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
                    *self.pairs.entry(words).or_insert_with(|| {
                        terms.push(words);
                        next
                    })
                }
            };
            last = Some((words, word));
            fields.add(word, self.block);
        }
    }

    /// An id, in case that ids turn out to be in no order.
    #[inline]
    pub(crate) fn add_id(&mut self, id: &[u8; 16]) {
        self.ids.push((*id, self.block));
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        let of = |field: &Field| {
            size_of_val(field.last.as_slice()) + size_of_val(field.met.as_slice()) + size_of_val(field.hashed.as_slice())
        };
        let pairs = self.pair_terms.len() * 4 * size_of::<u32>();
        self.fields.iter().map(of).sum::<usize>() + size_of_val(self.ids.as_slice()) + pairs
    }

    /// The index's bytes. `word` gives the term of a word; `with_ids`: ids are in it, too.
    pub(crate) fn finish<'w>(mut self, rows: u32, word: impl Fn(IndexField, u32) -> &'w [u8], with_ids: bool) -> Vec<u8> {
        if with_ids {
            let mut hasher = Hasher::default();
            self.ids.iter().for_each(|(id, _)| hasher.push(IndexField::Id, id));
            let hashes = hasher.finish();
            if let Some(field) = self.fields.get_mut(IndexField::Id.index()) {
                field.hashed.extend(hashes.into_iter().zip(self.ids.iter().map(|(_, block)| *block)));
            }
        }
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let mut parts = Vec::new();
        for (field, collected) in IndexField::ALL.iter().copied().zip(self.fields) {
            let mut hasher = Hasher::default();
            for number in (0u32..).take(collected.last.len()) {
                if field == IndexField::TenantAction {
                    let (tenant, action) = self.pair_terms.get(number as usize).copied().unwrap_or_default();
                    hasher.push(field, &pair(word(IndexField::Tenant, tenant), word(IndexField::Action, action)));
                } else {
                    hasher.push(field, word(field, number));
                }
            }
            let terms = collected.into_terms(&hasher.finish());
            if !terms.is_empty() {
                parts.push((field, block::encode(field, &terms, blocks)));
            }
        }
        block::assemble(rows, &parts)
    }
}

/// Whether the index of a file has ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdIndex {
    Needless,
    Optional,
    Needed,
}

impl IdIndex {
    /// Whether it has, if `is_there` says so of one that may have them or not.
    pub(crate) const fn or(self, is_there: bool) -> bool {
        match self {
            Self::Needless => false,
            Self::Optional => is_there,
            Self::Needed => true,
        }
    }
}

/// What follows from least and greatest id of the pages: how many of them an id must be looked for in.
pub(crate) fn id_index(zones: Option<&[Zone]>) -> IdIndex {
    let Some(zones) = zones else { return IdIndex::Needed };
    let mut ends: Vec<(&[u8], bool)> = Vec::new();
    for zone in zones {
        if let Some(Bounds::Bytes(min, max)) = &zone.bounds {
            // At the same id pages begin before others end.
            ends.push((min, false));
            ends.push((max, true));
        }
    }
    ends.sort_unstable();
    let (mut open, mut met) = (0usize, 0usize);
    for (_, is_end) in &ends {
        open = if *is_end { open.saturating_sub(1) } else { open + 1 };
        met += if *is_end { 0 } else { open };
    }
    let pages = (ends.len() / 2).max(1);
    match met {
        _ if met > ID_OVERLAP_MAX * pages => IdIndex::Needed,
        _ if met > ID_OVERLAP_FEW * pages => IdIndex::Optional,
        _ => IdIndex::Needless,
    }
}

impl Field {
    #[inline]
    fn add(&mut self, word: u32, block: u32) {
        let at = word as usize;
        if at >= self.last.len() {
            self.last.resize(at + 1, 0);
        }
        if let Some(last) = self.last.get_mut(at).filter(|last| **last <= block) {
            *last = block + 1;
            self.met.push((word, block));
        }
    }

    /// Terms in the order of their hashes, each with its blocks in order.
    fn into_terms(mut self, hashes: &[u64]) -> Terms {
        // Words are grouped by counting: how many blocks each has, then where its blocks begin.
        let mut starts = vec![0u32; hashes.len() + 1];
        for (word, _) in &self.met {
            if let Some(start) = starts.get_mut(*word as usize + 1) {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut blocks = vec![0; self.met.len()];
        for (word, block) in &self.met {
            if let Some(at) = next.get_mut(*word as usize) {
                if let Some(slot) = blocks.get_mut(*at as usize) {
                    *slot = *block;
                }
                *at += 1;
            }
        }
        let mut terms = Terms { terms: Vec::with_capacity(hashes.len()), blocks };
        for (hash, range) in hashes.iter().zip(starts.windows(2)) {
            if let [start, end] = range
                && start < end
            {
                terms.terms.push((*hash, *start, *end));
            }
        }
        self.hashed.sort_unstable();
        self.hashed.dedup();
        for same in self.hashed.chunk_by(|(a, _), (b, _)| a == b) {
            let start = u32::try_from(terms.blocks.len()).unwrap_or(u32::MAX);
            terms.blocks.extend(same.iter().map(|(_, block)| *block));
            let end = u32::try_from(terms.blocks.len()).unwrap_or(u32::MAX);
            terms.terms.extend(same.first().map(|(hash, _)| (*hash, start, end)));
        }
        terms.terms.sort_unstable();
        if terms.terms.is_sorted_by(|a, b| a.0 < b.0) { terms } else { merged(&terms) }
    }
}

/// One term for each hash: a column that gave up its dictionary midway met terms with a word and without.
fn merged(terms: &Terms) -> Terms {
    let mut merged = Terms { terms: Vec::with_capacity(terms.terms.len()), blocks: Vec::with_capacity(terms.blocks.len()) };
    let mut blocks = Vec::new();
    for same in terms.terms.chunk_by(|a, b| a.0 == b.0) {
        blocks.clear();
        same.iter().for_each(|(_, start, end)| blocks.extend_from_slice(terms.blocks(*start, *end)));
        blocks.sort_unstable();
        blocks.dedup();
        let start = u32::try_from(merged.blocks.len()).unwrap_or(u32::MAX);
        merged.blocks.extend_from_slice(&blocks);
        let end = u32::try_from(merged.blocks.len()).unwrap_or(u32::MAX);
        merged.terms.extend(same.first().map(|(hash, ..)| (*hash, start, end)));
    }
    merged
}

/// Hashes terms, several at once.
#[derive(Default)]
struct Hasher {
    hasher: BatchHasher,
    out: Vec<indelible_format::Hash>,
    hashes: Vec<u64>,
}

impl Hasher {
    fn push(&mut self, field: IndexField, term: &[u8]) {
        self.hasher.push(&[&[field.number()], term]);
        if self.hasher.is_full() {
            self.drain();
        }
    }

    fn drain(&mut self) {
        self.out.clear();
        self.hasher.finish(&mut self.out);
        self.hashes.extend(self.out.iter().map(first_eight));
    }

    fn finish(mut self) -> Vec<u64> {
        self.drain();
        self.hashes
    }
}

//! The part of a store that is not sealed yet, kept ready for searching: what was read once is not read again, and blocks of records
//! that cannot hold a term are passed over.
//!
//! Memory is bounded: beyond `bytes_max` the oldest records are only remembered by their places, and read again when they are wanted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use indelible_format::frame::FLAG_CARRY;
use indelible_format::record::Records;
use indelible_format::{Field, Record};
use indelible_segment::{IndexField, pair};

use super::Reader;
use super::frames::{Cursor, End, FileReader, Next, Pages};
use crate::commit::journal::Place;
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::seal::{Manifest, sealer};
use crate::world::World;

/// Records of a block.
const BLOCK_RECORDS: usize = 1_024;
/// Words of a block's filter: some fourteen bits for each of its nine or ten terms a record, so that one block of six hundred is looked at in vain.
const FILTER_WORDS: usize = 2_048;

/// What is behind the sealed part, as far as it was read.
#[derive(Default)]
pub(crate) struct Tail {
    cursor: Option<Cursor>,
    generation: u64,
    recent: Recent,
    heads: BTreeMap<u32, LogHead>,
    /// The next position of each log.
    next: BTreeMap<u32, u64>,
    problem: Option<String>,
    /// The status file when the end of a journal that nobody writes to was read last: until it changes there is nothing new.
    quiet: Option<Vec<u8>>,
}

/// The blocks that were read, oldest first; the last one is still being filled.
#[derive(Default)]
struct Recent {
    closed: Vec<Arc<Block>>,
    open: Block,
    /// Records in memory, bytes.
    bytes: usize,
    bytes_max: usize,
}

/// Some consecutive frames.
#[derive(Default, Clone)]
pub(crate) struct Block {
    /// Log, position and place in `bytes`.
    entries: Vec<(u32, u64, u32, u32)>,
    /// Empty when the records are to be read again.
    bytes: Vec<u8>,
    /// Where the records came from, and how many of them from each.
    frames: Vec<(Place, usize)>,
    /// Records of the first frame that do not belong to this block.
    skip: usize,
    filter: Filter,
}

/// What a search takes along: the store as it was at one moment.
pub(crate) struct Moment {
    pub(crate) manifest: Arc<Manifest>,
    /// Oldest first.
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) heads: Vec<LogHead>,
    /// Why the journal could not be read to its end, if so.
    pub(crate) problem: Option<String>,
}

impl Moment {
    /// Positions there are, in all logs that take events.
    pub(crate) fn events(&self) -> u64 {
        self.heads.iter().filter(|head| head.log != LOG_CONTROL).map(|head| head.size).sum()
    }
}

/// The terms of a block: no term is missing, some may seem to be there.
#[derive(Clone)]
struct Filter(Box<[u64]>);

impl Default for Filter {
    fn default() -> Self {
        Self(vec![0; FILTER_WORDS].into())
    }
}

impl Filter {
    fn places(field: IndexField, term: &[u8]) -> [usize; 6] {
        // Not keyed: whoever makes terms collide has blocks looked at that need not be.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((field as u8, term));
        let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
        let bits = FILTER_WORDS as u64 * 64;
        [0, 1, 2, 3, 4, 5].map(|nth| usize::try_from((first + nth * step) % bits).unwrap_or(0))
    }

    fn add(&mut self, field: IndexField, term: &[u8]) {
        for place in Self::places(field, term) {
            if let Some(word) = self.0.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
    }

    fn may_hold(&self, field: IndexField, term: &[u8]) -> bool {
        Self::places(field, term).iter().all(|place| self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1))
    }
}

impl Block {
    /// False only if no record has the term.
    pub(crate) fn may_hold(&self, field: IndexField, term: &[u8]) -> bool {
        self.filter.may_hold(field, term)
    }

    /// Number of its records.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Log and position of a record.
    pub(crate) fn position(&self, nth: usize) -> Option<(u32, u64)> {
        self.entries.get(nth).map(|(log, seq, ..)| (*log, *seq))
    }

    /// How many of its records are of a log, and within these positions.
    pub(crate) fn count(&self, of: u32, seqs: &Range<u64>) -> u64 {
        self.entries.iter().filter(|(log, seq, ..)| *log == of && seqs.contains(seq)).count() as u64
    }

    /// The block with its records in memory.
    pub(crate) fn loaded(self: &Arc<Self>, world: &World, dir: &Path) -> Result<Arc<Self>> {
        if !self.bytes.is_empty() || self.entries.is_empty() {
            return Ok(Arc::clone(self));
        }
        let mut block = Self { filter: self.filter.clone(), ..Self::default() };
        let (mut positions, mut skip) = (self.entries.iter(), self.skip);
        let mut reader: Option<FileReader> = None;
        for (place, count) in &self.frames {
            let open = match reader.take() {
                Some(open) if open.number == place.file => open,
                _ => FileReader::open(world, dir, place.file, Pages::default())?,
            };
            let open = reader.insert(open);
            let frame = open.frame_at(place.offset)?.map_err(|error| {
                Error::new(ErrorKind::Corrupt, format!("a frame was read before and is not there any more: {error}"))
            })?;
            for record in Records::new(frame.payload).skip(std::mem::take(&mut skip)).take(*count) {
                if let Some((log, seq, ..)) = positions.next() {
                    block.push(*log, *seq, record.bytes());
                }
            }
        }
        Ok(Arc::new(block))
    }

    /// A record of a loaded block.
    pub(crate) fn record(&self, nth: usize) -> Option<&[u8]> {
        let (.., start, end) = self.entries.get(nth)?;
        self.bytes.get(*start as usize..*end as usize)
    }

    /// Lets its first records go, which may not be in the journal any more.
    fn without_first(&self, count: usize) -> Self {
        let mut block = self.clone();
        block.entries.drain(..count);
        let mut left = count;
        while let Some((_, first)) = block.frames.first_mut()
            && left > 0
        {
            if *first > left {
                *first -= left;
                block.skip += left;
                break;
            }
            left -= *first;
            block.frames.remove(0);
            block.skip = 0;
        }
        block
    }

    fn push(&mut self, log: u32, seq: u64, record: &[u8]) {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(record);
        self.entries.push((log, seq, start, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)));
    }

    fn add_terms(&mut self, record: &Record<'_>) {
        let Some(head) = record.head() else { return };
        let filter = &mut self.filter;
        filter.add(IndexField::Tenant, head.tenant.as_bytes());
        filter.add(IndexField::Action, head.action.as_bytes());
        filter.add(IndexField::TenantAction, &pair(head.tenant.as_bytes(), head.action.as_bytes()));
        match head.id {
            indelible_format::Id::Uuid(uuid) => filter.add(IndexField::Id, &uuid),
            indelible_format::Id::Text(text) => filter.add(IndexField::IdText, text.as_bytes()),
        }
        if let Some(trace) = head.trace {
            filter.add(IndexField::TraceId, &trace.trace_id);
        }
        for (field, text) in record.spans() {
            let field = match field {
                Field::ActorId => IndexField::ActorId,
                Field::Session => IndexField::Session,
                Field::OriginIp => IndexField::OriginIp,
                Field::TargetId => IndexField::TargetId,
                _ => continue,
            };
            let text = std::str::from_utf8(text).unwrap_or_default();
            filter.add(field, indelible_format::json::unescape(text).as_bytes());
        }
    }
}

impl Recent {
    /// Lets go what a manifest has sealed.
    fn let_go(&mut self, manifest: &Manifest) {
        // Every log is sealed up to the same frame, so what is sealed of a block is its beginning.
        let sealed = |block: &Block| block.entries.iter().take_while(|(log, seq, ..)| *seq < manifest.sealed(*log)).count();
        self.closed.retain(|block| sealed(block) < block.len());
        if let Some(first) = self.closed.first_mut()
            && sealed(first) > 0
        {
            *first = Arc::new(first.without_first(sealed(first)));
        }
        let first = sealed(&self.open);
        if first == self.open.len() {
            self.open = Block::default();
        } else if first > 0 {
            self.open = self.open.without_first(first);
        }
        self.bytes = self.closed.iter().map(|block| block.bytes.len()).sum();
    }

    fn push(&mut self, place: Place, nth: usize, (log, seq): (u32, u64), record: &Record<'_>) {
        self.open.push(log, seq, record.bytes());
        self.open.add_terms(record);
        match self.open.frames.last_mut() {
            Some((last, count)) if *last == place => *count += 1,
            last => {
                if last.is_none() {
                    self.open.skip = nth;
                }
                self.open.frames.push((place, 1));
            }
        }
        if self.open.entries.len() >= BLOCK_RECORDS {
            self.close();
        }
    }

    /// Begins a new block; forgets the bytes of the oldest if there are too many.
    fn close(&mut self) {
        let block = std::mem::take(&mut self.open);
        self.bytes += block.bytes.len();
        self.closed.push(Arc::new(block));
        for block in &mut self.closed {
            if self.bytes <= self.bytes_max {
                break;
            }
            if !block.bytes.is_empty() {
                self.bytes -= block.bytes.len();
                let forgotten = Block { bytes: Vec::new(), ..Block::clone(block) };
                *block = Arc::new(forgotten);
            }
        }
    }
}

impl Reader {
    /// The store at this moment: the manifest, and everything behind what it names.
    pub(crate) fn moment(&self) -> Result<Moment> {
        let mut tail = self.tail_lock();
        loop {
            let manifest = self.manifest()?;
            if tail.generation != manifest.generation || tail.problem.is_some() {
                tail.settle(self, &manifest)?;
            }
            match tail.advance(self, &manifest) {
                Ok(true) => {
                    let mut blocks = tail.recent.closed.clone();
                    if !tail.recent.open.entries.is_empty() {
                        blocks.push(Arc::new(tail.recent.open.clone()));
                    }
                    let heads = tail.heads.values().copied().collect();
                    return Ok(Moment { manifest, blocks, heads, problem: tail.problem.clone() });
                }
                // A writer has sealed what was to be read.
                Ok(false) => tail.cursor = None,
                Err(error) if self.manifest()?.generation == manifest.generation => return Err(error),
                Err(_) => tail.cursor = None,
            }
        }
    }
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { recent: Recent { bytes_max, ..Recent::default() }, ..Self::default() }
    }

    /// Takes up a new manifest: what it has sealed is let go.
    fn settle(&mut self, reader: &Reader, manifest: &Manifest) -> Result<()> {
        if manifest.generation > 0 {
            let state = sealer::read_state(reader.world(), reader.dir(), manifest)?;
            for log in &state.logs {
                let known = self.heads.get(&log.log).map_or(0, |head| head.size);
                if known < log.size() {
                    self.heads.insert(log.log, log.head());
                }
                let next = self.next.entry(log.log).or_default();
                *next = (*next).max(log.size());
            }
        }
        self.recent.let_go(manifest);
        self.generation = manifest.generation;
        self.problem = None;
        self.cursor = None;
        Ok(())
    }

    /// Reads what became durable. False: the journal is not where the manifest says.
    fn advance(&mut self, reader: &Reader, manifest: &Manifest) -> Result<bool> {
        let limit = reader.durable_limit()?;
        // To see that nothing follows, all that was reserved behind the last frame would be looked through again.
        let status = if limit.is_none() { reader.world().read_file(&reader.dir().join("status")).ok() } else { None };
        if status.is_some() && self.quiet == status && self.cursor.is_some() {
            return Ok(true);
        }
        self.quiet = None;
        match &mut self.cursor {
            Some(cursor) => cursor.extend(limit)?,
            None => {
                let mut cursor = Cursor::new(reader.world(), reader.dir(), reader.identity().store, &manifest.start, limit)?;
                let start = (manifest.start.lsn, manifest.start.prev);
                if cursor.first()?.is_some_and(|first| first != start) {
                    let moved = reader.manifest()?.generation != manifest.generation;
                    self.problem = Some("the journal does not begin where the sealed segments end".into());
                    return Ok(!moved);
                }
                self.cursor = Some(cursor);
            }
        }
        let Some(cursor) = &mut self.cursor else { return Ok(true) };
        loop {
            match cursor.next()? {
                Next::Frame(frame, place) => {
                    if frame.meta.flags & FLAG_CARRY != 0 {
                        continue;
                    }
                    let mut here: Vec<(u32, u64)> = frame.meta.logs.iter().map(|change| (change.log, change.first_seq)).collect();
                    // A cursor that began anew comes by frames that are known.
                    let is_known = here.iter().all(|(log, seq)| self.next.get(log).is_some_and(|next| seq < next));
                    if is_known && !here.is_empty() {
                        continue;
                    }
                    for (nth, record) in Records::new(frame.payload).enumerate() {
                        let Some((log, seq)) = here.iter_mut().find(|(log, _)| *log == record.log()) else { continue };
                        self.recent.push(place, nth, (*log, *seq), &record);
                        *seq += 1;
                        self.next.insert(*log, *seq);
                    }
                    for change in &frame.meta.logs {
                        let head =
                            LogHead { log: change.log, size: change.first_seq + u64::from(change.count), root: change.root };
                        self.heads.insert(change.log, head);
                    }
                }
                Next::End(End::Gone) => return Ok(false),
                Next::End(End::Broken { file, offset, why }) => {
                    if reader.manifest()?.generation != manifest.generation {
                        return Ok(false);
                    }
                    self.problem = Some(format!("the journal is broken at byte {offset} of file {file}: {why:?}"));
                    return Ok(true);
                }
                Next::End(_) => {
                    self.quiet = status;
                    return Ok(true);
                }
            }
        }
    }
}

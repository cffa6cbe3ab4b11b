//! The part of a store that is not sealed yet, kept ready for searching: it is read once, as it comes, and of each record stays where it is and
//! a print of each of its terms. The records of the newest frames stay, too; others are read again when they are wanted.
//!
//! Memory is bounded, and taken from what decoded pages may have: beyond its share of `search_cache_bytes` the oldest prints are given up, and
//! the records they told of all looked at.

mod block;
mod stock;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use indelible_format::Record;
use indelible_format::frame::FLAG_CARRY;
use indelible_format::record::Records;

use super::Reader;
use super::frames::{Cursor, End, Next};
use crate::digest::LogHead;
use crate::error::Result;
use crate::identity::LOG_CONTROL;
use crate::seal::{Manifest, sealer};
use crate::world::World;
use block::{BLOCK_RECORDS, FramePlace};
use stock::Stock;

pub(crate) use block::{Block, Wanted};
pub(crate) use stock::Opened;

/// What is behind the sealed part, as far as it was read.
pub(crate) struct Tail {
    cursor: Option<Cursor>,
    generation: u64,
    recent: Recent,
    heads: BTreeMap<u32, LogHead>,
    /// The next position of each log.
    next: BTreeMap<u32, u64>,
    problem: Option<String>,
    /// Which frame holds a record that cannot be read: no other reading mends that.
    malformed: Option<String>,
    /// The status file when the end of a journal that nobody writes to was read last: until it changes there is nothing new.
    quiet: Option<Vec<u8>>,
}

/// The blocks that were read, oldest first; the last one is still being filled.
struct Recent {
    // Shared with the searches under way: copied when something changes while there are any.
    closed: Arc<Vec<Arc<Block>>>,
    open: Arc<Block>,
    /// Memory of the closed blocks.
    bytes: usize,
    bytes_max: usize,
    /// The number of the next frame.
    frames: u64,
    stock: Arc<Stock>,
}

/// What a search takes along: the store as it was at one moment.
pub(crate) struct Moment {
    pub(crate) manifest: Arc<Manifest>,
    closed: Arc<Vec<Arc<Block>>>,
    open: Arc<Block>,
    pub(crate) stock: Arc<Stock>,
    pub(crate) heads: Vec<LogHead>,
    /// Why the journal could not be read to its end, if so.
    pub(crate) problem: Option<String>,
}

impl Moment {
    /// Positions there are, in all logs that take events.
    pub(crate) fn events(&self) -> u64 {
        self.heads.iter().filter(|head| head.log != LOG_CONTROL).map(|head| head.size).sum()
    }

    /// How many blocks of unsealed records there are.
    pub(crate) fn block_count(&self) -> usize {
        self.closed.len() + 1
    }

    /// One of the blocks; the first is the oldest.
    pub(crate) fn block(&self, nth: usize) -> Option<&Arc<Block>> {
        self.closed.get(nth).or_else(|| (nth == self.closed.len()).then_some(&self.open))
    }
}

impl Recent {
    fn memory(&self) -> usize {
        self.bytes + self.open.memory() + self.stock.bytes()
    }

    /// Lets go what a manifest has sealed.
    fn let_go(&mut self, manifest: &Manifest) {
        let is_gone = |block: &Block| block.is_before(|log| manifest.sealed(log));
        if self.closed.first().is_some_and(|block| is_gone(block)) {
            Arc::make_mut(&mut self.closed).retain(|block| !is_gone(block));
        }
        if is_gone(&self.open) {
            self.open = Arc::new(Block::new());
        }
        self.bytes = self.closed.iter().map(|block| block.memory()).sum();
        let first = self.closed.first().unwrap_or(&self.open).part(0).map_or(self.frames, |(part, ..)| part.frame.number);
        self.stock.let_go(first, manifest.start.file);
    }

    /// Takes the next frame.
    fn begin_frame(&mut self, file: u64, payload_at: u64, payload: &[u8]) -> FramePlace {
        let frame = FramePlace { number: self.frames, file, payload: payload_at };
        self.stock.put(frame.number, payload);
        self.frames += 1;
        frame
    }

    fn push(&mut self, frame: FramePlace, position: (u32, u64), start: u32, record: &Record<'_>) {
        let open = Arc::make_mut(&mut self.open);
        open.push(frame, position, start, record);
        if open.len() as usize >= BLOCK_RECORDS {
            self.close();
        }
    }

    /// Begins a new block; gives up prints of the oldest if there are too many.
    fn close(&mut self) {
        let mut block = std::mem::replace(&mut self.open, Arc::new(Block::new()));
        Arc::make_mut(&mut block).shrink();
        self.bytes += block.memory();
        let closed = Arc::make_mut(&mut self.closed);
        closed.push(block);
        if self.bytes <= self.bytes_max {
            return;
        }
        let from = closed.partition_point(|block| !block.has_prints());
        for block in closed.iter_mut().skip(from) {
            let before = block.memory();
            *block = Arc::new(block.without_prints());
            self.bytes = self.bytes.saturating_sub(before - block.memory().min(before));
            if self.bytes <= self.bytes_max {
                break;
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
                    let heads = tail.heads.values().copied().collect();
                    let Recent { closed, open, stock, .. } = &tail.recent;
                    let (closed, open, stock) = (Arc::clone(closed), Arc::clone(open), Arc::clone(stock));
                    let problem = tail.problem.as_ref().or(tail.malformed.as_ref()).cloned();
                    return Ok(Moment { manifest, closed, open, stock, heads, problem });
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
    /// Of a store in `dir`; keeps at most `payloads` bytes of frames, and `prints` bytes of what is remembered of records.
    pub(crate) fn new(world: &World, dir: &Path, payloads: usize, prints: usize) -> Self {
        let recent = Recent {
            closed: Arc::default(),
            open: Arc::new(Block::new()),
            bytes: 0,
            bytes_max: prints,
            frames: 0,
            stock: Arc::new(Stock::new(world.clone(), dir.to_owned(), payloads)),
        };
        Self {
            cursor: None,
            generation: 0,
            recent,
            heads: BTreeMap::new(),
            next: BTreeMap::new(),
            problem: None,
            malformed: None,
            quiet: None,
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.recent.memory()
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
        reader.cache().lend(self.memory());
        self.generation = manifest.generation;
        // A cursor in a file that is still there goes on: else all that is not sealed would be read from the disk once more, while others wait.
        let place = self.cursor.as_ref().and_then(Cursor::place);
        if self.problem.take().is_some() || place.is_none_or(|place| place.file < manifest.start.file) {
            self.cursor = None;
        }
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
                    let payload_at = place.offset + frame.meta_bytes as u64;
                    let known = self.recent.begin_frame(place.file, payload_at, frame.payload);
                    let mut end = 0;
                    let mut records = Records::new(frame.payload);
                    for record in records.by_ref() {
                        let start = end;
                        end += u32::try_from(record.bytes().len()).unwrap_or(u32::MAX);
                        let Some((log, seq)) = here.iter_mut().find(|(log, _)| *log == record.log()) else { continue };
                        self.recent.push(known, (*log, *seq), start, &record);
                        *seq += 1;
                        self.next.insert(*log, *seq);
                    }
                    if !records.finished() {
                        self.malformed =
                            Some(format!("frame {} holds a malformed record (journal file {})", frame.meta.lsn, place.file));
                    }
                    for change in &frame.meta.logs {
                        let head =
                            LogHead { log: change.log, size: change.first_seq + u64::from(change.count), root: change.root };
                        self.heads.insert(change.log, head);
                    }
                    reader.cache().lend(self.recent.memory());
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

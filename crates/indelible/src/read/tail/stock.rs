//! Records of the unsealed part: of the newest frames from memory, of the others from the journal again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use indelible_format::Record;
use parking_lot::Mutex;

use super::block::{Block, FramePlace};
use crate::commit::journal::file_name;
use crate::error::{Error, ErrorKind, Result};
use crate::search::Mask;
use crate::world::{DiskFile, Open, World};

/// Wanted records of a frame from which on all of the block's are read at once: a read costs about as much as copying as many.
const DENSE_RECORDS: u64 = 8;

/// Shared by a reader and the searches under way. The lock is held to look up and to put, never while something is read.
pub(crate) struct Stock {
    world: World,
    dir: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    /// Number and payload of the newest frames, without gaps, the oldest first.
    frames: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
    bytes_max: usize,
    /// Files of the journal that are open.
    files: BTreeMap<u64, Arc<dyn DiskFile>>,
}

impl Stock {
    /// Keeps at most `bytes_max` bytes of frames.
    pub(super) fn new(world: World, dir: PathBuf, bytes_max: usize) -> Self {
        let kept = Kept { frames: VecDeque::new(), bytes: 0, bytes_max, files: BTreeMap::new() };
        Self { world, dir, kept: Mutex::new(kept) }
    }

    /// Takes the frame that follows on the last one.
    pub(super) fn put(&self, number: u64, payload: &[u8]) {
        let mut kept = self.kept.lock();
        if payload.len() <= kept.bytes_max {
            kept.frames.push_back((number, payload.into()));
            kept.bytes += payload.len();
        } else {
            // No gaps: it is found by counting.
            kept.frames.clear();
            kept.bytes = 0;
        }
        while kept.bytes > kept.bytes_max
            && let Some((_, oldest)) = kept.frames.pop_front()
        {
            kept.bytes -= oldest.len();
        }
    }

    /// Lets go frames before this one, and files before this one.
    pub(super) fn let_go(&self, frame: u64, file: u64) {
        let mut kept = self.kept.lock();
        while kept.frames.front().is_some_and(|(number, _)| *number < frame)
            && let Some((_, oldest)) = kept.frames.pop_front()
        {
            kept.bytes -= oldest.len();
        }
        kept.files = kept.files.split_off(&file);
    }

    /// Bytes of the frames that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    fn payload(&self, number: u64) -> Option<Arc<[u8]>> {
        let kept = self.kept.lock();
        let at = number.checked_sub(kept.frames.front()?.0)?;
        kept.frames.get(usize::try_from(at).ok()?).map(|(_, payload)| Arc::clone(payload))
    }

    fn file(&self, number: u64) -> Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.kept.lock().files.get(&number) {
            return Ok(Arc::clone(file));
        }
        let name = file_name(number);
        let file = self.world.disk.open(&self.dir.join("journal").join(&name), Open::Read);
        let file: Arc<dyn DiskFile> = file.map_err(|error| Error::io(format!("could not open journal/{name}"), error))?.into();
        self.kept.lock().files.insert(number, Arc::clone(&file));
        Ok(file)
    }

    /// Reads a piece of a payload.
    fn read(&self, frame: FramePlace, piece: &Range<u32>, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.resize(piece.len(), 0);
        let read = self.file(frame.file)?.read_at(bytes, frame.payload + u64::from(piece.start));
        let read = read.map_err(|error| Error::io(format!("could not read journal/{}", file_name(frame.file)), error))?;
        bytes.truncate(read);
        Ok(())
    }

    fn forget(&self, file: u64) {
        self.kept.lock().files.remove(&file);
    }
}

/// Records of one block, while they are looked at: those of `rows`, in any order, though neighbours cost least.
pub(crate) struct Opened {
    block: Arc<Block>,
    rows: Mask,
    held: Held,
    memory: Vec<u8>,
}

/// Of which records the bytes are at hand.
enum Held {
    Nothing,
    /// A whole payload.
    Payload(Range<u32>, Arc<[u8]>),
    /// What was read, and where in the payload it begins.
    Read(Range<u32>, u32),
}

impl Opened {
    pub(crate) const fn new(block: Arc<Block>, rows: Mask) -> Self {
        Self { block, rows, held: Held::Nothing, memory: Vec::new() }
    }

    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// One of the records.
    ///
    /// # Errors
    /// `Io`; `Corrupt`: it is not there any more as it was. Perhaps it was sealed since.
    pub(crate) fn record(&mut self, nth: u32, stock: &Stock) -> Result<Option<Record<'_>>> {
        let Some((place, check)) = self.block.place(nth) else { return Ok(None) };
        let is_held = match &self.held {
            Held::Nothing => false,
            Held::Payload(records, _) | Held::Read(records, _) => records.contains(&nth),
        };
        if !is_held {
            self.hold(nth, &place, stock)?;
        }
        let intact = |bytes: &[u8]| Record::parse(bytes).is_some_and(|record| crc32c::crc32c(record.bytes()) == check);
        if let Held::Read(_, from) = self.held
            && !intact(piece(&self.memory, from, &place))
            && let Some((part, ..)) = self.block.part(nth)
        {
            // A writer that opened the store since has put a fresh copy in the file's place.
            let file = part.frame.file;
            stock.forget(file);
            stock.read(part.frame, &place, &mut self.memory)?;
            self.held = Held::Read(nth..nth + 1, place.start);
            if !intact(&self.memory) {
                let what = format!("a record was read before and is not in journal/{} any more", file_name(file));
                return Err(Error::new(ErrorKind::Corrupt, what));
            }
        }
        let bytes = match &self.held {
            Held::Nothing => return Ok(None),
            Held::Payload(_, payload) => piece(payload, 0, &place),
            Held::Read(_, from) => piece(&self.memory, *from, &place),
        };
        Ok(Record::parse(bytes))
    }

    fn hold(&mut self, nth: u32, place: &Range<u32>, stock: &Stock) -> Result<()> {
        let Some((part, records, bytes)) = self.block.part(nth) else { return Ok(()) };
        if let Some(payload) = stock.payload(part.frame.number) {
            self.held = Held::Payload(records, payload);
            return Ok(());
        }
        let wanted = self.rows.and(Mask::first(records.end)).without(Mask::first(records.start)).count();
        let (records, bytes) = if wanted >= DENSE_RECORDS { (records, bytes) } else { (nth..nth + 1, place.clone()) };
        self.held = Held::Nothing;
        stock.read(part.frame, &bytes, &mut self.memory)?;
        self.held = Held::Read(records, bytes.start);
        Ok(())
    }
}

/// A piece of a payload, of which the bytes from `from` on are there.
fn piece<'b>(bytes: &'b [u8], from: u32, place: &Range<u32>) -> &'b [u8] {
    let at = |offset: u32| offset.saturating_sub(from) as usize;
    bytes.get(at(place.start)..at(place.end).min(bytes.len())).unwrap_or_default()
}

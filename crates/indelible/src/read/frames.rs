//! Reading the journal frame by frame, by anyone, while somebody else may be writing it.
//!
//! A [`Cursor`] follows the chain (number, hash of the frame before, store) through the files and says how the journal ends:
//! cleanly, torn, or corrupt. It never looks at records.

use std::ops::Range;
use std::path::{Path, PathBuf};

use indelible_format::frame::{FLAG_CARRY, FRAME_HEADER_BYTES, FileHeader, Frame, FrameError, FrameSizes, Status, StoreId};
use indelible_format::leaf::{self, Salts, Seed};
use indelible_format::limits::{FRAME_BYTES_MAX, SECTOR_BYTES};
use indelible_format::record::{Kind, Records};
use indelible_format::{Hash, Record};

use crate::commit::journal::{Place, file_name, file_number};
use crate::error::{Error, Result};
use crate::seal::Start;
use crate::world::{DiskFile, Open, World};

/// Read-ahead of a cursor.
const BUFFER_BYTES: usize = 1 << 20;
/// What reading around the page cache is aligned to.
const PAGE_BYTES: usize = 4096;
/// Read-ahead of the first look at a file.
const AHEAD_BYTES_MIN: usize = 8 << 10;
/// How far ahead of a cursor the disk is asked to read, so that it works while the cursor hashes. What was just written is seldom in the
/// page cache.
const WILL_READ_BYTES: u64 = 8 << 20;

/// One journal file, read through a buffer.
pub(crate) struct FileReader {
    file: Box<dyn DiskFile>,
    pub(crate) number: u64,
    buffer: Pages,
    buffer_at: u64,
    filled: usize,
    ahead: usize,
    /// Up to where the disk was told to read.
    told: u64,
    /// What was read may leave the page cache: on a machine that reads a journal once, new pages for all of it cost more than hashing it.
    once: bool,
}

impl FileReader {
    pub(crate) fn open(world: &World, dir: &Path, number: u64, buffer: Pages) -> Result<Self> {
        let name = file_name(number);
        let file = world
            .disk
            .open(&dir.join("journal").join(&name), Open::Read)
            .map_err(|error| Error::io(format!("could not open journal/{name}"), error))?;
        Ok(Self { file, number, buffer, buffer_at: 0, filled: 0, ahead: AHEAD_BYTES_MIN, told: 0, once: false })
    }

    /// As [`open`](Self::open); `None`: there is no such file any more. A writer removes files whose events are sealed.
    pub(crate) fn open_if_there(world: &World, dir: &Path, number: u64, buffer: Pages) -> Result<Option<Self>> {
        if !world.disk.exists(&dir.join("journal").join(file_name(number))) {
            return Ok(None);
        }
        match Self::open(world, dir, number, buffer) {
            Err(error) if error.is_missing() => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("could not read journal/{}", file_name(self.number)), error)
    }

    /// Bytes from `offset` on: at least `wanted` of them unless the file ends before.
    fn bytes(&mut self, offset: u64, wanted: usize) -> Result<&[u8]> {
        let inside = offset.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        let have = inside.and_then(|at| self.filled.checked_sub(at)).unwrap_or(0);
        if inside.is_none() || have < wanted {
            // Reads ahead the more, the longer this goes on: many only want a header.
            let length = wanted.max(self.ahead).next_multiple_of(PAGE_BYTES);
            let streams = self.ahead == BUFFER_BYTES && inside.is_some_and(|at| at <= self.filled);
            self.ahead = (self.ahead * 4).min(BUFFER_BYTES);
            // The front of a frame that is cut off by the buffer's end is not read again.
            let kept = match inside.filter(|_| self.buffer.has_room(length)) {
                Some(at) if have > 0 => self.buffer.move_to_front(at..self.filled),
                _ => 0,
            };
            self.filled = 0;
            self.buffer_at = offset;
            let rest = self.buffer.get_mut(kept..length);
            let read = self.file.read_at(rest, offset + kept as u64).map_err(|error| self.failed(error))?;
            self.filled = kept + read;
            let end = offset + self.filled as u64;
            if streams && self.told < end + WILL_READ_BYTES / 2 {
                let from = self.told.max(end);
                self.told = end + WILL_READ_BYTES;
                self.file.will_read(from, self.told - from);
                if self.once {
                    // Not the newest frame: recovery copies it, and where frames were written through the page cache and a sync
                    // failed, only that cache has it.
                    let until = offset.saturating_sub(FRAME_BYTES_MAX as u64);
                    let from = until.saturating_sub(WILL_READ_BYTES);
                    if from < until {
                        self.file.have_read(from, until - from);
                    }
                }
            }
        }
        let at = usize::try_from(offset - self.buffer_at).unwrap_or(usize::MAX);
        Ok(self.buffer.get(at..self.filled))
    }

    /// Forgets what was read ahead: a writer may have appended since.
    pub(crate) const fn refresh(&mut self) {
        self.filled = 0;
    }

    /// The file's header and its length; `None`: the file is not in use.
    pub(crate) fn header(&mut self, store: &StoreId) -> Result<Option<(FileHeader, u64)>> {
        let number = self.number;
        let Some(length) = FileHeader::peek(self.bytes(0, SECTOR_BYTES)?) else { return Ok(None) };
        let header = FileHeader::parse(self.bytes(0, length)?);
        Ok(header
            .filter(|(header, _)| header.number == number && header.store == *store)
            .map(|(header, length)| (header, length as u64)))
    }

    /// The frame at `offset`, checksums verified.
    pub(crate) fn frame_at(&mut self, offset: u64) -> Result<std::result::Result<Frame<'_>, FrameError>> {
        match FrameSizes::parse(self.bytes(offset, FRAME_HEADER_BYTES)?) {
            Ok(sizes) => Ok(Frame::parse(self.bytes(offset, sizes.frame)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// What was read last, from `offset` on: what [`frame_at`](Self::frame_at) gave is among it until something else is read.
    pub(crate) fn held(&self, offset: u64) -> &[u8] {
        let at = offset.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        at.map_or(&[], |at| self.buffer.get(at..self.filled))
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(|error| self.failed(error))
    }

    /// What lies behind the last good frame at `from`.
    fn tail(&mut self, from: u64, store: &StoreId, expected: u64) -> Result<Tail> {
        // Most of a file that was made ahead of use was never written, and is not read, either.
        let ranges = self.file.data(from).map_err(|error| self.failed(error))?;
        self.told = u64::MAX;
        let mut last_used = from;
        let mut older = false;
        for range in ranges {
            let mut at = (range.start - range.start % SECTOR_BYTES as u64).max(from);
            while at < range.end {
                let wanted = BUFFER_BYTES.min(usize::try_from(range.end - at).unwrap_or(BUFFER_BYTES));
                let piece = self.bytes(at, wanted)?;
                if piece.is_empty() {
                    break;
                }
                let mut suspects = Vec::new();
                for (nth, sector) in piece.chunks(SECTOR_BYTES).enumerate() {
                    let here = at + (nth * SECTOR_BYTES) as u64;
                    if let Some(last) = sector.iter().rposition(|byte| *byte != 0) {
                        last_used = here + last as u64 + 1;
                        if FrameSizes::parse(sector).is_ok() {
                            suspects.push(here);
                        }
                    }
                }
                at += piece.len() as u64;
                for suspect in suspects {
                    if let Ok(frame) = self.frame_at(suspect)?
                        && frame.meta.store == *store
                    {
                        if frame.meta.lsn >= expected {
                            return Ok(Tail::Frame { offset: suspect, lsn: frame.meta.lsn });
                        }
                        older |= suspect == from;
                    }
                }
            }
        }
        Ok(if older || last_used == from { Tail::Empty } else { Tail::Torn(last_used - from) })
    }

    /// Whose file this is, if it has a header that is valid for its own number.
    pub(crate) fn owner(&mut self) -> Result<Option<StoreId>> {
        let number = self.number;
        let Some(length) = FileHeader::peek(self.bytes(0, SECTOR_BYTES)?) else { return Ok(None) };
        let header = FileHeader::parse(self.bytes(0, length)?);
        Ok(header.filter(|(header, _)| header.number == number).map(|(header, _)| header.store))
    }

    fn into_buffer(self) -> Pages {
        self.buffer
    }

    /// For a file that gets no further frame: its bytes come from the disk, not through the page cache, where they would cost a page each
    /// and push out what is read more than once.
    pub(crate) fn around_cache(self) -> Self {
        self.file.pass_by_cache();
        self
    }
}

/// Memory that begins where a page does, as reading around the page cache wants it.
#[derive(Default)]
pub(crate) struct Pages(Vec<u8>);

impl Pages {
    fn start(&self) -> usize {
        self.0.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.0.len() >= bytes + PAGE_BYTES
    }

    fn get(&self, range: Range<usize>) -> &[u8] {
        self.0.get(self.start()..).and_then(|pages| pages.get(range)).unwrap_or_default()
    }

    /// This range; where there is no room for it, all that was there is lost.
    fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        if !self.has_room(range.end) {
            self.0 = vec![0; range.end + PAGE_BYTES];
        }
        let start = self.start();
        self.0.get_mut(start..).and_then(|pages| pages.get_mut(range)).unwrap_or_default()
    }

    /// Gives how many bytes it were.
    fn move_to_front(&mut self, range: Range<usize>) -> usize {
        let start = self.start();
        let length = range.len();
        if let Some(pages) = self.0.get_mut(start..).filter(|pages| range.end <= pages.len()) {
            pages.copy_within(range, 0);
        }
        length
    }
}

enum Tail {
    Empty,
    /// Bytes of a frame that was never acknowledged.
    Torn(u64),
    /// A valid frame where none may be.
    Frame {
        offset: u64,
        lsn: u64,
    },
}

/// How the journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind the last frame there is nothing.
    Clean,
    /// Behind the last frame are bytes of one that was never acknowledged.
    Torn(u64),
    /// The chain is broken here.
    Broken { file: u64, offset: u64, why: Broken },
    /// The reader was told to stop here: the rest is not durable yet.
    Limit,
    /// The next file is gone: a writer has sealed what it held since this cursor was made.
    Gone,
}

/// How a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Bytes that should be a frame fail their checks, though valid frames follow.
    Damaged(FrameError),
    /// A frame does not name the one before it.
    Chain { lsn: u64 },
    /// A file that should be in use has no valid header, or one that contradicts the frame before.
    Header,
    /// Frames are missing: the next one there has this number.
    Missing { expected: u64, found: u64 },
}

/// What a cursor found next.
pub(crate) enum Next<'c> {
    /// A frame, and where it stands.
    Frame(Frame<'c>, Place),
    /// Nothing more.
    End(End),
}

/// What the front of the journal is.
#[derive(PartialEq, Eq)]
enum First {
    /// A file in use; it is open now.
    Open,
    /// Nothing was written yet.
    Unused,
    /// Frames are there, but the first file has no valid header.
    Headless(u64),
    /// The first file was there a moment ago.
    Gone,
}

/// Follows the chain of frames.
pub(crate) struct Cursor {
    world: World,
    dir: PathBuf,
    store: StoreId,
    /// Number of the first file that counts.
    first: u64,
    numbers: Vec<u64>,
    nth: usize,
    reader: Option<FileReader>,
    offset: u64,
    started: bool,
    pub(crate) next_lsn: u64,
    pub(crate) prev: Hash,
    limit: Option<u64>,
    once: bool,
    around_cache: bool,
    pub(crate) bytes_read: u64,
    /// Header of the file that the newest frame stands in.
    pub(crate) header: Option<FileHeader>,
}

impl Cursor {
    /// At the front of the journal, which is at `start`: files before it are left over. `limit`: stop before the frame with this number.
    pub(crate) fn new(world: &World, dir: &Path, store: StoreId, start: &Start, limit: Option<u64>) -> Result<Self> {
        let mut numbers = numbers(world, dir)?;
        numbers.retain(|number| *number >= start.file);
        Ok(Self {
            world: world.clone(),
            dir: dir.to_owned(),
            store,
            first: start.file,
            numbers,
            nth: 0,
            reader: None,
            offset: 0,
            started: false,
            next_lsn: start.lsn,
            prev: start.prev,
            limit,
            once: false,
            around_cache: false,
            bytes_read: 0,
            header: None,
        })
    }

    /// For who reads everything once: what was read leaves the page cache, whoever had it read before.
    pub(crate) const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// For who reads files that get no further frame, each once: [`FileReader::around_cache`].
    pub(crate) const fn around_cache(mut self) -> Self {
        self.once = true;
        self.around_cache = true;
        self
    }

    /// Before anything was read: number of the first frame there is, and the hash before it; `None`: there is none.
    pub(crate) fn first(&mut self) -> Result<Option<(u64, Hash)>> {
        Ok((self.reader.is_some() || self.open_first()? == First::Open).then_some((self.next_lsn, self.prev)))
    }

    /// Total bytes of the journal's files, for progress bars.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.numbers
            .iter()
            .filter_map(|number| FileReader::open_if_there(&self.world, &self.dir, *number, Pages::default()).ok()??.len().ok())
            .sum()
    }

    /// Lets the cursor go on up to a later frame, after [`End::Limit`] or a clean end.
    pub(crate) fn extend(&mut self, limit: Option<u64>) -> Result<()> {
        self.limit = limit;
        self.numbers = numbers(&self.world, &self.dir)?;
        self.numbers.retain(|number| *number >= self.first);
        if let Some(reader) = &mut self.reader {
            // By its name: a writer that opened the store since has put a fresh copy in its place. Where it is gone, what was open is
            // complete.
            let buffer = std::mem::take(&mut reader.buffer);
            match FileReader::open_if_there(&self.world, &self.dir, reader.number, buffer)? {
                Some(fresh) => *reader = fresh,
                None => reader.refresh(),
            }
        }
        Ok(())
    }

    /// The file and offset behind the last frame that was read.
    pub(crate) fn place(&self) -> Option<Place> {
        self.reader.as_ref().map(|reader| Place { file: reader.number, offset: self.offset })
    }

    /// The next frame of the chain, or how it ends.
    pub(crate) fn next(&mut self) -> Result<Next<'_>> {
        loop {
            if self.limit.is_some_and(|limit| self.next_lsn >= limit) {
                return Ok(Next::End(End::Limit));
            }
            if self.reader.is_none() {
                match self.open_first()? {
                    First::Open => {}
                    First::Unused => return Ok(Next::End(End::Clean)),
                    First::Headless(file) => return Ok(Next::End(End::Broken { file, offset: 0, why: Broken::Header })),
                    First::Gone => return Ok(Next::End(End::Gone)),
                }
            }
            let offset = self.offset;
            let Some(reader) = self.reader.as_mut() else { continue };
            let found = match reader.frame_at(offset)? {
                Ok(frame) if frame.meta.store == self.store => {
                    Ok((frame.meta, frame.hash, frame.frame_bytes, frame.meta_bytes, frame.payload.len()))
                }
                Ok(_) => Err(FrameError::Magic),
                Err(error) => Err(error),
            };
            match found {
                Ok((meta, hash, frame_bytes, meta_bytes, payload_bytes))
                    if meta.lsn == self.next_lsn && meta.prev == self.prev =>
                {
                    self.next_lsn += 1;
                    self.prev = hash;
                    self.offset += frame_bytes as u64;
                    self.bytes_read += frame_bytes as u64;
                    let Some(reader) = self.reader.as_mut() else { return Ok(Next::End(End::Clean)) };
                    let place = Place { file: reader.number, offset };
                    let payload =
                        reader.bytes(offset, frame_bytes)?.get(meta_bytes..meta_bytes + payload_bytes).unwrap_or_default();
                    return Ok(Next::Frame(Frame { meta, payload, hash, frame_bytes, meta_bytes }, place));
                }
                found => {
                    if let Some(end) = self.turn_page(found.map(|(meta, ..)| meta.lsn))? {
                        return Ok(Next::End(end));
                    }
                }
            }
        }
    }

    /// Opens the first file.
    fn open_first(&mut self) -> Result<First> {
        let Some(number) = self.numbers.get(self.nth).copied() else { return Ok(First::Unused) };
        let Some(mut reader) = FileReader::open_if_there(&self.world, &self.dir, number, Pages::default())? else {
            return Ok(First::Gone);
        };
        let Some((header, length)) = reader.header(&self.store)? else { return self.headless(number) };
        if !self.started {
            self.next_lsn = header.first_lsn;
            self.prev = header.prev;
            self.started = true;
        }
        self.offset = length;
        reader.once = self.once;
        if self.around_cache {
            reader = reader.around_cache();
        }
        self.reader = Some(reader);
        self.header = Some(header);
        Ok(First::Open)
    }

    /// The first file has no header. That is so before a store's first frame; any frame but that one proves that a header was lost.
    fn headless(&self, first: u64) -> Result<First> {
        for number in self.numbers.iter().skip(self.nth) {
            let Some(mut reader) = FileReader::open_if_there(&self.world, &self.dir, *number, Pages::default())? else {
                return Ok(First::Gone);
            };
            let expected = self.next_lsn + 1;
            if reader.header(&self.store)?.is_some() || matches!(reader.tail(0, &self.store, expected)?, Tail::Frame { .. }) {
                return Ok(First::Headless(first));
            }
        }
        Ok(First::Unused)
    }

    /// There is no next frame in this file: goes over to the next one, or says how the journal ends.
    fn turn_page(&mut self, found: std::result::Result<u64, FrameError>) -> Result<Option<End>> {
        let (store, expected) = (self.store, self.next_lsn);
        let Some(mut reader) = self.reader.take() else { return Ok(Some(End::Clean)) };
        let (file, offset) = (reader.number, self.offset);
        // Look for a later file that is in use.
        let mut later = None;
        for (nth, number) in self.numbers.iter().enumerate().filter(|(_, number)| **number > file) {
            let Some(mut next) = FileReader::open_if_there(&self.world, &self.dir, *number, Pages::default())? else {
                return Ok(Some(End::Gone));
            };
            match next.header(&store)? {
                Some((header, length)) => {
                    later = Some((nth, header, length, next));
                    break;
                }
                // A first frame without its header is torn; any later one proves that something was lost.
                None => {
                    if matches!(next.tail(0, &store, expected + 1)?, Tail::Frame { .. }) {
                        return Ok(Some(End::Broken { file: *number, offset: 0, why: Broken::Header }));
                    }
                }
            }
        }
        if let Some((nth, header, length, mut next)) = later {
            if header.first_lsn == expected && header.prev == self.prev {
                next.buffer = reader.into_buffer();
                next.refresh();
                next.once = self.once;
                if self.around_cache {
                    next = next.around_cache();
                }
                self.nth = nth;
                self.offset = length;
                self.reader = Some(next);
                self.header = Some(header);
                return Ok(None);
            }
            let why = match found {
                Ok(lsn) if lsn == expected => Broken::Chain { lsn },
                Err(error) if error != FrameError::Magic => Broken::Damaged(error),
                _ if header.first_lsn > expected => Broken::Missing { expected, found: header.first_lsn },
                _ => Broken::Header,
            };
            return Ok(Some(End::Broken { file, offset, why }));
        }
        let tail = reader.tail(offset, &store, expected)?;
        self.reader = Some(reader);
        Ok(Some(match (tail, found) {
            (Tail::Empty, _) => End::Clean,
            (Tail::Torn(bytes), _) => End::Torn(bytes),
            (Tail::Frame { lsn, offset: at }, _) if at == offset && lsn == expected => {
                End::Broken { file, offset, why: Broken::Chain { lsn } }
            }
            (Tail::Frame { .. }, Err(error)) if error != FrameError::Magic => {
                End::Broken { file, offset, why: Broken::Damaged(error) }
            }
            (Tail::Frame { lsn, .. }, _) => End::Broken { file, offset, why: Broken::Missing { expected, found: lsn } },
        }))
    }
}

impl Cursor {
    /// At the file that holds position `seq` of `log`, so that what lies before it need not be read.
    pub(crate) fn skip_to(&mut self, log: u32, seq: u64) -> Result<()> {
        for (nth, number) in self.numbers.iter().enumerate().rev() {
            let Some(mut reader) = FileReader::open_if_there(&self.world, &self.dir, *number, Pages::default())? else {
                continue;
            };
            let Some((header, _)) = reader.header(&self.store)? else { continue };
            if header.logs.iter().find(|state| state.log == log).map_or(0, |state| state.size) <= seq {
                self.nth = nth;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Numbers of the journal's files, ascending.
pub(crate) fn numbers(world: &World, dir: &Path) -> Result<Vec<u64>> {
    let names = world.disk.list(&dir.join("journal")).map_err(|error| Error::io("could not list the journal", error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// How far the journal is durable while somebody writes to it; `None`: nobody does, every valid frame counts.
pub(crate) fn durable_limit(world: &World, dir: &Path, store: &StoreId) -> Result<Option<u64>> {
    match world.disk.lock(&dir.join("lock")) {
        // Nobody writes. The lock is let go at once; a starting writer tries more than once.
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let bytes = world.read_file(&dir.join("status")).map_err(|error| Error::io("could not read status", error))?;
            Ok(Some(Status::parse(&bytes).filter(|status| status.store == *store).map_or(0, |status| status.next_lsn)))
        }
        // Without the right to lock (a read-only copy) there is no writer here either.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("could not look at the writer's lock", error)),
    }
}

/// One position of a log, copied out of the journal.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Which log.
    pub log: u32,
    /// Position in the log.
    pub seq: u64,
    /// The record.
    pub bytes: Vec<u8>,
    /// Seed of its group.
    pub seed: Option<Seed>,
}

impl Stored {
    /// The record, read in place.
    #[must_use]
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.bytes)
    }

    /// Its leaf hash.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let seed = self.seed.clone().unwrap_or(Seed([0; 32]));
        self.record().map_or(Hash::ZERO, |record| leaf::leaf(&record, self.seq, &mut Salts::new(seed)))
    }

    /// Whether only its leaf hash is there.
    pub(crate) fn is_leaf(&self) -> bool {
        self.record().is_some_and(|record| record.kind() == Kind::Leaf)
    }

    pub(crate) fn tenant_seq(&self) -> Option<u64> {
        Some(self.record()?.head()?.tenant_seq)
    }
}

/// Position `seq` of `log` within one frame. Carried records are copies that no root binds: they are never shown.
pub(crate) fn in_frame(frame: &Frame<'_>, log: u32, seq: u64) -> Option<Stored> {
    if frame.meta.flags & FLAG_CARRY != 0 {
        return None;
    }
    let change = frame.meta.logs.iter().find(|change| change.log == log)?;
    let nth = seq.checked_sub(change.first_seq).filter(|nth| *nth < u64::from(change.count))?;
    let record = Records::new(frame.payload).filter(|record| record.log() == log).nth(usize::try_from(nth).ok()?)?;
    let group = seq / indelible_format::limits::GROUP_LEAVES;
    let seed = frame.meta.seeds.iter().find(|seed| (seed.log, seed.group) == (log, group)).map(|seed| seed.seed.clone());
    Some(Stored { log, seq, bytes: record.bytes().to_vec(), seed })
}

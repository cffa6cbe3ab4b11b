//! The records of one log in order, wherever they are now: in older segments, then in frames of the journal.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use indelible_format::record;
use indelible_segment::Segment;

use super::files;
use super::manifest::SegmentInfo;
use crate::commit::journal::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::read::frames::{FileReader, Pages};
use crate::world::World;

/// Rows of a segment that are read together, a multiple of what its pages have; or fewer, once they have so many bytes.
const CHUNK_ROWS: u64 = 8_192;
const CHUNK_BYTES: usize = 8 << 20;

/// Gives the records one by one.
pub(crate) struct Rows<'r> {
    world: &'r World,
    dir: &'r Path,
    log: u32,
    segments: VecDeque<&'r SegmentInfo>,
    /// The segment being read, and its next position.
    segment: Option<(Segment, &'r str, u64)>,
    frames: std::slice::Iter<'r, Place>,
    reader: Option<FileReader>,
    /// Where the records of the last frame that were not looked at yet begin and end in its file.
    rest: Range<u64>,
    /// Rows of a segment that were read and not given yet, one behind the other.
    bytes: Vec<u8>,
    ends: VecDeque<usize>,
    at: usize,
}

impl<'r> Rows<'r> {
    /// First the rows of `segments`, then the records of `log` in `frames`.
    pub(crate) fn new(world: &'r World, dir: &'r Path, log: u32, segments: &'r [SegmentInfo], frames: &'r [Place]) -> Self {
        let (bytes, ends) = (Vec::new(), VecDeque::new());
        let (segments, frames) = (segments.iter().collect(), frames.iter());
        Self { world, dir, log, segments, segment: None, frames, reader: None, rest: 0..0, bytes, ends, at: 0 }
    }

    /// The next record; `None`: that was all.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            if let Some(end) = self.ends.pop_front() {
                let record = self.bytes.get(self.at..end).unwrap_or_default();
                self.at = end;
                return Ok(Some(record));
            }
            if let Some(bytes) = self.skip_to_record()? {
                // Where it lies already: a copy of every record would cost as much as comparing it.
                let from = self.rest.start - bytes as u64;
                let held = self.reader.as_ref().map_or(&[][..], |reader| reader.held(from));
                return Ok(Some(held.get(..bytes).unwrap_or_default()));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Goes behind the next record of the log in the last frame; gives its length.
    fn skip_to_record(&mut self) -> Result<Option<usize>> {
        let Some(reader) = self.reader.as_ref().filter(|_| !self.rest.is_empty()) else { return Ok(None) };
        let mut held = reader.held(self.rest.start);
        while !self.rest.is_empty() {
            // Checksums were verified, and whoever sealed the records has parsed them: what is needed of each is how long it is and whose.
            let (length, log) = record::measure(held).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a frame has no records"))?;
            held = held.get(length..).unwrap_or_default();
            self.rest.start += length as u64;
            if log == self.log {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    /// Reads the next rows of a segment, or the next frame. Returns whether there was one.
    fn fill(&mut self) -> Result<bool> {
        self.bytes.clear();
        self.at = 0;
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        if self.segment.is_none()
            && let Some(info) = self.segments.pop_front()
        {
            self.segment = Some((files::open_segment(self.world, self.dir, info)?, &info.file, info.first_seq));
        }
        if let Some((segment, name, next)) = &mut self.segment {
            let chunk = *next..*next + CHUNK_ROWS;
            *next = chunk.end;
            let read = segment.records(chunk, &mut |seq, record| {
                bytes.extend_from_slice(record);
                ends.push_back(bytes.len());
                if bytes.len() < CHUNK_BYTES {
                    return ControlFlow::Continue(());
                }
                *next = seq + 1;
                ControlFlow::Break(())
            });
            read.map_err(|error| files::failed(name, error))?;
            if *next >= segment.first_seq() + u64::from(segment.rows()) {
                self.segment = None;
            }
            return Ok(true);
        }
        let Some(place) = self.frames.next() else { return Ok(false) };
        let reader = match self.reader.take() {
            Some(reader) if reader.number == place.file => reader,
            _ => FileReader::open(self.world, self.dir, place.file, Pages::default())?.around_cache(),
        };
        let reader = self.reader.insert(reader);
        let frame = reader.frame_at(place.offset)?.map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("a frame was read before and is not there any more: {error}"))
        })?;
        let from = place.offset + frame.meta_bytes as u64;
        self.rest = from..from + frame.payload.len() as u64;
        Ok(true)
    }
}

//! The records of one log in order, wherever they are now: in older segments, then in frames of the journal.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;

use indelible_format::record::Records;
use indelible_segment::Segment;

use super::files;
use super::manifest::SegmentInfo;
use crate::commit::journal::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::read::frames::FileReader;
use crate::world::World;

/// Rows of a segment that are read together; a multiple of what its pages have.
const CHUNK_ROWS: u64 = 8_192;

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
    /// Records that were read and not given yet, one behind the other.
    bytes: Vec<u8>,
    ends: VecDeque<usize>,
    at: usize,
}

impl<'r> Rows<'r> {
    /// First the rows of `segments`, then the records of `log` in `frames`.
    pub(crate) fn new(world: &'r World, dir: &'r Path, log: u32, segments: &'r [SegmentInfo], frames: &'r [Place]) -> Self {
        let (bytes, ends) = (Vec::new(), VecDeque::new());
        let segments = segments.iter().collect();
        Self { world, dir, log, segments, segment: None, frames: frames.iter(), reader: None, bytes, ends, at: 0 }
    }

    /// The next record; `None`: that was all.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        while self.ends.is_empty() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        let end = self.ends.pop_front().unwrap_or(self.at);
        let record = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(Some(record))
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
            let read = segment.records(*next..*next + CHUNK_ROWS, &mut |_, record| {
                bytes.extend_from_slice(record);
                ends.push_back(bytes.len());
                ControlFlow::Continue(())
            });
            read.map_err(|error| files::failed(name, error))?;
            *next += CHUNK_ROWS;
            if *next >= segment.first_seq() + u64::from(segment.rows()) {
                self.segment = None;
            }
            return Ok(true);
        }
        let Some(place) = self.frames.next() else { return Ok(false) };
        let reader = match self.reader.take() {
            Some(reader) if reader.number == place.file => reader,
            _ => FileReader::open(self.world, self.dir, place.file, Vec::new())?,
        };
        let reader = self.reader.insert(reader);
        let frame = reader.frame_at(place.offset)?.map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("a frame was read before and is not there any more: {error}"))
        })?;
        for record in Records::new(frame.payload).filter(|record| record.log() == self.log) {
            bytes.extend_from_slice(record.bytes());
            ends.push_back(bytes.len());
        }
        Ok(true)
    }
}

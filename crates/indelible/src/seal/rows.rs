//! The records of one log in order, wherever they are now: in older segments, then in frames of the journal.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;

use indelible_format::record::Records;

use super::files;
use super::manifest::SegmentInfo;
use crate::commit::journal::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::read::frames::FileReader;
use crate::world::World;

/// Gives the records one by one.
pub(crate) struct Rows<'r> {
    world: &'r World,
    dir: &'r Path,
    log: u32,
    segments: VecDeque<&'r SegmentInfo>,
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
        Self { world, dir, log, segments: segments.iter().collect(), frames: frames.iter(), reader: None, bytes, ends, at: 0 }
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

    /// Reads the next segment or frame. Returns whether there was one.
    fn fill(&mut self) -> Result<bool> {
        self.bytes.clear();
        self.at = 0;
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        if let Some(info) = self.segments.pop_front() {
            let segment = files::open_segment(self.world, self.dir, info)?;
            let read = segment.records(&mut |_, record| {
                bytes.extend_from_slice(record);
                ends.push_back(bytes.len());
                ControlFlow::Continue(())
            });
            read.map_err(|error| files::damaged(&info.file, &error))?;
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

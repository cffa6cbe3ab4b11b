//! Records of the rows that a page of an answer shows: read together, on two threads where that pays.
//!
//! The last events of somebody who seldom does anything lie far apart: each is in pages of its own, one of each column. So rows are found
//! first, by the few columns that a filter asks, and then read: a page that several of them share is read once, and half of the rows by
//! somebody else.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use indelible_format::Record;
use indelible_segment::{Column, PageCache, Reads, Segment};

use super::Query;
use super::explain::Explain;
use super::sealed::Rows;
use crate::error::Result;
use crate::seal::files;

/// Rows that are read together at most: while they are read, each takes some five kilobytes, and of large ones a segment
/// has few.
const TOGETHER_ROWS: usize = 512;
/// Rows of which half are worth a thread.
const SHARED_ROWS: usize = 16;

/// Rows that match, to be read.
#[derive(Default)]
pub(crate) struct Batch {
    segments: Vec<(String, Arc<Segment>)>,
    /// Which of the segments, and which row.
    places: Vec<(usize, u32)>,
}

/// A match.
pub(crate) struct Found {
    pub(crate) log: u32,
    pub(crate) seq: u64,
    pub(crate) received: i64,
    pub(crate) bytes: Vec<u8>,
}

/// A row that matches, whatever its record says.
pub(crate) struct Row {
    file: String,
    segment: Arc<Segment>,
    row: u32,
}

impl Row {
    pub(crate) fn new(rows: &Rows<'_>, row: u32) -> Self {
        Self { file: rows.name().to_owned(), segment: rows.shared(), row }
    }

    /// When it was admitted.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub(crate) fn received(&self, cache: &PageCache) -> Result<i64> {
        let page = self.segment.page(Column::Received, self.row, cache).map_err(|error| files::failed(&self.file, error))?;
        Ok(page.number(self.row).unwrap_or_default())
    }
}

impl Batch {
    pub(crate) fn push(&mut self, row: Row) {
        let Row { file, segment, row } = row;
        if self.segments.last().is_none_or(|(_, last)| last.id() != segment.id()) {
            self.segments.push((file, segment));
        }
        self.places.push((self.segments.len() - 1, row));
    }

    /// Reads the rows, in the order in which they were added, until they are more than `bytes_max` together.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Cancelled`.
    pub(crate) fn read(&self, query: &Query, cache: &PageCache, explain: &mut Explain, bytes_max: usize) -> Result<Vec<Found>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for places in self.places.chunks(TOGETHER_ROWS) {
            let left = bytes_max.saturating_sub(bytes);
            let read = self.read_together(places, query, cache, explain, left)?;
            for one in read {
                if bytes > bytes_max {
                    return Ok(found);
                }
                bytes += one.bytes.len();
                found.push(one);
            }
        }
        Ok(found)
    }

    fn read_together(
        &self,
        places: &[(usize, u32)],
        query: &Query,
        cache: &PageCache,
        explain: &mut Explain,
        bytes_max: usize,
    ) -> Result<Vec<Found>> {
        explain.rows_read += places.len() as u64;
        let middle = if places.len() < SHARED_ROWS { places.len() } else { places.len() / 2 };
        let (own, others) = places.split_at(middle);
        let work = |places| self.read_some(places, query, cache, bytes_max);
        let (own, others) = thread::scope(|scope| {
            let counted = || {
                let before = Reads::of_this_thread();
                let read = work(others);
                (read, Reads::of_this_thread() - before)
            };
            let spawn = || thread::Builder::new().name("indelible-rows".into()).spawn_scoped(scope, counted).ok();
            let helper = if others.is_empty() { None } else { spawn() };
            let own = work(own);
            // Where no thread is to be had, it takes longer; what this one reads is counted already.
            (own, helper.map_or_else(|| Ok((work(others), Reads::default())), thread::ScopedJoinHandle::join))
        });
        let mut found = own?;
        let (others, reads) = others.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        explain.add_reads(reads);
        found.extend(others?);
        Ok(found)
    }

    /// Reads these rows until they are more than `bytes_max` together.
    fn read_some(&self, places: &[(usize, u32)], query: &Query, cache: &PageCache, bytes_max: usize) -> Result<Vec<Found>> {
        let (mut found, mut taken) = (Vec::with_capacity(places.len()), 0);
        for places in places.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((name, segment)) = places.first().and_then(|(nth, _)| self.segments.get(*nth)) else { continue };
            query.still_wanted()?;
            let rows: Vec<u32> = places.iter().map(|(_, row)| *row).collect();
            let (log, first_seq) = (segment.log(), segment.first_seq());
            let mut headless = None;
            let read = segment.records_of(&rows, cache, &mut |nth, bytes| {
                let seq = first_seq + u64::from(rows.get(nth).copied().unwrap_or(0));
                match Record::parse(bytes).and_then(|record| record.head().map(|head| head.received)) {
                    Some(received) => found.push(Found { log, seq, received, bytes: bytes.to_vec() }),
                    None => headless = Some(seq),
                }
                taken += bytes.len();
                if taken > bytes_max || headless.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            read.map_err(|error| files::failed(name, error))?;
            if let Some(seq) = headless {
                // Its columns say that it is an event, and that it matches.
                return Err(files::damaged(name, &format!("position {seq} has no head, though its columns say so")));
            }
        }
        Ok(found)
    }
}

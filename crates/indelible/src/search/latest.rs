//! The newest matches first, a page at a time, stopping as soon as the page is full.
//!
//! Each log is walked from its end; between logs the event that was admitted later comes first. Where the page ended is told by
//! position in each log, so the next page begins exactly there, whatever was appended or sealed since.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use indelible_format::Record;
use indelible_segment::Reads;

use super::explain::Explain;
use super::fetch::{Batch, Found, Row};
use super::filter::mask::Mask;
use super::scan::incomplete;
use super::sealed::{self, Rows, Tools};
use super::{Query, View};
use crate::digest::LogHead;
use crate::error::Result;
use crate::read::Reader;
use crate::read::tail::{Moment, Opened};
use crate::seal::SegmentInfo;

/// Where a page ended, in each log there was: everything from these positions on was shown, or passed over, or came later. Of a log that
/// is not named nothing is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageEnd(BTreeMap<u32, u64>);

/// What [`Reader::latest`] found out, besides the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// Events shown.
    pub shown: u64,
    /// Where the next page begins; `None`: there is nothing older.
    pub next: Option<PageEnd>,
    /// Why events may be missing; `None`: there are none.
    pub incomplete: Option<String>,
    /// How far each log reached.
    pub heads: Vec<LogHead>,
    /// How the answer was found.
    pub explain: Explain,
}

impl std::fmt::Display for PageEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, (log, seq)) in self.0.iter().enumerate() {
            write!(f, "{}{log}:{seq}", if nth > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl std::str::FromStr for PageEnd {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let part = |part: &str| {
            let (log, seq) = part.split_once(':')?;
            Some((log.parse().ok()?, seq.parse().ok()?))
        };
        let parts: Option<BTreeMap<u32, u64>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or_else(|| format!("\"{text}\" is not where a page ended: that reads 1:4711, or 1:4711,2:33"))
    }
}

/// Events of a page, however many are asked for.
pub const PAGE_EVENTS_MAX: u64 = 10_000;
/// Bytes of records after which a page ends.
pub const PAGE_BYTES_MAX: usize = 32 << 20;

impl Reader {
    /// Shows `each` the newest matches, newest first, `limit` of them at most, until it breaks off; `before`: only those older than a
    /// page that was shown. A page ends sooner behind [`PAGE_EVENTS_MAX`] events, or as soon as its records take [`PAGE_BYTES_MAX`]; what is
    /// left is on the next one.
    ///
    /// **Cost**: what is sealed is found through its index, and rows are read only as far as needed for the page; of the unsealed part,
    /// what this reader has not seen yet is read once. Memory: the records of the page, and of a few hundred more while they are read.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Cancelled`. Nothing was shown then.
    pub fn latest(
        &self,
        query: &Query,
        limit: u64,
        before: Option<&PageEnd>,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Latest> {
        let counted = Reads::of_this_thread();
        loop {
            let moment = self.moment()?;
            let mut seen = Vec::new();
            match self.latest_at(&moment, query, limit.min(PAGE_EVENTS_MAX), before, &mut seen) {
                Ok((next, mut explain, headless)) => {
                    explain.count(counted);
                    let mut shown = 0;
                    let mut end = next;
                    for (nth, found) in seen.iter().enumerate() {
                        let Some(record) = Record::parse(&found.bytes) else { continue };
                        let Some(head) = record.head() else { continue };
                        shown += 1;
                        if each(&View { log: found.log, seq: found.seq, record: &record, head: &head }).is_break() {
                            end = Some(ends(&moment, before, seen.iter().take(nth + 1)));
                            break;
                        }
                    }
                    let incomplete = incomplete(moment.problem, headless);
                    return Ok(Latest { shown, next: end, incomplete, heads: moment.heads, explain });
                }
                // A segment may have been replaced since the moment.
                Err(error) if self.is_stale(&moment, &error)? => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn latest_at(
        &self,
        moment: &Moment,
        query: &Query,
        limit: u64,
        before: Option<&PageEnd>,
        seen: &mut Vec<Found>,
    ) -> Result<(Option<PageEnd>, Explain, u64)> {
        let tools = Tools::new(query, self.cache());
        let mut explain = Explain { segments: moment.manifest.segments.len() as u64, ..Explain::default() };
        let mut logs: Vec<Descent<'_>> = moment
            .heads
            .iter()
            .filter(|head| query.log.is_none_or(|log| log == head.log))
            .map(|head| Descent::new(head.log, begin(before, head)))
            .collect();
        let at = At { reader: self, moment, tools: &tools };
        let (mut chosen, mut rows, mut bytes) = (Vec::new(), Batch::default(), 0);
        let is_full = |chosen: &Vec<Option<Found>>, bytes: usize| chosen.len() as u64 >= limit || bytes > PAGE_BYTES_MAX;
        while !is_full(&chosen, bytes) {
            let mut live = 0;
            for log in &mut logs {
                live += usize::from(log.find(&at, &mut explain)?);
            }
            let mut newest: Option<(i64, &mut Descent<'_>)> = None;
            for log in &mut logs {
                // Between logs the event that was admitted later comes first; within one nobody need ask.
                let Some(received) = log.received(&at, live > 1)? else { continue };
                if newest.as_ref().is_none_or(|(other, _)| *other <= received) {
                    newest = Some((received, log));
                }
            }
            match newest.and_then(|(_, log)| log.next.take()) {
                Some(Candidate::Read(found)) => {
                    bytes += found.bytes.len();
                    chosen.push(Some(found));
                }
                Some(Candidate::Row(row, _)) => {
                    rows.push(row);
                    chosen.push(None);
                }
                None => break,
            }
        }
        let (found, is_full) = (chosen.len(), is_full(&chosen, bytes));
        let mut read = rows.read(query, tools.cache, &mut explain, PAGE_BYTES_MAX.saturating_sub(bytes))?.into_iter();
        seen.extend(chosen.into_iter().map_while(|found| found.or_else(|| read.next())));
        let mut is_more = seen.len() < found;
        for log in &mut logs {
            is_more = is_more || (is_full && log.find(&at, &mut explain)?);
        }
        let next = is_more.then(|| ends(moment, before, seen.iter()));
        explain.segments_not_needed = logs.iter().map(|log| log.left(moment) as u64).sum();
        Ok((next, explain, tools.headless()))
    }
}

/// The position behind the newest one of a log that may be shown.
fn begin(before: Option<&PageEnd>, head: &LogHead) -> u64 {
    before.map_or(head.size, |before| before.0.get(&head.log).copied().unwrap_or(0))
}

/// Where a page ends that shows these.
fn ends<'f>(moment: &Moment, before: Option<&PageEnd>, shown: impl Iterator<Item = &'f Found>) -> PageEnd {
    let mut end = PageEnd(moment.heads.iter().map(|head| (head.log, begin(before, head))).collect());
    for found in shown {
        end.0.insert(found.log, found.seq);
    }
    end
}

/// Where and what is asked.
struct At<'a, 'q> {
    reader: &'a Reader,
    moment: &'a Moment,
    tools: &'q Tools<'q>,
}

/// One log from its end.
struct Descent<'q> {
    log: u32,
    /// Only positions before this one.
    end: u64,
    /// Blocks of the tail that were looked at.
    tail: usize,
    /// The block being looked at, and its records that may match, of which the last is next.
    block: Option<(Opened, Mask)>,
    /// Segments that were looked at.
    segments: usize,
    rows: Option<(Rows<'q>, Vec<u32>)>,
    /// Rows of the block being looked at that may match: row and whether for certain; the newest last.
    pending: Vec<(u32, bool)>,
    /// The next match, if it was found already.
    next: Option<Candidate>,
}

/// A match that comes next in its log.
enum Candidate {
    Read(Found),
    /// It matches for certain and need not be read yet; when it was admitted, once that was asked.
    Row(Row, Option<i64>),
}

impl<'q> Descent<'q> {
    const fn new(log: u32, end: u64) -> Self {
        Self { log, end, tail: 0, block: None, segments: 0, rows: None, pending: Vec::new(), next: None }
    }

    /// Segments of this log that need not be looked at.
    fn left(&self, moment: &Moment) -> usize {
        moment.manifest.of(self.log).len().saturating_sub(self.segments)
    }

    /// Finds the next match. False: there is none.
    fn find(&mut self, at: &At<'_, 'q>, explain: &mut Explain) -> Result<bool> {
        if self.next.is_none() {
            self.next = match self.next_of_tail(at.moment, at.tools, explain)? {
                Some(found) => Some(Candidate::Read(found)),
                None => self.next_sealed(at, explain)?,
            };
        }
        Ok(self.next.is_some())
    }

    /// When the match that was found was admitted; if it does not matter, that is not looked up. `None`: there is no match.
    fn received(&mut self, at: &At<'_, 'q>, matters: bool) -> Result<Option<i64>> {
        Ok(match &mut self.next {
            None => None,
            Some(Candidate::Read(found)) => Some(found.received),
            Some(Candidate::Row(_, Some(received))) => Some(*received),
            Some(Candidate::Row(row, received)) if matters => Some(*received.insert(row.received(at.tools.cache)?)),
            Some(Candidate::Row(..)) => Some(0),
        })
    }

    fn next_of_tail(&mut self, moment: &Moment, tools: &Tools<'_>, explain: &mut Explain) -> Result<Option<Found>> {
        let sealed = moment.manifest.sealed(self.log);
        loop {
            if let Some((block, left)) = &mut self.block {
                while let Some(nth) = left.pop() {
                    let Some((log, seq)) = block.block().position(nth) else { continue };
                    if log != self.log || seq >= self.end || seq < sealed {
                        continue;
                    }
                    explain.tail_records += 1;
                    let Some(record) = block.record(nth, &moment.stock)? else { continue };
                    let Some(head) = tools.head(&record) else { continue };
                    if tools.query.matches(&View { log, seq, record: &record, head: &head }) {
                        return Ok(Some(Found { log, seq, received: head.received, bytes: record.bytes().to_vec() }));
                    }
                }
                self.block = None;
            }
            tools.query.still_wanted()?;
            let Some(at) = moment.block_count().checked_sub(self.tail + 1) else { return Ok(None) };
            self.tail += 1;
            let Some(block) = moment.block(at) else { return Ok(None) };
            let mine = block.count(self.log, &(sealed..self.end));
            if mine == 0 {
                continue;
            }
            let rows = tools.rows(block);
            explain.tail_records_by_index += mine.saturating_sub(rows.count());
            if !rows.is_empty() {
                self.block = Some((Opened::new(Arc::clone(block), rows), rows));
            }
        }
    }

    fn next_sealed(&mut self, at: &At<'_, 'q>, explain: &mut Explain) -> Result<Option<Candidate>> {
        loop {
            at.tools.query.still_wanted()?;
            while let Some((row, is_certain)) = self.pending.pop() {
                let Some((rows, _)) = &mut self.rows else { break };
                if is_certain {
                    return Ok(Some(Candidate::Row(Row::new(rows, row), None)));
                }
                let (log, seq) = (self.log, rows.segment().first_seq() + u64::from(row));
                let mut found = None;
                rows.with(row, false, explain, &mut |view| {
                    found = Some(Found { log, seq, received: view.head.received, bytes: view.record.bytes().to_vec() });
                })?;
                if let Some(found) = found {
                    return Ok(Some(Candidate::Read(found)));
                }
            }
            if let Some((rows, blocks)) = &mut self.rows {
                match blocks.pop() {
                    Some(block) => {
                        let passed = rows.sift(block, &(0..self.end), explain)?;
                        let rows = passed.may.places().map(|place| (passed.first + place, passed.must.holds(place)));
                        self.pending.extend(rows);
                        continue;
                    }
                    None => self.rows = None,
                }
            }
            let segments = at.moment.manifest.of(self.log);
            let Some(info) = segments.len().checked_sub(self.segments + 1).and_then(|nth| segments.get(nth)) else {
                return Ok(None);
            };
            self.segments += 1;
            self.rows = self.open(at.reader, info, at.tools, explain)?;
        }
    }

    fn open(
        &self,
        reader: &Reader,
        info: &SegmentInfo,
        tools: &'q Tools<'q>,
        explain: &mut Explain,
    ) -> Result<Option<(Rows<'q>, Vec<u32>)>> {
        if info.first_seq >= self.end || sealed::is_outside(tools.query, info) {
            explain.segments_by_time += 1;
            return Ok(None);
        }
        let segment = reader.segment(info)?;
        let blocks = sealed::candidates(tools, info, &segment, explain)?;
        Ok((!blocks.is_empty()).then(|| (Rows::new(tools, info, segment), blocks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_page_is_read_as_it_is_written() {
        for text in ["1:4711", "0:0,1:18446744073709551615"] {
            assert_eq!(text.parse::<PageEnd>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1:", "a:1", "1:2,", "1:-1"] {
            assert!(text.parse::<PageEnd>().is_err(), "{text}");
        }
    }
}

//! Searching one segment: index → blocks → rows by their columns → records.

use std::cell::Cell;
use std::sync::Arc;

use indelible_format::record::Kind;
use indelible_format::{Head, Record};
use indelible_segment::{BLOCK_ROWS, Bounds, Column, IndexField, PageBounds, PageCache, Scratch, Segment, SegmentError};

use super::Query;
use super::explain::Explain;
use super::filter::mask::Mask;
use super::filter::{Need, Sieve};
use super::view::View;
use crate::error::Result;
use crate::read::tail::{Block, Wanted};
use crate::seal::{SegmentInfo, files};

/// What a segment says, or why it does not.
type Told<T> = std::result::Result<T, SegmentError>;

/// What searches of one call share.
pub(crate) struct Tools<'q> {
    pub(crate) query: &'q Query,
    pub(crate) needs: Vec<Need>,
    /// The same as they are looked for in the unsealed part.
    wanted: Vec<Vec<Wanted>>,
    pub(crate) cache: &'q PageCache,
    pub(crate) passing: PageCache,
    /// Events whose head cannot be read: what they are asked is not known.
    headless: Cell<u64>,
}

/// Pages of texts that a scan keeps while it is on them.
const PASSING_BYTES: usize = 4 << 20;

impl<'q> Tools<'q> {
    pub(crate) fn new(query: &'q Query, cache: &'q PageCache) -> Self {
        let needs = query.matcher().needs();
        let wanted = |need: &Need| need.0.iter().map(|(field, term)| Wanted::new(*field, term)).collect();
        let wanted = needs.iter().map(wanted).collect();
        Self { query, needs, wanted, cache, passing: PageCache::new(PASSING_BYTES), headless: Cell::new(0) }
    }

    /// The head of a record, if it is an event; one that has none to be read is counted.
    pub(crate) fn head<'r>(&self, record: &'r Record<'_>) -> Option<Head<'r>> {
        let head = record.head();
        if head.is_none() && record.kind() == Kind::Event {
            self.headless.set(self.headless.get() + 1);
        }
        head
    }

    /// Events so far whose head cannot be read.
    pub(crate) const fn headless(&self) -> u64 {
        self.headless.get()
    }

    /// The records of a block of the unsealed part that may match.
    pub(crate) fn rows(&self, block: &Block) -> Mask {
        if block.is_outside(self.query.since, self.query.until) {
            return Mask::NONE;
        }
        let mut left = Mask::first(block.len());
        for need in &self.wanted {
            let mut found = Mask::NONE;
            need.iter().for_each(|wanted| block.find(wanted, &mut found));
            left = left.and(found);
            if left.is_empty() {
                break;
            }
        }
        left
    }
}

/// Which blocks of a segment can hold a match.
pub(crate) fn candidates(tools: &Tools<'_>, info: &SegmentInfo, segment: &Segment, explain: &mut Explain) -> Result<Vec<u32>> {
    let damaged = |error: SegmentError| files::failed(&info.file, error);
    let all = segment.rows().div_ceil(BLOCK_ROWS);
    let mut left: Option<Vec<u32>> = None;
    for need in &tools.needs {
        let mut found: Option<Vec<u32>> = Some(Vec::new());
        for (field, term) in &need.0 {
            let blocks = match segment.blocks_of(*field, term).map_err(damaged)? {
                Some(blocks) => Some(blocks.numbers().to_vec()),
                None if *field == IndexField::Id => Some(blocks_of_id(segment, term).map_err(damaged)?),
                None => None,
            };
            let blocks = match blocks {
                Some(blocks) if *field == IndexField::TargetId => {
                    Some(union(blocks, &blocks_of_whole(segment).map_err(damaged)?))
                }
                blocks => blocks,
            };
            // Where one of the terms is not indexed, anything may pass.
            found = found.zip(blocks).map(|(found, blocks)| union(found, &blocks));
        }
        if let Some(found) = found {
            left = Some(left.map_or_else(|| found.clone(), |left| intersection(&left, &found)));
        }
    }
    let mut left = left.unwrap_or_else(|| (0..all).collect());
    explain.blocks += u64::from(all);
    explain.blocks_by_index += u64::from(all) - left.len() as u64;
    let (since, until) = (tools.query.since.unwrap_or(i64::MIN), tools.query.until.unwrap_or(i64::MAX));
    if tools.query.since.is_some() || tools.query.until.is_some() {
        let timely = blocks_of_time(segment, since, until).map_err(damaged)?;
        let before = left.len();
        left.retain(|block| timely.iter().any(|range| range.contains(block)));
        explain.blocks_by_time += (before - left.len()) as u64;
    }
    Ok(left)
}

/// Ranges of blocks that may have an event of these times, by the bounds of pages.
fn blocks_of_time(segment: &Segment, since: i64, until: i64) -> Told<Vec<std::ops::Range<u32>>> {
    let mut ranges: Vec<std::ops::Range<u32>> = Vec::new();
    for page in segment.pages(Column::Time)? {
        if let Some(PageBounds::Numbers(least, greatest)) = page.bounds
            && (greatest < since || least >= until)
        {
            continue;
        }
        let range = page.first_row / BLOCK_ROWS..(page.first_row + page.rows).div_ceil(BLOCK_ROWS);
        match ranges.last_mut() {
            Some(last) if last.end >= range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    Ok(ranges)
}

/// Ids that come in order are found by the bounds of their pages.
fn blocks_of_id(segment: &Segment, id: &[u8]) -> Told<Vec<u32>> {
    let mut blocks = Vec::new();
    // Of many segments nearly all are told apart by this.
    if let Some(Bounds::Bytes(least, greatest)) = segment.bounds(Column::Id)
        && !(&**least..=&**greatest).contains(&id)
    {
        return Ok(blocks);
    }
    for page in segment.pages(Column::Id)? {
        let may = match page.bounds {
            Some(PageBounds::Bytes(least, greatest)) => (least..=greatest).contains(&id),
            _ => page.nulls != Some(u64::from(page.rows)),
        };
        if may {
            blocks.extend(page.first_row / BLOCK_ROWS..(page.first_row + page.rows).div_ceil(BLOCK_ROWS));
        }
    }
    blocks.dedup();
    Ok(blocks)
}

/// Blocks with records that are kept whole: those may have more targets than have columns, and an index.
fn blocks_of_whole(segment: &Segment) -> Told<Vec<u32>> {
    let mut blocks = Vec::new();
    if segment.is_empty(Column::Record) {
        return Ok(blocks);
    }
    for page in segment.pages(Column::Record)?.filter(|page| page.nulls != Some(u64::from(page.rows))) {
        blocks.extend(page.first_row / BLOCK_ROWS..(page.first_row + page.rows).div_ceil(BLOCK_ROWS));
    }
    Ok(blocks)
}

fn union(mut one: Vec<u32>, other: &[u32]) -> Vec<u32> {
    one.extend_from_slice(other);
    one.sort_unstable();
    one.dedup();
    one
}

fn intersection(one: &[u32], other: &[u32]) -> Vec<u32> {
    one.iter().copied().filter(|block| other.binary_search(block).is_ok()).collect()
}

/// Whether the times of a segment exclude every match.
pub(crate) fn is_outside(query: &Query, info: &SegmentInfo) -> bool {
    let Some((first, last)) = info.time else { return true };
    query.log.is_some_and(|log| log != info.log)
        || query.since.is_some_and(|since| last < since)
        || query.until.is_some_and(|until| first >= until)
}

/// A segment being searched.
pub(crate) struct Rows<'q> {
    tools: &'q Tools<'q>,
    name: String,
    segment: Arc<Segment>,
    sieve: Sieve<'q>,
    scratch: Scratch,
}

/// Rows of a block that match for certain, and those whose records must be asked.
pub(crate) struct Passed {
    pub(crate) first: u32,
    pub(crate) must: Mask,
    pub(crate) may: Mask,
}

impl<'q> Rows<'q> {
    pub(crate) fn new(tools: &'q Tools<'q>, info: &SegmentInfo, segment: Arc<Segment>) -> Self {
        let sieve = Sieve::new(tools.query.matcher(), Arc::clone(&segment), tools.cache, &tools.passing);
        Self { tools, name: info.file.clone(), segment, sieve, scratch: Scratch::default() }
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// For who goes on with it later, or on another thread.
    pub(crate) fn shared(&self) -> Arc<Segment> {
        Arc::clone(&self.segment)
    }

    /// Its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn cache(&self) -> &'q PageCache {
        self.tools.cache
    }

    /// Sifts the rows of a block whose positions lie in `seqs`.
    pub(crate) fn sift(&mut self, block: u32, seqs: &std::ops::Range<u64>, explain: &mut Explain) -> Result<Passed> {
        let first = block * BLOCK_ROWS;
        let count = self.segment.rows().saturating_sub(first).min(BLOCK_ROWS);
        let mut scope = Mask::first(count);
        let first_seq = self.segment.first_seq() + u64::from(first);
        if first_seq < seqs.start || first_seq + u64::from(count) > seqs.end {
            let place = |seq: u64| u32::try_from(seq.saturating_sub(first_seq)).unwrap_or(u32::MAX);
            scope = Mask::first(place(seqs.end)).without(Mask::first(place(seqs.start))).and(scope);
        }
        explain.rows_sifted += scope.count();
        let damaged = |error: SegmentError| files::failed(&self.name, error);
        let (since, until) = (self.tools.query.since, self.tools.query.until);
        if since.is_some() || until.is_some() {
            let last = until.map_or(i64::MAX, |until| until.saturating_sub(1));
            scope = self.sieve.times(Column::Time, since.unwrap_or(i64::MIN), last, first, scope).map_err(damaged)?;
        }
        let sifted = self.sieve.sift(first, scope).map_err(damaged)?;
        Ok(Passed { first, must: sifted.must, may: sifted.may })
    }

    /// The record of a row.
    fn record(&mut self, row: u32, explain: &mut Explain) -> Result<Record<'_>> {
        explain.rows_read += 1;
        let seq = self.segment.first_seq() + u64::from(row);
        let record = self.segment.record(seq, self.tools.cache, &mut self.scratch);
        let record = record.map_err(|error| files::failed(&self.name, error))?;
        // What is asked of it nobody can tell: an answer without it might be a wrong one.
        record.and_then(Record::parse).ok_or_else(|| files::no_record(&self.name, seq))
    }

    /// Shows `each` a row, if it matches; `is_certain`: it does. Gives whether it was shown.
    pub(crate) fn with(
        &mut self,
        row: u32,
        is_certain: bool,
        explain: &mut Explain,
        each: &mut dyn FnMut(&View<'_>),
    ) -> Result<bool> {
        let (tools, log) = (self.tools, self.segment.log());
        let seq = self.segment.first_seq() + u64::from(row);
        let record = self.record(row, explain)?;
        let Some(head) = tools.head(&record) else { return Ok(false) };
        let view = View { log, seq, record: &record, head: &head };
        let matches = is_certain || tools.query.matches(&view);
        if matches {
            each(&view);
        }
        Ok(matches)
    }

    /// Whether a row that may match does.
    pub(crate) fn matches(&mut self, row: u32, explain: &mut Explain) -> Result<bool> {
        self.with(row, false, explain, &mut |_| {})
    }
}

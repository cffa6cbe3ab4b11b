//! Some consecutive unsealed records: where each is, and a print of each of its terms.
//!
//! A print is a few bits of a term's hash. A record without the print of a term does not have the term; one with it seldom has another. So a
//! question for a term looks at the records that have it and hardly any other, and the records themselves stay in the journal.
//!
//! Memory: 26 bytes a record at most, for events as they usually are, whatever their size.

// One crate less where nothing is sealed, and prints that take a little longer.
#[cfg(not(feature = "segments"))]
use std::hash::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::LazyLock;

#[cfg(feature = "segments")]
use foldhash::fast::RandomState;
use indelible_format::record::Kind;
use indelible_format::{Field, Head, Id, Record, limits};
use indelible_segment::{BLOCK_ROWS, IndexField, pair};

use crate::search::Mask;

/// Records of a block, as many as a mask has places.
pub(super) const BLOCK_RECORDS: usize = BLOCK_ROWS as usize;

/// A frame of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramePlace {
    /// Frames are counted as they are read, from 0.
    pub(super) number: u64,
    /// Its file.
    pub(super) file: u64,
    /// Where its payload begins in the file.
    pub(super) payload: u64,
}

/// A frame, as far as its records are of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) frame: FramePlace,
    /// First of its records in the block.
    first: u32,
    /// Where the last of them ends in the payload.
    end: u32,
}

/// Positions of one log in a block: they have no gaps.
#[derive(Debug, Clone, Copy)]
struct Run {
    log: u32,
    first_seq: u64,
    count: u32,
}

/// Consecutive records of the journal; [`BLOCK_RECORDS`] at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    logs: Vec<Run>,
    /// Which of `logs` each record is of; empty while all are of the first.
    log_of: Vec<u16>,
    /// Where each record begins in the payload of its frame, and its checksum: it is compared when the record is read again.
    starts: Vec<u32>,
    checks: Vec<u32>,
    parts: Vec<Part>,
    /// `None`: they were given up, any record may have any term.
    prints: Option<Prints>,
    /// Which ids there may be; known also without prints.
    ids: Ids,
    /// Least and greatest time of its events.
    times: Option<(i64, i64)>,
}

/// Prints by field and record; 0: it has no such term. A column ends with the last record that has one.
#[derive(Debug, Clone, Default)]
struct Prints {
    /// Of ids, of which there are as many as records: longer.
    ids: Vec<u32>,
    columns: [Vec<u16>; COLUMNS.len()],
    /// Targets of a record behind its first: record and print.
    targets: Vec<(u16, u16)>,
    /// Records of which prints do not tell: without a head that can be read, or with targets beyond those that have spans.
    untold: Vec<u16>,
}

/// The ids of a block's events, roughly.
#[derive(Debug, Clone, Copy, Default)]
struct Ids {
    /// Least and greatest UUID, and whether there are other ids.
    uuids: Option<([u8; 16], [u8; 16])>,
    has_texts: bool,
    /// Whether an event is there whose id cannot be read.
    has_unread: bool,
}

impl Ids {
    fn add(&mut self, id: Option<Id<'_>>) {
        match id {
            Some(Id::Uuid(uuid)) => {
                let (least, greatest) = self.uuids.unwrap_or((uuid, uuid));
                self.uuids = Some((least.min(uuid), greatest.max(uuid)));
            }
            Some(Id::Text(_)) => self.has_texts = true,
            None => self.has_unread = true,
        }
    }

    /// Whether none of the events has the id that is looked for, if it is one.
    fn exclude(&self, wanted: &Wanted) -> bool {
        let has = match wanted.field {
            IndexField::Id => {
                let within = |id| self.uuids.is_some_and(|(least, greatest)| least <= id && id <= greatest);
                wanted.uuid.is_none_or(within)
            }
            IndexField::IdText => self.has_texts,
            _ => true,
        };
        !has && !self.has_unread
    }
}

/// The fields with a column of prints.
const COLUMNS: [IndexField; 8] = [
    IndexField::ActorId,
    IndexField::TenantAction,
    IndexField::TargetId,
    IndexField::Session,
    IndexField::OriginIp,
    IndexField::Action,
    IndexField::Tenant,
    IndexField::TraceId,
];

fn column_of(field: IndexField) -> Option<usize> {
    COLUMNS.iter().position(|column| *column == field)
}

/// A term that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    field: IndexField,
    print: u32,
    uuid: Option<[u8; 16]>,
}

impl Wanted {
    pub(crate) fn new(field: IndexField, term: &[u8]) -> Self {
        let uuid = if field == IndexField::Id { term.try_into().ok() } else { None };
        Self { field, print: print(field, term), uuid }
    }
}

/// Of this process only, so that nobody can choose terms that collide: their records would all be looked at.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Not 0.
fn print(field: IndexField, term: &[u8]) -> u32 {
    let mut hasher = SEED.build_hasher();
    hasher.write_u8(field as u8);
    hasher.write(term);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1)
}

/// The same in fewer bits; not 0 either.
fn short(print: u32) -> u16 {
    let [a, b, c, d] = print.to_le_bytes();
    (u16::from_le_bytes([a, b]) ^ u16::from_le_bytes([c, d])).max(1)
}

/// Puts a print where record `nth` has its own. Gives whether there was none yet.
fn put<T: Copy + Default + PartialEq>(column: &mut Vec<T>, nth: usize, print: T) -> bool {
    if column.len() > nth {
        return false;
    }
    column.resize(nth, T::default());
    column.push(print);
    true
}

/// Adds the places that have this print.
fn find<T: Copy + PartialEq>(column: &[T], print: T, found: &mut Mask) {
    for (chunk, first) in column.chunks(64).zip((0u32..).step_by(64)) {
        // All of a chunk, without looking where: so it takes a few instructions.
        if chunk.iter().fold(false, |any, other| any | (*other == print)) {
            chunk.iter().zip(first..).filter(|(other, _)| **other == print).for_each(|(_, place)| found.insert(place));
        }
    }
}

impl Prints {
    fn add(&mut self, nth: usize, record: &Record<'_>, head: Option<&Head<'_>>) {
        let Some(head) = head else {
            if record.kind() == Kind::Event {
                self.be_untold(nth);
            }
            return;
        };
        self.put(IndexField::Tenant, nth, head.tenant.as_bytes());
        self.put(IndexField::Action, nth, head.action.as_bytes());
        self.put(IndexField::TenantAction, nth, &pair(head.tenant.as_bytes(), head.action.as_bytes()));
        let id = match head.id {
            Id::Uuid(uuid) => print(IndexField::Id, &uuid),
            Id::Text(text) => print(IndexField::IdText, text.as_bytes()),
        };
        put(&mut self.ids, nth, id);
        if let Some(trace) = head.trace {
            self.put(IndexField::TraceId, nth, &trace.trace_id);
        }
        let mut targets = 0;
        for (field, text) in record.spans() {
            let field = match field {
                Field::ActorId => IndexField::ActorId,
                Field::Session => IndexField::Session,
                Field::OriginIp => IndexField::OriginIp,
                Field::TargetId => IndexField::TargetId,
                Field::Target => {
                    targets += 1;
                    continue;
                }
                _ => continue,
            };
            let text = std::str::from_utf8(text).unwrap_or_default();
            self.put(field, nth, indelible_format::json::unescape(text).as_bytes());
        }
        if targets >= limits::SPANNED_TARGETS_MAX {
            self.be_untold(nth);
        }
    }

    fn put(&mut self, field: IndexField, nth: usize, term: &[u8]) {
        let print = short(print(field, term));
        let Some(column) = column_of(field).and_then(|at| self.columns.get_mut(at)) else { return };
        match (put(column, nth, print), field) {
            (true, _) => {}
            (false, IndexField::TargetId) => self.targets.push((u16::try_from(nth).unwrap_or(u16::MAX), print)),
            (false, _) => self.be_untold(nth),
        }
    }

    fn be_untold(&mut self, nth: usize) {
        self.untold.push(u16::try_from(nth).unwrap_or(u16::MAX));
    }

    /// Adds the records that may have a term.
    fn find(&self, wanted: &Wanted, found: &mut Mask) {
        self.untold.iter().for_each(|nth| found.insert(u32::from(*nth)));
        match wanted.field {
            IndexField::Id | IndexField::IdText => find(&self.ids, wanted.print, found),
            field => {
                let print = short(wanted.print);
                find(column_of(field).and_then(|at| self.columns.get(at)).map_or(&[], Vec::as_slice), print, found);
                if field == IndexField::TargetId {
                    let others = self.targets.iter().filter(|(_, other)| *other == print);
                    others.for_each(|(nth, _)| found.insert(u32::from(*nth)));
                }
            }
        }
    }

    fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.capacity() * 2).sum();
        self.ids.capacity() * 4 + columns + self.targets.capacity() * 4 + self.untold.capacity() * 2
    }

    fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.columns.iter_mut().for_each(Vec::shrink_to_fit);
        self.targets.shrink_to_fit();
        self.untold.shrink_to_fit();
    }
}

impl Block {
    pub(super) fn new() -> Self {
        Self { prints: Some(Prints::default()), ..Self::default() }
    }

    /// Number of its records.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// Log and position of a record.
    pub(crate) fn position(&self, nth: u32) -> Option<(u32, u64)> {
        if nth >= self.len() {
            return None;
        }
        if self.log_of.is_empty() {
            return self.logs.first().map(|run| (run.log, run.first_seq + u64::from(nth)));
        }
        let log = *self.log_of.get(nth as usize)?;
        let before = self.log_of.get(..nth as usize)?.iter().filter(|other| **other == log).count();
        self.logs.get(usize::from(log)).map(|run| (run.log, run.first_seq + before as u64))
    }

    /// How many of its records are of a log, and within these positions.
    pub(crate) fn count(&self, log: u32, seqs: &Range<u64>) -> u64 {
        let Some(run) = self.logs.iter().find(|run| run.log == log) else { return 0 };
        seqs.end.min(run.first_seq + u64::from(run.count)).saturating_sub(seqs.start.max(run.first_seq))
    }

    /// Whether every record lies before the positions that `sealed` gives for its log.
    pub(super) fn is_before(&self, sealed: impl Fn(u32) -> u64) -> bool {
        self.logs.iter().all(|run| run.first_seq + u64::from(run.count) <= sealed(run.log))
    }

    /// Whether no event is of these times: from the first on, before the second.
    pub(crate) fn is_outside(&self, since: Option<i64>, until: Option<i64>) -> bool {
        self.times.is_none_or(|(least, greatest)| {
            since.is_some_and(|since| greatest < since) || until.is_some_and(|until| least >= until)
        })
    }

    /// Adds the records that may have a term; all that have it are among them.
    pub(crate) fn find(&self, wanted: &Wanted, found: &mut Mask) {
        match &self.prints {
            _ if self.ids.exclude(wanted) => {}
            Some(prints) => prints.find(wanted, found),
            None => *found = Mask::first(self.len()),
        }
    }

    /// The frame that a record is in: which of the block's, and the records and bytes of its payload that are in the block.
    pub(super) fn part(&self, nth: u32) -> Option<(&Part, Range<u32>, Range<u32>)> {
        let at = self.parts.partition_point(|part| part.first <= nth).checked_sub(1)?;
        let part = self.parts.get(at)?;
        let records = part.first..self.parts.get(at + 1).map_or(self.len(), |next| next.first);
        Some((part, records, *self.starts.get(part.first as usize)?..part.end))
    }

    /// Where a record begins in the payload of its frame, where what may be its last byte ends, and its checksum.
    pub(super) fn place(&self, nth: u32) -> Option<(Range<u32>, u32)> {
        let (part, records, _) = self.part(nth)?;
        let start = *self.starts.get(nth as usize)?;
        let end = if nth + 1 < records.end { *self.starts.get(nth as usize + 1)? } else { part.end };
        Some((start..end, *self.checks.get(nth as usize)?))
    }

    /// Adds the next record, which begins at `start` of the payload of a frame.
    pub(super) fn push(&mut self, frame: FramePlace, (log, seq): (u32, u64), start: u32, record: &Record<'_>) {
        let nth = self.starts.len();
        let first = u32::try_from(nth).unwrap_or(u32::MAX);
        if self.parts.last().is_none_or(|part| part.frame.number != frame.number) {
            self.parts.push(Part { frame, first, end: start });
        }
        if let Some(part) = self.parts.last_mut() {
            part.end = start.saturating_add(u32::try_from(record.bytes().len()).unwrap_or(u32::MAX));
        }
        let at = self.logs.iter().position(|run| run.log == log).unwrap_or_else(|| {
            self.logs.push(Run { log, first_seq: seq, count: 0 });
            self.logs.len() - 1
        });
        if at > 0 && self.log_of.is_empty() {
            self.log_of.resize(nth, 0);
        }
        if at > 0 || !self.log_of.is_empty() {
            self.log_of.push(u16::try_from(at).unwrap_or(u16::MAX));
        }
        if let Some(run) = self.logs.get_mut(at) {
            run.count += 1;
        }
        self.starts.push(start);
        self.checks.push(crc32c::crc32c(record.bytes()));
        let head = record.head();
        if let Some(prints) = &mut self.prints {
            prints.add(nth, record, head.as_ref());
        }
        if record.kind() == Kind::Event {
            self.ids.add(head.as_ref().map(|head| head.id));
            // One that cannot be read may be of any time.
            let (first, last) = head.map_or((i64::MIN, i64::MAX), |head| (head.time, head.time));
            let (least, greatest) = self.times.unwrap_or((first, last));
            self.times = Some((least.min(first), greatest.max(last)));
        }
    }

    /// No more records come.
    pub(super) fn shrink(&mut self) {
        self.logs.shrink_to_fit();
        self.log_of.shrink_to_fit();
        self.parts.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.checks.shrink_to_fit();
        self.prints.iter_mut().for_each(Prints::shrink);
    }

    /// The same without prints: less memory, and every record is looked at.
    pub(super) fn without_prints(&self) -> Self {
        Self { prints: None, ..self.clone() }
    }

    pub(super) const fn has_prints(&self) -> bool {
        self.prints.is_some()
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.prints.as_ref().map_or(0, Prints::memory)
            + (self.starts.capacity() + self.checks.capacity()) * 4
            + self.log_of.capacity() * 2
            + self.logs.capacity() * size_of::<Run>()
            + self.parts.capacity() * size_of::<Part>()
    }
}

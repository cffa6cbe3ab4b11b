//! Some rows of a window, fetched column by column before they are laid out row by row.
//!
//! Most rows look alike: an event with a UUID, whose texts are words of dictionaries. Asking some forty pages for one value each, row by
//! row, costs more than the values; a column that is asked for many rows at once is unpacked in one go, and one without values is not asked
//! at all. Rows that are not as usual ([`Cells::strip`]) are rebuilt one by one by [`Window::record`], which is also what tests compare with.

use std::ops::Range;

use super::page::{Page, Shape, Values};
use super::presence::Presence;
use super::rebuild::Window;
use super::store::{Dictionary, Store};
use crate::column::Column;
use crate::write::kind;

/// Where a value lies in the bytes of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) start: u32,
    /// [`Cell::NONE`] has a length that no value has.
    pub(super) length: u32,
}

impl Cell {
    const NONE: Self = Self { start: 0, length: u32::MAX };

    /// Between where a value begins and where it ends; none if that is no range.
    #[inline(always)]
    fn between(start: u32, end: u32) -> Self {
        end.checked_sub(start).map_or(Self::NONE, |length| Self { start, length })
    }
}

/// The texts of rows of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane<'w> {
    bytes: &'w [u8],
    cells: &'w [Cell],
    /// All ones; zero if every row has the first cell.
    mask: usize,
    /// Whether all of them are known to stand in a JSON string as they are.
    pub(super) is_plain: bool,
}

impl<'w> Lane<'w> {
    /// The value of a row of the strip: the bytes that begin with it, and how many of them it is.
    #[inline(always)]
    pub(super) fn get(&self, nth: usize) -> Option<(&'w [u8], usize)> {
        let cell = *self.cells.get(nth & self.mask)?;
        let length = cell.length as usize;
        let bytes = self.bytes.get(cell.start as usize..)?;
        (length <= bytes.len()).then_some((bytes, length))
    }

    /// The value of a row of the strip.
    #[inline(always)]
    pub(super) fn value(&self, nth: usize) -> Option<&'w [u8]> {
        self.get(nth).and_then(|(bytes, length)| bytes.get(..length))
    }

    /// The longest value.
    fn longest(&self) -> usize {
        let there = |cell: &&Cell| **cell != Cell::NONE;
        self.cells.iter().filter(there).map(|cell| cell.length as usize).max().unwrap_or(0)
    }
}

/// Columns of texts, in the order of [`Strip::texts`].
const TEXTS: [Column; 18] = [
    Column::ActorEmail,
    Column::ActorId,
    Column::ActorName,
    Column::ActorType,
    Column::IdentityDetails,
    Column::OriginHost,
    Column::OriginIp,
    Column::OriginUserAgent,
    Column::Session,
    Column::Details,
    Column::TargetId,
    Column::TargetName,
    Column::TargetType,
    Column::Id,
    Column::Tenant,
    Column::Action,
    Column::Source,
    Column::ProducerId,
];
/// Columns of numbers that every row must have, and those that stand with `producer.id`.
const NUMBERS: [Column; 6] =
    [Column::TenantSeq, Column::Time, Column::Received, Column::Weight, Column::ProducerEpoch, Column::ProducerSeq];
const CODES: [Column; 3] = [Column::Outcome, Column::Severity, Column::Class];
/// Columns that stand together.
const PRODUCER: [Column; 3] = [Column::ProducerId, Column::ProducerEpoch, Column::ProducerSeq];
const TARGETS: [Column; 3] = [Column::TargetId, Column::TargetName, Column::TargetType];
/// Columns without which a row is as usual.
const UNUSUAL: [Column; 10] = [
    Column::Record,
    Column::Control,
    Column::Leaf,
    Column::IdText,
    Column::RawMediaType,
    Column::RawBytes,
    Column::IdempotencyKey,
    Column::IdempotencyStatement,
    Column::TraceId,
    Column::SpanId,
];

/// Rows that are laid out alike.
pub(super) struct Strip<'w> {
    pub(super) texts: [Lane<'w>; TEXTS.len()],
    /// Of each column one number, or one for each row.
    pub(super) numbers: [&'w [i64]; NUMBERS.len()],
    pub(super) codes: [&'w [u8]; CODES.len()],
    pub(super) has_producer: bool,
    pub(super) has_target: bool,
    /// Whether every action was looked at already.
    pub(super) are_actions: bool,
    /// The longest record there can be if no text needs escapes.
    pub(super) bytes_max: usize,
}

/// Bytes of a record beside its texts; generous.
const FRAME_BYTES: usize = 1024;

/// Memory of strips, used again from one to the next.
#[derive(Debug, Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    numbers: Vec<i64>,
    codes: Vec<u8>,
    words: Vec<u32>,
}

impl Cells {
    /// Fetches these rows, which the pages of the window all have. `None`: they are not as usual.
    ///
    /// Usual are events with a UUID, and with one target or none, that have neither trace, frameworks, raw record, idempotency key nor
    /// whole record, all of them with or all without a producer; and whose position and log are those that their place says.
    pub(super) fn strip<'w>(&'w mut self, window: &'w Window, rows: &Range<u32>, first_seq: u64, log: u32) -> Option<Strip<'w>> {
        let page = |column| window.page(column);
        let kinds = page(Column::Kind)?;
        let is_event = |row| kinds.bytes(row) == Some(kind::EVENT);
        let usual = if kinds.same().is_some() { is_event(rows.start) } else { rows.clone().all(is_event) };
        let empty = |column: &Column| page(*column).is_some_and(|page| is_empty(page, rows));
        let full = |column: &Column| page(*column).is_some_and(|page| is_full(page, rows));
        if !(usual && UNUSUAL.iter().all(empty) && full(&Column::Id) && self.is_in_place(window, rows, first_seq, log)?) {
            return None;
        }
        // A framework without a text is no null: the row is no record.
        if !has_each(page(Column::Frameworks)?, rows, 0) {
            return None;
        }
        let has_producer = PRODUCER.iter().all(full);
        if !has_producer && !empty(&Column::ProducerId) {
            return None;
        }
        let have_targets = |count| TARGETS.iter().all(|column| page(*column).is_some_and(|page| has_each(page, rows, count)));
        let has_target = have_targets(1);
        if !has_target && !have_targets(0) {
            return None;
        }
        let mut are_plain = [false; TEXTS.len()];
        let mut text_ends = [0; TEXTS.len()];
        self.cells.clear();
        for ((column, is_plain), end) in TEXTS.iter().zip(&mut are_plain).zip(&mut text_ends) {
            if has_target || !TARGETS.contains(column) {
                *is_plain = self.texts(page(*column)?, rows)?;
            }
            *end = self.cells.len();
        }
        let mut number_ends = [0; NUMBERS.len()];
        self.numbers.clear();
        for (column, end) in NUMBERS.iter().zip(&mut number_ends) {
            let is_needed = has_producer || !PRODUCER.contains(column);
            if is_needed {
                self.number(page(*column)?, rows)?;
            }
            *end = self.numbers.len();
        }
        let mut code_ends = [0; CODES.len()];
        self.codes.clear();
        for (column, end) in CODES.iter().zip(&mut code_ends) {
            self.code(page(*column)?, rows)?;
            *end = self.codes.len();
        }
        let mut nth = 0;
        let (mut from, cells) = (0, self.cells.as_slice());
        let texts = TEXTS.map(|column| {
            let end = text_ends.get(nth).copied().unwrap_or(0);
            let lane = Lane {
                bytes: page(column).map_or(&[], bytes_of),
                cells: cells.get(from..end).unwrap_or_default(),
                mask: if end - from == 1 { 0 } else { usize::MAX },
                is_plain: are_plain.get(nth).copied().unwrap_or(false),
            };
            (nth, from) = (nth + 1, end);
            lane
        });
        let bytes_max = FRAME_BYTES + texts.iter().map(Lane::longest).sum::<usize>();
        Some(Strip {
            bytes_max,
            texts,
            numbers: pieces(&self.numbers, number_ends),
            codes: pieces(&self.codes, code_ends),
            has_producer,
            has_target,
            are_actions: page(Column::Action)?.dictionary().is_some_and(|dictionary| dictionary.are_actions),
        })
    }

    /// Whether position and log of these rows are those that their place says.
    fn is_in_place(&mut self, window: &Window, rows: &Range<u32>, first_seq: u64, log: u32) -> Option<bool> {
        let (seqs, logs) = (window.page(Column::Seq)?, window.page(Column::Log)?);
        self.numbers.clear();
        seqs.numbers_in(rows.clone(), &mut self.numbers);
        let seq = |row: u32| first_seq.wrapping_add(u64::from(row)).cast_signed();
        let in_order = seqs.is_full() && self.numbers.iter().copied().eq(rows.clone().map(seq));
        Some(in_order && logs.same().is_some() && logs.number(rows.start) == Some(i64::from(log)))
    }

    /// Appends where the texts of these rows lie: one cell for each, one for all, or none if there are none. Gives whether all of them are
    /// known to be plain. `None`: they lie nowhere.
    fn texts(&mut self, page: &Page, rows: &Range<u32>) -> Option<bool> {
        if page.is_empty() {
            return Some(true);
        }
        // A row has one element here, or there is no list.
        let slot = |row: u32| page.presence.slot(page.elements(row).start);
        match (&page.values, &page.dictionary) {
            (Values::Same(word), Some(dictionary)) if matches!(page.presence, Presence::All) => {
                self.cells.push(cell_of(&dictionary.store, *word as usize));
                Some(dictionary.is_plain)
            }
            (Values::Same(_) | Values::Packed(..) | Values::Words(_), Some(dictionary)) => {
                self.words.clear();
                page.indices_in(rows.clone(), &mut self.words);
                let first = self.cells.len();
                self.cells.extend(self.words.iter().map(|word| cell_of(&dictionary.store, *word as usize)));
                fetch(dictionary, self.cells.get(first..)?);
                Some(dictionary.is_plain)
            }
            (Values::Store(store), _) => {
                self.cells.extend(rows.clone().map(|row| slot(row).map_or(Cell::NONE, |slot| cell_of(store, slot))));
                Some(false)
            }
            (Values::Ids(ids), _) => {
                let cell = |slot: usize| {
                    let start = u32::try_from(slot * 16).ok().filter(|_| slot < ids.len());
                    start.map_or(Cell::NONE, |start| Cell { start, length: 16 })
                };
                self.cells.extend(rows.clone().map(|row| slot(row).map_or(Cell::NONE, cell)));
                Some(false)
            }
            _ => None,
        }
    }

    /// Appends one number for each of these rows, or one for all. `None`: a row has none.
    fn number(&mut self, page: &Page, rows: &Range<u32>) -> Option<()> {
        if page.same().is_some() {
            self.numbers.push(page.number(rows.start)?);
            return Some(());
        }
        if page.is_full() && matches!(page.values, Values::Numbers(_)) {
            page.numbers_in(rows.clone(), &mut self.numbers);
            return Some(());
        }
        rows.clone().try_for_each(|row| {
            self.numbers.push(page.number(row)?);
            Some(())
        })
    }

    /// Appends the code of each of these rows, or one for all. `None`: a row has none, or the dictionary does not know.
    fn code(&mut self, page: &Page, rows: &Range<u32>) -> Option<()> {
        let dictionary = page.dictionary()?;
        if let Some(word) = page.same() {
            self.codes.push(dictionary.code(word)?);
            return Some(());
        }
        self.words.clear();
        page.indices_in(rows.clone(), &mut self.words);
        self.words.iter().try_for_each(|word| {
            self.codes.push(dictionary.code(*word)?);
            Some(())
        })
    }
}

/// Whether none of these rows has a value.
fn is_empty(page: &Page, rows: &Range<u32>) -> bool {
    page.is_empty() || rows.clone().all(|row| page.is_null(row))
}

/// Whether each of these rows has a value; not for lists.
fn is_full(page: &Page, rows: &Range<u32>) -> bool {
    page.is_full() || rows.clone().all(|row| !page.is_null(row))
}

/// Whether each of these rows has so many elements.
fn has_each(page: &Page, rows: &Range<u32>, count: usize) -> bool {
    match &page.shape {
        Shape::OneEach => count == 1,
        Shape::Empty => count == 0,
        Shape::Lists(_) => rows.clone().all(|row| page.elements(row).len() == count),
    }
}

/// What the cells of a page count in.
fn bytes_of(page: &Page) -> &[u8] {
    match (&page.values, &page.dictionary) {
        (Values::Store(store), _) => store.bytes(),
        (Values::Ids(ids), _) => ids.as_flattened(),
        (_, Some(dictionary)) => dictionary.store.bytes(),
        _ => &[],
    }
}

#[inline(always)]
fn cell_of(store: &Store, nth: usize) -> Cell {
    match store {
        Store::Texts(_, starts) => match starts.get(nth..).and_then(<[u32]>::first_chunk::<2>) {
            // The next one begins behind its length of four bytes.
            Some([start, next]) => Cell::between(*start, next.wrapping_sub(4)),
            None => Cell::NONE,
        },
        Store::Fixed(_, size, count) => {
            let ends = (u32::try_from(nth * size).ok(), u32::try_from((nth + 1) * size).ok());
            match ends {
                (Some(start), Some(end)) if nth < *count => Cell::between(start, end),
                _ => Cell::NONE,
            }
        }
    }
}

/// Looks at the values, so that they lie near when they are needed one by one: what is far is waited for once instead of again and again.
fn fetch(dictionary: &Dictionary, cells: &[Cell]) {
    if dictionary.is_far() {
        let bytes = dictionary.store.bytes();
        let first = |cell: &Cell| bytes.get(cell.start as usize).copied().unwrap_or(0);
        // The result is of no use; this keeps the compiler from knowing it.
        std::hint::black_box(cells.iter().map(first).fold(0, |all, byte| all | byte));
    }
}

/// The pieces of `all` that end at `ends`.
fn pieces<T, const N: usize>(all: &[T], ends: [usize; N]) -> [&[T]; N] {
    let mut from = 0;
    ends.map(|end| {
        let piece = all.get(from..end).unwrap_or_default();
        from = end;
        piece
    })
}

//! One column while a segment is written: values come in row by row and leave as encoded pages.
//!
//! Invariants: pages begin at multiples of [`STRIDE`] rows; a page is constant, or has no more rows than its encoding allows; a run of
//! constant rows is kept as a count, however long it is.

mod levels;
mod pages;

use levels::Levels;

use crate::column::{Coding, Column};
use crate::container::footer::{Chunk, PagePlace, Zone};
use crate::container::page_header::{self as encoding, Body};
use crate::error::Result;
use crate::limits::STRIDE;
use crate::pieces::PieceList;
use crate::write::dictionary::Dictionary;
use crate::write::page::{Habit, PageMaker};

/// Rows of a page of words: what one random access reads and checks.
const WORD_PAGE_ROWS: u32 = 4_096;
/// Rows of a page of numbers: one random access adds up all differences before its own.
const NUMBER_PAGE_ROWS: u32 = 2_048;
/// Rows of a page of ids.
const ID_PAGE_ROWS: u32 = 1_024;
/// Rows of a page of texts written out, and bytes at which the next begins.
const PLAIN_PAGE_ROWS: u32 = 8_192;
const PLAIN_PAGE_BYTES: usize = 16 << 10;
/// Memory for texts written out that is kept from page to page: one page of large ones needs more.
const PLAIN_SPARE_BYTES: usize = 1 << 20;
/// Bytes of a dictionary beyond which values are written out.
const DICTIONARY_BYTES: usize = 4 << 20;
/// Values after which a dictionary shall have shown that it is of use, and the share of new ones above which it is not.
const DICTIONARY_TRIAL: u64 = 16_384;
/// Words of a column by whose frequency its dictionary is put in order: frequent ones first, so that their numbers are small and alike.
const ORDER_WORDS: usize = 1 << 16;
/// Distinct values up to which pages of words have bounds.
const BOUNDED_VALUES_MAX: usize = 256;
/// Longest text that is a bound.
const BOUND_BYTES_MAX: usize = 64;

/// Values of the page in the making.
enum Values {
    /// Numbers of the dictionary.
    Words(Vec<u32>),
    /// PLAIN already, and how many.
    Plain(Vec<u8>, usize),
    Numbers(Vec<i64>),
    Ids(Vec<[u8; 16]>),
}

/// Rows that are all the same: their levels, and the number of their value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Same {
    definition: u8,
    word: Option<u32>,
}

/// How words are numbered in the file.
enum Order {
    /// Not known yet: pages wait until there are enough words.
    Open { pages: Vec<Waiting>, words: usize },
    /// By frequency, as far as they were known then: the number in the file of each. Later words keep theirs.
    Known(Vec<u32>),
}

/// A page whose words are not numbered yet.
struct Waiting {
    body: Body,
    levels: Vec<u8>,
    words: Vec<u32>,
}

/// A column in the making.
pub(crate) struct ColumnWriter {
    column: Column,
    /// Rows before `definitions` and `values` that belong to the same page; all of them are this.
    run: Option<(Same, u32)>,
    definitions: Levels,
    repetitions: Levels,
    values: Values,
    /// Rows in `definitions` and `values`.
    rows: u32,
    /// First row of the page in the making, and of the segment's rows that were taken into account.
    first_row: u32,
    dictionary: Dictionary,
    /// How many words of the page in the making were numbered before this stride.
    settled: usize,
    order: Order,
    total_entries: u64,
    total_nulls: u64,
    raw_bytes: u64,
    out: Pieces,
    pages: Vec<PagePlace>,
    zones: Option<Vec<Zone>>,
    encodings: Vec<i32>,
    habit: Habit,
}

/// A finished column, all but its dictionary page, which stands in front of the others and is made last.
pub(crate) struct Finished {
    /// Offsets are counted from the first page.
    pub(crate) pages: Vec<PagePlace>,
    pub(crate) zones: Option<Vec<Zone>>,
    pub(crate) chunk: Chunk,
    pub(crate) dictionary_page: Vec<u8>,
    pub(crate) pieces: PieceList,
    /// The pages, one behind the other.
    pub(crate) out: Vec<Vec<u8>>,
}

/// Bytes of a piece of encoded pages.
const PIECE_BYTES: usize = 1 << 20;

/// Encoded pages in pieces of about one size: memory that grows by doubling is copied as it grows, and half of it may be empty.
#[derive(Default)]
struct Pieces {
    full: Vec<Vec<u8>>,
    full_bytes: usize,
    /// The piece that takes the next page.
    last: Vec<u8>,
}

impl Pieces {
    const fn bytes(&self) -> usize {
        self.full_bytes + self.last.len()
    }

    /// To be called behind a page.
    fn turn(&mut self) {
        if self.last.len() >= PIECE_BYTES {
            self.full_bytes += self.last.len();
            // A page more than a piece still fits, nearly always.
            let next = Vec::with_capacity(PIECE_BYTES + 2 * PLAIN_PAGE_BYTES);
            self.full.push(std::mem::replace(&mut self.last, next));
        }
    }

    fn into_all(mut self) -> Vec<Vec<u8>> {
        self.full.push(self.last);
        self.full
    }
}

impl ColumnWriter {
    pub(crate) fn new(column: Column) -> Self {
        let (values, bounded) = match column.coding() {
            Coding::Words => (Values::Words(Vec::new()), true),
            Coding::Delta => (Values::Numbers(Vec::new()), true),
            Coding::Ids => (Values::Ids(Vec::new()), true),
            Coding::Plain => (Values::Plain(Vec::new(), 0), false),
        };
        Self {
            column,
            run: None,
            definitions: Levels::default(),
            repetitions: Levels::default(),
            values,
            rows: 0,
            first_row: 0,
            dictionary: Dictionary::default(),
            settled: 0,
            order: match column.coding() {
                Coding::Words => Order::Open { pages: Vec::new(), words: 0 },
                Coding::Delta | Coding::Ids | Coding::Plain => Order::Known(Vec::new()),
            },
            total_entries: 0,
            total_nulls: 0,
            raw_bytes: 0,
            out: Pieces::default(),
            pages: Vec::new(),
            zones: bounded.then(Vec::new),
            encodings: vec![encoding::RLE],
            habit: Habit::default(),
        }
    }

    /// An entry without a value; `level` says what of it is there.
    #[inline]
    pub(crate) fn null(&mut self, level: u8) {
        self.definitions.push(level);
    }

    /// Where the entry stands in its row's list: 0 begins a row.
    #[inline]
    pub(crate) fn repetition(&mut self, level: u8) {
        self.repetitions.push(level);
    }

    /// A number.
    #[inline]
    pub(crate) fn number(&mut self, value: i64) {
        match &mut self.values {
            Values::Numbers(numbers) => {
                numbers.push(value);
                self.definitions.push(self.column.place().level_max());
            }
            _ => {
                let bytes = value.to_le_bytes();
                self.bytes(bytes.get(..self.column.fixed_bytes().unwrap_or(8)).unwrap_or_default());
            }
        }
    }

    /// Text or bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.definitions.push(self.column.place().level_max());
        match &mut self.values {
            Values::Words(words) if self.dictionary.is_near() => words.push(self.dictionary.number_of(value)),
            Values::Words(_) => self.dictionary.ask(value),
            Values::Plain(bytes, count) => {
                if self.column.fixed_bytes().is_none() {
                    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
                }
                bytes.extend_from_slice(value);
                *count += 1;
            }
            Values::Ids(ids) => ids.extend(value.first_chunk::<16>()),
            Values::Numbers(_) => {}
        }
    }

    /// Whether its values have numbers: if so, until the next stride ends at least.
    #[inline]
    pub(crate) const fn has_words(&self) -> bool {
        matches!(self.values, Values::Words(_))
    }

    /// Numbers the values since the last stride; to be called before it ends.
    pub(crate) fn settle(&mut self) {
        if let Values::Words(words) = &mut self.values {
            self.dictionary.settle(words);
        }
    }

    /// The numbers of the values since the last stride, if values have numbers.
    pub(crate) fn settled(&self) -> Option<&[u32]> {
        match &self.values {
            Values::Words(words) => words.get(self.settled..),
            Values::Plain(..) | Values::Numbers(_) | Values::Ids(_) => None,
        }
    }

    /// What the rows in the buffers are, if they are all the same.
    fn same(&self) -> Option<Same> {
        let definition = self.definitions.constant()?;
        // In a list the same thing must stand once in each row.
        if self.column.is_list() && (self.repetitions.constant() != Some(0) || self.repetitions.count() != self.rows as usize) {
            return None;
        }
        if definition < self.column.place().level_max() {
            return Some(Same { definition, word: None });
        }
        match &self.values {
            Values::Words(words) => {
                let first = *words.first()?;
                words.iter().all(|word| *word == first).then_some(Same { definition, word: Some(first) })
            }
            _ => None,
        }
    }

    /// Told after every [`STRIDE`] rows, and at the end: ends the page if it is full.
    pub(crate) fn stride(&mut self, rows: u32, maker: &mut PageMaker) -> Result<()> {
        self.end_stride(rows, maker)?;
        if let Values::Words(words) = &self.values {
            self.settled = words.len();
        }
        Ok(())
    }

    fn end_stride(&mut self, rows: u32, maker: &mut PageMaker) -> Result<()> {
        self.rows += rows;
        let begins = self.rows == rows;
        if begins && let Some(same) = self.same() {
            match &mut self.run {
                Some((run, count)) if *run == same => {
                    *count += rows;
                    self.rows = 0;
                    self.clear();
                    return Ok(());
                }
                None => {
                    self.run = Some((same, rows));
                    self.rows = 0;
                    self.clear();
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        if let Some((same, count)) = self.run.take() {
            if count >= WORD_PAGE_ROWS {
                self.flush_run(same, count, maker)?;
                // What follows may be a run of its own.
                self.rows -= rows;
                return self.end_stride(rows, maker);
            }
            self.unfold(same, count);
        }
        let full = match &self.values {
            Values::Words(_) => self.rows >= WORD_PAGE_ROWS,
            Values::Numbers(_) => self.rows >= NUMBER_PAGE_ROWS,
            Values::Ids(_) => self.rows >= ID_PAGE_ROWS,
            Values::Plain(bytes, _) => self.rows >= PLAIN_PAGE_ROWS || bytes.len() >= PLAIN_PAGE_BYTES,
        };
        if full || self.dictionary_is_full() {
            self.flush(maker)?;
        }
        Ok(())
    }

    fn dictionary_is_full(&self) -> bool {
        if !matches!(self.values, Values::Words(_)) {
            return false;
        }
        let values = self.dictionary.len() as u64;
        let waiting = match &self.order {
            Order::Open { words, .. } => *words as u64,
            Order::Known(_) => 0,
        };
        let met = self.total_entries - self.total_nulls + waiting;
        self.dictionary.bytes() > DICTIONARY_BYTES || met >= DICTIONARY_TRIAL && values * 4 > met * 3
    }

    /// Puts the rows of a run that became too short for a page of its own in front of those in the buffers.
    fn unfold(&mut self, same: Same, count: u32) {
        let before = count as usize;
        self.definitions.unfold(before, same.definition);
        if self.column.is_list() {
            self.repetitions.unfold(before, 0);
        }
        if let (Some(word), Values::Words(words)) = (same.word, &mut self.values) {
            words.splice(..0, std::iter::repeat_n(word, before));
        }
        self.rows += count;
    }

    /// Bytes of memory that it takes between two strides.
    pub(crate) fn memory(&self) -> usize {
        let values = match &self.values {
            Values::Words(words) => size_of_val(words.as_slice()),
            Values::Plain(bytes, _) => bytes.len(),
            Values::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Values::Ids(ids) => size_of_val(ids.as_slice()),
        };
        let numbered = match &self.order {
            Order::Open { words, .. } => words * size_of::<u32>(),
            Order::Known(numbers) => size_of_val(numbers.as_slice()),
        };
        let zones = self.zones.as_ref().map_or(0, |zones| size_of_val(zones.as_slice()));
        self.out.bytes() + values + numbered + self.dictionary.memory() + size_of_val(self.pages.as_slice()) + zones
    }

    fn clear(&mut self) {
        self.definitions.clear();
        self.repetitions.clear();
        match &mut self.values {
            Values::Words(words) => words.clear(),
            Values::Plain(bytes, count) => {
                bytes.clear();
                bytes.shrink_to(PLAIN_SPARE_BYTES);
                *count = 0;
            }
            Values::Numbers(numbers) => numbers.clear(),
            Values::Ids(ids) => ids.clear(),
        }
    }
}

const _: () = assert!(
    WORD_PAGE_ROWS.is_multiple_of(STRIDE) && NUMBER_PAGE_ROWS.is_multiple_of(STRIDE) && ID_PAGE_ROWS.is_multiple_of(STRIDE)
);

//! Reading a segment.

mod check;
mod decode;
mod groups;
mod honest;
mod open;
mod page;
mod pen;
mod pieces;
mod places;
mod plain;
mod presence;
mod prove;
mod rebuild;
mod row;
mod some;
mod source;
mod statistics;
mod store;
mod strip;
mod terms;

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub use check::{Checked, Difference, EachChecked, Rebuilt};
pub use page::Page;
pub(crate) use pieces::Prints;
pub use places::PageBounds;
pub use rebuild::Scratch;
pub use source::ReadAt;
pub use store::Dictionary;

use crate::cache::{Cached, Key, PageCache};
use crate::column::{Column, PerColumn};
use crate::container::footer::Bounds;
use crate::encoding::bits::PADDING;
use crate::error::{Result, SegmentError};
use crate::index::block::{self, Entry};
use crate::index::{self, BLOCK_ROWS, IndexField};
use decode::{Raw, Said};
use open::BlockPlace;
use pieces::Pieces;
use places::{Places, Zones};
use prove::ProofPlace;
use rebuild::Window;
use source::read_exact;
use strip::Cells;

/// A column of one page that is no longer than this is decoded once and kept with the segment…
const PINNED_BYTES_MAX: u32 = 4 << 10;
/// … if it takes no more memory than this, its dictionary included.
const PINNED_MEMORY_MAX: usize = 16 << 10;

/// Rows that are fetched together when rows are read in order: so many that a column is asked seldom, and so few that what was fetched
/// still lies near when it is written.
const STRIP_ROWS: u32 = 64;

/// An open segment. Of footer and proof it is known that they say the same of which positions it has; nothing is known of the rows yet.
///
/// Memory: some 8 KiB; then, as columns are asked for, where their pages are and what is said of them, some 100 KiB for a million rows once
/// all were: [`memory`](Self::memory). Shared by reference between threads.
pub struct Segment {
    id: u64,
    input: Box<dyn ReadAt>,
    length: u64,
    proof: ProofPlace,
    rows: u32,
    columns: PerColumn<ColumnPlaces>,
    index: Option<IndexPlace>,
    /// Where the pieces of its dictionaries are listed, if they are.
    piece_lists: Option<BlockPlace>,
    /// Bytes of memory of what was read since it was opened.
    loaded: AtomicUsize,
}

/// Where a column is, and what the footer says of it.
struct ColumnPlaces {
    /// Of its pages, without the dictionary's.
    pages: Range<u64>,
    /// Offset and length of the two indexes, which are read when they are needed.
    offset_index: (u64, u32),
    column_index: Option<(u64, u32)>,
    places: OnceLock<Box<Places>>,
    zones: OnceLock<Box<Zones>>,
    /// Offset, and length with its header.
    dictionary: Option<(u64, u32)>,
    is_compressed: bool,
    /// As [`encodings_of`](statistics::encodings_of) gives them.
    encodings: u16,
    /// Bytes of all pages once they are decompressed, with their headers.
    raw_bytes: u64,
    entries: u64,
    nulls: Option<u64>,
    bounds: Option<Bounds>,
    pieces: OnceLock<Box<Pieces>>,
    /// The one page of a column that says the same in every row.
    pinned: OnceLock<Arc<Page>>,
}

impl ColumnPlaces {
    /// Whether something is said of each of its pages.
    const fn has_zones(&self) -> bool {
        self.column_index.is_some()
    }

    fn memory(&self) -> usize {
        let bounds = match &self.bounds {
            Some(Bounds::Bytes(least, greatest)) => size_of_val(&**least) + size_of_val(&**greatest),
            _ => 0,
        };
        size_of::<Self>() + bounds
    }
}

struct IndexPlace {
    block: BlockPlace,
    entries: Vec<Entry>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (log, first_seq) = (self.log(), self.first_seq());
        f.debug_struct("Segment")
            .field("log", &log)
            .field("first_seq", &first_seq)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What the file says of a page without decoding it.
#[derive(Debug, Clone, Copy)]
pub struct PageInfo<'s> {
    /// Its first row, counted from the first of the segment.
    pub first_row: u32,
    /// How many rows it has.
    pub rows: u32,
    /// Least and greatest value, exactly. `None`: not told, or there are no values.
    pub bounds: Option<PageBounds<'s>>,
    /// How many entries have no value, if that is told.
    pub nulls: Option<u64>,
}

/// Blocks of [`BLOCK_ROWS`] rows in which a term is, perhaps with others of the same hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    blocks: Vec<u32>,
    rows: u32,
}

impl Blocks {
    /// The numbers of the blocks, ascending.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.blocks
    }

    /// The rows of each block, ascending; from the back: the newest first.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Range<u32>> + ExactSizeIterator {
        self.blocks.iter().map(|block| {
            let first = block * BLOCK_ROWS;
            first..(first + BLOCK_ROWS).min(self.rows)
        })
    }
}

impl Segment {
    /// A number that no other segment opened by this process has: the key of its pages in a [`PageCache`].
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Number of its log in the store.
    #[must_use]
    pub const fn log(&self) -> u32 {
        self.proof.log()
    }

    /// Length of the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.length
    }

    /// Bytes of memory that it takes now. Grows as more of its columns are asked for.
    #[must_use]
    pub fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(|(_, column)| column.memory()).sum();
        let index = self.index.as_ref().map_or(0, |index| index.block.memory() + size_of_val(index.entries.as_slice()));
        let lists = self.piece_lists.as_ref().map_or(0, BlockPlace::memory);
        size_of::<Self>() + columns + self.proof.memory() + index + lists + self.loaded.load(Ordering::Relaxed)
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Position of the first row.
    #[must_use]
    pub const fn first_seq(&self) -> u64 {
        self.proof.first_seq()
    }

    /// Least and greatest `time`, as the file says. `None`: no row has one, or it is not told.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        self.number_range(Column::Time)
    }

    /// Least and greatest `received`, as the file says.
    #[must_use]
    pub fn received_range(&self) -> Option<(i64, i64)> {
        self.number_range(Column::Received)
    }

    fn number_range(&self, column: Column) -> Option<(i64, i64)> {
        match self.columns.of(column).bounds {
            Some(Bounds::Numbers(min, max)) => Some((min, max)),
            _ => None,
        }
    }

    /// Least and greatest value of a column, as the file says.
    #[must_use]
    pub fn bounds(&self, column: Column) -> Option<&Bounds> {
        self.columns.of(column).bounds.as_ref()
    }

    /// How many rows were recorded under an idempotency key, as the file says.
    #[must_use]
    pub fn keyed_rows(&self) -> Option<u64> {
        let column = self.columns.of(Column::IdempotencyKey);
        column.entries.checked_sub(column.nulls?)
    }

    /// Whether no row has a value in a column, as the file says.
    #[must_use]
    pub fn is_empty(&self, column: Column) -> bool {
        let column = self.columns.of(column);
        column.nulls == Some(column.entries)
    }

    /// What the file says of the pages of a column, in order.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    ///
    /// # Cost
    /// At first the page indexes of the column are read.
    pub fn pages(&self, column: Column) -> Result<impl ExactSizeIterator<Item = PageInfo<'_>> + DoubleEndedIterator> {
        let (places, zones) = (self.places(column)?, self.zones(column)?);
        Ok((0..places.len()).map(move |nth| self.info(places, zones, nth)))
    }

    /// What the file says of the page that holds a row.
    ///
    /// # Errors
    /// As [`pages`](Self::pages); `Damaged` for a row that the segment does not have, too.
    pub fn page_info(&self, column: Column, row: u32) -> Result<PageInfo<'_>> {
        let places = self.places(column)?;
        Ok(self.info(places, self.zones(column)?, self.page_of(places, row)?))
    }

    fn info<'s>(&self, places: &Places, zones: Option<&'s Zones>, nth: usize) -> PageInfo<'s> {
        let zone = zones.and_then(|zones| zones.get(nth));
        let rows = self.page_rows(places, nth);
        PageInfo {
            first_row: rows.start,
            rows: rows.end - rows.start,
            bounds: zone.and_then(|(_, bounds)| bounds),
            nulls: zone.map(|(nulls, _)| nulls),
        }
    }

    fn page_rows(&self, places: &Places, nth: usize) -> Range<u32> {
        let first = |nth: usize| places.first_row(nth).unwrap_or(self.rows);
        first(nth)..first(nth + 1)
    }

    /// The page that holds a row.
    ///
    /// # Errors
    /// `Io`, `Damaged`. A row that the segment does not have is `Damaged`, too: ask [`rows`](Self::rows) first.
    ///
    /// # Cost
    /// From the cache: a lock. Else the page is read and decoded, and at first the column's dictionary.
    pub fn page(&self, column: Column, row: u32, cache: &PageCache) -> Result<Arc<Page>> {
        let own = self.columns.of(column);
        if let Some(page) = own.pinned.get() {
            return Ok(page.clone());
        }
        let places = self.places(column)?;
        let nth = self.page_of(places, row)?;
        let key = Key { segment: self.id, column, page: u32::try_from(nth).unwrap_or(u32::MAX) };
        if let Some(page) = cache.page(&key) {
            return Ok(page);
        }
        cache.count_read(places.get(nth).map_or(0, |page| u64::from(page.bytes)));
        if is_short(own, places) {
            // Not from the cache, where it would be counted once more.
            let page = Arc::new(self.load(column, nth, &mut || self.load_dictionary(column))?);
            let memory = page.memory() + page.dictionary().map_or(0, |dictionary| dictionary.memory());
            if memory <= PINNED_MEMORY_MAX {
                return Ok(own.pinned.get_or_init(|| *self.counted(page, |_| memory)).clone());
            }
            return Ok(page);
        }
        let page = Arc::new(self.load(column, nth, &mut || self.dictionary(column, cache))?);
        cache.keep(key, Cached::Page(page.clone()));
        Ok(page)
    }

    /// The dictionary of a column. `None`: none of its pages has numbers instead of values.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn dictionary(&self, column: Column, cache: &PageCache) -> Result<Option<Arc<Dictionary>>> {
        let pinned = self.columns.of(column).pinned.get();
        if let Some(dictionary) = pinned.and_then(|page| page.dictionary()) {
            return Ok(Some(dictionary.clone()));
        }
        let key = Key::dictionary(self.id, column);
        if let Some(dictionary) = cache.dictionary(&key) {
            return Ok(Some(dictionary));
        }
        let dictionary = self.load_dictionary(column)?;
        Ok(dictionary.map(|dictionary| cache.keep_dictionary(key, dictionary)))
    }

    /// Rebuilds the records of these positions in order, as far as the segment has them, until `each` says stop.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a row that is no record, or out of order.
    ///
    /// # Cost
    /// Reads each page once, past any cache. Memory: one page of each column, and the dictionaries.
    pub fn records(&self, range: Range<u64>, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<()> {
        self.walk(range, None, &mut |seq, record, _| each(seq, record))
    }

    /// [`records`](Self::records), and `watch` sees what goes by.
    fn walk(&self, range: Range<u64>, mut watch: Option<&mut dyn Watch>, each: &mut EachChecked<'_>) -> Result<()> {
        let first_seq = self.proof.first_seq();
        let row_of = |seq: u64| u32::try_from(seq.saturating_sub(first_seq)).map_or(self.rows, |row| row.min(self.rows));
        let rows = row_of(range.start)..row_of(range.end);
        let mut dictionaries: PerColumn<Option<Option<Arc<Dictionary>>>> = PerColumn::new(|_| None);
        let mut scratch = Scratch::default();
        let (window, memory) = scratch.parts(self.id);
        let mut cells = Cells::default();
        let mut next = rows.start;
        while next < rows.end {
            let row = next;
            next = rows.end;
            for column in Column::ALL.iter().copied() {
                if !window.holds(column, row) {
                    let nth = self.page_of(self.places(column)?, row)?;
                    let known = dictionaries.of_mut(column);
                    let mut dictionary = || match known {
                        Some(dictionary) => Ok(dictionary.clone()),
                        None => Ok(known.insert(self.load_dictionary(column)?).clone()),
                    };
                    let page = match &mut watch {
                        Some(watch) => {
                            let (page, said) = self.load_with_said(column, nth, &mut dictionary)?;
                            watch.page(self, &page, &said)?;
                            page
                        }
                        None => self.load(column, nth, &mut dictionary)?,
                    };
                    window.put(Arc::new(page));
                }
                next = next.min(window.end(column));
            }
            if let Some(watch) = &mut watch {
                watch.window(window, &(row..next));
            }
            if self.walk_window(window, row..next, memory, &mut cells, &mut watch, each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Goes through rows that all pages of the window have.
    fn walk_window(
        &self,
        window: &Window,
        rows: Range<u32>,
        memory: &mut Vec<u8>,
        cells: &mut Cells,
        watch: &mut Option<&mut dyn Watch>,
        each: &mut EachChecked<'_>,
    ) -> Result<ControlFlow<()>> {
        let (first_seq, log) = (self.first_seq(), self.log());
        let mut from = rows.start;
        while from < rows.end {
            let strip_rows = from..from.saturating_add(STRIP_ROWS).min(rows.end);
            from = strip_rows.end;
            let strip = cells.strip(window, &strip_rows, first_seq, log);
            for (row, nth) in strip_rows.zip(0..) {
                let seq = first_seq + u64::from(row);
                let usual = strip.as_ref().and_then(|strip| strip.record(nth, log, memory));
                let (record, rebuilt) = match usual {
                    Some(bytes) => (memory.get(..bytes), Rebuilt::FromColumns),
                    None => (self.unusual(window, row, memory)?, Rebuilt::Otherwise),
                };
                let record = record.ok_or(SegmentError::Damaged { what: "a row is no record", seq })?;
                if let Some(watch) = watch {
                    watch.record(window, row, seq, record);
                }
                if each(seq, record, rebuilt).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The record of a row by itself, whatever it is.
    fn unusual<'m>(&self, window: &Window, row: u32, memory: &'m mut Vec<u8>) -> Result<Option<&'m [u8]>> {
        let (seq, log) = (self.first_seq() + u64::from(row), self.log());
        if window.seq_and_log(row) != Some((seq, log)) {
            return Err(SegmentError::Damaged { what: "a row is out of order", seq });
        }
        Ok(window.record(row, log, memory))
    }

    /// Blocks of rows in which `term` may be in `field`: all of those in which it is, and seldom another. `None`: this file does not index
    /// the field; of [`IndexField::Id`] then the bounds of pages say enough.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    ///
    /// # Cost
    /// Two reads, a few hundred bytes of which are decoded.
    pub fn blocks_of(&self, field: IndexField, term: &[u8]) -> Result<Option<Blocks>> {
        let Some(place) = &self.index else { return Ok(None) };
        let Some(entry) = place.entries.iter().find(|entry| entry.field == field.number()) else {
            let is_empty = field != IndexField::Id;
            return Ok(is_empty.then_some(Blocks { blocks: Vec::new(), rows: self.rows }));
        };
        let segment_blocks = self.rows.div_ceil(BLOCK_ROWS);
        let found = block::look_up(entry, field, index::hash(field, term), segment_blocks, |offset, length| {
            read_exact(&*self.input, place.block.offset + offset, length as usize, 0)
        });
        match found {
            Ok(blocks) => Ok(Some(Blocks { blocks, rows: self.rows })),
            Err(Some(error)) => Err(SegmentError::Io(error)),
            Err(None) => Err(SegmentError::Damaged { what: "its index was changed", seq: self.proof.first_seq() }),
        }
    }

    fn page_of(&self, places: &Places, row: u32) -> Result<usize> {
        places.find(row).filter(|_| row < self.rows).ok_or_else(|| self.damaged("it has no such row", row))
    }

    fn damaged(&self, what: &'static str, row: u32) -> SegmentError {
        SegmentError::Damaged { what, seq: self.proof.first_seq().saturating_add(u64::from(row)) }
    }

    /// Reads and decodes a page.
    fn load(&self, column: Column, nth: usize, dictionary: &mut dyn FnMut() -> Result<Option<Arc<Dictionary>>>) -> Result<Page> {
        let first_row = self.page_rows(self.places(column)?, nth).start;
        let is_compressed = self.columns.of(column).is_compressed;
        self.read_page(column, nth, dictionary, |raw, dictionary| raw.into_page(column, first_row, is_compressed, dictionary))
    }

    /// As [`load`](Self::load), with what the page says beside its values.
    fn load_with_said(
        &self,
        column: Column,
        nth: usize,
        dictionary: &mut dyn FnMut() -> Result<Option<Arc<Dictionary>>>,
    ) -> Result<(Page, Said)> {
        let first_row = self.page_rows(self.places(column)?, nth).start;
        let is_compressed = self.columns.of(column).is_compressed;
        self.read_page(column, nth, dictionary, |raw, dictionary| {
            let said = raw.said(column)?;
            Some((raw.into_page(column, first_row, is_compressed, dictionary)?, said))
        })
    }

    /// Reads a page, and gives what `decode` makes of it.
    fn read_page<T>(
        &self,
        column: Column,
        nth: usize,
        dictionary: &mut dyn FnMut() -> Result<Option<Arc<Dictionary>>>,
        decode: impl FnOnce(Raw<'_>, Option<Arc<Dictionary>>) -> Option<T>,
    ) -> Result<T> {
        let places = self.places(column)?;
        let rows = self.page_rows(places, nth);
        let place = places.get(nth).ok_or_else(|| self.damaged("it has no such page", rows.start))?;
        decode::with_page(&*self.input, place.offset, place.bytes as usize, |bytes| {
            let raw = Raw::read(bytes).ok_or_else(|| self.damaged("a page was changed", rows.start))?;
            let (said, needs_dictionary) = raw.rows().ok_or_else(|| self.damaged("a page is of another kind", rows.start))?;
            if said != rows.end - rows.start {
                return Err(self.damaged("a page has other rows than its index says", rows.start));
            }
            let dictionary = if needs_dictionary { dictionary()? } else { None };
            decode(raw, dictionary).ok_or_else(|| self.damaged("a page cannot be decoded", rows.start))
        })
        .map_err(SegmentError::Io)?
    }

    fn load_dictionary(&self, column: Column) -> Result<Option<Arc<Dictionary>>> {
        let places = self.columns.of(column);
        let Some((offset, bytes)) = places.dictionary else { return Ok(None) };
        let bytes = read_exact(&*self.input, offset, bytes as usize, PADDING).map_err(SegmentError::Io)?;
        let dictionary = Raw::read(&bytes).and_then(|raw| raw.into_dictionary(column, places.is_compressed));
        dictionary.map(|dictionary| Some(Arc::new(dictionary))).ok_or_else(|| self.damaged("a dictionary was changed", 0))
    }
}

/// Sees what goes by when records are read in order.
trait Watch {
    /// A page, when it is first needed.
    fn page(&mut self, segment: &Segment, page: &Page, said: &Said) -> Result<()>;

    /// The pages of these rows, which come next.
    fn window(&mut self, window: &Window, rows: &Range<u32>);

    /// A row, and its record.
    fn record(&mut self, window: &Window, row: u32, seq: u64, record: &[u8]);
}

/// Whether a column is one page, and a short one.
fn is_short(own: &ColumnPlaces, places: &Places) -> bool {
    let is_short = |bytes: u32| bytes <= PINNED_BYTES_MAX;
    places.len() == 1
        && places.get(0).is_some_and(|page| is_short(page.bytes))
        && own.dictionary.is_none_or(|(_, bytes)| is_short(bytes))
}

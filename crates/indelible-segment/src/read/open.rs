//! Opening: what the footer says, and that the proof is about these rows. Page indexes and the proof itself are read when they are asked for:
//! of a hundred segments a question asks a few, and of their columns not all.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use indelible_format::sha256::sha256;

use super::places::{Places, Zones};
use super::source::read_exact;
use super::statistics::encodings_of;
use super::{ColumnPlaces, IndexPlace, ReadAt, Segment, prove};
use crate::codec::ABSENT;
use crate::column::{Column, PerColumn};
use crate::container::footer::{self, Chunk, Footer, PagePlace, Zone};
use crate::container::page_header::{Body, HEADER_BYTES, PageHeader};
use crate::error::{Result, SegmentError};
use crate::index::block;
use crate::limits::{FOOTER_BYTES_MAX, ROWS_MAX};
use crate::write::{INDEX_KEY, PIECES_KEY, VERSION, VERSION_KEY, hex};

/// Read from the end at first: the footer.
const TAIL_BYTES: u64 = 16 << 10;
/// Length of the footer, and the magic.
const END_BYTES: usize = 8;
const OUTSIDE: &str = "its proof, its index or its list of pieces lies outside of the file";
/// Of a SHA-256 in hexadecimal.
const DIGEST_CHARS: usize = 64;

/// Dictionaries of 4 MiB in pieces of 8 KiB, of two dozen columns, four times over.
const PIECE_LISTS_BYTES_MAX: u64 = 1 << 20;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

pub(super) const fn damaged(what: &'static str) -> SegmentError {
    SegmentError::Damaged { what, seq: 0 }
}

const fn unfit() -> SegmentError {
    damaged("its page indexes do not fit to its columns")
}

/// The input and its length: reads only what lies inside.
pub(super) struct Input<'i> {
    pub(super) input: &'i dyn ReadAt,
    pub(super) length: u64,
}

impl Input<'_> {
    pub(super) fn read(&self, offset: u64, length: u64, what: &'static str) -> Result<Vec<u8>> {
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.length);
        match usize::try_from(length) {
            Ok(length) if inside => read_exact(self.input, offset, length, 0).map_err(SegmentError::Io),
            _ => Err(damaged(what)),
        }
    }
}

impl Segment {
    /// Opens a segment: anything that can be read at any place.
    ///
    /// # Errors
    /// `Io`, `Foreign`, `Damaged`.
    ///
    /// # Cost
    /// Three reads of a few kilobytes: the footer, the front of the proof, the head of the index. Memory: [`memory`](Self::memory).
    pub fn open(input: impl ReadAt + 'static) -> Result<Self> {
        if cfg!(not(feature = "codec")) {
            return Err(SegmentError::Foreign(ABSENT));
        }
        let length = input.len().map_err(SegmentError::Io)?;
        let file = Input { input: &input, length };
        let (footer, is_all) = read_footer(&file)?;
        match footer.entry(VERSION_KEY) {
            Some(VERSION) => {}
            Some(_) => return Err(SegmentError::Foreign("it was written by a later version; use that one to read it")),
            None => return Err(SegmentError::Foreign("its footer does not say that it is one")),
        }
        if !is_all {
            return Err(damaged("its footer says more than a segment's, or says it in another way"));
        }
        if footer.rows > 0 && !are_adjacent(&footer) {
            return Err(damaged("its columns do not stand one right behind the other"));
        }
        let proof = prove::read_front(&file, &footer)?;
        if footer.rows > ROWS_MAX || footer.rows != proof.count() {
            return Err(SegmentError::Damaged { what: "it has more or fewer rows than its proof", seq: proof.first_seq() });
        }
        let rows = u32::try_from(footer.rows).map_err(|_| damaged("it has too many rows"))?;
        let index = read_index(&file, &footer, rows)?;
        let piece_lists = find_piece_lists(&file, &footer)?;
        let columns = footer.chunks.into_iter().map(|(_, chunk)| column_of(&file, chunk)).collect::<Result<_>>()?;
        let columns = PerColumn::from_entries(columns).ok_or(damaged("its columns are not those of a segment"))?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, input: Box::new(input), length, proof, rows, columns, index, piece_lists, loaded: AtomicUsize::new(0) })
    }

    pub(super) fn file(&self) -> Input<'_> {
        Input { input: &*self.input, length: self.length }
    }

    /// Where the pages of a column are.
    pub(super) fn places(&self, column: Column) -> Result<&Places> {
        let own = self.columns.of(column);
        if let Some(places) = own.places.get() {
            return Ok(places);
        }
        let pages = match self.rows {
            0 => Vec::new(),
            _ => footer::read_offset_index(&self.page_index(own.offset_index)?).ok_or(unfit())?,
        };
        if !fit(&pages, self.rows, &own.pages) {
            return Err(unfit());
        }
        Ok(own.places.get_or_init(|| self.counted(Places::new(pages), Places::memory)))
    }

    /// What the file says of the pages of a column. `None`: nothing.
    pub(super) fn zones(&self, column: Column) -> Result<Option<&Zones>> {
        let own = self.columns.of(column);
        if let Some(zones) = own.zones.get() {
            return Ok(Some(zones));
        }
        let Some(zones) = self.zone_list(column)? else { return Ok(None) };
        let zones = Zones::new(&zones).ok_or(unfit())?;
        Ok(Some(own.zones.get_or_init(|| self.counted(zones, Zones::memory))))
    }

    /// The zone map of a column as it stands there. `None`: there is none.
    pub(super) fn zone_list(&self, column: Column) -> Result<Option<Vec<Zone>>> {
        let own = self.columns.of(column);
        let Some(place) = own.column_index.filter(|_| self.rows > 0) else { return Ok(None) };
        let zones = footer::read_column_index(column, &self.page_index(place)?).ok_or(unfit())?;
        if zones.len() == self.places(column)?.len() { Ok(Some(zones)) } else { Err(unfit()) }
    }

    fn page_index(&self, (offset, length): (u64, u32)) -> Result<Vec<u8>> {
        self.file().read(offset, u64::from(length), "its page indexes lie outside of the file")
    }

    /// Whether the page indexes of a column say what ours say, as ours say it.
    pub(super) fn has_plain_page_indexes(&self, column: Column) -> Result<bool> {
        let own = self.columns.of(column);
        if self.rows == 0 {
            return Ok(true);
        }
        let (mut pages, mut zones) = (Vec::new(), Vec::new());
        let found = self.page_index(own.offset_index)?;
        footer::write_offset_index(&footer::read_offset_index(&found).ok_or(unfit())?, &mut pages);
        let Some(place) = own.column_index else { return Ok(pages == found) };
        let found_zones = self.page_index(place)?;
        footer::write_column_index(column, &footer::read_column_index(column, &found_zones).ok_or(unfit())?, &mut zones);
        Ok(pages == found && zones == found_zones)
    }

    /// Bytes of the dictionary page of a column once it is decompressed, with its header. `None`: none stands there, or more than that.
    pub(super) fn raw_bytes_of_dictionary(&self, column: Column) -> Result<Option<u64>> {
        let Some((offset, bytes)) = self.columns.of(column).dictionary else { return Ok(None) };
        let front =
            self.file().read(offset, u64::from(bytes).min(HEADER_BYTES as u64), "a dictionary lies outside of the file")?;
        let Some((header, rest)) = PageHeader::read(&front) else { return Ok(None) };
        let header_bytes = front.len() - rest.len();
        let is_one = matches!(header.body, Body::Dictionary { .. }) && header_bytes + header.bytes == bytes as usize;
        Ok(is_one.then(|| (header_bytes + header.raw_bytes) as u64))
    }

    /// Whether the file begins as Parquet does.
    pub(super) fn begins_right(&self) -> Result<bool> {
        let magic = footer::MAGIC;
        Ok(self.file().read(0, magic.len() as u64, "its beginning is missing")? == magic)
    }

    pub(super) fn counted<T>(&self, value: T, memory: impl FnOnce(&T) -> usize) -> Box<T> {
        self.loaded.fetch_add(memory(&value), Ordering::Relaxed);
        Box::new(value)
    }
}

/// Whether pages fill their column, one right behind the other, and have its rows in their order: other readers do not ask the page index
/// where a page is, they go from one to the next.
fn fit(pages: &[PagePlace], rows: u32, column: &Range<u64>) -> bool {
    let mut at = Some(column.start);
    for page in pages {
        at = at.filter(|at| *at == page.offset).and_then(|at| at.checked_add(u64::from(page.bytes)));
    }
    at == Some(column.end)
        && pages.is_sorted_by(|a, b| a.first_row < b.first_row)
        && pages.last().is_none_or(|page| page.first_row < rows)
        && pages.first().map_or(rows == 0, |page| page.first_row == 0)
}

/// Whether each column begins where the one before ends, the first behind the magic, and each page of a dictionary stands in front of the
/// pages of its column.
fn are_adjacent(footer: &Footer) -> bool {
    let mut at = Some(footer::MAGIC.len() as u64);
    for (_, chunk) in footer.chunks.iter() {
        let is_in_front = chunk.dictionary_offset.is_none_or(|offset| offset < chunk.data_offset);
        at = chunk.range().filter(|range| is_in_front && at == Some(range.start)).map(|range| range.end);
    }
    at.is_some()
}

/// The footer, and whether that is all that stands there.
fn read_footer(file: &Input<'_>) -> Result<(Footer, bool)> {
    const NONE: SegmentError = SegmentError::Foreign("it does not end as Parquet does");
    let tail = file.read(file.length.saturating_sub(TAIL_BYTES), file.length.min(TAIL_BYTES), "its end is missing")?;
    let (rest, end) = tail.split_last_chunk::<END_BYTES>().ok_or(NONE)?;
    let [a, b, c, d, magic @ ..] = *end;
    if magic != *footer::MAGIC {
        return Err(NONE);
    }
    let bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    if bytes > FOOTER_BYTES_MAX || bytes + END_BYTES as u64 > file.length {
        return Err(damaged("its footer is longer than the file"));
    }
    let near = usize::try_from(bytes).ok().and_then(|bytes| rest.len().checked_sub(bytes)).and_then(|at| rest.get(at..));
    let footer = match near {
        Some(bytes) => Footer::read(bytes),
        None => Footer::read(&file.read(file.length - END_BYTES as u64 - bytes, bytes, "its footer is missing")?),
    };
    footer.ok_or(SegmentError::Foreign("its footer cannot be read, or its columns are not those of a segment"))
}

/// A block of the file: where it is, and what the footer says that it is.
pub(super) struct BlockPlace {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// SHA-256 in hexadecimal.
    digest: Box<str>,
}

impl BlockPlace {
    /// By what the footer says under `key`.
    pub(super) fn find(file: &Input<'_>, footer: &Footer, key: &str) -> Result<Self> {
        let place = footer.entry(key).and_then(|place| {
            let mut words = place.split(' ');
            let place = (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?, words.next()?);
            (words.next().is_none() && place.2.len() == DIGEST_CHARS).then_some(place)
        });
        let (offset, bytes, digest) =
            place.ok_or(SegmentError::Foreign("its footer does not say where its proof, its index or its list of pieces is"))?;
        if offset.checked_add(bytes).is_none_or(|end| end > file.length) {
            return Err(damaged(OUTSIDE));
        }
        Ok(Self { offset, bytes, digest: digest.into() })
    }

    /// All of it, if it is what the footer says; `changed`: what is wrong otherwise.
    pub(super) fn read(&self, file: &Input<'_>, changed: &'static str) -> Result<Vec<u8>> {
        let block = file.read(self.offset, self.bytes, OUTSIDE)?;
        if self.is(&block) { Ok(block) } else { Err(damaged(changed)) }
    }

    /// Whether these bytes have the digest that the footer says.
    pub(super) fn is(&self, block: &[u8]) -> bool {
        hex(&sha256(block)) == *self.digest
    }

    /// Bytes of memory beyond its own size.
    pub(super) fn memory(&self) -> usize {
        self.digest.len()
    }
}

fn read_index(file: &Input<'_>, footer: &Footer, rows: u32) -> Result<Option<IndexPlace>> {
    // A file without index is searched page by page.
    if footer.entry(INDEX_KEY).is_none() {
        return Ok(None);
    }
    let own = BlockPlace::find(file, footer, INDEX_KEY)?;
    let front = file.read(own.offset, own.bytes.min(block::HEAD_BYTES_MAX as u64), OUTSIDE)?;
    let entries = block::read_head(&front, own.bytes, rows).ok_or(damaged("its index was changed"))?;
    Ok(Some(IndexPlace { block: own, entries }))
}

fn find_piece_lists(file: &Input<'_>, footer: &Footer) -> Result<Option<BlockPlace>> {
    // Without the block each dictionary is looked through for its pieces.
    if footer.entry(PIECES_KEY).is_none() {
        return Ok(None);
    }
    let place = BlockPlace::find(file, footer, PIECES_KEY)?;
    if place.bytes > PIECE_LISTS_BYTES_MAX {
        return Err(damaged("the list of its dictionaries' pieces is too long"));
    }
    Ok(Some(place))
}

/// What the footer says of a column, if it lies inside of the file.
fn column_of(file: &Input<'_>, chunk: Chunk) -> Result<ColumnPlaces> {
    const OUTSIDE: SegmentError = damaged("its columns lie outside of the file");
    let end = chunk.range().map(|range| range.end).filter(|end| *end <= file.length).ok_or(OUTSIDE)?;
    let is_long = |(_, length): &(u64, u32)| u64::from(*length) > FOOTER_BYTES_MAX;
    if is_long(&chunk.offset_index) || chunk.column_index.as_ref().is_some_and(is_long) {
        return Err(damaged("its page indexes are too long"));
    }
    let dictionary = match chunk.dictionary_offset {
        // It stands in front of the pages.
        Some(offset) => {
            let length = chunk.data_offset.checked_sub(offset).and_then(|length| u32::try_from(length).ok());
            Some((offset, length.ok_or(OUTSIDE)?))
        }
        None => None,
    };
    Ok(ColumnPlaces {
        pages: chunk.data_offset..end,
        offset_index: chunk.offset_index,
        column_index: chunk.column_index,
        places: OnceLock::new(),
        zones: OnceLock::new(),
        dictionary,
        is_compressed: chunk.is_compressed,
        encodings: encodings_of(&chunk.encodings),
        raw_bytes: chunk.raw_bytes,
        entries: chunk.entries,
        nulls: chunk.nulls,
        bounds: chunk.bounds,
        pieces: OnceLock::new(),
        pinned: OnceLock::new(),
    })
}

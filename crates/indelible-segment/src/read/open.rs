//! Opening: footer, page indexes, proof, and the head of the index. What they say must fit into the file and to each other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use indelible_format::sha256::sha256;

use super::source::read_exact;
use super::{ColumnPlaces, IndexPlace, ReadAt, Segment};
use crate::codec::ABSENT;
use crate::column::{Column, PerColumn};
use crate::container::footer::{self, Chunk, Footer};
use crate::error::{Result, SegmentError};
use crate::index::block;
use crate::limits::{FOOTER_BYTES_MAX, ROWS_MAX};
use crate::proof::Proof;
use crate::write::{INDEX_KEY, PROOF_KEY, VERSION, VERSION_KEY, hex};

/// Largest proof block: [`ROWS_MAX`] rows and one leaf group in front of them, twice over.
const PROOF_BYTES_MAX: u64 = 1 << 20;
/// Read from the end at first: the footer, and with luck the page indexes.
const TAIL_BYTES: u64 = 64 << 10;
/// Length of the footer, and the magic.
const END_BYTES: usize = 8;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

const fn damaged(what: &'static str) -> SegmentError {
    SegmentError::Damaged { what, seq: 0 }
}

/// The input and its length: reads only what lies inside.
struct Input<'i> {
    input: &'i dyn ReadAt,
    length: u64,
}

impl Input<'_> {
    fn read(&self, offset: u64, length: u64, what: &'static str) -> Result<Vec<u8>> {
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
    /// A few reads: the end of the file with footer and page indexes, the proof, the head of the index.
    pub fn open(input: impl ReadAt + 'static) -> Result<Self> {
        if cfg!(not(feature = "codec")) {
            return Err(SegmentError::Foreign(ABSENT));
        }
        let length = input.len().map_err(SegmentError::Io)?;
        let file = Input { input: &input, length };
        let footer = read_footer(&file)?;
        match footer.entry(VERSION_KEY) {
            Some(VERSION) => {}
            Some(_) => return Err(SegmentError::Foreign("it was written by a later version; use that one to read it")),
            None => return Err(SegmentError::Foreign("its footer does not say that it is one")),
        }
        let proof = read_proof(&file, &footer)?;
        if footer.rows > ROWS_MAX || footer.rows != proof.count {
            return Err(SegmentError::Damaged { what: "it has more or fewer rows than its proof", seq: proof.first_seq });
        }
        if proof.first_seq.checked_add(proof.count).is_none() {
            return Err(damaged("its positions are beyond all numbers"));
        }
        let rows = u32::try_from(footer.rows).map_err(|_| damaged("it has too many rows"))?;
        let columns = read_columns(&file, &footer, rows)?;
        let index = read_index(&file, &footer, rows)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, input: Box::new(input), proof, rows, columns, index })
    }
}

fn read_footer(file: &Input<'_>) -> Result<Footer> {
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

/// Where a block is and what its digest is, by what the footer says under `key`.
fn place_of<'f>(file: &Input<'_>, footer: &'f Footer, key: &str) -> Result<(u64, u64, &'f str)> {
    let place = footer.entry(key).and_then(|place| {
        let mut words = place.split(' ');
        let place = (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?, words.next()?);
        words.next().is_none().then_some(place)
    });
    let (offset, length, digest) =
        place.ok_or(SegmentError::Foreign("its footer does not say where its proof and its index are"))?;
    if offset.checked_add(length).is_none_or(|end| end > file.length) {
        return Err(damaged("its proof or its index lies outside of the file"));
    }
    Ok((offset, length, digest))
}

fn read_proof(file: &Input<'_>, footer: &Footer) -> Result<Proof> {
    let (offset, length, digest) = place_of(file, footer, PROOF_KEY)?;
    if length > PROOF_BYTES_MAX {
        return Err(damaged("its proof is too long"));
    }
    let block = file.read(offset, length, "its proof lies outside of the file")?;
    if hex(&sha256(&block)) != digest {
        return Err(damaged("its proof block was changed"));
    }
    Proof::decode(&block)
}

fn read_index(file: &Input<'_>, footer: &Footer, rows: u32) -> Result<Option<IndexPlace>> {
    // A file without index is searched page by page.
    if footer.entry(INDEX_KEY).is_none() {
        return Ok(None);
    }
    let (offset, bytes, digest) = place_of(file, footer, INDEX_KEY)?;
    let front = file.read(offset, bytes.min(block::HEAD_BYTES_MAX as u64), "its index lies outside of the file")?;
    let entries = block::read_head(&front, bytes, rows).ok_or(damaged("its index was changed"))?;
    Ok(Some(IndexPlace { offset, bytes, digest: digest.to_owned(), entries }))
}

fn read_columns(file: &Input<'_>, footer: &Footer, rows: u32) -> Result<PerColumn<ColumnPlaces>> {
    // The indexes of all columns stand together: one read instead of eighty.
    let ranges = || {
        let both = |(_, chunk): (_, &Chunk)| [Some(chunk.offset_index), chunk.column_index];
        footer.chunks.iter().flat_map(both).flatten().filter(|(_, length)| *length > 0)
    };
    let start = ranges().map(|(offset, _)| offset).min().unwrap_or(0);
    let end = ranges().map(|(offset, length)| offset.saturating_add(u64::from(length))).max().unwrap_or(0);
    if end.saturating_sub(start) > FOOTER_BYTES_MAX {
        return Err(damaged("its page indexes are too long"));
    }
    let region = file.read(start, end.saturating_sub(start), "its page indexes lie outside of the file")?;
    let slice = |(offset, length): (u64, u32)| {
        let at = usize::try_from(offset.checked_sub(start)?).ok()?;
        region.get(at..at.checked_add(length as usize)?)
    };
    PerColumn::try_new(|column| {
        let chunk = footer.chunks.of(column);
        read_places(file, column, chunk, rows, slice).ok_or(damaged("its page indexes do not fit to its columns"))
    })
}

fn read_places<'r>(
    file: &Input<'_>,
    column: Column,
    chunk: &Chunk,
    rows: u32,
    slice: impl Fn((u64, u32)) -> Option<&'r [u8]>,
) -> Option<ColumnPlaces> {
    let range = chunk.range()?;
    let pages = if rows == 0 { Vec::new() } else { footer::read_offset_index(slice(chunk.offset_index)?)? };
    let inside = |page: &footer::PagePlace| {
        page.offset >= range.start && page.offset.checked_add(u64::from(page.bytes)).is_some_and(|end| end <= range.end)
    };
    let in_order = pages.is_sorted_by(|a, b| a.first_row < b.first_row)
        && pages.last().is_none_or(|page| page.first_row < rows)
        && pages.first().map_or(rows == 0, |page| page.first_row == 0);
    if range.end > file.length || !pages.iter().all(inside) || !in_order {
        return None;
    }
    let zones = match chunk.column_index {
        Some(place) if rows > 0 => Some(footer::read_column_index(column, slice(place)?)?),
        _ => None,
    };
    if zones.as_ref().is_some_and(|zones| zones.len() != pages.len()) {
        return None;
    }
    let dictionary = match chunk.dictionary_offset {
        // It stands in front of the pages.
        Some(offset) => Some((offset, u32::try_from(chunk.data_offset.checked_sub(offset)?).ok()?)),
        None => None,
    };
    Some(ColumnPlaces {
        pages,
        zones,
        dictionary,
        is_compressed: chunk.is_compressed,
        entries: chunk.entries,
        nulls: chunk.nulls,
        bounds: chunk.bounds.clone(),
        pinned: OnceLock::new(),
    })
}

//! Writing a segment: records become columns, columns pages, and the file is written when all rows are there.

mod column;
mod dictionary;
mod page;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;

use indelible_format::sha256::sha256;
use indelible_format::{Hash, Head, Record};

use crate::column::{Column, PerColumn};
use crate::container::footer::{self, Chunk, Footer, PagePlace, Zone};
use crate::error::{Result, SegmentError};
use crate::index::{IdIndex, IndexField, id_index};
use crate::limits::ROWS_MAX;
use crate::pieces::{self, PieceList};
use crate::proof::Proof;
use column::Finished;
use page::PageMaker;
use rows::Columns;

pub(crate) use rows::{event_of, kind, words_of};
pub use table::TableWriter;

/// Key of the footer's entry that says where the proof block is: `offset length sha256`, the last in hexadecimal.
pub(crate) const PROOF_KEY: &str = "indelible.proof";
/// Key of the footer's entry that says where the index block is, in the same way.
pub(crate) const INDEX_KEY: &str = "indelible.index";
/// Key of the footer's entry that says where the block of dictionary pieces is, in the same way; none: no dictionary is in pieces.
pub(crate) const PIECES_KEY: &str = "indelible.pieces";
/// Key of the footer's entry with the version of all that is not plain Parquet.
pub(crate) const VERSION_KEY: &str = "indelible.version";
pub(crate) const VERSION: &str = "1";

/// How a segment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Zstandard level, 1..=22.
    pub level: i32,
}

impl Default for Options {
    fn default() -> Self {
        // Higher levels look for longer repeats than a page of events has: level 3 is slower and 6 % larger.
        Self { level: 1 }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Rows that are kept whole besides their columns, because the columns do not give them back exactly.
    pub whole: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its index block.
    pub index_bytes: u64,
}

/// Writes one segment: contiguous positions of one log.
///
/// Every record is laid out again from the fields that go into its columns and compared, before it is taken: what comes back differently
/// is kept whole. (Unless the caller takes that upon itself: [`leave_comparison_to_caller`](Self::leave_comparison_to_caller).)
///
/// Memory: the encoded columns (about 60 bytes of an event of 500, as many as it has of one that does not compress), dictionaries of at most
/// 4 MiB a column, about 30 bytes an event for the index, and three times the records of the last 256 rows;
/// [`memory`](Self::memory) tells. `out` is written to by [`finish`](Self::finish) alone, but for the first four bytes.
pub struct SegmentWriter<W: Write> {
    out: Counted<W>,
    columns: Columns,
    maker: PageMaker,
    log: u32,
    first_seq: u64,
    rows: u64,
    whole: u64,
    /// Positions that are kept whole in any case, ascending.
    kept: Vec<u64>,
}

impl<W: Write> std::fmt::Debug for SegmentWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, first_seq, rows, .. } = self;
        f.debug_struct("SegmentWriter")
            .field("log", log)
            .field("first_seq", first_seq)
            .field("rows", rows)
            .finish_non_exhaustive()
    }
}

impl<W: Write> SegmentWriter<W> {
    /// Begins a segment of `log` at position `first_seq`.
    ///
    /// # Errors
    /// `Io`: `out` could not be written, or there is no such level.
    pub fn new(out: W, log: u32, first_seq: u64, options: Options) -> Result<Self> {
        let mut out = Counted { out, bytes: 0 };
        out.write(footer::MAGIC)?;
        Ok(Self {
            out,
            columns: Columns::new(),
            maker: PageMaker::new(options.level)?,
            log,
            first_seq,
            rows: 0,
            whole: 0,
            kept: Vec::new(),
        })
    }

    /// Keeps the records of these positions whole, whatever their columns say: for who read a segment again and found them to differ.
    pub fn keep_whole(&mut self, seqs: impl IntoIterator<Item = u64>) {
        self.kept.extend(seqs);
        self.kept.sort_unstable();
    }

    /// Does not compare records with what their columns give back: a quarter less time, for who reads the finished file, compares every
    /// record byte for byte, and writes it again with [`keep_whole`](Self::keep_whole) for those that differ.
    /// (Reading ends with `Damaged` at a row that gives no record at all: it differs, too.)
    ///
    /// **Weakens a guarantee:** without that second look a record that its columns do not give back is lost. [`Summary::whole`] then counts
    /// only rows that were asked for or whose head cannot be read.
    pub const fn leave_comparison_to_caller(&mut self) {
        self.columns.compares = false;
    }

    /// Rows so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of memory that the rows so far take: who wants to bound it ends the segment.
    pub const fn memory(&self) -> usize {
        self.columns.memory()
    }

    /// Adds the next position.
    ///
    /// # Errors
    /// `Record`: it belongs to another log. `Full`: there are [`ROWS_MAX`] rows.
    pub fn push(&mut self, record: &Record<'_>) -> Result<()> {
        self.push_with_head(record, record.head().as_ref())
    }

    /// As [`push`](Self::push), for who has parsed the record's head already.
    ///
    /// # Errors
    /// As those of `push`.
    pub fn push_with_head(&mut self, record: &Record<'_>, head: Option<&Head<'_>>) -> Result<()> {
        let seq = self.first_seq.checked_add(self.rows).ok_or(SegmentError::Full)?;
        if record.log() != self.log {
            return Err(SegmentError::Record { seq });
        }
        if self.rows >= ROWS_MAX {
            return Err(SegmentError::Full);
        }
        let kept = !self.kept.is_empty() && self.kept.binary_search(&seq).is_ok();
        let whole = self.columns.push(seq, record, head, kept, &mut self.maker)?;
        self.rows += 1;
        self.whole += u64::from(whole);
        Ok(())
    }

    /// Writes the file. Gives the output back, still to be synced.
    ///
    /// # Errors
    /// `Damaged`: `proof` is about other positions than were pushed. `Io`: the output could not be written.
    pub fn finish(self, proof: &Proof) -> Result<(W, Summary)> {
        // Where that is left to the writer, ids are not worth their bytes.
        self.finish_as(proof, |ids| ids.or(false))
    }

    /// `with_ids` says whether ids are indexed.
    fn finish_as(self, proof: &Proof, with_ids: impl Fn(IdIndex) -> bool) -> Result<(W, Summary)> {
        let Self { mut out, mut columns, mut maker, log, first_seq, rows, whole, .. } = self;
        if !proof.is_complete() || (proof.log, proof.first_seq, proof.count) != (log, first_seq, rows) {
            return Err(SegmentError::Damaged { what: "the proof is about other positions", seq: first_seq });
        }
        columns.finish(&mut maker)?;
        let (writers, index) = columns.into_writers();
        let (mut ids, mut dictionaries) = (None, Vec::new());
        let mut indexes = Vec::new();
        let mut chunks = PerColumn::new(|_| Chunk::default());
        let mut pieces = PerColumn::new(|_| PieceList::default());
        for (column, writer) in writers.into_iter() {
            let (mut finished, dictionary) = writer.finish(&mut maker)?;
            *pieces.of_mut(column) = std::mem::take(&mut finished.pieces);
            dictionaries.push(dictionary);
            if rows == 0 {
                continue;
            }
            if column == Column::Id {
                ids.clone_from(&finished.zones);
            }
            let (chunk, index) = put_chunk(column, finished, &mut out)?;
            indexes.push(index);
            *chunks.of_mut(column) = chunk;
        }
        let word =
            |field: IndexField, word| dictionaries.get(column_of(field).index()).map_or(&[][..], |words| words.value(word));
        let block = index.finish(u32::try_from(rows).unwrap_or(u32::MAX), word, with_ids(id_index(ids.as_deref())));
        let index_place = out.put_block(&block)?;
        let proof_place = out.put_block(&proof.encode())?;
        let pieces = pieces::encode(&pieces);
        let pieces_place = if pieces.is_empty() { None } else { Some((PIECES_KEY, out.put_block(&pieces)?)) };
        put_page_indexes(&indexes, &mut chunks, &mut out)?;
        let entries = [(VERSION_KEY, VERSION.to_owned()), (INDEX_KEY, index_place), (PROOF_KEY, proof_place)];
        let entries = entries.into_iter().chain(pieces_place).map(|(key, value)| (key.to_owned(), value)).collect();
        let mut bytes = Vec::new();
        Footer { rows, entries, chunks }.write(&mut bytes);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(footer::MAGIC);
        out.write(&bytes)?;
        let summary = Summary { rows, whole, bytes: out.bytes, index_bytes: block.len() as u64 };
        Ok((out.out, summary))
    }
}

/// The column whose words an index field's are; pairs have words of their own.
pub(crate) const fn column_of(field: IndexField) -> Column {
    match field {
        IndexField::ActorId => Column::ActorId,
        IndexField::TenantAction | IndexField::Tenant => Column::Tenant,
        IndexField::TargetId => Column::TargetId,
        IndexField::Session => Column::Session,
        IndexField::OriginIp => Column::OriginIp,
        IndexField::Action => Column::Action,
        IndexField::Id => Column::Id,
        IndexField::IdText => Column::IdText,
        IndexField::TraceId => Column::TraceId,
    }
}

/// Writes the pages of a column, and says where they are.
fn put_chunk<W: Write>(column: Column, finished: Finished, out: &mut Counted<W>) -> Result<(Chunk, PageIndex)> {
    let mut chunk = finished.chunk;
    chunk.dictionary_offset = (!finished.dictionary_page.is_empty()).then_some(out.bytes);
    out.write(&finished.dictionary_page)?;
    chunk.data_offset = out.bytes;
    for piece in finished.out {
        out.write(&piece)?;
    }
    let place = |page: PagePlace| PagePlace { offset: page.offset + chunk.data_offset, ..page };
    let pages = finished.pages.into_iter().map(place).collect();
    Ok((chunk, (column, pages, finished.zones)))
}

type PageIndex = (Column, Vec<PagePlace>, Option<Vec<Zone>>);

/// Writes the page indexes of all columns, all of the one kind first, and notes where they are.
fn put_page_indexes<W: Write>(indexes: &[PageIndex], chunks: &mut PerColumn<Chunk>, out: &mut Counted<W>) -> Result<()> {
    let mut bytes = Vec::new();
    for (column, _, zones) in indexes {
        if let Some(zones) = zones {
            bytes.clear();
            footer::write_column_index(*column, zones, &mut bytes);
            chunks.of_mut(*column).column_index = Some((out.bytes, u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
            out.write(&bytes)?;
        }
    }
    for (column, pages, _) in indexes {
        bytes.clear();
        footer::write_offset_index(pages, &mut bytes);
        chunks.of_mut(*column).offset_index = (out.bytes, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        out.write(&bytes)?;
    }
    Ok(())
}

/// An output, and how much was written to it.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(SegmentError::Io)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes a block, and gives what the footer says of it.
    fn put_block(&mut self, block: &[u8]) -> Result<String> {
        let place = format!("{} {} {}", self.bytes, block.len(), hex(&sha256(block)));
        self.write(block)?;
        Ok(place)
    }
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Reading a segment.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use indelible_format::sha256::sha256;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;

use crate::error::{Result, SegmentError};
use crate::proof::Proof;
use crate::rebuild::{Batch, Scratch};
use crate::schema::SCHEMA;
use crate::write::{PROOF_KEY, VERSION, VERSION_KEY, hex};

/// Rows decoded together.
const BATCH_ROWS: usize = 4_096;
/// Largest proof block: 512 million positions.
const PROOF_BYTES_MAX: u64 = 128 << 20;

/// An open segment. Its footer and its proof block were checked for what they say of themselves; nothing is known of the rows yet.
pub struct Segment<R> {
    input: R,
    metadata: ArrowReaderMetadata,
    proof: Proof,
}

impl<R> std::fmt::Debug for Segment<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Proof { log, first_seq, count, .. } = &self.proof;
        f.debug_struct("Segment").field("log", log).field("first_seq", first_seq).field("count", count).finish_non_exhaustive()
    }
}

impl<R: ChunkReader + Clone + 'static> Segment<R> {
    /// Opens a segment: a file, or bytes in memory.
    ///
    /// # Errors
    /// `Parquet`, `Foreign`, `Damaged`.
    pub fn open(input: R) -> Result<Self> {
        let metadata = decoded(0, || {
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
            Ok(ArrowReaderMetadata::load(&input, options)?)
        })?;
        if metadata.schema().fields() != SCHEMA.fields() {
            return Err(SegmentError::Foreign("its columns are not those of a segment"));
        }
        let proof = read_proof(&input, &metadata)?;
        let rows = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows).ok() != Some(proof.count) {
            return Err(SegmentError::Damaged { what: "it has more or fewer rows than its proof", seq: proof.first_seq });
        }
        Ok(Self { input, metadata, proof })
    }

    /// Where it belongs, and what proves its rows.
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Rebuilds one record; `None`: the position lies outside of the segment. Cost: one page of each column is read and decoded.
    ///
    /// # Errors
    /// `Parquet`, `Damaged`.
    pub fn record(&self, seq: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut row) = seq.checked_sub(self.proof.first_seq).filter(|row| *row < self.proof.count) else { return Ok(None) };
        for (nth, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            if row >= rows {
                row -= rows;
                continue;
            }
            let skipped = usize::try_from(row).unwrap_or(usize::MAX);
            let selection = RowSelection::from(vec![RowSelector::skip(skipped), RowSelector::select(1)]);
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.clone(), self.metadata.clone())
                .with_row_groups(vec![nth])
                .with_row_selection(selection)
                .with_batch_size(1);
            let mut batches = decoded(seq, || Ok(builder.build()?))?;
            let Some(batch) = decoded(seq, || Ok(batches.next().transpose()?))? else { break };
            let mut found = None;
            let mut rows = Rows { log: self.proof.log, next: seq, scratch: Scratch::default() };
            let _ = rows.records(&batch, &mut |_, record| {
                found = Some(record.to_vec());
                ControlFlow::Break(())
            })?;
            return Ok(found);
        }
        Err(SegmentError::Damaged { what: "rows are missing", seq })
    }

    /// Rebuilds every record in order, until `each` says stop.
    ///
    /// # Errors
    /// `Parquet`, `Damaged`: a row that is no record, or out of order.
    pub fn records(&self, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<()> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.clone(), self.metadata.clone());
        let mut rows = Rows { log: self.proof.log, next: self.proof.first_seq, scratch: Scratch::default() };
        let mut batches = decoded(rows.next, || Ok(builder.with_batch_size(BATCH_ROWS).build()?))?;
        while let Some(batch) = decoded(rows.next, || Ok(batches.next().transpose()?))? {
            if rows.records(&batch, each)?.is_break() {
                return Ok(());
            }
        }
        let end = self.proof.first_seq + self.proof.count;
        if rows.next == end { Ok(()) } else { Err(SegmentError::Damaged { what: "rows are missing", seq: rows.next }) }
    }
}

/// Runs a piece of Parquet's decoder, which gives up on some damaged files by panicking. What it was reading is not used any more then.
fn decoded<T>(seq: u64, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(SegmentError::Damaged { what: "Parquet's decoder gave up", seq }))
}

/// Rebuilds records from batches that come one behind the other.
struct Rows {
    log: u32,
    next: u64,
    scratch: Scratch,
}

impl Rows {
    fn records(&mut self, batch: &RecordBatch, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
        let columns = Batch::of(batch)?;
        for row in 0..batch.num_rows() {
            let seq = self.next;
            if columns.seq.value(row) != seq {
                return Err(SegmentError::Damaged { what: "a row is out of order", seq });
            }
            let record = columns.record(row, self.log, &mut self.scratch);
            let record = record.ok_or(SegmentError::Damaged { what: "a row is no record", seq })?;
            self.next += 1;
            if each(seq, record).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn read_proof<R: ChunkReader>(input: &R, metadata: &ArrowReaderMetadata) -> Result<Proof> {
    let entries = metadata.metadata().file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let entry = |key| entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.as_deref());
    match entry(VERSION_KEY) {
        Some(VERSION) => {}
        Some(_) => return Err(SegmentError::Foreign("it was written by a later version; use that one to read it")),
        None => return Err(SegmentError::Foreign("its footer does not say that it is one")),
    }
    let place = entry(PROOF_KEY).and_then(|place| {
        let mut words = place.split(' ');
        let place = (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?, words.next()?);
        words.next().is_none().then_some(place)
    });
    let (offset, length, digest) = place.ok_or(SegmentError::Foreign("its footer does not say where its proof is"))?;
    let inside = offset.checked_add(length).is_some_and(|end| end <= input.len());
    if !inside || length > PROOF_BYTES_MAX {
        return Err(SegmentError::Damaged { what: "its proof lies outside of the file", seq: 0 });
    }
    let block = input.get_bytes(offset, usize::try_from(length).unwrap_or(usize::MAX))?;
    if hex(&sha256(&block)) != digest {
        return Err(SegmentError::Damaged { what: "its proof block was changed", seq: 0 });
    }
    Proof::decode(&block)
}

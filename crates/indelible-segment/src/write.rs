//! Writing a segment.

use std::io::Write;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::sha256::sha256;
use indelible_format::{Hash, Record};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::{Result, SegmentError};
use crate::proof::Proof;
use crate::rebuild::{Batch, Scratch};
use crate::rows::{self, Columns};
use crate::schema::SCHEMA;

/// Key of the footer's entry that says where the proof block is: `offset length sha256`, the last in hexadecimal.
pub(crate) const PROOF_KEY: &str = "indelible.proof";
/// Key of the footer's entry with the version of all that is not plain Parquet.
pub(crate) const VERSION_KEY: &str = "indelible.version";
pub(crate) const VERSION: &str = "1";

/// Rows that are encoded together.
const BATCH_ROWS: usize = 4_096;
/// Rows of a row group: what is held in memory, compressed, before it is written.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of a page at most. Pages, batches and row groups all break where groups of leaves do.
const PAGE_ROWS: usize = 8_192;
/// Bytes of a page at about which the next one begins.
const PAGE_BYTES: usize = 128 << 10;
/// Largest dictionary of a column in one row group; beyond it values are written out.
const DICTIONARY_BYTES: usize = 4 << 20;

const _: () = assert!(
    (BATCH_ROWS as u64).is_multiple_of(GROUP_LEAVES)
        && ROW_GROUP_ROWS.is_multiple_of(BATCH_ROWS)
        && (PAGE_ROWS as u64).is_multiple_of(GROUP_LEAVES)
);

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
}

/// Writes one segment: contiguous positions of one log.
///
/// Memory: one row group, compressed, and a few thousand rows as they came.
pub struct SegmentWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    columns: Columns,
    /// The records of the rows in `columns`, one behind the other, and where each ends.
    records: Vec<u8>,
    ends: Vec<usize>,
    scratch: Scratch,
    log: u32,
    first_seq: u64,
    rows: u64,
    whole: u64,
}

impl<W: Write + Send> SegmentWriter<W> {
    /// Begins a segment of `log` at position `first_seq`.
    ///
    /// # Errors
    /// `Parquet`: `out` could not be written.
    pub fn new(out: W, log: u32, first_seq: u64, options: Options) -> Result<Self> {
        let writer = ArrowWriter::try_new(out, SCHEMA.clone(), Some(properties(options)?))?;
        Ok(Self {
            writer,
            columns: Columns::new(BATCH_ROWS),
            records: Vec::new(),
            ends: Vec::with_capacity(BATCH_ROWS),
            scratch: Scratch::default(),
            log,
            first_seq,
            rows: 0,
            whole: 0,
        })
    }

    /// Adds the next position.
    ///
    /// # Errors
    /// `Record`: it belongs to another log. `Parquet`: the output could not be written.
    pub fn push(&mut self, record: &Record<'_>) -> Result<()> {
        let seq = self.first_seq + self.rows;
        if record.log() != self.log {
            return Err(SegmentError::Record { seq });
        }
        self.columns.push(seq, record)?;
        self.records.extend_from_slice(record.bytes());
        self.ends.push(self.records.len());
        self.rows += 1;
        if self.columns.rows() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<()> {
        if self.columns.rows() == 0 {
            return Ok(());
        }
        let columns = self.columns.finish();
        let whole = self.kept_whole(&columns)?;
        self.writer.write(&rows::batch(columns, whole)?)?;
        self.records.clear();
        self.ends.clear();
        Ok(())
    }

    /// The column `record`: those that the other columns do not give back byte for byte.
    fn kept_whole(&mut self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let fields: Vec<_> = SCHEMA.fields().iter().take(columns.len()).cloned().collect();
        let batch = RecordBatch::try_new(Schema::new(fields).into(), columns.to_vec())?;
        let batch = Batch::of(&batch)?;
        let mut column = BinaryBuilder::with_capacity(self.ends.len(), 0);
        let mut start = 0;
        for (row, end) in self.ends.iter().enumerate() {
            let record = self.records.get(start..*end).unwrap_or_default();
            start = *end;
            if batch.record(row, self.log, &mut self.scratch) == Some(record) {
                column.append_null();
            } else {
                column.append_value(record);
                self.whole += 1;
            }
        }
        Ok(std::sync::Arc::new(column.finish()))
    }

    /// Writes what is left, the proof and the footer. Gives the output back, still to be synced.
    ///
    /// # Errors
    /// `Damaged`: `proof` is about other positions than were pushed. `Parquet`: the output could not be written.
    pub fn finish(mut self, proof: &Proof) -> Result<(W, Summary)> {
        if !proof.is_complete() || (proof.log, proof.first_seq, proof.count) != (self.log, self.first_seq, self.rows) {
            return Err(SegmentError::Damaged { what: "the proof is about other positions", seq: self.first_seq });
        }
        self.write_batch()?;
        self.writer.flush()?;
        let block = proof.encode();
        let offset = self.writer.bytes_written();
        self.writer.write_all(&block).map_err(parquet::errors::ParquetError::from)?;
        let place = format!("{offset} {} {}", block.len(), hex(&sha256(&block)));
        self.writer.append_key_value_metadata(KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_owned()));
        self.writer.append_key_value_metadata(KeyValue::new(PROOF_KEY.to_owned(), place));
        Ok((self.writer.into_inner()?, Summary { rows: self.rows, whole: self.whole }))
    }
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn properties(options: Options) -> Result<WriterProperties> {
    let column = |path: &str| ColumnPath::from(path.split('.').map(str::to_owned).collect::<Vec<_>>());
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(concat!("indelible ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(options.level)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_write_batch_size(usize::try_from(GROUP_LEAVES).unwrap_or(256))
        .set_statistics_enabled(EnabledStatistics::Page);
    // Numbers that grow from row to row.
    for name in ["seq", "time", "received", "tenant_seq", "producer.seq"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    // UUIDv7 that come one after the other begin alike. (BYTE_STREAM_SPLIT would do as well, but DuckDB 2.0 does not read it here.)
    properties = properties
        .set_column_dictionary_enabled(column("id"), false)
        .set_column_encoding(column("id"), Encoding::DELTA_BYTE_ARRAY);
    // Nearly every value is another one. (DELTA_BYTE_ARRAY, which would be chosen here, cuts JSON where Zstandard finds repeats.)
    for name in
        ["details", "identity_details", "raw.bytes", "control", "record", "leaf", "idempotency.key", "idempotency.statement"]
    {
        properties =
            properties.set_column_dictionary_enabled(column(name), false).set_column_encoding(column(name), Encoding::PLAIN);
    }
    Ok(properties.build())
}

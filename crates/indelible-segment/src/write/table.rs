//! Writing a table: events for other programs, in the columns of segments, row group after row group.
//!
//! A table is no segment. Its rows may come from any positions of several logs, it proves nothing, and this crate does not read it. It is
//! written as it comes: memory holds one row group, and of those before it what the footer says of them. Each is a function of its own
//! rows and of where it begins, so a table that broke off behind a row group can be gone on with by another writer, and ends the same.

use indelible_format::{Head, Record};

use super::{Counted, Options, put_chunk};
use crate::column::{Column, PerColumn};
use crate::container::footer::{Chunk, MAGIC};
use crate::container::table;
use crate::error::{Result, SegmentError};
use crate::limits::ROWS_MAX;
use crate::write::page::PageMaker;
use crate::write::rows::Columns;

/// Writes the row groups of a table.
///
/// Memory: the encoded columns of one row group, and dictionaries of at most 4 MiB a column.
pub struct TableWriter {
    shown: Vec<Column>,
    columns: Columns,
    maker: PageMaker,
    /// Rows of the group in the making.
    rows: u64,
    /// Where that group will begin in the file.
    at: u64,
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("rows", &self.rows).field("at", &self.at).finish_non_exhaustive()
    }
}

impl TableWriter {
    /// What the file begins with.
    pub const BEGINNING: &[u8] = MAGIC;

    /// The columns that a table can have: those of segments that events have values in, in the order of the file.
    pub fn columns() -> impl Iterator<Item = Column> {
        let internal =
            |column| matches!(column, Column::Control | Column::Leaf | Column::IdempotencyKey | Column::IdempotencyStatement);
        Column::ALL.iter().copied().filter(move |column| !internal(*column))
    }

    /// Goes on with a table of these columns at this offset of the file: behind [`BEGINNING`](Self::BEGINNING), or behind a row group.
    ///
    /// # Errors
    /// `Io`: there is no such level.
    pub fn new(columns: &[Column], at: u64, options: Options) -> Result<Self> {
        let shown = Self::columns().filter(|column| columns.contains(column)).collect();
        Ok(Self { shown, columns: Columns::new(), maker: PageMaker::new(options.level)?, rows: 0, at })
    }

    /// Rows of the group in the making.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds an event. `details`: what its column `details` shows, instead of the two parts in which they are stored.
    ///
    /// If the columns of a segment would not give the record back exactly, because something is withheld or of a later version, it stands in
    /// the column `record`.
    ///
    /// # Errors
    /// `Full`: the group has a million rows.
    pub fn push(&mut self, seq: u64, record: &Record<'_>, head: &Head<'_>, details: Option<&[u8]>) -> Result<()> {
        if self.rows >= ROWS_MAX {
            return Err(SegmentError::Full);
        }
        self.columns.push_shown(seq, record, head, details, &mut self.maker)?;
        self.rows += 1;
        Ok(())
    }

    /// Ends the row group and appends it to `out`. Gives what the footer is to say of it; `None` if it has no rows.
    ///
    /// # Errors
    /// `Io`: the compressor failed.
    pub fn end_group(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut columns = std::mem::replace(&mut self.columns, Columns::new());
        columns.finish(&mut self.maker)?;
        let (writers, _) = columns.into_writers();
        let mut out = Counted { out, bytes: self.at };
        let (mut chunks, mut indexes) = (PerColumn::new(|_| Chunk::default()), Vec::new());
        for (column, writer) in writers.into_iter().filter(|(column, _)| self.shown.contains(column)) {
            let (finished, _) = writer.finish(&mut self.maker)?;
            let (chunk, index) = put_chunk(column, finished, &mut out)?;
            indexes.push(index);
            *chunks.of_mut(column) = chunk;
        }
        super::put_page_indexes(&indexes, &mut chunks, &mut out)?;
        let chunks: Vec<_> = chunks.into_iter().filter(|(column, _)| self.shown.contains(column)).collect();
        let group = table::row_group(self.rows, &chunks);
        (self.at, self.rows) = (out.bytes, 0);
        Ok(Some(group))
    }

    /// The end of the file: what was told of its row groups, which have so many rows, and keys with values.
    pub fn footer(columns: &[Column], rows: u64, groups: &[Vec<u8>], entries: &[(String, String)]) -> Vec<u8> {
        let shown: Vec<Column> = Self::columns().filter(|column| columns.contains(column)).collect();
        table::footer(&shown, rows, groups, entries)
    }
}

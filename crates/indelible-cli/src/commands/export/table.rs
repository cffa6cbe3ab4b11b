//! A Parquet file: events in the columns of segments, row group after row group.
//!
//! A row group ends with the batch that fills it, and batches depend on nothing but the events. So an export that goes on behind a row group
//! makes the same ones as if it had not been interrupted; what a row group held that was not full is searched again. What the footer says of
//! row groups is in the state beside the file until then.

use indelible::identity::Identity;
use indelible::search::View;
use indelible_adapters::write_details;
use indelible_segment::{Column, Options, TableWriter};

use super::form::Mark;
use crate::failure::{Failure, Result};
use crate::output::json::Object;

/// Key of the footer's entry with the trailer.
const TRAILER_KEY: &str = "indelible.export";
/// Key of the footer's entry with the names of the logs, whose numbers are in the rows.
const LOGS_KEY: &str = "indelible.logs";
/// Bytes of records that end a row group, however few they are: it is held in memory, not much smaller if it is noise.
const GROUP_BYTES: usize = 64 << 20;

/// Which columns, and how large row groups are.
#[derive(Debug)]
pub(super) struct TableShape {
    columns: Vec<Column>,
    group_rows: u64,
}

impl TableShape {
    pub(super) const HEADER: &[u8] = TableWriter::BEGINNING;

    /// `fields`: names of columns or of groups of them; none for all.
    pub(super) fn new(fields: &[String], group_rows: u64) -> Result<Self> {
        let mut columns = Vec::new();
        for field in fields {
            let named = Column::all_named(field.trim());
            if named.is_empty() || !named.iter().all(|named| TableWriter::columns().any(|column| column == *named)) {
                let names: Vec<&str> = TableWriter::columns().map(Column::name).collect();
                return Err(Failure::usage(format!("parquet has no column {}", field.trim())).hint(format!(
                    "it has {}; what is in the details is a member of the JSON in the column `details`",
                    names.join(", ")
                )));
            }
            columns.extend(named);
        }
        if columns.is_empty() {
            columns.extend(TableWriter::columns());
        }
        Ok(Self { columns, group_rows })
    }

    /// So many at most that a row group can have as few rows as were asked for.
    pub(super) fn batch_events(&self) -> usize {
        usize::try_from(self.group_rows).unwrap_or(usize::MAX)
    }

    /// What goes on behind so many bytes.
    pub(super) fn table(&self, bytes: u64) -> Result<Table> {
        let at = bytes.max(Self::HEADER.len() as u64);
        Ok(Table {
            writer: TableWriter::new(&self.columns, at, Options::default()).map_err(failed)?,
            shows_details: self.columns.contains(&Column::Details),
            group_rows: self.group_rows,
            bytes: 0,
            details: Vec::new(),
        })
    }

    /// The end of the file, with `trailer` in it.
    pub(super) fn footer(&self, rows: u64, groups: &[Vec<u8>], trailer: &[u8], identity: &Identity) -> Vec<u8> {
        let mut logs = Object::new();
        for log in &identity.logs {
            logs.text(&log.id.to_string(), &log.name);
        }
        let entries = [(TRAILER_KEY, trailer), (LOGS_KEY, &logs.finish())]
            .map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into_owned()));
        TableWriter::footer(&self.columns, rows, groups, &entries)
    }
}

/// Row groups in the making.
pub(super) struct Table {
    writer: TableWriter,
    shows_details: bool,
    group_rows: u64,
    /// Of the records in the row group.
    bytes: usize,
    details: Vec<u8>,
}

impl Table {
    pub(super) fn event(&mut self, view: &View<'_>) -> Result<()> {
        self.details.clear();
        // The record as it was imported, and not the two parts in which it is stored.
        let merged = self.shows_details && write_details(&mut self.details, view.record);
        self.bytes += view.record.bytes().len();
        self.writer.push(view.seq, view.record, view.head, merged.then_some(&self.details)).map_err(failed)
    }

    pub(super) fn end_batch(&mut self, out: &mut Vec<u8>, is_last: bool) -> Result<Mark> {
        if self.writer.rows() < self.group_rows && self.bytes < GROUP_BYTES && !is_last {
            return Ok(Mark::Held);
        }
        self.bytes = 0;
        let mark = if is_last { Mark::Last } else { Mark::Group };
        Ok(self.writer.end_group(out).map_err(failed)?.map_or(Mark::Written, mark))
    }
}

fn failed(error: indelible_segment::SegmentError) -> Failure {
    Failure::new("io", "could not write a row group").cause(error.to_string())
}

//! An export to Parquet: events in the columns of segments, row group after row group, as `indelible export` writes it.
//!
//! It proves nothing, and nothing here reads it: this is the one place of the server that knows of columns.

use indelible::Identity;
use indelible::json::write_string;
use indelible::search::View;
use indelible_adapters::write_details;
use indelible_segment::{Column, Options, SegmentError, TableWriter};

/// As IANA has it.
pub(super) const MEDIA_TYPE: &str = "application/vnd.apache.parquet";
pub(super) const DISPOSITION: &str = "attachment; filename=\"events.parquet\"";
/// Events, and bytes of records, that end a row group. It is held in memory, by as many exports as there may be at once.
const GROUP_ROWS: u64 = 65_536;
const GROUP_BYTES: usize = 16 << 20;

/// A file in the making. Memory: one row group, and about 4 KiB for each before it.
pub(super) struct Table {
    columns: Vec<Column>,
    writer: TableWriter,
    /// What the footer is to say of each row group.
    groups: Vec<Vec<u8>>,
    rows: u64,
    /// Of the records in the row group.
    bytes: usize,
    details: Vec<u8>,
}

impl Table {
    /// Appends the beginning of the file.
    pub(super) fn begin(out: &mut Vec<u8>) -> Result<Self, SegmentError> {
        out.extend_from_slice(TableWriter::BEGINNING);
        let columns: Vec<Column> = TableWriter::columns().collect();
        let writer = TableWriter::new(&columns, TableWriter::BEGINNING.len() as u64, Options::default())?;
        Ok(Self { columns, writer, groups: Vec::new(), rows: 0, bytes: 0, details: Vec::new() })
    }

    /// Takes one event, and appends the row group that it fills.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, view: &View<'_>) -> Result<(), SegmentError> {
        self.details.clear();
        // The record as it came, and not the two parts in which it is stored.
        let merged = write_details(&mut self.details, view.record);
        self.bytes += view.record.bytes().len();
        self.writer.push(view.seq, view.record, view.head, merged.then_some(&self.details))?;
        self.rows += 1;
        if self.writer.rows() >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.end_group(out) } else { Ok(()) }
    }

    /// Appends the rest of the file, with the trailer and the names of the logs, whose numbers are in the rows.
    pub(super) fn end(mut self, out: &mut Vec<u8>, trailer: &[u8], identity: &Identity) -> Result<(), SegmentError> {
        self.end_group(out)?;
        let mut logs = b"{".to_vec();
        for (nth, log) in identity.logs.iter().enumerate() {
            logs.extend_from_slice(if nth > 0 { b"," } else { b"" });
            write_string(&mut logs, &log.id.to_string());
            logs.push(b':');
            write_string(&mut logs, &log.name);
        }
        logs.push(b'}');
        let entries = [("indelible.export", trailer), ("indelible.logs", &logs)]
            .map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into_owned()));
        out.extend_from_slice(&TableWriter::footer(&self.columns, self.rows, &self.groups, &entries));
        Ok(())
    }

    fn end_group(&mut self, out: &mut Vec<u8>) -> Result<(), SegmentError> {
        self.bytes = 0;
        self.groups.extend(self.writer.end_group(out)?);
        Ok(())
    }
}

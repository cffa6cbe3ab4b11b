//! What stands in the file for one event.

use clap::ValueEnum;
use indelible::identity::Identity;
use indelible::search::View;
use indelible_adapters::{write_csv, write_event, write_ocsf};

use super::table::{Table, TableShape};
use crate::failure::{Failure, Result};
use crate::shown::{Column, columns_json};

/// The form of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One JSON object per line, the same as `search -o ndjson`
    Ndjson,
    /// For spreadsheets: RFC 4180, formulas disarmed
    Csv,
    /// One OCSF 1.8 event per line
    Ocsf,
    /// One Parquet file, with the columns of segments
    Parquet,
}

impl Form {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Parquet => "parquet",
        }
    }
}

/// Form and fields, as far as they belong together.
#[derive(Debug)]
pub(super) enum Shape {
    /// A line for each event; the columns are for CSV, and for NDJSON with chosen fields.
    Lines(Form, Vec<Column>),
    Table(TableShape),
}

impl Shape {
    /// `fields`: the columns; none for all. `group_rows`: events of a row group.
    pub(super) fn new(form: Form, fields: &[String], group_rows: u64) -> Result<Self> {
        let columns = match (form, fields) {
            (Form::Parquet, fields) => return Ok(Self::Table(TableShape::new(fields, group_rows)?)),
            (Form::Ocsf, [_, ..]) => {
                return Err(Failure::usage("--fields is not for OCSF, whose fields are fixed").hint("use -o ndjson or -o csv"));
            }
            (Form::Csv, []) => Column::for_spreadsheets()?,
            (_, fields) => Column::named(fields)?,
        };
        Ok(Self::Lines(form, columns))
    }

    /// What stands before all events.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        match self {
            Self::Lines(Form::Csv, columns) => {
                write_csv(&mut header, &mut String::new(), columns.iter().map(|column| column.title.as_str()));
            }
            Self::Lines(..) => {}
            Self::Table(_) => header.extend_from_slice(TableShape::HEADER),
        }
        header
    }

    /// Threads that can write at once, of so many that there are.
    pub(super) const fn workers(&self, most: usize) -> usize {
        match self {
            Self::Lines(..) => most,
            // A row group is made from one event to the next.
            Self::Table(_) => 1,
        }
    }

    /// Events of a batch at most.
    pub(super) fn batch_events(&self) -> usize {
        match self {
            Self::Lines(..) => usize::MAX,
            Self::Table(shape) => shape.batch_events(),
        }
    }

    /// What writes events from here on; `bytes` are written already.
    pub(super) fn writer(&self, bytes: u64) -> Result<Writer<'_>> {
        Ok(match self {
            Self::Lines(form, columns) => Writer::Lines { form: *form, columns, line: String::new() },
            Self::Table(shape) => Writer::Table(Box::new(shape.table(bytes)?)),
        })
    }
}

/// Writes events in one form.
pub(super) enum Writer<'s> {
    Lines { form: Form, columns: &'s [Column], line: String },
    Table(Box<Table>),
}

/// What is in the file of the events of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// All of them.
    Written,
    /// They wait for more of their row group.
    Held,
    /// All of them, and this is what the end of the file is to say of their row group.
    Group(Vec<u8>),
    /// As `Group`, but it ended because nothing follows. Had more been recorded it would be longer, so an export does not go on behind it.
    Last(Vec<u8>),
}

impl Writer<'_> {
    /// Appends one event, or takes it into the row group in the making.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, view: &View<'_>, identity: &Identity) -> Result<()> {
        let (form, columns, line) = match self {
            Self::Lines { form, columns, line } => (*form, *columns, line),
            Self::Table(table) => return table.event(view),
        };
        let log = identity.log_name(view.log);
        match form {
            Form::Csv => {
                let cells = columns.iter().map(|column| column.text(view, identity).unwrap_or_default());
                write_csv(out, line, cells);
                return Ok(());
            }
            Form::Ocsf => write_ocsf(out, log, view.seq, view.record, view.head),
            Form::Ndjson | Form::Parquet if columns.is_empty() => write_event(out, log, view.seq, view.record, view.head),
            Form::Ndjson | Form::Parquet => out.extend_from_slice(&columns_json(view, identity, columns)),
        }
        out.push(b'\n');
        Ok(())
    }

    /// Told behind each batch, and whether it is the last.
    pub(super) fn end_batch(&mut self, out: &mut Vec<u8>, is_last: bool) -> Result<Mark> {
        match self {
            Self::Lines { .. } => Ok(Mark::Written),
            Self::Table(table) => table.end_batch(out, is_last),
        }
    }
}

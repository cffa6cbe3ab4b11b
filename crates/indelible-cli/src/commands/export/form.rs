//! What stands in the file for one event.

use clap::ValueEnum;
use indelible::identity::Identity;
use indelible::search::View;
use indelible::text::csv_field;
use indelible_adapters::{write_event, write_ocsf};

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
}

impl Form {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }

    /// Whether the trailer has no place in the file itself.
    pub(super) const fn has_sidecar(self) -> bool {
        matches!(self, Self::Csv)
    }
}

/// Writes events in one form.
pub(super) struct Writer {
    form: Form,
    /// For CSV, and for NDJSON with chosen fields.
    columns: Vec<Column>,
    line: String,
}

impl Writer {
    /// `fields`: the columns; none for all.
    pub(super) fn new(form: Form, fields: &[String]) -> Result<Self> {
        let columns = match (form, fields) {
            (Form::Ocsf, [_, ..]) => {
                return Err(Failure::usage("--fields is not for OCSF, whose fields are fixed").hint("use -o ndjson or -o csv"));
            }
            (Form::Csv, []) => Column::for_spreadsheets()?,
            (_, fields) => Column::named(fields)?,
        };
        Ok(Self { form, columns, line: String::new() })
    }

    /// What stands before all events.
    pub(super) fn header(&mut self) -> Vec<u8> {
        let mut header = Vec::new();
        if self.form == Form::Csv {
            let titles: Vec<&str> = self.columns.iter().map(|column| column.title.as_str()).collect();
            csv(&mut self.line, titles.iter(), &mut header);
        }
        header
    }

    /// Appends one event.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, view: &View<'_>, identity: &Identity) {
        let log = identity.log_name(view.log);
        match self.form {
            Form::Csv => {
                let cells = self.columns.iter().map(|column| column.text(view, identity).unwrap_or_default());
                csv(&mut self.line, cells, out);
                return;
            }
            Form::Ndjson if self.columns.is_empty() => write_event(out, log, view.seq, view.record, view.head),
            Form::Ndjson => out.extend_from_slice(&columns_json(view, identity, &self.columns)),
            Form::Ocsf => write_ocsf(out, log, view.seq, view.record, view.head),
        }
        out.push(b'\n');
    }
}

/// Appends one CSV record; RFC 4180 ends them with CR LF.
fn csv<S: AsRef<str>>(line: &mut String, fields: impl Iterator<Item = S>, out: &mut Vec<u8>) {
    line.clear();
    for (nth, field) in fields.enumerate() {
        if nth > 0 {
            line.push(',');
        }
        csv_field(field.as_ref(), line);
    }
    line.push_str("\r\n");
    out.extend_from_slice(line.as_bytes());
}

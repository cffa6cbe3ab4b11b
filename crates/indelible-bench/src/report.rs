//! What a measurement says: tables, as text for people or as JSON for programs.
//!
//! Every column names its unit, so that a number is never without one.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::Result;
use crate::machine::Machine;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned tables, each as soon as it is known.
    Text,
    /// One JSON document at the end.
    Json,
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Does not apply, or was not measured.
    Nothing,
    Text(String),
    Count(u64),
    Number(f64),
}

/// What one measurement found.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// A remark below the table: what was left out, what limits the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn as_text(&self) -> String {
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::as_text).collect()).collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                rows.iter().filter_map(|row| row.get(at)).chain([column]).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = format!("\n## {}\n\n", self.title);
        for row in std::iter::once(&self.columns).chain(&rows) {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match at {
                    0 => text.push_str(&format!("{cell:<width$}")),
                    _ => text.push_str(&format!("  {cell:>width$}")),
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text
    }

    fn as_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let members: Map<String, Value> = self.columns.iter().cloned().zip(row.iter().map(Cell::as_json)).collect();
                Value::Object(members)
            })
            .collect();
        json!({"title": self.title, "columns": self.columns, "rows": rows, "notes": self.notes})
    }
}

impl Cell {
    fn as_text(&self) -> String {
        match self {
            Self::Nothing => "–".into(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => grouped(&count.to_string()),
            Self::Number(number) => match number.abs() {
                100.0.. => grouped(&format!("{number:.0}")),
                10.0..100.0 => format!("{number:.1}"),
                _ => format!("{number:.2}"),
            },
        }
    }

    fn as_json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
        }
    }
}

/// Digits with a comma before every third from the end.
fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Number(number) } else { Self::Nothing }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// A row from values of different types.
macro_rules! cells {
    ($($value:expr),+ $(,)?) => { vec![$($crate::report::Cell::from($value)),+] };
}
pub(crate) use cells;

/// Where tables go.
pub(crate) struct Report {
    format: Format,
    machine: Machine,
    tables: Vec<Table>,
}

impl Report {
    /// Begins a report; as text, the machine is described at once.
    pub(crate) fn begin(format: Format, machine: Machine) -> Result<Self> {
        if format == Format::Text {
            print(&machine.as_text())?;
        }
        Ok(Self { format, machine, tables: Vec::new() })
    }

    pub(crate) fn add(&mut self, table: Table) -> Result<()> {
        if self.format == Format::Text {
            print(&table.as_text())?;
        }
        self.tables.push(table);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.format == Format::Json {
            let tables: Vec<Value> = self.tables.iter().map(Table::as_json).collect();
            print(&format!("{:#}\n", json!({"machine": self.machine.as_json(), "tables": tables})))?;
        }
        Ok(())
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (digits, text) in [("1", "1"), ("999", "999"), ("1000", "1,000"), ("1234567", "1,234,567"), ("-100000", "-100,000")] {
            assert_eq!(grouped(digits), text);
        }
    }

    #[test]
    fn a_table_reads_the_same_as_text_and_as_json() {
        let mut table = Table::new("t", &["subject", "acks/s"]);
        table.row(cells!["ours", 200_000u64]);
        table.row(cells!["peer", None::<u64>]);
        assert_eq!(table.as_text(), "\n## t\n\nsubject   acks/s\nours     200,000\npeer           –\n");
        assert_eq!(table.as_json()["rows"][0]["acks/s"], 200_000);
        assert!(table.as_json()["rows"][1]["acks/s"].is_null());
    }
}

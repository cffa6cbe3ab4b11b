//! Events as rows for spreadsheets: which columns there are when nobody chooses, and how a row is written.

use indelible_format::text::csv_field;

/// The columns, by the names of the search language.
pub const CSV_COLUMNS: &[&str] = &[
    "log",
    "seq",
    "time",
    "received",
    "action",
    "outcome",
    "severity",
    "class",
    "tenant",
    "source",
    "actor.type",
    "actor.id",
    "actor.name",
    "actor.email",
    "session",
    "origin.ip",
    "origin.host",
    "origin.user_agent",
    "target",
    "id",
];

/// Appends one row, its formulas disarmed. `line` is memory to be used again.
pub fn write_csv<S: AsRef<str>>(out: &mut Vec<u8>, line: &mut String, cells: impl IntoIterator<Item = S>) {
    line.clear();
    for (nth, cell) in cells.into_iter().enumerate() {
        if nth > 0 {
            line.push(',');
        }
        csv_field(cell.as_ref(), line);
    }
    // RFC 4180 ends rows with CR LF.
    line.push_str("\r\n");
    out.extend_from_slice(line.as_bytes());
}

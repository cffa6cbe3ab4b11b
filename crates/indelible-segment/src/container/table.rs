//! The footer of a table: some of the columns, in any number of row groups.
//!
//! What it says of a row group is written when the group is there, and kept as bytes until the table ends.

use super::footer::{Chunk, MAGIC, WRITER, write_chunk, write_end};
use super::schema;
use super::thrift::Writer;
use crate::column::Column;

/// What the footer says of a row group.
pub(crate) fn row_group(rows: u64, chunks: &[(Column, Chunk)]) -> Vec<u8> {
    let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let total = |of: fn(&Chunk) -> u64| long(chunks.iter().map(|(_, chunk)| of(chunk)).sum());
    let start = chunks.first().and_then(|(_, chunk)| chunk.range()).map_or(0, |range| range.start);
    let mut out = Vec::new();
    Writer::write(&mut out, |w| {
        w.groups(1, chunks.iter(), |(column, chunk), w| write_chunk(*column, chunk, w));
        w.i64(2, total(|chunk| chunk.raw_bytes));
        w.i64(3, long(rows));
        w.i64(5, long(start));
        w.i64(6, total(|chunk| chunk.bytes));
    });
    out
}

/// Everything behind the last row group, to the end of the file.
pub(crate) fn footer(columns: &[Column], rows: u64, groups: &[Vec<u8>], entries: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::write(&mut out, |w| {
        w.i32(1, 2);
        schema::write_shown(2, &|column| columns.contains(&column), w);
        w.i64(3, i64::try_from(rows).unwrap_or(i64::MAX));
        w.written_groups(4, groups.iter().map(Vec::as_slice));
        write_end(entries, WRITER, columns.len(), w);
    });
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(MAGIC);
    out
}

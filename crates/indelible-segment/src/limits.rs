//! Bounds of a segment: what a writer keeps to, and a reader refuses beyond.

use indelible_format::limits::{
    ACTION_BYTES_MAX, CONTROL_BYTES_MAX, FRAMEWORK_BYTES_MAX, FRAMEWORKS_MAX, GROUP_LEAVES, ID_BYTES_MAX, PRODUCER_BYTES_MAX,
    RECORD_BYTES_MAX, SOURCE_BYTES_MAX, TENANT_BYTES_MAX,
};

use crate::column::Column;

/// Rows of a segment.
pub const ROWS_MAX: u64 = 1 << 20;

/// Pages begin at multiples of this many rows.
pub(crate) const STRIDE: u32 = 256;
/// Rows of a page whose rows are not all the same.
pub(crate) const PAGE_ROWS_MAX: u32 = 1 << 16;
/// Elements of the list of one row.
pub(crate) const ELEMENTS_MAX: usize = 64;
/// Bytes of the footer, and of the page indexes of one column.
pub(crate) const FOOTER_BYTES_MAX: u64 = 32 << 20;
/// Bytes of a page that need no justification.
const PAGE_BYTES_FREE: usize = 4 << 20;
/// What one stored byte may become at most beyond that.
const PAGE_RATIO_MAX: usize = 1024;

const _: () =
    assert!(STRIDE as u64 == GROUP_LEAVES && PAGE_ROWS_MAX.is_multiple_of(STRIDE) && ROWS_MAX.is_multiple_of(STRIDE as u64));

/// Whether so many stored bytes may become so many: a few bytes cannot ask a reader for any amount of memory.
pub(crate) const fn is_justified(raw_bytes: usize, stored_bytes: usize) -> bool {
    raw_bytes <= PAGE_BYTES_FREE || raw_bytes / PAGE_RATIO_MAX <= stored_bytes
}

/// Whether so many stored bytes of a page of a column may become so many. A page, and a dictionary, ends with the stride in which it has
/// reached its size, which needs no justification: so it is longer than that by one stride of the longest values at most.
pub(crate) const fn may_become(column: Column, raw_bytes: usize, stored_bytes: usize) -> bool {
    raw_bytes <= PAGE_BYTES_FREE + STRIDE as usize * row_bytes_max(column) && is_justified(raw_bytes, stored_bytes)
}

/// Bytes of the values of one row, PLAIN.
const fn row_bytes_max(column: Column) -> usize {
    const LENGTH_BYTES: usize = 4;
    if let Some(bytes) = column.fixed_bytes() {
        return bytes;
    }
    let text = match column {
        Column::Kind | Column::Outcome | Column::Severity | Column::Class => 16,
        Column::IdText => ID_BYTES_MAX,
        Column::Tenant => TENANT_BYTES_MAX,
        Column::Action => ACTION_BYTES_MAX,
        Column::Source => SOURCE_BYTES_MAX,
        Column::ProducerId => PRODUCER_BYTES_MAX,
        Column::Frameworks => (FRAMEWORK_BYTES_MAX + LENGTH_BYTES) * FRAMEWORKS_MAX,
        Column::RawMediaType => u16::MAX as usize,
        Column::Control => CONTROL_BYTES_MAX,
        // Admission allows less, but who reads a record of the journal asks only that it is no longer than a record.
        _ => RECORD_BYTES_MAX + LENGTH_BYTES * ELEMENTS_MAX,
    };
    text + LENGTH_BYTES
}

//! Bounds of a segment: what a writer keeps to, and a reader refuses beyond.

use indelible_format::limits::GROUP_LEAVES;

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

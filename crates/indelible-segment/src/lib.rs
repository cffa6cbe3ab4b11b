//! Sealed segments of a log: plain Parquet that DuckDB, Spark and pandas read, from which every record is rebuilt byte for byte.
//!
//! A segment holds contiguous positions of one log, one row each. Texts and numbers of the head and of the identity and content groups
//! have typed columns under the names of the search language; the rest is JSON text. A record that its columns cannot give back exactly
//! is kept whole beside them, so that nothing depends on the columns being clever. Bytes: docs/format/segment.md.
//!
//! - [`SegmentWriter`] turns records into columns, pages and an index, and writes the file in one go.
//! - [`Segment`] gives records back: all in order, or one by its position. [`Segment::page`] shows columns without records,
//!   [`Segment::pages`] what each page holds at most, [`Segment::blocks_of`] where a term is.
//! - [`TableWriter`] writes events, from any positions of any logs, as a table for other programs: what is exported, and never read back.
//! - [`PageCache`] keeps decoded pages for all segments that are open.
//!
//! Invariants: no bytes make this crate panic or allocate more than a bounded multiple of what it was given; a page is decoded only after
//! its checksum was compared. This crate knows nothing of journals, threads or keys.

mod cache;
mod codec;
mod column;
mod container;
mod encoding;
mod error;
mod index;
mod layout;
mod limits;
mod pieces;
mod proof;
mod read;
mod reads;
mod write;

pub use cache::{CacheCounts, PageCache};
pub use column::Column;
pub use container::footer::Bounds;
pub use error::SegmentError;
pub use index::{BLOCK_ROWS, IndexField, pair};
pub use limits::ROWS_MAX;
pub use proof::Proof;
pub use read::{
    Blocks, Checked, Dictionary, Difference, EachChecked, Page, PageBounds, PageInfo, ReadAt, Rebuilt, Scratch, Segment,
};
pub use reads::Reads;
pub use write::{Options, SegmentWriter, Summary, TableWriter};

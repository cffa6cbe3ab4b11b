//! Sealed segments of a log: plain Parquet that DuckDB, Spark and pandas read, from which every record is rebuilt byte for byte.
//!
//! A segment holds contiguous positions of one log, one row each. Texts and numbers of the head and of the identity and content groups
//! have typed columns under the names of the search language; the rest is JSON text. A record that its columns cannot give back exactly
//! is kept whole beside them, so that nothing depends on the columns being clever. Bytes: docs/format/segment.md.
//!
//! This crate knows nothing of journals, threads or keys.

mod error;
mod proof;
mod read;
mod rebuild;
mod rows;
mod schema;
mod write;

pub use error::SegmentError;
pub use proof::Proof;
pub use read::Segment;
pub use write::{Options, SegmentWriter, Summary};

//! Segments give back every record, byte for byte, and are plain Parquet for everyone else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod records;
mod support;

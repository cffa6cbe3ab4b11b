//! Segments give back every record, byte for byte, and are plain Parquet for everyone else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

mod access;
mod corpus;
#[path = "../forge/mod.rs"]
mod forge;
mod golden;
mod honest;
mod hostile;
mod index;
mod oracle;
mod others;
mod pieces;
mod records;
mod support;
mod tables;
mod usual;

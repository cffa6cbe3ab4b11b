//! Bytes and proofs of the Indelible audit log.
//!
//! This crate is pure: no I/O, no clock, no threads, no `unsafe`. Every decoder is total: whatever bytes it is given, it returns
//! a value or a typed error, in memory bounded by its input. The byte layouts are normative in `docs/format/`.

pub mod disclose;
pub mod draft;
mod encode;
pub mod event;
pub mod head;
pub mod limits;
mod reader;
pub mod record;
pub mod sink;
pub mod span;
pub mod taxonomy;
mod writer;

#[cfg(test)]
mod corpus;

pub mod hash;
pub mod leaf;
pub mod sha256;

pub mod json;
pub mod text;

pub mod frame;

pub mod checkpoint;
pub mod merkle;
pub mod note;
mod plain;
pub mod tenants;
pub mod tile;
pub mod tlog_proof;

pub use draft::{Canonical, Draft, Value};
pub use encode::{Encoded, Rejection, Stamp, encode};
pub use event::{Class, Field, Outcome, Severity, Tag};
pub use hash::Hash;
pub use head::{Head, Id, Producer, Trace};
pub use record::Record;

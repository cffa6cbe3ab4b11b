//! Sealing: from the journal to segments of plain Parquet that stay as they are. docs/format/segment.md, docs/format/store.md.
//!
//! Complete journal files are sealed all at once, every log up to the same frame, so that a file can go when its events are elsewhere.
//! What a store was before sealing it is after it: no position, leaf, root or proof changes.

pub(crate) mod building;
pub(crate) mod expire;
pub(crate) mod expired;
pub(crate) mod files;
pub(crate) mod manifest;
mod pass;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod sealer;
pub(crate) mod state;

pub use manifest::{ExpiredInfo, SegmentInfo};
pub(crate) use manifest::{Manifest, Start};
pub use sealer::Sealed;

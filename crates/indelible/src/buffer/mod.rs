//! Between callers and committer: three bounded lanes of encoded records.

mod lane;

pub(crate) use lane::{Full, Lane, Local, Loss, Taken};
pub use lane::LaneStats;

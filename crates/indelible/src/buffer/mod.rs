//! Between callers and committer: three bounded lanes of encoded records.

mod lane;

pub use lane::LaneStats;
pub(crate) use lane::{Full, Lane, Local, Loss, Shut, Taken};

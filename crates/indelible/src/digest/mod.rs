//! From committed records to proofs: the tip of each log, its tree file, checkpoints, inclusion proofs.

pub(crate) mod checkpoints;
pub(crate) mod hashing;
pub(crate) mod names;
pub(crate) mod replay;
pub(crate) mod stated;
pub(crate) mod tip;
pub(crate) mod tree_file;

use indelible_format::Hash;

/// Size and root of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// Which log.
    pub log: u32,
    /// Number of positions.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

//! Verification: streams everything, recomputes every hash from values, checks every signature, reports all findings.
//!
//! Memory is constant but for one entry per tenant, producer and outside checkpoint. Nothing stored is believed: checksums, roots and
//! spans are compared with what the values give.

mod anchors;
mod finding;
mod proof;
mod stream;

use std::path::Path;

use indelible_format::Hash;
use indelible_format::note::VerifierKey;

pub use finding::{Code, Finding, Level};
pub use proof::{ProofReport, ProvenGroup, verify_proof};

use crate::error::Result;
use crate::world::World;

/// What a store is compared with, besides itself.
#[derive(Default)]
pub struct Options<'o> {
    /// Signed checkpoints kept outside the store.
    pub against: Vec<String>,
    /// The store's verifier key (that of any of its logs), from outside the store.
    pub key: Option<VerifierKey>,
    /// Directory of the trusted state; `None`: not consulted.
    pub trusted_state_dir: Option<std::path::PathBuf>,
    /// Called now and then with the bytes read and the bytes there are.
    pub progress: Option<&'o mut dyn FnMut(u64, u64)>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("against", &self.against).field("key", &self.key).finish_non_exhaustive()
    }
}

/// What was found about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// Number of the log.
    pub log: u32,
    /// What people call it.
    pub name: String,
    /// Positions that were verified.
    pub size: u64,
    /// Root over them, recomputed.
    pub root: Hash,
    /// Size of the newest checkpoint that holds.
    pub signed: u64,
    /// Size of the largest outside checkpoint that holds.
    pub anchored: u64,
}

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether nothing failed.
    pub ok: bool,
    /// Whether a checkpoint from outside the store was there to compare with. A key alone does not anchor: whoever rolls a store
    /// back keeps its signatures.
    pub anchored: bool,
    /// By log.
    pub logs: Vec<LogReport>,
    /// Frames read.
    pub frames: u64,
    /// Events read.
    pub events: u64,
    /// Bytes of a frame that was never acknowledged, behind the last good one.
    pub torn_tail_bytes: u64,
    /// Everything that was found, in the order of reading.
    pub findings: Vec<Finding>,
}

/// Verifies the store in `dir`.
///
/// **Cost**: one pass over the journal; ≤ 64 MiB of memory whatever its size, plus what tenants and producers take.
///
/// # Errors
/// `NotFound`, `Io`, `Unsupported`: it could not be read. What is wrong with it is in the report.
pub fn verify(dir: impl AsRef<Path>, options: Options<'_>) -> Result<Report> {
    verify_in(dir, options, &World::real())
}

/// [`verify`] in a given world.
///
/// # Errors
/// As `verify`.
pub fn verify_in(dir: impl AsRef<Path>, options: Options<'_>, world: &World) -> Result<Report> {
    stream::run(world, dir.as_ref(), options)
}

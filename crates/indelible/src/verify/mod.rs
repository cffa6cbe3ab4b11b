//! Verification: streams everything, recomputes every hash from values, checks every signature, reports all findings.
//!
//! Memory is constant but for one entry per tenant, producer and outside checkpoint, and, of logs that are sealed, per statement of log 0. Nothing stored is believed: checksums, roots and
//! spans are compared with what the values give.

mod anchors;
mod expired;
mod finding;
mod policy;
mod proof;
mod restored;
mod sealed;
mod stream;
mod tenant;

use std::path::Path;

use indelible_format::Hash;
use indelible_format::note::VerifierKey;

pub use finding::{Code, Finding, Level};
pub use proof::{ProofReport, ProvenGroup, verify_proof};
pub use tenant::{TenantEvent, TenantLog, TenantReport, verify_tenant};

use crate::digest::checkpoints;
use crate::error::Result;
use crate::identity::Identity;
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

/// Verifies the store in `dir`. If nothing failed and there is a trusted state to consult, the store's newest checkpoints become part of
/// it: what was accepted once cannot be taken back later.
///
/// **Cost**: one pass over the journal, on this thread and one that hashes; ≤ 64 MiB of memory whatever its size, plus what tenants and producers take.
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
    let state = options.trusted_state_dir.clone();
    let report = stream::run(world, dir.as_ref(), options)?;
    if let Some(state) = state.filter(|_| report.ok) {
        pin(world, dir.as_ref(), &state, &report)?;
    }
    Ok(report)
}

/// Moves the trusted state forward to the store's newest checkpoints; never back.
fn pin(world: &World, dir: &Path, state: &Path, report: &Report) -> Result<()> {
    let identity = Identity::read(world, dir)?;
    let mut newest = checkpoints::read_trusted_state(world, state, &identity)?;
    let mut moved = false;
    for log in &identity.logs {
        // A writer may have signed on since: only what was verified counts.
        let verified = report.logs.iter().find(|verified| verified.log == log.id).map_or(0, |verified| verified.signed);
        if let Some(found) = checkpoints::read(world, dir, &identity, log.id)?.filter(|found| found.size <= verified)
            && newest.iter().find(|known| known.log == log.id).is_none_or(|known| known.size < found.size)
        {
            newest.retain(|known| known.log != log.id);
            newest.push(found);
            moved = true;
        }
    }
    if !moved {
        return Ok(());
    }
    let notes: Vec<(u32, &str)> = newest.iter().map(|checkpoint| (checkpoint.log, checkpoint.note.as_str())).collect();
    checkpoints::write_trusted_state(world, state, &identity, &notes)
}

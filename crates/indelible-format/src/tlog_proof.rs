//! Offline proofs of one entry (C2SP tlog-proof): everything a verifier needs but the keys, in one text file.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64                 optional: what the application needs to compute the leaf
//! index decimal                which leaf
//! base64( hash )               inclusion proof, from the leaf up, one line per hash
//! (empty line)
//! checkpoint                   the log's signed note, verbatim
//! ```
//!
//! Constraints: at most [`PROOF_BYTES_MAX`] bytes and [`PROOF_HASHES_MAX`] hashes; the checkpoint obeys the limits of notes. What
//! parses formats back to the same bytes. `extra` is not authenticated by itself: believe what the leaf computed from it proves.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, parse_decimal, parse_hash};
use crate::merkle::{ProofError, verify_inclusion};
use crate::note::VerifierKey;

/// The proof that one leaf is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application needs to compute the leaf. Empty is written as absent.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf, from 0.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The log's checkpoint: a signed note, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads a proof of unknown origin.
    ///
    /// # Errors
    /// `Format` names the line that is not as it must be; `Checkpoint`, `TooLarge`. Never panics.
    ///
    /// **Cost**: at most its input in memory.
    pub fn parse(proof: &[u8]) -> Result<Self, TlogProofError> {
        if proof.len() > PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLarge);
        }
        let proof = std::str::from_utf8(proof).map_err(|_| TlogProofError::Format("it is not UTF-8"))?;
        let (header, checkpoint) = proof.split_once("\n\n").ok_or(TlogProofError::Format("it has no checkpoint"))?;
        let mut lines = header.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(TlogProofError::Format("its first line"));
        }
        let mut line = lines.next().unwrap_or_default();
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            let decoded = STANDARD.decode(encoded).ok().filter(|decoded| !decoded.is_empty());
            extra = Some(decoded.ok_or(TlogProofError::Format("its extra line"))?);
            line = lines.next().unwrap_or_default();
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal).ok_or(TlogProofError::Format("its index line"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == PROOF_HASHES_MAX {
                return Err(TlogProofError::Format("it has more than 63 hashes"));
            }
            hashes.push(parse_hash(line).ok_or(TlogProofError::Format("a hash of it"))?);
        }
        SignedCheckpoint::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that `leaf` (the leaf hash, which the caller computed from the entry) is at `index` in a log that one of `keys` speaks
    /// for, and gives that log's checkpoint.
    ///
    /// The checkpoint must be signed by a key of `keys` whose name is its origin; a wrong signature by any other of them, a
    /// witness for example, spoils it.
    ///
    /// # Errors
    /// `Checkpoint` when it cannot be believed, `Inclusion` when the leaf is not shown to be in it.
    ///
    /// **Cost**: an Ed25519 verification for each signature by a known key, and one node hash for each hash.
    pub fn verify(&self, leaf: &Hash, keys: &[VerifierKey]) -> Result<Checkpoint, TlogProofError> {
        let signed = SignedCheckpoint::parse(self.checkpoint.as_bytes())?;
        let checkpoint = signed.open(keys)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint.clone())
    }
}

/// The file.
impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.as_bytes())))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why something is not a proof, or does not prove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// More than [`PROOF_BYTES_MAX`] bytes.
    #[error("the proof is larger than 32 MiB")]
    TooLarge,
    /// Not the format.
    #[error("the proof is malformed: {0}")]
    Format(&'static str),
    /// The checkpoint in it cannot be believed.
    #[error("the checkpoint of the proof cannot be accepted")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error("the entry is not shown to be in the log")]
    Inclusion(#[from] ProofError),
}

/// Largest proof that is parsed. An event's values travel in `extra`, in base64 within base64.
pub const PROOF_BYTES_MAX: usize = 32 << 20;

/// Most hashes of an inclusion proof.
pub const PROOF_HASHES_MAX: usize = 63;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

#[cfg(test)]
mod tests;

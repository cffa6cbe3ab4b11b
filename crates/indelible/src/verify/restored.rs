//! Stores that go on from another one: what they took over is held against what the predecessor was and signed.
//!
//! Three things must say the same: `store.json`, the entry `store.restored` of log 0, and the entries before it. A checkpoint of the
//! predecessor is judged by the predecessor's origin and key, as far as its log was taken over; one that reaches further tells what the
//! backup did not have.

use indelible_format::checkpoint::{self, CheckpointError, SignedCheckpoint};
use indelible_format::note::{SignatureError, VerifierKey};

use super::anchors::Source;
use super::finding::{Code, Level};
use super::stream::Verifier;
use crate::commit::control;
use crate::digest::replay::Replay;
use crate::identity::LOG_CONTROL;
use crate::time;

/// Entries `store.restored` that are remembered; an honest store has one for each predecessor.
pub(super) const RESTORED_MAX: usize = 1_024;

/// An entry `store.restored`.
pub(super) struct Restored {
    pub(super) log: u32,
    pub(super) seq: u64,
    /// Its member `at`.
    pub(super) at: String,
    pub(super) bytes: Vec<u8>,
}

impl Verifier<'_> {
    /// Files what `store.json` claims of the logs that were taken over, and the predecessors' own checkpoints.
    pub(super) fn gather_predecessors(&mut self, replay: &mut Replay) {
        for before in self.identity.predecessors.clone() {
            for taken in &before.logs {
                let head = taken.head;
                self.claim(head.log, head.size, head.root, Source::TakenOver, replay);
                let Some(note) = &taken.checkpoint else { continue };
                match before.identity.verifier_key(head.log).map(|key| checkpoint::open(note.as_bytes(), &key)) {
                    Some(Ok(signed)) if signed.size <= head.size => {
                        self.claim(head.log, signed.size, signed.root, Source::Predecessor, replay);
                    }
                    Some(Ok(signed)) => {
                        let message = format!("{} entries were taken over, the predecessor signed {}", head.size, signed.size);
                        self.fail(Code::RestoredMismatch, Some(head.log), Some(head.size), message);
                    }
                    Some(Err(error)) => {
                        let message = format!("a checkpoint of the predecessor does not verify: {error}");
                        self.fail(Code::CheckpointSignature, Some(head.log), None, message);
                    }
                    None => {
                        let message = "store.json gives no usable key for this log of a predecessor";
                        self.fail(Code::StoreIdentity, Some(head.log), None, message);
                    }
                }
            }
        }
    }

    /// Whether a key from outside is that of a predecessor: it cannot vouch for what came after it.
    pub(super) fn is_predecessors_key(&mut self, key: &VerifierKey) -> bool {
        let Some((before, _)) = self.identity.predecessor_of(key.name()) else { return false };
        if before.identity.public_key != *key.public_key() {
            return false;
        }
        let now = self.identity.verifier_key(LOG_CONTROL).map(|key| key.to_string()).unwrap_or_default();
        let message = format!(
            "the key given is that of a store whose backup was restored here; what came after that is signed by {now}. Have that key confirmed by whoever restored it"
        );
        self.fail(Code::KeyMismatch, None, None, message);
        true
    }

    /// A checkpoint from outside that is about a predecessor's log. `false`: its origin is nobody's here.
    pub(super) fn claim_of_predecessor(&mut self, note: &[u8], origin: &str, source: Source, replay: &mut Replay) -> bool {
        let Some((before, log)) = self.identity.predecessor_of(origin) else { return false };
        let (size, key) = (before.size(log), before.identity.verifier_key(log));
        let opened = key.as_ref().map(|key| checkpoint::open(note, key));
        let checkpoint = match opened {
            Some(Ok(checkpoint)) => checkpoint,
            Some(Err(CheckpointError::Signature(SignatureError::Unknown))) => {
                let message = format!("{} is not signed by the key that store.json gives the predecessor", source.describe());
                self.fail(Code::KeyMismatch, Some(log), None, message);
                let Ok(signed) = SignedCheckpoint::parse(note) else { return true };
                signed.unverified().clone()
            }
            Some(Err(error)) => {
                let message = format!("a checkpoint of the predecessor does not verify: {error}");
                self.fail(Code::CheckpointSignature, Some(log), None, message);
                return true;
            }
            None => return true,
        };
        if checkpoint.size > size {
            let message = format!(
                "{} is over {} entries of {origin}; the backup that was restored had {size}: the {} that came between backup and loss are not here",
                source.describe(),
                checkpoint.size,
                checkpoint.size - size
            );
            self.fail(Code::RestoredShort, Some(log), Some(size), message);
        } else {
            self.claim(log, checkpoint.size, checkpoint.root, source, replay);
        }
        true
    }

    /// Each restoration must have its entry, byte for byte what `store.json` says, where the predecessor ends; and there is no other.
    pub(super) fn check_restored(&mut self, replay: &Replay) {
        let mut entries = std::mem::take(&mut self.details.restored);
        let size = replay.head(LOG_CONTROL).size;
        let mut expected = Vec::new();
        for (before, after) in self.identity.succession() {
            let is_newest = after.store == self.identity.store;
            let make = |at: &str| time::parse(at).map(|at| control::store_restored(after, before, at)).unwrap_or_default();
            let place = before.size(LOG_CONTROL);
            let found = entries.iter().position(|entry| (entry.log, entry.seq) == (LOG_CONTROL, place));
            let matches = found.map(|nth| entries.swap_remove(nth)).map(|entry| make(&entry.at) == entry.bytes);
            expected.push((place, matches, is_newest));
        }
        for (place, matches, is_newest) in expected {
            let (log, at) = (Some(LOG_CONTROL), Some(place));
            match matches {
                Some(true) => {}
                Some(false) => self.fail(
                    Code::RestoredMismatch,
                    log,
                    at,
                    "`store.restored` names another predecessor, or other sizes, roots, origins or keys than store.json",
                ),
                None if size > place => {
                    let message = "store.json says that a backup was restored here, and no `store.restored` says so";
                    self.fail(Code::RestoredMismatch, log, at, message);
                }
                None if size == place && is_newest => self.find(
                    Code::RestoreUnfinished,
                    Level::Note,
                    log,
                    at,
                    "the store was restored and not opened for writing since: the entry that tells of it comes then",
                ),
                // That it is shorter than what was taken over was found by its root.
                None => {}
            }
        }
        for entry in entries {
            let message = "`store.restored` stands where store.json knows of no restoration";
            self.fail(Code::RestoredMismatch, Some(entry.log), Some(entry.seq), message);
        }
    }
}

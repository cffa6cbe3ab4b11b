//! Offline verification of one event's proof: no store, no network, only the proof and a key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, Document, Node};
use indelible_format::leaf::{commitment, control_entry, event_entry};
use indelible_format::note::VerifierKey;
use indelible_format::tlog_proof::TlogProof;
use indelible_format::{Hash, Tag, sha256};

use crate::error::{Error, ErrorKind, Result};

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofReport {
    /// Origin of the log.
    pub origin: String,
    /// Position in it.
    pub seq: u64,
    /// Size of the log at the checkpoint.
    pub size: u64,
    /// The leaf that was found there.
    pub leaf: Hash,
    /// The event's groups, by tag; empty for a control entry.
    pub groups: Vec<ProvenGroup>,
    /// The control entry's JSON, if it is one.
    pub control: Option<Vec<u8>>,
}

/// One group of a proven event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenGroup {
    /// Which.
    pub tag: Tag,
    /// Its value; `None`: withheld.
    pub value: Option<Vec<u8>>,
}

/// Verifies a `.tlog-proof` made by [`Reader::prove`](crate::Reader::prove).
///
/// `key` is the verifier key of the event's log, or of any log of the same store: the origin is compared up to the log's own id.
///
/// # Errors
/// `Rejected`: it is not such a proof. `Mismatch`: it is one, and it does not hold.
pub fn verify_proof(proof: &[u8], key: &VerifierKey) -> Result<ProofReport> {
    let rejected = |what: String| Error::new(ErrorKind::Rejected, format!("this is not a proof of an event: {what}"));
    let proof = TlogProof::parse(proof).map_err(|error| rejected(error.to_string()))?;
    let extra = proof.extra.as_deref().ok_or_else(|| rejected("it has no extra line to compute the leaf from".into()))?;
    let mut document = Document::new();
    let limits = json::Limits { bytes_max: 32 << 20, ..json::Limits::default() };
    let root = document.parse(extra, &limits).map_err(|error| rejected(error.to_string()))?;
    if root.get("format").and_then(|node| node.as_str()).as_deref() != Some("indelible/v1") {
        return Err(rejected("its format is not indelible/v1".into()));
    }
    let (groups, control, entry) = match (root.get("groups"), root.get("control")) {
        (Some(groups), None) => {
            let (groups, entry) = event(groups).ok_or_else(|| rejected("a group of it is malformed".into()))?;
            (groups, None, entry)
        }
        (None, Some(control)) => {
            let bytes = control.raw().as_bytes().to_vec();
            let entry = control_entry(&bytes);
            (Vec::new(), Some(bytes), entry)
        }
        _ => return Err(rejected("it holds neither an event nor a control entry".into())),
    };
    let leaf = sha256::leaf(&entry);
    let key = key_for(key, &proof.checkpoint);
    let checkpoint = proof.verify(&leaf, &[key]).map_err(|error| {
        Error::new(ErrorKind::Mismatch, format!("the proof does not hold: {error}"))
            .with_hint("ask for the proof again, and check that the key is that of the log")
    })?;
    Ok(ProofReport { origin: checkpoint.origin, seq: proof.index, size: checkpoint.size, leaf, groups, control })
}

/// The same public key under the checkpoint's origin, if that is another log of the key's store.
fn key_for(key: &VerifierKey, note: &str) -> VerifierKey {
    let origin = note.lines().next().unwrap_or_default();
    let store = |name: &str| name.rsplit_once('/').map(|(store, _)| store.to_owned());
    if store(origin).is_some() && store(origin) == store(key.name()) {
        key.with_name(origin).unwrap_or_else(|_| key.clone())
    } else {
        key.clone()
    }
}

/// The groups of an event as they are disclosed, and the entry that they make.
pub(super) fn event(groups: Node<'_, '_>) -> Option<(Vec<ProvenGroup>, Vec<u8>)> {
    let bytes = |node: Node<'_, '_>, key: &str| STANDARD.decode(node.get(key)?.as_str()?.as_bytes()).ok();
    let mut proven: Vec<ProvenGroup> = Vec::new();
    let mut commitments: Vec<(Tag, Hash)> = Vec::new();
    for group in groups.elements() {
        let tag = Tag(u8::try_from(group.get("tag")?.as_u64()?).ok()?);
        if commitments.last().is_some_and(|(last, _)| *last >= tag) || commitments.len() >= indelible_format::limits::GROUPS_MAX {
            return None;
        }
        let (hash, value) = match group.get("commitment") {
            Some(_) => (Hash::from_slice(&bytes(group, "commitment")?)?, None),
            None => {
                let salt: [u8; 16] = bytes(group, "salt")?.try_into().ok()?;
                let value = bytes(group, "value")?;
                (commitment(tag, &salt, &value), Some(value))
            }
        };
        commitments.push((tag, hash));
        proven.push(ProvenGroup { tag, value });
    }
    (!commitments.is_empty()).then(|| (proven, event_entry(&commitments)))
}

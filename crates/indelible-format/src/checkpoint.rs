//! Checkpoints (C2SP tlog-checkpoint): what a log swears to — its size and root — as the text of a signed note.
//!
//! ```text
//! origin                  which log; not empty
//! size                    leaves, decimal, no leading zero
//! base64( root )          RFC 6962 root at that size
//! extension lines         none in ours; kept from others
//! ```
//!
//! One checkpoint has one text: what parses formats back to the same bytes, so a signature can be checked after parsing.
//! In Indelible the signing key's name is the origin (docs/format/proofs.md); [`open`] insists on it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;
use crate::merkle::empty_root;
use crate::note::{Note, NoteError, SignatureError, SigningKey, VerifierKey};

/// Size and root of a log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log. Not empty, one line.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root of the tree of that size.
    pub root: Hash,
    /// Further lines, opaque, each not empty. Ours has none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    #[must_use]
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a note as a checkpoint.
    ///
    /// # Errors
    /// `Text` names the part that is not as it must be.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Text("its final newline"))?;
        let mut lines = text.split('\n');
        let origin = lines.next().unwrap_or_default().to_owned();
        let size = lines.next().and_then(parse_decimal).ok_or(CheckpointError::Text("the size"))?;
        let root = lines.next().and_then(parse_hash).ok_or(CheckpointError::Text("the root"))?;
        let checkpoint = Self { origin, size, root, extensions: lines.map(str::to_owned).collect() };
        checkpoint.check_lines()?;
        Ok(checkpoint)
    }

    /// The signed note over this checkpoint.
    ///
    /// Sign only what is durable and consistent with everything signed before: a signature cannot be taken back.
    ///
    /// # Errors
    /// `Text` when origin or extensions cannot stand in a checkpoint, or an empty tree has another root than the empty one; `Note`
    /// when the note would be too large.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        self.check_lines()?;
        if self.size == 0 && self.root != empty_root() {
            return Err(CheckpointError::Text("the root of the empty tree"));
        }
        Ok(key.sign(&self.to_string())?)
    }

    fn check_lines(&self) -> Result<(), CheckpointError> {
        if !is_line(&self.origin) {
            return Err(CheckpointError::Text("the origin"));
        }
        if !self.extensions.iter().all(|line| is_line(line)) {
            return Err(CheckpointError::Text("an extension line"));
        }
        Ok(())
    }
}

/// The note text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint with its note, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a signed checkpoint of unknown origin.
    ///
    /// # Errors
    /// `Note` or `Text`. Never panics.
    pub fn parse(note: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// What the checkpoint says, believed or not: for showing, and for choosing the key to verify with.
    #[must_use]
    pub const fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note it came in.
    #[must_use]
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The checkpoint, once at least one of `keys` has signed it and none of them wrongly. Whether that key may speak for this
    /// origin is the caller's to decide; [`SignedCheckpoint::open`] decides by name.
    ///
    /// # Errors
    /// `Signature`.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<&Checkpoint, CheckpointError> {
        self.note.verify(keys)?;
        Ok(&self.checkpoint)
    }

    /// The checkpoint, once a key of `keys` that is named like its origin has signed it, and none of `keys` wrongly.
    ///
    /// # Errors
    /// `Signature`, or `Origin` when only keys of other names signed.
    pub fn open(&self, keys: &[VerifierKey]) -> Result<&Checkpoint, CheckpointError> {
        let signed = self.note.verify(keys)?;
        if signed.iter().any(|key| key.name() == self.checkpoint.origin) {
            Ok(&self.checkpoint)
        } else {
            Err(CheckpointError::Origin { found: self.checkpoint.origin.clone() })
        }
    }
}

/// The checkpoint in this note, signed by the log's own key: the key's name is the origin.
///
/// # Errors
/// See [`CheckpointError`].
pub fn open(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
    let signed = SignedCheckpoint::parse(note)?;
    signed.open(std::slice::from_ref(key)).cloned()
}

/// Why something is not a checkpoint to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a signed note.
    #[error("the checkpoint is not a signed note")]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error("the checkpoint is malformed: {0}")]
    Text(&'static str),
    /// The signatures do not hold.
    #[error("the checkpoint's signature cannot be accepted")]
    Signature(#[from] SignatureError),
    /// It speaks for another log than the keys that signed it.
    #[error("the checkpoint is of another log: {found}")]
    Origin {
        /// The origin it names.
        found: String,
    },
}

/// A decimal without sign or leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// 32 bytes in base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    // 44 is the one length that can be right; looking first keeps a long line from being decoded.
    if text.len() != 44 {
        return None;
    }
    Hash::from_slice(&STANDARD.decode(text).ok()?)
}

fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|byte| byte < 0x20)
}

#[cfg(test)]
mod tests;

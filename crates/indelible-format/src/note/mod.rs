//! Signed notes (C2SP signed-note): a text and Ed25519 signatures of it, in a form people can read and paste.
//!
//! ```text
//! text, one or more lines, each ended by a newline
//! (empty line: the last one of the note)
//! — key name ␠ base64( key id, 4 bytes ‖ signature )        one line per signature
//! ```
//!
//! Constraints: UTF-8 · no character below U+0020 but the newline · at most [`NOTE_BYTES_MAX`] bytes and [`SIGNATURES_MAX`]
//! signatures, at least one. Base64 is canonical, so a note has one encoding: what parses formats back to the same bytes.
//!
//! The key name and id select the key. Signatures by unknown keys are ignored, which lets witnesses and old keys sign along;
//! a signature that names a known key and does not verify spoils the whole note.

mod key;

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use key::{KeyError, SigningKey, VerifierKey, is_key_name};

/// A parsed note. Nothing in it is to be believed before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// Name of the key said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of that key.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The signature itself, without the key id; its form depends on the kind of key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk::<4>()?;
        let signature = Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() };
        (is_key_name(name) && !bytes.is_empty()).then_some(signature)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([self.id.as_slice(), &self.bytes].concat());
        write!(f, "{SIGNATURE_PREFIX}{} {encoded}", self.name)
    }
}

impl Note {
    /// Reads a note of unknown origin.
    ///
    /// # Errors
    /// When the bytes are not a signed note, or larger than the limits above. Never panics.
    ///
    /// **Cost**: one copy of the note.
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Encoding)?;
        check_characters(note)?;
        // The last empty line parts text from signatures: earlier ones belong to the text.
        let (text, block) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let block = block.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut signatures = Vec::new();
        for line in block.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(Signature::parse(line).ok_or(NoteError::SignatureLine { number: signatures.len() + 1 })?);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The text with this key's signature.
    ///
    /// # Errors
    /// When the text cannot be a note's: see [`NoteError`].
    pub fn sign(text: &str, key: &SigningKey) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::TextEnd);
        }
        check_characters(text)?;
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        note.add_signature(key)?;
        Ok(note)
    }

    /// Signs the text once more, with another key; an earlier signature by the same key is replaced.
    ///
    /// # Errors
    /// When the note would leave the limits; it is then as before.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        let signature =
            Signature { name: key.name().to_owned(), id: key.id(), bytes: key.sign_bytes(self.text.as_bytes()).to_vec() };
        let mut signatures = self.signatures.clone();
        signatures.retain(|other| (other.name(), other.id) != (signature.name(), signature.id));
        signatures.push(signature);
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let note = Self { text: self.text.clone(), signatures };
        if note.to_string().len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        *self = note;
        Ok(())
    }

    /// The text, with its final newline. Believe it only after [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The keys among `known` that signed this note, each once, in the order they signed.
    ///
    /// Signatures by other keys are ignored, even if they share a name or an id, but not both, with a known one.
    ///
    /// # Errors
    /// `Invalid` when a signature that names a known key does not verify, however many others do; `Unknown` when no known key
    /// signed; `Ambiguous` when two different known keys have one name and id.
    ///
    /// **Cost**: one Ed25519 verification for each signature that names a known key, at most [`SIGNATURES_MAX`].
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, SignatureError> {
        let mut signed: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let mut named = known.iter().filter(|key| key.name() == signature.name && key.id() == signature.id);
            let Some(key) = named.next() else { continue };
            if named.any(|other| other != key) {
                return Err(SignatureError::Ambiguous { name: signature.name.clone() });
            }
            if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                return Err(SignatureError::Invalid { name: signature.name.clone() });
            }
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        if signed.is_empty() { Err(SignatureError::Unknown) } else { Ok(signed) }
    }
}

/// The note as it is stored and sent.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_char('\n')?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// Why bytes are not a signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`] bytes.
    #[error("the note is larger than 1 MiB")]
    TooLarge,
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("the note has more than 100 signatures")]
    TooManySignatures,
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    Encoding,
    /// A character below U+0020 other than the newline.
    #[error("the note holds a control character")]
    ControlCharacter,
    /// No empty line with signature lines behind it.
    #[error("the note has no signatures")]
    Unsigned,
    /// A line behind the last empty line is not a signature.
    #[error("signature line {number} of the note is malformed")]
    SignatureLine {
        /// Which signature line, from 1.
        number: usize,
    },
    /// A text to be signed does not end in a newline.
    #[error("the text of a note ends in a newline")]
    TextEnd,
}

/// Why a note is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A signature by a known key does not verify.
    #[error("the signature by {name} does not verify")]
    Invalid {
        /// Name of the key.
        name: String,
    },
    /// None of the known keys signed.
    #[error("no known key signed the note")]
    Unknown,
    /// Two known keys cannot be told apart by name and id.
    #[error("two known keys named {name} have the same id")]
    Ambiguous {
        /// Name of the keys.
        name: String,
    },
}

/// Largest note that is parsed or made, in bytes.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

/// Most signatures of a note. The specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 100;

/// Em dash, space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        true => Err(NoteError::ControlCharacter),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;

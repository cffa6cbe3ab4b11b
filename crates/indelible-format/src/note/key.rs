//! Keys of signed notes: Ed25519 under a name.
//!
//! ```text
//! verifier key   name "+" id, 8 lower-case hex digits "+" base64( 0x01 ‖ public key, 32 bytes )
//! signing key    "PRIVATE+KEY+" name "+" id "+" base64( 0x01 ‖ seed, 32 bytes )
//! id             SHA-256( name ‖ 0x0A ‖ 0x01 ‖ public key )[0..4]
//! ```
//!
//! The id binds the name, so one Ed25519 key gives another verifier key under every name ([`SigningKey::with_name`]): that is how
//! the logs of a store share a key without sharing signatures. A key whose id is not its hash is refused.
//!
//! Secrets: the seed lives in a type that wipes itself, its text form in [`Zeroizing`]; neither is ever shown by `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use super::{Note, NoteError};
use crate::sha256;

/// The public half of a key, under a name: checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// The verifier key of this Ed25519 public key under this name.
    ///
    /// # Errors
    /// `Name` or `PublicKey`: the name cannot stand in a note, the bytes are no point of the curve or one of small order.
    pub fn new(name: &str, public_key: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(public_key).map_err(|_| KeyError::PublicKey)?;
        // A key of small order "verifies" signatures nobody made.
        if key.is_weak() {
            return Err(KeyError::PublicKey);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, public_key), key })
    }

    /// Reads the text form, strictly: one key has one text.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, material) = split(text)?;
        let material = Zeroizing::new(STANDARD.decode(material).map_err(|_| KeyError::Format)?);
        let key = Self::new(name, ed25519_bytes(&material)?)?;
        if id == hex(key.id) { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The name that stands in signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that stands before signatures.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The same public key under another name.
    ///
    /// # Errors
    /// `Name` when the name cannot stand in a note.
    pub fn with_name(&self, name: &str) -> Result<Self, KeyError> {
        Self::new(name, self.public_key())
    }

    /// Whether these 64 bytes are this key's signature of the message; RFC 8032 with the strict checks that make a signature
    /// mean one message and one key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

/// The text form that [`VerifierKey::parse`] reads.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[ED25519], self.public_key().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id), STANDARD.encode(material))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

/// A secret key under a name: makes signatures. Wiped from memory when dropped.
pub struct SigningKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key of this RFC 8032 seed (32 random bytes, from the caller: this crate has no randomness).
    ///
    /// # Errors
    /// `Name` when the name cannot stand in a note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// Reads the text form. Errors do not repeat any of it.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, material) = split(text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Format)?)?;
        let material = Zeroizing::new(STANDARD.decode(material).map_err(|_| KeyError::Format)?);
        let key = Self::from_seed(name, ed25519_bytes(&material)?)?;
        if id == hex(key.id()) { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The text form, secret seed included: one line without its newline, for a file of mode 0600.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut material = Zeroizing::new([ED25519; 33]);
        material.iter_mut().skip(1).zip(self.key.as_bytes()).for_each(|(to, from)| *to = *from);
        let encoded = Zeroizing::new(STANDARD.encode(material.as_slice()));
        // Sized ahead, because growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + self.name().len() + 10 + encoded.len()));
        for part in [SECRET_PREFIX, self.name(), "+", &hex(self.id()), "+", encoded.as_str()] {
            text.push_str(part);
        }
        text
    }

    /// The same secret under another name, with another id: one key per store, one name per log.
    ///
    /// # Errors
    /// `Name` when the name cannot stand in a note.
    pub fn with_name(&self, name: &str) -> Result<Self, KeyError> {
        Ok(Self { verifier: self.verifier.with_name(name)?, key: self.key.clone() })
    }

    /// The name that stands in signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The id that stands before signatures.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.verifier.id()
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note over `text`, which ends in a newline.
    ///
    /// # Errors
    /// When the text cannot be a note's: see [`NoteError`].
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        Note::sign(text, self).map(|note| note.to_string())
    }

    /// The bare Ed25519 signature of a message. Deterministic (RFC 8032).
    #[must_use]
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// Why something is not a key of signed notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the three parts, or not hexadecimal and base64 where they belong.
    #[error("the key is not of the form name+id+base64")]
    Format,
    /// A key name is not empty and holds no white space, no plus sign and no control character.
    #[error("the key name is empty or holds white space, a plus sign or a control character")]
    Name,
    /// Another kind of key than Ed25519 (0x01).
    #[error("the key is not an Ed25519 key")]
    Algorithm,
    /// The id is not the hash of name and key: one of the two was changed.
    #[error("the key id does not belong to the name and key")]
    Id,
    /// The bytes are not a usable Ed25519 public key.
    #[error("the public key is not a valid Ed25519 key")]
    PublicKey,
}

/// Whether `name` can stand in a signature line.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// Signature type of plain Ed25519 signatures.
const ED25519: u8 = 0x01;

const SECRET_PREFIX: &str = "PRIVATE+KEY+";

fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let digest = sha256::sha256_parts(&[name.as_bytes(), &[b'\n', ED25519], public_key]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// name, id, base64. The name has no plus sign, base64 may.
fn split(text: &str) -> Result<(&str, &str, &str), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
    let (id, material) = rest.split_once('+').ok_or(KeyError::Format)?;
    Ok((name, id, material))
}

/// The 32 bytes behind the type byte.
fn ed25519_bytes(material: &[u8]) -> Result<&[u8; 32], KeyError> {
    match material {
        [ED25519, key @ ..] => key.try_into().map_err(|_| KeyError::Format),
        [] => Err(KeyError::Format),
        _ => Err(KeyError::Algorithm),
    }
}

fn hex(id: [u8; 4]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

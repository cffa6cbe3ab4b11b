//! Redaction: what a draft says is removed, masked or replaced by a pseudonym before anything is hashed or stored.
//!
//! Rules name a place (`actor.email`, `details.**.password`) or something that is found wherever it stands (a [`Detector`]).
//! A place decides before a detector, an earlier rule before a later one.
//!
//! - The texts of actor, session, origin and targets, the pairs or JSON of `details` and the JSON of a foreign record's
//!   identity part are covered, keys of objects included (by detectors). So are raw foreign bytes, but as a whole only: a
//!   record that is no longer what was received must not look as if it were. Detectors read raw bytes as ASCII.
//! - The head is not: action, id, tenant, source, producer and frameworks are structure. The idempotency key is never stored.
//! - `Mask` writes `[redacted]`, `Pseudonym` writes `p-` and the first 16 bytes of HMAC-SHA-256(key, `"indelible pseudonym
//!   v1\0"` ‖ value) in hex. Value is the text itself, byte for byte (no folding of case), or the canonical JSON of what is no
//!   text. Equal values have equal pseudonyms wherever they stand, so they can be searched for; without the key nobody can
//!   test a guess. `null` stays `null` unless it is removed: it says nothing.
//! - A detector replaces the part it found and keeps the rest; of parts that overlap the union is replaced, in the strictest of
//!   the ways asked for (remove, mask, pseudonym). A member of details whose *name* says that it is a secret
//!   is replaced as a whole.
//!
//! Invariants: what comes out is canonical JSON again; a draft that needs nothing is handed back as it is, nothing copied; a
//! draft whose JSON cannot be read is refused rather than let through; time is linear in the draft (times rules that are
//! alive at a place), nesting deeper than `limits::DEPTH_MAX` is refused.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use indelible_format::draft::{Canonical, Details, Few, Raw, Target, Value};
use indelible_format::{Draft, limits};
use sha2::Sha256;
use zeroize::Zeroize as _;

mod path;
mod rewrite;
#[cfg(test)]
mod tests;

pub use path::PathError;

pub use super::secrets::Detector;
use path::{Place, Rules};
use rewrite::{Edit, New, Pass, Spot};

/// What stands in place of a masked value.
pub const MASK: &str = "[redacted]";

/// What is done to a value that must not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Redact {
    /// A keyed digest takes its place: equal values stay recognisable as equal, to those who have the key also by value.
    Pseudonym,
    /// [`MASK`] takes its place.
    Mask,
    /// It is left out: the member of an object, the element of an array (later ones move up), the part of a text.
    Remove,
}

/// What to redact, and how.
///
/// ```
/// use indelible::redact::{Detector, Redact, Redaction};
/// let redaction = Redaction::new()
///     .path("actor.email", Redact::Pseudonym)?
///     .path("details.**.password", Redact::Mask)?
///     .path("details.headers.authorization", Redact::Remove)?
///     .detect(Detector::Secrets, Redact::Mask)
///     .pseudonym_key([7; 32]);
/// assert!(redaction.pseudonym_of("alice@example.com").is_some_and(|pseudonym| pseudonym.starts_with("p-")));
/// # Ok::<(), indelible::redact::PathError>(())
/// ```
#[derive(Clone, Default)]
pub struct Redaction {
    fixed: [Option<Redact>; Place::COUNT],
    details: Rules,
    detectors: [Option<Redact>; Detector::ALL.len()],
    mac: Option<Hmac<Sha256>>,
}

impl Redaction {
    /// No rules: everything is stored as it is said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule for the place `path`.
    ///
    /// Places are `actor.id`, `actor.type`, `actor.name`, `actor.email`, `origin.ip`, `origin.user_agent`, `origin.host`,
    /// `session`, `target.id`, `target.type`, `target.name` (of every target), `raw`, and anything in `details`, which stands
    /// for the details of the content and those of the identity. `actor.*`, `origin.*` and `target.*` are all members.
    ///
    /// Below `details` each segment is a key, or the index of an array's element; `*` is any one of them, `**` any number, none
    /// included; a key with a dot or a star in it goes in double quotes. Redaction would rather hide too much than too little: keys compare
    /// without ASCII case, a key with dots (`http.status`) counts as the nested keys too, and arrays need not be mentioned
    /// (`details.users.email` is also the e-mail of each element of `users`). `details` itself is replaced as a whole; when it
    /// was said in pairs, a pseudonym is made of each value.
    ///
    /// # Errors
    /// The path names no such place, or there are too many rules.
    pub fn path(mut self, path: &str, how: Redact) -> Result<Self, PathError> {
        match path::parse(path)? {
            path::Target::Fixed(places) => {
                for place in places {
                    if let Some(slot) = self.fixed.get_mut(place.index()) {
                        // The earlier rule decides.
                        slot.get_or_insert(how);
                    }
                }
            }
            path::Target::Details(segments) => self.details.add(path, segments, how)?,
        }
        Ok(self)
    }

    /// Redacts whatever `detector` finds. Said again, it replaces what was said before.
    #[must_use]
    pub fn detect(mut self, detector: Detector, how: Redact) -> Self {
        if let Some(slot) = self.detectors.get_mut(detector.index()) {
            *slot = Some(how);
        }
        self
    }

    /// Sets the key of the pseudonyms. Whoever has it can test guesses; whoever loses it can no longer search by value.
    #[must_use]
    pub fn pseudonym_key(mut self, mut key: [u8; 32]) -> Self {
        // HMAC takes keys of any length, so this is always `Some`.
        self.mac = Hmac::new_from_slice(&key).ok();
        key.zeroize();
        self
    }

    /// Whether a rule makes pseudonyms and there is no key for them yet.
    #[must_use]
    pub fn needs_pseudonym_key(&self) -> bool {
        let pseudonym = |how: &Option<Redact>| *how == Some(Redact::Pseudonym);
        self.mac.is_none()
            && (self.fixed.iter().any(pseudonym) || self.detectors.iter().any(pseudonym) || self.details.make_pseudonyms())
    }

    /// The pseudonym of `value`, to search for it. `None` without a key.
    #[must_use]
    pub fn pseudonym_of(&self, value: &str) -> Option<String> {
        let mut out = String::new();
        self.write_pseudonym(value.as_bytes(), &mut out).ok()?;
        Some(out)
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.iter().all(Option::is_none) && self.detectors.iter().all(Option::is_none) && self.details.is_empty()
    }

    /// The draft as it may be stored, and how much of it was redacted. What is new lies in `scratch`, which is used again and
    /// again; a draft that needs nothing is given back itself.
    ///
    /// # Errors
    /// [`RedactError`]: the draft must not be stored, since nobody knows what it says.
    ///
    /// # Cost
    /// A draft of a few hundred bytes that needs nothing: about a microsecond with all detectors, no allocation once `scratch`
    /// has grown. JSON is copied once if a detector sees something in it or a rule is alive in it.
    pub(crate) fn apply<'d, 's>(
        &self,
        draft: &'d Draft<'s>,
        scratch: &'s mut RedactScratch,
    ) -> Result<(Cow<'d, Draft<'s>>, RedactionCount), RedactError> {
        if self.is_empty() {
            return Ok((Cow::Borrowed(draft), RedactionCount::default()));
        }
        scratch.clear();
        let mut pass = Pass::new(self, scratch);
        pass.texts(draft)?;
        if let Some(json) = draft.identity_details {
            pass.json(Spot::IdentityDetails, "identity.details", json)?;
        }
        match &draft.details {
            Details::Json(json) => pass.json(Spot::Details, "details", *json)?,
            Details::Pairs(pairs) => pass.pairs(pairs)?,
        }
        if let Some(raw) = &draft.raw {
            pass.raw(raw)?;
        }
        let count = pass.count();
        let scratch: &'s RedactScratch = scratch;
        if scratch.edits.is_empty() {
            return Ok((Cow::Borrowed(draft), count));
        }
        Ok((Cow::Owned(scratch.redacted(draft)), count))
    }

    /// Calls `with` with the draft as it may be stored: for who sends it to a store elsewhere. `scratch` is memory to be used again.
    ///
    /// # Errors
    /// [`RedactError`]: the draft must not be stored, since nobody knows what it says.
    pub fn with_redacted<R>(
        &self,
        draft: &Draft<'_>,
        scratch: &mut RedactScratch,
        with: impl FnOnce(&Draft<'_>) -> R,
    ) -> Result<R, RedactError> {
        let (redacted, _) = self.apply(draft, scratch)?;
        Ok(with(&redacted))
    }

    /// Appends the pseudonym of `value`.
    fn write_pseudonym(&self, value: &[u8], out: &mut String) -> Result<(), RedactError> {
        let mut mac = self.mac.clone().ok_or(RedactError::NoPseudonymKey)?;
        mac.update(PSEUDONYM_DOMAIN);
        mac.update(value);
        out.push_str("p-");
        for byte in mac.finalize().into_bytes().iter().take(PSEUDONYM_BYTES) {
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("fixed", &self.fixed)
            .field("details", &self.details)
            .field("detectors", &self.detectors)
            .field("pseudonym_key", &self.mac.as_ref().map(|_| MASK))
            .finish()
    }
}

/// How many values were redacted, by what found them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedactionCount {
    /// By a rule for their place.
    pub paths: u32,
    /// By [`Detector::Secrets`].
    pub secrets: u32,
    /// By [`Detector::CardNumbers`].
    pub card_numbers: u32,
    /// By [`Detector::Emails`].
    pub emails: u32,
}

impl RedactionCount {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.paths.saturating_add(self.secrets).saturating_add(self.card_numbers).saturating_add(self.emails)
    }
}

/// Why a draft cannot be redacted. It must not be stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// A rule makes pseudonyms, and nobody gave the key for them.
    #[error("a redaction rule makes pseudonyms, and there is no pseudonym key; set one")]
    NoPseudonymKey,
    /// JSON that was said to be canonical is not JSON.
    #[error("{field} is not canonical JSON (byte {offset}), so it cannot be redacted; canonicalise it first")]
    Malformed {
        /// Which part of the draft.
        field: &'static str,
        /// Where.
        offset: usize,
    },
    /// JSON nested deeper than `limits::DEPTH_MAX`.
    #[error("{field} is nested deeper than {} levels; flatten it", limits::DEPTH_MAX)]
    TooDeep {
        /// Which part of the draft.
        field: &'static str,
    },
}

impl RedactError {
    /// A stable word for counters and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoPseudonymKey => "no_pseudonym_key",
            Self::Malformed { .. } => "malformed_json",
            Self::TooDeep { .. } => "too_deep",
        }
    }
}

/// Memory for redacting, kept from draft to draft.
#[derive(Debug, Default)]
pub struct RedactScratch {
    text: String,
    json: Vec<u8>,
    edits: Vec<Edit>,
    hits: Vec<rewrite::Hit>,
    found: Vec<std::ops::Range<usize>>,
    states: Vec<path::State>,
}

impl RedactScratch {
    /// Forgets everything and keeps no more than about 64 KiB for the next draft.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES / 4);
        self.json.clear();
        self.json.shrink_to(KEPT_BYTES);
        self.edits.clear();
        self.edits.shrink_to(64);
        self.hits.clear();
        self.hits.shrink_to(64);
        self.found.clear();
        self.found.shrink_to(64);
        self.states.clear();
        self.states.shrink_to(1024);
    }

    /// `draft` with all edits made.
    fn redacted<'s>(&'s self, draft: &Draft<'s>) -> Draft<'s> {
        let mut redacted = draft.clone();
        let mut targets = draft.targets.to_vec();
        let mut pairs: Vec<_> = match &draft.details {
            Details::Pairs(pairs) => pairs.iter().copied().map(Some).collect(),
            Details::Json(_) => Vec::new(),
        };
        for edit in &self.edits {
            // A text that a detector emptied is absent, as the format wants it.
            let text = self.text_of(edit);
            let present = text.filter(|text| !text.is_empty());
            match edit.spot {
                Spot::Fixed(place) => {
                    if let Some(slot) = place.slot(&mut redacted) {
                        *slot = present;
                    }
                }
                Spot::Target(nth, place) => {
                    if let Some(slot) = targets.get_mut(nth).and_then(|target| place.target_slot(target)) {
                        *slot = present;
                    }
                }
                Spot::IdentityDetails => redacted.identity_details = self.json_of(edit),
                Spot::Details => {
                    pairs.clear();
                    redacted.details = self.json_of(edit).map_or_else(|| Details::Pairs(Few::new()), Details::Json);
                }
                Spot::Pair(nth) => {
                    if let Some(slot) = pairs.get_mut(nth) {
                        let value = text.map(Value::Text).or(self.json_of(edit).map(Value::Json));
                        *slot = slot.zip(value).map(|((key, _), value)| (key, value));
                    }
                }
                Spot::PairKey(nth) => {
                    if let Some(Some((key, _))) = pairs.get_mut(nth) {
                        *key = text.unwrap_or(MASK);
                    }
                }
                Spot::Raw => redacted.raw = text.map(|text| Raw { media_type: "text/plain", bytes: text.as_bytes() }),
            }
        }
        // A target of which nothing is left is no target.
        let kept = |target: &Target<'_>| *target != Target::default();
        redacted.targets = draft
            .targets
            .iter()
            .zip(targets)
            .filter(|(before, after)| kept(after) || !kept(before))
            .map(|(_, after)| after)
            .collect();
        if let Details::Pairs(all) = &mut redacted.details {
            *all = pairs.into_iter().flatten().collect();
        }
        redacted
    }

    fn text_of(&self, edit: &Edit) -> Option<&str> {
        match &edit.new {
            New::Text(range) => self.text.get(range.clone()),
            New::Json(_) | New::Nothing => None,
        }
    }

    fn json_of(&self, edit: &Edit) -> Option<Canonical<'_>> {
        match &edit.new {
            New::Json(range) => self.json.get(range.clone()).map(Canonical::trusted),
            New::Text(_) | New::Nothing => None,
        }
    }
}

const PSEUDONYM_DOMAIN: &[u8] = b"indelible pseudonym v1\0";
const PSEUDONYM_BYTES: usize = 16;
const KEPT_BYTES: usize = 64 << 10;

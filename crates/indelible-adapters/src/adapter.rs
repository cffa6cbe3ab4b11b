//! One foreign record → one draft.

use std::borrow::Cow;

use indelible_format::draft::{Canonical, Details, Draft, Raw};
use indelible_format::json::{self, Document, walk};
use indelible_format::{limits, taxonomy};

use crate::action;
use crate::detect::detect;
use crate::facts::{Facts, Words};
use crate::format::Format;
use crate::found::Found;
use crate::opaque;
use crate::split;

/// What parsing one record may cost. An event nests at most [`limits::DEPTH_MAX`] levels and the record stands one level down.
const PARSE_LIMITS: json::Limits =
    json::Limits { bytes_max: limits::RECORD_BYTES_MAX, depth_max: limits::DEPTH_MAX - 1, nodes_max: 1_000_000 };

/// The identity body holds the mapped strings too: eight of at most 8 KiB each, and their keys.
const IDENTITY_DETAILS_BYTES_MAX: usize = limits::IDENTITY_BYTES_MAX - 8 * limits::STRING_BYTES_MAX - 1024;

/// Memory beyond this is given back after a record that needed it.
const WARM_BYTES: usize = 2 * 1024 * 1024;

/// Turns records into drafts and keeps its memory from one to the next.
///
/// ```
/// use indelible_adapters::{Adapter, Format};
/// let record = br#"{"timestamp":"2024-01-15T10:30:00Z","action":"repo.create","user":"alice","repo":"lab","attempt":1.0}"#;
/// let adapted = Adapter::new(None).adapt(record, |draft| {
///     assert_eq!(draft.action.name(), "repo.create");
///     assert_eq!(draft.actor.name, Some("alice"));
///     assert_eq!(draft.identity_details.map(|json| json.bytes()), Some(&br#"{"user":"alice"}"#[..]));
/// })?;
/// assert_eq!(adapted.format, Format::Json);
/// # Ok::<(), indelible_adapters::AdaptError>(())
/// ```
#[derive(Debug, Default)]
pub struct Adapter {
    format: Option<Format>,
    document: Document,
    canonical: Vec<u8>,
    identity: Vec<u8>,
    content: Vec<u8>,
    words: Words,
}

/// A record that became a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapted<R> {
    /// What the closure made of it.
    pub result: R,
    /// The format it was read as.
    pub format: Format,
    /// What could not be mapped.
    pub notes: Notes,
}

/// What could not be mapped, though nothing of it is lost: it is all in details.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// It has no time but one without a zone, so the event has the time of its admission.
    pub zoneless_time: bool,
    /// It has no time but one that cannot be read.
    pub unreadable_time: bool,
    /// A text was too long for the field it belongs in.
    pub text_too_long: bool,
    /// Readers could disagree about this record, so it is kept byte for byte, unread.
    pub opaque: Option<json::ErrorKind>,
}

/// Why a record became no draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptError {
    /// It is not JSON, or nested too deeply, or has too many values.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// It does not fit into one event.
    #[error("{part} of the record has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// `the identity part`, `the content part` or `the whole`.
        part: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Splitting met bytes that are not canonical though they were just made so. It would be a bug.
    #[error("the canonical form could not be read back: {0}")]
    Internal(walk::Malformed),
}

impl AdaptError {
    /// A stable word for counters and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.kind.code(),
            Self::TooLarge { .. } => "too_large",
            Self::Internal(_) => "internal",
        }
    }

    /// Where in the record, if it is in one place.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        match self {
            Self::Json(error) => Some(error.offset),
            _ => None,
        }
    }
}

impl Adapter {
    /// For records of `format`; with none given, each record's format is [detected](detect).
    #[must_use]
    pub fn new(format: Option<Format>) -> Self {
        Self { format, ..Self::default() }
    }

    /// Reads `record`, which is one JSON value, and calls `with` with its draft, which borrows from the record and the adapter.
    ///
    /// The time is left out when the record has none that names a moment. Class and tenant are left to the engine, but where the
    /// action is foreign and means the same as a known one, it gets that one's class and severity.
    ///
    /// # Errors
    /// The record is not JSON, or too large for one event; `with` is then not called.
    ///
    /// # Cost
    /// One parse, one copy if the record is not canonical already, one pass that splits it. No heap allocation once warm, except
    /// to unescape the few texts that are mapped.
    pub fn adapt<R>(&mut self, record: &[u8], with: impl FnOnce(&Draft<'_>) -> R) -> Result<Adapted<R>, AdaptError> {
        self.cool();
        let Self { format, document, canonical, identity, content, words } = self;
        let node = match document.parse(record, &PARSE_LIMITS) {
            Ok(node) => node,
            Err(error) => return opaque_record(record, format.unwrap_or(Format::Json), error, with),
        };
        let format = format.unwrap_or_else(|| detect(node));
        let canonical = if node.is_canonical() {
            node.raw().as_bytes()
        } else {
            canonical.clear();
            node.write_canonical(canonical);
            canonical
        };
        let mut found = Found::new(canonical);
        split::find_and_split(canonical, format.plan(), identity, content, &mut found).map_err(AdaptError::Internal)?;
        within("the identity part", identity.len(), IDENTITY_DETAILS_BYTES_MAX)?;
        within("the content part", content.len(), limits::DETAILS_BYTES_MAX)?;

        let mut facts = Facts::new();
        words.action.clear();
        words.id.clear();
        format.map(&found, words, &mut facts);
        action::check(&mut words.action);

        let mut notes = facts.notes;
        notes.text_too_long |= found.any_too_long();
        notes.zoneless_time &= facts.time.is_none();
        notes.unreadable_time &= facts.time.is_none();
        let mut draft = draft(&facts, words, format);
        draft.details = Details::Json(Canonical::trusted(content));
        draft.identity_details = (!identity.is_empty()).then(|| Canonical::trusted(identity));
        Ok(Adapted { result: with(&draft), format, notes })
    }

    /// Gives back what an unusually large record made us take.
    fn cool(&mut self) {
        if self.document.heap_bytes() > WARM_BYTES {
            self.document.shrink_to(WARM_BYTES / 64);
        }
        for buffer in [&mut self.canonical, &mut self.identity, &mut self.content] {
            buffer.clear();
            buffer.shrink_to(WARM_BYTES);
        }
    }
}

/// Everything but the two parts of the record.
fn draft<'d>(facts: &'d Facts<'_>, words: &'d Words, format: Format) -> Draft<'d> {
    let mut draft = Draft::new(words.action.as_str()).source(format.source()).outcome(facts.outcome);
    let (class, severity) = if draft.action.known().is_some() { (None, facts.severity) } else { facts.treatment() };
    draft.class = class;
    draft.severity = severity;
    draft.id = (1..=limits::ID_BYTES_MAX).contains(&words.id.len()).then_some(words.id.as_str());
    draft.time = facts.time;
    draft.trace = facts.trace;
    draft.actor.id = text(&facts.actor_id);
    draft.actor.kind = text(&facts.actor_kind);
    draft.actor.name = text(&facts.actor_name);
    draft.actor.email = text(&facts.actor_email);
    draft.session = text(&facts.session);
    draft.origin.ip = text(&facts.ip);
    draft.origin.user_agent = text(&facts.user_agent);
    draft.origin.host = text(&facts.host);
    for target in facts.targets.iter() {
        draft.targets.push(target);
    }
    draft
}

fn text<'d>(text: &'d Option<Cow<'_, str>>) -> Option<&'d str> {
    text.as_deref()
}

/// A record that is JSON by RFC 8259 but not by our parser is kept as it came.
#[cold]
fn opaque_record<R>(
    record: &[u8],
    format: Format,
    error: json::Error,
    with: impl FnOnce(&Draft<'_>) -> R,
) -> Result<Adapted<R>, AdaptError> {
    let ambiguous = matches!(error.kind, json::ErrorKind::DuplicateKey | json::ErrorKind::LoneSurrogate);
    if !ambiguous || !opaque::is_json_text(record, PARSE_LIMITS.depth_max) {
        return Err(error.into());
    }
    within("the whole", record.len(), limits::RAW_BYTES_MAX)?;
    let mut draft = Draft::new(taxonomy::RECORD_OPAQUE).source(format.source());
    draft.raw = Some(Raw { media_type: "application/json", bytes: record });
    let notes = Notes { opaque: Some(error.kind), ..Notes::default() };
    Ok(Adapted { result: with(&draft), format, notes })
}

const fn within(part: &'static str, bytes: usize, limit: usize) -> Result<(), AdaptError> {
    if bytes > limit { Err(AdaptError::TooLarge { part, bytes, limit }) } else { Ok(()) }
}

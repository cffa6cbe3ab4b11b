//! From draft to record: validates, canonicalises and lays out an event in one pass over the caller's text.
//!
//! Texts seldom need escapes. So they are copied as they are, and what was copied is looked through once; an event that needed
//! escapes after all is laid out a second time, text by text.
//!
//! Nothing is allocated when the memory given has room, the draft's details fit in place and no text needs escapes.

mod body;

use self::body::{Body, SPANS_BYTES_MAX};
use crate::draft::{Details, Draft};
use crate::event::{Class, Tag};
use crate::hash::Hash;
use crate::head::{self, HeadFields, Id, Producer};
use crate::limits;
use crate::plain::all_are_plain;
use crate::record::{FLAG_IDEMPOTENCY, GROUP_ENTRY_BYTES, HEADER_BYTES, IDEMPOTENCY_BYTES, KIND_EVENT};
use crate::sha256;
use crate::writer::Writer;

/// What admission adds to a draft.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Admission time, ns since 1970 UTC.
    pub received: i64,
    /// Id for drafts without one.
    pub uuid: [u8; 16],
    /// Producer for drafts without one.
    pub producer: Option<Producer<'a>>,
    /// Tenant for drafts without one.
    pub tenant: &'a str,
    /// Log the event is routed to.
    pub log: u32,
}

/// Why a draft was refused. Nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A text is empty that must not be.
    #[error("{field} is empty; leave it out or give it a value")]
    Empty {
        /// Which one.
        field: &'static str,
    },
    /// Something is longer than its limit.
    #[error("{field} has {bytes} bytes, the limit is {limit}; shorten it or split the event")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// There are more of something than its limit.
    #[error("{count} {field} in one event, the limit is {limit}; split the event")]
    TooMany {
        /// What.
        field: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The action is not `noun.verb`.
    #[error("the action is not of the form noun.verb (letters, digits, _ - : / and dots); for example user.login")]
    Action,
    /// A number JSON cannot hold.
    #[error("a detail is NaN or infinite, which JSON cannot hold; record it as text")]
    NotFinite,
    /// A detail's key was said twice.
    #[error("a detail's key was given twice; give each key once")]
    DuplicateKey,
    /// `weight` 0.
    #[error("weight is 0; an event stands for at least one")]
    Weight,
}

impl Rejection {
    /// A stable word for counters and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::TooLong { .. } => "too_long",
            Self::TooMany { .. } => "too_many",
            Self::Action => "action",
            Self::NotFinite => "not_finite",
            Self::DuplicateKey => "duplicate_key",
            Self::Weight => "weight",
        }
    }
}

/// What [`encode`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// The lane the event belongs to.
    pub class: Class,
    /// Length of the record.
    pub bytes: usize,
}

/// Writes `draft` as one record to the front of `memory`, which is grown where needed and never shrunk.
///
/// # Errors
/// A [`Rejection`]; what `memory` holds is then of no use.
#[inline]
pub fn encode(draft: &Draft<'_>, stamp: &Stamp<'_>, memory: &mut Vec<u8>) -> Result<Encoded, Rejection> {
    let encoder = Encoder { draft, stamp };
    match encoder.run::<false>(memory)? {
        Some(encoded) => Ok(encoded),
        None => encoder.run_again(memory),
    }
}

const MEMORY_BYTES_MIN: usize = 4096;

struct Encoder<'e, 'a> {
    draft: &'e Draft<'a>,
    stamp: &'e Stamp<'e>,
}

impl Encoder<'_, '_> {
    /// The second attempt: memory was short, a text needs escapes, or details are JSON already.
    ///
    /// It ends: in twice the memory that the largest record takes, a group that does not fit is beyond its own limit.
    #[cold]
    #[inline(never)]
    fn run_again(&self, memory: &mut Vec<u8>) -> Result<Encoded, Rejection> {
        loop {
            if let Some(encoded) = self.run::<true>(memory)? {
                return Ok(encoded);
            }
            memory.resize((memory.len() * 2).max(MEMORY_BYTES_MIN), 0);
        }
    }

    /// Lays out the record. `None`: the memory is too small; or, unless `ESCAPED`, texts cannot be copied as they are.
    #[inline(always)]
    fn run<const ESCAPED: bool>(&self, memory: &mut [u8]) -> Result<Option<Encoded>, Rejection> {
        let draft = self.draft;
        let (class, severity) = draft.action.defaults(draft.outcome);
        let (class, severity) = (draft.class.unwrap_or(class), draft.severity.unwrap_or(severity));
        let tenant = draft.tenant.unwrap_or(self.stamp.tenant);
        self.check_head(tenant)?;

        let (actor, origin) = (draft.actor.is_some(), draft.origin.is_some());
        let identity = actor || origin || draft.session.is_some() || draft.identity_details.is_some();
        let content = !draft.targets.is_empty() || draft.details.is_some();
        let groups_n = 1 + usize::from(identity) + usize::from(content) + usize::from(draft.raw.is_some());
        if !ESCAPED && (draft.identity_details.is_some() || matches!(draft.details, Details::Json(_))) {
            return Ok(None);
        }

        // Header and group table come first and are known last. Spans are known before the groups end, and come behind them.
        let idempotency_bytes = if draft.idempotency_key.is_some() { IDEMPOTENCY_BYTES } else { 0 };
        let front_bytes = HEADER_BYTES + groups_n * GROUP_ENTRY_BYTES + idempotency_bytes;
        let Some((front, memory)) = memory.split_at_mut_checked(front_bytes) else { return Ok(None) };
        let Some((memory, spans)) = memory.split_last_chunk_mut::<SPANS_BYTES_MAX>() else { return Ok(None) };
        let mut body = Body::<ESCAPED>::new(memory, spans);

        let head = HeadFields {
            outcome: draft.outcome,
            severity,
            class,
            time: draft.time.unwrap_or(self.stamp.received),
            received: self.stamp.received,
            weight: draft.weight,
            id: draft.id.map_or(Id::Uuid(self.stamp.uuid), Id::from_text),
            tenant,
            action: draft.action.name(),
            source: draft.source,
            producer: draft.producer.or(self.stamp.producer),
            trace: draft.trace,
            frameworks: draft.frameworks,
        };
        head::write(&head, &mut body.out);
        let identity_at = body.out.at();
        if identity {
            body.identity(draft, actor, origin)?;
        }
        let content_at = body.out.at();
        within("identity", content_at - identity_at, limits::IDENTITY_BYTES_MAX)?;
        if content {
            body.content(draft)?;
        }
        let raw_at = body.out.at();
        within("content", raw_at - content_at, limits::CONTENT_BYTES_MAX)?;
        if let Some(raw) = &draft.raw {
            required("raw media type", raw.media_type, limits::MEDIA_TYPE_BYTES_MAX)?;
            within("raw", raw.bytes.len(), limits::RAW_BYTES_MAX)?;
            body.out.put_str16(raw.media_type);
            body.out.put(raw.bytes);
        }
        let spans_at = body.out.at();
        let (plain, quotes, spans_n) = (body.plain, body.quotes, body.spans.count());
        let Some(bytes) = body.finish().map(|bytes| front_bytes + bytes) else { return Ok(None) };
        let plain = ESCAPED || plain && all_are_plain(memory.get(identity_at..raw_at).unwrap_or_default(), quotes);
        if !plain {
            return Ok(None);
        }

        let mut front = Writer::new(front);
        front.put_array(&self.header(bytes, groups_n, spans_n));
        for (there, tag, length) in [
            (true, Tag::HEAD, identity_at),
            (identity, Tag::IDENTITY, content_at - identity_at),
            (content, Tag::CONTENT, raw_at - content_at),
            (draft.raw.is_some(), Tag::RAW, spans_at - raw_at),
        ] {
            if there {
                let [a, b, c, d, ..] = length.to_le_bytes();
                front.put_array(&[tag.0, 0, a, b, c, d]);
            }
        }
        if let Some(key) = draft.idempotency_key {
            let groups = [identity_at..content_at, content_at..raw_at, raw_at..spans_at];
            let groups = groups.map(|group| memory.get(group).unwrap_or_default());
            front.put_array(&self.idempotency(key, &head, groups)?);
        }
        Ok(Some(Encoded { class, bytes }))
    }

    #[inline(always)]
    fn check_head(&self, tenant: &str) -> Result<(), Rejection> {
        let draft = self.draft;
        // What the taxonomy knows is well formed.
        if draft.action.known().is_none() && !head::is_action(draft.action.name()) {
            return Err(Rejection::Action);
        }
        if draft.weight == 0 {
            return Err(Rejection::Weight);
        }
        required("tenant", tenant, limits::TENANT_BYTES_MAX)?;
        within("source", draft.source.len(), limits::SOURCE_BYTES_MAX)?;
        if let Some(id) = draft.id {
            required("id", id, limits::ID_BYTES_MAX)?;
        }
        if let Some(producer) = &draft.producer {
            required("producer id", producer.id, limits::PRODUCER_BYTES_MAX)?;
        }
        if draft.frameworks.len() > limits::FRAMEWORKS_MAX {
            return Err(Rejection::TooMany { field: "frameworks", count: draft.frameworks.len(), limit: limits::FRAMEWORKS_MAX });
        }
        draft.frameworks.iter().try_for_each(|framework| required("framework", framework, limits::FRAMEWORK_BYTES_MAX))
    }

    /// SHA-256(key)[..16] ‖ SHA-256(caller's statement)[..16].
    #[cold]
    fn idempotency(&self, key: &str, head: &HeadFields<'_>, groups: [&[u8]; 3]) -> Result<[u8; IDEMPOTENCY_BYTES], Rejection> {
        required("idempotency key", key, limits::IDEMPOTENCY_KEY_BYTES_MAX)?;
        let statement = HeadFields {
            received: 0,
            id: self.draft.id.map_or(Id::Uuid([0; 16]), Id::from_text),
            time: self.draft.time.unwrap_or(0),
            producer: self.draft.producer,
            ..*head
        };
        let mut said = [0; 4096];
        let mut writer = Writer::new(&mut said);
        head::write(&statement, &mut writer);
        let said_bytes = writer.at();
        let [identity, content, raw] = groups;
        let mut message = Vec::new();
        for part in [said.get(..said_bytes).unwrap_or_default(), identity, content, raw] {
            if !part.is_empty() {
                message.extend_from_slice(&(part.len() as u64).to_le_bytes());
                message.extend_from_slice(part);
            }
        }
        let (Hash(key), Hash(statement)) = (sha256::sha256(key.as_bytes()), sha256::sha256(&message));
        let mut both = [0; IDEMPOTENCY_BYTES];
        both[..16].copy_from_slice(&key[..16]);
        both[16..].copy_from_slice(&statement[..16]);
        Ok(both)
    }

    #[inline(always)]
    fn header(&self, bytes: usize, groups_n: usize, spans_n: usize) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let [e, f, g, h] = self.stamp.log.to_le_bytes();
        let flags = if self.draft.idempotency_key.is_some() { FLAG_IDEMPOTENCY } else { 0 };
        let (groups_n, spans_n) = (u8::try_from(groups_n).unwrap_or(u8::MAX), u8::try_from(spans_n).unwrap_or(u8::MAX));
        [a, b, c, d, KIND_EVENT, flags, groups_n, spans_n, e, f, g, h]
    }
}

#[inline(always)]
fn within(field: &'static str, bytes: usize, limit: usize) -> Result<(), Rejection> {
    if bytes > limit { Err(Rejection::TooLong { field, bytes, limit }) } else { Ok(()) }
}

#[inline(always)]
fn required(field: &'static str, text: &str, limit: usize) -> Result<(), Rejection> {
    if text.is_empty() { Err(Rejection::Empty { field }) } else { within(field, text.len(), limit) }
}

#[cfg(test)]
mod tests;

//! From draft to record: validates, canonicalises and lays out an event in one pass over the caller's text.
//!
//! Nothing is allocated when the memory given has room, the draft's details fit in place and no text needs escapes.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::draft::{Canonical, Details, Draft, Target, Value};
use crate::event::{Class, Field, Tag};
use crate::hash::Hash;
use crate::head::{self, HeadFields, Id, Producer};
use crate::json;
use crate::limits;
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

type Spans = SmallVec<[(Field, u32, u32); 16]>;

/// Writes `draft` as one record to the front of `memory`, which is grown where needed and never shrunk.
///
/// # Errors
/// A [`Rejection`]; what `memory` holds is then of no use.
#[inline]
pub fn encode(draft: &Draft<'_>, stamp: &Stamp<'_>, memory: &mut Vec<u8>) -> Result<Encoded, Rejection> {
    let encoder = Encoder { draft, stamp };
    loop {
        let mut out = Writer::new(memory);
        let class = encoder.run(&mut out)?;
        let bytes = out.at();
        if bytes <= memory.len() {
            return Ok(Encoded { class, bytes });
        }
        memory.resize(bytes.next_power_of_two().max(MEMORY_BYTES_MIN), 0);
    }
}

const MEMORY_BYTES_MIN: usize = 2048;

struct Encoder<'e, 'a> {
    draft: &'e Draft<'a>,
    stamp: &'e Stamp<'e>,
}

impl Encoder<'_, '_> {
    #[inline(always)]
    fn run(&self, out: &mut Writer<'_>) -> Result<Class, Rejection> {
        let draft = self.draft;
        let (class, severity) = draft.action.defaults(draft.outcome);
        let (class, severity) = (draft.class.unwrap_or(class), draft.severity.unwrap_or(severity));
        let tenant = draft.tenant.unwrap_or(self.stamp.tenant);
        self.check_head(tenant)?;

        let identity = draft.actor != crate::draft::Actor::default()
            || draft.origin != crate::draft::Origin::default()
            || draft.session.is_some()
            || draft.identity_details.is_some();
        let content = !draft.targets.is_empty()
            || match &draft.details {
                Details::Pairs(pairs) => !pairs.is_empty(),
                Details::Json(_) => true,
            };
        let groups_n = 1 + usize::from(identity) + usize::from(content) + usize::from(draft.raw.is_some());

        // Header and group table are filled in later, when the lengths are known.
        out.skip(HEADER_BYTES + groups_n * GROUP_ENTRY_BYTES);
        if draft.idempotency_key.is_some() {
            out.skip(IDEMPOTENCY_BYTES);
        }
        let mut table = GroupTable { at: HEADER_BYTES };
        let head_at = out.at();
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
        head::write(&head, out);
        table.put(out, Tag::HEAD, head_at);

        let mut spans = Spans::new();
        let bodies_at = out.at();
        if identity {
            let at = out.at();
            self.write_identity(out, &mut spans)?;
            within("identity", out.at() - at, limits::IDENTITY_BYTES_MAX)?;
            table.put(out, Tag::IDENTITY, at);
        }
        let content_at = out.at();
        if content {
            self.write_content(out, &mut spans)?;
            within("content", out.at() - content_at, limits::CONTENT_BYTES_MAX)?;
            table.put(out, Tag::CONTENT, content_at);
        }
        let raw_at = out.at();
        if let Some(raw) = &draft.raw {
            required("raw media type", raw.media_type, limits::MEDIA_TYPE_BYTES_MAX)?;
            within("raw", raw.bytes.len(), limits::RAW_BYTES_MAX)?;
            out.put_str16(raw.media_type);
            out.put(raw.bytes);
            table.put(out, Tag::RAW, raw_at);
        }
        if let Some(key) = draft.idempotency_key {
            self.write_idempotency(key, &head, [bodies_at, content_at, raw_at], groups_n, out)?;
        }
        for (field, offset, length) in &spans {
            if let (Ok(offset @ 0..0x80), Ok(length @ 0..0x80)) = (u8::try_from(*offset), u8::try_from(*length)) {
                out.put_array(&[field.byte(), offset, length]);
            } else {
                out.put_array(&[field.byte()]);
                out.put_varint(*offset);
                out.put_varint(*length);
            }
        }
        self.write_header(groups_n, spans.len(), out);
        Ok(class)
    }

    #[inline(always)]
    fn check_head(&self, tenant: &str) -> Result<(), Rejection> {
        let draft = self.draft;
        if !head::is_action(draft.action.name()) {
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

    /// `{"actor":{"email","id","name","type"},"details":…,"origin":{"host","ip","user_agent"},"session":…}`
    #[inline(always)]
    fn write_identity(&self, out: &mut Writer<'_>, spans: &mut Spans) -> Result<(), Rejection> {
        let (actor, origin) = (&self.draft.actor, &self.draft.origin);
        let base = out.at();
        let mut object = Object::open(out, base, spans);
        if *actor != crate::draft::Actor::default() {
            object.comma();
            object.out.put_array(b"\"actor\":");
            let mut inner = object.inner();
            inner.text(Field::ActorEmail, b"\"email\":\"", actor.email)?;
            inner.text(Field::ActorId, b"\"id\":\"", actor.id)?;
            inner.text(Field::ActorName, b"\"name\":\"", actor.name)?;
            inner.text(Field::ActorType, b"\"type\":\"", actor.kind)?;
            inner.close();
        }
        if let Some(details) = self.draft.identity_details {
            object.json(Field::IdentityDetails, details)?;
        }
        if *origin != crate::draft::Origin::default() {
            object.comma();
            object.out.put_array(b"\"origin\":");
            let mut inner = object.inner();
            inner.text(Field::OriginHost, b"\"host\":\"", origin.host)?;
            inner.text(Field::OriginIp, b"\"ip\":\"", origin.ip)?;
            inner.text(Field::OriginUserAgent, b"\"user_agent\":\"", origin.user_agent)?;
            inner.close();
        }
        object.text(Field::Session, b"\"session\":\"", self.draft.session)?;
        object.close();
        Ok(())
    }

    /// `{"details":…,"targets":[{"id","name","type"}…]}`
    #[inline(always)]
    fn write_content(&self, out: &mut Writer<'_>, spans: &mut Spans) -> Result<(), Rejection> {
        let targets = &self.draft.targets;
        if targets.len() > limits::TARGETS_MAX {
            return Err(Rejection::TooMany { field: "targets", count: targets.len(), limit: limits::TARGETS_MAX });
        }
        let base = out.at();
        let mut object = Object::open(out, base, spans);
        match &self.draft.details {
            Details::Json(json) => object.json(Field::Details, *json)?,
            Details::Pairs(pairs) if pairs.is_empty() => {}
            Details::Pairs(pairs) => object.pairs(pairs)?,
        }
        if !targets.is_empty() {
            object.targets(targets)?;
        }
        object.close();
        Ok(())
    }

    /// SHA-256(key)[..16] ‖ SHA-256(caller's statement)[..16], behind the group table.
    #[cold]
    fn write_idempotency(
        &self,
        key: &str,
        head: &HeadFields<'_>,
        [identity_at, content_at, raw_at]: [usize; 3],
        groups_n: usize,
        out: &mut Writer<'_>,
    ) -> Result<(), Rejection> {
        required("idempotency key", key, limits::IDEMPOTENCY_KEY_BYTES_MAX)?;
        let statement = HeadFields {
            received: 0,
            id: self.draft.id.map_or(Id::Uuid([0; 16]), Id::from_text),
            time: self.draft.time.unwrap_or(0),
            producer: self.draft.producer,
            ..*head
        };
        let mut said = vec![0; 4096];
        let mut writer = Writer::new(&mut said);
        head::write(&statement, &mut writer);
        let said_bytes = writer.at();
        let (identity, content) = (out.written(identity_at), out.written(content_at));
        let identity = identity.get(..content_at - identity_at).unwrap_or_default();
        let content = content.get(..raw_at - content_at).unwrap_or_default();
        let mut message = Vec::new();
        for part in [said.get(..said_bytes).unwrap_or_default(), identity, content, out.written(raw_at)] {
            if !part.is_empty() {
                message.extend_from_slice(&(part.len() as u64).to_le_bytes());
                message.extend_from_slice(part);
            }
        }
        let (Hash(key), Hash(statement)) = (sha256::sha256(key.as_bytes()), sha256::sha256(&message));
        let mut both = [0; IDEMPOTENCY_BYTES];
        both[..16].copy_from_slice(&key[..16]);
        both[16..].copy_from_slice(&statement[..16]);
        out.fill(HEADER_BYTES + groups_n * GROUP_ENTRY_BYTES, &both);
        Ok(())
    }

    #[inline(always)]
    fn write_header(&self, groups_n: usize, spans_n: usize, out: &mut Writer<'_>) {
        let [a, b, c, d] = u32::try_from(out.at()).unwrap_or(u32::MAX).to_le_bytes();
        let [e, f, g, h] = self.stamp.log.to_le_bytes();
        let flags = if self.draft.idempotency_key.is_some() { FLAG_IDEMPOTENCY } else { 0 };
        let (groups_n, spans_n) = (u8::try_from(groups_n).unwrap_or(u8::MAX), u8::try_from(spans_n).unwrap_or(u8::MAX));
        out.fill(0, &[a, b, c, d, KIND_EVENT, flags, groups_n, spans_n, e, f, g, h]);
    }
}

/// The first eight bytes of a key, zeros behind a shorter one, as a number that sorts as they do.
#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "the first byte must weigh most for the number to sort as the text does")]
fn key_prefix(key: &str) -> u64 {
    let bytes = key.as_bytes();
    match bytes.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => bytes.iter().rev().fold(0, |prefix, byte| prefix >> 8 | u64::from(*byte) << 56),
    }
}

/// Details up to this many are sorted in place.
const FEW_PAIRS: usize = 16;

/// Fills the group table entry by entry.
struct GroupTable {
    at: usize,
}

impl GroupTable {
    /// Enters the group whose body reaches from `from` to where `out` is now.
    #[inline(always)]
    fn put(&mut self, out: &mut Writer<'_>, tag: Tag, from: usize) {
        let [a, b, c, d] = u32::try_from(out.at() - from).unwrap_or(u32::MAX).to_le_bytes();
        out.fill(self.at, &[tag.0, 0, a, b, c, d]);
        self.at += GROUP_ENTRY_BYTES;
    }
}

/// Writes one canonical JSON object member by member; the caller keeps the order of keys.
struct Object<'w, 'o> {
    out: &'w mut Writer<'o>,
    base: usize,
    spans: &'w mut Spans,
    first: bool,
}

impl<'w, 'o> Object<'w, 'o> {
    #[inline(always)]
    fn open(out: &'w mut Writer<'o>, base: usize, spans: &'w mut Spans) -> Self {
        out.put_array(b"{");
        Self { out, base, spans, first: true }
    }

    #[inline(always)]
    fn inner(&mut self) -> Object<'_, 'o> {
        Object::open(self.out, self.base, self.spans)
    }

    #[inline(always)]
    fn close(self) {
        self.out.put_array(b"}");
    }

    #[inline(always)]
    fn comma(&mut self) {
        if !self.first {
            self.out.put_array(b",");
        }
        self.first = false;
    }

    #[inline(always)]
    fn span(&mut self, field: Field, from: usize, to: usize) {
        let offset = u32::try_from(from - self.base).unwrap_or(u32::MAX);
        let length = u32::try_from(to - from).unwrap_or(u32::MAX);
        self.spans.push((field, offset, length));
    }

    /// A text member, if there is one; `key` is everything up to the text, quotes and colon included.
    #[inline(always)]
    fn text<const N: usize>(&mut self, field: Field, key: &[u8; N], text: Option<&str>) -> Result<(), Rejection> {
        let Some(text) = text else { return Ok(()) };
        within(field.name(), text.len(), limits::STRING_BYTES_MAX)?;
        self.comma();
        self.out.put_array(key);
        let from = self.out.at();
        self.out.put_escaped(text);
        self.span(field, from, self.out.at());
        self.out.put_array(b"\"");
        Ok(())
    }

    /// The member `details`, whole.
    #[inline(always)]
    fn json(&mut self, field: Field, json: Canonical<'_>) -> Result<(), Rejection> {
        within(field.name(), json.bytes().len(), limits::DETAILS_BYTES_MAX)?;
        self.comma();
        self.out.put_array(b"\"details\":");
        let from = self.out.at();
        self.out.put(json.bytes());
        self.span(field, from, self.out.at());
        Ok(())
    }

    /// The member `details`, from pairs.
    #[inline(always)]
    fn pairs(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        self.comma();
        self.out.put_array(b"\"details\":");
        let from = self.out.at();
        let sorted = pairs.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if json::compare_keys(a, b).is_lt()));
        self.out.put_array(b"{");
        if sorted {
            for (at, pair) in pairs.iter().enumerate() {
                self.pair(at > 0, pair)?;
            }
        } else {
            self.pairs_unsorted(pairs)?;
        }
        self.out.put_array(b"}");
        within("details", self.out.at() - from, limits::DETAILS_BYTES_MAX)?;
        self.span(Field::Details, from, self.out.at());
        Ok(())
    }

    fn pairs_unsorted(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        // Most keys are ASCII and differ in their first eight bytes: then numbers sort as the keys do.
        let mut order = [(0u64, 0u8); FEW_PAIRS];
        if let Some(order) = order.get_mut(..pairs.len()) {
            let mut ascii = true;
            for ((slot, (key, _)), nth) in order.iter_mut().zip(pairs).zip(0u8..) {
                *slot = (key_prefix(key), nth);
                ascii &= key.is_ascii();
            }
            order.sort_unstable();
            if ascii && order.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b)) {
                let sorted = order.iter().filter_map(|(_, nth)| pairs.get(usize::from(*nth)));
                return sorted.enumerate().try_for_each(|(at, pair)| self.pair(at > 0, pair));
            }
        }
        self.pairs_compared(pairs)
    }

    #[cold]
    fn pairs_compared(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        let mut order: Vec<&(&str, Value<'_>)> = pairs.iter().collect();
        order.sort_unstable_by(|(a, _), (b, _)| json::compare_keys(a, b));
        if order.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(Rejection::DuplicateKey);
        }
        order.iter().enumerate().try_for_each(|(at, pair)| self.pair(at > 0, pair))
    }

    #[inline(always)]
    fn pair(&mut self, comma: bool, (key, value): &(&str, Value<'_>)) -> Result<(), Rejection> {
        if comma {
            self.out.put_array(b",");
        }
        self.out.put_string(key);
        self.out.put_array(b":");
        match value {
            Value::Text(text) => self.out.put_string(text),
            Value::Signed(number) => self.out.put(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Unsigned(number) => self.out.put(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Float(number) if number.is_finite() => {
                // On the stack: an event allocates nothing. The longest finite number takes 24 bytes.
                let mut text = arrayvec::ArrayString::<32>::new();
                let _ = write!(text, "{number:?}");
                self.out.put(text.as_bytes());
            }
            Value::Float(_) => return Err(Rejection::NotFinite),
            Value::Bool(true) => self.out.put_array(b"true"),
            Value::Bool(false) => self.out.put_array(b"false"),
            Value::Null => self.out.put_array(b"null"),
            Value::Json(json) => self.out.put(json.bytes()),
        }
        Ok(())
    }

    #[inline(always)]
    fn targets(&mut self, targets: &[Target<'_>]) -> Result<(), Rejection> {
        self.comma();
        self.out.put_array(b"\"targets\":[");
        for (at, target) in targets.iter().enumerate() {
            if at > 0 {
                self.out.put_array(b",");
            }
            let from = self.out.at();
            let slot = self.spans.len();
            self.spans.push((Field::Target, 0, 0));
            let mut inner = self.inner();
            inner.text(Field::TargetId, b"\"id\":\"", target.id)?;
            inner.text(Field::TargetName, b"\"name\":\"", target.name)?;
            inner.text(Field::TargetType, b"\"type\":\"", target.kind)?;
            inner.close();
            let offset = u32::try_from(from - self.base).unwrap_or(u32::MAX);
            let length = u32::try_from(self.out.at() - from).unwrap_or(u32::MAX);
            if let Some(span) = self.spans.get_mut(slot) {
                *span = (Field::Target, offset, length);
            }
            if at >= limits::SPANNED_TARGETS_MAX {
                self.spans.truncate(slot);
            }
        }
        self.out.put_array(b"]");
        Ok(())
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

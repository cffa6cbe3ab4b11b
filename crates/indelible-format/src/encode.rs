//! From draft to record: validates, canonicalises and lays out an event in one pass over the caller's text.
//!
//! Nothing is allocated when `out` has room and the draft's details fit in place. On refusal `out` is as it was.

use smallvec::SmallVec;

use crate::draft::{Canonical, Details, Draft, Target, Value};
use crate::event::{Class, Field, Tag};
use crate::head::{self, HeadFields, Id, Producer};
use crate::json;
use crate::limits;
use crate::reader::put_varint;
use crate::record::{FLAG_IDEMPOTENCY, GROUP_ENTRY_BYTES, HEADER_BYTES, KIND_EVENT};
use crate::sha256;

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

type Spans = SmallVec<[(Field, u32, u32); 16]>;

/// Appends `draft` to `out` as one record and says which lane it belongs to.
///
/// # Errors
/// A [`Rejection`]; `out` is then as it was.
pub fn encode(draft: &Draft<'_>, stamp: &Stamp<'_>, out: &mut Vec<u8>) -> Result<Class, Rejection> {
    let start = out.len();
    let result = Encoder { draft, stamp, start }.run(out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

struct Encoder<'e, 'a> {
    draft: &'e Draft<'a>,
    stamp: &'e Stamp<'e>,
    start: usize,
}

impl Encoder<'_, '_> {
    fn run(&self, out: &mut Vec<u8>) -> Result<Class, Rejection> {
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

        // Header and group table are filled in at the end, when the lengths are known.
        out.resize(self.start + HEADER_BYTES + groups_n * GROUP_ENTRY_BYTES, 0);
        if draft.idempotency_key.is_some() {
            out.extend_from_slice(&[0; 32]);
        }
        let mut table = GroupTable { at: self.start + HEADER_BYTES };
        let head_at = out.len();
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
        let bodies_at = out.len();
        if identity {
            let at = out.len();
            self.write_identity(out, &mut spans)?;
            within("identity", out.len() - at, limits::IDENTITY_BYTES_MAX)?;
            table.put(out, Tag::IDENTITY, at);
        }
        if content {
            let at = out.len();
            self.write_content(out, &mut spans)?;
            within("content", out.len() - at, limits::CONTENT_BYTES_MAX)?;
            table.put(out, Tag::CONTENT, at);
        }
        if let Some(raw) = &draft.raw {
            let at = out.len();
            required("raw media type", raw.media_type, limits::MEDIA_TYPE_BYTES_MAX)?;
            within("raw", raw.bytes.len(), limits::RAW_BYTES_MAX)?;
            head::put_str16(out, raw.media_type);
            out.extend_from_slice(raw.bytes);
            table.put(out, Tag::RAW, at);
        }
        if let Some(key) = draft.idempotency_key {
            self.write_idempotency(key, &head, bodies_at, groups_n, out)?;
        }
        for (field, offset, length) in &spans {
            out.push(field.byte());
            put_varint(out, *offset);
            put_varint(out, *length);
        }
        self.write_header(groups_n, spans.len(), out);
        Ok(class)
    }

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
    fn write_identity(&self, out: &mut Vec<u8>, spans: &mut Spans) -> Result<(), Rejection> {
        let (actor, origin) = (&self.draft.actor, &self.draft.origin);
        let mut object = Object::open(out, out.len(), spans);
        object.group(
            "actor",
            &[
                (Field::ActorEmail, "email", actor.email),
                (Field::ActorId, "id", actor.id),
                (Field::ActorName, "name", actor.name),
                (Field::ActorType, "type", actor.kind),
            ],
        )?;
        if let Some(details) = self.draft.identity_details {
            object.json(Field::IdentityDetails, "details", details)?;
        }
        object.group(
            "origin",
            &[
                (Field::OriginHost, "host", origin.host),
                (Field::OriginIp, "ip", origin.ip),
                (Field::OriginUserAgent, "user_agent", origin.user_agent),
            ],
        )?;
        if let Some(session) = self.draft.session {
            object.text(Field::Session, "session", session)?;
        }
        object.close();
        Ok(())
    }

    /// `{"details":…,"targets":[{"id","name","type"}…]}`
    fn write_content(&self, out: &mut Vec<u8>, spans: &mut Spans) -> Result<(), Rejection> {
        let targets = &self.draft.targets;
        if targets.len() > limits::TARGETS_MAX {
            return Err(Rejection::TooMany { field: "targets", count: targets.len(), limit: limits::TARGETS_MAX });
        }
        let mut object = Object::open(out, out.len(), spans);
        match &self.draft.details {
            Details::Json(json) => object.json(Field::Details, "details", *json)?,
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
    fn write_idempotency(
        &self,
        key: &str,
        head: &HeadFields<'_>,
        bodies_at: usize,
        groups_n: usize,
        out: &mut [u8],
    ) -> Result<(), Rejection> {
        required("idempotency key", key, limits::IDEMPOTENCY_KEY_BYTES_MAX)?;
        let mut said = Vec::with_capacity(256);
        head::write(
            &HeadFields {
                received: 0,
                id: self.draft.id.map_or(Id::Uuid([0; 16]), Id::from_text),
                time: self.draft.time.unwrap_or(0),
                producer: self.draft.producer,
                ..*head
            },
            &mut said,
        );
        let mut bodies = out.get(bodies_at..).unwrap_or_default();
        let mut parts: SmallVec<[(usize, &[u8]); 4]> = SmallVec::new();
        parts.push((said.len(), &said));
        for group in 1..groups_n {
            let at = self.start + HEADER_BYTES + group * GROUP_ENTRY_BYTES + 2;
            let length = out.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
            let (body, rest) = bodies.split_at(bodies.len().min(length as usize));
            parts.push((body.len(), body));
            bodies = rest;
        }
        let mut message = Vec::new();
        for (length, part) in parts {
            message.extend_from_slice(&(length as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        let (key, body) = (sha256::sha256(key.as_bytes()), sha256::sha256(&message));
        let at = self.start + HEADER_BYTES + groups_n * GROUP_ENTRY_BYTES;
        if let Some(slot) = out.get_mut(at..at + 32) {
            let (first, second) = slot.split_at_mut(16);
            first.copy_from_slice(&key.0[..16]);
            second.copy_from_slice(&body.0[..16]);
        }
        Ok(())
    }

    fn write_header(&self, groups_n: usize, spans_n: usize, out: &mut [u8]) {
        let length = u32::try_from(out.len() - self.start).unwrap_or(u32::MAX);
        let mut header = [0u8; HEADER_BYTES];
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[4] = KIND_EVENT;
        header[5] = if self.draft.idempotency_key.is_some() { FLAG_IDEMPOTENCY } else { 0 };
        header[6] = u8::try_from(groups_n).unwrap_or(u8::MAX);
        header[7] = u8::try_from(spans_n).unwrap_or(u8::MAX);
        header[8..12].copy_from_slice(&self.stamp.log.to_le_bytes());
        if let Some(slot) = out.get_mut(self.start..self.start + HEADER_BYTES) {
            slot.copy_from_slice(&header);
        }
    }
}

/// Fills the group table entry by entry.
struct GroupTable {
    at: usize,
}

impl GroupTable {
    /// Enters the group whose body reaches from `from` to the end of `out`.
    fn put(&mut self, out: &mut [u8], tag: Tag, from: usize) {
        let [a, b, c, d] = u32::try_from(out.len() - from).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(slot) = out.get_mut(self.at..self.at + GROUP_ENTRY_BYTES) {
            slot.copy_from_slice(&[tag.0, 0, a, b, c, d]);
        }
        self.at += GROUP_ENTRY_BYTES;
    }
}

/// Writes one canonical JSON object member by member; the caller keeps the order of keys.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    base: usize,
    spans: &'o mut Spans,
    first: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>, base: usize, spans: &'o mut Spans) -> Self {
        out.push(b'{');
        Self { out, base, spans, first: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// `,"key":` — keys given here are plain ASCII.
    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn span(&mut self, field: Field, from: usize, to: usize) {
        let offset = u32::try_from(from - self.base).unwrap_or(u32::MAX);
        let length = u32::try_from(to - from).unwrap_or(u32::MAX);
        self.spans.push((field, offset, length));
    }

    fn text(&mut self, field: Field, key: &str, text: &str) -> Result<(), Rejection> {
        within(field.name(), text.len(), limits::STRING_BYTES_MAX)?;
        self.key(key);
        let from = self.out.len() + 1;
        json::write_string(self.out, text);
        self.span(field, from, self.out.len() - 1);
        Ok(())
    }

    fn json(&mut self, field: Field, key: &str, json: Canonical<'_>) -> Result<(), Rejection> {
        within(field.name(), json.bytes().len(), limits::DETAILS_BYTES_MAX)?;
        self.key(key);
        let from = self.out.len();
        self.out.extend_from_slice(json.bytes());
        self.span(field, from, self.out.len());
        Ok(())
    }

    /// A nested object of texts, left out when all of them are.
    fn group(&mut self, key: &str, members: &[(Field, &str, Option<&str>)]) -> Result<(), Rejection> {
        if members.iter().all(|(_, _, text)| text.is_none()) {
            return Ok(());
        }
        self.key(key);
        let mut inner = Object::open(self.out, self.base, self.spans);
        for (field, key, text) in members {
            if let Some(text) = text {
                inner.text(*field, key, text)?;
            }
        }
        inner.close();
        Ok(())
    }

    fn pairs(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), Rejection> {
        self.key("details");
        let from = self.out.len();
        self.out.push(b'{');
        let sorted = pairs.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if json::compare_keys(a, b).is_lt()));
        if sorted {
            for (at, pair) in pairs.iter().enumerate() {
                self.pair(at > 0, pair)?;
            }
        } else {
            let mut order: SmallVec<[&(&str, Value<'_>); 16]> = pairs.iter().collect();
            order.sort_unstable_by(|(a, _), (b, _)| json::compare_keys(a, b));
            if order.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
                return Err(Rejection::DuplicateKey);
            }
            for (at, pair) in order.iter().enumerate() {
                self.pair(at > 0, pair)?;
            }
        }
        self.out.push(b'}');
        within("details", self.out.len() - from, limits::DETAILS_BYTES_MAX)?;
        self.span(Field::Details, from, self.out.len());
        Ok(())
    }

    fn pair(&mut self, comma: bool, (key, value): &(&str, Value<'_>)) -> Result<(), Rejection> {
        if comma {
            self.out.push(b',');
        }
        json::write_string(self.out, key);
        self.out.push(b':');
        match value {
            Value::Text(text) => json::write_string(self.out, text),
            Value::Signed(number) => self.out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Unsigned(number) => self.out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Float(number) => {
                use std::io::Write as _;
                if !number.is_finite() {
                    return Err(Rejection::NotFinite);
                }
                // Writing to a Vec cannot fail.
                let _ = write!(self.out, "{number:?}");
            }
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Json(json) => self.out.extend_from_slice(json.bytes()),
        }
        Ok(())
    }

    fn targets(&mut self, targets: &[Target<'_>]) -> Result<(), Rejection> {
        self.key("targets");
        self.out.push(b'[');
        for (at, target) in targets.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            let from = self.out.len();
            let spanned = at < limits::SPANNED_TARGETS_MAX;
            let slot = self.spans.len();
            if spanned {
                self.spans.push((Field::Target, 0, 0));
            }
            let mut inner = Object::open(self.out, self.base, self.spans);
            for (field, key, text) in [
                (Field::TargetId, "id", target.id),
                (Field::TargetName, "name", target.name),
                (Field::TargetType, "type", target.kind),
            ] {
                if let Some(text) = text {
                    inner.text(field, key, text)?;
                }
            }
            inner.close();
            if spanned {
                let offset = u32::try_from(from - self.base).unwrap_or(u32::MAX);
                let length = u32::try_from(self.out.len() - from).unwrap_or(u32::MAX);
                if let Some(span) = self.spans.get_mut(slot) {
                    *span = (Field::Target, offset, length);
                }
            } else {
                self.spans.truncate(slot);
            }
        }
        self.out.push(b']');
        Ok(())
    }
}

fn within(field: &'static str, bytes: usize, limit: usize) -> Result<(), Rejection> {
    if bytes > limit { Err(Rejection::TooLong { field, bytes, limit }) } else { Ok(()) }
}

fn required(field: &'static str, text: &str, limit: usize) -> Result<(), Rejection> {
    if text.is_empty() { Err(Rejection::Empty { field }) } else { within(field, text.len(), limit) }
}

//! The members of an event, read and checked, before a draft borrows them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::draft::{Actor, Canonical, Details, Few, Origin, Raw, Target};
use indelible_format::json::{Kind, Node};
use indelible_format::{Class, Draft, Outcome, Producer, Severity, Trace, limits};

use super::EventError;
use crate::hexadecimal::hexadecimal;
use crate::time::{self, Reading};

type Text<'i> = Option<Cow<'i, str>>;
type Read<T> = Result<T, EventError>;

/// An event as it was posted: texts and values, checked, before a draft borrows them. It borrows from the input, not from the document.
#[derive(Debug, Default)]
pub struct PostedEvent<'i> {
    action: Cow<'i, str>,
    outcome: Option<Outcome>,
    severity: Option<Severity>,
    class: Option<Class>,
    id: Text<'i>,
    time: Option<i64>,
    tenant: Text<'i>,
    source: Text<'i>,
    producer: Option<(Cow<'i, str>, u64, u64)>,
    trace: Option<Trace>,
    frameworks: Vec<Cow<'i, str>>,
    weight: Option<u64>,
    /// id, type, name, email
    actor: [Text<'i>; 4],
    session: Text<'i>,
    /// ip, user agent, host
    origin: [Text<'i>; 3],
    targets: Vec<[Text<'i>; 3]>,
    /// Canonical.
    details: Option<Cow<'i, [u8]>>,
    identity_details: Option<Cow<'i, [u8]>>,
    raw: Option<(Text<'i>, Cow<'i, [u8]>)>,
    idempotency_key: Text<'i>,
}

const MEMBERS: &str = "action, outcome, severity, class, id, time, tenant, source, producer, trace, traceparent, frameworks, weight, actor, \
                       session, origin, targets, details, identity_details, raw, idempotency_key";

impl<'i> PostedEvent<'i> {
    pub(super) fn read(event: Node<'_, 'i>, at: &str) -> Read<Self> {
        if event.kind() != Kind::Object {
            return Err(EventError::new(at.to_owned(), "type", "an event is a JSON object"));
        }
        let mut fields = Self::default();
        let mut has_action = false;
        for (key, value) in event.entries() {
            let name = key.text();
            let place = Place { within: Within::Event(at), step: Step::Name(&name) };
            match name.as_ref() {
                "action" => {
                    fields.action = place.text(value)?;
                    has_action = true;
                }
                "outcome" => fields.outcome = place.word(value)?,
                "severity" => fields.severity = place.word(value)?,
                "class" => fields.class = place.word(value)?,
                "id" => fields.id = place.optional(value)?,
                "time" => fields.time = place.time(value)?,
                "tenant" => fields.tenant = place.optional(value)?,
                "source" => fields.source = place.optional(value)?,
                "session" => fields.session = place.optional(value)?,
                "idempotency_key" => fields.idempotency_key = place.optional(value)?,
                "weight" => fields.weight = place.nullable(value, "a whole number from 1", |value| value.as_u64())?,
                "producer" => {
                    fields.producer = place.nullable(value, "{\"id\":text,\"epoch\":number,\"seq\":number}", producer)?
                }
                "trace" => {
                    fields.trace = place.nullable(value, "{\"trace_id\":32 hex digits,\"span_id\":16 hex digits}", trace)?
                }
                "traceparent" => fields.trace = place.nullable(value, "a W3C traceparent", traceparent)?,
                "frameworks" => fields.frameworks = place.texts(value)?,
                "actor" => fields.actor = place.group(value, ["id", "type", "name", "email"])?,
                "origin" => fields.origin = place.group(value, ["ip", "user_agent", "host"])?,
                "targets" => fields.targets = place.targets(value)?,
                "details" if value.is_null() => {}
                "details" => fields.details = Some(store(value)),
                "identity_details" if value.is_null() => {}
                "identity_details" => fields.identity_details = Some(store(value)),
                "raw" => fields.raw = place.raw(value)?,
                "log" | "seq" | "received" | "tenant_seq" => {
                    return Err(place.refused("assigned", format!("{name} is said by the log, not by who records: leave it out")));
                }
                _ => return Err(place.refused("unknown_member", format!("there is no member {name}; an event has {MEMBERS}"))),
            }
        }
        if !has_action {
            let example = "an event needs an action, such as \"action\":\"user.login\"";
            return Err(EventError::new(format!("{at}/action"), "missing", example));
        }
        Ok(fields)
    }

    /// Whose event it says it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Calls `with` with the draft that says the same.
    pub fn with_draft<R>(&self, with: impl FnOnce(Draft<'_>) -> R) -> R {
        let frameworks: Vec<&str> = self.frameworks.iter().map(AsRef::as_ref).collect();
        let mut draft = Draft::new(&*self.action).frameworks(&frameworks).source(self.source.as_deref().unwrap_or_default());
        draft.outcome = self.outcome.unwrap_or(Outcome::Unknown);
        draft.severity = self.severity;
        draft.class = self.class;
        draft.id = self.id.as_deref();
        draft.time = self.time;
        draft.tenant = self.tenant.as_deref();
        draft.producer = self.producer.as_ref().map(|(id, epoch, seq)| Producer { id, epoch: *epoch, seq: *seq });
        draft.trace = self.trace;
        draft.weight = self.weight.unwrap_or(1);
        let [id, kind, name, email] = self.actor.each_ref().map(Option::as_deref);
        draft.actor = Actor { id, kind, name, email };
        draft.session = self.session.as_deref();
        let [ip, user_agent, host] = self.origin.each_ref().map(Option::as_deref);
        draft.origin = Origin { ip, user_agent, host };
        draft.targets = self.targets.iter().map(target).collect::<Few<_, 2>>();
        if let Some(details) = &self.details {
            draft.details = Details::Json(Canonical::trusted(details));
        }
        draft.identity_details = self.identity_details.as_deref().map(Canonical::trusted);
        draft.raw = self
            .raw
            .as_ref()
            .map(|(media_type, bytes)| Raw { media_type: media_type.as_deref().unwrap_or("application/octet-stream"), bytes });
        draft.idempotency_key = self.idempotency_key.as_deref();
        with(draft)
    }
}

/// Canonical JSON: of the input if it is so already.
fn store<'i>(value: Node<'_, 'i>) -> Cow<'i, [u8]> {
    if value.is_canonical() {
        return Cow::Borrowed(value.raw().as_bytes());
    }
    let mut canonical = Vec::new();
    value.write_canonical(&mut canonical);
    Cow::Owned(canonical)
}

fn target<'d>(texts: &'d [Text<'_>; 3]) -> Target<'d> {
    let [kind, id, name] = texts.each_ref().map(Option::as_deref);
    Target { kind, id, name }
}

/// A member, for what is said about it: its pointer is made only then.
#[derive(Clone, Copy)]
struct Place<'p> {
    within: Within<'p>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Within<'p> {
    /// An event, whose pointer this is.
    Event(&'p str),
    Member(&'p Place<'p>),
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Nth(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Nth(nth) => write!(f, "{nth}"),
        }
    }
}

impl Place<'_> {
    fn refused(&self, code: &'static str, message: impl Into<String>) -> EventError {
        EventError::new(self.pointer(), code, message)
    }

    fn wrong(&self, expected: &str) -> EventError {
        self.refused("type", format!("{} has to be {expected}", self.step))
    }

    fn pointer(&self) -> String {
        let before = match self.within {
            Within::Event(at) => at.to_owned(),
            Within::Member(place) => place.pointer(),
        };
        // RFC 6901: these two are escaped.
        let step = self.step.to_string().replace('~', "~0").replace('/', "~1");
        format!("{before}/{step}")
    }

    fn text<'i>(&self, value: Node<'_, 'i>) -> Read<Cow<'i, str>> {
        value.as_str().ok_or_else(|| self.wrong("text"))
    }

    fn optional<'i>(&self, value: Node<'_, 'i>) -> Read<Text<'i>> {
        self.nullable(value, "text", |value| value.as_str())
    }

    /// `null` says as much as leaving it out.
    fn nullable<'n, 'i, T>(
        &self,
        value: Node<'n, 'i>,
        expected: &str,
        read: impl FnOnce(Node<'n, 'i>) -> Option<T>,
    ) -> Read<Option<T>> {
        if value.is_null() { Ok(None) } else { read(value).map(Some).ok_or_else(|| self.wrong(expected)) }
    }

    fn word<T: std::str::FromStr<Err: std::fmt::Display>>(&self, value: Node<'_, '_>) -> Read<Option<T>> {
        let Some(text) = self.optional(value)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| self.refused("unknown_word", format!("{error}")))
    }

    fn time(&self, value: Node<'_, '_>) -> Read<Option<i64>> {
        let Some(text) = self.optional(value)? else { return Ok(None) };
        match time::rfc3339(&text) {
            Reading::At(time) => Ok(Some(time)),
            Reading::Zoneless => {
                Err(self.refused("time", format!("{text} names no zone: write Z behind it for UTC, or an offset such as +02:00")))
            }
            Reading::Unreadable => Err(self.refused("time", "a time is RFC 3339, such as 2026-01-31T12:00:00Z")),
        }
    }

    fn texts<'i>(&self, value: Node<'_, 'i>) -> Read<Vec<Cow<'i, str>>> {
        if value.is_null() {
            return Ok(Vec::new());
        }
        if value.kind() != Kind::Array {
            return Err(self.wrong("a list of texts"));
        }
        value.elements().map(|element| element.as_str().ok_or_else(|| self.wrong("a list of texts"))).collect()
    }

    /// An object of nothing but these texts.
    fn group<'i, const N: usize>(&self, value: Node<'_, 'i>, names: [&str; N]) -> Read<[Text<'i>; N]> {
        let mut texts = [const { None }; N];
        if value.is_null() {
            return Ok(texts);
        }
        if value.kind() != Kind::Object {
            return Err(self.wrong(&format!("an object of {}", names.join(", "))));
        }
        for (key, member) in value.entries() {
            let name = key.text();
            let place = Place { within: Within::Member(self), step: Step::Name(&name) };
            let Some((slot, _)) = texts.iter_mut().zip(names).find(|(_, known)| *known == name) else {
                let known = names.join(", ");
                return Err(place.refused("unknown_member", format!("{} has no member {name}; it has {known}", self.step)));
            };
            *slot = place.optional(member)?;
        }
        Ok(texts)
    }

    fn targets<'i>(&self, value: Node<'_, 'i>) -> Read<Vec<[Text<'i>; 3]>> {
        if value.is_null() {
            return Ok(Vec::new());
        }
        if value.kind() != Kind::Array {
            return Err(self.wrong("a list of {\"type\",\"id\",\"name\"}"));
        }
        if value.len() > limits::TARGETS_MAX {
            return Err(self.refused("too_many", format!("{} targets, the limit is {}", value.len(), limits::TARGETS_MAX)));
        }
        let read = |(nth, target)| {
            let place = Place { within: Within::Member(self), step: Step::Nth(nth) };
            place.group(target, ["type", "id", "name"])
        };
        value.elements().enumerate().map(read).collect()
    }

    /// `{"media_type":…,"text":…}` or `{"media_type":…,"base64":…}`.
    fn raw<'i>(&self, value: Node<'_, 'i>) -> Read<Option<(Text<'i>, Cow<'i, [u8]>)>> {
        let [media_type, text, encoded] = self.group(value, ["media_type", "text", "base64"])?;
        match (text, encoded) {
            (None, None) if value.is_null() => Ok(None),
            (Some(Cow::Borrowed(text)), None) => Ok(Some((media_type, Cow::Borrowed(text.as_bytes())))),
            (Some(Cow::Owned(text)), None) => Ok(Some((media_type, Cow::Owned(text.into_bytes())))),
            (None, Some(encoded)) => {
                let wrong = |_| self.refused("base64", "raw.base64 is not base64 (RFC 4648, with padding)");
                Ok(Some((media_type, Cow::Owned(STANDARD.decode(encoded.as_bytes()).map_err(wrong)?))))
            }
            _ => Err(self.refused("type", "raw has either text or base64, and a media_type")),
        }
    }
}

fn producer<'i>(value: Node<'_, 'i>) -> Option<(Cow<'i, str>, u64, u64)> {
    let known = value.entries().all(|(key, _)| ["id", "epoch", "seq"].iter().any(|name| key == *name));
    known.then_some(())?;
    Some((value.get("id")?.as_str()?, value.get("epoch")?.as_u64()?, value.get("seq")?.as_u64()?))
}

fn trace(value: Node<'_, '_>) -> Option<Trace> {
    let trace_id = hexadecimal(&value.get("trace_id")?.as_str()?)?;
    Some(Trace { trace_id, span_id: hexadecimal(&value.get("span_id")?.as_str()?)? })
}

fn traceparent(value: Node<'_, '_>) -> Option<Trace> {
    crate::hexadecimal::traceparent(&value.as_str()?)
}

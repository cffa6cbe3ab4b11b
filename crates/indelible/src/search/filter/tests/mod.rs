//! What the search language promises, told on whole events.

mod corpus;
mod errors;
mod hostile;
mod manual;
mod round_trip;
mod select;
mod table;
mod twin;

use std::collections::BTreeMap;

use indelible_format::draft::{Raw, Target};
use indelible_format::head::{Producer, Trace};
use indelible_format::{Canonical, Class, Draft, Field, Outcome, Record, Severity, Stamp, Tag, encode, json};

use super::{Filter, Piece};
use crate::search::view::View;

/// 2021-01-31T12:00:00Z
const NOW: i64 = 1_612_094_400_000_000_000;

/// A JSON value that owns its parts; numbers are their lexemes.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Json {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Self::Number(lexeme) => out.extend_from_slice(lexeme.as_bytes()),
            Self::Text(text) => json::write_string(out, text),
            Self::List(values) => {
                for (nth, value) in values.iter().enumerate() {
                    out.push(if nth == 0 { b'[' } else { b',' });
                    value.write(out);
                }
                out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
            }
            Self::Object(members) => {
                // Sorted by bytes, which is canonical for the keys that tests use.
                for (nth, (key, value)) in members.iter().enumerate() {
                    out.push(if nth == 0 { b'{' } else { b',' });
                    json::write_string(out, key);
                    out.push(b':');
                    value.write(out);
                }
                out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        assert!(json::is_canonical(&out, &json::Limits::default()), "{}", String::from_utf8_lossy(&out));
        out
    }
}

/// (type, id, name)
type TargetModel = (Option<String>, Option<String>, Option<String>);

/// An event in plain Rust: what is encoded on one side, and what a naive reading sees on the other.
#[derive(Debug, Clone)]
struct Model {
    log: u32,
    seq: u64,
    action: String,
    outcome: Outcome,
    severity: Severity,
    class: Class,
    time: i64,
    received: i64,
    weight: u64,
    id: Option<String>,
    tenant: String,
    source: String,
    frameworks: Vec<String>,
    producer: Option<(String, u64, u64)>,
    trace: Option<([u8; 16], [u8; 8])>,
    actor_id: Option<String>,
    actor_name: Option<String>,
    actor_type: Option<String>,
    actor_email: Option<String>,
    session: Option<String>,
    ip: Option<String>,
    host: Option<String>,
    user_agent: Option<String>,
    targets: Vec<TargetModel>,
    details: Option<Json>,
    identity_details: Option<Json>,
    /// Media type and text.
    raw: Option<(String, String)>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            log: 1,
            seq: 0,
            action: "thing.happen".to_owned(),
            outcome: Outcome::Unknown,
            severity: Severity::Info,
            class: Class::Normal,
            time: NOW,
            received: NOW,
            weight: 1,
            id: None,
            tenant: "default".to_owned(),
            source: String::new(),
            frameworks: Vec::new(),
            producer: None,
            trace: None,
            actor_id: None,
            actor_name: None,
            actor_type: None,
            actor_email: None,
            session: None,
            ip: None,
            host: None,
            user_agent: None,
            targets: Vec::new(),
            details: None,
            identity_details: None,
            raw: None,
        }
    }
}

const UUID: [u8; 16] = [0x01, 0x90, 0xab, 0xcd, 0xef, 0x01, 0x7a, 0xaa, 0xbb, 0xbb, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0x0d];

impl Model {
    /// The event's record.
    fn encode(&self) -> Vec<u8> {
        let details = self.details.as_ref().map(Json::bytes);
        let identity_details = self.identity_details.as_ref().map(Json::bytes);
        let frameworks: Vec<&str> = self.frameworks.iter().map(String::as_str).collect();
        let mut draft = Draft::new(&self.action).outcome(self.outcome).severity(self.severity).class(self.class);
        draft = draft.time_ns(self.time).tenant(&self.tenant).source(&self.source).weight(self.weight).frameworks(&frameworks);
        draft.id = self.id.as_deref();
        draft.producer = self.producer.as_ref().map(|(id, epoch, seq)| Producer { id, epoch: *epoch, seq: *seq });
        draft.trace = self.trace.map(|(trace_id, span_id)| Trace { trace_id, span_id });
        draft.actor.id = self.actor_id.as_deref();
        draft.actor.name = self.actor_name.as_deref();
        draft.actor.kind = self.actor_type.as_deref();
        draft.actor.email = self.actor_email.as_deref();
        draft.session = self.session.as_deref();
        draft.origin.ip = self.ip.as_deref();
        draft.origin.host = self.host.as_deref();
        draft.origin.user_agent = self.user_agent.as_deref();
        draft.targets.extend(self.targets.iter().map(|(kind, id, name)| Target {
            kind: kind.as_deref(),
            id: id.as_deref(),
            name: name.as_deref(),
        }));
        if let Some(details) = &details {
            draft = draft.details_json(Canonical::trusted(details));
        }
        if let Some(details) = &identity_details {
            draft = draft.identity_details(Canonical::trusted(details));
        }
        if let Some((media_type, text)) = &self.raw {
            draft = draft.raw(Raw { media_type, bytes: text.as_bytes() });
        }
        let stamp = Stamp { received: self.received, uuid: UUID, producer: None, tenant: "default", log: self.log };
        let mut out = Vec::new();
        let encoded = encode(&draft, &stamp, &mut out).unwrap();
        out.truncate(encoded.bytes);
        out
    }

    /// Asks `question` about the event.
    fn ask<T>(&self, question: impl FnOnce(&View<'_>) -> T) -> T {
        ask(&self.encode(), self.seq, question).unwrap()
    }

    fn matches(&self, query: &str) -> bool {
        let filter = Filter::parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        let matcher = filter.compile(NOW).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        self.ask(|view| matcher.matches(view))
    }
}

/// Asks `question` about a record; `None` if it is not that of an event with a head.
fn ask<T>(record: &[u8], seq: u64, question: impl FnOnce(&View<'_>) -> T) -> Option<T> {
    let record = Record::parse(record)?;
    let head = record.head()?;
    Some(question(&View { log: record.log(), seq, record: &record, head: &head }))
}

/// The record with the value of `tag` taken out, as an erasure leaves it.
fn withhold(bytes: &[u8], tag: Tag) -> Vec<u8> {
    let record = Record::parse(bytes).unwrap();
    let mut out = bytes[..12].to_vec();
    let mut bodies = Vec::new();
    for (found, body) in record.groups() {
        let value = body.value().unwrap();
        let (form, body) = if found == tag { (2, &[7; 32][..]) } else { (0, value) };
        out.extend_from_slice(&[found.0, form]);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bodies.extend_from_slice(body);
    }
    out.extend_from_slice(&bodies);
    let spans: Vec<(Field, u32, u32)> = record.span_offsets().filter(|(field, ..)| field.tag() != tag).collect();
    out[7] = u8::try_from(spans.len()).unwrap();
    for (field, offset, length) in spans {
        out.push(field.byte());
        for mut number in [offset, length] {
            while number >= 0x80 {
                out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
                number >>= 7;
            }
            out.push(u8::try_from(number).unwrap());
        }
    }
    let length = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// A pattern against characters, by plain backtracking: the twin of every glob.
pub(super) fn fits(pieces: &[Piece], text: &[char]) -> bool {
    match (pieces.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((Piece::Any, later)), _) => (0..=text.len()).any(|skipped| fits(later, &text[skipped..])),
        (Some((Piece::One, later)), Some((_, rest))) => fits(later, rest),
        (Some((Piece::One, _)), None) => false,
        (Some((Piece::Literal(literal), later)), _) => {
            let literal: Vec<char> = literal.chars().collect();
            text.starts_with(&literal) && fits(later, &text[literal.len()..])
        }
    }
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn number(lexeme: &str) -> Json {
    Json::Number(lexeme.to_owned())
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

//! One event as people and programs get it: columns of a list, a JSON object.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::record::Body;
use indelible::identity::Identity;
use indelible::json::walk;
use indelible::search::{Selector, View};
use indelible::time;
use indelible::{Head, Record, Tag};
use indelible_adapters::split;

use crate::failure::Result;
use crate::output::json::Object;
use crate::question::place_text;

/// A column of a list of events.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The position, as `show` takes it.
    Place,
    /// The first of these that the event has.
    Fields(Vec<Selector>),
}

impl Column {
    fn of(title: &str, names: &[&str]) -> Result<Self> {
        let selectors = names.iter().map(|name| Selector::new(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { title: title.to_owned(), source: Source::Fields(selectors) })
    }

    /// The columns that `--fields` names.
    pub(crate) fn named(names: &[String]) -> Result<Vec<Self>> {
        names.iter().map(|name| Self::of(name.trim(), &[name.trim()])).collect()
    }

    /// What a table shows when nobody says otherwise.
    pub(crate) fn for_eyes() -> Result<Vec<Self>> {
        Ok(vec![
            Self { title: "seq".to_owned(), source: Source::Place },
            Self::of("time", &["time"])?,
            Self::of("action", &["action"])?,
            Self::of("outcome", &["outcome"])?,
            Self::of("actor", &["actor.id", "actor.name", "actor.email"])?,
            Self::of("ip", &["origin.ip"])?,
            Self::of("target", &["target"])?,
        ])
    }

    /// What a spreadsheet gets when nobody says otherwise.
    pub(crate) fn for_spreadsheets() -> Result<Vec<Self>> {
        const NAMES: &[&str] = &[
            "log",
            "seq",
            "time",
            "received",
            "action",
            "outcome",
            "severity",
            "class",
            "tenant",
            "source",
            "actor.type",
            "actor.id",
            "actor.name",
            "actor.email",
            "session",
            "origin.ip",
            "origin.host",
            "origin.user_agent",
            "target",
            "id",
        ];
        NAMES.iter().map(|name| Self::of(name, &[name])).collect()
    }

    /// What stands in it for this event.
    pub(crate) fn text<'v>(&self, view: &View<'v>, identity: &Identity) -> Option<Cow<'v, str>> {
        match &self.source {
            Source::Place => Some(Cow::Owned(place_text(identity, view.log, view.seq))),
            Source::Fields(selectors) => selectors.iter().find_map(|selector| selector.text(view)),
        }
    }
}

/// The event as a JSON object: what was said, under the names of the search language; stored JSON as it was stored.
pub(crate) fn event_json(view: &View<'_>, identity: &Identity) -> Vec<u8> {
    let mut object = Object::new();
    object.text("log", identity.log_name(view.log)).number("seq", view.seq);
    head_members(view.head, &mut object);
    body_members(view.record, &mut object);
    object.finish()
}

/// Only these columns.
pub(crate) fn columns_json(view: &View<'_>, identity: &Identity, columns: &[Column]) -> Vec<u8> {
    let mut object = Object::new();
    for column in columns {
        object.optional_text(&column.title, column.text(view, identity).as_deref());
    }
    object.finish()
}

fn head_members(head: &Head<'_>, object: &mut Object) {
    object.text("id", &head.id.to_string()).text("time", &time::format(head.time)).text("received", &time::format(head.received));
    object.text("action", head.action).text("outcome", head.outcome.name()).text("severity", head.severity.name());
    object.text("class", head.class.name()).text("tenant", head.tenant).number("tenant_seq", head.tenant_seq);
    if !head.source.is_empty() {
        object.text("source", head.source);
    }
    if let Some(producer) = head.producer {
        object.object("producer", |object| {
            object.text("id", producer.id).number("epoch", producer.epoch).number("seq", producer.seq);
        });
    }
    if let Some(trace) = head.trace {
        object.object("trace", |object| {
            object.text("trace_id", &hex(&trace.trace_id)).text("span_id", &hex(&trace.span_id));
        });
    }
    if head.frameworks().next().is_some() {
        object.texts("frameworks", head.frameworks());
    }
    if head.weight != 1 {
        object.number("weight", head.weight);
    }
}

/// Identity and content, flattened; the two parts of a foreign record merged into the record.
fn body_members(record: &Record<'_>, object: &mut Object) {
    let mut parts: [Option<&[u8]>; 2] = [None, None];
    for (part, tag) in parts.iter_mut().zip([Tag::IDENTITY, Tag::CONTENT]) {
        let Some(body) = record.value(tag) else { continue };
        let mut other = Vec::new();
        for member in walk::members(body).map_while(|member| member.ok()) {
            let value = body.get(member.value).unwrap_or_default();
            match member.key {
                b"details" => *part = Some(value),
                b"actor" | b"origin" | b"session" | b"targets" => object.raw(&String::from_utf8_lossy(member.key), value).end(),
                key => other.push((key, value)),
            }
        }
        // Members that a later version added are shown apart, so that they cannot pass for ours.
        if !other.is_empty() {
            object.object(tag.name(), |object| other.iter().for_each(|(key, value)| object.raw_key(key, value)));
        }
    }
    let [identity, content] = parts;
    let mut merged = Vec::new();
    match (identity, content) {
        (None, None) => {}
        (identity, content) => match split::merge(identity, content.unwrap_or(b"{}"), &mut merged) {
            Ok(()) => object.raw("details", &merged).end(),
            Err(_) => {
                object.raw("identity_details", identity.unwrap_or(b"null")).raw("details", content.unwrap_or(b"null"));
            }
        },
    }
    if let Some((media_type, bytes)) = record.value(Tag::RAW).and_then(raw_parts) {
        object.object("raw", |object| {
            object.text("media_type", &String::from_utf8_lossy(media_type));
            match std::str::from_utf8(bytes) {
                Ok(text) => object.text("text", text),
                Err(_) => object.text("base64", &STANDARD.encode(bytes)),
            };
        });
    }
    let withheld: Vec<&str> =
        record.groups().filter(|(_, body)| matches!(body, Body::Withheld(_))).map(|(tag, _)| tag.name()).collect();
    if !withheld.is_empty() {
        object.texts("withheld", withheld);
    }
}

/// Media type and bytes of a raw group.
pub(crate) fn raw_parts(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

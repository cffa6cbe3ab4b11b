//! `indelible show`: one event whole.

use clap::Args;
use indelible::format::record::{Body, Kind};
use indelible::identity::Identity;
use indelible::json::{unescape, walk};
use indelible::search::View;
use indelible::{Record, Tag, time};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::{Object, indented};
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::{Located, place_text, with_view};
use crate::shown::{event_json, hex, raw_parts};
use crate::source::Found;

/// Show one event whole.
///
/// Everything that was said, the leaf hash by which it stands in the log, and the commitments that hash is made of.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A position (1234), a position of another log (telemetry:7), or the event's own id
    #[arg(value_name = "SEQ|LOG:SEQ|ID")]
    event: String,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &ShowArgs) -> Result<Exit> {
    let source = place.source()?;
    let found = source.event(&args.event)?;
    let record = Record::parse(&found.bytes).ok_or_else(|| Failure::new("corrupt", "the record is malformed"))?;
    let mut out = Out::open();
    if args.shape.is_json() {
        out.json_line(&full_json(&found, &record, source.identity()))?;
    } else {
        full_text(&found, &record, source.identity(), &mut out)?;
    }
    out.flush()?;
    if found.located.namesakes > 0 {
        eprintln!("{} more events have this id; `indelible search id:…` lists them", found.located.namesakes);
    }
    Ok(Exit::Ok)
}

fn full_json(found: &Found, record: &Record<'_>, identity: &Identity) -> Vec<u8> {
    let Located { log, seq, .. } = found.located;
    let mut object = Object::new();
    match with_view(log, seq, record, |view| event_json(view, identity)) {
        Some(event) => {
            object.raw("event", &event);
        }
        None => {
            object.text("log", identity.log_name(log)).number("seq", seq);
        }
    }
    if let Some(control) = record.control() {
        object.raw("control", control);
    }
    object.text("origin", &identity.origin(log).unwrap_or_default()).text("leaf", &found.leaf.to_string());
    object.objects("groups", record.groups().zip(&found.commitments), |object, ((tag, body), hash)| {
        object.number("tag", tag.0).text("name", tag.name()).text("form", form(&body));
        object.optional_number("bytes", body.value().map(<[u8]>::len)).text("commitment", &hash.to_string());
    });
    object.finish()
}

const fn form(body: &Body<'_>) -> &'static str {
    match body {
        Body::Value(_) => "value",
        Body::Salted(..) => "salted",
        Body::Withheld(_) => "withheld",
    }
}

fn full_text(found: &Found, record: &Record<'_>, identity: &Identity, out: &mut Out) -> Result<()> {
    let Located { log, seq, .. } = found.located;
    let mut table = Table::pairs();
    table.pair("position", format!("{} of log {}", place_text(identity, log, seq), identity.log_name(log)));
    with_view(log, seq, record, |view| head_rows(view, &mut table));
    for (tag, group) in [(Tag::IDENTITY, &["actor", "origin"][..]), (Tag::CONTENT, &[])] {
        if let Some(body) = record.value(tag) {
            body_rows(body, group, &mut table);
        }
    }
    match record.kind() {
        Kind::Control => table.pair("kind", "control entry of the store itself").end(),
        Kind::Leaf => table.pair("kind", "only the leaf hash is kept: the event has expired or lives elsewhere").end(),
        Kind::Event => {}
    }
    out.table(table, &[])?;
    for (title, tag) in [("identity details", Tag::IDENTITY), ("details", Tag::CONTENT)] {
        if let Some(details) = record.value(tag).and_then(details_of) {
            out.line("")?;
            out.line(title)?;
            out.lines(&indented(details))?;
        }
    }
    if let Some(control) = record.control() {
        out.line("")?;
        out.lines(&indented(control))?;
    }
    if let Some((media_type, bytes)) = record.value(Tag::RAW).and_then(raw_parts) {
        out.line("")?;
        out.lines(&format!("raw, {} bytes of {}", bytes.len(), String::from_utf8_lossy(media_type)))?;
        out.lines(&String::from_utf8_lossy(bytes))?;
    }
    out.line("")?;
    out.line(&format!("leaf  {}", found.leaf))?;
    if record.kind() == Kind::Event {
        let mut groups = Table::new(["tag", "group", "form", "bytes", "commitment"]);
        for ((tag, body), hash) in record.groups().zip(&found.commitments) {
            let bytes = body.value().map_or_else(|| "-".to_owned(), |value| value.len().to_string());
            groups.row([tag.0.to_string().as_str(), tag.name(), form(&body), &bytes, &hash.to_string()]);
        }
        out.table(groups, &[0, 3])?;
    }
    Ok(())
}

fn head_rows(view: &View<'_>, table: &mut Table) {
    let head = view.head;
    table.pair("id", head.id.to_string()).pair("time", time::format(head.time)).pair("received", time::format(head.received));
    table.pair("action", head.action).pair("outcome", head.outcome.name());
    table.pair("severity", head.severity.name()).pair("class", head.class.name());
    table.pair("tenant", format!("{} (its number {})", head.tenant, head.tenant_seq));
    if !head.source.is_empty() {
        table.pair("source", head.source);
    }
    if let Some(producer) = head.producer {
        table.pair("producer", format!("{} epoch {} seq {}", producer.id, producer.epoch, producer.seq));
    }
    if let Some(trace) = head.trace {
        table.pair("trace", format!("{} span {}", hex(&trace.trace_id), hex(&trace.span_id)));
    }
    let frameworks: Vec<&str> = head.frameworks().collect();
    if !frameworks.is_empty() {
        table.pair("frameworks", frameworks.join(", "));
    }
    if head.weight != 1 {
        table.pair("weight", head.weight.to_string());
    }
}

/// The short members of identity or content; details come later, as a block of their own.
fn body_rows(body: &[u8], groups: &[&str], table: &mut Table) {
    for member in walk::members(body).map_while(|member| member.ok()).filter(|member| member.key != b"details") {
        let key = String::from_utf8_lossy(member.key).into_owned();
        let value = body.get(member.value.clone()).unwrap_or_default();
        if groups.contains(&key.as_str()) {
            for inner in walk::members(value).map_while(|inner| inner.ok()) {
                let text = value.get(inner.value.clone()).unwrap_or_default();
                table.pair(&format!("{key}.{}", String::from_utf8_lossy(inner.key)), plain(text));
            }
        } else if key == "targets" {
            for target in walk::elements(value).map_while(|target| target.ok()) {
                table.pair("target", target_text(value.get(target.value).unwrap_or_default()));
            }
        } else {
            table.pair(&key, plain(value));
        }
    }
}

/// `type:id (name)`.
fn target_text(target: &[u8]) -> String {
    let member = |key: &[u8]| {
        let found = walk::members(target).map_while(|member| member.ok()).find(|member| member.key == key)?;
        target.get(found.value).map(plain)
    };
    let (kind, id, name) = (member(b"type"), member(b"id"), member(b"name"));
    let place = [kind, id].into_iter().flatten().collect::<Vec<_>>().join(":");
    match name {
        Some(name) if place.is_empty() => name,
        Some(name) => format!("{place} ({name})"),
        None => place,
    }
}

/// A JSON string as its text, anything else as its JSON.
fn plain(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => unescape(inside).into_owned(),
        None => text.into_owned(),
    }
}

fn details_of(body: &[u8]) -> Option<&[u8]> {
    let member = walk::members(body).map_while(|member| member.ok()).find(|member| member.key == b"details")?;
    body.get(member.value)
}

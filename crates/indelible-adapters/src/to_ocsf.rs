//! One event as an OCSF 1.8 event: the way back of `ocsf`.
//!
//! Class and activity come from the action, see `to_ocsf_classes`. An event that came as OCSF goes out as it came. Of any other, what OCSF
//! has a place for is put there, and the rest stands under `unmapped`, details included. Nothing is made up: an attribute that OCSF
//! requires is left out where the event has nothing for it.
//!
//! Importing the result again gives the same actor, outcome, severity and time to the nanosecond, and an action of the same class.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{Kind, walk, write_string};
use indelible_format::record::Body;
use indelible_format::{Field, Head, Outcome, Record, Severity, Tag};

use crate::ocsf_names::activity_name;
use crate::split;
use crate::to_json::{key, number, raw_parts, text, time, write_counts, write_frameworks, write_id, write_number};
use crate::to_ocsf_classes::{Class, Shape};

const VERSION: &str = "1.8.0";

/// Appends the event at position `seq` of the log named `log` as one OCSF event without white space.
///
/// **Cost**: one copy and a pass over the event; nothing is allocated, except for a raw record that is no text.
pub fn write_ocsf(out: &mut Vec<u8>, log: &str, seq: u64, record: &Record<'_>, head: &Head<'_>) {
    if head.source == "ocsf" && write_as_it_came(out, record) {
        return;
    }
    let shape = Shape::of(head.action);
    write_metadata(out, log, seq, head, &shape);
    write_kind(out, head, &shape);
    write_people(out, record, shape.class);
    write_things(out, record, head, shape.class);
    write_unmapped(out, record, head, shape.class);
    out.push(b'}');
}

/// The two parts merged, if they are an OCSF event and whole.
fn write_as_it_came(out: &mut Vec<u8>, record: &Record<'_>) -> bool {
    let before = out.len();
    let withheld = record.groups().any(|(_, body)| matches!(body, Body::Withheld(_)));
    let (identity, content) = (record.field(Field::IdentityDetails), record.field(Field::Details));
    if withheld || content.is_none_or(|content| split::merge(identity, content, out).is_err()) {
        return false;
    }
    let came = out.get(before..).unwrap_or_default();
    let is_ocsf = walk::members(came).map_while(Result::ok).any(|member| member.key == b"class_uid");
    if !is_ocsf {
        out.truncate(before);
    }
    is_ocsf
}

fn write_metadata(out: &mut Vec<u8>, log: &str, seq: u64, head: &Head<'_>, shape: &Shape<'_>) {
    out.extend_from_slice(b"{\"metadata\":{\"version\":");
    write_string(out, VERSION);
    key(out, "product");
    out.extend_from_slice(b"{\"name\":\"Indelible\",\"vendor_name\":\"Indelible\"");
    text(out, "version", env!("CARGO_PKG_VERSION"));
    out.push(b'}');
    key(out, "uid");
    write_id(out, &head.id);
    text(out, "event_code", head.action);
    text(out, "log_name", log);
    if !head.source.is_empty() {
        text(out, "log_provider", head.source);
    }
    number(out, "sequence", seq);
    text(out, "tenant_uid", head.tenant);
    milliseconds(out, "logged_time", head.received);
    time(out, "logged_time_dt", head.received);
    write_frameworks(out, "labels", head);
    key(out, "profiles");
    out.extend_from_slice(b"[\"datetime\"");
    if !shape.class.has_actor() {
        out.extend_from_slice(b",\"host\"");
    }
    if head.outcome == Outcome::Denied {
        out.extend_from_slice(b",\"security_control\"");
    }
    out.extend_from_slice(b"]}");
}

/// What kind of event it is, how it ended, how bad it is, and when it was.
fn write_kind(out: &mut Vec<u8>, head: &Head<'_>, shape: &Shape<'_>) {
    let Shape { class, activity, verb } = *shape;
    let uid = u64::from(class.uid());
    number(out, "category_uid", uid / 1000);
    text(out, "category_name", class.category());
    number(out, "class_uid", uid);
    text(out, "class_name", class.name());
    number(out, "activity_id", u64::from(activity));
    match activity_name(i64::from(class.uid()), i64::from(activity)) {
        Some(name) if activity != OTHER => title(out, "activity_name", name),
        _ => text(out, "activity_name", verb),
    }
    number(out, "type_uid", uid * 100 + u64::from(activity));
    number(out, "severity_id", u64::from(head.severity.byte()));
    text(out, "severity", severity_name(head.severity));
    let (status_id, status) = match head.outcome {
        Outcome::Unknown => (0, "Unknown"),
        Outcome::Success => (1, "Success"),
        Outcome::Failure | Outcome::Denied => (2, "Failure"),
        Outcome::Error => (u64::from(OTHER), "Error"),
    };
    number(out, "status_id", status_id);
    text(out, "status", status);
    if head.outcome == Outcome::Denied {
        out.extend_from_slice(b",\"action_id\":2,\"action\":\"Denied\",\"disposition_id\":2,\"disposition\":\"Blocked\"");
    }
    milliseconds(out, "time", head.time);
    time(out, "time_dt", head.time);
}

/// OCSF's number for what it has no number for.
pub(crate) const OTHER: u8 = 99;

const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
        Severity::Fatal => "Fatal",
    }
}

/// Who did it and from where.
fn write_people(out: &mut Vec<u8>, record: &Record<'_>, class: Class) {
    object(out, "actor", |actor| {
        actor.object("user", |user| write_user(user, record));
        actor.object("session", |session| {
            session.text("uid", record.field(Field::Session));
        });
    });
    if class == Class::Authentication {
        object(out, "user", |user| write_user(user, record));
    }
    let (ip, host) = (record.field(Field::OriginIp), record.field(Field::OriginHost));
    if class.has_endpoint() {
        object(out, "src_endpoint", |endpoint| {
            endpoint.text("ip", ip).text("hostname", host);
        });
    } else if ip.is_some() || host.is_some() {
        object(out, "device", |device| {
            device.number("type_id", 0).text("ip", ip).text("hostname", host);
        });
    }
    if class.has_request() {
        object(out, "http_request", |request| {
            request.text("user_agent", record.field(Field::OriginUserAgent));
        });
    }
}

fn write_user(user: &mut Nested<'_>, record: &Record<'_>) {
    let kind = record.field(Field::ActorType);
    user.text("uid", record.field(Field::ActorId)).text("name", record.field(Field::ActorName));
    user.text("email_addr", record.field(Field::ActorEmail)).text("type", kind);
    if let Some(kind) = kind {
        let known: [(u64, &[u8]); 3] = [(1, b"user"), (2, b"admin"), (3, b"system")];
        let known = known.into_iter().find(|(_, word)| kind.eq_ignore_ascii_case(word));
        user.number("type_id", known.map_or(u64::from(OTHER), |(id, _)| id));
    }
}

/// What it was done to.
fn write_things(out: &mut Vec<u8>, record: &Record<'_>, head: &Head<'_>, class: Class) {
    if class == Class::ApiActivity {
        let (noun, operation) = head.action.split_once('.').unwrap_or(("", head.action));
        key(out, "api");
        out.extend_from_slice(b"{\"operation\":");
        write_string(out, operation);
        key(out, "service");
        out.extend_from_slice(b"{\"name\":");
        write_string(out, noun);
        out.extend_from_slice(b"}}");
    }
    if class == Class::DetectionFinding {
        key(out, "finding_info");
        out.extend_from_slice(b"{\"uid\":");
        write_id(out, &head.id);
        text(out, "title", head.action);
        out.push(b'}');
    }
    if class == Class::Authentication && !head.source.is_empty() {
        key(out, "service");
        out.extend_from_slice(b"{\"name\":");
        write_string(out, head.source);
        out.push(b'}');
    }
    if let Some((name, members)) = class.first_target()
        && let Some(target) = Targets::of(record).next()
    {
        object(out, name, |object| {
            for (key, part) in members {
                object.text(key, target.part(*part));
            }
            if class == Class::FileSystemActivity {
                object.number("type_id", 0);
            }
        });
    }
    if class.has_resources() {
        let mut separator = b'[';
        for target in Targets::of(record) {
            if separator == b'[' {
                key(out, "resources");
            }
            out.push(separator);
            separator = b',';
            let mut resource = Nested { out, separator: b'{' };
            resource.text("type", target.kind).text("uid", target.id).text("name", target.name);
            let empty = resource.separator == b'{';
            out.extend_from_slice(if empty { b"{}" } else { b"}" });
        }
        if separator == b',' {
            out.push(b']');
        }
    }
}

/// What OCSF has no place for.
fn write_unmapped(out: &mut Vec<u8>, record: &Record<'_>, head: &Head<'_>, class: Class) {
    let raw = raw_parts(record);
    if let Some(raw) = raw.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()) {
        text(out, "raw_data", raw);
    }
    key(out, "unmapped");
    out.extend_from_slice(b"{\"class\":");
    write_string(out, head.class.name());
    number(out, "tenant_seq", head.tenant_seq);
    write_counts(out, head.producer, head.trace);
    if head.weight != 1 {
        number(out, "weight", head.weight);
    }
    if !class.has_request()
        && let Some(user_agent) = record.field(Field::OriginUserAgent)
    {
        escaped(out, "user_agent", user_agent);
    }
    if !class.has_resources()
        && let Some(targets) = targets_json(record)
    {
        key(out, "targets");
        out.extend_from_slice(targets);
    }
    // Apart, as they are stored: whoever imports this can still erase who without erasing what.
    for (name, field) in [("identity_details", Field::IdentityDetails), ("details", Field::Details)] {
        if let Some(details) = record.field(field) {
            key(out, name);
            out.extend_from_slice(details);
        }
    }
    if let Some((media_type, bytes)) = raw {
        text(out, "raw_media_type", &String::from_utf8_lossy(media_type));
        if std::str::from_utf8(bytes).is_err() {
            text(out, "raw_base64", &STANDARD.encode(bytes));
        }
    }
    for (tag, _) in record.groups().filter(|(_, body)| matches!(body, Body::Withheld(_))) {
        key(out, "withheld_");
        // The key goes on with the group's name.
        out.truncate(out.len() - 2);
        out.extend_from_slice(tag.name().as_bytes());
        out.extend_from_slice(b"\":true");
    }
    out.push(b'}');
}

/// An object that is not there at all if nothing is put into it.
struct Nested<'o> {
    out: &'o mut Vec<u8>,
    /// What goes before the next member: the bracket, while there is none.
    separator: u8,
}

/// Writes the member `name` of the event, unless `fill` leaves it empty.
fn object(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Nested<'_>)) {
    Nested { out, separator: b',' }.object(name, fill);
}

impl Nested<'_> {
    /// An object in this one.
    fn object(&mut self, name: &str, fill: impl FnOnce(&mut Nested<'_>)) {
        let (before, separator) = (self.out.len(), self.separator);
        self.key(name);
        let mut inner = Nested { out: self.out, separator: b'{' };
        fill(&mut inner);
        if inner.separator == b'{' {
            self.out.truncate(before);
            self.separator = separator;
        } else {
            self.out.push(b'}');
        }
    }

    fn key(&mut self, name: &str) {
        self.out.push(self.separator);
        self.separator = b',';
        write_string(self.out, name);
        self.out.push(b':');
    }

    /// The text, if it is there; it is the inside of a JSON string.
    fn text(&mut self, name: &str, inside: Option<&[u8]>) -> &mut Self {
        if let Some(inside) = inside {
            self.key(name);
            self.out.push(b'"');
            self.out.extend_from_slice(inside);
            self.out.push(b'"');
        }
        self
    }

    fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.key(name);
        write_number(self.out, number);
        self
    }
}

/// One target: the insides of JSON strings.
#[derive(Clone, Copy, Default)]
pub(crate) struct Target<'r> {
    kind: Option<&'r [u8]>,
    id: Option<&'r [u8]>,
    name: Option<&'r [u8]>,
}

/// What of a target stands in an attribute.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Kind,
    Id,
    Name,
    /// Its name, or its id.
    NameOrId,
}

impl<'r> Target<'r> {
    const fn part(&self, part: Part) -> Option<&'r [u8]> {
        match part {
            Part::Kind => self.kind,
            Part::Id => self.id,
            Part::Name => self.name,
            Part::NameOrId if self.name.is_some() => self.name,
            Part::NameOrId => self.id,
        }
    }
}

/// The targets in order.
struct Targets<'r> {
    json: &'r [u8],
    elements: walk::Elements<'r>,
}

impl<'r> Targets<'r> {
    fn of(record: &Record<'r>) -> Self {
        let json = targets_json(record).unwrap_or(b"[]");
        Self { json, elements: walk::elements(json) }
    }
}

impl<'r> Iterator for Targets<'r> {
    type Item = Target<'r>;

    fn next(&mut self) -> Option<Target<'r>> {
        let object = self.json.get(self.elements.next()?.ok()?.value)?;
        let mut target = Target::default();
        for member in walk::members(object).map_while(Result::ok).filter(|member| member.kind == Kind::String) {
            let inside = object.get(member.value.start + 1..member.value.end.saturating_sub(1));
            match member.key {
                b"type" => target.kind = inside,
                b"id" => target.id = inside,
                b"name" => target.name = inside,
                _ => {}
            }
        }
        Some(target)
    }
}

fn targets_json<'r>(record: &Record<'r>) -> Option<&'r [u8]> {
    // Without a span there is no target, and no need to walk the content.
    record.span_offsets().find(|(field, ..)| *field == Field::Target)?;
    let content = record.value(Tag::CONTENT)?;
    let member = walk::members(content).map_while(Result::ok).find(|member| member.key == b"targets")?;
    content.get(member.value)
}

/// A member whose value is the inside of a JSON string already.
fn escaped(out: &mut Vec<u8>, name: &str, inside: &[u8]) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(inside);
    out.push(b'"');
}

fn milliseconds(out: &mut Vec<u8>, name: &str, ns: i64) {
    key(out, name);
    let milliseconds = ns.div_euclid(1_000_000);
    if milliseconds < 0 {
        out.push(b'-');
    }
    write_number(out, milliseconds.unsigned_abs());
}

/// `password_change` as `Password Change`.
fn title(out: &mut Vec<u8>, name: &str, words: &str) {
    key(out, name);
    out.push(b'"');
    let mut first = true;
    for byte in words.bytes() {
        out.push(match byte {
            b'_' => b' ',
            _ if first => byte.to_ascii_uppercase(),
            _ => byte,
        });
        first = byte == b'_';
    }
    out.push(b'"');
}

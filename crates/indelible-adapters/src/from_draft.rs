//! A draft as the JSON that is posted to a server: [`read_event`](crate::read_event) makes the same draft of it again.
//!
//! The draft is encoded first, as the store itself would do it. So what no store would take is refused here, by the same words,
//! and every text, number and key order is the store's own: what comes out of a log is the same, whichever way it went in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{self, walk, write_string};
use indelible_format::{Class, Draft, Outcome, Record, Rejection, Stamp, Tag, encode, limits};

use crate::to_json::{key, number, text, time, write_counts};

/// What checking a group's JSON may cost.
const GROUP_LIMITS: json::Limits =
    json::Limits { bytes_max: limits::CONTENT_BYTES_MAX, depth_max: limits::DEPTH_MAX + 2, nodes_max: 1_000_000 };

/// Why a draft became no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// No store would take it.
    #[error("the event was refused")]
    Rejected(#[from] Rejection),
    /// What the draft gives as canonical JSON is not.
    #[error("the event's {0} is not the canonical JSON that it is said to be")]
    NotCanonical(&'static str),
}

/// Appends `draft` as one JSON object without white space or line ends; gives the class it has. `memory` is to be used again.
///
/// Everything that the draft says survives. (Only details that are nothing but JSON `null` are left out: an event as it is posted
/// cannot say that.)
///
/// ```
/// use indelible_adapters::{read_event, write_draft};
/// use indelible_format::{Draft, json::Document};
/// let mut line = Vec::new();
/// write_draft(&mut line, &Draft::new("user.login").actor("alice").detail("attempt", 3), &mut Vec::new())?;
/// assert_eq!(line, br#"{"action":"user.login","actor":{"id":"alice"},"details":{"attempt":3}}"#);
/// read_event(&mut Document::new(), &line, "")?.with_draft(|draft| assert_eq!(draft.actor.id, Some("alice")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DraftError`]; nothing is appended.
///
/// # Cost
/// Encoding it, and a copy; one more pass over details that are given as JSON.
pub fn write_draft(out: &mut Vec<u8>, draft: &Draft<'_>, memory: &mut Vec<u8>) -> Result<Class, DraftError> {
    let stamp = Stamp { received: 0, uuid: [0; 16], producer: None, tenant: "default", log: 1 };
    let encoded = encode(draft, &stamp, memory)?;
    let record = memory.get(..encoded.bytes).and_then(Record::parse).ok_or(DraftError::NotCanonical("record"))?;
    for (tag, what) in [(Tag::IDENTITY, "identity"), (Tag::CONTENT, "content")] {
        if record.value(tag).is_some_and(|group| !json::is_canonical(group, &GROUP_LIMITS)) {
            return Err(DraftError::NotCanonical(what));
        }
    }
    out.extend_from_slice(b"{\"action\":");
    write_string(out, draft.action.name());
    write_head(out, draft);
    for (tag, details) in [(Tag::IDENTITY, "identity_details"), (Tag::CONTENT, "details")] {
        write_members(out, record.value(tag).unwrap_or_default(), details);
    }
    if let Some(raw) = &draft.raw {
        key(out, "raw");
        out.extend_from_slice(b"{\"media_type\":");
        write_string(out, raw.media_type);
        match std::str::from_utf8(raw.bytes) {
            Ok(told) => text(out, "text", told),
            Err(_) => text(out, "base64", &STANDARD.encode(raw.bytes)),
        }
        out.push(b'}');
    }
    if let Some(told) = draft.idempotency_key {
        text(out, "idempotency_key", told);
    }
    out.push(b'}');
    Ok(encoded.class)
}

fn write_head(out: &mut Vec<u8>, draft: &Draft<'_>) {
    if draft.outcome != Outcome::Unknown {
        text(out, "outcome", draft.outcome.name());
    }
    let words = [
        ("severity", draft.severity.map(|severity| severity.name())),
        ("class", draft.class.map(|class| class.name())),
        ("id", draft.id),
        ("tenant", draft.tenant),
        ("source", Some(draft.source).filter(|source| !source.is_empty())),
    ];
    for (name, told) in words {
        if let Some(told) = told {
            text(out, name, told);
        }
    }
    if let Some(ns) = draft.time {
        time(out, "time", ns);
    }
    write_counts(out, draft.producer, draft.trace);
    for (nth, framework) in draft.frameworks.iter().enumerate() {
        if nth == 0 {
            key(out, "frameworks");
        }
        out.push(if nth == 0 { b'[' } else { b',' });
        write_string(out, framework);
    }
    if !draft.frameworks.is_empty() {
        out.push(b']');
    }
    if draft.weight != 1 {
        number(out, "weight", draft.weight);
    }
}

/// The members of a group as they are, its details under a name of their own: both groups have some.
fn write_members(out: &mut Vec<u8>, group: &[u8], details: &str) {
    for member in walk::members(group).map_while(Result::ok) {
        let value = group.get(member.value).unwrap_or_default();
        match member.key {
            b"details" if value == b"null" => {}
            b"details" => {
                key(out, details);
                out.extend_from_slice(value);
            }
            name => {
                key(out, std::str::from_utf8(name).unwrap_or_default());
                out.extend_from_slice(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use indelible_format::draft::{Canonical, Raw, Value};
    use indelible_format::json::Document;
    use indelible_format::{Producer, Severity, Trace};
    use proptest::prelude::*;

    use super::*;
    use crate::read_event;

    /// The record that a store makes of a draft.
    fn record(draft: &Draft<'_>) -> Vec<u8> {
        let stamp = Stamp { received: 7, uuid: [9; 16], producer: None, tenant: "default", log: 1 };
        let mut memory = Vec::new();
        let encoded = encode(draft, &stamp, &mut memory).unwrap();
        memory.truncate(encoded.bytes);
        memory
    }

    #[track_caller]
    fn survives(draft: &Draft<'_>) {
        let mut line = b"before".to_vec();
        let class = write_draft(&mut line, draft, &mut Vec::new()).unwrap();
        assert_eq!(class, draft.effective_class());
        assert!(!line.contains(&b'\n'), "a line end would end the event");
        let line = line.strip_prefix(b"before").unwrap();
        let event = read_event(&mut Document::new(), line, "").unwrap_or_else(|error| panic!("{error}"));
        event.with_draft(|read| {
            // What has no bytes of its own in a record is compared apart.
            assert_eq!(
                (read.id, read.tenant, read.time, read.idempotency_key),
                (draft.id, draft.tenant, draft.time, draft.idempotency_key)
            );
            assert_eq!(
                (read.class, read.severity, read.producer, read.raw),
                (draft.class, draft.severity, draft.producer, draft.raw)
            );
            assert_eq!(record(&read), record(draft));
        });
    }

    const HOSTILE: &str = "a\"b\\c\n\r\u{0}\u{1b}[31m\u{2028}\u{7f}é😀,\"action\":\"x\"}";

    #[test]
    fn every_member_survives() {
        let whole = Draft::new("invoice.approve")
            .outcome(Outcome::Denied)
            .severity(Severity::Fatal)
            .class(Class::Telemetry)
            .id(HOSTILE)
            .time_ns(-1)
            .tenant("acme")
            .source("erp")
            .producer(Producer { id: HOSTILE, epoch: u64::MAX, seq: 0 })
            .trace(Trace { trace_id: [0xab; 16], span_id: [0; 8] })
            .frameworks(&["sox", "h\"ipaa"])
            .weight(u64::MAX)
            .actor("")
            .actor_type("user")
            .actor_name(HOSTILE)
            .actor_email("a@example.org")
            .session(HOSTILE)
            .ip("203.0.113.9")
            .user_agent(HOSTILE)
            .host("web")
            .identity_details(Canonical::trusted(br#"{"a":[1e400,9007199254740993]}"#))
            .target("repo", "42")
            .target("", HOSTILE)
            .target("third", "spills")
            .detail("z", i64::MIN)
            .detail("a", u64::MAX)
            .detail("f", 1.0e-7)
            .detail("n", Value::Null)
            .detail("b", true)
            .detail(HOSTILE, HOSTILE)
            .detail("j", Canonical::trusted(br#"[{"x":1.0}]"#))
            .raw(Raw { media_type: "application/x", bytes: &[0, 255, b'\n'] })
            .idempotency_key(HOSTILE);
        survives(&whole);
        survives(
            &whole.details_json(Canonical::trusted(b"[1,2]")).raw(Raw { media_type: "text/plain", bytes: HOSTILE.as_bytes() }),
        );
        survives(&Draft::new("a.b"));
        survives(&Draft::new("a.b").id("018f3f6e-0000-7000-8000-000000000000"));
    }

    #[test]
    fn what_no_store_takes_is_refused_and_what_is_no_json_cannot_pass_for_an_event() {
        let mut out = Vec::new();
        let mut written = |draft: &Draft<'_>| write_draft(&mut out, draft, &mut Vec::new()).map(drop);
        assert_eq!(written(&Draft::new("nonsense")), Err(DraftError::Rejected(Rejection::Action)));
        assert_eq!(written(&Draft::new("a.b").detail("n", f64::NAN)), Err(DraftError::Rejected(Rejection::NotFinite)));
        for hostile in
            [&b"1}\n{\"action\":\"user.delete\"}"[..], b"1,\"actor\":{\"id\":\"mallory\"}", b"{", b"", b"{\"b\":1,\"a\":2}"]
        {
            let draft = Draft::new("a.b").details_json(Canonical::trusted(hostile));
            assert_eq!(written(&draft), Err(DraftError::NotCanonical("content")), "{}", String::from_utf8_lossy(hostile));
            let draft = Draft::new("a.b").identity_details(Canonical::trusted(hostile));
            assert_eq!(written(&draft), Err(DraftError::NotCanonical("identity")));
        }
        assert_eq!(out, b"");
    }

    proptest! {
        #[test]
        fn any_draft_survives(
            texts in prop::collection::vec(prop::option::of(".{0,20}"), 10),
            details in prop::collection::btree_map(".{0,8}", -1.0e300_f64..1.0e300, 0..12),
            targets in prop::collection::vec((".{0,4}", ".{0,4}"), 0..4),
            time: Option<i64>,
            weight in 1_u64..,
            raw in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let text = |nth: usize| texts[nth].as_deref();
            let mut draft = Draft::new("a.b").weight(weight);
            draft.time = time;
            draft.actor.id = text(0);
            draft.actor.name = text(1);
            draft.actor.email = text(2);
            draft.session = text(3);
            draft.origin.ip = text(4);
            draft.origin.host = text(5);
            draft.tenant = text(6).filter(|text| !text.is_empty());
            draft.id = text(7).filter(|text| !text.is_empty());
            draft.idempotency_key = text(8).filter(|text| !text.is_empty());
            draft.actor.kind = text(9);
            for (key, number) in &details {
                draft = draft.detail(key, *number);
            }
            for (kind, id) in &targets {
                draft = draft.target(kind, id);
            }
            draft.raw = raw.as_deref().map(|bytes| Raw { media_type: "text/plain", bytes });
            survives(&draft);
        }
    }
}

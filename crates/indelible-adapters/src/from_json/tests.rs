//! What is posted becomes the draft that says it; what is wrong is named by its place.

use indelible_format::draft::Details;
use indelible_format::{Class, Draft, Outcome, Severity};

use super::*;

const WHOLE: &str = r#"{"action":"invoice.approve","outcome":"denied","severity":"high","class":"critical","id":"e-1",
    "time":"2026-01-31T12:00:00.000000001+02:00","tenant":"acme","source":"erp","producer":{"id":"web-1","epoch":3,"seq":42},
    "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","frameworks":["sox","hipaa"],"weight":5,
    "actor":{"id":"al\"ice","type":"user","name":"Älice","email":"a@example.org"},"session":"s-7",
    "origin":{"ip":"203.0.113.9","user_agent":"curl","host":"web"},
    "targets":[{"type":"invoice","id":"17"},{"name":"the second"}],
    "details":{"z": 1.0, "a": [1e400, null]},"raw":{"media_type":"text/plain","base64":"AP8="},"idempotency_key":"k"}"#;

fn error(event: &str) -> (String, &'static str) {
    let error = read_event(&mut Document::new(), event.as_bytes(), "").expect_err(event);
    assert!(!error.message.is_empty());
    (error.pointer, error.code)
}

#[test]
fn every_member_arrives_as_it_was_said() {
    let mut document = Document::new();
    // Twice, as memory is kept from one to the next.
    for _ in 0..2 {
        read_event(&mut document, WHOLE.as_bytes(), "").unwrap().with_draft(|draft| {
            assert_eq!((draft.action.name(), draft.outcome), ("invoice.approve", Outcome::Denied));
            assert_eq!((draft.severity, draft.class), (Some(Severity::High), Some(Class::Critical)));
            assert_eq!((draft.id, draft.tenant, draft.source), (Some("e-1"), Some("acme"), "erp"));
            assert_eq!(draft.time, Some(1_769_853_600_000_000_001));
            let producer = draft.producer.unwrap();
            assert_eq!((producer.id, producer.epoch, producer.seq), ("web-1", 3, 42));
            assert_eq!(draft.trace.unwrap().span_id[1], 0xf0);
            assert_eq!((draft.frameworks, draft.weight), (&["sox", "hipaa"][..], 5));
            assert_eq!((draft.actor.id, draft.actor.name), (Some("al\"ice"), Some("Älice")));
            assert_eq!((draft.session, draft.origin.host), (Some("s-7"), Some("web")));
            assert_eq!((draft.targets.len(), draft.targets[1].name), (2, Some("the second")));
            let Details::Json(details) = &draft.details else { panic!("details are JSON") };
            assert_eq!(details.bytes(), br#"{"a":[1e400,null],"z":1.0}"#);
            assert_eq!(draft.raw.map(|raw| (raw.media_type, raw.bytes)), Some(("text/plain", &[0, 255][..])));
            assert_eq!(draft.idempotency_key, Some("k"));
        });
    }
}

#[test]
fn null_is_as_good_as_nothing() {
    let event =
        br#"{"action":"a.b","outcome":null,"actor":null,"targets":null,"details":null,"raw":null,"time":null,"weight":null}"#;
    let event = read_event(&mut Document::new(), event, "").unwrap();
    assert!(event.with_draft(|draft| draft == Draft::new("a.b")));
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    for (event, pointer, code) in [
        ("{}", "/action", "missing"),
        ("[]", "", "type"),
        (r#"{"action":7}"#, "/action", "type"),
        (r#"{"action":"a.b","outcome":"maybe"}"#, "/outcome", "unknown_word"),
        (r#"{"action":"a.b","actor":"alice"}"#, "/actor", "type"),
        (r#"{"action":"a.b","actor":{"id":7}}"#, "/actor/id", "type"),
        (r#"{"action":"a.b","actor":{"a/b~":7}}"#, "/actor/a~1b~0", "unknown_member"),
        (r#"{"action":"a.b","targets":[{"id":"1"},{"kind":"2"}]}"#, "/targets/1/kind", "unknown_member"),
        (r#"{"action":"a.b","time":"2026-01-31T12:00:00"}"#, "/time", "time"),
        (r#"{"action":"a.b","time":"yesterday"}"#, "/time", "time"),
        (r#"{"action":"a.b","seq":1}"#, "/seq", "assigned"),
        (r#"{"action":"a.b","tenant_seq":1}"#, "/tenant_seq", "assigned"),
        (r#"{"action":"a.b","actr":{}}"#, "/actr", "unknown_member"),
        (r#"{"action":"a.b","weight":-1}"#, "/weight", "type"),
        (r#"{"action":"a.b","producer":{"id":"p","epoch":1,"seq":1,"more":1}}"#, "/producer", "type"),
        (r#"{"action":"a.b","raw":{"media_type":"x","text":"a","base64":"YQ=="}}"#, "/raw", "type"),
        (r#"{"action":"a.b","raw":{"media_type":"x","base64":"!"}}"#, "/raw", "base64"),
        (r#"{"action":"a.b","action":"a.c"}"#, "", "duplicate_key"),
    ] {
        assert_eq!(error(event), (pointer.to_owned(), code), "{event}");
    }
}

#[test]
fn a_list_is_read_one_by_one_and_errors_carry_their_place() {
    let mut seen = Vec::new();
    let list = br#"[{"action":"a.b"},{"action":"a.c","actor":{"x":1}},{"action":"a.d"}]"#;
    let read = read_events(&mut Document::new(), list, 1 << 20, &mut |event| {
        seen.push(event.map(|event| event.with_draft(|draft| draft.action.name().to_owned())).map_err(|error| error.pointer));
    });
    assert_eq!(read, Ok(()));
    assert_eq!(seen, [Ok("a.b".to_owned()), Err("/1/actor/x".to_owned()), Ok("a.d".to_owned())]);
}

//! Hostile input gets a clear error, or is kept as it is, and costs its neighbours nothing.

use indelible_adapters::{AdaptError, Adapter, Format};
use indelible_format::Draft;
use indelible_format::json::ErrorKind;
use indelible_format::limits;

use crate::support::{adapt_and_check, summary};

fn adapt(record: &[u8]) -> Result<Option<ErrorKind>, AdaptError> {
    adapt_and_check(&mut Adapter::new(None), record, |_| ()).map(|adapted| adapted.notes.opaque)
}

fn json_error(record: &[u8]) -> ErrorKind {
    match adapt(record) {
        Err(AdaptError::Json(error)) => error.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_reason() {
    assert_eq!(json_error("[".repeat(100_000).as_bytes()), ErrorKind::DepthExceeded);
    let nested = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    assert_eq!(json_error(nested.as_bytes()), ErrorKind::DepthExceeded);
    assert_eq!(json_error(b"{\"a\":\"\xff\"}"), ErrorKind::InvalidUtf8);
    assert_eq!(json_error(b"\xff\xfe{\x00}\x00"), ErrorKind::InvalidUtf8);
    for text in [&b"{\"a\":NaN}"[..], b"{\"a\":\"\0\"}", b"\0", b"{\"a\":1}\0", b"{'a':1}", b"{\"a\":01}"] {
        assert!(matches!(json_error(text), ErrorKind::Syntax | ErrorKind::TrailingData), "{text:?}");
    }
    assert_eq!(json_error(b"{\"a\":1"), ErrorKind::UnexpectedEnd);
    assert_eq!(json_error(b""), ErrorKind::Empty);
    let many = format!("[{}0]", "0,".repeat(1_100_000));
    assert_eq!(json_error(many.as_bytes()), ErrorKind::TooManyNodes);
}

#[test]
fn the_deepest_record_an_event_can_hold_is_kept() {
    // The record stands one level down in its group.
    let deepest = limits::DEPTH_MAX - 1;
    let record = "[".repeat(deepest) + &"]".repeat(deepest);
    assert_eq!(adapt(record.as_bytes()), Ok(None));
    let record = "[".repeat(deepest + 1) + &"]".repeat(deepest + 1);
    assert_eq!(json_error(record.as_bytes()), ErrorKind::DepthExceeded);
}

#[test]
fn numbers_are_kept_as_they_were_written() {
    for number in ["1e400", "-1e-400", "9007199254740993", "1.0", "-0", "0.1000", "123456789012345678901234567890"] {
        let record = format!(r#"{{"user":{{"n":{number}}},"z":{number}}}"#);
        adapt_and_check(&mut Adapter::new(None), record.as_bytes(), |draft| {
            let identity = draft.identity_details.unwrap();
            assert_eq!(std::str::from_utf8(identity.bytes()).unwrap(), format!(r#"{{"user":{{"n":{number}}}}}"#));
        })
        .unwrap();
    }
}

#[test]
fn what_readers_could_disagree_about_is_kept_byte_for_byte() {
    for (record, kind) in [
        (r#" {"user":"a", "user":"b"}"#, ErrorKind::DuplicateKey),
        (r#"{"user":"a","\u0075ser":"b","n":1e400}"#, ErrorKind::DuplicateKey),
        (r#"{"a":"\ud800"}"#, ErrorKind::LoneSurrogate),
        (r#"{"a":"\udc00\ud800"}"#, ErrorKind::LoneSurrogate),
    ] {
        let raw = |draft: &Draft<'_>| {
            assert_eq!(draft.action.name(), "record.opaque");
            let raw = draft.raw.unwrap();
            assert_eq!(raw.media_type, "application/json");
            assert!(draft.identity_details.is_none() && draft.targets.is_empty());
            raw.bytes.to_vec()
        };
        let adapted = adapt_and_check(&mut Adapter::new(None), record.as_bytes(), raw).unwrap();
        assert_eq!(adapted.result, record.as_bytes());
        assert_eq!(adapted.notes.opaque, Some(kind));
    }
    // A repeated key does not excuse what else is wrong.
    assert_eq!(json_error(br#"{"a":1,"a":2"#), ErrorKind::DuplicateKey);
    assert_eq!(json_error(br#"{"a":1,"a":2}}"#), ErrorKind::DuplicateKey);
    assert_eq!(json_error(br#"{"a":"\ud800",}"#), ErrorKind::LoneSurrogate);
    assert_eq!(json_error(b"{\"a\":1,\"a\":\"\xff\"}"), ErrorKind::DuplicateKey);
}

#[test]
fn what_does_not_fit_one_event_is_refused_by_part() {
    let long = "x".repeat(2 * 1024 * 1024);
    let part = |record: String| match adapt(record.as_bytes()) {
        Err(AdaptError::TooLarge { part, bytes, limit }) => {
            assert!(bytes > limit);
            part
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(part(format!(r#"{{"note":"{long}"}}"#)), "the content part");
    assert_eq!(part(format!(r#"{{"user":"{long}"}}"#)), "the identity part");
    assert_eq!(part(format!(r#"{{"a":1,"a":"{long}"}}"#)), "the whole");
    let whole = format!(r#"{{"a":"{}"}}"#, "x".repeat(5 * 1024 * 1024));
    assert_eq!(json_error(whole.as_bytes()), ErrorKind::TooLarge);
}

#[test]
fn the_largest_parts_with_the_longest_fields_still_fit_one_event() {
    // Eight mapped strings of the longest kind, in the worst spelling, beside as many details as may be.
    let control = "\u{1}".repeat(limits::STRING_BYTES_MAX / 6 - 1);
    let keys = ["user_id", "user", "email", "actor_type", "session_id", "user_agent", "host"];
    let mut record: serde_json::Map<String, serde_json::Value> =
        keys.iter().map(|key| ((*key).to_owned(), control.clone().into())).collect();
    for key in ["target_type", "target_id", "target_name", "resource", "object"] {
        record.insert(key.to_owned(), control.clone().into());
    }
    let targets: Vec<serde_json::Value> = vec![control.clone().into(); 100];
    record.insert("target".to_owned(), targets.into());
    record
        .insert("phone".to_owned(), "x".repeat(limits::IDENTITY_BYTES_MAX - 8 * limits::STRING_BYTES_MAX - 1024 - 58_000).into());
    let space = limits::DETAILS_BYTES_MAX - 100 * (control.len() * 6 + 3) - 6 * control.len() * 6;
    record.insert("note".to_owned(), "y".repeat(space.min(100_000)).into());
    let record = serde_json::to_vec(&record).unwrap();
    assert!(record.len() > 1_000_000);
    adapt_and_check(&mut Adapter::new(None), &record, |draft| assert!(draft.actor.id.is_some())).unwrap();
}

#[test]
fn a_text_too_long_for_its_field_stays_in_details() {
    let long = "x".repeat(limits::STRING_BYTES_MAX + 1);
    let record = format!(r#"{{"user":"{long}","ip":"::1","id":"{long}"}}"#);
    let adapted = adapt_and_check(&mut Adapter::new(None), record.as_bytes(), |draft| {
        assert_eq!((draft.actor.name, draft.origin.ip, draft.id), (None, Some("::1"), None));
    })
    .unwrap();
    assert!(adapted.notes.text_too_long);
}

#[test]
fn hostile_words_become_harmless_actions() {
    for word in ["", ".", "..", "a..b", "\u{202e}evil", "x\ny", "=cmd()", "日本"] {
        let record = format!(r#"{{"action":{}}}"#, serde_json::to_string(word).unwrap());
        let line = summary(None, &record);
        assert!(line.split(' ').next().unwrap().contains('.'), "{line}");
        let aws = format!(r#"{{"eventSource":{w},"eventName":{w}}}"#, w = serde_json::to_string(word).unwrap());
        summary(Some(Format::CloudTrail), &aws);
        let pods = format!(
            r#"{{"verb":{w},"objectRef":{{"resource":{w},"subresource":{w}}}}}"#,
            w = serde_json::to_string(word).unwrap()
        );
        summary(Some(Format::Kubernetes), &pods);
        let windows = format!(r#"{{"EventID":{w},"Channel":{w}}}"#, w = serde_json::to_string(word).unwrap());
        summary(Some(Format::Windows), &windows);
        let ocsf = format!(r#"{{"class_name":{w},"activity_name":{w}}}"#, w = serde_json::to_string(word).unwrap());
        summary(Some(Format::Ocsf), &ocsf);
    }
}

#[test]
fn a_value_that_is_no_object_is_content_whole() {
    for record in ["42", "null", r#""text""#, "[1,[2]]", " true "] {
        for format in Format::ALL {
            adapt_and_check(&mut Adapter::new(Some(*format)), record.as_bytes(), |draft| {
                assert!(draft.identity_details.is_none());
            })
            .unwrap();
        }
    }
}

#[test]
fn an_adapter_gives_back_the_memory_of_an_unusual_record() {
    let mut adapter = Adapter::new(None);
    let large = format!("[{}0]", "0,".repeat(500_000));
    let before = format!("{adapter:?}").len();
    adapter.adapt(large.as_bytes(), |_| ()).unwrap();
    let filled = format!("{adapter:?}").len();
    adapter.adapt(b"{}", |_| ()).unwrap();
    let after = format!("{adapter:?}").len();
    assert!(filled > 1_000_000 && after < before + 10_000, "{before} {filled} {after}");
}

//! What must not be stored is not in the record, and everything else is.

use std::io::Read as _;

use indelible_format::draft::Actor;
use indelible_format::{Stamp, Tag, encode, json, record, taxonomy};
use proptest::prelude::*;

use super::path::Segment;
use super::*;

const KEY: [u8; 32] = [7; 32];
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const CARD: &str = "4111111111111111";
const EMAIL: &str = "alice@example.com";

fn login() -> Draft<'static> {
    Draft::new(taxonomy::USER_LOGIN)
}

fn rules(paths: &[(&str, Redact)]) -> Redaction {
    paths.iter().fold(Redaction::new().pseudonym_key(KEY), |rules, (path, how)| rules.path(path, *how).unwrap())
}

fn all_detectors(how: Redact) -> Redaction {
    Detector::ALL.into_iter().fold(Redaction::new().pseudonym_key(KEY), |rules, detector| rules.detect(detector, how))
}

/// The record of the redacted draft, after checking that what is in it is canonical.
fn stored(rules: &Redaction, draft: &Draft<'_>) -> (Vec<u8>, RedactionCount) {
    let mut scratch = RedactScratch::default();
    let (draft, count) = rules.apply(draft, &mut scratch).unwrap();
    assert_eq!(matches!(draft, Cow::Borrowed(_)), count == RedactionCount::default(), "{count:?}");
    let stamp = Stamp { received: 1, uuid: [1; 16], producer: None, tenant: "t", log: 1 };
    let mut out = Vec::new();
    encode(&draft, &stamp, &mut out).unwrap();
    let record = indelible_format::Record::parse(&out).unwrap();
    for tag in [Tag::IDENTITY, Tag::CONTENT] {
        if let Some(body) = record.value(tag) {
            let limits = json::Limits::default();
            assert!(json::is_canonical(body, &limits), "{}", String::from_utf8_lossy(body));
        }
    }
    (out, count)
}

/// Identity and content of the redacted draft, as text.
fn bodies(rules: &Redaction, draft: &Draft<'_>) -> (String, String) {
    let (out, _) = stored(rules, draft);
    let record = record::Record::parse(&out).unwrap();
    let text = |tag| String::from_utf8(record.value(tag).unwrap_or_default().to_vec()).unwrap();
    (text(Tag::IDENTITY), text(Tag::CONTENT))
}

fn canonical(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::canonicalize(json.as_bytes(), &json::Limits::default(), &mut out).unwrap();
    out
}

/// `details` after redaction, without what is around it.
fn details(rules: &Redaction, json: &str) -> String {
    let json = canonical(json);
    let (_, content) = bodies(rules, &login().details_json(Canonical::trusted(&json)));
    content.strip_prefix("{\"details\":").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().to_owned()
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn every_place_can_be_named() {
    let texts = ["u-1", "user", "Alice", "a@b", "10.0.0.1", "curl", "host-1", "s-1", "t-1", "repo", "Repo"];
    let draft = login()
        .actor(texts[0])
        .actor_type(texts[1])
        .actor_name(texts[2])
        .actor_email(texts[3])
        .ip(texts[4])
        .user_agent(texts[5])
        .host(texts[6])
        .session(texts[7])
        .raw(Raw { media_type: "text/x-test", bytes: b"foreign record" });
    let mut draft = draft;
    draft.targets.push(Target { id: Some(texts[8]), kind: Some(texts[9]), name: Some(texts[10]) });
    let places = [
        "actor.id",
        "actor.type",
        "actor.name",
        "actor.email",
        "origin.ip",
        "origin.user_agent",
        "origin.host",
        "session",
        "target.id",
        "target.type",
        "target.name",
    ];
    for (place, text) in places.iter().zip(texts) {
        let quoted = format!("\"{text}\"");
        for (how, instead) in [
            (Redact::Mask, format!("\"{MASK}\"")),
            (Redact::Remove, String::new()),
            (Redact::Pseudonym, rules(&[]).pseudonym_of(text).unwrap()),
        ] {
            let rules = rules(&[(place, how)]);
            let (identity, content) = bodies(&rules, &draft);
            let both = identity + &content;
            assert!(!both.contains(&quoted) && both.contains(&instead), "{place}: {both}");
            // And nothing else went.
            assert!(texts.iter().filter(|other| **other != text).all(|other| both.contains(&format!("\"{other}\""))), "{both}");
        }
    }
    let raw = |how| {
        let (out, _) = stored(&rules(&[("raw", how)]), &draft);
        record::Record::parse(&out).unwrap().value(Tag::RAW).map(<[u8]>::to_vec)
    };
    assert_eq!(raw(Redact::Remove), None);
    assert_eq!(raw(Redact::Mask).unwrap(), b"\x0a\x00text/plain[redacted]");
    assert!(contains(&raw(Redact::Pseudonym).unwrap(), &rules(&[]).pseudonym_of("foreign record").unwrap()));
    assert_eq!(bodies(&rules(&[("actor.*", Redact::Remove), ("origin.*", Redact::Remove)]), &draft).0, "{\"session\":\"s-1\"}");
    assert_eq!(bodies(&rules(&[("target.*", Redact::Remove)]), &draft).1, "");
}

#[test]
fn a_path_that_names_no_place_is_refused_with_a_reason() {
    for (path, reason) in [
        ("", "no such place"),
        ("actor", "no such place"),
        ("actor.nickname", "no such place"),
        ("identity.details.x", "no such place"),
        ("**.password", "no such place"),
        ("tenant", "part of the head"),
        ("producer.id", "part of the head"),
        ("details.", "a segment is empty"),
        ("details..x", "a segment is empty"),
        ("details.pass*", "a star stands for a whole segment"),
        ("details.\"x", "a quote is not closed"),
        ("details.\"x\"y", "a dot must follow"),
    ] {
        let error = Redaction::new().path(path, Redact::Mask).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&format!("{path:?}")), "{error}");
    }
    let many = format!("details{}", ".x".repeat(65));
    assert!(Redaction::new().path(&many, Redact::Mask).is_err());
    let full = (0..1024).fold(Redaction::new(), |rules, _| rules.path("details.x", Redact::Mask).unwrap());
    assert!(full.path("details.x", Redact::Mask).is_err());
}

#[test]
fn paths_reach_into_details() {
    let json =
        r#"{"a":{"Password":"p1","x":1},"b":[{"password":"p2"},{"password":null}],"c.d":{"e":true},"password":"p3","z":"kept"}"#;
    for (path, how, expected) in [
        (
            "details.password",
            Redact::Mask,
            r#"{"a":{"Password":"p1","x":1},"b":[{"password":"p2"},{"password":null}],"c.d":{"e":true},"password":"[redacted]","z":"kept"}"#,
        ),
        (
            "details.*.password",
            Redact::Mask,
            r#"{"a":{"Password":"[redacted]","x":1},"b":[{"password":"[redacted]"},{"password":null}],"c.d":{"e":true},"password":"p3","z":"kept"}"#,
        ),
        ("details.**.password", Redact::Remove, r#"{"a":{"x":1},"b":[{},{}],"c.d":{"e":true},"z":"kept"}"#),
        (
            "details.b.0",
            Redact::Remove,
            r#"{"a":{"Password":"p1","x":1},"b":[{"password":null}],"c.d":{"e":true},"password":"p3","z":"kept"}"#,
        ),
        (
            "details.b.password",
            Redact::Mask,
            r#"{"a":{"Password":"p1","x":1},"b":[{"password":"[redacted]"},{"password":null}],"c.d":{"e":true},"password":"p3","z":"kept"}"#,
        ),
        (
            "details.a",
            Redact::Remove,
            r#"{"b":[{"password":"p2"},{"password":null}],"c.d":{"e":true},"password":"p3","z":"kept"}"#,
        ),
        (
            "details.c.d.e",
            Redact::Mask,
            r#"{"a":{"Password":"p1","x":1},"b":[{"password":"p2"},{"password":null}],"c.d":{"e":"[redacted]"},"password":"p3","z":"kept"}"#,
        ),
        (
            "details.\"c.d\".e",
            Redact::Remove,
            r#"{"a":{"Password":"p1","x":1},"b":[{"password":"p2"},{"password":null}],"c.d":{},"password":"p3","z":"kept"}"#,
        ),
        ("details.*", Redact::Remove, "{}"),
        ("details.**", Redact::Mask, "\"[redacted]\""),
        ("details", Redact::Mask, "\"[redacted]\""),
        ("details", Redact::Remove, ""),
        ("details.nothing.here", Redact::Mask, json),
    ] {
        assert_eq!(details(&rules(&[(path, how)]), json), expected, "{path}");
    }
}

#[test]
fn one_path_serves_pairs_json_in_pairs_and_both_halves_of_a_foreign_record() {
    let nested = canonical(r#"{"token":"t1","list":[{"token":"t2"}]}"#);
    let identity = canonical(r#"{"user":{"token":"t3"}}"#);
    let draft = login()
        .identity_details(Canonical::trusted(&identity))
        .detail("token", "t4")
        .detail("http.token", "t5")
        .detail("nested", Canonical::trusted(&nested))
        .detail("count", 3)
        .detail("none", Value::Null);
    let (identity, content) = bodies(&rules(&[("details.**.token", Redact::Mask)]), &draft);
    assert_eq!(identity, r#"{"details":{"user":{"token":"[redacted]"}}}"#);
    assert_eq!(
        content,
        r#"{"details":{"count":3,"http.token":"[redacted]","nested":{"list":[{"token":"[redacted]"}],"token":"[redacted]"},"none":null,"token":"[redacted]"}}"#
    );
    let (_, content) = bodies(&rules(&[("details.*", Redact::Remove)]), &draft);
    assert_eq!(content, "");
    let (_, content) = bodies(&rules(&[("details", Redact::Mask)]), &draft);
    assert_eq!(content, r#"{"details":"[redacted]"}"#);
    let all = rules(&[("details", Redact::Pseudonym)]);
    let (_, content) = bodies(&all, &draft);
    for value in ["t4", "t5", "3", std::str::from_utf8(&canonical(std::str::from_utf8(&nested).unwrap())).unwrap()] {
        assert!(content.contains(&all.pseudonym_of(value).unwrap()), "{value}: {content}");
    }
}

#[test]
fn equal_values_have_equal_pseudonyms_and_the_key_matters() {
    // HMAC-SHA-256(key, "indelible pseudonym v1\0alice@example.com"), first 16 bytes, reckoned by another implementation.
    let rules = rules(&[("actor.email", Redact::Pseudonym), ("details.**.mail", Redact::Pseudonym)])
        .detect(Detector::Emails, Redact::Pseudonym);
    let pseudonym = rules.pseudonym_of(EMAIL).unwrap();
    assert_eq!(pseudonym, "p-8b08361e7e0516f5e84bb3124e2d7afe");
    let json = canonical(r#"{"mail":"alice@example.com","text":"from alice@example.com!"}"#);
    let (identity, content) = bodies(&rules, &login().actor_email(EMAIL).details_json(Canonical::trusted(&json)));
    assert_eq!(identity, format!(r#"{{"actor":{{"email":"{pseudonym}"}}}}"#));
    assert_eq!(content, format!(r#"{{"details":{{"mail":"{pseudonym}","text":"from {pseudonym}!"}}}}"#));
    assert_ne!(rules.clone().pseudonym_key([8; 32]).pseudonym_of(EMAIL), Some(pseudonym.clone()));
    assert_ne!(rules.pseudonym_of("Alice@example.com"), Some(pseudonym));
    // Text and JSON of the same shape are the same value.
    let numbers = self::rules(&[("details.n", Redact::Pseudonym)]);
    assert_eq!(details(&numbers, r#"{"n":42}"#), details(&numbers, r#"{"n":"42"}"#));
}

#[test]
fn without_its_key_no_pseudonym_is_made_and_nothing_is_stored() {
    let rules = Redaction::new().path("actor.id", Redact::Pseudonym).unwrap();
    assert!(rules.needs_pseudonym_key() && rules.pseudonym_of("x").is_none());
    assert_eq!(rules.apply(&login().actor("a"), &mut RedactScratch::default()).unwrap_err(), RedactError::NoPseudonymKey);
    assert!(Redaction::new().path("details.x", Redact::Pseudonym).unwrap().needs_pseudonym_key());
    assert!(Redaction::new().detect(Detector::Emails, Redact::Pseudonym).needs_pseudonym_key());
    assert!(!Redaction::new().path("actor.id", Redact::Mask).unwrap().needs_pseudonym_key());
    let keyed = rules.pseudonym_key(KEY);
    assert!(!keyed.needs_pseudonym_key() && !format!("{keyed:?}").contains("7, 7"));
}

#[test]
fn the_earlier_rule_decides_and_a_place_before_a_detector() {
    let draft = login().actor_email(EMAIL);
    let first = rules(&[("actor.email", Redact::Mask), ("actor.*", Redact::Remove)]).detect(Detector::Emails, Redact::Pseudonym);
    assert_eq!(bodies(&first, &draft).0, r#"{"actor":{"email":"[redacted]"}}"#);
    let json = r#"{"a":{"b":"x"}}"#;
    assert_eq!(
        details(&rules(&[("details.**.b", Redact::Mask), ("details.a.b", Redact::Remove)]), json),
        r#"{"a":{"b":"[redacted]"}}"#
    );
    assert_eq!(details(&rules(&[("details.a.b", Redact::Remove), ("details.**.b", Redact::Mask)]), json), r#"{"a":{}}"#);
}

#[test]
fn detectors_hide_parts_of_texts_and_whole_named_secrets() {
    let mask = all_detectors(Redact::Mask);
    for (json, expected) in [
        (r#"{"text":"key AKIAIOSFODNN7EXAMPLE and alice@example.com"}"#, r#"{"text":"key [redacted] and [redacted]"}"#),
        (r#"{"url":"https://bob:hunter2@example.com/"}"#, r#"{"url":"https://bob:[redacted]/"}"#),
        (r#"{"line":"a\npassword=\"hunter 2\"\tb"}"#, r#"{"line":"a\npassword=\"[redacted]\"\tb"}"#),
        (r#"{"pan":4111111111111111,"n":4111111111111112}"#, r#"{"n":4111111111111112,"pan":"[redacted]"}"#),
        (
            r#"{"password":"hunter2","apiKey":12345,"token":{"x":1},"secret":null}"#,
            r#"{"apiKey":"[redacted]","password":"[redacted]","secret":null,"token":{"x":1}}"#,
        ),
        (
            r#"{"alice@example.com":1,"bob@example.com":2,"[redacted]-2":3,"z":4}"#,
            r#"{"[redacted]":1,"[redacted]-2":3,"[redacted]-3":2,"z":4}"#,
        ),
        (r#"["4111 1111 1111 1111",[["AKIAIOSFODNN7EXAMPLE"]]]"#, r#"["[redacted]",[["[redacted]"]]]"#),
        (r#""AKIAIOSFODNN7EXAMPLE""#, r#""[redacted]""#),
    ] {
        assert_eq!(details(&mask, json), expected);
        assert_eq!(details(&mask, expected), expected, "what is masked stays so");
    }
    let remove = all_detectors(Redact::Remove);
    assert_eq!(details(&remove, r#"{"password":"x","a":"k AKIAIOSFODNN7EXAMPLE."}"#), r#"{"a":"k ."}"#);
    let pairs = login()
        .detail("password", "hunter2")
        .detail("card", 4_111_111_111_111_111_u64)
        .detail(EMAIL, 4_111_111_111_111_111.0)
        .detail("n", 1);
    assert_eq!(
        bodies(&mask, &pairs).1,
        r#"{"details":{"[redacted]":"[redacted]","card":"[redacted]","n":1,"password":"[redacted]"}}"#
    );
    let (_, count) = stored(&mask, &pairs.actor_email(EMAIL).session("AKIAIOSFODNN7EXAMPLE"));
    assert_eq!(count, RedactionCount { paths: 0, secrets: 2, card_numbers: 2, emails: 2 });
    assert_eq!(count.total(), 6);
    // An e-mail address that is all there was is gone, not empty.
    assert_eq!(bodies(&remove, &login().actor_email(EMAIL).actor("a")).0, r#"{"actor":{"id":"a"}}"#);
}

#[test]
fn parts_that_overlap_go_together_in_the_strictest_way() {
    let json = r#"{"u":"x://a:pw@mail.example.com and b@c.de"}"#;
    for (emails, secrets, union) in
        [(Redact::Pseudonym, Redact::Mask, MASK), (Redact::Mask, Redact::Pseudonym, MASK), (Redact::Remove, Redact::Mask, "")]
    {
        let rules = Redaction::new().pseudonym_key(KEY).detect(Detector::Emails, emails).detect(Detector::Secrets, secrets);
        let alone = match emails {
            Redact::Pseudonym => rules.pseudonym_of("b@c.de").unwrap(),
            Redact::Mask => MASK.to_owned(),
            Redact::Remove => String::new(),
        };
        assert_eq!(details(&rules, json), format!(r#"{{"u":"x://a:{union} and {alone}"}}"#));
    }
}

#[test]
fn raw_records_are_all_or_nothing() {
    let (with, without) =
        (b"<34>Oct 11 su: password=hunter2 \xff".as_slice(), b"<34>Oct 11 su: 'su root' failed \xff".as_slice());
    let draft = |bytes| login().raw(Raw { media_type: "text/x-syslog", bytes });
    let raw = |rules: &Redaction, bytes| {
        let (out, _) = stored(rules, &draft(bytes));
        record::Record::parse(&out).unwrap().value(Tag::RAW).map(<[u8]>::to_vec)
    };
    assert_eq!(raw(&all_detectors(Redact::Mask), with).unwrap(), b"\x0a\x00text/plain[redacted]");
    assert_eq!(raw(&all_detectors(Redact::Remove), with), None);
    assert!(raw(&all_detectors(Redact::Mask), without).unwrap().ends_with(without));
}

#[test]
fn what_needs_nothing_is_handed_back_itself() {
    let json = canonical(r#"{"id":"550e8400-e29b-41d4-a716-446655440000","n":12345678901234567890,"path":"C:\\tmp"}"#);
    let draft = login().actor("alice").ip("10.0.0.1").target("repo", "42").details_json(Canonical::trusted(&json));
    for rules in [
        Redaction::new(),
        all_detectors(Redact::Mask),
        rules(&[("details.**.password", Redact::Mask), ("actor.email", Redact::Remove)]),
    ] {
        let mut scratch = RedactScratch::default();
        let (same, count) = rules.apply(&draft, &mut scratch).unwrap();
        assert!(matches!(same, Cow::Borrowed(same) if std::ptr::eq(same, &raw const draft)));
        assert_eq!(count, RedactionCount::default());
    }
}

#[test]
fn json_that_cannot_be_read_is_refused() {
    let rules = all_detectors(Redact::Mask).path("details.x", Redact::Mask).unwrap();
    let apply = |json: &[u8]| {
        let draft = login().details_json(Canonical::trusted(json));
        rules.apply(&draft, &mut RedactScratch::default()).map(|(_, count)| count)
    };
    for json in [
        b"".as_slice(),
        b"{",
        b"{\"x\":}",
        b"{\"a\":1}x",
        b"{\"a\" :1}",
        b"{\"\xff\":\"alice@example.com\"}",
        b"[\"\xff@a.bc\"]",
        b"nul",
    ] {
        assert!(matches!(apply(json), Err(RedactError::Malformed { field: "details", .. })), "{json:?}: {:?}", apply(json));
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(apply(deep(limits::DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(apply(deep(limits::DEPTH_MAX + 1).as_bytes()), Err(RedactError::TooDeep { field: "details" }));
    assert_eq!(apply(deep(500_000).as_bytes()), Err(RedactError::TooDeep { field: "details" }));
}

#[test]
fn escapes_that_nobody_needs_hide_nothing() {
    // Not canonical, so `verify` would complain; redaction still reads it as everybody else would.
    let rules = Redaction::new().detect(Detector::Secrets, Redact::Mask);
    for (json, expected) in [
        (br#"{"a":"\u0041KIAIOSFODNN7EXAMPLE"}"#.as_slice(), r#"{"a":"[redacted]"}"#),
        (br#"{"b":"https:\/\/u:hunter2@h"}"#, r#"{"b":"https://u:[redacted]@h"}"#),
        (br#"{"p\u0061ssword":"hunter2"}"#, r#"{"p\u0061ssword":"[redacted]"}"#),
    ] {
        let mut scratch = RedactScratch::default();
        let draft = login().details_json(Canonical::trusted(json));
        let (redacted, _) = rules.apply(&draft, &mut scratch).unwrap();
        let Details::Json(json) = &redacted.details else { panic!("JSON stays JSON") };
        assert_eq!(std::str::from_utf8(json.bytes()).unwrap(), expected);
    }
}

#[test]
fn hostile_details_cost_linear_time() {
    let rules = all_detectors(Redact::Mask).path("details.**.a.**.b.**.c", Redact::Mask).unwrap();
    let keys: String = (0..30_000).map(|nth| format!(",\"k{nth}@a.bc\":0")).collect();
    let dots = format!("{{\"{}\":1,\"x@a.bc\":1}}", "a.".repeat(500_000));
    let nested = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    for json in [
        format!("{{{}}}", &keys[1..]),
        dots,
        format!("[{}\"x@a.bc\"]", format!("{nested},").repeat(1000)),
        format!("[{}\"x@a.bc\"]", "[],".repeat(300_000)),
    ] {
        let json = canonical(&json);
        let draft = login().details_json(Canonical::trusted(&json));
        let started = std::time::Instant::now();
        let mut scratch = RedactScratch::default();
        let (_, count) = rules.apply(&draft, &mut scratch).unwrap();
        assert!(count.emails > 0);
        assert!(started.elapsed().as_millis() < 3000, "{:?} for {} bytes", started.elapsed(), json.len());
    }
}

/// A JSON value whose texts are all different, and the plain twin of the path rules on it.
#[derive(Debug, Clone)]
enum Tree {
    Text(u32),
    Null,
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Tree {
    fn write(&self, out: &mut String) {
        match self {
            Self::Text(number) => out.push_str(&format!("\"text {number}\"")),
            Self::Null => out.push_str("null"),
            Self::Object(members) => {
                out.push('{');
                for (nth, (key, value)) in members.iter().enumerate() {
                    out.push_str(if nth > 0 { ",\"" } else { "\"" });
                    out.push_str(key);
                    out.push_str("\":");
                    value.write(out);
                }
                out.push('}');
            }
            Self::Array(elements) => {
                out.push('[');
                for (nth, value) in elements.iter().enumerate() {
                    out.push_str(if nth > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
        }
    }

    /// `None` when it is removed.
    fn redacted(&self, segments: &[Segment], how: Redact, at: &mut Vec<Step>) -> Option<Self> {
        if fits(segments, at) {
            return match (how, self) {
                (Redact::Remove, _) => None,
                (_, Self::Null) => Some(Self::Null),
                _ => Some(Self::Text(u32::MAX)),
            };
        }
        let mut child = |step, value: &Self| {
            at.push(step);
            let redacted = value.redacted(segments, how, at);
            at.pop();
            redacted
        };
        Some(match self {
            Self::Object(members) => {
                let members =
                    members.iter().filter_map(|(key, value)| Some((key.clone(), child(Step::Key(key.clone()), value)?)));
                Self::Object(members.collect())
            }
            Self::Array(elements) => {
                Self::Array(elements.iter().enumerate().filter_map(|(nth, value)| child(Step::Index(nth), value)).collect())
            }
            other => other.clone(),
        })
    }
}

/// Whether the rule fits the value at `steps` or one around it.
fn fits(segments: &[Segment], steps: &[Step]) -> bool {
    let Some((segment, segments_left)) = segments.split_first() else { return true };
    if *segment == Segment::Deep && fits(segments_left, steps) {
        return true;
    }
    let Some((step, left)) = steps.split_first() else { return false };
    let name = match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    };
    let one = match segment {
        Segment::Deep => fits(segments, left),
        Segment::Any => fits(segments_left, left),
        Segment::Key(key) => key.eq_ignore_ascii_case(&name) && fits(segments_left, left),
    };
    let over = match step {
        Step::Index(_) => fits(segments, left),
        Step::Key(key) => {
            key.contains('.') && {
                let parts: Vec<Step> =
                    key.split('.').map(|part| Step::Key(part.to_owned())).chain(left.iter().cloned()).collect();
                fits(segments, &parts)
            }
        }
    };
    one || over
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![(0u32..1000).prop_map(Tree::Text), Just(Tree::Null)];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map(
                prop::sample::select(vec!["a", "B", "c", "a.b", "0", "a.b.c", "..", ""]),
                inner.clone(),
                0..4
            )
            .prop_map(|members| Tree::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
            prop::collection::vec(inner, 0..4).prop_map(Tree::Array),
        ]
    })
}

/// A secret of each kind, with the detector that knows it.
const PLANTED: [&str; 8] = [
    ACCESS_KEY,
    CARD,
    EMAIL,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "xoxb-1234567890-abcdefghij",
    "password=hunter2hunter2",
    "4111-1111-1111-1111",
    "bearer 0123456789abcdef0123",
];

/// What must not be found afterwards.
fn secret_of(planted: &str) -> &str {
    planted.split_once(['=', ' ']).map_or(planted, |(_, secret)| secret)
}

proptest! {
    #[test]
    fn path_rules_do_what_their_plain_twin_does(
        tree in tree(),
        segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "C", "*", "**", "0", "\"a.b\"", "\"\"", "1"]), 1..5),
        remove in any::<bool>(),
    ) {
        let how = if remove { Redact::Remove } else { Redact::Mask };
        let path = format!("details.{}", segments.join("."));
        let path::Target::Details(parsed) = path::parse(&path).unwrap() else { panic!("{path} is in details") };
        let (mut before, mut after) = (String::new(), String::new());
        tree.write(&mut before);
        if let Some(tree) = tree.redacted(&parsed, how, &mut Vec::new()) {
            tree.write(&mut after);
            after = String::from_utf8(canonical(&after)).unwrap().replace(&format!("text {}", u32::MAX), MASK);
        }
        // The twin says what becomes of null when it is masked whole, too.
        prop_assert_eq!(details(&rules(&[(&path, how)]), &before), after, "{} on {}", path, before);
    }

    #[test]
    fn no_planted_secret_reaches_the_record(
        planted in prop::sample::select(PLANTED.to_vec()),
        place in 0usize..14,
        how in prop::sample::select(vec![Redact::Mask, Redact::Remove, Redact::Pseudonym]),
        before in "[ -~é\n]{0,12}[ ,(\"\n]",
        after in "[ ,)\"\n][ -~é\n]{0,12}",
        tree in tree(),
    ) {
        let text = format!("{before}{planted}{after}");
        let mut quoted = Vec::new();
        json::write_string(&mut quoted, &text);
        let quoted = String::from_utf8(quoted).unwrap();
        let mut around = String::new();
        tree.write(&mut around);
        let json = canonical(&match place {
            0 => format!("{{\"x\":{quoted},\"y\":{around}}}"),
            1 => format!("[[{around},{{\"deep\":[{quoted}]}}]]"),
            2 => format!("{{\"around\":{around},{quoted}:1}}"),
            _ => quoted,
        });
        let json = Canonical::trusted(&json);
        let draft = login();
        let draft = match place {
            0..=3 => draft.details_json(json),
            4 => draft.identity_details(json),
            5 => draft.detail("nested", json),
            6 => draft.detail("text", &text),
            7 => draft.detail(&text, 1),
            8 => draft.raw(Raw { media_type: "text/plain", bytes: text.as_bytes() }),
            9 => Draft { actor: Actor { id: Some(&text), kind: Some(&text), name: Some(&text), email: Some(&text) }, ..draft },
            10 => draft.ip(&text).user_agent(&text).host(&text),
            11 => draft.session(&text),
            12 => draft.target(&text, &text),
            _ => draft.target("a", "b").target("c", &text),
        };
        let (out, count) = stored(&all_detectors(how), &draft);
        prop_assert!(count.total() > 0);
        prop_assert!(!contains(&out, secret_of(planted)), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn any_bytes_said_to_be_json_are_redacted_or_refused(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0041a@.bc4 \xff".to_vec()), 0..60)) {
        let rules = all_detectors(Redact::Mask).path("details.**.a", Redact::Remove).unwrap();
        let draft = login().details_json(Canonical::trusted(&bytes)).identity_details(Canonical::trusted(&bytes));
        let _ = rules.apply(&draft, &mut RedactScratch::default());
    }
}

#[test]
fn real_cloudtrail_records_lose_their_credentials_and_nothing_else() {
    let Some(folder) = indelible_testkit::corpus::folder("cloudtrail-invictus/files") else { return };
    let rules = all_detectors(Redact::Mask);
    let (mut events, mut sum) = (0, RedactionCount::default());
    let mut changed = std::collections::BTreeMap::<String, u32>::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(entry.unwrap().path()).unwrap()).read_to_end(&mut text).unwrap();
        let mut document = json::Document::new();
        let limits = json::Limits { bytes_max: usize::MAX, ..json::Limits::default() };
        let records = document.parse(&text, &limits).unwrap().get("Records").unwrap();
        for record in records.elements() {
            let mut canonical = Vec::new();
            record.write_canonical(&mut canonical);
            let draft = login().details_json(Canonical::trusted(&canonical));
            let mut scratch = RedactScratch::default();
            let (redacted, count) = rules.apply(&draft, &mut scratch).unwrap();
            let Details::Json(after) = &redacted.details else { panic!("JSON stays JSON") };
            assert!(!contains(after.bytes(), "\"ASIA") && !contains(after.bytes(), "\"AKIA"));
            note_changes("", &canonical, after.bytes(), &mut changed);
            events += 1;
            sum.secrets += count.secrets;
            sum.card_numbers += count.card_numbers;
            sum.emails += count.emails;
        }
    }
    assert_eq!(events, 2900);
    // Every access key id and every session token, and not one leaf else.
    let expected = [
        (".requestParameters.accessKeyId", 2),
        (".responseElements.accessKey.accessKeyId", 2),
        (".responseElements.credentials.accessKeyId", 36),
        (".responseElements.credentials.sessionToken", 36),
        (".userIdentity.accessKeyId", 2815),
    ];
    assert_eq!(changed.iter().map(|(path, count)| (path.as_str(), *count)).collect::<Vec<_>>(), expected);
    assert_eq!(sum, RedactionCount { paths: 0, secrets: 2891, card_numbers: 0, emails: 0 });
}

/// Counts the leaves that differ, by the path of keys to them.
fn note_changes(path: &str, before: &[u8], after: &[u8], changed: &mut std::collections::BTreeMap<String, u32>) {
    let (mut left, mut right) = (json::Document::new(), json::Document::new());
    let limits = json::Limits::default();
    let (left, right) = (left.parse(before, &limits).unwrap(), right.parse(after, &limits).unwrap());
    if left.raw() == right.raw() {
        return;
    }
    assert_eq!((left.len(), left.kind() == json::Kind::Object), (right.len(), right.kind() == json::Kind::Object), "{path}");
    if left.is_empty() {
        *changed.entry(path.to_owned()).or_default() += 1;
    }
    for ((key, left), (_, right)) in left.entries().zip(right.entries()) {
        note_changes(&format!("{path}.{}", key.text()), left.raw().as_bytes(), right.raw().as_bytes(), changed);
    }
    for (left, right) in left.elements().zip(right.elements()) {
        note_changes(path, left.raw().as_bytes(), right.raw().as_bytes(), changed);
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture speed_of_redaction"]
fn speed_of_redaction() {
    let json = canonical(
        r#"{"eventName":"GetObject","requestParameters":{"bucketName":"logs","key":"a/b/c.json","nothing":null},"size":12345,"list":[1,2,3]}"#,
    );
    let clean = login()
        .actor("alice")
        .actor_name("Alice A.")
        .ip("10.0.0.1")
        .user_agent("curl/8.1")
        .session("s-123")
        .target("bucket", "logs")
        .details_json(Canonical::trusted(&json));
    let pairs = login()
        .actor("alice")
        .ip("10.0.0.1")
        .target("repo", "42")
        .detail("reason", "bad_password")
        .detail("attempt", 3)
        .detail("path", "/login");
    let dirty = pairs.clone().detail("auth", "Bearer 0123456789abcdef0123").detail("mail", EMAIL);
    let all = all_detectors(Redact::Mask);
    let paths = rules(&[
        ("actor.email", Redact::Pseudonym),
        ("details.**.password", Redact::Mask),
        ("details.headers.authorization", Redact::Remove),
    ]);
    let mut scratch = RedactScratch::default();
    for (name, rules, draft) in [
        ("detectors, clean JSON", &all, &clean),
        ("detectors, clean pairs", &all, &pairs),
        ("detectors, dirty pairs", &all, &dirty),
        ("paths, clean JSON", &paths, &clean),
        ("paths, clean pairs", &paths, &pairs),
    ] {
        let started = std::time::Instant::now();
        for _ in 0..200_000 {
            std::hint::black_box(rules.apply(std::hint::black_box(draft), &mut scratch).unwrap());
        }
        println!("{name}: {:?}", started.elapsed() / 200_000);
    }
}

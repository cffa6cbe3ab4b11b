//! The record is what a slow twin makes of the same draft: JSON by another crate, canonicalised and spanned by the rules for strangers.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::draft::{Canonical, Raw, Target, Value};
use crate::record::Record;
use crate::span::{self, Spans};
use crate::{Outcome, json as our_json, taxonomy};

/// Texts of all lengths around the sizes that are copied in one piece, seldom with something to escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-zA-Z0-9 ./:_-]{0,70}",
        1 => "[a-z\"\\\\\n\u{0}\u{1f}\u{7f}é\u{2028}😀]{0,40}",
    ]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

#[derive(Debug, Clone)]
enum Detail {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Bool(bool),
    Null,
    Json(String),
}

fn detail() -> impl Strategy<Value = Detail> {
    prop_oneof![
        4 => text().prop_map(Detail::Text),
        1 => any::<i64>().prop_map(Detail::Signed),
        1 => any::<u64>().prop_map(Detail::Unsigned),
        1 => any::<bool>().prop_map(Detail::Bool),
        1 => Just(Detail::Null),
        1 => text().prop_map(|text| canonical(&json!({ "inner": [text, 1] }))),
    ]
}

fn canonical(value: &Json) -> Detail {
    Detail::Json(String::from_utf8(canonical_bytes(value)).unwrap())
}

fn canonical_bytes(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    our_json::canonicalize(value.to_string().as_bytes(), &our_json::Limits::default(), &mut out).unwrap();
    out
}

impl Detail {
    fn said(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Signed(number) => Value::Signed(*number),
            Self::Unsigned(number) => Value::Unsigned(*number),
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Null => Value::Null,
            Self::Json(json) => Value::Json(Canonical::trusted(json.as_bytes())),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Signed(number) => json!(number),
            Self::Unsigned(number) => json!(number),
            Self::Bool(bool) => json!(bool),
            Self::Null => Json::Null,
            Self::Json(json) => serde_json::from_str(json).unwrap(),
        }
    }
}

#[derive(Debug, Clone)]
struct Model {
    /// email, id, name, type · host, ip, user agent · session
    identity: [Option<String>; 8],
    identity_details: Option<String>,
    targets: Vec<[Option<String>; 3]>,
    details: Vec<(String, Detail)>,
    whole: Option<String>,
    raw: Option<Vec<u8>>,
    key: Option<String>,
}

fn model() -> impl Strategy<Value = Model> {
    let keys = prop_oneof![
        4 => "[a-z_]{1,12}",
        1 => "request_[a-d]",
        1 => "[a\u{0}\"é\u{e000}\u{10000}]{0,9}",
    ];
    (
        prop::array::uniform8(maybe()),
        prop::option::weighted(0.2, text()),
        prop::collection::vec(prop::array::uniform3(maybe()), 0..4),
        prop::collection::btree_map(keys, detail(), 0..20).prop_map(|map| map.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        prop::option::weighted(0.2, text()),
        prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..100)),
        prop::option::weighted(0.2, "[a-z]{1,20}"),
    )
        .prop_map(|(identity, identity_details, targets, details, whole, raw, key)| Model {
            identity,
            identity_details,
            targets,
            details,
            whole,
            raw,
            key,
        })
}

fn object(names: &[&str], values: &[Option<String>]) -> Json {
    let said = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?))));
    Json::Object(said.collect())
}

impl Model {
    /// Calls `each` with the draft; it borrows from here.
    fn draft<T>(&self, each: impl FnOnce(&Draft<'_>) -> T) -> T {
        let inner = self.identity_details.as_ref().map(|text| canonical_bytes(&json!([text])));
        let whole = self.whole.as_ref().map(|text| canonical_bytes(&json!({ "k": text })));
        let mut draft = Draft::new(taxonomy::USER_LOGIN).outcome(Outcome::Denied).tenant("acme").time_ns(5).weight(3);
        let [email, id, name, kind, host, ip, user_agent, session] = self.identity.each_ref().map(Option::as_deref);
        draft.actor = crate::draft::Actor { id, kind, name, email };
        draft.origin = crate::draft::Origin { ip, user_agent, host };
        draft.session = session;
        draft.identity_details = inner.as_deref().map(Canonical::trusted);
        draft.targets.extend(self.targets.iter().map(|target| {
            let [id, name, kind] = target.each_ref().map(Option::as_deref);
            Target { id, name, kind }
        }));
        for (key, value) in &self.details {
            draft = draft.detail(key, value.said());
        }
        if let Some(whole) = &whole {
            draft = draft.details_json(Canonical::trusted(whole));
        }
        draft.raw = self.raw.as_ref().map(|bytes| Raw { media_type: "text/plain", bytes });
        draft.idempotency_key = self.key.as_deref();
        each(&draft)
    }

    /// Identity and content as the twin has them.
    fn groups(&self) -> [Option<Vec<u8>>; 2] {
        let (actor, rest) = self.identity.split_at(4);
        let (origin, session) = rest.split_at(3);
        let mut identity = Map::new();
        for (name, value) in [
            ("actor", object(&["email", "id", "name", "type"], actor)),
            ("origin", object(&["host", "ip", "user_agent"], origin)),
        ] {
            if value.as_object().is_some_and(|members| !members.is_empty()) {
                identity.insert(name.into(), value);
            }
        }
        if let Some(session) = &session[0] {
            identity.insert("session".into(), json!(session));
        }
        if let Some(text) = &self.identity_details {
            identity.insert("details".into(), json!([text]));
        }
        let mut content = Map::new();
        match &self.whole {
            Some(text) => drop(content.insert("details".into(), json!({ "k": text }))),
            None if self.details.is_empty() => {}
            None => {
                let details = self.details.iter().map(|(key, value)| (key.clone(), value.json())).collect();
                content.insert("details".into(), Json::Object(details));
            }
        }
        if !self.targets.is_empty() {
            let targets = self.targets.iter().map(|target| object(&["id", "name", "type"], target)).collect();
            content.insert("targets".into(), Json::Array(targets));
        }
        [identity, content].map(|group| (!group.is_empty()).then(|| canonical_bytes(&Json::Object(group))))
    }
}

fn stamp() -> Stamp<'static> {
    let producer = Some(Producer { id: "p", epoch: 2, seq: 0 });
    Stamp { received: 7, uuid: [9; 16], producer, tenant: "default", log: 1 }
}

proptest! {
    #[test]
    fn a_record_is_what_the_twin_makes(model in model(), memory in 0usize..6_000) {
        let mut memory = vec![0xee; memory];
        let encoded = model.draft(|draft| encode(draft, &stamp(), &mut memory)).unwrap();
        let record = Record::parse(&memory).unwrap();
        prop_assert_eq!(record.bytes().len(), encoded.bytes);
        let [identity, content] = model.groups();
        prop_assert_eq!(record.value(Tag::IDENTITY), identity.as_deref());
        prop_assert_eq!(record.value(Tag::CONTENT), content.as_deref());
        let mut spans = Spans::new();
        span::derive(identity.as_deref(), content.as_deref(), &mut spans).unwrap();
        prop_assert!(record.spans_are(&spans), "{:?}\n{:?}", record.span_offsets().collect::<Vec<_>>(), spans);
        let raw = model.raw.as_ref().map(|bytes| [&[10, 0], b"text/plain".as_slice(), bytes].concat());
        prop_assert_eq!(record.value(Tag::RAW), raw.as_deref());
        prop_assert_eq!(record.idempotency().is_some(), model.key.is_some());
        let head = record.head().unwrap();
        prop_assert_eq!((head.tenant, head.action, head.outcome, head.weight), ("acme", "user.login", Outcome::Denied, 3));
        prop_assert_eq!((head.time, head.received, head.class), (5, 7, encoded.class));
        // The same values, read without parsing.
        let values: Vec<_> = crate::record::values(&memory).collect();
        let parsed: Vec<_> = record.groups().map(|(tag, body)| (tag, body.value().unwrap())).collect();
        prop_assert_eq!(values, parsed);
    }

    #[test]
    fn a_key_said_twice_is_refused(keys in prop::collection::vec("[a-c]{1,2}|long_key_[ab]|é", 2..12)) {
        let mut draft = Draft::new(taxonomy::USER_LOGIN);
        for key in &keys {
            draft = draft.detail(key, 1);
        }
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let encoded = encode(&draft, &stamp(), &mut Vec::new());
        prop_assert_eq!(encoded.err(), (sorted.len() < keys.len()).then_some(Rejection::DuplicateKey));
    }
}

#[test]
fn what_is_too_long_is_refused_before_memory_grows_beyond_twice_the_largest_record() {
    let long = "\n".repeat(limits::STRING_BYTES_MAX);
    let huge = "x".repeat(limits::DETAILS_BYTES_MAX + 1);
    let target = Target { kind: Some(&long), id: Some(&long), name: Some(&long) };
    let mut many = Draft::new(taxonomy::USER_LOGIN);
    many.targets.extend(std::iter::repeat_n(target, limits::TARGETS_MAX));
    let mut escaped = Draft::new(taxonomy::USER_LOGIN);
    for key in ["a", "b", "c", "d"] {
        escaped = escaped.detail(key, &huge[..limits::DETAILS_BYTES_MAX / 3]);
    }
    for (draft, field) in [(many, "content"), (escaped, "details"), (Draft::new("a.b").detail("k", huge.as_str()), "details")] {
        let mut memory = Vec::new();
        let refused = encode(&draft, &stamp(), &mut memory).err();
        assert!(matches!(&refused, Some(Rejection::TooLong { field: found, .. }) if *found == field), "{refused:?}");
        assert!(memory.len() <= 2 * limits::RECORD_BYTES_MAX, "{}", memory.len());
    }
}

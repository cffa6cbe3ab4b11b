//! Splitting and merging is the identity, whatever the record and whatever the paths.

use indelible_adapters::plan::Plan;
use indelible_adapters::{Adapter, Format, split};
use indelible_format::json::{Limits, canonicalize, is_canonical};
use proptest::prelude::*;

use crate::support::adapt_and_check;

/// Few keys, so that paths and objects meet often; some are escaped, some beyond ASCII, some sort differently as UTF-16.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a",
        "b",
        "user",
        "Event",
        "System",
        "EventData",
        "userIdentity",
        "",
        "\"",
        "\n",
        "é",
        "\u{ffff}",
        "\u{10000}",
    ])
    .prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        prop::sample::select(vec!["0", "-0", "1.0", "1e400", "9007199254740993", "-1E+2"]).prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(" ,"))),
            prop::collection::btree_map(key(), inner, 0..6).prop_map(object),
        ]
    })
}

fn object(members: std::collections::BTreeMap<String, String>) -> String {
    let members: Vec<String> =
        members.iter().rev().map(|(key, value)| format!("{}: {value}", serde_json::to_string(key).unwrap())).collect();
    format!("{{{}}}", members.join(","))
}

fn paths() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(key(), 1..4), 0..8)
}

/// The split told in the plainest way: on values, path by path.
fn twin(record: &serde_json::Value, paths: &[Vec<String>]) -> (Option<serde_json::Value>, serde_json::Value) {
    let serde_json::Value::Object(members) = record else { return (None, record.clone()) };
    let mut identity = serde_json::Map::new();
    let mut content = serde_json::Map::new();
    for (key, value) in members {
        let below: Vec<Vec<String>> =
            paths.iter().filter(|path| path.first() == Some(key)).map(|path| path[1..].to_vec()).collect();
        if below.iter().any(Vec::is_empty) {
            identity.insert(key.clone(), value.clone());
            continue;
        }
        let (moved, kept) = if below.is_empty() { (None, value.clone()) } else { twin(value, &below) };
        content.insert(key.clone(), kept);
        if let Some(moved) = moved {
            identity.insert(key.clone(), moved);
        }
    }
    ((!identity.is_empty()).then_some(identity.into()), content.into())
}

proptest! {
    #[test]
    fn split_and_merge_give_the_record_back(record in json(), paths in paths()) {
        let mut canonical = Vec::new();
        canonicalize(record.as_bytes(), &Limits::default(), &mut canonical).unwrap();
        let (mut identity, mut content, mut merged) = (Vec::new(), Vec::new(), Vec::new());
        split::split(&canonical, &Plan::new(&paths), &mut identity, &mut content).unwrap();
        split::merge(Some(&identity), &content, &mut merged).unwrap();
        prop_assert_eq!(std::str::from_utf8(&merged), std::str::from_utf8(&canonical));

        prop_assert!(is_canonical(&content, &Limits::default()));
        prop_assert!(identity.is_empty() || is_canonical(&identity, &Limits::default()));
        let value: serde_json::Value = serde_json::from_slice(&canonical).unwrap();
        let (expected_identity, expected_content) = twin(&value, &paths);
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&content).unwrap(), expected_content);
        let identity: Option<serde_json::Value> =
            (!identity.is_empty()).then(|| serde_json::from_slice(&identity).unwrap());
        prop_assert_eq!(identity, expected_identity);
    }

    #[test]
    fn every_format_keeps_every_record(record in json(), format in prop::sample::select(Format::ALL.to_vec())) {
        adapt_and_check(&mut Adapter::new(Some(format)), record.as_bytes(), |_| ()).unwrap();
    }

    #[test]
    fn merging_any_bytes_is_total(identity in any::<Vec<u8>>(), content in any::<Vec<u8>>(), swap in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut out = Vec::new();
        let _ = split::merge(Some(&identity), &content, &mut out);
        let mut damaged = br#"{"a":{"b":[1,{}],"c":"x\n"},"d":null}"#.to_vec();
        let at = swap.index(damaged.len());
        damaged[at] = byte;
        let _ = split::merge(Some(&damaged), br#"{"a":{},"e":1}"#, &mut out);
        let _ = split::split(&damaged, Format::Json.plan(), &mut Vec::new(), &mut out);
    }

    #[test]
    fn adapting_any_bytes_is_total(record in any::<Vec<u8>>()) {
        let _ = Adapter::new(None).adapt(&record, |_| ());
    }
}

//! Real events: everything in them can be found by its path and by its text.

use std::path::PathBuf;

use indelible_format::json::{Document, Kind, Limits, Node};

use super::*;
use crate::search::filter::{Name, Pattern, Step, Test};

/// Canonical JSON of every event in the `.json` files below `folder`.
fn events(folder: PathBuf) -> Vec<Vec<u8>> {
    let (mut folders, mut events) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = std::fs::read(&path).unwrap();
                let mut rest = bytes.as_slice();
                let mut document = Document::new();
                while let Ok((node, end)) = document.parse_prefix(rest, &Limits::default()) {
                    let mut canonical = Vec::new();
                    node.write_canonical(&mut canonical);
                    events.push(canonical);
                    rest = &rest[end..];
                }
            }
        }
    }
    events
}

/// Every scalar below `node` with its path; arrays leave no trace in it.
fn leaves<'i>(node: Node<'_, 'i>, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, Kind, std::borrow::Cow<'i, str>)>) {
    match node.kind() {
        Kind::Object => {
            for (key, value) in node.entries() {
                path.push(Step::Key(key.text().into_owned()));
                leaves(value, path, found);
                path.pop();
            }
        }
        Kind::Array => node.elements().for_each(|element| leaves(element, path, found)),
        kind => found.push((path.clone(), kind, node.as_str().unwrap_or_else(|| node.raw().into()))),
    }
}

#[test]
fn every_value_of_a_real_event_is_found_where_it_is_and_nowhere_else() {
    for (name, at_least) in [("k8s-audit-falco", 30), ("sigma-regression", 90)] {
        let Some(folder) = indelible_testkit::corpus::folder(name) else { return };
        let events = events(folder);
        assert!(events.len() >= at_least, "{name}: {}", events.len());
        let records: Vec<Vec<u8>> = events.iter().map(|event| record_of(event)).collect();
        let mut asked = 0;
        for (nth, event) in events.iter().enumerate() {
            let mut document = Document::new();
            let mut found = Vec::new();
            leaves(document.parse(event, &Limits::default()).unwrap(), &mut Vec::new(), &mut found);
            for (path, kind, value) in found {
                let term = Filter::Term(Name::Details(path.clone()), Test::Is(Pattern::literal(&*value)));
                let parsed = Filter::parse(&term.to_string()).unwrap_or_else(|error| panic!("{term}: {error:?}"));
                assert_eq!(parsed, term);
                assert!(matches(&term, &records[nth]), "{term}");
                // A key that no event has, in front of the last step.
                let mut elsewhere = path;
                elsewhere.insert(elsewhere.len() - 1, Step::Key("no such key".to_owned()));
                assert!(!matches(&Filter::Term(Name::Details(elsewhere), Test::Exists), &records[nth]), "{term}");
                if matches!(kind, Kind::String | Kind::Number) && !value.is_empty() {
                    let upper: String = value.chars().map(|character| character.to_ascii_uppercase()).collect();
                    assert!(matches(&Filter::text(upper), &records[nth]), "{value:?}");
                }
                asked += 1;
            }
        }
        println!("{name}: {} events, {asked} values", events.len());
        assert!(asked > events.len() * 10);
    }
}

fn record_of(details: &[u8]) -> Vec<u8> {
    let draft = Draft::new("record.parse").details_json(Canonical::trusted(details));
    let mut out = Vec::new();
    let encoded =
        encode(&draft, &Stamp { received: NOW, uuid: UUID, producer: None, tenant: "default", log: 1 }, &mut out).unwrap();
    out.truncate(encoded.bytes);
    out
}

fn matches(filter: &Filter, record: &[u8]) -> bool {
    let matcher = filter.compile(NOW).unwrap();
    ask(record, 0, |view| matcher.matches(view)).unwrap()
}

//! Our events as OCSF: what the schema knows, and what importing gives back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use indelible_adapters::{Adapter, Format, write_ocsf};
use indelible_format::draft::{Canonical, Raw};
use indelible_format::taxonomy::ACTIONS;
use indelible_format::{Draft, Outcome, Record, Severity, Stamp, Trace, encode};
use indelible_testkit::corpus;
use serde_json::Value;

/// 2021-01-31T12:00:00.123456789Z
const TIME: i64 = 1_612_094_400_123_456_789;

fn ocsf(draft: &Draft<'_>) -> Vec<u8> {
    let stamp = Stamp { received: TIME + 1, uuid: [7; 16], producer: None, tenant: "acme", log: 1 };
    let mut bytes = Vec::new();
    let encoded = encode(draft, &stamp, &mut bytes).unwrap();
    bytes.truncate(encoded.bytes);
    let record = Record::parse(&bytes).unwrap();
    let mut out = Vec::new();
    write_ocsf(&mut out, "main", 41, &record, &record.head().unwrap());
    out
}

fn full(action: &str) -> Draft<'_> {
    let mut draft = Draft::new(action).time_ns(TIME).id("e-1").source("app").frameworks(&["sox", "pci"]);
    draft.actor.id = Some("u\"1");
    draft.actor.name = Some("Zoë");
    draft.actor.email = Some("zoe@example.org");
    draft.actor.kind = Some("user");
    draft.session = Some("s-1");
    draft.origin.ip = Some("192.0.2.1");
    draft.origin.host = Some("web-1");
    draft.origin.user_agent = Some("curl/8");
    draft.trace = Some(Trace { trace_id: [0xab; 16], span_id: [1; 8] });
    draft = draft.target("repo", "42").target("org", "7");
    draft.details_json(Canonical::trusted(br#"{"n":9007199254740993}"#))
}

/// Actions of the taxonomy, and some of other shapes.
fn actions() -> impl Iterator<Item = &'static str> {
    let others = ["iam.CreateUser", "signin.ConsoleLogin", "windows-sysmon.10", "widget.polish", "a.b.c"];
    ACTIONS.iter().map(|known| known.name).chain(others)
}

#[test]
fn importing_it_again_gives_the_same_event() {
    let mut adapter = Adapter::new(None);
    for action in actions() {
        for outcome in Outcome::ALL {
            for severity in Severity::ALL {
                let exported = ocsf(&full(action).outcome(*outcome).severity(*severity));
                let shown = String::from_utf8_lossy(&exported).into_owned();
                let adapted = adapter.adapt(&exported, |draft| {
                    assert_eq!((draft.outcome, draft.severity, draft.time), (*outcome, Some(*severity), Some(TIME)), "{shown}");
                    let actor = &draft.actor;
                    assert_eq!((actor.id, actor.name, actor.kind), (Some("u\"1"), Some("Zoë"), Some("user")), "{shown}");
                    assert_eq!((actor.email, draft.session, draft.id), (Some("zoe@example.org"), Some("s-1"), Some("e-1")));
                    assert_eq!((draft.origin.ip, draft.origin.host), (Some("192.0.2.1"), Some("web-1")), "{shown}");
                    let value: Value = serde_json::from_str(&shown).unwrap();
                    let word = |key: &str| value[key].as_str().unwrap().to_ascii_lowercase().replace(' ', "_");
                    assert_eq!(
                        draft.action.name(),
                        format!("{}.{}", word("class_name"), word("activity_name")).to_ascii_lowercase()
                    );
                });
                assert_eq!(adapted.unwrap().format, Format::Ocsf);
            }
        }
    }
}

#[test]
fn nobody_is_made_up() {
    let mut adapter = Adapter::new(None);
    for action in actions() {
        // Only the target is named: it must not become the one who did it.
        let exported = ocsf(&Draft::new(action).time_ns(TIME).target("user", "victim"));
        let value: Value = serde_json::from_slice(&exported).unwrap();
        assert!(value.get("actor").is_none() && value.get("src_endpoint").is_none(), "{value}");
        let mut named = full(action);
        named.actor.name = None;
        named.actor.email = None;
        adapter.adapt(&ocsf(&named.target("user", "victim")), |draft| assert_eq!(draft.actor.name, None, "{action}")).unwrap();
    }
}

#[test]
fn what_has_no_place_is_under_unmapped_and_the_parts_stay_apart() {
    let draft = full("data.read").identity_details(Canonical::trusted(br#"{"who":"zoe"}"#));
    let exported = ocsf(&draft.raw(Raw { media_type: "text/plain", bytes: b"line\n" }));
    let value: Value = serde_json::from_slice(&exported).unwrap();
    assert_eq!(value["unmapped"]["details"]["n"].to_string(), "9007199254740993");
    assert_eq!(value["unmapped"]["trace"]["span_id"], "0101010101010101");
    assert_eq!((&value["raw_data"], &value["unmapped"]["raw_media_type"]), (&"line\n".into(), &"text/plain".into()));
    assert_eq!(value["metadata"]["labels"].to_string(), r#"["sox","pci"]"#);
    assert_eq!((value["time"].to_string(), value["metadata"]["sequence"].to_string()), ("1612094400123".into(), "41".into()));
    Adapter::new(None)
        .adapt(&exported, |draft| {
            let identity = String::from_utf8_lossy(draft.identity_details.unwrap().bytes()).into_owned();
            assert!(identity.contains(r#""identity_details":{"who":"zoe"}"#), "{identity}");
        })
        .unwrap();
}

#[test]
fn times_before_1970_are_rounded_down() {
    let value: Value = serde_json::from_slice(&ocsf(&Draft::new("a.b").time_ns(-1))).unwrap();
    assert_eq!((value["time"].to_string(), &value["time_dt"]), ("-1".into(), &"1969-12-31T23:59:59.999999999Z".into()));
}

/// The JSON files of a tar archive, by name.
fn json_files(tar: &[u8]) -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    let mut rest = tar;
    while rest.len() >= 512 && rest[0] != 0 {
        let (header, behind) = rest.split_at(512);
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        if let Ok(value) = serde_json::from_slice(&behind[..size]) {
            files.insert(text(0..100).trim_start_matches("./").to_owned(), value);
        }
        rest = &behind[size.next_multiple_of(512)..];
    }
    files
}

/// What the schema says of one class.
#[derive(Debug, Default)]
struct Class {
    known: BTreeSet<String>,
    required: BTreeSet<String>,
    activities: BTreeSet<String>,
}

impl Class {
    /// Adds what `name` declares, and what it is made of.
    fn add(&mut self, files: &BTreeMap<String, Value>, file: &Value) {
        let attributes = file["attributes"].as_object().unwrap();
        for (name, attribute) in attributes.iter().filter(|(name, _)| *name != "$include") {
            self.known.insert(name.clone());
            // What belongs to a profile is there only with it.
            if attribute["requirement"] == "required" && attribute.get("profile").is_none() && file.get("meta").is_none() {
                self.required.insert(name.clone());
            }
            if name == "activity_id" {
                self.activities.extend(attribute["enum"].as_object().into_iter().flat_map(|values| values.keys().cloned()));
            }
        }
        for include in attributes.get("$include").and_then(Value::as_array).into_iter().flatten() {
            if let Some(profile) = files.get(include.as_str().unwrap()) {
                self.known.extend(profile["attributes"].as_object().unwrap().keys().cloned());
            }
        }
        if let Some(parent) = file["extends"].as_str() {
            self.add(files, event_named(files, parent));
        }
    }
}

fn event_named<'f>(files: &'f BTreeMap<String, Value>, name: &str) -> &'f Value {
    let is_it = |path: &str, file: &Value| path.starts_with("events/") && file["name"] == name;
    files.iter().find(|(path, file)| is_it(path, file)).unwrap_or_else(|| panic!("{name} is not in the schema")).1
}

#[test]
fn the_schema_knows_every_class_activity_and_attribute() {
    let Some(folder) = corpus::folder("ocsf-schema") else { return };
    let mut tar = Vec::new();
    let packed = std::fs::File::open(folder.join("schema.tar.zst")).unwrap();
    zstd::Decoder::new(packed).unwrap().read_to_end(&mut tar).unwrap();
    let files = json_files(&tar);
    let mut seen = BTreeSet::new();
    for action in actions() {
        let event: Value = serde_json::from_slice(&ocsf(&full(action).outcome(Outcome::Denied))).unwrap();
        let (category, uid) = (event["category_uid"].to_string(), event["class_uid"].to_string().parse::<u64>().unwrap());
        assert_eq!(category, (uid / 1000).to_string());
        let file = files
            .iter()
            .filter(|(path, file)| path.starts_with("events/") && file["caption"] == event["class_name"])
            .map(|(_, file)| file)
            .next()
            .unwrap_or_else(|| panic!("there is no class {}", event["class_name"]));
        assert!(uid == 0 || file["uid"] == uid % 1000, "{}", event["class_name"]);
        let mut class = Class::default();
        class.add(&files, file);
        // The profile `datetime` gives every time a twin in words.
        let keys = event.as_object().unwrap().keys().map(|key| key.trim_end_matches("_dt").to_owned());
        let written: BTreeSet<String> = keys.collect();
        let unknown: Vec<_> = written.difference(&class.known).collect();
        assert!(unknown.is_empty(), "{action}: {unknown:?} are not in {}", event["class_name"]);
        let missing: Vec<_> = class.required.difference(&written).collect();
        assert!(missing.is_empty(), "{action}: {missing:?} of {} are missing", event["class_name"]);
        assert!(class.activities.contains(&event["activity_id"].to_string()), "{action}: {}", event["activity_id"]);
        seen.insert(uid);
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

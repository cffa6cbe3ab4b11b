//! The aggregator against a naive twin: events as plain values, groups as sets in a sorted map.

use std::collections::{BTreeMap, BTreeSet};

use indelible_format::draft::Target;
use indelible_format::{Canonical, Draft, Record, Stamp, encode};
use proptest::prelude::*;

use super::*;

/// An event in plain Rust.
#[derive(Debug, Clone)]
struct Model {
    action: &'static str,
    outcome: Outcome,
    time: i64,
    actor: Option<&'static str>,
    targets: Vec<&'static str>,
    numbers: Vec<u8>,
}

impl Model {
    fn encode(&self) -> Vec<u8> {
        // Canonical JSON has no spaces.
        let details = format!("{{\"n\":{:?}}}", self.numbers).replace(' ', "");
        let mut draft = Draft::new(self.action).outcome(self.outcome).time_ns(self.time);
        draft.actor.id = self.actor;
        draft.targets.extend(self.targets.iter().map(|id| Target { kind: None, id: Some(id), name: None }));
        draft = draft.details_json(Canonical::trusted(details.as_bytes()));
        let mut out = Vec::new();
        let stamp = Stamp { received: 1, uuid: [7; 16], producer: None, tenant: "test", log: 1 };
        let encoded = encode(&draft, &stamp, &mut out).unwrap();
        out.truncate(encoded.bytes);
        out
    }

    fn values(&self, field: &str) -> BTreeSet<Option<String>> {
        let values: BTreeSet<Option<String>> = match field {
            "action" => [Some(self.action.to_owned())].into(),
            "outcome" => [Some(self.outcome.name().to_owned())].into(),
            "actor.id" => [self.actor.map(str::to_owned)].into(),
            "target.id" => self.targets.iter().map(|id| Some((*id).to_owned())).collect(),
            "details.n" => self.numbers.iter().map(|n| Some(n.to_string())).collect(),
            _ => BTreeSet::new(),
        };
        if values.is_empty() { [None].into() } else { values }
    }
}

fn count(grouping: Grouping, events: &[Model]) -> Groups {
    let mut aggregator = Aggregator::new(grouping);
    for (seq, event) in events.iter().enumerate() {
        let bytes = event.encode();
        let record = Record::parse(&bytes).unwrap();
        let head = record.head().unwrap();
        aggregator.add(&View { log: 1, seq: seq as u64, record: &record, head: &head });
    }
    aggregator.finish()
}

/// (start, values, events, first, last, denied)
type Row = (Option<i64>, Vec<Option<String>>, u64, i64, i64, u64);

/// The same, told in the plainest way.
fn twin(fields: &[&str], interval: Option<i64>, events: &[Model]) -> Vec<Row> {
    let mut groups: BTreeMap<_, (u64, i64, i64, u64)> = BTreeMap::new();
    for event in events {
        let mut keys = vec![Vec::new()];
        for field in fields {
            keys = keys
                .iter()
                .flat_map(|key| event.values(field).into_iter().map(move |value| [key.clone(), vec![value]].concat()))
                .collect();
        }
        let start = interval.map(|interval| (0..).map(|n| n * interval).take_while(|start| *start <= event.time).last().unwrap());
        for key in keys {
            let group = groups.entry((start, key)).or_insert((0, i64::MAX, i64::MIN, 0));
            group.0 += 1;
            group.1 = group.1.min(event.time);
            group.2 = group.2.max(event.time);
            group.3 += u64::from(event.outcome == Outcome::Denied);
        }
    }
    groups.into_iter().map(|((start, key), (n, first, last, denied))| (start, key, n, first, last, denied)).collect()
}

fn event() -> impl Strategy<Value = Model> {
    (
        prop::sample::select(vec!["user.login", "file.read", "a.b.c"]),
        prop::sample::select(Outcome::ALL.to_vec()),
        0..100i64,
        prop::option::of(prop::sample::select(vec!["", "ann", "bob", "a\"n\n"])),
        prop::collection::vec(prop::sample::select(vec!["x", "y", "z"]), 0..5),
        prop::collection::vec(0..4u8, 0..4),
    )
        .prop_map(|(action, outcome, time, actor, targets, numbers)| Model {
            action,
            outcome,
            time,
            actor,
            targets,
            numbers,
        })
}

proptest! {
    #[test]
    fn counts_are_what_plain_sets_say(
        events in prop::collection::vec(event(), 0..40),
        fields in prop::sample::subsequence(vec!["action", "outcome", "actor.id", "target.id", "details.n"], 0..=4),
        interval in prop::option::of(1..50i64),
    ) {
        let mut grouping = Grouping::by(&fields).unwrap();
        grouping.interval = interval.and_then(Interval::of_ns);
        let counted = count(grouping, &events);
        prop_assert_eq!((counted.others, counted.incomplete), (0, None));
        prop_assert_eq!(counted.all.map_or(0, |all| all.events), events.len() as u64);
        let sorted = counted.groups.windows(2).all(|pair| {
            let key = |group: &Group| (group.start, Reverse(group.tally.events), group.values.clone());
            key(&pair[0]) < key(&pair[1])
        });
        prop_assert!(sorted);
        let mut told: Vec<_> = counted.groups.into_iter().map(|group| {
            let Tally { events, first, last, .. } = group.tally;
            (group.start, group.values, events, first, last, group.tally.of(Outcome::Denied))
        }).collect();
        told.sort();
        prop_assert_eq!(told, twin(&fields, interval, &events));
    }
}

fn plain(actor: &'static str) -> Model {
    Model { action: "a.b", outcome: Outcome::Success, time: 1, actor: Some(actor), targets: Vec::new(), numbers: Vec::new() }
}

#[test]
fn what_does_not_fit_is_counted_and_said() {
    let mut grouping = Grouping::by(["actor"]).unwrap();
    grouping.groups_max = 2;
    let counted = count(grouping, &["ann", "bob", "eve", "ann", "eve", "mia"].map(plain));
    let told: Vec<_> = counted.groups.iter().map(|group| (group.values[0].as_deref(), group.tally.events)).collect();
    assert_eq!(told, [(Some("ann"), 2), (Some("bob"), 1)], "what was told apart is exact");
    assert_eq!((counted.others, counted.all.unwrap().events), (3, 6));
    assert!(counted.incomplete.unwrap().contains("more than 2 groups"));
}

#[test]
fn long_values_do_not_take_all_memory() {
    let mut grouping = Grouping::by(["actor"]).unwrap();
    grouping.key_bytes_max = 20;
    let counted = count(grouping, &["ann", "bob", "eve", "ann"].map(plain));
    assert_eq!((counted.groups.len(), counted.others), (2, 1));
    assert!(counted.incomplete.unwrap().contains("longer than 20 bytes"));
}

#[test]
fn an_event_with_absurdly_many_combinations_is_left_out_and_said() {
    let many: Vec<u8> = (0..=255).collect();
    let event = Model { numbers: many, ..plain("ann") };
    let counted = count(Grouping::by(["details.n", "details.n", "details.n"]).unwrap(), &[event.clone(), plain("bob")]);
    assert_eq!((counted.groups.len(), counted.others), (1, 1));
    assert!(counted.incomplete.unwrap().contains("an event of 1970-01-01T00:00:00.000000001Z"));
    let counted = count(Grouping::by(["details.n", "details.n"]).unwrap(), &[event]);
    assert_eq!((counted.groups.len(), counted.others), (65_536, 0));
}

#[test]
fn no_events_make_no_groups() {
    assert_eq!(count(Grouping::by(["action"]).unwrap(), &[]), Groups::default());
}

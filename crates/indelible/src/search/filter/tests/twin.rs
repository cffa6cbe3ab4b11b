//! The evaluator against a naive twin: events as plain Rust values, filters read straight from their tree, text as characters,
//! numbers and times by look-up in small tables written by hand. The twin never sees a record.

use proptest::prelude::*;

use super::*;
use crate::search::filter::{KnownField, Limit, Name, Pattern, Step, Test, glob};

/// Numbers and their thousandfold.
const NUMBERS: &[(&str, i128)] = &[
    ("0", 0),
    ("-0", 0),
    ("1", 1_000),
    ("1.0", 1_000),
    ("1e1", 10_000),
    ("10", 10_000),
    ("0.5", 500),
    ("5E-1", 500),
    ("-3", -3_000),
    ("42", 42_000),
    ("9007199254740992", 9_007_199_254_740_992_000),
    ("9007199254740993", 9_007_199_254_740_993_000),
];

/// Times as written, and their first and last nanosecond after the beginning of 2021 in seconds.
const TIMES: &[(&str, i64, i64)] = &[
    ("2021-01-01", 0, 86_400),
    ("2021-01-02", 86_400, 172_800),
    ("2021-01-01T00:00:10Z", 10, 11),
    ("2021-01-01T01:00:10+01:00", 10, 11),
    ("2021-01", 0, 31 * 86_400),
];
const START_OF_2021: i64 = 1_609_459_200;

/// Networks and which of the addresses in use they hold.
const ADDRESSES: &[&str] = &["10.1.2.3", "10.200.0.1", "192.168.1.1", "::1", "host.example", "::ffff:10.1.2.3", "10.0.0.0/8"];
const NETWORKS: &[(&str, &[&str])] = &[
    ("10.0.0.0/8", &["10.1.2.3", "10.200.0.1", "::ffff:10.1.2.3", "10.0.0.0/8"]),
    ("10.1.0.0/16", &["10.1.2.3", "::ffff:10.1.2.3"]),
    ("10.1.2.3", &["10.1.2.3", "::ffff:10.1.2.3"]),
    ("0:0:0:0:0:0:0:1", &["::1"]),
    ("host.example", &["host.example"]),
];

const WORDS: &[&str] =
    &["alice", "Alice", "bob", "a\\b", "two\nlines", "x\u{1f}y", "née", "NÉE", "42", "1", "1.0", "true", "null", "", "10.1.2.3"];
const PATTERNS: &[&str] = &[
    "alice",
    "Alice",
    "a*",
    "*e",
    "*i*",
    "?ob",
    "a\\\\b",
    "*\\\\*",
    "two*s",
    "*n*",
    "née",
    "n?e",
    "*É*",
    "42",
    "1",
    "1.0",
    "10",
    "true",
    "null",
    "4*",
    "",
    "nowhere",
    "*1f*",
    "10.0.0.0/8",
];
const KEYS: &[&str] = &["a", "b", "a.b", "k\n", "1"];

fn limits(limit: Option<&Limit>, value: impl Fn(&str) -> (i128, i128)) -> Option<(i128, i128, bool)> {
    limit.map(|limit| (value(&limit.value).0, value(&limit.value).1, limit.inclusive))
}

/// Whether `value` lies in a range whose ends are stretches: first, behind the last, inclusive.
fn between(value: i128, low: Option<(i128, i128, bool)>, high: Option<(i128, i128, bool)>) -> bool {
    low.is_none_or(|(first, behind, inclusive)| if inclusive { value >= first } else { value >= behind })
        && high.is_none_or(|(first, behind, inclusive)| if inclusive { value < behind } else { value < first })
}

fn ranged(test: &Test, value: i128, read: impl Fn(&str) -> (i128, i128)) -> bool {
    match test {
        Test::Exists => true,
        Test::Is(pattern) => {
            let (first, behind) = read(pattern.as_literal().unwrap());
            (first..behind).contains(&value)
        }
        Test::Between { low, high } => between(value, limits(low.as_ref(), &read), limits(high.as_ref(), &read)),
    }
}

fn exact(pattern: &Pattern, text: &str) -> bool {
    fits(pattern.pieces(), &text.chars().collect::<Vec<_>>())
}

/// Some stretch fits when both are in lower case.
fn within(pattern: &Pattern, text: &str) -> bool {
    let lower = |text: &str| text.chars().map(glob::fold).collect::<String>();
    let mut pieces = vec![Piece::Any];
    pieces.extend(
        pattern
            .pieces()
            .iter()
            .map(|piece| if let Piece::Literal(text) = piece { Piece::Literal(lower(text)) } else { piece.clone() }),
    );
    pieces.push(Piece::Any);
    fits(&pieces, &lower(text).chars().collect::<Vec<_>>())
}

fn thousandfold(text: &str) -> Option<i128> {
    NUMBERS.iter().find(|(lexeme, _)| *lexeme == text).map(|(_, value)| *value)
}

/// Values at the end of a path, by trying every way to cut it into keys.
fn values<'j>(json: &'j Json, steps: &[Step], into_arrays: bool, found: &mut Vec<&'j Json>) {
    match json {
        Json::List(elements) if into_arrays || !steps.is_empty() => {
            elements.iter().for_each(|element| values(element, steps, into_arrays, found))
        }
        json if steps.is_empty() => found.push(json),
        Json::Object(members) => {
            for (key, value) in members {
                if steps[0] == Step::Any {
                    values(value, &steps[1..], into_arrays, found);
                }
                for count in 1..=steps.len() {
                    let keys: Option<Vec<&str>> = steps[..count]
                        .iter()
                        .map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None })
                        .collect();
                    if keys.is_some_and(|keys| keys.join(".") == *key) {
                        values(value, &steps[count..], into_arrays, found);
                    }
                }
            }
        }
        _ => {}
    }
}

fn detail(value: &Json, test: &Test) -> bool {
    let number_between =
        |low: &Option<Limit>, high: &Option<Limit>| low.iter().chain(high).all(|limit| thousandfold(&limit.value).is_some());
    let ends = |low: &Option<Limit>, high: &Option<Limit>, value: i128| {
        let read = |text: &str| thousandfold(text).map(|number| (number, number + 1)).unwrap();
        between(value, limits(low.as_ref(), read), limits(high.as_ref(), read))
    };
    match (value, test) {
        (Json::Text(text), Test::Is(pattern)) => {
            exact(pattern, text) || pattern.as_literal().is_some_and(|network| in_network(network, text))
        }
        (Json::Number(lexeme), Test::Is(pattern)) => match pattern.as_literal().and_then(thousandfold) {
            Some(wanted) => thousandfold(lexeme) == Some(wanted),
            None => exact(pattern, lexeme),
        },
        (Json::Bool(value), Test::Is(pattern)) => exact(pattern, &value.to_string()),
        (Json::Null, Test::Is(pattern)) => exact(pattern, "null"),
        (Json::Number(text) | Json::Text(text), Test::Between { low, high }) if number_between(low, high) => {
            thousandfold(text).is_some_and(|value| ends(low, high, value))
        }
        (Json::Text(text), Test::Between { low, high }) => {
            let above = low.as_ref().is_none_or(|low| *text > low.value || (low.inclusive && *text == low.value));
            above && high.as_ref().is_none_or(|high| *text < high.value || (high.inclusive && *text == high.value))
        }
        _ => false,
    }
}

fn in_network(network: &str, address: &str) -> bool {
    // The text of the network itself is compared as text.
    NETWORKS.iter().any(|(name, members)| {
        *name == network && *name != "host.example" && members.iter().any(|member| *member == address && !member.contains('/'))
    })
}

fn scalars<'j>(json: &'j Json, found: &mut Vec<&'j str>) {
    match json {
        Json::Text(text) | Json::Number(text) => found.push(text),
        Json::List(elements) => elements.iter().for_each(|element| scalars(element, found)),
        Json::Object(members) => members.values().for_each(|value| scalars(value, found)),
        Json::Null | Json::Bool(_) => {}
    }
}

fn texts<'m>(event: &'m Model, field: KnownField) -> Vec<&'m str> {
    let one = |text: &'m Option<String>| text.iter().map(String::as_str).collect();
    let targets =
        |of: fn(&TargetModel) -> &Option<String>| event.targets.iter().filter_map(|target| of(target).as_deref()).collect();
    match field {
        KnownField::Action => vec![&event.action],
        KnownField::Tenant => vec![&event.tenant],
        KnownField::Source if event.source.is_empty() => vec![],
        KnownField::Source => vec![&event.source],
        KnownField::Framework => event.frameworks.iter().map(String::as_str).collect(),
        KnownField::Producer => event.producer.iter().map(|producer| producer.0.as_str()).collect(),
        KnownField::Id => one(&event.id),
        KnownField::ActorId => one(&event.actor_id),
        KnownField::ActorName => one(&event.actor_name),
        KnownField::ActorType => one(&event.actor_type),
        KnownField::ActorEmail => one(&event.actor_email),
        KnownField::Session => one(&event.session),
        KnownField::OriginIp => one(&event.ip),
        KnownField::OriginHost => one(&event.host),
        KnownField::OriginUserAgent => one(&event.user_agent),
        KnownField::TargetType => targets(|target| &target.0),
        KnownField::TargetId => targets(|target| &target.1),
        KnownField::TargetName => targets(|target| &target.2),
        KnownField::RawMediaType => event.raw.iter().map(|raw| raw.0.as_str()).collect(),
        _ => unreachable!("{field:?} is not generated as text"),
    }
}

fn twin(filter: &Filter, event: &Model) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(filters) => filters.iter().all(|filter| twin(filter, event)),
        Filter::Or(filters) => filters.iter().any(|filter| twin(filter, event)),
        Filter::Not(inner) => !twin(inner, event),
        Filter::Text(pattern) => {
            let mut all = vec![event.action.as_str()];
            for field in [
                KnownField::ActorId,
                KnownField::ActorName,
                KnownField::ActorType,
                KnownField::ActorEmail,
                KnownField::Session,
                KnownField::OriginIp,
                KnownField::OriginHost,
                KnownField::OriginUserAgent,
                KnownField::TargetType,
                KnownField::TargetId,
                KnownField::TargetName,
            ] {
                all.extend(texts(event, field));
            }
            event.details.iter().chain(&event.identity_details).for_each(|json| scalars(json, &mut all));
            all.extend(event.raw.iter().map(|raw| raw.1.as_str()));
            all.into_iter().any(|text| within(pattern, text))
        }
        Filter::Term(Name::Unknown(_), _) => unreachable!("not generated"),
        Filter::Term(Name::Details(steps), test) => {
            // An open range asks no more than existence.
            let exists = matches!(test, Test::Exists | Test::Between { low: None, high: None });
            let mut found = Vec::new();
            for json in event.details.iter().chain(&event.identity_details) {
                values(json, steps, !exists, &mut found);
            }
            if exists { !found.is_empty() } else { found.into_iter().any(|value| detail(value, test)) }
        }
        Filter::Term(Name::Field(field), test) => {
            let whole = |text: &str| text.parse().map(|number: i128| (number, number + 1)).unwrap();
            let rank = |words: &'static [&'static str]| {
                move |text: &str| {
                    let rank = i128::try_from(words.iter().position(|word| *word == text).unwrap()).unwrap();
                    (rank, rank + 1)
                }
            };
            let place =
                |words: &[&str], word: &str| i128::try_from(words.iter().position(|other| *other == word).unwrap()).unwrap();
            match field {
                KnownField::Seq => ranged(test, event.seq.into(), whole),
                KnownField::Log => ranged(test, event.log.into(), whole),
                KnownField::Weight => ranged(test, event.weight.into(), whole),
                KnownField::ProducerSeq => event.producer.as_ref().is_some_and(|producer| ranged(test, producer.2.into(), whole)),
                KnownField::Outcome => ranged(test, place(OUTCOMES, event.outcome.name()), rank(OUTCOMES)),
                KnownField::Severity => ranged(test, place(SEVERITIES, event.severity.name()), rank(SEVERITIES)),
                KnownField::Time | KnownField::Received => {
                    let read = |text: &str| {
                        let (_, first, behind) = TIMES.iter().find(|(written, ..)| *written == text).unwrap();
                        let ns = |seconds: i64| i128::from(seconds + START_OF_2021) * 1_000_000_000;
                        (ns(*first), ns(*behind))
                    };
                    ranged(test, i128::from(if *field == KnownField::Time { event.time } else { event.received }), read)
                }
                KnownField::Raw => event.raw.as_ref().is_some_and(|raw| match test {
                    Test::Is(pattern) => within(pattern, &raw.1),
                    _ => true,
                }),
                KnownField::OriginIp => event.ip.as_ref().is_some_and(|ip| match test {
                    Test::Is(pattern) => {
                        exact(pattern, ip) || pattern.as_literal().is_some_and(|network| in_network(network, ip))
                    }
                    _ => true,
                }),
                KnownField::Target => event.targets.iter().any(|(kind, id, _)| match (test, id) {
                    (Test::Is(pattern), Some(id)) => {
                        exact(pattern, id) || kind.as_ref().is_some_and(|kind| exact(pattern, &format!("{kind}:{id}")))
                    }
                    (Test::Is(_), None) => false,
                    _ => true,
                }),
                _ => texts(event, *field)
                    .into_iter()
                    .any(|text| if let Test::Is(pattern) = test { exact(pattern, text) } else { true }),
            }
        }
    }
}

const OUTCOMES: &[&str] = &["unknown", "success", "failure", "denied", "error"];
const SEVERITIES: &[&str] = &["info", "low", "medium", "high", "critical", "fatal"];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(WORDS).prop_map(str::to_owned)
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(word())
}

fn json_leaf() -> impl Strategy<Value = Json> {
    prop_oneof![
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::Bool),
        3 => prop::sample::select(NUMBERS).prop_map(|(lexeme, _)| number(lexeme)),
        2 => word().prop_map(Json::Text),
        1 => prop::sample::select(ADDRESSES).prop_map(text),
    ]
}

fn json() -> impl Strategy<Value = Json> {
    json_leaf().prop_recursive(3, 16, 4, |inner| {
        let key = prop::sample::select(KEYS).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::List),
            prop::collection::btree_map(key, inner, 0..4).prop_map(Json::Object),
        ]
    })
}

fn event() -> impl Strategy<Value = Model> {
    let head = (
        prop::sample::select(vec!["alice.bob", "Alice.Bob", "x.42"]),
        prop::sample::select(Outcome::ALL),
        prop::sample::select(Severity::ALL),
        (0i64..200_000, 0i64..200_000),
        (0u64..6, 0u32..3, 1u64..4),
        prop::option::of(prop::sample::select(vec!["alice", "42", "a\\b"])),
        prop::sample::select(vec!["", "alice"]),
        prop::option::of(0u64..4),
        prop::collection::vec(prop::sample::select(vec!["alice", "bob"]), 0..3),
    );
    let identity =
        ([maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe()], prop::option::of(prop::sample::select(ADDRESSES)));
    let target = (maybe(), maybe(), maybe());
    let content = (prop::collection::vec(target, 0..3), prop::option::of(json()), prop::option::of(json()), maybe());
    (head, identity, content).prop_map(|(head, (texts, ip), (targets, details, identity_details, raw))| {
        let (action, outcome, severity, (time, received), (seq, log, weight), id, source, producer, frameworks) = head;
        let [actor_id, actor_name, actor_type, actor_email, session, host, user_agent] = texts;
        Model {
            seq,
            log,
            weight,
            action: action.to_owned(),
            outcome,
            severity,
            time: (START_OF_2021 + time) * 1_000_000_000,
            received: (START_OF_2021 + received) * 1_000_000_000 + 999_999_999,
            id: Some(id.unwrap_or("bob").to_owned()),
            source: source.to_owned(),
            producer: producer.map(|count| ("alice".to_owned(), 1, count)),
            frameworks: frameworks.into_iter().map(str::to_owned).collect(),
            actor_id,
            actor_name,
            actor_type,
            actor_email,
            session,
            ip: ip.map(str::to_owned),
            host,
            user_agent,
            targets,
            details,
            identity_details,
            raw: raw.map(|text| ("alice".to_owned(), text)),
            ..Model::default()
        }
    })
}

fn test_of(values: Vec<String>) -> impl Strategy<Value = Test> {
    let limit = (prop::sample::select(values.clone()), any::<bool>()).prop_map(|(value, inclusive)| Limit { value, inclusive });
    prop_oneof![
        1 => Just(Test::Exists),
        3 => prop::sample::select(values).prop_map(|value| Test::Is(Pattern::literal(value))),
        3 => (prop::option::of(limit.clone()), prop::option::of(limit)).prop_map(|(low, high)| Test::Between { low, high }),
    ]
}

fn owned(values: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop::sample::select(PATTERNS).prop_map(Pattern::wild)
}

fn asked() -> impl Strategy<Value = Test> {
    prop_oneof![1 => Just(Test::Exists), 5 => pattern().prop_map(Test::Is)]
}

fn network_test() -> impl Strategy<Value = Test> {
    let networks: Vec<&str> = NETWORKS.iter().map(|(network, _)| *network).chain(["10.*", "*1"]).collect();
    prop::sample::select(networks).prop_map(|network| Test::Is(Pattern::wild(network)))
}

fn detail_test() -> impl Strategy<Value = Test> {
    let numbers = owned(NUMBERS.iter().map(|(lexeme, _)| *lexeme));
    let texts = owned(["alice", "b", "n", "two", "two\nlines", "\u{1f}", "x\u{1f}y"]);
    prop_oneof![4 => asked(), 4 => test_of(numbers), 2 => test_of(texts), 1 => network_test()]
}

fn detail_term() -> impl Strategy<Value = Filter> {
    let term = detail_test().prop_map(|test| Filter::Term(Name::Details(vec![Step::Key("a".to_owned())]), test));
    term.prop_filter("it means something", |filter| filter.compile(NOW).is_ok())
}

fn term() -> impl Strategy<Value = Filter> {
    use KnownField as F;
    let fields = vec![
        F::Action,
        F::Tenant,
        F::Source,
        F::Framework,
        F::Producer,
        F::Id,
        F::ActorId,
        F::ActorName,
        F::ActorType,
        F::ActorEmail,
        F::Session,
        F::OriginHost,
        F::OriginUserAgent,
        F::Target,
        F::TargetType,
        F::TargetId,
        F::TargetName,
        F::RawMediaType,
        F::Raw,
    ];
    let field = |fields: Vec<F>, test: BoxedStrategy<Test>| (prop::sample::select(fields).prop_map(Name::Field), test);
    let step = prop_oneof![5 => prop::sample::select(KEYS).prop_map(|key| Step::Key(key.to_owned())), 1 => Just(Step::Any)];
    let path = prop::collection::vec(step, 0..4).prop_map(Name::Details);
    let details = (path, detail_test()).boxed();
    prop_oneof![
        3 => pattern().prop_map(Filter::Text),
        8 => field(fields, asked().boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        2 => field(vec![F::Seq, F::Log, F::Weight, F::ProducerSeq], test_of(owned(["0", "1", "2", "3"])).boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        1 => field(vec![F::Severity], test_of(owned(SEVERITIES.iter().copied())).boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        1 => field(vec![F::Outcome], test_of(owned(OUTCOMES.iter().copied())).boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        2 => field(vec![F::Time, F::Received], test_of(owned(TIMES.iter().map(|(written, ..)| *written))).boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        2 => field(vec![F::OriginIp], network_test().boxed()).prop_map(|(name, test)| Filter::Term(name, test)),
        8 => details.prop_map(|(name, test)| Filter::Term(name, test)),
    ]
    // Upside-down ranges, ranges over words without order, empty free text: refused, and `errors` holds that they are.
    .prop_filter("it means something", |filter| filter.compile(NOW).is_ok())
}

fn filter() -> impl Strategy<Value = Filter> {
    term().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(6000), max_local_rejects: u32::MAX, ..ProptestConfig::default() })]

    #[test]
    fn single_terms_agree_with_the_twin(event in event(), filter in term()) {
        let matcher = filter.compile(NOW).unwrap();
        prop_assert_eq!(event.ask(|view| matcher.matches(view)), twin(&filter, &event), "{}", filter);
    }

    /// One value and one test of it: here most answers hang on the value itself.
    #[test]
    fn single_values_in_details_agree_with_the_twin(value in json_leaf(), filter in detail_term()) {
        let event = Model { details: Some(object([("a", value)])), ..Model::default() };
        let matcher = filter.compile(NOW).unwrap();
        prop_assert_eq!(event.ask(|view| matcher.matches(view)), twin(&filter, &event), "{}", filter);
    }

    #[test]
    fn whole_filters_agree_with_the_twin_and_so_do_their_queries(event in event(), filter in filter()) {
        let expected = twin(&filter, &event);
        let matcher = filter.compile(NOW).unwrap();
        prop_assert_eq!(event.ask(|view| matcher.matches(view)), expected, "{}", filter);
        let parsed = Filter::parse(&filter.to_string()).unwrap().compile(NOW).unwrap();
        prop_assert_eq!(event.ask(|view| parsed.matches(view)), expected, "{}", filter);
    }
}

/// The twin is worth nothing if it is asked only what is never true.
#[test]
fn the_generators_make_both_answers_common() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut all, mut details) = ([0, 0], [0, 0]);
    for _ in 0..2000 {
        let (event, filter) = (event(), term()).new_tree(&mut runner).unwrap().current();
        let answer = usize::from(twin(&filter, &event));
        all[answer] += 1;
        if matches!(filter, Filter::Term(Name::Details(_), _)) {
            details[answer] += 1;
        }
    }
    assert!(all[1] > 300 && all[0] > 300, "{all:?}");
    assert!(details[1] > 20, "{details:?}");
}

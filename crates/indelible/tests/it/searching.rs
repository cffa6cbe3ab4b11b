//! However an answer is found — by index, bounds, columns or records — it is the answer of looking at every event.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use indelible::search::{Filter, PageEnd, Query, Selector, View};
use indelible::{Class, Config, Draft, Outcome, Reader, Severity, Store, Trace};

const ACTIONS: [&str; 6] = ["user.login", "object.read", "object.delete", "role.grant", "config.change", "data.export"];
const TENANTS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
const TEXTS: [&str; 6] =
    ["plain", "Straße \u{1F600}", "quote\" and \\ slash", "line\nbreak\ttab", "needle in a haystack", "NEEDLE"];

/// A store of events that differ in everything a query can ask for: several segments, a journal behind them.
fn store(dir: &std::path::Path, events: u64, seals: &[u64]) -> Reader {
    let mut config = Config::new(dir.join("store"));
    config.sealing.background = false;
    config.sealing.rows_max = 2_048;
    let store = Store::open(config).unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    for n in 0..events {
        let actor = format!("u-{}", rng.u32(..300).min(rng.u32(..300)));
        let session = format!("s-{}", rng.u32(..900));
        let ip =
            if n % 17 == 0 { format!("2001:db8::{:x}", rng.u16(..)) } else { format!("10.0.{}.{}", rng.u8(..4), rng.u8(..)) };
        let target = format!("ds:{}", rng.u32(..200));
        let id = format!("own-{n}");
        let mut draft = Draft::new(*rng.choice(ACTIONS).as_ref().unwrap())
            .time_ns(1_700_000_000_000_000_000 + n.cast_signed() * 1_000_000_000 + rng.i64(-5_000_000_000..5_000_000_000))
            .tenant(TENANTS[rng.usize(..4)])
            .outcome(Outcome::ALL[rng.usize(..Outcome::ALL.len())])
            .severity(Severity::ALL[rng.usize(..Severity::ALL.len())])
            .ip(&ip)
            .target("dataset", &target)
            .detail("n", n)
            .detail("text", TEXTS[rng.usize(..6)]);
        if n % 3 != 0 {
            draft = draft.actor(&actor).actor_type("user").actor_name(TEXTS[rng.usize(..6)]);
        }
        if n % 2 == 0 {
            draft = draft.session(&session).target("bucket", "b\"1").host("app-1");
        }
        if n % 5 == 0 {
            draft = draft.id(&id);
        }
        if n % 11 == 0 {
            draft = draft.class(Class::Telemetry);
        }
        if n % 13 == 0 {
            let mut trace_id = [0; 16];
            trace_id[15] = u8::try_from(n % 251).unwrap();
            draft = draft.trace(Trace { trace_id, span_id: [7; 8] });
        }
        store.append(&draft).unwrap();
        if seals.contains(&n) {
            store.seal().unwrap();
        }
    }
    let reader = store.reader().unwrap();
    store.close().unwrap();
    reader
}

type Place = (u32, u64);

/// The answer of looking at every event.
fn asked_one_by_one(reader: &Reader, query: &Query) -> BTreeMap<Place, Vec<u8>> {
    let mut found = BTreeMap::new();
    let scan = reader.records(&mut |position| {
        if let Some(head) = position.record.head() {
            let view = View { log: position.log, seq: position.seq, record: position.record, head: &head };
            if query.matches(&view) {
                found.insert((position.log, position.seq), position.record.bytes().to_vec());
            }
        }
        ControlFlow::Continue(())
    });
    assert!(scan.unwrap().complete);
    found
}

fn queries() -> Vec<Query> {
    let texts = [
        "*",
        "actor.id:u-7",
        "actor.id:u-7 OR actor.id:u-8",
        "actor.id:u-1*",
        "NOT actor.id:*",
        "actor.id:nobody",
        "tenant:acme action:user.login",
        "tenant:acme action:(user.login OR role.grant)",
        "action:object.*",
        "severity:>=high outcome:failure",
        "NOT severity:low",
        "class:telemetry",
        "session:s-17",
        "ip:10.0.1.0/24",
        "ip:10.0.1.7",
        "ip:2001:db8::/32",
        "target:ds:17",
        "target:dataset:ds:17",
        "target.type:bucket",
        "target.id:\"b\\\"1\"",
        "target:*",
        "id:own-5*",
        "id:own-500",
        "trace:00000000000000000000000000000005",
        "span:0707070707070707",
        "details.n:1234",
        "details.n:[100 TO 120]",
        "details.text:\"needle in a haystack\"",
        "details.text:*needle*",
        "details.*:*tack*",
        "details.none:*",
        "needle",
        "break",
        "straße",
        "host:app-1 NOT outcome:success",
        "user_agent:*",
        "seq:[100 TO 3000]",
        "tenant_seq:<5",
        "weight:1",
        "time:>=2023-11-14T22:40:00Z time:<2023-11-14T23:00:00Z",
        "(actor.id:u-3 session:s-3*) OR (target.id:ds:3 NOT class:telemetry) OR details.n:4999",
        "log:2",
        "producer:*",
    ];
    let mut queries: Vec<Query> = texts
        .iter()
        .map(|text| Query::new(&text.parse::<Filter>().unwrap_or_else(|error| panic!("{text}: {error}")), 0).unwrap())
        .collect();
    let mut some = Query::new(&"outcome:success".parse().unwrap(), 0).unwrap();
    some.since = Some(1_700_000_000_000_000_000 + 2_000_000_000_000);
    some.until = Some(1_700_000_000_000_000_000 + 2_500_000_000_000);
    queries.push(some.clone());
    some.log = Some(2);
    queries.push(some);
    queries
}

/// Shown whole, all of it, in pages of this size.
fn paged(reader: &Reader, query: &Query, limit: u64) -> Vec<(Place, Vec<u8>)> {
    let mut all = Vec::new();
    let mut before: Option<PageEnd> = None;
    loop {
        let page = reader
            .latest(query, limit, before.as_ref(), &mut |view| {
                all.push(((view.log, view.seq), view.record.bytes().to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(page.incomplete, None);
        assert!(page.shown <= limit);
        match page.next {
            // As a caller would send it back.
            Some(next) => before = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
    }
}

fn compare(reader: &Reader) {
    for query in queries() {
        let expected = asked_one_by_one(reader, &query);
        let story = format!("{query:?}");
        let mut found = BTreeMap::new();
        let summary = reader
            .search(&query, &mut |view| {
                assert!(found.insert((view.log, view.seq), view.record.bytes().to_vec()).is_none(), "{story}: twice");
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(found == expected, "{story}: found {}, expected {}", found.len(), expected.len());
        assert_eq!((summary.matched, summary.incomplete), (expected.len() as u64, None), "{story}");
        assert_eq!(reader.count(&query).unwrap().matched, expected.len() as u64, "{story}");
        for limit in [if expected.len() < 300 { 7 } else { 613 }, 10_000] {
            let pages = paged(reader, &query, limit);
            assert_eq!(pages.len(), expected.len(), "{story}: pages of {limit}");
            for log in [1, 2] {
                let mine: Vec<u64> = pages.iter().filter(|((of, _), _)| *of == log).map(|((_, seq), _)| *seq).collect();
                assert!(mine.windows(2).all(|pair| pair[0] > pair[1]), "{story}: not newest first");
            }
            assert!(pages.into_iter().collect::<BTreeMap<_, _>>() == expected, "{story}: pages of {limit}");
        }
        for name in ["action", "actor.id", "target.id", "source", "details.text"] {
            let field = Selector::new(name).unwrap();
            let mut counts: BTreeMap<Option<String>, u64> = BTreeMap::new();
            for ((log, seq), bytes) in &expected {
                let record = indelible::Record::parse(bytes).unwrap();
                let head = record.head().unwrap();
                let mut values = Vec::new();
                field.each(&View { log: *log, seq: *seq, record: &record, head: &head }, &mut |value| {
                    values.push(value.into_owned())
                });
                values.sort_unstable();
                values.dedup();
                if values.is_empty() {
                    *counts.entry(None).or_default() += 1;
                }
                values.into_iter().for_each(|value| *counts.entry(Some(value)).or_default() += 1);
            }
            let facet = reader.facet(&query, &field).unwrap();
            assert_eq!(facet.counts.into_iter().collect::<BTreeMap<_, _>>(), counts, "{story}: {name}");
            assert_eq!(facet.summary.matched, expected.len() as u64);
        }
    }
}

#[test]
fn answers_are_those_of_looking_at_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let reader = store(dir.path(), 3_500, &[1_999, 2_100, 3_200]);
    assert!(reader.segments().unwrap().len() >= 4, "{:?}", reader.segments().unwrap());
    compare(&reader);
    compare(&store(&dir.path().join("journal"), 700, &[]));
}

/// The index is what makes it fast: most of what cannot match is not looked at.
#[test]
fn an_explained_search_says_what_was_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let reader = store(dir.path(), 5_000, &[4_999]);
    let ask = |text: &str| {
        let query = Query::new(&text.parse().unwrap(), 0).unwrap();
        reader.latest(&query, 100, None, &mut |_| ControlFlow::Continue(())).unwrap().explain
    };
    let by_id = ask("id:own-4000");
    assert!(by_id.blocks_by_index + 1 >= by_id.blocks && by_id.rows_read <= 1, "{by_id:?}");
    let none = ask("actor.id:nobody");
    assert_eq!((none.rows_sifted, none.rows_read), (0, 0), "{none:?}");
    let newest = ask("*");
    assert!(newest.segments_not_needed > 0 && newest.rows_read <= 110, "{newest:?}");
}

/// A page goes on where the one before it ended: what came since is not on it, whichever log it went to.
#[test]
fn what_came_after_a_page_is_not_on_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    let store = Store::open(config).unwrap();
    let write = |n: u64, class: Class| drop(store.append(&Draft::new("a.b").class(class).detail("n", n)).unwrap());
    (0..5).for_each(|n| write(n, Class::Telemetry));
    (5..20).for_each(|n| write(n, Class::Normal));
    let reader = store.reader().unwrap();
    let query = Query::new(&Filter::All, 0).unwrap();
    let (mut shown, mut before) = (Vec::new(), None);
    // The first page has nothing of the telemetry log.
    for page in 0..4u64 {
        let answer = reader.latest(&query, 5, before.as_ref(), &mut |view| {
            shown.push((view.log, view.seq));
            ControlFlow::Continue(())
        });
        before = answer.unwrap().next;
        write(100 + page, Class::Telemetry);
        write(200 + page, Class::Normal);
        store.seal().unwrap();
    }
    let expected: Vec<Place> = (0..15).rev().map(|seq| (1, seq)).chain((0..5).rev().map(|seq| (2, seq))).collect();
    assert_eq!((shown, before), (expected, None));
}

/// What a reader keeps of the unsealed part is bounded: older records are read again, and of a block of which some are sealed by then only
/// the others.
#[test]
fn a_tail_that_is_not_kept_in_memory_is_read_again_though_its_beginning_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    config.journal_file_bytes_max = 4 << 20;
    config.search_cache_bytes = 64 << 10;
    let pad = "x".repeat(900);
    let store = Store::open(config.clone()).unwrap();
    let draft = |n: u64| Draft::new("a.b").detail("n", n).detail("pad", pad.as_str());
    (0..7_000).for_each(|n| assert!(store.emit(&draft(n)).is_ok()));
    let reader = store.reader().unwrap();
    store.close().unwrap();
    let check = || {
        for n in [0, 1_023, 3_700, 4_000, 4_300, 6_999] {
            let query = Query::new(&format!("details.n:{n}").parse().unwrap(), 0).unwrap();
            let found = reader.latest(&query, 5, None, &mut |view| {
                assert_eq!(view.seq, n);
                ControlFlow::Continue(())
            });
            assert_eq!(found.unwrap().shown, 1, "{n}");
            assert_eq!(reader.count(&query).unwrap().matched, 1, "{n}");
        }
    };
    check();
    config.sealing.background = true;
    config.sealing.journal_bytes = 1;
    let store = Store::open(config).unwrap();
    while reader.segments().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let sealed = reader.segments().unwrap().iter().map(|info| info.end()).max().unwrap();
    assert!((1_024..6_000).contains(&sealed) && sealed % 1_024 != 0, "{sealed}");
    check();
    store.close().unwrap();
    check();
}

/// What was answered about a segment before is answered again without looking, and is what looking gives; whatever window it is asked in.
#[test]
fn answers_that_were_kept_are_those_of_looking_again() {
    let dir = tempfile::tempdir().unwrap();
    let reader = store(dir.path(), 4_000, &[1_500, 3_000]);
    let fields = ["action", "actor.id", "details.n"].map(|name| Selector::new(name).unwrap());
    let mut queries = queries();
    let (first, last) = (1_700_000_000_000_000_000, 1_800_000_000_000_000_000);
    for (since, until) in [(Some(first), None), (Some(first), Some(last)), (Some(first + 1_500_000_000_000), Some(last))] {
        let mut query = Query::new(&"outcome:success".parse().unwrap(), 0).unwrap();
        (query.since, query.until) = (since, until);
        queries.push(query);
    }
    for round in 0..2 {
        for query in &queries {
            let mut again = query.clone();
            again.remembered = false;
            assert_eq!(reader.count(query).unwrap().matched, reader.count(&again).unwrap().matched, "{query:?}");
            for field in &fields {
                let (kept, looked) = (reader.facet(query, field).unwrap(), reader.facet(&again, field).unwrap());
                assert_eq!(kept.counts, looked.counts, "{query:?}");
                assert_eq!(looked.summary.explain.segments_by_result, 0);
                let (known, asked) = (kept.summary.explain.segments_by_result, kept.summary.explain);
                assert!(round == 0 || known + asked.segments_by_time == asked.segments, "{query:?}: {asked:?}");
            }
        }
        let counts = reader.result_counts();
        assert!((round == 0 || counts.hits > counts.misses / 2) && counts.bytes > 0, "{counts:?}");
    }
    // A window that holds all of a segment is no other question than none; one that cuts it is.
    let mut query = Query::new(&"class:normal".parse().unwrap(), 0).unwrap();
    reader.count(&query).unwrap();
    (query.since, query.until) = (Some(0), Some(i64::MAX));
    let explain = reader.count(&query).unwrap().explain;
    assert_eq!(explain.segments_by_result + explain.segments_by_time, explain.segments);
    // Times that move make another question.
    let text: Filter = "time:>=now-1h".parse().unwrap();
    let asked = |now| reader.count(&Query::new(&text, now).unwrap()).unwrap();
    let (then, later) = (asked(1_700_003_600_000_000_000), asked(last));
    assert!(then.matched > 0 && later.matched == 0, "{} {}", then.matched, later.matched);
}

/// Targets beyond the sixty that have spans, columns and an index are found all the same, sealed or not.
#[test]
fn the_last_of_many_targets_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    let store = Store::open(config).unwrap();
    for n in 0..3_000u64 {
        let ids: Vec<String> = (0..if n == 1_500 { 70 } else { 1 }).map(|nth| format!("t-{n}-{nth}")).collect();
        let draft = ids.iter().fold(Draft::new("a.b"), |draft, id| draft.target("x", id));
        assert!(store.emit(&draft).is_ok());
    }
    store.flush().unwrap();
    let reader = store.reader().unwrap();
    for _ in 0..2 {
        for (text, wanted) in [("target.id:t-1500-65", 1_500), ("target:\"x:t-1500-69\"", 1_500), ("target.id:t-2999-0", 2_999)] {
            let query = Query::new(&text.parse().unwrap(), 0).unwrap();
            let mut found = Vec::new();
            let latest = reader.latest(&query, 5, None, &mut |view| {
                found.push(view.seq);
                ControlFlow::Continue(())
            });
            assert_eq!((found.as_slice(), latest.unwrap().shown), (&[wanted][..], 1), "{text}");
            assert_eq!(reader.count(&query).unwrap().matched, 1, "{text}");
        }
        store.seal().unwrap();
    }
}

/// While events are written and sealed, every page is the one that looking at every event would give: none is missing, none comes twice.
#[test]
fn a_page_is_whole_while_its_events_are_being_sealed() {
    const ACTORS: u64 = 50;
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.journal_bytes = 1;
    config.journal_file_bytes_max = 1 << 20;
    config.search_cache_bytes = 256 << 10;
    let store = Store::open(config).unwrap();
    let reader = store.reader().unwrap();
    let pad = "x".repeat(300);
    let mut sealed = 0;
    for round in 1..=60u64 {
        for n in (round - 1) * 400..round * 400 {
            let actor = format!("u-{}", n % ACTORS);
            assert!(store.emit(&Draft::new("a.b").actor(&actor).detail("n", n).detail("pad", pad.as_str())).is_ok());
        }
        store.flush().unwrap();
        let (durable, actor) = (round * 400, round * 7 % ACTORS);
        let query = Query::new(&format!("actor.id:u-{actor}").parse().unwrap(), 0).unwrap();
        let mut found = Vec::new();
        let latest = reader.latest(&query, 100, None, &mut |view| {
            found.push(view.seq);
            ControlFlow::Continue(())
        });
        let expected: Vec<u64> = (0..durable).rev().filter(|n| n % ACTORS == actor).take(100).collect();
        assert_eq!(found, expected, "round {round}");
        assert_eq!(latest.unwrap().incomplete, None);
        assert_eq!(reader.count(&query).unwrap().matched, durable / ACTORS);
        sealed = reader.segments().unwrap().iter().map(|info| info.count).sum();
    }
    assert!(sealed > 1_000, "{sealed}");
    store.close().unwrap();
}

/// Log by log, and each in its order: what is sealed of them, and when, makes no difference.
#[test]
fn the_order_of_events_is_the_same_sealed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.sealing.background = false;
    let store = Store::open(config).unwrap();
    let reader = store.reader().unwrap();
    for n in 0..3_000u64 {
        let class = if n % 3 == 0 { Class::Telemetry } else { Class::Normal };
        assert!(store.emit(&Draft::new("a.b").class(class).detail("n", n)).is_ok());
    }
    store.flush().unwrap();
    let ask = |text: &str, from: &[(u32, u64)]| {
        let query = Query::new(&text.parse().unwrap(), 0).unwrap();
        let mut found: Vec<Place> = Vec::new();
        let each = &mut |view: &View<'_>| {
            found.push((view.log, view.seq));
            ControlFlow::Continue(())
        };
        reader.search_from(&query, from, each).unwrap();
        found
    };
    let unsealed = ["*", "details.n:<2000"].map(|text| ask(text, &[]));
    assert!(unsealed[0].is_sorted() && unsealed[0].len() == 3_000);
    store.seal().unwrap();
    let sealed = ["*", "details.n:<2000"].map(|text| ask(text, &[]));
    assert!(unsealed == sealed);
    // Somebody who broke off before it was sealed goes on behind what was shown.
    for shown in [0, 1, 700, 1_999, 2_000, 2_001, 2_999, 3_000] {
        let (before, rest) = unsealed[0].split_at(shown);
        let mut from = BTreeMap::new();
        before.iter().for_each(|(log, seq)| {
            from.insert(*log, seq + 1);
        });
        assert!(ask("*", &from.into_iter().collect::<Vec<_>>()) == rest, "{shown}");
    }
}

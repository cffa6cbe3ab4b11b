//! Rows that look alike are rebuilt many at once: what comes back is what each of them gives by itself, and what was written.

use std::ops::ControlFlow;

use indelible_format::draft::Target;
use indelible_format::json::canonical::Checker;
use indelible_format::span::{self, Spans};
use indelible_format::{Canonical, Class, Draft, Outcome, Producer, Record, Severity, Tag};
use indelible_segment::{PageCache, Rebuilt, Scratch, Segment};

use crate::support::{event, round_trip, write};

/// Texts of every length that is copied in another way, and some that need escapes.
fn text(rng: &mut fastrand::Rng, few: bool) -> String {
    let length = *rng.choice(&[0, 1, 3, 7, 8, 31, 32, 33, 127, 128, 300]).unwrap();
    let number = if few { rng.u32(..50) } else { rng.u32(..) };
    let mut text = format!("{number:x}").repeat(length / 2 + 1);
    text.truncate(length);
    match rng.u32(..30) {
        0 => text.push('"'),
        1 => text.push('\u{1}'),
        2 => text.push('é'),
        _ => {}
    }
    text
}

/// Events with a UUID. `odd`: one in so many is not as usual.
fn rows(count: i64, targets: bool, producer: bool, odd: Option<u32>, rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(40_000));
    (0..count)
        .map(|nth| {
            let texts: Vec<String> = (0..10).map(|nth| text(rng, nth != 4)).collect();
            let [id, name, email, kind, session, ip, agent, host, target, tenant] = texts.as_slice() else { unreachable!() };
            let mut draft =
                Draft::new(*rng.choice(&["user.login", "data.read"]).unwrap()).time_ns(nth - 3).weight(1 + rng.u64(..2));
            let mut some = |share: u32| rng.u32(..4) < share;
            if some(3) {
                draft = draft.actor(id);
            }
            if some(2) {
                draft = draft.actor_name(name).actor_email(email);
            }
            if some(1) {
                draft = draft.actor_type(kind).user_agent(agent);
            }
            if some(2) {
                draft = draft.session(session).ip(ip);
            }
            if some(1) {
                draft = draft.host(host).identity_details(Canonical::trusted(br#"{"deep":[1,{"b":null}]}"#));
            }
            if some(2) {
                draft = draft.tenant(if tenant.is_empty() || tenant.len() > 100 { "t" } else { tenant }).source("api");
            }
            if some(3) {
                draft = draft.detail("n", nth).detail("text", target);
            } else if nth % 500 == 7 {
                draft = draft.details_json(Canonical::trusted(long.as_bytes()));
            }
            if targets {
                let text = |there: bool| there.then_some(target.as_str());
                let [kind, id, name] = [some(2), some(3), some(1)].map(text);
                draft.targets.push(Target { kind, id, name });
            }
            if producer {
                draft = draft.producer(Producer { id: "p-1", epoch: 3, seq: nth.unsigned_abs() });
            }
            if odd.is_some_and(|odd| rng.u32(..odd) == 0) {
                draft = draft.id("no uuid").frameworks(&["sox"]);
            }
            event(&draft, nth, rng.u64(..1 << 40))
        })
        .collect()
}

#[test]
fn rows_rebuilt_together_are_those_rebuilt_one_by_one() {
    let mut rng = fastrand::Rng::with_seed(11);
    // The last has so many sessions that their dictionary is given up.
    for (count, targets, producer, odd) in [
        (1, true, true, None),
        (900, false, false, None),
        (900, true, false, None),
        (3_000, true, true, Some(2_000)),
        (20_000, true, true, None),
    ] {
        let records = rows(count, targets, producer, odd, &mut rng);
        let (bytes, summary) = round_trip(777, &records);
        assert_eq!(summary.whole, 0);
        let segment = Segment::open(bytes).unwrap();
        let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
        for (seq, record) in (777..).zip(&records).step_by(7) {
            assert_eq!(segment.record(seq, &cache, &mut scratch).unwrap(), Some(record.as_slice()));
        }
    }
}

/// Whoever believes that must not believe too much: what is said to come from columns is checked here as if nothing were known of it.
#[test]
fn what_is_laid_out_from_columns_is_canonical_and_has_the_spans_of_its_values() {
    let mut rng = fastrand::Rng::with_seed(12);
    for odd in [None, Some(600)] {
        let (bytes, _) = write(0, &rows(2_000, true, false, odd, &mut rng));
        let (mut checker, mut spans, mut from_columns, mut otherwise) = (Checker::new(), Spans::new(), 0, 0);
        let segment = Segment::open(bytes).unwrap();
        let checked = segment.checked_records(0..u64::MAX, &mut |seq, bytes, rebuilt| {
            let record = Record::parse(bytes).unwrap();
            let group = |tag| record.value(tag);
            span::derive_checked(&mut checker, group(Tag::IDENTITY), group(Tag::CONTENT), &mut spans).unwrap();
            assert!(record.spans_are(&spans), "position {seq}");
            assert!(record.groups().all(|(_, body)| body.value().is_some_and(|value| value != b"{}")), "position {seq}");
            match rebuilt {
                Rebuilt::FromColumns => from_columns += 1,
                Rebuilt::Otherwise => otherwise += 1,
            }
            ControlFlow::Continue(())
        });
        assert!(checked.unwrap().differences.is_empty());
        assert!(from_columns > 500, "{from_columns} and {otherwise}");
        assert_eq!(from_columns + otherwise, 2_000);
    }
}

/// What is laid out from a strip, and what is laid out row by row, are both what was written. Gives how many rows came from a strip.
#[track_caller]
fn both_agree(records: &[Vec<u8>]) -> usize {
    let (bytes, summary) = round_trip(777, records);
    assert_eq!(summary.whole, 0);
    let segment = Segment::open(bytes).unwrap();
    let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
    for (seq, record) in (777..).zip(records) {
        assert!(segment.record(seq, &cache, &mut scratch).unwrap() == Some(record.as_slice()), "position {seq} by itself");
    }
    let mut from_columns = 0;
    let checked = segment.checked_records(0..u64::MAX, &mut |_, _, rebuilt| {
        from_columns += usize::from(matches!(rebuilt, Rebuilt::FromColumns));
        ControlFlow::Continue(())
    });
    assert!(checked.unwrap().differences.is_empty());
    from_columns
}

/// The texts of an event that it may have or not, but for those of targets.
const TEXTS: usize = 10;

fn with_text<'t>(draft: Draft<'t>, field: usize, text: &'t str) -> Draft<'t> {
    match field {
        0 => draft.actor(text),
        1 => draft.actor_name(text),
        2 => draft.actor_email(text),
        3 => draft.actor_type(text),
        4 => draft.session(text),
        5 => draft.ip(text),
        6 => draft.user_agent(text),
        7 => draft.host(text),
        8 => draft.identity_details(Canonical::trusted(text.as_bytes())),
        _ => draft.details_json(Canonical::trusted(text.as_bytes())),
    }
}

/// Whether a field's text is JSON.
const fn is_json(field: usize) -> bool {
    field >= 8
}

/// A strip knows these fields by hand, and so does who lays out a row by itself: each of them is there and is not, beside each other.
#[test]
fn fields_that_are_there_and_not_in_every_combination_are_laid_out_alike() {
    let texts = ["plain", "needs \"escapes\"\n"];
    let json = [r#"{"a":1}"#, r#"{"b":[null,"\\"]}"#];
    for (has_target, has_producer) in [(false, false), (false, true), (true, false), (true, true)] {
        let members = if has_target { 0..8usize } else { 0..1 };
        let records: Vec<Vec<u8>> = members
            .flat_map(|members| (0..1usize << TEXTS).map(move |fields| (members, fields)))
            .zip(0..)
            .map(|((members, fields), nth)| {
                // Both kinds of text meet every combination's neighbours; escapes in a target are for the next test.
                let kind = usize::from(nth % 3 == 0);
                let mut draft = Draft::new("data.read");
                for field in (0..TEXTS).filter(|field| fields >> field & 1 == 1) {
                    draft = with_text(draft, field, if is_json(field) { json[kind] } else { texts[kind] });
                }
                if has_target {
                    let member = |bit: usize, text| (members >> bit & 1 == 1).then_some(text);
                    draft.targets.push(Target { kind: member(0, "bucket"), id: member(1, "b-1"), name: member(2, "") });
                }
                if has_producer {
                    draft = draft.producer(Producer { id: "p-1", epoch: 3, seq: nth });
                }
                event(&draft, nth.cast_signed(), nth)
            })
            .collect();
        let from_columns = both_agree(&records);
        assert!(from_columns * 10 >= records.len() * 9, "{from_columns} of {} rows came from a strip", records.len());
    }
}

/// Texts as short and as long as they may be, and as long as where something about them is written in another way: copies of 32 bytes,
/// spans of one, two and three bytes. Then numbers and words.
#[test]
fn the_extremes_of_every_field_are_laid_out_alike() {
    let lengths = [0, 1, 31, 32, 33, 127, 128, 129, 8_191, 8_192];
    let mut texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
    texts.extend(["\0".repeat(8_192), "\u{7f}\u{2028}/".into(), "\u{10ffff}".repeat(2_048), "\\\"\u{1f}".repeat(20)]);
    let long = |bytes: usize| format!("{{\"t\":\"{}\"}}", "x".repeat(bytes - 8));
    let json: Vec<String> =
        [8, 127, 128, 16_383, 16_384, 16_385, 1 << 17, (1 << 20) - 256].into_iter().map(long).chain(["{}".into()]).collect();
    let (id, action, source) = ("p".repeat(128), format!("{}.b", "a".repeat(126)), "s".repeat(64));
    let tenants = ["t".to_owned(), "t".repeat(128)];
    for (has_target, has_producer) in [(false, false), (false, true), (true, false), (true, true)] {
        let usual = || {
            let mut draft = Draft::new("data.read").actor("u-1").session("s-1").tenant("acme").detail("n", 1u64);
            if has_target {
                draft.targets.push(Target { kind: Some("bucket"), id: Some("b-1"), name: None });
            }
            if has_producer {
                draft = draft.producer(Producer { id: "p-1", epoch: 3, seq: 4 });
            }
            draft
        };
        let mut drafts = Vec::new();
        for field in 0..TEXTS {
            let texts = if is_json(field) { &json } else { &texts };
            drafts.extend(texts.iter().map(|text| with_text(usual(), field, text)));
        }
        for text in texts.iter().filter(|_| has_target) {
            for member in 0..3 {
                let mut draft = usual();
                let mut target = Target { kind: Some("bucket"), id: None, name: None };
                *[&mut target.kind, &mut target.id, &mut target.name][member] = Some(text);
                draft.targets = indelible_format::draft::Few::new();
                draft.targets.push(target);
                drafts.push(draft);
            }
        }
        for number in [0, 1, u64::MAX] {
            drafts.push(usual().weight(number.max(1)));
            if has_producer {
                drafts.push(usual().producer(Producer { id: &id, epoch: number, seq: 1 }));
                drafts.push(usual().producer(Producer { id: "p", epoch: 1, seq: number }));
            }
        }
        drafts.extend([i64::MIN, -1, 0, i64::MAX].map(|time| usual().time_ns(time)));
        drafts.extend(Outcome::ALL.iter().map(|outcome| usual().outcome(*outcome)));
        drafts.extend(Severity::ALL.iter().map(|severity| usual().severity(*severity)));
        drafts.extend([Class::Critical, Class::Normal, Class::Telemetry].map(|class| usual().class(class)));
        drafts.extend(tenants.iter().map(|tenant| usual().tenant(tenant)));
        drafts.push(usual().source(&source));
        drafts.push(Draft { action: action.as_str().into(), ..usual() });
        drafts.push(Draft { action: "a.b".into(), ..usual() });
        // Each beside what is usual, so that it is a strip's; times and numbers of the writer's own at their ends.
        let ends = [i64::MIN, -1, 0, 1, i64::MAX];
        let records: Vec<Vec<u8>> = drafts
            .iter()
            .zip(0..)
            .flat_map(|(draft, nth)| {
                let end = ends[nth % ends.len()];
                [event(&usual(), 7, 7), event(draft, end, end.cast_unsigned()), event(&usual(), 8, 8)]
            })
            .collect();
        let from_columns = both_agree(&records);
        assert!(from_columns * 2 > records.len(), "{from_columns} of {} rows came from a strip", records.len());
    }
}

//! Rows that look alike are rebuilt many at once: what comes back is what each of them gives by itself, and what was written.

use std::ops::ControlFlow;

use indelible_format::json::canonical::Checker;
use indelible_format::span::{self, Spans};
use indelible_format::{Canonical, Draft, Producer, Record, Tag};
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
                draft.targets.push(indelible_format::draft::Target { kind, id, name });
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

//! Records of every shape.

use indelible_format::draft::Raw;
use indelible_format::head::Trace;
use indelible_format::limits;
use indelible_format::record::{self, Idempotency};
use indelible_format::{Canonical, Class, Draft, Hash, Outcome, Producer, Record, Severity, taxonomy};
use indelible_segment::{Options, PageCache, Scratch, Segment, SegmentError, SegmentWriter};

use crate::support::{LOG, event, proof, read, round_trip, write};

fn full() -> Draft<'static> {
    Draft::new(taxonomy::USER_LOGIN)
        .outcome(Outcome::Denied)
        .severity(Severity::Fatal)
        .class(Class::Telemetry)
        .time_ns(-1)
        .tenant("other")
        .source("cloudtrail")
        .producer(Producer { id: "p", epoch: u64::MAX, seq: u64::MAX })
        .trace(Trace { trace_id: [1; 16], span_id: [2; 8] })
        .frameworks(&["sox", "hipaa"])
        .weight(u64::MAX)
        .actor("ä \"quoted\" \u{1b}[31m")
        .actor_type("user")
        .actor_name("")
        .actor_email("a@example.com")
        .session("s-1")
        .ip("10.0.0.1")
        .user_agent("curl/8 \\ \u{2028}")
        .host("h")
        .identity_details(Canonical::trusted(br#"{"deep":[1,2.50,1e400,"\u0000"]}"#))
        .target("repo", "42")
        .target("user", "bob")
        .detail("n", 9_007_199_254_740_993_u64)
        .detail("text", "\u{0}\n\t")
        .raw(Raw { media_type: "application/xml", bytes: b"<a>\xff</a>" })
}

fn shapes() -> Vec<Vec<u8>> {
    let mut records = vec![event(&full(), i64::MAX, u64::MAX), event(&Draft::new("a.b"), i64::MIN, 0)];
    // Each text alone, empty and not.
    for text in ["", "x"] {
        for draft in [
            Draft::new("a.b").actor(text),
            Draft::new("a.b").actor_name(text),
            Draft::new("a.b").session(text),
            Draft::new("a.b").host(text),
            Draft::new("a.b").target(text, text),
            Draft::new("a.b").detail("", text),
        ] {
            records.push(event(&draft, 0, 1));
        }
    }
    records.push(event(&full().id("my own id"), 5, 2));
    records.push(event(&full().id("0192f0c1-2345-7abc-8def-0123456789ab"), 5, 3));
    records.push(event(&full().details_json(Canonical::trusted(b"[null]")), 5, 4));
    let mut many = full();
    many.targets.extend((0..limits::SPANNED_TARGETS_MAX).map(|_| indelible_format::draft::Target {
        kind: None,
        id: Some("t"),
        name: Some("n"),
    }));
    records.push(event(&many, 5, 5));
    let mut keyed = event(&full(), 6, 6);
    record::insert_idempotency(&mut keyed, &Idempotency { key: [3; 16], statement: [4; 16] }).unwrap();
    records.push(keyed);
    records.push(event(&full().idempotency_key("a key"), 7, 7));
    let mut control = Vec::new();
    record::encode_control(LOG, br#"{"type":"gap"}"#, &mut control).unwrap();
    let mut leaf = Vec::new();
    record::encode_leaf(LOG, &Hash([9; 32]), &mut leaf);
    records.extend([control, leaf]);
    records
}

#[test]
fn records_of_every_shape_come_back_byte_for_byte() {
    let records = shapes();
    for first_seq in [0, 255, 1 << 40] {
        let (_, summary) = round_trip(first_seq, &records);
        // Only the event with more targets than are spanned is beyond its columns.
        assert_eq!(summary.whole, 1);
    }
    round_trip(3, &[]);
}

#[test]
fn any_number_of_rows_comes_back() {
    let one = event(&full(), 1, 1);
    for rows in [1, 255, 256, 257, 4_095, 4_096, 4_097, 8_193] {
        round_trip(300, &vec![one.clone(); rows]);
    }
}

#[test]
fn one_record_is_read_by_its_position() {
    let records: Vec<_> = (0..9_000i64).map(|n| event(&full(), n, n.unsigned_abs())).collect();
    let (bytes, _) = write(1_000, &records);
    let segment = Segment::open(bytes).unwrap();
    let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
    for nth in [0, 1, 255, 256, 4_096, 8_191, 8_192, 8_999] {
        let found = segment.record(1_000 + nth as u64, &cache, &mut scratch).unwrap();
        assert_eq!(found, records.get(nth).map(Vec::as_slice));
    }
    for outside in [0, 999, 10_000, u64::MAX] {
        assert_eq!(segment.record(outside, &cache, &mut scratch).unwrap(), None);
    }
}

/// A record that no encoder of ours makes: its columns would give back another one, so it is kept whole.
#[test]
fn what_the_columns_cannot_say_is_kept_whole() {
    let good = event(&Draft::new("a.b").actor("alice").detail("n", 1u8), 1, 1);
    let at = good.windows(5).position(|five| five == b"alice").unwrap();
    let mut odd = good.clone();
    // Escaped though it need not be: not canonical, but stored.
    odd.splice(at..at + 5, *b"\\u0061lice".as_slice().first_chunk::<10>().unwrap());
    let grown = 5u32;
    let length = u32::try_from(odd.len()).unwrap();
    odd[..4].copy_from_slice(&length.to_le_bytes());
    let identity = u32::from_le_bytes(odd[20..24].try_into().unwrap()) + grown;
    odd[20..24].copy_from_slice(&identity.to_le_bytes());
    assert!(record_parses(&odd));
    let (_, summary) = round_trip(0, &[good, odd]);
    assert_eq!(summary.whole, 1);
}

fn record_parses(bytes: &[u8]) -> bool {
    indelible_format::Record::parse(bytes).is_some()
}

#[test]
fn a_changed_segment_is_refused_or_says_something_else() {
    let records = vec![event(&full(), 1, 1); 600];
    let (good, _) = write(0, &records);
    assert_eq!(Segment::open(good.clone()).unwrap().proof().unwrap(), proof(0, 600));
    for cut in [0, 1, 100, good.len() / 2, good.len() - 1] {
        assert!(read(good.slice(..cut)).is_err(), "cut at {cut}");
    }
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut refused, mut other, mut same) = (0, 0, 0);
    for _ in 0..400 {
        let mut bad = good.to_vec();
        let at = rng.usize(..bad.len());
        bad[at] ^= 1 << rng.u8(..8);
        match read(bad.into()) {
            Err(_) => refused += 1,
            Ok(found) if found.iter().map(|(_, record)| record).eq(&records) => same += 1,
            Ok(_) => other += 1,
        }
    }
    // What is refused here, and what comes back changed is caught by the hashes; statistics nobody asked for may differ.
    println!("{refused} refused, {other} changed, {same} the same");
    assert!(refused > 50);
    let proof_at = good.windows(8).position(|window| window == b"INDLSEG1").unwrap();
    let mut bad = good.to_vec();
    bad[proof_at + 40] ^= 1;
    assert!(matches!(read(bad.into()), Err(SegmentError::Damaged { .. })));
    assert!(matches!(read(bytes::Bytes::from_static(b"PAR1")), Err(SegmentError::Foreign(_))));
}

/// Who leaves out the writer's comparison finds the records that differ by reading, and names them.
#[test]
fn a_caller_that_compares_finds_what_its_writer_did_not_look_at() {
    let mut records = crate::support::mixed(600, 31);
    // A byte between texts: the columns cannot say it.
    let odd = records.iter().position(|record| record.windows(10).any(|window| window == b"\"actor\":{\"")).unwrap();
    let at = records[odd].windows(10).position(|window| window == b"\"actor\":{\"").unwrap();
    records[odd][at + 1] = b'b';
    let write = |kept: &[u64]| {
        let mut writer = SegmentWriter::new(Vec::new(), LOG, 0, Options::default()).unwrap();
        writer.leave_comparison_to_caller();
        writer.keep_whole(kept.iter().copied());
        records.iter().for_each(|record| writer.push(&Record::parse(record).unwrap()).unwrap());
        let (bytes, summary) = writer.finish(&proof(0, 600)).unwrap();
        (crate::support::read(bytes.into()).unwrap(), summary.whole)
    };
    let (found, whole) = write(&[]);
    let differ: Vec<u64> =
        found.iter().zip(&records).filter(|((_, found), record)| found != *record).map(|((seq, _), _)| *seq).collect();
    assert_eq!((differ.as_slice(), whole), ([odd as u64].as_slice(), 0));
    let (found, whole) = write(&differ);
    assert!(found.iter().map(|(_, record)| record).eq(&records));
    assert_eq!(whole, 1);
}

/// Runs of one word that are long enough for a page of their own, behind each other and between rows that differ, when the words have
/// their numbers already.
#[test]
fn long_runs_of_a_word_come_back_wherever_they_begin_and_end() {
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut records, mut action) = (Vec::new(), 0);
    while records.len() < 160_000 {
        let length = *rng.choice(&[1, 200, 256, 1_000, 4_096, 9_000, 17_000]).unwrap();
        action = (action + rng.u32(1..4)) % 5;
        let name = ["a.b", "c.d", "e.f", "g.h", "i.j"][action as usize];
        for _ in 0..length {
            let seq = records.len() as u64;
            records.push(event(&Draft::new(name), 1, seq));
        }
    }
    let (_, summary) = round_trip(0, &records);
    assert_eq!(summary.whole, 0);
}

//! What is left to a writer is read whatever it chose, and more search for repeats makes smaller files.

use std::ops::ControlFlow;

use indelible_format::leaf::Seed;
use indelible_format::{Draft, Hash, Id, Record, Stamp, encode};

use super::{Options, SegmentWriter};
use crate::index::{IdIndex, IndexField};
use crate::proof::Proof;
use crate::read::Segment;

const LOG: u32 = 1;
const REASONS: [&str; 6] = ["scheduled report", "user request", "api call", "retry after timeout", "policy sync", "batch job"];

/// Events whose ids are numbers; every tenth was overtaken by `ahead` others, as critical events overtake.
fn records(count: u64, ahead: u64) -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(14);
    let record = |n: u64| {
        let mut uuid = [7; 16];
        let number = if n.is_multiple_of(10) { n + ahead } else { n };
        uuid.iter_mut().skip(8).zip((0..8).rev()).for_each(|(byte, nth)| *byte = number.to_le_bytes()[nth]);
        let request = format!("{:016x}{:016x}", rng.u64(..), rng.u64(..));
        let draft = Draft::new("data.read").detail("duration_us", rng.u32(90..200_000)).detail("mfa", rng.bool());
        let draft = draft.detail("reason", REASONS[rng.usize(..REASONS.len())]).detail("request_id", request.as_str());
        let stamp = Stamp { received: n.cast_signed(), uuid, producer: None, tenant: "acme", log: LOG };
        let mut memory = Vec::new();
        let encoded = encode(&draft, &stamp, &mut memory).unwrap();
        memory.truncate(encoded.bytes);
        memory
    };
    (0..count).map(record).collect()
}

fn writer(records: &[Vec<u8>], level: i32) -> (SegmentWriter<Vec<u8>>, Proof) {
    let mut writer = SegmentWriter::new(Vec::new(), LOG, 0, Options { level }).unwrap();
    records.iter().for_each(|record| writer.push(&Record::parse(record).unwrap()).unwrap());
    let groups = records.len() / 256;
    let proof = Proof {
        origin: "example.com/audit/1".into(),
        log: LOG,
        first_seq: 0,
        count: records.len() as u64,
        before: Vec::new(),
        roots: vec![Hash::ZERO; groups],
        seeds: vec![Seed([1; 32]); groups],
    };
    (writer, proof)
}

#[test]
fn ids_that_lie_in_a_few_pages_are_indexed_or_not_and_found_either_way() {
    let records = records(16_384, 5_000);
    let mut bytes_of = Vec::new();
    for is_indexed in [false, true] {
        let (writer, proof) = writer(&records, 1);
        let written = writer.finish_as(&proof, |ids| {
            assert_eq!(ids, IdIndex::Optional);
            ids.or(is_indexed)
        });
        let (bytes, summary) = written.unwrap();
        bytes_of.push(summary.index_bytes);
        let segment = Segment::open(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(segment.check_index().unwrap(), [], "indexed: {is_indexed}");
        let checked = segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(checked.differences, []);
        for (block, record) in (0..16).zip(records.iter().step_by(1_024)) {
            let record = Record::parse(record).unwrap();
            let Id::Uuid(id) = record.head().unwrap().id else { panic!("it has a UUID") };
            let blocks = segment.blocks_of(IndexField::Id, &id).unwrap();
            assert_eq!(blocks.map(|blocks| blocks.numbers().contains(&block)), is_indexed.then_some(true));
        }
    }
    // Who is free to choose leaves them out.
    let (writer, proof) = writer(&records, 1);
    let (_, summary) = writer.finish(&proof).unwrap();
    assert_eq!(summary.index_bytes, bytes_of[0]);
    assert!(bytes_of[0] + 16_384 * 2 < bytes_of[1], "{bytes_of:?}");
}

#[test]
fn texts_that_repeat_between_random_digits_take_less_at_higher_levels() {
    let records = records(8_192, 0);
    let bytes = |level| {
        let (writer, proof) = writer(&records, level);
        writer.finish(&proof).unwrap().1.bytes
    };
    let [fast, near, far] = [1, 9, 12].map(bytes);
    assert!(near + 8_192 < fast && far <= near + 1_024, "{fast} {near} {far}");
}

#[test]
fn what_a_writer_says_that_it_takes_is_about_what_its_file_comes_to() {
    let mut rng = fastrand::Rng::with_seed(15);
    let large: Vec<Vec<u8>> = (0..512)
        .map(|n| {
            let text: String = (0..20_000).map(|_| rng.char('#'..='[')).collect();
            let stamp = Stamp { received: n, uuid: [7; 16], producer: None, tenant: "acme", log: LOG };
            let mut memory = Vec::new();
            let encoded = encode(&Draft::new("file.read").detail("text", text.as_str()), &stamp, &mut memory).unwrap();
            memory.truncate(encoded.bytes);
            memory
        })
        .collect();
    for records in [large, records(16_384, 0)] {
        let (writer, proof) = writer(&records, 1);
        let said = writer.memory();
        let bytes = usize::try_from(writer.finish(&proof).unwrap().1.bytes).unwrap();
        // Dictionaries and index take more than they do in the file.
        assert!(said >= bytes * 3 / 4 && said <= bytes * 4, "{said} for a file of {bytes} bytes");
    }
}

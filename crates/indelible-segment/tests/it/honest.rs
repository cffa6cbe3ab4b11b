//! Who reads the columns alone sees the same log: columns that say other things than a record kept whole are found.

use std::ops::ControlFlow;

use indelible_format::{Draft, Record};
use indelible_segment::{Checked, Column, Options, PageCache, Scratch, Segment, SegmentError, SegmentWriter};
use indelible_testkit::parquet::replace_word;

use crate::forge::{self, Value};
use crate::support::{LOG, event, mixed, proof, write};

/// A segment in which each of these records stands whole beside its columns.
fn whole(first_seq: u64, records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(Vec::new(), LOG, first_seq, Options::default()).unwrap();
    writer.keep_whole(first_seq..first_seq + records.len() as u64);
    records.iter().for_each(|record| writer.push(&Record::parse(record).unwrap()).unwrap());
    writer.finish(&proof(first_seq, records.len() as u64)).unwrap().0
}

fn checked(bytes: Vec<u8>) -> Checked {
    Segment::open(bytes).unwrap().checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).unwrap()
}

fn same(count: u64) -> Vec<Vec<u8>> {
    let draft = Draft::new("data.read").actor("mallory").session("s-17").target("repo", "secrets").ip("10.9.8.7");
    (0..count).map(|nth| event(&draft.clone().detail("n", nth), 1_000 + nth.cast_signed(), nth)).collect()
}

#[test]
fn nothing_is_found_where_columns_and_records_agree() {
    for (first_seq, records) in [(0, mixed(9_000, 11)), (256 * 5 + 7, mixed(1_300, 12)), (0, same(700))] {
        assert_eq!(checked(whole(first_seq, &records)), Checked::default(), "whole, from {first_seq}");
        assert_eq!(checked(write(first_seq, &records).0.to_vec()), Checked::default(), "from {first_seq}");
    }
}

#[test]
fn a_column_beside_a_whole_record_is_compared_with_it() {
    let records = same(700);
    let good = whole(512, &records);
    for (from, to, column) in [
        ("data.read", "data.lose", Column::Action),
        ("mallory", "somebody".split_at(7).0, Column::ActorId),
        ("s-17", "s-99", Column::Session),
        ("10.9.8.7", "10.0.0.1", Column::OriginIp),
        ("secrets", "nothing", Column::TargetId),
    ] {
        let mut bad = good.clone();
        assert!(replace_word(&mut bad, from, to), "{from}");
        let found = checked(bad);
        assert_eq!(found.lies, Some((700, 512)), "{column:?}");
        // The index was made from other terms, and says so.
        assert!(
            found.differences.iter().any(|difference| difference.column == Some(column)),
            "{column:?}: {:?}",
            found.differences
        );
    }
}

/// Where no record stands whole, what the columns say is the record: another leaf, but no lie.
#[test]
fn without_whole_records_there_is_nothing_to_compare_with() {
    let mut other = write(0, &same(700)).0.to_vec();
    assert!(replace_word(&mut other, "mallory", "somebod"));
    assert_eq!(checked(other).lies, None);
}

/// From the middle on, rows before are compared with what the file says of them all the same; of its columns only those that are read.
#[test]
fn reading_from_the_middle_checks_the_same() {
    let mut bad = whole(0, &same(700));
    assert!(replace_word(&mut bad, "mallory", "somebod"));
    let segment = Segment::open(bad).unwrap();
    let all = segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    let part = segment.checked_records(300..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((all.lies, part.lies), (Some((700, 0)), Some((400, 300))));
    assert_eq!(all.differences, part.differences);
    let apart = segment.check_index().unwrap().into_iter().chain(segment.check_statistics().unwrap());
    assert!(apart.eq(all.differences));
}

/// What stands whole is handed out as it stands; so it is looked at before.
#[test]
fn a_whole_record_that_is_none_is_named() {
    let records = same(200);
    let good = whole(512, &records);
    let (footer, _) = forge::footer(&good).unwrap();
    let column = Column::Record as usize;
    let pages = forge::pages(&good, &footer, column);
    let [(_, header, body)] = pages.as_slice() else { unreachable!() };
    let levels = usize::try_from(header.number(&[8, 5]).unwrap()).unwrap();
    let with = |stood: &[Vec<u8>]| {
        let texts = stood.iter().flat_map(|record| [&u32::try_from(record.len()).unwrap().to_le_bytes()[..], record].concat());
        let page: Vec<u8> = good[body.start..body.start + levels].iter().copied().chain(texts).collect();
        let mut header = header.clone();
        header.put(&[2], Value::i32(i32::try_from(page.len()).unwrap()));
        header.put(&[8, 7], Value::Bool(false));
        forge::with_column(&good, column, None, &[(0, forge::page(&header, &page))]).unwrap()
    };
    assert_eq!(crate::support::read(with(&records).into()).unwrap().len(), 200);
    let mut of_another_log = records[77].clone();
    of_another_log[8] ^= 1;
    let cut = &records[77][..records[77].len() - 1];
    for lie in [b"no record".to_vec(), Vec::new(), of_another_log, cut.to_vec(), [&records[77][..], b"more"].concat()] {
        let mut stood = records.clone();
        stood[77] = lie;
        let file = with(&stood);
        let is_named = |error| matches!(error, SegmentError::Damaged { what: "a row is no record", seq: 589 });
        assert!(is_named(crate::support::read(file.clone().into()).unwrap_err()));
        let segment = Segment::open(file).unwrap();
        let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
        assert!(is_named(segment.record(589, &cache, &mut scratch).unwrap_err()));
        assert!(segment.record(588, &cache, &mut scratch).unwrap().is_some());
    }
}

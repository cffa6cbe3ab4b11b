//! Whatever was done to a file, reading it ends with an error or with other records: never with a panic, a hang, or memory without end.

use std::ops::ControlFlow;

use indelible_segment::{Column, IndexField, PageCache, Scratch, Segment, SegmentError};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::support::{mixed, write};

/// Reads everything there is to read. Gives the first error, and what came before.
fn read_all(bytes: Vec<u8>) -> (Vec<Vec<u8>>, Result<(), SegmentError>) {
    let mut records = Vec::new();
    let result = (|| {
        let segment = Segment::open(bytes)?;
        let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
        let mut failed = segment
            .records(0..u64::MAX, &mut |_, record| {
                records.push(record.to_vec());
                ControlFlow::Continue(())
            })
            .err();
        let mut note = |result: Result<(), SegmentError>| failed = failed.take().or(result.err());
        for row in [0, segment.rows() / 2, segment.rows().saturating_sub(1)] {
            note(segment.record(segment.first_seq() + u64::from(row), &cache, &mut scratch).map(drop));
            for column in Column::ALL.iter().copied().filter(|_| row < segment.rows()) {
                note(segment.page(column, row, &cache).map(|page| {
                    let mut indices = Vec::new();
                    page.indices(&mut indices);
                    page.numbers(&mut Vec::new());
                }));
                note(segment.plain_texts(column, row, &mut Vec::new()).map(drop));
            }
        }
        note(segment.blocks_of(IndexField::Tenant, b"acme").map(drop));
        note(segment.check_statistics().map(drop));
        note(segment.check_index().map(drop));
        note(segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).map(drop));
        failed.map_or(Ok(()), Err)
    })();
    (records, result)
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let (good, _) = write(3, &mixed(400, 20));
    for cut in (0..good.len()).step_by(61).chain(good.len() - 70..good.len()) {
        assert!(Segment::open(good.slice(..cut)).is_err(), "cut at {cut} of {}", good.len());
    }
    assert!(read_all(good.to_vec()).1.is_ok());
}

#[test]
fn any_changed_byte_is_an_error_or_another_record_or_of_no_account() {
    let records = mixed(60, 21);
    let (good, _) = write(3, &records);
    let mut rng = fastrand::Rng::with_seed(22);
    let (mut refused, mut other, mut same) = (0, 0, 0);
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= if rng.bool() { 1 << rng.u8(..8) } else { rng.u8(1..) };
        match read_all(bad) {
            (_, Err(_)) => refused += 1,
            (found, Ok(())) if found == records => same += 1,
            (_, Ok(())) => {
                println!("byte {at} of {}", good.len());
                other += 1;
            }
        }
    }
    println!("{refused} refused, {other} other records, {same} the same, of {} bytes", good.len());
    // What is of no account: statistics, names of encodings, sizes for other readers. Each of those has a check of its own.
    assert!(refused > good.len() / 2);
    assert_eq!(other, 0, "a changed page is not decoded");
}

#[test]
fn pages_in_each_others_place_do_not_pass_unnoticed() {
    let records = mixed(9_000, 23);
    let (good, _) = write(0, &records);
    let metadata =
        ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&good).unwrap();
    let indexes = metadata.page_index_for_row_group(0);
    let mut swapped = 0;
    for column in 0..metadata.row_group(0).num_columns() {
        let pages = indexes.page_locations(column).unwrap();
        for (one, two) in pages.iter().zip(pages.iter().skip(1)) {
            let place = |offset: i64, length: i32| offset as usize..offset as usize + length as usize;
            let short = one.compressed_page_size.min(two.compressed_page_size);
            let (first, second) = (place(one.offset, short), place(two.offset, short));
            let mut bad = good.to_vec();
            let kept = bad[first.clone()].to_vec();
            bad.copy_within(second.clone(), first.start);
            bad[second].copy_from_slice(&kept);
            if bad == good {
                continue;
            }
            swapped += 1;
            let (found, result) = read_all(bad);
            assert!(result.is_err() || found != records, "column {column}");
        }
    }
    assert!(swapped > 30, "{swapped}");
}

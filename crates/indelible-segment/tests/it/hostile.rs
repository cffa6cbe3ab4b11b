//! Whatever was done to a file, reading it ends with an error or with other records: never with a panic, a hang, or memory without end.

use std::ops::ControlFlow;

use indelible_format::Draft;
use indelible_segment::{Column, IndexField, PageCache, Scratch, Segment, SegmentError};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::forge;
use crate::support::{event, mixed, write};

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
        for field in IndexField::ALL {
            note(segment.blocks_of(*field, b"acme").map(drop));
        }
        note(segment.numbers_of(Column::Session, b"s-1", &cache).map(drop));
        note(segment.proof().map(drop));
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

/// Some bytes of a page, its header, its levels or its values; of a block, or of what says where pages are: anything but the footer.
fn struck(good: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let (footer, end) = forge::footer(good).unwrap();
    let mut bad = good.to_vec();
    for _ in 0..rng.usize(1..4) {
        let pages = forge::pages(good, &footer, rng.usize(..Column::ALL.len()));
        let (start, _, body) = rng.choice(&pages).unwrap();
        let last_page = forge::pages(good, &footer, Column::ALL.len() - 1).last().unwrap().2.end;
        let range = match rng.u32(..8) {
            0 => *start..body.start,
            1..=3 => body.start..(body.start + 12).min(body.end),
            4 | 5 => body.clone(),
            _ => last_page..end,
        };
        let at = rng.usize(range.start..range.end.max(range.start + 1));
        let byte = *rng.choice([0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, rng.clone().u8(..)].iter()).unwrap();
        let to = (at + rng.usize(1..3)).min(range.end.max(at + 1));
        bad.get_mut(at..to).unwrap().fill(byte);
    }
    forge::repair(&mut bad);
    bad
}

/// Checksums keep nobody out who can reckon: with all of them right, what decodes pages, levels, dictionaries and the index is on its own.
#[test]
fn with_checksums_made_right_a_file_is_read_or_refused_by_name() {
    let sessions: Vec<String> = (0..4_000u64).map(|nth| format!("s-{:016x}", nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let in_pieces: Vec<Vec<u8>> = (0i64..)
        .zip(&sessions)
        .map(|(nth, session)| event(&Draft::new("a.b").session(session), nth, nth.cast_unsigned()))
        .collect();
    let mut rng = fastrand::Rng::with_seed(33);
    let (mut refused, mut behind, mut read) = (0, 0, 0);
    for (records, rounds) in [(mixed(60, 21), 2_000), (mixed(200, 32), 600), (in_pieces, 40)] {
        let good = write(3, &records).0.to_vec();
        let mut unchanged = good.clone();
        forge::repair(&mut unchanged);
        assert!(unchanged == good, "what is right stays as it is");
        for round in 0..rounds {
            match read_all(struck(&good, &mut rng)).1 {
                Ok(()) => read += 1,
                Err(SegmentError::Damaged { what, .. }) => {
                    refused += 1;
                    behind += usize::from(!what.contains("was changed"));
                }
                Err(SegmentError::Foreign(_)) => refused += 1,
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
    }
    println!("{refused} refused, {behind} of them behind a checksum, {read} read");
    assert!(behind > 800 && read > 100, "{refused} refused, {behind} of them behind a checksum, {read} read");
}

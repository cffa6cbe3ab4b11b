//! No file makes a reader ask for memory beyond a bound, whatever it claims.
//!
//! A binary of its own, with one test: what is looked at is the address space of the process, which counts what was asked for even if
//! nothing was written to it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use indelible_format::Draft;
use indelible_format::sha256::sha256;
use indelible_segment::{Column, IndexField, PageCache, Scratch, Segment, SegmentError};

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "it/support.rs"]
mod support;

#[path = "forge/mod.rs"]
mod forge;

use forge::{Struct, Value};

/// Memory that a reader of a file of some dozen kilobytes may ask for beyond what it takes for a good one: a page of one column takes 4 MiB
/// without justification.
const BYTES_MAX: u64 = 8 << 20;

/// The most memory that the process had asked for at any time.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn read(bytes: Vec<u8>) -> Result<(), SegmentError> {
    let segment = Segment::open(bytes)?;
    let (cache, mut scratch, mut memory) = (PageCache::new(1 << 20), Scratch::default(), Vec::new());
    let mut result = segment.records(0..u64::MAX, &mut |_, _| ControlFlow::Continue(()));
    result = result.and(segment.record(segment.first_seq(), &cache, &mut scratch).map(drop));
    for column in Column::ALL.iter().copied() {
        result = result.and(segment.page(column, 0, &cache).map(|page| {
            page.indices(&mut Vec::new());
            page.numbers(&mut Vec::new());
        }));
        result = result.and(segment.plain_texts(column, 0, &mut memory).map(drop));
    }
    result = result.and(segment.blocks_of(IndexField::Tenant, b"acme").map(drop));
    result = result.and(segment.check_statistics().map(drop));
    result = result.and(segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).map(drop));
    result.and(segment.check_index().map(drop))
}

/// A file with a dictionary in pieces whose list says that each of them holds so many texts, in so many bytes; with its digest made right.
fn with_pieces_of(good: &[u8], texts: u32, raw: Option<u32>) -> Vec<u8> {
    let mut bad = good.to_vec();
    let find = |what: &[u8]| good.windows(what.len()).position(|window| window == what).unwrap();
    let (list, said) = (find(b"INDLPCS1"), find(b"indelible.pieces"));
    let words = String::from_utf8_lossy(good.get(said..said + 80).unwrap()).into_owned();
    let end = list + words.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    let hex = |bytes: &[u8]| sha256(bytes).0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let old = hex(good.get(list..end).unwrap());
    // Magic, count, and of the one column its number, start and number of pieces; then four numbers each.
    for piece in bad.get_mut(list + 24..end).unwrap().chunks_exact_mut(16) {
        piece.get_mut(8..12).unwrap().copy_from_slice(&texts.to_le_bytes());
        raw.into_iter().for_each(|raw| piece.get_mut(4..8).unwrap().copy_from_slice(&raw.to_le_bytes()));
    }
    let (at, new) = (find(old.as_bytes()), hex(bad.get(list..end).unwrap()));
    bad.get_mut(at..at + new.len()).unwrap().copy_from_slice(new.as_bytes());
    bad
}

/// Stored bytes of a page that claims to become more.
const STORED_BYTES: usize = 3 << 20;
/// Memory for a file of that size, which is copied while it is made and read, whatever its pages claim.
const LARGE_BYTES_MAX: u64 = 64 << 20;

/// A file of some megabytes: most of them are one compressed page of a column, or its dictionary, that claims to become `raw_bytes`.
fn swelling(good: &[u8], column: Column, raw_bytes: i32, as_dictionary: bool) -> Vec<u8> {
    let (footer, _) = forge::footer(good).unwrap();
    let pages = forge::pages(good, &footer, column as usize);
    let (_, dictionary, _) = pages.first().unwrap();
    let (_, data, body) = pages.last().unwrap();
    let rows = footer.number(&[3]).unwrap();
    let mut noise = vec![0; STORED_BYTES];
    noise.fill_with({
        let mut rng = fastrand::Rng::with_seed(1);
        move || rng.u8(..)
    });
    if as_dictionary {
        let mut header: Struct = dictionary.clone();
        header.put(&[2], Value::i32(raw_bytes));
        return forge::with_column(
            good,
            column as usize,
            Some(&forge::page(&header, &noise)),
            &[(0, good.get(body.clone()).unwrap().to_vec())],
        )
        .unwrap();
    }
    // Every row has a value: levels are one run of ones.
    let run = u16::try_from(rows * 2).unwrap();
    let levels = [(run & 0x7f | 0x80).to_le_bytes()[0], (run >> 7).to_le_bytes()[0], 1];
    let mut header: Struct = data.clone();
    header.put(&[2], Value::i32(raw_bytes));
    for (member, number) in [(1, rows), (2, 0), (3, rows), (4, 0), (5, 3), (6, 0)] {
        header.put(&[8, member], Value::i32(i32::try_from(number).unwrap()));
    }
    header.put(&[8, 7], Value::Bool(true));
    forge::with_column(good, column as usize, None, &[(0, forge::page(&header, &[&levels[..], &noise].concat()))]).unwrap()
}

/// Of each stored byte a thousand may come; but no page becomes longer than the longest values of its column, however many bytes it has.
fn a_large_page_becomes_no_longer_than_its_column_can() {
    let (good, _) = support::write(3, &support::mixed(300, 20));
    let before = peak();
    for (column, raw_bytes, as_dictionary) in [
        (Column::Details, i32::MAX, false),
        (Column::Session, i32::MAX, false),
        (Column::Action, 1 << 30, false),
        (Column::Action, 8 << 20, false),
        (Column::Tenant, 1 << 30, true),
        (Column::Session, i32::MAX, true),
    ] {
        let bad = swelling(&good, column, raw_bytes, as_dictionary);
        assert!(bad.len() > STORED_BYTES);
        assert!(read(bad).is_err(), "{column:?}");
        let asked = peak() - before;
        assert!(asked <= LARGE_BYTES_MAX, "{column:?} asked for {asked} bytes");
    }
}

#[test]
fn a_hostile_file_gets_no_more_memory_than_a_bound() {
    let (good, _) = support::write(3, &support::mixed(300, 20));
    let mut rng = fastrand::Rng::with_seed(24);
    // What a good file needs, and what the allocator sets aside for itself.
    read(good.to_vec()).unwrap();
    let before = peak();
    let mut refused = 0;
    for round in 0..4_000 {
        let mut bad = good.to_vec();
        // Half of all changes are where lengths and counts stand: in the footer and what is in front of it.
        let from = if round % 2 == 0 { 0 } else { bad.len() * 3 / 4 };
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(from..bad.len());
            // The highest numbers that the bytes of a length can make, or any. Several in a row: a length takes up to five.
            let byte = *rng.choice([0xff, 0x7f, 0xfe, 0x80, rng.clone().u8(..)].iter()).unwrap();
            let end = (at + rng.usize(1..6)).min(bad.len());
            bad[at..end].fill(byte);
        }
        // Half of all get beyond checksums.
        if round % 4 < 2 {
            forge::repair(&mut bad);
        }
        refused += usize::from(read(bad).is_err());
        let asked = peak() - before;
        assert!(asked <= BYTES_MAX, "round {round} asked for {asked} bytes");
    }
    assert!(refused > 2_000, "{refused}");

    let session = |nth: u64| format!("s-{:016x}", nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let sessions: Vec<String> = (0..6_000).map(session).collect();
    let records: Vec<Vec<u8>> = (0i64..)
        .zip(&sessions)
        .map(|(nth, session)| support::event(&Draft::new("a.b").session(session), nth, nth.cast_unsigned()))
        .collect();
    let (good, _) = support::write(0, &records);
    let ask = |file: Vec<u8>| Segment::open(file)?.numbers_of(Column::Session, b"s-none", &PageCache::new(1 << 20));
    assert_eq!(ask(good.to_vec()).unwrap(), Some(Vec::new()));
    let before = peak();
    for (texts, raw) in [(1 << 26, None), (1 << 26, Some(1 << 20)), (1 << 18, Some(1 << 20)), (1, Some(0))] {
        let bad = with_pieces_of(&good, texts, raw);
        assert!(ask(bad).is_err(), "{texts}");
        let asked = peak() - before;
        assert!(asked <= BYTES_MAX, "{texts} texts in each piece asked for {asked} bytes");
    }
    a_large_page_becomes_no_longer_than_its_column_can();
}

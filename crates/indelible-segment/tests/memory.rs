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
}

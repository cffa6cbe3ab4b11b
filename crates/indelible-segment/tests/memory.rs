//! No file makes a reader ask for memory beyond a bound, whatever it claims.
//!
//! A binary of its own, with one test: what is looked at is the address space of the process, which counts what was asked for even if
//! nothing was written to it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

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
}

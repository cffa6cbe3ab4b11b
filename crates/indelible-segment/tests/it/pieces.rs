//! A large dictionary is stored in pieces: one text is had without the others, and everyone else reads it as ever.

use std::ops::ControlFlow;

use bytes::Bytes;
use indelible_format::sha256::sha256;
use indelible_format::{Draft, Record};
use indelible_segment::{Column, PageCache, Scratch, Segment};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{event, round_trip};

const TEXTS: u32 = 9_000;

fn session(nth: u32) -> String {
    format!("s-{:08x}", nth.wrapping_mul(0x9e37_79b1))
}

/// Rows with one of many sessions, or none, and targets of as many.
fn records() -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(3);
    let row = |nth: i64| {
        let texts: [String; 4] = std::array::from_fn(|_| session(rng.u32(..TEXTS)));
        let mut draft = Draft::new("a.b");
        if nth % 7 != 0 {
            draft = draft.session(&texts[3]);
        }
        let targets = if nth < 4_096 { 1 } else { rng.usize(..4) };
        draft = texts.iter().take(targets).fold(draft, |draft, id| draft.target("x", id));
        event(&draft, 1_700_000_000_000_000_000 + nth, nth.cast_unsigned())
    };
    (0..30_000).map(row).collect()
}

#[test]
fn a_row_of_a_large_dictionary_is_the_row_with_a_cache_or_without() {
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    let segment = Segment::open(bytes).unwrap();
    for cache_bytes in [0, 256 << 10, 64 << 20] {
        let (cache, mut scratch) = (PageCache::new(cache_bytes), Scratch::default());
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..if cache_bytes == 0 { 50 } else { 3_000 } {
            let nth = rng.usize(..records.len());
            assert_eq!(segment.record(nth as u64, &cache, &mut scratch).unwrap(), Some(records[nth].as_slice()), "{nth}");
        }
        assert!(cache.bytes() <= cache_bytes);
        for _ in 0..if cache_bytes == 0 { 3 } else { 60 } {
            let rows: Vec<u32> = (0..100).map(|_| rng.u32(..u32::try_from(records.len()).unwrap())).collect();
            let each = &mut |nth: usize, record: &[u8]| {
                assert!(record == records[rows[nth] as usize], "{}", rows[nth]);
                ControlFlow::Continue(())
            };
            segment.records_of(&rows, &cache, each).unwrap();
        }
        assert!(cache.bytes() <= cache_bytes);
    }
    // The dictionaries themselves are 250 KB and more.
    let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
    segment.record(20_000, &cache, &mut scratch).unwrap();
    assert!(cache.bytes() < 64 << 10, "{}", cache.bytes());
}

#[test]
fn the_number_of_a_text_is_found_and_is_in_its_rows() {
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    let segment = Segment::open(bytes).unwrap();
    let cache = PageCache::new(64 << 20);
    for nth in (0..TEXTS).step_by(301) {
        let text = session(nth);
        let numbers = segment.numbers_of(Column::Session, text.as_bytes(), &cache).unwrap().unwrap();
        for (row, record) in (0u32..).zip(&records).step_by(53) {
            let page = segment.numbers_page(Column::Session, row, &cache).unwrap();
            let says = Record::parse(record).unwrap().field(indelible_format::Field::Session) == Some(text.as_bytes());
            let is = page.is_numbered() && page.index(row).is_some_and(|number| numbers.contains(&number));
            assert_eq!(is || page.bytes(row) == Some(text.as_bytes()), says, "{row}");
        }
    }
    assert_eq!(segment.numbers_of(Column::Session, b"s-none", &cache).unwrap(), Some(Vec::new()));
    // A short one is read as a whole.
    assert_eq!(segment.numbers_of(Column::Action, b"a.b", &cache).unwrap(), None);
}

#[test]
fn another_reader_reads_a_dictionary_in_pieces() {
    use arrow_array::cast::AsArray as _;
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut expected = records.iter();
    for batch in reader {
        let batch = batch.unwrap();
        let sessions = batch.column_by_name("session").unwrap().as_string::<i32>();
        for found in sessions {
            let record = Record::parse(expected.next().unwrap()).unwrap();
            assert_eq!(found.map(str::as_bytes), record.field(indelible_format::Field::Session));
        }
    }
    assert!(expected.next().is_none());
}

fn find(file: &[u8], what: &[u8]) -> usize {
    file.windows(what.len()).position(|window| window == what).unwrap()
}

/// Where the list of pieces is in a file.
fn list_of(file: &[u8]) -> std::ops::Range<usize> {
    let start = find(file, b"INDLPCS1");
    let said = find(file, b"indelible.pieces");
    let words = String::from_utf8_lossy(file.get(said..said + 80).unwrap()).into_owned();
    let length = words.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    start..start + length
}

fn replace(file: &mut [u8], old: &[u8], new: &[u8]) {
    let at = find(file, old);
    file.get_mut(at..at + new.len()).unwrap().copy_from_slice(new);
}

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn where_pieces_are_is_read_and_not_looked_for() {
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
    let segment = Segment::open(bytes.clone()).unwrap();
    assert_eq!(segment.record(20_000, &cache, &mut scratch).unwrap(), Some(records[20_000].as_slice()));
    let listed = cache.counts().bytes_read;
    // A file of a writer that does not list them is read as ever.
    let mut unlisted = bytes.to_vec();
    replace(&mut unlisted, b"indelible.pieces", b"indelible.unused");
    let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
    let segment = Segment::open(Bytes::from(unlisted)).unwrap();
    for nth in [20_000, 7, 29_999] {
        assert_eq!(segment.record(nth, &cache, &mut scratch).unwrap(), Some(records[nth as usize].as_slice()));
    }
    assert_eq!(segment.check_piece_lists().unwrap(), []);
    assert!(listed + (100 << 10) < cache.counts().bytes_read, "{listed}, {:?}", cache.counts());
}

/// Whatever the list says: no row is shown as another, and who checks the file finds it.
#[test]
fn a_list_of_pieces_that_lies_is_found() {
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    assert_eq!(Segment::open(bytes.clone()).unwrap().check_piece_lists().unwrap(), []);
    let list = list_of(&bytes);
    let old = hex(&bytes[list.clone()]);
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut refused, mut shown) = (0, 0);
    for round in 0..24 {
        let mut changed = bytes.to_vec();
        let at = rng.usize(list.clone());
        changed[at] ^= 1 << rng.u8(..8);
        // Every other liar is careful enough to say the right digest.
        if round % 2 == 0 {
            let new = hex(&changed[list.clone()]);
            replace(&mut changed, old.as_bytes(), new.as_bytes());
        }
        let segment = Segment::open(Bytes::from(changed)).unwrap();
        assert_ne!(segment.check_piece_lists().unwrap(), [], "{at}");
        let checked = segment.checked_records(0..u64::MAX, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert!(checked.differences.iter().any(|found| found.what.contains("dictionary pieces")), "{checked:?}");
        let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
        for nth in (0..records.len()).step_by(1_501) {
            match segment.record(nth as u64, &cache, &mut scratch) {
                Ok(found) => shown += usize::from(found == Some(records[nth].as_slice())),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0 && shown > 0, "{refused} {shown}");
}

/// Wherever a byte of a piece is changed, nothing else is shown in its place.
#[test]
fn a_piece_that_was_changed_is_not_believed() {
    let records = records();
    let (bytes, _) = round_trip(0, &records);
    let mut rng = fastrand::Rng::with_seed(4);
    let mut refused = 0;
    for _ in 0..40 {
        let mut changed = bytes.to_vec();
        let at = rng.usize(..changed.len());
        changed[at] ^= 1 << rng.u8(..8);
        let Ok(segment) = Segment::open(Bytes::from(changed)) else { continue };
        let (cache, mut scratch) = (PageCache::new(1 << 20), Scratch::default());
        for nth in (0..records.len()).step_by(1_501) {
            match segment.record(nth as u64, &cache, &mut scratch) {
                Ok(found) => assert_eq!(found, Some(records[nth].as_slice()), "{nth}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0);
}

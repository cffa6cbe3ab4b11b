//! Any row gives the same record by itself as in its turn, whatever page, cache or run it is in.

use std::ops::ControlFlow;

use indelible_format::Record;
use indelible_format::event::Field;
use indelible_format::leaf::Seed;
use indelible_segment::{BLOCK_ROWS, Column, Options, PageBounds, PageCache, Scratch, Segment, SegmentWriter};

use crate::support::{mixed, read, write};

#[test]
fn random_access_gives_what_streaming_gives() {
    let records = mixed(30_500, 1);
    let (bytes, summary) = write(77, &records);
    assert_eq!(summary.whole, 0);
    assert_eq!(read(bytes.clone()).unwrap().into_iter().map(|(_, record)| record).collect::<Vec<_>>(), records);
    let segment = Segment::open(bytes).unwrap();
    for cache_bytes in [0, 1 << 20, 64 << 20] {
        let (cache, mut scratch) = (PageCache::new(cache_bytes), Scratch::default());
        let step = if cache_bytes < 64 << 20 { 97 } else { 1 };
        for (nth, record) in records.iter().enumerate().step_by(step) {
            assert_eq!(segment.record(77 + nth as u64, &cache, &mut scratch).unwrap(), Some(record.as_slice()), "{nth}");
        }
        assert!(cache.bytes() <= cache_bytes, "{} of {cache_bytes}", cache.bytes());
        cache.forget(segment.id());
        assert_eq!(cache.bytes(), 0);
    }
}

/// In any order, far apart or next to each other, one of them twice.
#[test]
fn rows_read_together_are_those_read_one_by_one() {
    let records = mixed(30_500, 21);
    let segment = Segment::open(write(3, &records).0).unwrap();
    let mut rng = fastrand::Rng::with_seed(22);
    for cache_bytes in [0, 1 << 20, 64 << 20] {
        let cache = PageCache::new(cache_bytes);
        for round in 0..40 {
            let near = rng.u32(..29_000);
            let row = |rng: &mut fastrand::Rng| if round % 2 == 0 { rng.u32(..30_500) } else { near + rng.u32(..1_000) };
            let mut rows: Vec<u32> = (0..rng.usize(..150)).map(|_| row(&mut rng)).collect();
            rows.extend(rows.first().copied());
            let mut next = 0;
            segment
                .records_of(&rows, &cache, &mut |nth, record| {
                    assert_eq!(nth, next);
                    next += 1;
                    assert!(records[rows[nth] as usize] == record, "row {}", rows[nth]);
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(next, rows.len());
        }
        assert!(cache.bytes() <= cache_bytes);
    }
    assert!(segment.records_of(&[5, 30_500], &PageCache::new(0), &mut |_, _| ControlFlow::Continue(())).is_err());
}

/// What was read of a segment is counted: nothing of what it says grows with its rows until it is asked.
#[test]
fn an_open_segment_takes_little_memory() {
    let records = mixed(30_500, 23);
    let mut writer = SegmentWriter::new(Vec::new(), 1, 700, Options::default()).unwrap();
    records.iter().for_each(|record| writer.push(&Record::parse(record).unwrap()).unwrap());
    let mut proof = crate::support::proof(700, 30_500);
    proof.seeds.iter_mut().zip(0..).for_each(|(seed, nth)| *seed = Seed([nth; 32]));
    let segment = Segment::open(writer.finish(&proof).unwrap().0).unwrap();
    let opened = segment.memory();
    assert!(opened < 16 << 10, "{opened}");
    let pages: usize = Column::ALL.iter().map(|column| segment.pages(*column).unwrap().len()).sum();
    let asked = segment.memory() - opened;
    assert!(asked >= pages * 4 && asked < pages * 64 + (16 << 10), "{asked} for {pages} pages");
    for (seq, group) in (700..31_200).map(|seq| (seq, seq / 256 - 700 / 256)).step_by(97) {
        assert_eq!(segment.seed(seq).unwrap().map(|seed| seed.0), Some([u8::try_from(group).unwrap(); 32]), "{seq}");
    }
    assert!(segment.seed(699).unwrap().is_none() && segment.seed(31_200).unwrap().is_none());
    assert_eq!(segment.proof().unwrap(), proof);
}

#[test]
fn a_range_of_positions_is_read_as_asked() {
    let records = mixed(5_000, 2);
    let (bytes, _) = write(1_000, &records);
    let segment = Segment::open(bytes).unwrap();
    for (from, to) in [(0, 10), (990, 1_010), (1_255, 1_257), (3_000, 3_000), (5_990, u64::MAX), (0, u64::MAX)] {
        let mut found = Vec::new();
        segment
            .records(from..to, &mut |seq, record| {
                found.push((seq, record.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        let wanted = (1_000u64..).zip(&records).filter(|(seq, _)| (from..to).contains(seq));
        assert!(found.iter().map(|(seq, record)| (*seq, record)).eq(wanted), "{from}..{to}");
    }
}

/// What two segments have in common is their numbering, not their pages.
#[test]
fn segments_share_a_cache_and_a_scratch_without_mixing_pages() {
    let (one, two) = (mixed(600, 3), mixed(600, 4));
    let (first, second) = (Segment::open(write(0, &one).0).unwrap(), Segment::open(write(0, &two).0).unwrap());
    let (cache, mut scratch) = (PageCache::new(16 << 20), Scratch::default());
    for nth in [5, 5, 300, 599] {
        assert_eq!(first.record(nth, &cache, &mut scratch).unwrap(), one.get(nth as usize).map(Vec::as_slice));
        assert_eq!(second.record(nth, &cache, &mut scratch).unwrap(), two.get(nth as usize).map(Vec::as_slice));
    }
}

#[test]
fn columns_show_what_the_records_say() {
    let records = mixed(21_000, 5);
    let segment = Segment::open(write(0, &records).0).unwrap();
    let cache = PageCache::new(64 << 20);
    let mut numbers = Vec::new();
    let mut indices = Vec::new();
    for (row, bytes) in (0u32..).zip(&records) {
        let record = Record::parse(bytes).unwrap();
        let head = record.head();
        let page = segment.page(Column::ActorId, row, &cache).unwrap();
        let actor = record.field(Field::ActorId).map(|actor| std::str::from_utf8(actor).unwrap());
        assert_eq!((page.text(row), page.is_null(row)), (actor, actor.is_none()), "row {row}");
        if let Some(dictionary) = segment.dictionary(Column::ActorId, &cache).unwrap() {
            assert_eq!(page.index(row).and_then(|index| dictionary.text(index)), actor);
        }
        let page = segment.page(Column::TenantSeq, row, &cache).unwrap();
        assert_eq!(page.number(row).map(i64::cast_unsigned), head.as_ref().map(|head| head.tenant_seq));
        if page.first_row() == row {
            numbers.clear();
            page.numbers(&mut numbers);
            assert_eq!(numbers.len(), page.rows() as usize);
        }
        assert_eq!(numbers.get((row - page.first_row()) as usize).copied(), page.number(row).or(Some(0)));
        let page = segment.page(Column::TargetId, row, &cache).unwrap();
        let ids: Vec<_> = record.spans().filter(|(field, _)| *field == Field::TargetId).map(|(_, id)| id).collect();
        assert!(page.elements(row).filter_map(|element| page.element_bytes(element)).eq(ids.iter().copied()), "row {row}");
        if page.first_row() == row {
            indices.clear();
            page.indices(&mut indices);
            assert_eq!(indices.len(), page.element_count() as usize);
        }
        assert!(page.elements(row).all(|element| indices[element as usize] == page.element_index(element).unwrap_or(u32::MAX)));
    }
}

#[test]
fn zone_maps_hold_what_their_pages_hold() {
    let records = mixed(21_000, 6);
    let segment = Segment::open(write(256, &records).0).unwrap();
    let cache = PageCache::new(64 << 20);
    assert_eq!(segment.check_statistics().unwrap(), []);
    let keyed = records.iter().filter(|record| Record::parse(record).unwrap().idempotency().is_some()).count();
    assert_eq!(segment.keyed_rows(), Some(keyed as u64));
    let times = || records.iter().filter_map(|record| Some(Record::parse(record).unwrap().head()?.time));
    assert_eq!(segment.time_range(), times().min().zip(times().max()));
    for column in Column::ALL.iter().copied() {
        let mut next = 0;
        for page in segment.pages(column).unwrap() {
            assert_eq!(page.first_row, next);
            assert_eq!(page.first_row % 256, 0, "{column:?}");
            next += page.rows;
            let Some(bounds) = page.bounds else { continue };
            for row in page.first_row..next {
                let decoded = segment.page(column, row, &cache).unwrap();
                match bounds {
                    PageBounds::Numbers(min, max) => {
                        let order = |number: i64| if column.is_unsigned() { number ^ i64::MIN } else { number };
                        let inside = |number| (order(min)..=order(max)).contains(&order(number));
                        assert!(decoded.number(row).is_none_or(inside), "{column:?} {row}");
                    }
                    PageBounds::Bytes(min, max) => {
                        let elements = decoded.elements(row).filter_map(|element| decoded.element_bytes(element));
                        for value in elements {
                            assert!(min <= value && value <= max, "{column:?} {row}");
                        }
                    }
                }
            }
        }
        assert_eq!(next, segment.rows());
    }
    assert_eq!(BLOCK_ROWS % 256, 0);
}

/// A column of which hardly two rows say the same gives up its dictionary, and says the same.
#[test]
fn columns_that_give_up_their_dictionary_say_the_same() {
    let draft = |text: &str| {
        let draft = indelible_format::Draft::new("a.b").actor(text).session(text).target("t", text).tenant("t");
        crate::support::event(&draft.frameworks(&["f"]), 1, 1)
    };
    let mut records: Vec<_> = (0..40_000).map(|n| draft(&format!("u-{:x}", n * 0x9e37_79b9_u64))).collect();
    records.extend((0..40_000).map(|n| draft(&format!("u-{:x}", n * 0x9e37_79b9_u64))));
    let (bytes, _) = crate::support::round_trip(5, &records);
    let segment = Segment::open(bytes).unwrap();
    assert_eq!((segment.check_statistics().unwrap(), segment.check_index().unwrap()), (vec![], vec![]));
    let (cache, mut scratch) = (PageCache::new(64 << 20), Scratch::default());
    assert!(segment.page(Column::ActorId, 0, &cache).unwrap().dictionary().is_some());
    assert!(segment.page(Column::ActorId, 79_999, &cache).unwrap().dictionary().is_none());
    for nth in (0..80_000).step_by(331) {
        assert_eq!(segment.record(5 + nth as u64, &cache, &mut scratch).unwrap(), records.get(nth).map(Vec::as_slice));
    }
}

/// What is given of many rows at once is what each of them has.
#[test]
fn ranges_of_rows_say_what_each_row_says() {
    let records = mixed(9_500, 7);
    let segment = Segment::open(write(0, &records).0).unwrap();
    let cache = PageCache::new(64 << 20);
    let mut rng = fastrand::Rng::with_seed(8);
    for column in Column::ALL.iter().copied() {
        for info in segment.pages(column).unwrap() {
            let again = segment.page_info(column, info.first_row + info.rows - 1).unwrap();
            assert_eq!((again.first_row, again.rows, again.nulls), (info.first_row, info.rows, info.nulls));
            let page = segment.page(column, info.first_row, &cache).unwrap();
            for _ in 0..8 {
                let from = info.first_row + rng.u32(..info.rows);
                let to = rng.u32(from..=info.first_row + info.rows);
                let (mut indices, mut numbers) = (vec![7], vec![7]);
                page.indices_in(from..to, &mut indices);
                let simple = (from..to).flat_map(|row| page.elements(row));
                assert!(indices[1..].iter().copied().eq(simple.map(|e| page.element_index(e).unwrap_or(u32::MAX))), "{column:?}");
                page.numbers_in(from..to, &mut numbers);
                assert!(numbers[1..].iter().copied().eq((from..to).map(|row| page.number(row).unwrap_or(0))), "{column:?}");
            }
            let mut beyond = Vec::new();
            page.indices_in(info.first_row + info.rows..u32::MAX, &mut beyond);
            assert!(beyond.is_empty());
        }
    }
}

/// A page's texts without taking it apart are those that the page gives.
#[test]
fn plain_texts_are_those_of_the_page() {
    let records = mixed(3_000, 9);
    let segment = Segment::open(write(0, &records).0).unwrap();
    let (cache, mut memory, mut compared) = (PageCache::new(64 << 20), Vec::new(), 0);
    for column in Column::ALL.iter().copied() {
        for info in segment.pages(column).unwrap() {
            let page = segment.page(column, info.first_row, &cache).unwrap();
            let Some((rows, texts)) = segment.plain_texts(column, info.first_row, &mut memory).unwrap() else {
                assert!(page.plain().is_none(), "{column:?}");
                continue;
            };
            assert_eq!(rows, info.first_row..info.first_row + info.rows);
            let mut simple = Vec::new();
            for text in rows.flat_map(|row| page.elements(row)).filter_map(|element| page.element_bytes(element)) {
                simple.extend((text.len() as u32).to_le_bytes());
                simple.extend(text);
            }
            assert_eq!(texts, simple, "{column:?}");
            compared += usize::from(!texts.is_empty());
        }
    }
    assert!(compared >= 5, "{compared}");
}

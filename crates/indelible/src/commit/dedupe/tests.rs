//! A repeated request is recognised as long as it is among the newest ones, whatever the disk does meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::world::{DiskFile, LockGuard, Open, RealDisk};

const SALT: [u8; 32] = *b"a salt that callers never learn.";

/// Small enough that generations of every size come and go within a few hundred keys.
const SMALL: Sizes = Sizes { window: 200, memory: 8, first_file: 16 };

fn id(key: u64, statement: u64) -> Idempotency {
    let digest = indelible_format::sha256::sha256(&key.to_le_bytes());
    let mut id = Idempotency { key: [0; 16], statement: [0; 16] };
    id.key.copy_from_slice(&digest.0[..16]);
    id.statement[..8].copy_from_slice(&statement.to_le_bytes());
    id
}

fn small(disk: Arc<dyn Disk>, dir: &Path, sizes: Sizes) -> IdempotencyIndex {
    IdempotencyIndex::with_sizes(disk, dir.join("dedupe"), 1, sizes, SALT).unwrap()
}

/// Names in the index's directory; none when it was never made.
fn files(dir: &Path) -> Vec<String> {
    RealDisk.list(&dir.join("dedupe")).unwrap_or_default()
}

/// The plain twin: every insert ever made, forgetting nothing.
#[derive(Default)]
struct Model {
    newest: HashMap<u64, (u64, u64)>,
    /// When each key was last inserted, in inserts.
    at: HashMap<u64, u64>,
    inserts: u64,
}

impl Model {
    fn insert(&mut self, key: u64, statement: u64, seq: u64) {
        self.newest.insert(key, (statement, seq));
        self.at.insert(key, self.inserts);
        self.inserts += 1;
    }

    /// Compares an answer of the index with what it must or may say.
    fn judge(&self, index: &IdempotencyIndex, window: u64, key: u64, statement: u64) -> Result<(), TestCaseError> {
        let seen = index.check(&id(key, statement)).unwrap();
        let Some((known, seq)) = self.newest.get(&key).copied() else {
            prop_assert_eq!(seen, Seen::New { window_complete: !index.forgotten() });
            return Ok(());
        };
        if seen == (Seen::New { window_complete: false }) {
            prop_assert!(self.inserts - self.at[&key] > window, "a key of the newest {} was forgotten", window);
        } else if known == statement {
            prop_assert_eq!(seen, Seen::Duplicate { seq });
        } else {
            prop_assert_eq!(seen, Seen::Conflict { seq });
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, fork: false, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_a_map_would(
        window in 1u64..300,
        memory in 1u64..20,
        first_file in 1u64..40,
        keys in prop::collection::vec((0u64..900, 0u64..2, any::<bool>()), 1..1500),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut index = small(Arc::new(RealDisk), dir.path(), Sizes { window, memory, first_file });
        let mut model = Model::default();
        for (nth, (key, statement, insert)) in keys.into_iter().enumerate() {
            model.judge(&index, window, key, statement)?;
            if insert {
                index.insert(&id(key, statement), nth as u64 * 3).unwrap();
                model.insert(key, statement, nth as u64 * 3);
            }
        }
        for key in 0..900 {
            model.judge(&index, window, key, 0)?;
        }
        prop_assert!(index.len() <= model.inserts);
    }
}

#[test]
fn the_newest_window_is_always_known_and_older_keys_are_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = small(Arc::new(RealDisk), dir.path(), SMALL);
    for key in 0..3000u64 {
        assert_eq!(index.check(&id(key, 7)).unwrap(), Seen::New { window_complete: !index.forgotten() });
        index.insert(&id(key, 7), key + 10).unwrap();
        let oldest = (key + 1).saturating_sub(SMALL.window);
        for known in [oldest, oldest.midpoint(key), key] {
            assert_eq!(index.check(&id(known, 7)).unwrap(), Seen::Duplicate { seq: known + 10 });
            assert_eq!(index.check(&id(known, 8)).unwrap(), Seen::Conflict { seq: known + 10 });
        }
        assert!(index.len() <= 2 * SMALL.window && files(dir.path()).len() <= 8, "{index:?}");
    }
    assert!(index.forgotten());
    assert_eq!(index.check(&id(0, 7)).unwrap(), Seen::New { window_complete: false });
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn a_key_used_again_is_known_by_its_newest_use() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = small(Arc::new(RealDisk), dir.path(), SMALL);
    for round in 0..6u64 {
        // Twice in a row: once into another generation, once over its own slot.
        for again in 0..2 {
            let seq = round * 1000 + again;
            index.insert(&id(5, round), seq).unwrap();
            assert_eq!(index.check(&id(5, round)).unwrap(), Seen::Duplicate { seq });
        }
        for other in 0..60 {
            index.insert(&id(1000 + round * 100 + other, 0), other).unwrap();
        }
        assert_eq!(index.check(&id(5, round)).unwrap(), Seen::Duplicate { seq: round * 1000 + 1 });
        assert_eq!(index.check(&id(5, round + 1)).unwrap(), Seen::Conflict { seq: round * 1000 + 1 });
    }
}

#[test]
fn few_keys_make_no_file_and_a_small_window_never_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = IdempotencyIndex::create(Arc::new(RealDisk), dir.path().join("dedupe"), 1, 1_000_000, SALT).unwrap();
    for key in 0..MEMORY_ENTRIES {
        index.insert(&id(key, 0), key).unwrap();
    }
    assert!(!dir.path().join("dedupe").exists());
    index.insert(&id(MEMORY_ENTRIES, 0), 0).unwrap();
    assert_eq!(files(dir.path()), ["1-00000001.keys"]);

    let mut narrow = IdempotencyIndex::create(Arc::new(RealDisk), dir.path().join("narrow"), 1, 1000, SALT).unwrap();
    for key in 0..20_000 {
        narrow.insert(&id(key, 0), key).unwrap();
    }
    assert_eq!(narrow.check(&id(19_001, 0)).unwrap(), Seen::Duplicate { seq: 19_001 });
    assert!(!dir.path().join("narrow").exists() && narrow.len() <= 2000);
}

#[test]
fn an_index_begins_empty_and_removes_what_an_earlier_one_left_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let fill = |log| {
        let mut index = IdempotencyIndex::with_sizes(Arc::new(RealDisk), dir.path().join("dedupe"), log, SMALL, SALT).unwrap();
        assert_eq!(index.check(&id(0, 0)).unwrap(), Seen::New { window_complete: true });
        (0..100).for_each(|key| index.insert(&id(key, 0), key).unwrap());
        index
    };
    drop((fill(1), fill(12)));
    for stray in ["1-2.keys", "1-00000002.keys.bak", "notes.txt", "1-x.keys"] {
        std::fs::write(dir.path().join("dedupe").join(stray), b"kept").unwrap();
    }
    let before = files(dir.path());
    let again = small(Arc::new(RealDisk), dir.path(), SMALL);
    assert_eq!(again.len(), 0);
    let after = files(dir.path());
    let removed: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(!removed.is_empty());
    assert!(before.iter().all(|name| removed.contains(&name) == (name.starts_with("1-0") && name.ends_with(".keys"))));
}

#[test]
fn file_bytes_are_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = small(Arc::new(RealDisk), dir.path(), Sizes { window: 1000, memory: 1, first_file: 40 });
    (0..41).for_each(|key| index.insert(&id(key, 9), key + 100).unwrap());
    assert_eq!(files(dir.path()), ["1-00000001.keys"]);
    let bytes = std::fs::read(dir.path().join("dedupe/1-00000001.keys")).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(&bytes[..8], b"IDLKEY\x00\x01");
    assert_eq!([word(8), word(12), word(16), word(20)], [1, 1024, 40, 25]);
    assert_eq!((long(24), long(32)), (1, 4));
    assert_eq!(bytes.len(), 1024 * 5);
    assert!(bytes[40..1024].iter().all(|byte| *byte == 0));
    let mut found = Vec::new();
    for bucket in bytes[1024..].chunks(1024) {
        assert!(bucket[1000..].iter().all(|byte| *byte == 0));
        let used = bucket[..1000].chunks(40).take_while(|slot| slot.iter().any(|byte| *byte != 0)).count();
        assert!(bucket[used * 40..].iter().all(|byte| *byte == 0));
        for slot in bucket[..used * 40].chunks(40) {
            let seq = u64::from_le_bytes(slot[32..].try_into().unwrap()) - 1;
            let expected = id(seq - 100, 9);
            assert_eq!((&slot[..16], &slot[16..32]), (&expected.key[..], &expected.statement[..]));
            found.push(seq);
        }
    }
    found.sort_unstable();
    assert_eq!(found, (101..141).collect::<Vec<u64>>());
}

#[test]
fn memory_stays_within_its_bound_at_any_window() {
    for window in [1_000, 100_000, 1_000_000, 4_000_000, WINDOW_MAX, u64::MAX] {
        let sizes = Sizes::of_window(window);
        // Walks through the sizes of generations without filling them: the bound is on tables at their full size.
        let (mut tables, mut capacity) = (VecDeque::from([sizes.memory_entries()]), sizes.memory_entries());
        let mut most = 0;
        for _ in 0..40 {
            capacity = sizes.file_entries(capacity).unwrap_or(sizes.memory_entries());
            while tables.iter().skip(1).sum::<u64>() >= sizes.window {
                tables.pop_front();
            }
            tables.push_back(capacity);
            let bytes = tables.iter().map(|entries| match sizes.file_entries(1) {
                Some(_) if *entries > sizes.memory => {
                    filter::Filter::new(*entries, sizes.filter_bits()).heap_bytes() + usize::try_from(*entries / 16).unwrap()
                }
                _ => usize::try_from(*entries * 2 * 41).unwrap(),
            });
            most = most.max(bytes.sum::<usize>());
        }
        println!("window {window}: {most} bytes");
        assert!(most <= HEAP_BYTES_MAX, "{most} bytes for a window of {window}");
    }
}

#[test]
fn a_full_window_holds_what_it_promises_in_the_memory_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let window = 60_000;
    let mut index = IdempotencyIndex::create(Arc::new(RealDisk), dir.path().join("dedupe"), 1, window, SALT).unwrap();
    for key in 0..200_000 {
        index.insert(&id(key, 0), key).unwrap();
        assert!(index.len() < 2 * window);
    }
    for key in 200_000 - window..200_000 {
        assert_eq!(index.check(&id(key, 0)).unwrap(), Seen::Duplicate { seq: key });
    }
    assert!(index.heap_bytes() < 250_000, "{} bytes", index.heap_bytes());
    let wrong = (300_000..320_000u64).filter(|key| {
        let place = index.spread.place(&id(*key, 0).key);
        let filter = filter_of(&index.full[0]);
        filter.may_hold(place)
    });
    let wrong = wrong.count();
    assert!(wrong < 20_000 / 50, "{wrong} of 20000 new keys pass a filter");
}

fn filter_of(table: &Table) -> &filter::Filter {
    match table {
        Table::File(table) => table.filter(),
        Table::Memory { .. } => panic!("a file was expected"),
    }
}

/// A disk on which call number `fails_at` fails: a write after writing half, anything else without effect. From then on
/// everything works again.
struct FailingDisk {
    calls: Arc<AtomicU64>,
    fails_at: u64,
}

struct FailingFile {
    inner: Box<dyn DiskFile>,
    calls: Arc<AtomicU64>,
    fails_at: u64,
}

fn strike(calls: &AtomicU64, fails_at: u64) -> io::Result<()> {
    if calls.fetch_add(1, Ordering::Relaxed) == fails_at { Err(io::Error::other("planned")) } else { Ok(()) }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        strike(&self.calls, self.fails_at)?;
        let inner = RealDisk.open(path, how)?;
        Ok(Box::new(FailingFile { inner, calls: self.calls.clone(), fails_at: self.fails_at }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        strike(&self.calls, self.fails_at)?;
        RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        strike(&self.calls, self.fails_at)?;
        RealDisk.remove(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        strike(&self.calls, self.fails_at)?;
        RealDisk.list(path)
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        strike(&self.calls, self.fails_at)?;
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let failed = strike(&self.calls, self.fails_at);
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let length = if failed.is_err() { whole.len() - 5 } else { whole.len() };
        self.inner.write_at(&[io::IoSlice::new(&whole[..length])], offset)?;
        failed
    }
    fn sync_data(&self) -> io::Result<()> {
        panic!("nothing here is worth a sync")
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        strike(&self.calls, self.fails_at)?;
        self.inner.set_len(bytes)
    }
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        strike(&self.calls, self.fails_at)?;
        self.inner.allocate(bytes)
    }
}

/// Runs 300 keys, each checked and inserted, trying every failed call once more; returns calls made and errors seen.
fn run_with_failure(fails_at: u64) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let sizes = Sizes { window: 60, memory: 4, first_file: 8 };
    let disk = Arc::new(FailingDisk { calls: Arc::default(), fails_at });
    let make = || IdempotencyIndex::with_sizes(disk.clone(), dir.path().join("dedupe"), 1, sizes, SALT);
    let mut errors = 0;
    let mut index = make().unwrap_or_else(|_| {
        errors += 1;
        make().unwrap()
    });
    for key in 0..300u64 {
        let mut check = |index: &IdempotencyIndex, key| {
            index.check(&id(key, 0)).unwrap_or_else(|_| {
                errors += 1;
                index.check(&id(key, 0)).unwrap()
            })
        };
        assert_eq!(check(&index, key), Seen::New { window_complete: !index.forgotten() });
        for known in [key.saturating_sub(sizes.window), key.saturating_sub(17), key.saturating_sub(1)] {
            let expected = if key == 0 { Seen::New { window_complete: true } } else { Seen::Duplicate { seq: known } };
            assert_eq!(check(&index, known), expected, "call {fails_at} failed");
        }
        let length = index.len();
        if index.insert(&id(key, 0), key).is_err() {
            errors += 1;
            assert_eq!(index.check(&id(key, 0)).unwrap(), Seen::New { window_complete: !index.forgotten() });
            assert!(index.len() <= length);
            index.insert(&id(key, 0), key).unwrap();
        }
    }
    // Whatever failed, no file is left that the index does not use (one that could not be removed goes at the next turn).
    let used = index.full.iter().chain([&index.active]).filter(|table| matches!(table, Table::File(_))).count();
    assert!(files(dir.path()).len() <= used + index.leftover.len());
    (disk.calls.load(Ordering::Relaxed), errors)
}

#[test]
fn every_failing_call_is_reported_and_changes_nothing() {
    let (calls, errors) = run_with_failure(u64::MAX);
    assert_eq!(errors, 0);
    let mut reported = 0;
    // The first calls cover every kind; later ones only repeat them.
    for fails_at in (0..400).chain((400..calls).step_by(13)) {
        let (_, errors) = run_with_failure(fails_at);
        assert!(errors <= 1);
        reported += errors;
    }
    // A file that cannot be removed is no error of the insert that wanted it gone.
    assert!(reported > 400 && calls > 1000, "{reported} errors, {calls} calls");
}

#[test]
fn a_table_that_was_cut_is_an_error_and_no_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = small(Arc::new(RealDisk), dir.path(), SMALL);
    (0..20).for_each(|key| index.insert(&id(key, 0), key).unwrap());
    let file = std::fs::File::options().write(true).open(dir.path().join("dedupe/1-00000001.keys")).unwrap();
    file.set_len(1024).unwrap();
    assert_eq!(index.check(&id(15, 0)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(index.check(&id(3, 0)).unwrap(), Seen::Duplicate { seq: 3 });
}

#[test]
fn keys_that_share_their_front_bits_spread_over_the_buckets() {
    // What an attacker without the salt can do: find keys with equal leading bits.
    let spread = Spread::new(SALT);
    let mut loads = [0u32; 64];
    for nth in 0..6400u64 {
        let mut key = [0xaa; 16];
        key[5..8].copy_from_slice(&nth.to_le_bytes()[..3]);
        loads[spread.place(&key).bucket(64)] += 1;
        assert!(spread.place(&key).bucket(1) == 0);
    }
    assert!(loads.iter().all(|load| (20..500).contains(load)), "{loads:?}");
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture speed_of"]
fn speed_of_check_and_insert() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = IdempotencyIndex::create(Arc::new(RealDisk), dir.path().join("dedupe"), 1, 1_000_000, SALT).unwrap();
    let ids: Vec<Idempotency> = (0..3_000_000).map(|key| id(key, 0)).collect();
    let (mut slowest, mut tables, mut heap) = (0, 0, 0);
    for (chunk, ids) in ids.chunks(500_000).enumerate() {
        let started = std::time::Instant::now();
        for (nth, id) in ids.iter().enumerate() {
            let one = std::time::Instant::now();
            assert!(matches!(index.check(id).unwrap(), Seen::New { .. }));
            index.insert(id, nth as u64).unwrap();
            slowest = slowest.max(one.elapsed().as_micros());
            tables = tables.max(index.full.len() + 1);
            heap = heap.max(index.heap_bytes());
        }
        println!("chunk {chunk}: {:?} per check + insert", started.elapsed() / 500_000);
    }
    let started = std::time::Instant::now();
    for id in &ids[2_000_000..] {
        assert!(matches!(index.check(id).unwrap(), Seen::Duplicate { .. }));
    }
    println!(
        "{:?} per duplicate; slowest {slowest} us; {tables} generations at most; {heap} bytes",
        started.elapsed() / 1_000_000
    );
}

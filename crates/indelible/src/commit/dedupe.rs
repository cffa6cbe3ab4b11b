//! Which idempotency keys one log has seen: exact for the newest `window` keyed events, in bounded memory.
//!
//! Keys are held by generations, oldest first. The newest one takes inserts; when it is full the next begins, and the oldest
//! goes when those that remain full still hold `window` keys. The first generation lives in memory, so a log with few keys
//! never makes a file; the files after it double in size up to half a window, so that space follows use and nothing is ever
//! copied from one to another. File bytes: docs/format/dedupe.md.
//!
//! Invariants:
//! - A key among the newest `window` inserts is always found. Older ones may be: `forgotten` says whether any were dropped.
//! - All of it is derived from the journal and nothing is synced. [`IdempotencyIndex::create`] begins empty; whoever opens a
//!   store inserts the newest `window` keyed events again, in order.
//! - A failed call changes nothing that a later call can see, except that the file system may keep a file nobody uses; it is
//!   removed at the next rotation or the next `create`. Trying again is allowed.
//! - Answers come from a file that may have rotted: before it turns an event away the caller compares the record at `seq`.
//!   A key that was never inserted is declared new by a filter in memory (about 99 times in 100), so planting bytes in the
//!   file does not suppress an event.
//!
//! Keys are the front of a SHA-256, hence uniform unless somebody searches for keys that share some bits. Finding many keys
//! that fall into one small bucket takes only seconds each, so buckets are chosen with a secret salt; finding many that
//! share the 64 bits that are hashed is out of reach (two take 2^32 hashes, and the work for more nears 2^64 each).
//!
//! Memory: 10 bits per key of filter and half a bit of bucket counts, for at most about 1.5 windows, plus the generation in
//! memory: 1.9 MiB for a window of 1,000,000. Wider windows get fewer filter bits, never more memory than `HEAP_BYTES_MAX`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use indelible_format::record::Idempotency;

use crate::world::Disk;

mod filter;
mod table;
#[cfg(test)]
mod tests;

use filter::Spread;
use table::FileTable;

/// What is known about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not among the keys remembered.
    New {
        /// Whether those are all keys ever inserted; otherwise it is new within the window only.
        window_complete: bool,
    },
    /// The same request was recorded before.
    Duplicate {
        /// Where.
        seq: u64,
    },
    /// The key was used before, for another statement.
    Conflict {
        /// Where.
        seq: u64,
    },
}

/// The keys of one log. Owned by the thread that builds batches; `check` may run beside other checks.
pub(crate) struct IdempotencyIndex {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: u32,
    spread: Spread,
    sizes: Sizes,
    /// Generations that take no more inserts, oldest first.
    full: VecDeque<Table>,
    active: Table,
    /// Number of the last generation tried; numbers are never used twice.
    generation: u64,
    forgotten: bool,
    /// Files that are of no use and could not be removed yet.
    leftover: Vec<PathBuf>,
}

impl IdempotencyIndex {
    /// An index that knows nothing yet, for `log`, remembering at least the newest `window` keys (at most `WINDOW_MAX`).
    ///
    /// Files that an earlier index of this log left in `dir` are removed; `dir` itself is made with the first file.
    /// `salt` is fresh random bytes, kept from whoever chooses keys.
    ///
    /// # Errors
    /// `dir` is there but cannot be listed, or an old file cannot be removed.
    pub(crate) fn create(disk: Arc<dyn Disk>, dir: PathBuf, log: u32, window: u64, salt: [u8; 32]) -> io::Result<Self> {
        Self::with_sizes(disk, dir, log, Sizes::of_window(window), salt)
    }

    fn with_sizes(disk: Arc<dyn Disk>, dir: PathBuf, log: u32, sizes: Sizes, salt: [u8; 32]) -> io::Result<Self> {
        let names = match disk.list(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for name in names.iter().filter(|name| table::is_file_name(name, log)) {
            disk.remove(&dir.join(name))?;
        }
        Ok(Self {
            disk,
            dir,
            log,
            spread: Spread::new(salt),
            active: Table::memory(sizes.memory_entries()),
            sizes,
            full: VecDeque::new(),
            generation: 0,
            forgotten: false,
            leftover: Vec::new(),
        })
    }

    /// What is known about `id`.
    ///
    /// # Errors
    /// A file could not be read; nothing is known then.
    ///
    /// # Cost
    /// For a new key one look at a filter per generation (3 once a window is full, up to 8 on the way there) and, once in
    /// about 80 looks, one read of 1 KiB; for a known key one such read. No allocation.
    pub(crate) fn check(&self, id: &Idempotency) -> io::Result<Seen> {
        // The newest use of a key is the one that counts.
        for table in std::iter::once(&self.active).chain(self.full.iter().rev()) {
            if let Some((statement, seq)) = table.find(&self.spread, &id.key)? {
                return Ok(if statement == id.statement { Seen::Duplicate { seq } } else { Seen::Conflict { seq } });
            }
        }
        Ok(Seen::New { window_complete: !self.forgotten })
    }

    /// Remembers that `id` was recorded at `seq`. A key that is known already is from now on known by this use.
    ///
    /// # Errors
    /// The file could not be read, written or made (`StorageFull` shows here, when a generation begins: its space is
    /// reserved then). The key is not remembered, or known by its former use; the same call may be tried again.
    ///
    /// # Cost
    /// One write of 40 bytes; about 1 µs together with `check`. Each generation (half a window) begins with making one file
    /// and may end the oldest with removing one: some milliseconds for 30 MiB.
    pub(crate) fn insert(&mut self, id: &Idempotency, seq: u64) -> io::Result<()> {
        if self.active.is_full() {
            self.rotate()?;
        }
        self.active.put(&self.spread, id, seq)
    }

    /// Whether keys were dropped because they are older than the window.
    #[cfg(test)]
    pub(crate) const fn forgotten(&self) -> bool {
        self.forgotten
    }

    /// How many keys are remembered. A key used again after a generation ended counts once for each generation.
    pub(crate) fn len(&self) -> u64 {
        self.active.len() + self.full.iter().map(Table::len).sum::<u64>()
    }

    /// Bytes of heap held, about.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.active.heap_bytes() + self.full.iter().map(Table::heap_bytes).sum::<usize>()
    }

    /// Begins the next generation and drops the oldest ones that the window does not need.
    fn rotate(&mut self) -> io::Result<()> {
        self.sweep();
        self.generation += 1;
        // Made before anything else changes, so that a failure here leaves the index as it was.
        let next = match self.sizes.file_entries(self.active.capacity()) {
            None => Table::memory(self.sizes.memory_entries()),
            Some(entries) => Table::File(self.make_file(entries)?),
        };
        self.full.push_back(std::mem::replace(&mut self.active, next));
        let mut kept: u64 = self.full.iter().map(Table::len).sum();
        while let Some(oldest) = self.full.front()
            && kept - oldest.len() >= self.sizes.window
        {
            kept -= oldest.len();
            self.forgotten = true;
            if let Some(Table::File(table)) = self.full.pop_front() {
                self.leftover.push(table.into_path());
            }
        }
        self.sweep();
        Ok(())
    }

    fn make_file(&mut self, entries: u64) -> io::Result<FileTable> {
        self.disk.create_dir(&self.dir)?;
        let path = self.dir.join(table::file_name(self.log, self.generation));
        let made = FileTable::create(&*self.disk, path.clone(), self.log, self.generation, entries, self.sizes.filter_bits());
        if made.is_err() {
            self.leftover.push(path);
            self.sweep();
        }
        made
    }

    /// Removes files of no use; what cannot be removed is tried again later.
    fn sweep(&mut self) {
        let disk = &self.disk;
        self.leftover.retain(|path| disk.remove(path).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
    }
}

impl std::fmt::Debug for IdempotencyIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdempotencyIndex").field("log", &self.log).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// How large everything gets.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    window: u64,
    /// Keys of a generation that stays in memory, at most.
    memory: u64,
    /// Keys of the first generation that has a file; the next ones double.
    first_file: u64,
}

impl Sizes {
    fn of_window(window: u64) -> Self {
        Self { window: window.clamp(1, WINDOW_MAX), memory: MEMORY_ENTRIES, first_file: FIRST_FILE_ENTRIES }
    }

    /// Two full generations make a window.
    const fn half(&self) -> u64 {
        self.window.div_ceil(2)
    }

    fn memory_entries(&self) -> u64 {
        self.memory.min(self.half())
    }

    /// Keys of the file that follows a generation of `before` keys; `None` when the window is so small that it needs none.
    fn file_entries(&self, before: u64) -> Option<u64> {
        if self.half() <= self.memory {
            return None;
        }
        Some(if before <= self.memory { self.first_file } else { before * 2 }.min(self.half()))
    }

    /// Filter bits per key.
    fn filter_bits(&self) -> u64 {
        (FILTER_BYTES_MAX * 8 / (self.window + self.half())).clamp(1, FILTER_BITS_MAX)
    }
}

/// One generation.
enum Table {
    Memory { keys: HashMap<[u8; 16], ([u8; 16], u64)>, capacity: u64 },
    File(FileTable),
}

impl Table {
    /// It grows with use: most logs never see a key.
    fn memory(capacity: u64) -> Self {
        Self::Memory { keys: HashMap::new(), capacity }
    }

    fn find(&self, spread: &Spread, key: &[u8; 16]) -> io::Result<Option<([u8; 16], u64)>> {
        match self {
            Self::Memory { keys, .. } => Ok(keys.get(key).copied()),
            Self::File(table) => table.find(spread, key),
        }
    }

    fn put(&mut self, spread: &Spread, id: &Idempotency, seq: u64) -> io::Result<()> {
        match self {
            Self::Memory { keys, .. } => {
                keys.insert(id.key, (id.statement, seq));
                Ok(())
            }
            Self::File(table) => table.put(spread, id, seq),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Memory { keys, .. } => keys.len() as u64,
            Self::File(table) => table.len(),
        }
    }

    const fn capacity(&self) -> u64 {
        match self {
            Self::Memory { capacity, .. } => *capacity,
            Self::File(table) => table.capacity(),
        }
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity()
    }

    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            // Entry, control byte, and the eighth that the map leaves free.
            Self::Memory { keys, .. } => keys.capacity() * (16 + 24 + 1) * 8 / 7,
            Self::File(table) => table.heap_bytes(),
        }
    }
}

/// The widest window; a wider one is cut to it.
pub(crate) const WINDOW_MAX: u64 = 10_000_000;
/// No index holds more heap than this, whatever its window.
pub(crate) const HEAP_BYTES_MAX: usize = 4 << 20;
const MEMORY_ENTRIES: u64 = 4096;
const FIRST_FILE_ENTRIES: u64 = 8192;
const FILTER_BITS_MAX: u64 = 10;
const FILTER_BYTES_MAX: u64 = 5 << 19;

// Filters, bucket counts of 1.5 windows (a byte for 16 keys), and the map of the first generation.
const _: () = assert!(FILTER_BYTES_MAX + WINDOW_MAX * 3 / 2 / 16 + MEMORY_ENTRIES * 2 * 41 <= HEAP_BYTES_MAX as u64);

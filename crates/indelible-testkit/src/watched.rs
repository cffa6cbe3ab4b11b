//! A disk between the engine and another disk, that counts what is read of segments and of the journal, and has something done when one is opened.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indelible::world::{Disk, DiskFile, LockGuard, Open, World};
use parking_lot::Mutex;

/// Passes every call on to another disk. Clones are the same.
#[derive(Clone)]
pub struct Watched {
    inner: Arc<dyn Disk>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    segments_read: AtomicU64,
    journal_read: AtomicU64,
    /// After how many opens of segments what is done.
    act: Mutex<Option<(u64, Act)>>,
}

type Act = Box<dyn FnOnce() + Send>;

impl Watched {
    /// The disk of `world`, and a world that goes through it.
    #[must_use]
    pub fn before(world: World) -> (Self, World) {
        let watched = Self { inner: Arc::clone(&world.disk), state: Arc::default() };
        let through = World { disk: Arc::new(watched.clone()), ..world };
        (watched, through)
    }

    /// Has this done before a segment is opened, behind so many that were.
    pub fn before_open(&self, nth: u64, act: impl FnOnce() + Send + 'static) {
        *self.state.act.lock() = Some((nth, Box::new(act)));
    }

    /// Whether that is still to be done.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.state.act.lock().is_some()
    }

    /// Bytes that were read of segments.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state.segments_read.load(Ordering::SeqCst)
    }

    /// Bytes that were read of the journal.
    #[must_use]
    pub fn journal_bytes_read(&self) -> u64 {
        self.state.journal_read.load(Ordering::SeqCst)
    }

    fn opens_segment(&self) {
        let due = {
            let mut act = self.state.act.lock();
            match &mut *act {
                Some((0, _)) => act.take(),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, act)) = due {
            act();
        }
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let is_segment = path.extension().is_some_and(|ending| ending == "parquet");
        if is_segment {
            self.opens_segment();
        }
        let file = self.inner.open(path, how)?;
        let is_journal = path.parent().is_some_and(|folder| folder.ends_with("journal"));
        let counted: Option<fn(&State) -> &AtomicU64> = match (is_segment, is_journal) {
            (true, _) => Some(|state| &state.segments_read),
            (_, true) => Some(|state| &state.journal_read),
            _ => None,
        };
        Ok(Box::new(WatchedFile { file, state: Arc::clone(&self.state), counted }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}

struct WatchedFile {
    file: Box<dyn DiskFile>,
    state: Arc<State>,
    /// Where what is read of it is counted.
    counted: Option<fn(&State) -> &AtomicU64>,
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, offset)?;
        if let Some(counted) = self.counted {
            counted(&self.state).fetch_add(read as u64, Ordering::SeqCst);
        }
        Ok(read)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn data(&self, offset: u64) -> io::Result<Vec<Range<u64>>> {
        self.file.data(offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }
}

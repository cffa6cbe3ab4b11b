//! A disk between the engine and another disk, whose syncs can be made to wait or to lie.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use indelible::world::{Disk, DiskFile, LockGuard, Open, World};
use parking_lot::{Condvar, Mutex};

/// Passes every call on to another disk. Clones are the same gate.
///
/// While shut, syncs of files wait: a disk that hangs, for filling lanes and for looking at what is not durable yet. While
/// lying, syncs report success and do nothing.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<dyn Disk>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    shut: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    syncs: AtomicUsize,
    lying: AtomicBool,
}

impl Gate {
    /// An open gate to the disk of `world`, and a world that goes through it.
    #[must_use]
    pub fn before(world: World) -> (Self, World) {
        let gate = Self { inner: Arc::clone(&world.disk), state: Arc::default() };
        let through = World { disk: Arc::new(gate.clone()), ..world };
        (gate, through)
    }

    /// From now on syncs wait.
    pub fn shut(&self) {
        *self.state.shut.lock() = true;
    }

    /// Lets all that wait go on.
    pub fn open(&self) {
        *self.state.shut.lock() = false;
        self.state.opened.notify_all();
    }

    /// How many syncs wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::SeqCst)
    }

    /// How many syncs of files were asked for.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.state.syncs.load(Ordering::SeqCst)
    }

    /// From now on syncs do nothing, and say they did.
    pub fn lie(&self) {
        self.state.lying.store(true, Ordering::SeqCst);
    }

    fn lies(&self) -> bool {
        self.state.lying.load(Ordering::SeqCst)
    }
}

impl Disk for Gate {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile { gate: self.clone(), file: self.inner.open(path, how)? }))
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
        if self.lies() { Ok(()) } else { self.inner.sync_dir(path) }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}

struct GatedFile {
    gate: Gate,
    file: Box<dyn DiskFile>,
}

impl DiskFile for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &self.gate.state;
        state.syncs.fetch_add(1, Ordering::SeqCst);
        let mut shut = state.shut.lock();
        state.waiting.fetch_add(1, Ordering::SeqCst);
        while *shut {
            state.opened.wait(&mut shut);
        }
        state.waiting.fetch_sub(1, Ordering::SeqCst);
        drop(shut);
        if self.gate.lies() { Ok(()) } else { self.file.sync_data() }
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

//! A disk in memory that keeps exactly what was synced, and fails when told to.
//!
//! The process sees every successful call at once. What a crash leaves is what was synced, plus whatever the
//! [`CrashPolicy`] grants of the rest: contents by 512-byte sectors, names by themselves. A name is durable only after
//! `sync_dir` of its directory; syncing a file does not help. There are no links, no modes and no `..`; relative paths start
//! at the root, which is there from the beginning.
//!
//! Invariants: all state is under one lock, each call is one critical section; randomness is drawn only by a crash and by
//! [`What::ShortWrite`], so calls that do neither replay whatever threads they come from; a handle works only in the `epoch`
//! it was opened in, and the epoch ends with every crash or kill.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use indelible::world::{Disk, DiskFile, LockGuard, Open};
use parking_lot::Mutex;

use crate::fault::{CrashPolicy, Fault, Op, OpKind, Plan, What, crashed, errno, os};
use crate::sim_file::{Landing, Stamp};
use crate::sim_names::{NodeId, Tree};

/// The simulated disk. Clones are the same disk; see the module text for what it promises.
///
/// # Examples
/// ```
/// use std::io::IoSlice;
/// use std::path::Path;
/// use indelible::world::{Disk, DiskFile, Open};
/// use indelible_testkit::{CrashPolicy, SimDisk};
///
/// # fn main() -> std::io::Result<()> {
/// let disk = SimDisk::new(1);
/// let file = disk.open(Path::new("/kept"), Open::CreateNew)?;
/// file.write_at(&[IoSlice::new(b"synced")], 0)?;
/// file.sync_data()?;
/// disk.sync_dir(Path::new("/"))?;
/// file.write_at(&[IoSlice::new(b", not synced")], 6)?;
/// disk.crash(CrashPolicy::None);
/// assert_eq!(disk.contents(Path::new("/kept"))?, b"synced");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    tree: Tree,
    /// Stamp of the newest unsynced change.
    stamps: Stamp,
    rng: Rng,
    plan: Plan,
    ops: Vec<Op>,
    /// Counts crashes and kills. What was opened in an earlier epoch is dead.
    epoch: u64,
    /// Set by [`What::Crash`]: nothing works until the epoch ends.
    stopped: bool,
    /// How many handles of this epoch each file has.
    open: BTreeMap<NodeId, u64>,
    locked: Vec<NodeId>,
    capacity_bytes: u64,
    /// Set by [`What::Rots`] for the write that it struck.
    rotten: Option<u64>,
    reported_free_bytes: Option<u64>,
    lying_sync: bool,
}

impl SimDisk {
    /// An empty disk of 1 TiB. `seed` decides what random crashes leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_state(State {
            tree: Tree::new(),
            stamps: 0,
            rng: Rng::with_seed(seed),
            plan: Plan::default(),
            ops: Vec::new(),
            epoch: 0,
            stopped: false,
            open: BTreeMap::new(),
            locked: Vec::new(),
            capacity_bytes: 1 << 40,
            rotten: None,
            reported_free_bytes: None,
            lying_sync: false,
        })
    }

    /// Plans a failure. Any number may be planned.
    pub fn fault(&self, fault: Fault) {
        self.state.lock().plan.add(fault);
    }

    /// Forgets all failures planned, lasting ones too.
    pub fn heal(&self) {
        self.state.lock().plan.clear();
    }

    /// Power loss and restart: unsynced contents and names survive as `policy` says, all handles and locks are dead, and
    /// the disk works again. Faults that have not struck yet stay planned.
    pub fn crash(&self, policy: CrashPolicy) {
        self.state.lock().crash(policy);
    }

    /// The end of the process while the machine goes on (`kill -9`): handles and locks are dead, everything written is
    /// still seen, and what was not synced is still at the mercy of a later [`SimDisk::crash`].
    pub fn kill(&self) {
        self.state.lock().end_epoch();
    }

    /// Another disk: what this one would be after a crash right now, with the randomness of `seed` and no faults planned.
    /// This one goes on untouched.
    #[must_use]
    pub fn crashed_copy(&self, policy: CrashPolicy, seed: u64) -> Self {
        let mut state = self.state.lock().clone();
        state.rng = Rng::with_seed(seed);
        state.plan.clear();
        state.ops.clear();
        state.crash(policy);
        Self::from_state(state)
    }

    /// Every call so far, oldest first, those that failed included. Calls refused because the machine had stopped, or
    /// because their handle was dead, are not there.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        self.state.lock().ops.clone()
    }

    /// How many calls there were: the length of [`SimDisk::ops`].
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.state.lock().ops.len()
    }

    /// Starts the list of calls anew.
    pub fn clear_ops(&self) {
        self.state.lock().ops.clear();
    }

    /// Whether [`What::Crash`] has struck and the disk waits for [`SimDisk::crash`] or [`SimDisk::kill`].
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// From now on syncs of files and directories report success and save nothing. For showing that a test can fail.
    pub fn set_lying_sync(&self, lying: bool) {
        self.state.lock().lying_sync = lying;
    }

    /// The size of the disk. Writes and reservations that would take more get `StorageFull`.
    pub fn set_capacity_bytes(&self, bytes: u64) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// What `free_bytes` answers, whatever is true; `None` for the truth.
    pub fn set_reported_free_bytes(&self, bytes: Option<u64>) {
        self.state.lock().reported_free_bytes = bytes;
    }

    /// The whole file as a process would see it. Neither counted nor subject to faults.
    ///
    /// # Errors
    /// No file of that name.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let file = state.tree.file(state.tree.find(path)?)?;
        let bytes = usize::try_from(file.len()).map_err(|_| os(errno::EFBIG))?;
        let mut buf = vec![0; bytes];
        file.read(&mut buf, 0);
        Ok(buf)
    }

    /// Replaces the whole file behind everybody's back, durably: an attacker at work, or a rotten sector. Open handles see
    /// the change. Neither counted nor subject to faults.
    ///
    /// # Errors
    /// No file of that name.
    pub fn tamper(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.tree.find(path)?;
        let State { tree, stamps, .. } = &mut *state;
        let file = tree.file_mut(node)?;
        file.set_len(0, stamps);
        file.write(bytes, 0, stamps);
        file.settle(&mut Landing::All);
        Ok(())
    }

    fn from_state(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("ops", &state.ops.len())
            .field("epoch", &state.epoch)
            .field("stopped", &state.stopped)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Lists one call and says how it may go on.
    fn begin(&mut self, kind: OpKind, path: &Arc<Path>, offset: u64, len: u64) -> io::Result<Entry> {
        if self.stopped {
            return Err(crashed());
        }
        let op = Op { kind, path: Arc::clone(path), offset, len };
        let struck = self.plan.strike(&op);
        self.ops.push(op);
        match struck {
            None => Ok(Entry::Do),
            Some(What::LandedButFailed) => Ok(Entry::DoAndFail),
            Some(What::ShortWrite) => Ok(Entry::DoHalf),
            Some(What::Error(code)) => Ok(Entry::Fail(code)),
            Some(What::Rots(at)) => {
                self.rotten = (kind == OpKind::Write).then_some(at);
                Ok(Entry::Do)
            }
            Some(What::Crash) => {
                self.stopped = true;
                Err(crashed())
            }
        }
    }

    /// For calls that have no half: the entry, as whether to report failure after success.
    fn begin_whole(&mut self, kind: OpKind, path: &Path, len: u64) -> io::Result<bool> {
        match self.begin(kind, &shared(path), 0, len)? {
            Entry::Do => Ok(false),
            Entry::DoAndFail => Ok(true),
            Entry::DoHalf => Err(os(errno::EIO)),
            Entry::Fail(code) => Err(os(code)),
        }
    }

    /// A call that changes names at most: `change` does it.
    fn names<T>(
        &mut self,
        kind: OpKind,
        path: &Path,
        change: impl FnOnce(&mut Tree, &mut Stamp) -> io::Result<T>,
    ) -> io::Result<T> {
        let fails = self.begin_whole(kind, path, 0)?;
        let before = self.stamps;
        let done = change(&mut self.tree, &mut self.stamps)?;
        if !fails {
            return Ok(done);
        }
        if self.stamps != before {
            self.tree.sync_last()?;
        }
        Err(os(errno::EIO))
    }

    fn finish_file(&mut self, node: NodeId, fails: bool) -> io::Result<()> {
        if !fails {
            return Ok(());
        }
        self.tree.file_mut(node)?.settle(&mut Landing::All);
        Err(os(errno::EIO))
    }

    fn open(&mut self, path: &Path, how: Open) -> io::Result<(NodeId, bool)> {
        let node = self.names(OpKind::Open, path, |tree, stamps| {
            let node = match tree.find(path) {
                Ok(_) if how == Open::CreateNew => return Err(os(errno::EEXIST)),
                Ok(node) => node,
                Err(error) if error.kind() == io::ErrorKind::NotFound && matches!(how, Open::CreateNew | Open::Create) => {
                    tree.create_file(path, stamps)?
                }
                Err(error) => return Err(error),
            };
            tree.file(node)?;
            Ok(node)
        })?;
        *self.open.entry(node).or_default() += 1;
        Ok((node, how != Open::Read))
    }

    fn write(&mut self, node: NodeId, path: &Arc<Path>, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let len = bytes.len() as u64;
        let entry = self.begin(OpKind::Write, path, offset, len)?;
        let rotten = self.rotten.take().and_then(|at| usize::try_from(at.checked_sub(offset)?).ok());
        if let Some(byte) = rotten.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
        let end = offset.checked_add(len).filter(|end| *end <= FILE_BYTES_MAX).ok_or_else(|| os(errno::EFBIG))?;
        let (stored, failure) = match entry {
            Entry::Fail(code) => (0, Some(code)),
            Entry::DoHalf => (self.rng.usize(0..=bytes.len().saturating_sub(1)), Some(errno::ENOSPC)),
            Entry::Do | Entry::DoAndFail => match self.room_for(node, end)? {
                // As a real one, a full disk takes the beginning.
                Some(room) => (usize::try_from(room.saturating_sub(offset)).unwrap_or(0).min(bytes.len()), Some(errno::ENOSPC)),
                None => (bytes.len(), None),
            },
        };
        let Self { tree, stamps, .. } = self;
        tree.file_mut(node)?.write(bytes.get(..stored).unwrap_or_default(), offset, stamps);
        match failure {
            Some(code) => Err(os(code)),
            None => self.finish_file(node, entry == Entry::DoAndFail),
        }
    }

    fn sync(&mut self, node: NodeId, path: &Arc<Path>) -> io::Result<()> {
        let entry = self.begin(OpKind::Sync, path, 0, 0)?;
        let lying = self.lying_sync;
        let Self { tree, rng, .. } = self;
        let file = tree.file_mut(node)?;
        match entry {
            Entry::Do if lying => Ok(()),
            Entry::Do => {
                file.settle(&mut Landing::All);
                Ok(())
            }
            Entry::DoAndFail => {
                file.settle(&mut Landing::All);
                Err(os(errno::EIO))
            }
            Entry::DoHalf => {
                file.settle(&mut Landing::Random(rng));
                Err(os(errno::EIO))
            }
            Entry::Fail(code) => {
                file.settle(&mut Landing::None);
                Err(os(code))
            }
        }
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let entry = self.begin(OpKind::SyncDir, &shared(path), 0, 0)?;
        let directory = self.tree.find(path)?;
        let failure = match entry {
            Entry::Do | Entry::DoAndFail => {
                if self.lying_sync && entry == Entry::Do {
                    return self.tree.list(path).map(drop);
                }
                self.tree.sync_dir(directory)?;
                (entry == Entry::DoAndFail).then_some(errno::EIO)
            }
            Entry::DoHalf => Some(errno::EIO),
            Entry::Fail(code) => {
                self.tree.lose_dir(directory)?;
                Some(code)
            }
        };
        self.tidy();
        failure.map_or(Ok(()), |code| Err(os(code)))
    }

    fn allocate(&mut self, node: NodeId, path: &Path, bytes: u64) -> io::Result<()> {
        let fails = self.begin_whole(OpKind::Allocate, path, bytes)?;
        if bytes > FILE_BYTES_MAX {
            return Err(os(errno::EFBIG));
        }
        if self.room_for(node, bytes)?.is_some() {
            return Err(os(errno::ENOSPC));
        }
        let Self { tree, stamps, .. } = self;
        tree.file_mut(node)?.allocate(bytes, stamps);
        self.finish_file(node, fails)
    }

    fn set_len(&mut self, node: NodeId, path: &Path, bytes: u64) -> io::Result<()> {
        let fails = self.begin_whole(OpKind::SetLen, path, bytes)?;
        if bytes > FILE_BYTES_MAX {
            return Err(os(errno::EFBIG));
        }
        let Self { tree, stamps, .. } = self;
        tree.file_mut(node)?.set_len(bytes, stamps);
        self.finish_file(node, fails)
    }

    /// If the file cannot take space up to `end`: up to where it can.
    fn room_for(&self, node: NodeId, end: u64) -> io::Result<Option<u64>> {
        let allocated = self.tree.file(node)?.allocated.next_multiple_of(BLOCK_BYTES);
        if end <= allocated {
            return Ok(None);
        }
        let limit = allocated.saturating_add(self.free());
        Ok((end > limit).then_some(limit))
    }

    fn free(&self) -> u64 {
        let free = self.capacity_bytes.saturating_sub(self.tree.used(self.open.keys().copied()));
        free - free % BLOCK_BYTES
    }

    fn crash(&mut self, policy: CrashPolicy) {
        let stamps = self.tree.stamps();
        let mut landing = match policy {
            CrashPolicy::None => Landing::None,
            CrashPolicy::All => Landing::All,
            CrashPolicy::Random => Landing::Random(&mut self.rng),
            CrashPolicy::Prefix => match self.rng.usize(0..=stamps.len()).checked_sub(1) {
                Some(last) => stamps.get(last).map_or(Landing::None, |last| Landing::Until(*last)),
                None => Landing::None,
            },
        };
        self.tree.crash(&mut landing);
        self.end_epoch();
    }

    fn end_epoch(&mut self) {
        self.epoch += 1;
        self.stopped = false;
        self.open.clear();
        self.locked.clear();
        self.tidy();
    }

    fn tidy(&mut self) {
        self.tree.forget_unreachable(self.open.keys().copied());
    }
}

/// How a call may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Do,
    DoAndFail,
    DoHalf,
    Fail(i32),
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        let (node, writable) = state.open(path, how)?;
        Ok(Box::new(SimHandle { disk: self.clone(), node, epoch: state.epoch, writable, path: shared(path) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.state.lock().names(OpKind::CreateDir, path, |tree, stamps| tree.create_dir(path, stamps))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.lock().names(OpKind::Rename, from, |tree, stamps| tree.rename(from, to, stamps))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state.lock().names(OpKind::Remove, path, |tree, stamps| tree.remove(path, stamps))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        let fails = state.begin_whole(OpKind::List, path, 0)?;
        if fails { Err(os(errno::EIO)) } else { state.tree.list(path) }
    }

    fn exists(&self, path: &Path) -> bool {
        self.state.lock().tree.find(path).is_ok()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.state.lock().sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.state.lock();
        let fails = state.begin_whole(OpKind::FreeBytes, path, 0)?;
        state.tree.find(path)?;
        if fails {
            return Err(os(errno::EIO));
        }
        Ok(state.reported_free_bytes.unwrap_or_else(|| state.free()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut state = self.state.lock();
        let fails = state.begin_whole(OpKind::Lock, path, 0)?;
        let node = state.tree.find(path)?;
        state.tree.file(node)?;
        if state.locked.contains(&node) {
            return Err(os(errno::EAGAIN));
        }
        // A lock whose taker was told it failed is freed at once: its descriptor is closed.
        if fails {
            return Err(os(errno::EIO));
        }
        state.locked.push(node);
        *state.open.entry(node).or_default() += 1;
        Ok(Box::new(SimLock { disk: self.clone(), node, epoch: state.epoch }))
    }
}

struct SimLock {
    disk: SimDisk,
    node: NodeId,
    epoch: u64,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.epoch == self.epoch {
            state.locked.retain(|node| *node != self.node);
            close(&mut state, self.node);
        }
    }
}

struct SimHandle {
    disk: SimDisk,
    node: NodeId,
    epoch: u64,
    writable: bool,
    path: Arc<Path>,
}

impl SimHandle {
    /// Runs `work` if the machine runs and the handle is of this epoch.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        if state.stopped || state.epoch != self.epoch {
            return Err(crashed());
        }
        work(&mut state)
    }

    /// Runs `work` if the handle was opened for writing too; else Linux answers with `refusal`.
    fn with_write<T>(&self, refusal: i32, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.with(|state| if self.writable { work(state) } else { Err(os(refusal)) })
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.epoch == self.epoch {
            close(&mut state, self.node);
        }
    }
}

impl DiskFile for SimHandle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| match state.begin(OpKind::Read, &self.path, offset, buf.len() as u64)? {
            Entry::Do => Ok(state.tree.file(self.node)?.read(buf, offset)),
            Entry::Fail(code) => Err(os(code)),
            Entry::DoAndFail | Entry::DoHalf => Err(os(errno::EIO)),
        })
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        // Nothing to write is no call at all, as with the real disk.
        if parts.iter().all(|part| part.is_empty()) {
            return self.with(|_| Ok(()));
        }
        self.with_write(errno::EBADF, |state| state.write(self.node, &self.path, parts, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| state.sync(self.node, &self.path))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.tree.file(self.node)?.len()))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with_write(errno::EINVAL, |state| state.set_len(self.node, &self.path, bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return self.with(|_| Ok(()));
        }
        self.with_write(errno::EBADF, |state| state.allocate(self.node, &self.path, bytes))
    }
}

fn close(state: &mut State, node: NodeId) {
    if let Some(count) = state.open.get_mut(&node) {
        *count -= 1;
        if *count == 0 {
            state.open.remove(&node);
            state.tidy();
        }
    }
}

fn shared(path: &Path) -> Arc<Path> {
    Arc::from(path)
}

const BLOCK_BYTES: u64 = 4096;
/// As far as Linux lets an offset go.
const FILE_BYTES_MAX: u64 = i64::MAX.unsigned_abs();

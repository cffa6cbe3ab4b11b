//! What can go wrong with a simulated disk, and where.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One call that reached the simulated disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What was asked.
    pub kind: OpKind,
    /// Of which file or directory; for a rename its old name.
    pub path: Arc<Path>,
    /// Where in the file; 0 where that means nothing.
    pub offset: u64,
    /// How many bytes; for `SetLen` and `Allocate` the size asked for; 0 where that means nothing.
    pub len: u64,
}

/// What a call asks of the disk. `exists` and the size of an open file cannot fail and are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Opening or making a file.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making a file's contents durable.
    Sync,
    /// Cutting or extending.
    SetLen,
    /// Reserving space.
    Allocate,
    /// Making a directory.
    CreateDir,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Listing a directory.
    List,
    /// Making names durable.
    SyncDir,
    /// Asking for free space.
    FreeBytes,
    /// Taking the lock.
    Lock,
}

impl OpKind {
    /// Whether such a call can change what a crash leaves behind. A test of crashes need only stop at these.
    #[must_use]
    pub fn changes_disk(self) -> bool {
        match self {
            Self::Read | Self::List | Self::FreeBytes | Self::Lock => false,
            // An open may make the file.
            Self::Open | Self::Write | Self::Sync | Self::SetLen | Self::Allocate => true,
            Self::CreateDir | Self::Rename | Self::Remove | Self::SyncDir => true,
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Nothing is done, and the call reports this [`errno`]. A sync that fails so, of a file or a directory, loses what it
    /// should have saved: it counts as clean, and a later sync that succeeds does not save it (as Linux does with pages).
    Error(i32),
    /// A write stores only its beginning and reports `ENOSPC`; a sync saves a random choice of sectors, loses the others
    /// and reports `EIO`; any other call does nothing and reports `EIO`.
    ShortWrite,
    /// The call does all it was asked, durably, and still reports `EIO`.
    LandedButFailed,
    /// A write stores the byte at this offset of the file as another, if it is among its bytes, and reports success; any other call is done
    /// as it was asked.
    Rots(u64),
    /// The machine stops before the call: it and every later one report an error that [`is_crash`] knows, until
    /// [`SimDisk::crash`](crate::SimDisk::crash) or [`SimDisk::kill`](crate::SimDisk::kill).
    Crash,
}

/// One planned failure: which call, and how. Or the raising of a flag at that call.
///
/// It strikes once, at the call with the given 0-based index among those it fits, counted from when it was added.
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    kind: Option<OpKind>,
    path_part: Option<String>,
    passes: u64,
    lasting: bool,
}

#[derive(Debug, Clone)]
enum Effect {
    Fail(What),
    Raise(Arc<AtomicBool>),
}

impl Fault {
    /// Strikes the call `index`, of whatever kind. Added to a fresh disk, that is the place in [`SimDisk::ops`](crate::SimDisk::ops).
    #[must_use]
    pub fn at(index: u64, what: What) -> Self {
        Self { effect: Effect::Fail(what), kind: None, path_part: None, passes: index, lasting: false }
    }

    /// No failure: the call `index` among those of `kind` is as good as any, but before it `flag` is raised. So a test says at which
    /// call something else happens.
    #[must_use]
    pub fn raising(kind: OpKind, index: u64, flag: &Arc<AtomicBool>) -> Self {
        let effect = Effect::Raise(Arc::clone(flag));
        Self { effect, kind: Some(kind), path_part: None, passes: index, lasting: false }
    }

    /// Strikes the call `index` among those of `kind`.
    #[must_use]
    pub fn nth(kind: OpKind, index: u64, what: What) -> Self {
        Self { kind: Some(kind), ..Self::at(index, what) }
    }

    /// Counts only calls whose path contains `part`.
    #[must_use]
    pub fn on(self, part: &str) -> Self {
        Self { path_part: Some(part.to_owned()), ..self }
    }

    /// Strikes every fitting call from its first on, until [`SimDisk::heal`](crate::SimDisk::heal).
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    fn fits(&self, op: &Op) -> bool {
        self.kind.is_none_or(|kind| kind == op.kind)
            && self.path_part.as_deref().is_none_or(|part| op.path.to_string_lossy().contains(part))
    }
}

/// Which unsynced writes and names a crash leaves behind. What was synced stays, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPolicy {
    /// None of them.
    None,
    /// All of them.
    All,
    /// Any of them: each 512-byte sector by itself, in any state it was in since the last sync, and each change of
    /// a name by itself, with the earlier ones of the same name or file.
    Random,
    /// Those before a random moment, in the order they were made; the write at that moment is cut between two sectors.
    Prefix,
}

impl CrashPolicy {
    /// All policies, for tests that try each.
    pub const ALL: [Self; 4] = [Self::None, Self::All, Self::Random, Self::Prefix];
}

/// Whether `error` says that the simulated machine has stopped, or that a file was opened before it did.
#[must_use]
pub fn is_crash(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Crashed>())
}

/// Numbers that Linux gives to errors, for [`What::Error`].
pub mod errno {
    /// No such name.
    pub const ENOENT: i32 = 2;
    /// Input or output error.
    pub const EIO: i32 = 5;
    /// Not opened for this.
    pub const EBADF: i32 = 9;
    /// Held by somebody else.
    pub const EAGAIN: i32 = 11;
    /// Name is taken.
    pub const EEXIST: i32 = 17;
    /// Not a directory.
    pub const ENOTDIR: i32 = 20;
    /// Is a directory.
    pub const EISDIR: i32 = 21;
    /// Makes no sense.
    pub const EINVAL: i32 = 22;
    /// Too many open files.
    pub const EMFILE: i32 = 24;
    /// File too large.
    pub const EFBIG: i32 = 27;
    /// No space left.
    pub const ENOSPC: i32 = 28;
    /// Read-only file system.
    pub const EROFS: i32 = 30;
    /// Directory not empty.
    pub const ENOTEMPTY: i32 = 39;
}

/// The failures still to come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    faults: Vec<Fault>,
}

impl Plan {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Counts `op` and says how it fails, if it does. Of two faults at the same call the one added first strikes; the
    /// other counts the call and waits for the next.
    pub(crate) fn strike(&mut self, op: &Op) -> Option<What> {
        let mut struck = None;
        self.faults.retain_mut(|fault| {
            if !fault.fits(op) {
                return true;
            }
            if fault.passes > 0 {
                fault.passes -= 1;
                return true;
            }
            if struck.is_some() {
                return true;
            }
            match &fault.effect {
                Effect::Fail(what) => struck = Some(*what),
                Effect::Raise(flag) => flag.store(true, Ordering::SeqCst),
            }
            fault.lasting
        });
        struck
    }
}

pub(crate) fn crashed() -> io::Error {
    io::Error::other(Crashed)
}

pub(crate) fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

#[derive(Debug)]
struct Crashed;

impl std::fmt::Display for Crashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("simulated crash: the machine has stopped")
    }
}

impl std::error::Error for Crashed {}

//! Backup while a store is in use, and restoration into a new store that names the one it goes on from.
//!
//! A backup is a directory of files named by their SHA-256, and `backup.json`, which says what each is to a store. That file is replaced
//! last, so what it names is always a whole backup: of the store as it was at one moment, durable to the last byte. Bytes:
//! docs/format/backup.md.
//!
//! Invariants: a backup holds no key. Nothing is restored that was not verified first. A directory becomes a store by one rename, the last
//! thing that a restoration does.

mod check;
mod contents;
mod directory;
mod journal;
mod restore;
mod take;
mod view;

pub use check::{CheckOptions, Checked, Damage};
pub(crate) use restore::UNFINISHED;
pub use restore::{Restored, Restoring, restore, restore_in};
pub use take::{Backup, BackupOptions};

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::world::{LockGuard, Open, World};

pub use check::{check, check_in};

/// Where a file with this digest stands.
fn object(backup: &Path, digest: &indelible_format::Hash) -> PathBuf {
    backup.join(FILES).join(crate::identity::hex(&digest.0))
}

/// The folder of the files.
const FILES: &str = "files";
/// Bytes read at once while copying.
const BUFFER_BYTES: usize = 1 << 20;

/// Keeps other backups out. `None`: a medium that cannot be written to needs no lock.
fn lock(world: &World, backup: &Path) -> Result<Option<Box<dyn LockGuard>>> {
    let path = backup.join("lock");
    let failed = |error| Error::io(format!("could not lock {}", backup.display()), error);
    if !world.disk.exists(&path) {
        return Ok(None);
    }
    match world.disk.lock(&path) {
        Ok(guard) => Ok(Some(guard)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(Error::new(ErrorKind::Locked, format!("another process works on the backup in {}", backup.display()))
                .with_hint("wait until it is done: one backup at a time goes into a directory"))
        }
        Err(error) if matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem) => {
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Makes the lock's file where it is not there, and takes the lock.
fn make_lock(world: &World, backup: &Path) -> Result<Option<Box<dyn LockGuard>>> {
    let failed = |error| Error::io(format!("could not make {}/lock", backup.display()), error);
    drop(world.disk.open(&backup.join("lock"), Open::Create).map_err(failed)?);
    lock(world, backup)
}

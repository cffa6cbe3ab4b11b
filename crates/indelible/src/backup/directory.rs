//! The directory of a backup: what may be in it, making it, and removing what no backup names.

use std::path::Path;

use indelible_format::Hash;

use super::FILES;
use super::contents::Contents;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{hex, unhex};
use crate::world::World;

/// What is being copied.
pub(super) const FRESH: &str = "file.new";

/// Makes the directory of a backup, or finds that it is one.
pub(super) fn make_directory(world: &World, dir: &Path, backup: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("could not make {}", backup.display()), error);
    if backup.starts_with(dir) || dir.starts_with(backup) {
        return Err(Error::new(ErrorKind::Rejected, format!("{} and the store are one within the other", backup.display()))
            .with_hint("choose a directory elsewhere, best on another disk"));
    }
    make_path(world, backup).map_err(failed)?;
    let stranger = |name: &&String| !matches!(name.as_str(), FILES | "lock" | "backup.json" | "backup.json.new");
    if let Some(stranger) = world.disk.list(backup).map_err(failed)?.iter().find(stranger) {
        return Err(Error::new(
            ErrorKind::Rejected,
            format!("{} holds {stranger}, which is no part of a backup", backup.display()),
        )
        .with_hint("choose an empty directory, or that of an earlier backup"));
    }
    world.disk.create_dir(&backup.join(FILES)).map_err(failed)?;
    world.disk.sync_dir(backup).map_err(failed)
}

/// Makes a directory and those above it, durably.
pub(super) fn make_path(world: &World, path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !world.disk.exists(ancestor)).collect();
    if missing.is_empty() {
        // It may come from an attempt that ended before its name was durable. Who may not sync it did not make it.
        let _ = world.disk.sync_dir(&crate::world::parent(path));
    }
    for path in missing.into_iter().rev() {
        world.disk.create_dir(path)?;
        world.disk.sync_dir(&crate::world::parent(path))?;
    }
    Ok(())
}

/// Removes files that the backup does not name: of the one before, or of one that was interrupted.
pub(super) fn tidy(world: &World, backup: &Path, contents: &Contents) -> Result<()> {
    let folder = backup.join(FILES);
    let failed = |error| Error::io(format!("could not remove what the backup before had in {}", folder.display()), error);
    let mut changed = false;
    for name in world.disk.list(&folder).map_err(failed)? {
        let digest = unhex(&name).map(Hash);
        let named = digest.is_some_and(|digest| contents.files.iter().any(|entry| entry.digest == digest));
        if !named && (name == FRESH || digest.is_some_and(|digest| hex(&digest.0) == name)) {
            world.disk.remove(&folder.join(name)).map_err(failed)?;
            changed = true;
        }
    }
    if changed { world.disk.sync_dir(&folder).map_err(failed) } else { Ok(()) }
}

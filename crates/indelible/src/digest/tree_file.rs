//! `tree/<log>`: roots of the complete 256-leaf groups of a log, 32 bytes each. Rebuildable; never trusted by itself.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use indelible_format::Hash;

use crate::world::{DiskFile, Open, World};

const HASH_BYTES: u64 = 32;

/// The writer's handle.
pub(crate) struct TreeFile {
    file: Box<dyn DiskFile>,
    groups: u64,
}

pub(crate) fn path(dir: &Path, log: u32) -> PathBuf {
    dir.join("tree").join(log.to_string())
}

impl TreeFile {
    /// Opens or makes the file and makes it hold exactly `roots` behind the first `sealed` ones, which are right already.
    pub(crate) fn open(world: &World, dir: &Path, log: u32, sealed: u64, roots: &[Hash]) -> io::Result<Self> {
        let file = world.disk.open(&path(dir, log), Open::Create)?;
        let from = sealed * HASH_BYTES;
        let mut bytes = Vec::with_capacity(roots.len() * 32);
        roots.iter().for_each(|root| bytes.extend_from_slice(&root.0));
        let mut stored = vec![0; bytes.len()];
        let same = file.len()? == from + bytes.len() as u64 && file.read_at(&mut stored, from)? == bytes.len() && stored == bytes;
        if !same {
            file.set_len(from)?;
            file.write_at(&[IoSlice::new(&bytes)], from)?;
        }
        Ok(Self { file, groups: sealed + roots.len() as u64 })
    }

    /// Appends group roots; not synced, because it can be rebuilt.
    pub(crate) fn append(&mut self, roots: &[Hash]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(roots.len() * 32);
        roots.iter().for_each(|root| bytes.extend_from_slice(&root.0));
        self.file.write_at(&[IoSlice::new(&bytes)], self.groups * HASH_BYTES)?;
        self.groups += roots.len() as u64;
        Ok(())
    }
}

/// The roots of groups `from..to`, as far as they are on disk.
pub(crate) fn read(world: &World, dir: &Path, log: u32, from: u64, to: u64) -> io::Result<Vec<Hash>> {
    let file = world.disk.open(&path(dir, log), Open::Read)?;
    let count = (file.len()? / HASH_BYTES).min(to).saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(count * HASH_BYTES).unwrap_or(0)];
    let read = file.read_at(&mut bytes, from * HASH_BYTES)?;
    bytes.truncate(read);
    Ok(bytes.chunks_exact(32).filter_map(Hash::from_slice).collect())
}

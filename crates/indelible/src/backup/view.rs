//! A backup seen as the store that it was: the names of a store's directory, the files of a backup. Nothing can be written through it.
//!
//! So a backup is verified by the code that verifies stores, where it lies, before anything is made of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::Contents;
use super::object;
use crate::world::{Disk, DiskFile, LockGuard, Open, World};

enum Source {
    File(PathBuf),
    /// Kept in `backup.json` itself.
    Text(Arc<[u8]>),
}

/// The disk that shows it. Paths outside the backup's directory are those of the disk below.
pub(super) struct View {
    below: Arc<dyn Disk>,
    dir: PathBuf,
    /// By name in the store's directory.
    files: BTreeMap<PathBuf, Source>,
}

impl View {
    /// The world in which `backup` holds a store.
    pub(super) fn world(world: &World, backup: &Path, contents: &Contents) -> World {
        let mut files: BTreeMap<PathBuf, Source> = contents
            .files
            .iter()
            .map(|entry| (PathBuf::from(&entry.name), Source::File(object(backup, &entry.digest))))
            .collect();
        files.extend(
            contents
                .checkpoints
                .iter()
                .map(|(log, note)| (PathBuf::from(format!("checkpoint/{log}")), Source::Text(note.as_bytes().into()))),
        );
        let view = Self { below: Arc::clone(&world.disk), dir: backup.to_owned(), files };
        World { disk: Arc::new(view), ..world.clone() }
    }

    /// The name in the store's directory, of a path within it.
    fn name<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.dir).ok()
    }
}

fn refused() -> io::Error {
    ErrorKind::ReadOnlyFilesystem.into()
}

impl Disk for View {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let Some(name) = self.name(path) else { return self.below.open(path, how) };
        match self.files.get(name) {
            Some(_) if how != Open::Read => Err(refused()),
            Some(Source::File(path)) => self.below.open(path, how),
            Some(Source::Text(bytes)) => Ok(Box::new(Text(Arc::clone(bytes)))),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let Some(folder) = self.name(path) else { return self.below.list(path) };
        let inside = self.files.keys().filter_map(|name| name.strip_prefix(folder).ok());
        let mut names: Vec<String> = inside
            .filter_map(|name| name.components().next())
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        self.name(path).map_or_else(|| self.below.exists(path), |name| self.files.contains_key(name))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.below.free_bytes(path)
    }

    // No writer is here: whoever asks for the lock learns that there is none to take.
    fn lock(&self, _path: &Path) -> io::Result<Box<dyn LockGuard>> {
        Err(ErrorKind::NotFound.into())
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Err(refused())
    }
}

/// Bytes that are at hand.
struct Text(Arc<[u8]>);

impl DiskFile for Text {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        for (slot, byte) in buf.iter_mut().zip(rest) {
            *slot = *byte;
        }
        Ok(count)
    }

    fn write_at(&self, _parts: &[IoSlice<'_>], _offset: u64) -> io::Result<()> {
        Err(refused())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(refused())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(refused())
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Err(refused())
    }
}

//! Files of `segments/`: their names, writing and opening them, and what an interrupted seal leaves behind.
//!
//! A name that ends in `.parquet` is a whole, synced segment. What is being written ends in `.new`, what was replaced in `.old`: whoever
//! lists `*.parquet` sees neither, and never an old segment beside the one that took its place.

use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

use indelible_format::Hash;
use indelible_segment::{ReadAt, Segment, SegmentError};
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, SegmentInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::world::{DiskFile, Open, World};

const SUFFIX: &str = ".parquet";
const EXPIRED_SUFFIX: &str = ".expired";
/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Where writing around the page cache wants memory to begin.
const PAGE_BYTES: usize = 4096;

pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("segments")
}

/// Name of a segment: its log, its first position, and the generation of the manifest that first named it.
pub(crate) fn segment_name(log: u32, first_seq: u64, generation: u64) -> String {
    format!("{log}-{first_seq:012}-{generation:08}{SUFFIX}")
}

/// Whether a name is one that [`segment_name`] gives.
pub(crate) fn is_segment(name: &str) -> bool {
    let mut parts = name.strip_suffix(SUFFIX).unwrap_or_default().split('-').map(str::parse::<u64>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(log)), Some(Ok(first_seq)), Some(Ok(generation)), None) => {
            u32::try_from(log).is_ok_and(|log| segment_name(log, first_seq, generation) == name)
        }
        _ => false,
    }
}

/// Name of the state that goes with a manifest.
pub(crate) fn state_name(generation: u64) -> String {
    format!("{generation:08}.state")
}

pub(crate) fn is_state(name: &str) -> bool {
    let number = name.strip_suffix(".state").and_then(|digits| digits.parse().ok());
    number.is_some_and(|number: u64| state_name(number) == name)
}

/// Name of what stays of the beginning of a log: the log, the first position that has not expired, and the generation of the manifest
/// that first named it.
pub(crate) fn expired_name(log: u32, below: u64, generation: u64) -> String {
    format!("{log}-{below:012}-{generation:08}{EXPIRED_SUFFIX}")
}

/// Whether a name is one that [`expired_name`] gives.
pub(crate) fn is_expired(name: &str) -> bool {
    name.strip_suffix(EXPIRED_SUFFIX).is_some_and(|base| is_segment(&format!("{base}{SUFFIX}")))
}

/// What is being written.
pub(crate) fn fresh(name: &str) -> String {
    format!("{name}.new")
}

/// What was replaced.
pub(crate) fn replaced(name: &str) -> String {
    format!("{name}.old")
}

/// Opens a segment that the manifest names.
///
/// # Errors
/// `Io`; `Corrupt`: it is not the segment that the manifest describes.
pub(crate) fn open_segment(world: &World, dir: &Path, info: &SegmentInfo) -> Result<Segment> {
    let path = folder(dir).join(&info.file);
    // For a moment, while it is being replaced, it has its other name.
    let file = match world.disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            world.disk.open(&folder(dir).join(replaced(&info.file)), Open::Read)
        }
        opened => opened,
    };
    let file = file.map_err(|error| Error::io(format!("could not open segments/{}", info.file), error))?;
    let segment = read_segment(SegmentFile(file), &info.file)?;
    if (segment.log(), segment.first_seq(), u64::from(segment.rows())) != (info.log, info.first_seq, info.count) {
        return Err(damaged(&info.file, &"it holds other positions than the manifest says"));
    }
    Ok(segment)
}

/// Opens a segment file, whatever it holds.
pub(crate) fn read_segment(file: impl ReadAt + 'static, name: &str) -> Result<Segment> {
    Segment::open(file).map_err(|error| failed(name, error))
}

/// A file of the store's disk as segments are read from it.
pub(crate) struct SegmentFile(pub(crate) Box<dyn DiskFile>);

impl ReadAt for SegmentFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Why a segment could not be read: for want of something, or because it is not what it should be.
pub(crate) fn failed(name: &str, error: SegmentError) -> Error {
    match error {
        SegmentError::Io(error) => Error::io(format!("could not read segments/{name}"), error),
        error => damaged(name, &error),
    }
}

/// A segment that is not what it should be.
pub(crate) fn damaged(name: &str, what: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("segments/{name}: {what}"))
        .with_hint("run `indelible verify` for all findings; keep the directory as evidence and restore a backup")
}

/// A segment of which a row is no record.
pub(crate) fn no_record(name: &str, seq: u64) -> Error {
    damaged(name, &format!("position {seq} is no record"))
}

/// Writes a file under its `.new` name, syncs it, and reads it back.
pub(crate) fn write_whole(world: &World, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = FileWriter::create(world, &folder.join(fresh(name)))?;
    file.write_all(bytes)?;
    let (file, length, digest) = file.finish()?;
    read_back(&*file, length, &digest)
}

/// Reads a file that was written and synced from the disk, all of it: what is to stay for good takes the place of what it was made of only if
/// the disk gives it back.
///
/// # Errors
/// `InvalidData`: it gives other bytes back.
pub(crate) fn read_back(file: &dyn DiskFile, bytes: u64, digest: &Hash) -> io::Result<()> {
    // Not what the page cache remembers of the writing.
    file.have_read(0, bytes);
    if file.len()? == bytes && digest_of(file)? == *digest {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the disk gave other bytes back than were written"))
}

/// All bytes of a file that is not large.
pub(crate) fn read_whole(world: &World, folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let file = world.disk.open(&folder.join(name), Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// SHA-256 of a segment's file as it is now.
pub(crate) fn digest(world: &World, dir: &Path, name: &str) -> io::Result<Hash> {
    let path = folder(dir).join(name);
    let file = match world.disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            world.disk.open(&folder(dir).join(replaced(name)), Open::Read)?
        }
        opened => opened?,
    };
    digest_of(&*file)
}

/// SHA-256 of a file from its beginning to its end.
pub(crate) fn digest_of(file: &dyn DiskFile) -> io::Result<Hash> {
    let (mut digest, mut at, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(Hash(digest.finalize().into()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
}

/// Writes a file from its beginning to its end, around the page cache where that can be: all of a segment dirty in the cache at once is
/// one long write to the disk when it is synced, behind which commits would wait for theirs.
pub(crate) struct FileWriter {
    file: Box<dyn DiskFile>,
    at: u64,
    /// Filled up to `start`, where a page begins, before anything is gathered; never grown.
    buffer: Vec<u8>,
    start: usize,
    digest: Sha256,
}

impl FileWriter {
    pub(crate) fn create(world: &World, path: &Path) -> io::Result<Self> {
        // A name like this is left over from an attempt that ended before.
        if world.disk.exists(path) {
            world.disk.remove(path)?;
        }
        let file = world.disk.open(path, Open::CreateNew)?;
        file.pass_by_cache();
        let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER_BYTES + PAGE_BYTES);
        let start = buffer.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        buffer.resize(start, 0);
        Ok(Self { file, at: 0, buffer, start, digest: Sha256::new() })
    }

    /// Writes what is left and syncs. Gives the file, its length and its SHA-256.
    pub(crate) fn finish(mut self) -> io::Result<(Box<dyn DiskFile>, u64, Hash)> {
        // What is not whole sectors goes through the page cache.
        self.flush()?;
        self.file.sync_data()?;
        Ok((self.file, self.at, Hash(self.digest.finalize().into())))
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.start + BUFFER_BYTES).saturating_sub(self.buffer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if taken.len() == room {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.len() > self.start {
            let gathered = self.buffer.get(self.start..).unwrap_or_default();
            self.file.write_at(&[IoSlice::new(gathered)], self.at)?;
            self.digest.update(gathered);
            self.at += gathered.len() as u64;
            self.buffer.truncate(self.start);
        }
        Ok(())
    }
}

/// Makes `segments/` hold what the manifest names and nothing else that an interrupted seal can have left. Files that are not named as a
/// store names its own stay.
pub(crate) fn tidy(world: &World, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let folder = folder(dir);
    let names = match world.disk.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    let mut changed = false;
    for segment in &manifest.segments {
        let old = replaced(&segment.file);
        if !names.contains(&segment.file) && names.contains(&old) {
            world.disk.rename(&folder.join(old), &folder.join(&segment.file))?;
            changed = true;
        }
    }
    let state = state_name(manifest.generation);
    for name in &names {
        let base = name.strip_suffix(".new").or_else(|| name.strip_suffix(".old")).unwrap_or(name);
        let ours = is_segment(base) || is_state(base) || is_expired(base);
        let named = *name == state
            || manifest.segments.iter().any(|segment| segment.file == *name)
            || manifest.expired.iter().any(|expired| expired.file == *name);
        if ours && !named && world.disk.exists(&folder.join(name)) {
            world.disk.remove(&folder.join(name))?;
            changed = true;
        }
    }
    if changed { world.disk.sync_dir(&folder) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_ours() {
        let name = segment_name(1, 262_144, 7);
        assert_eq!(name, "1-000000262144-00000007.parquet");
        assert!(is_segment(&name));
        for other in
            ["export.parquet", "1-0-0.parquet", "1-000000262144-00000007.parquet.new", "../1-000000262144-00000007.parquet"]
        {
            assert!(!is_segment(other), "{other}");
        }
        assert!(is_expired(&expired_name(1, 512, 3)) && !is_expired(&name) && !is_expired("x.expired"));
        assert!(is_state("00000012.state") && !is_state("12.state"));
        assert!(is_segment(&segment_name(u32::MAX, u64::MAX, u64::MAX)));
    }
}

//! Taking a backup: what is not there yet is copied, then `backup.json` is replaced, then what it no longer names goes.
//!
//! A reader's view is enough, so a writer may go on committing and sealing. When it seals what was about to be copied, the manifest is read
//! again; what was copied so far stays copied. Nothing of the previous backup is touched before the new one is durable.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indelible_format::Hash;

use super::contents::{Contents, Entry};
use super::directory::{FRESH, make_directory, tidy};
use super::journal::{Journal, Piece};
use super::{BUFFER_BYTES, FILES, make_lock, object};
use crate::commit::journal::file_name;
use crate::digest::checkpoints;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::read::Reader;
use crate::seal::files::{self, FileWriter};
use crate::seal::{Manifest, SegmentInfo};
use crate::world::{DiskFile, Open, World};

/// Times that the manifest is read again because a writer replaced it.
const ATTEMPTS_MAX: u32 = 100;
/// Times that a store is looked at which is not what it should be: it may be so only for a moment.
const LOOKS_MAX: u32 = 4;
/// Between two such looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How a backup is taken.
#[derive(Default)]
pub struct BackupOptions<'o> {
    /// Read again what the backup holds already, and copy anew what is not what it was.
    pub recheck: bool,
    /// Called now and then with the bytes that are in the backup and the bytes that it is to hold.
    pub progress: Option<&'o mut dyn FnMut(u64, u64)>,
}

impl std::fmt::Debug for BackupOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupOptions").field("recheck", &self.recheck).finish_non_exhaustive()
    }
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// When, ns since 1970 UTC.
    pub made: i64,
    /// Files that it holds.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that were not there before.
    pub copied_files: u64,
    /// Bytes of those.
    pub copied_bytes: u64,
    /// Where each log ends in it.
    pub heads: Vec<crate::LogHead>,
    /// Size of each log's newest signed checkpoint in it.
    pub signed: Vec<(u32, u64)>,
}

impl Reader {
    /// Backs the store up into `backup`, a directory of its own, which is made if it is not there.
    ///
    /// A writer may be at work meanwhile. What the directory holds already is not copied again. Keys are never copied: a backup cannot
    /// sign. Copy `key` (and `pseudonym.key`) once, to another place.
    ///
    /// **Durability**: when it returns, the backup is on its disk, whole: the store as it was at one moment. Until then, and after any
    /// failure or crash, the backup that was there before is. **Cost**: reads the journal, and reads and writes what is new; 3 MiB of memory.
    ///
    /// # Errors
    /// `Rejected`: the directory holds something else, or another store's backup. `Locked`: another backup goes on there. `Mismatch`: the
    /// backup knows more of the store, or otherwise, than the store itself. `Corrupt`, `Io`, `Busy`.
    pub fn backup(&self, backup: impl AsRef<Path>, mut options: BackupOptions<'_>) -> Result<Backup> {
        let backup = backup.as_ref();
        make_directory(self.world(), self.dir(), backup)?;
        let _lock = make_lock(self.world(), backup)?;
        let previous = Contents::read(self.world(), backup)?;
        if previous.as_ref().is_some_and(|previous| previous.store != self.identity().store) {
            return Err(Error::new(ErrorKind::Rejected, format!("{} is the backup of another store", backup.display()))
                .with_hint("give each store a directory of its own; one that was restored is another store"));
        }
        let mut taking =
            Taking { reader: self, backup, previous, options: &mut options, copied_files: 0, copied_bytes: 0, done: 0, total: 0 };
        let contents = taking.contents()?;
        let (copied_files, copied_bytes) = (taking.copied_files, taking.copied_bytes);
        contents.replace(self.world(), backup)?;
        tidy(self.world(), backup, &contents)?;
        let signed = contents.checkpoints.iter().map(|(log, note)| {
            let checkpoint = checkpoints::open(self.identity(), *log, note)?;
            Ok((*log, checkpoint.size))
        });
        Ok(Backup {
            made: contents.made,
            files: contents.files.len() as u64,
            bytes: contents.bytes(),
            copied_files,
            copied_bytes,
            signed: signed.collect::<Result<_>>()?,
            heads: contents.heads,
        })
    }
}

/// One backup in the making.
struct Taking<'t, 'o> {
    reader: &'t Reader,
    backup: &'t Path,
    previous: Option<Contents>,
    options: &'t mut BackupOptions<'o>,
    copied_files: u64,
    copied_bytes: u64,
    done: u64,
    total: u64,
}

fn another(name: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{name} is another file than the manifest says"))
        .with_hint("run `indelible verify` for all findings; the backup that was there stays as it was")
}

impl Taking<'_, '_> {
    /// Copies what is missing and says what there is then.
    fn contents(&mut self) -> Result<Contents> {
        let (mut attempts, mut looks) = (0, 0);
        loop {
            let manifest = Manifest::clone(&*self.reader.manifest()?);
            let error = match self.attempt(&manifest) {
                Ok(contents) => {
                    // Names are durable before anything names them.
                    let failed = |error| Error::io(format!("could not sync {}", self.backup.display()), error);
                    self.world().disk.sync_dir(&self.backup.join(FILES)).map_err(failed)?;
                    return Ok(contents);
                }
                Err(error) => error,
            };
            if self.reader.manifest()?.generation != manifest.generation {
                attempts += 1;
                if attempts == ATTEMPTS_MAX {
                    return Err(
                        Error::new(ErrorKind::Busy, "the store changed faster than it could be backed up").with_cause(error)
                    );
                }
                continue;
            }
            // A writer that opens or closes the store puts a fresh copy of the journal's last file in its place, removes files that were made
            // ahead of use, and has not said yet how far the journal is durable.
            looks += 1;
            if looks == LOOKS_MAX || !(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Mismatch) || error.is_missing()) {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    const fn world(&self) -> &World {
        self.reader.world()
    }

    fn attempt(&mut self, manifest: &Manifest) -> Result<Contents> {
        // As it is now: a policy may have added logs since the reader was opened.
        let (dir, identity) = (self.reader.dir(), &Identity::read(self.world(), self.reader.dir())?);
        // What was signed is durable: read before the journal, it cannot be ahead of it.
        let mut notes = Vec::new();
        for log in &identity.logs {
            notes.extend(checkpoints::read(self.world(), dir, identity, log.id)?);
        }
        let journal = Journal::read(self.world(), dir, identity, manifest)?;
        let size = |log: u32| journal.heads.iter().find(|head| head.log == log).map_or(0, |head| head.size);
        if size(0) == 0 {
            return Err(Error::new(ErrorKind::NotFound, "nothing is recorded in this store yet, not even that it was made")
                .with_hint("open it once for writing, for example with `indelible emit`"));
        }
        if let Some(ahead) = notes.iter().find(|note| note.size > size(note.log)) {
            return Err(shorter(identity, ahead.log, size(ahead.log), ahead.size, "a checkpoint was signed"));
        }
        self.compare(&journal)?;
        let segments: u64 = manifest.segments.iter().map(|info| info.bytes).sum();
        self.total = segments + journal.pieces.iter().map(|piece| piece.bytes).sum::<u64>();
        self.done = 0;
        let mut entries = Vec::new();
        entries.push(self.small("store.json", &identity.to_json())?);
        if manifest.generation > 0 {
            entries.push(self.small("manifest", &manifest.to_json(identity))?);
            let name = format!("segments/{}", files::state_name(manifest.generation));
            let known = self.state(&name)?;
            entries.push(self.file(&name, &[name.as_str()], None, Some(known))?);
        }
        for info in &manifest.segments {
            entries.push(self.segment(info)?);
        }
        for info in &manifest.expired {
            let name = format!("segments/{}", info.file);
            let entry = self.file(&name, &[name.as_str()], None, None)?;
            if entry.digest != info.digest {
                return Err(another(&name));
            }
            entries.push(entry);
        }
        for piece in &journal.pieces {
            entries.push(self.piece(piece)?);
        }
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let checkpoints = notes.into_iter().map(|note| (note.log, note.note)).collect();
        let made = self.world().clock.wall_ns();
        Ok(Contents { store: identity.store, made, heads: journal.heads, checkpoints, files: entries })
    }

    /// A good backup is never replaced by one of a store that was cut off, rolled back or rewritten.
    fn compare(&self, journal: &Journal) -> Result<()> {
        for known in self.previous.iter().flat_map(|previous| &previous.heads).filter(|known| known.size > 0) {
            let size = journal.heads.iter().find(|head| head.log == known.log).map_or(0, |head| head.size);
            if size < known.size {
                return Err(shorter(self.reader.identity(), known.log, size, known.size, "a backup was made"));
            }
            let root = match self.reader.root_at(known.log, known.size) {
                // It has expired since, and nothing was kept to compare it with.
                Err(error) if error.kind() == ErrorKind::Expired => continue,
                root => root?,
            };
            if root != known.root {
                let name = self.reader.identity().log_name(known.log);
                let what = format!(
                    "log {} ({name}) is not the one that was backed up here: its first {} entries differ",
                    known.log, known.size
                );
                return Err(Error::new(ErrorKind::Mismatch, what).with_hint(NOT_REPLACED));
            }
        }
        Ok(())
    }

    /// Length and digest of the state: nothing else says what they are.
    fn state(&self, name: &str) -> Result<(u64, Hash)> {
        let failed = |error| Error::io(format!("could not read {name}"), error);
        let file = self.world().disk.open(&self.reader.dir().join(name), Open::Read).map_err(failed)?;
        Ok((file.len().map_err(failed)?, files::digest_of(&*file).map_err(failed)?))
    }

    fn segment(&mut self, info: &SegmentInfo) -> Result<Entry> {
        let name = format!("segments/{}", info.file);
        let old = format!("segments/{}", files::replaced(&info.file));
        let entry = self.file(&name, &[name.as_str(), old.as_str()], None, Some((info.bytes, info.digest)))?;
        if (entry.bytes, entry.digest) != (info.bytes, info.digest) {
            return Err(another(&name));
        }
        Ok(entry)
    }

    fn piece(&mut self, piece: &Piece) -> Result<Entry> {
        let name = format!("journal/{}", file_name(piece.number));
        let end = Some((piece.next, piece.hash));
        // The same frames, by the chain of their hashes.
        let known = self.previous.as_ref().and_then(|previous| previous.find(&name));
        let known = known.filter(|known| known.end == end).map(|known| (known.bytes, known.digest));
        let mut entry = self.file(&name, &[name.as_str()], Some(piece.bytes), known)?;
        entry.end = end;
        Ok(entry)
    }

    /// A file whose bytes are at hand.
    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<Entry> {
        let digest = Hash(indelible_format::sha256::sha256(bytes).0);
        let entry = Entry { name: name.into(), bytes: bytes.len() as u64, digest, end: None };
        if self.has(&entry)? {
            return Ok(entry);
        }
        let mut writer = self.begin(name)?;
        std::io::Write::write_all(&mut writer, bytes).map_err(|error| write_failed(name, error))?;
        self.finish(name, writer)
    }

    /// A file of the store, found under the first of `paths` that is there, up to `limit`. `known`: what it is if it is what it should be;
    /// then it need not be copied if the backup has it.
    fn file(&mut self, name: &str, paths: &[&str], limit: Option<u64>, known: Option<(u64, Hash)>) -> Result<Entry> {
        if let Some((bytes, digest)) = known {
            let entry = Entry { name: name.into(), bytes, digest, end: None };
            if self.has(&entry)? {
                self.progress(bytes);
                return Ok(entry);
            }
        }
        let mut opened = Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        for path in paths {
            opened = match opened {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.world().disk.open(&self.reader.dir().join(path), Open::Read)
                }
                opened => opened,
            };
        }
        let from = opened.map_err(|error| Error::io(format!("could not open {name}"), error))?;
        let mut writer = self.begin(name)?;
        let mut each = |bytes| self.progress(bytes);
        copy(&*from, limit, &mut writer, name, &mut each)?;
        self.finish(name, writer)
    }

    /// Whether the backup has this file. What the last backup named is believed to be as it was written, unless it is to be read again.
    fn has(&self, entry: &Entry) -> Result<bool> {
        let path = object(self.backup, &entry.digest);
        let failed = |error| Error::io(format!("could not read {}", path.display()), error);
        if !self.world().disk.exists(&path) {
            return Ok(false);
        }
        let file = self.world().disk.open(&path, Open::Read).map_err(failed)?;
        if file.len().map_err(failed)? != entry.bytes {
            return Ok(false);
        }
        let named = self.previous.iter().flat_map(|previous| &previous.files).any(|known| known.digest == entry.digest);
        if named && !self.options.recheck {
            return Ok(true);
        }
        if files::digest_of(&*file).map_err(failed)? != entry.digest {
            return Ok(false);
        }
        if named {
            return Ok(true);
        }
        // Copied by a backup that ended before it was named. Its contents are durable; its name is not if the sync of the folder failed, and
        // the next sync would save nothing of it: only a name given anew is.
        let renamed = self.world().disk.rename(&path, &self.fresh());
        renamed
            .and_then(|()| self.world().disk.rename(&self.fresh(), &path))
            .map_err(|error| write_failed(&entry.name, error))?;
        Ok(true)
    }

    fn begin(&self, name: &str) -> Result<FileWriter> {
        FileWriter::create(self.world(), &self.fresh()).map_err(|error| write_failed(name, error))
    }

    /// What is being copied; one file at a time.
    fn fresh(&self) -> PathBuf {
        self.backup.join(FILES).join(FRESH)
    }

    /// Gives what was copied its name. Its contents are durable then; its name is not yet.
    fn finish(&mut self, name: &str, writer: FileWriter) -> Result<Entry> {
        let (file, bytes, digest) = writer.finish().map_err(|error| write_failed(name, error))?;
        drop(file);
        self.world().disk.rename(&self.fresh(), &object(self.backup, &digest)).map_err(|error| write_failed(name, error))?;
        self.copied_files += 1;
        self.copied_bytes += bytes;
        Ok(Entry { name: name.into(), bytes, digest, end: None })
    }

    fn progress(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(progress) = &mut self.options.progress {
            progress(self.done, self.total);
        }
    }
}

fn shorter(identity: &Identity, log: u32, size: u64, known: u64, what: &str) -> Error {
    let name = identity.log_name(log);
    Error::new(
        ErrorKind::Mismatch,
        format!("log {log} ({name}) has {size} entries, but {what} when it had {known}: it was cut off, or rolled back"),
    )
    .with_hint(NOT_REPLACED)
}

const NOT_REPLACED: &str =
    "run `indelible verify` on the store; the backup that was there stays as it was, and may be what is left";

fn write_failed(name: &str, error: std::io::Error) -> Error {
    Error::io(format!("could not write {name} into the backup"), error)
}

/// Copies a file up to `limit` into `writer`; `each` is told the bytes as they go.
pub(super) fn copy(
    from: &dyn DiskFile,
    limit: Option<u64>,
    writer: &mut FileWriter,
    name: &str,
    each: &mut dyn FnMut(u64),
) -> Result<()> {
    let read_failed = |error| Error::io(format!("could not read {name}"), error);
    let (mut at, mut buffer) = (0, vec![0; BUFFER_BYTES]);
    loop {
        let wanted = limit.map_or(BUFFER_BYTES as u64, |limit| (limit - at).min(BUFFER_BYTES as u64));
        let piece = buffer.get_mut(..usize::try_from(wanted).unwrap_or(BUFFER_BYTES)).unwrap_or_default();
        let read = from.read_at(piece, at).map_err(read_failed)?;
        std::io::Write::write_all(writer, piece.get(..read).unwrap_or_default())
            .map_err(|error| Error::io(format!("could not write {name}"), error))?;
        at += read as u64;
        each(read as u64);
        if read == 0 || limit == Some(at) {
            break;
        }
    }
    if limit.is_some_and(|limit| limit != at) {
        return Err(read_failed(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    }
    Ok(())
}

//! Sealing: from the frames of complete journal files to segments, and only then away with the files.
//!
//! Order of writes, each durable before the next begins: segments and state under their `.new` names; read back from disk and compared
//! with the journal, byte for byte; renamed; the manifest replaced; journal files, replaced segments and the old state removed. Until the
//! manifest is replaced everything that was there before is there still. Nothing here waits for a commit, and no commit for it.

use std::ops::{AddAssign, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indelible_format::Hash;
use indelible_format::frame::FileHeader;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::{Frontier, GROUP_LEVEL};
use indelible_segment::{ReadAt, SegmentError};

use super::building::{How, Written};
use super::manifest::{Manifest, SegmentInfo, Start};
use super::pass::Pass;
use super::rows::Rows;
use super::state::State;
use super::{expired, files};
use crate::commit::journal::{FILE_BYTES_MIN, file_name, heads};
use crate::digest::LogHead;
use crate::digest::tree_file::{self, TreeFile};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::read::frames;
use crate::world::{DiskFile, Open, World};

/// Where the journal is to begin after sealing.
pub(crate) struct Boundary {
    /// The first file that stays.
    pub(crate) file: u64,
    /// Its first frame.
    pub(crate) lsn: u64,
    /// Every log before that frame.
    pub(crate) heads: Vec<LogHead>,
}

impl Boundary {
    /// In front of the journal file with this header.
    pub(crate) fn before(header: &FileHeader) -> Self {
        Self { file: header.number, lsn: header.first_lsn, heads: heads(&header.logs) }
    }
}

/// How segments are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Rows of a segment at most.
    pub(crate) rows_max: u64,
    /// Bytes of memory of all segments that are being written.
    pub(crate) memory_bytes_max: usize,
    /// Whether small segments are taken into the next one.
    pub(crate) merges: bool,
    pub(crate) options: indelible_segment::Options,
}

/// Between two removals of journal files. Where the file system gives freed blocks back to the disk (ext4 with `discard`), every sync waits
/// meanwhile: commits shall wait for one file at a time.
const BREATH: Duration = Duration::from_millis(20);

/// Rows compared between two looks whether to go on.
const ROWS_BETWEEN_STOPS: u64 = 4_096;

/// What sealing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Positions that were sealed.
    pub records: u64,
    /// Bytes that all rows of the segments written took in the journal, those of segments taken in included.
    pub journal_bytes: u64,
    /// Segments written.
    pub segments: u64,
    /// Bytes of those.
    pub segment_bytes: u64,
    /// Segments that were taken into larger ones.
    pub merged: u64,
}

impl AddAssign for Sealed {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        self.journal_bytes += more.journal_bytes;
        self.segments += more.segments;
        self.segment_bytes += more.segment_bytes;
        self.merged += more.merged;
    }
}

/// Owned by whoever holds the writer's lock.
pub(crate) struct Sealer {
    pub(super) world: World,
    pub(super) dir: PathBuf,
    pub(super) identity: Identity,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) state: State,
    /// Why nobody knows which manifest a power cut would leave: then nothing is removed, and whoever opens the store next decides.
    uncertain: Option<Error>,
}

impl Sealer {
    /// What is sealed in `dir`, with the state that goes with it.
    ///
    /// # Errors
    /// `Corrupt`: the state is missing, or is not the one that its segments lead to. `Io`.
    pub(crate) fn open(world: &World, dir: &Path, identity: &Identity) -> Result<Self> {
        let manifest = Manifest::read(world, dir, identity)?;
        if manifest.generation > 0 {
            available()?;
        }
        let state = if manifest.generation == 0 { State::default() } else { read_state(world, dir, &manifest)? };
        for log in manifest.logs() {
            if manifest.sealed(log) != state.size(log) {
                return Err(damaged_state(&manifest));
            }
        }
        let world = world.clone();
        Ok(Self { world, dir: dir.to_owned(), identity: identity.clone(), manifest: Arc::new(manifest), state, uncertain: None })
    }

    /// Removes what no manifest names any more: files of an interrupted seal, and of the journal before its start. Only once the journal
    /// was found to begin where the manifest says.
    pub(crate) fn tidy(&self) -> Result<()> {
        // The manifest that is seen may be there only until the next power cut, if its writer could not sync the directory: once again,
        // before anything is removed on its word.
        if self.manifest.generation > 0 {
            self.manifest.write(&self.world, &self.dir, &self.identity)?;
        }
        files::tidy(&self.world, &self.dir, &self.manifest)
            .map_err(|error| Error::io("could not remove what an interrupted seal left", error))?;
        self.remove_journal(Duration::ZERO)
    }

    /// Makes `tree/<log>` begin with the roots of all sealed groups, taken from the segments if the file does not have them. Gives their
    /// number.
    pub(crate) fn restore_tree(&self, log: u32) -> Result<u64> {
        let Some(state) = self.state.logs.iter().find(|state| state.log == log) else { return Ok(0) };
        let groups = state.groups.size() / GROUP_LEAVES;
        let stored = tree_file::read(&self.world, &self.dir, log, 0, groups).unwrap_or_default();
        if leads_to(&stored, &state.groups) {
            return Ok(groups);
        }
        let roots = self.group_roots(log)?;
        if !leads_to(&roots, &state.groups) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("the segments of log {log} do not lead to the root they were sealed with"),
            )
            .with_hint("run `indelible verify` for all findings; keep the directory as evidence and restore a backup"));
        }
        TreeFile::open(&self.world, &self.dir, log, 0, &roots)
            .map_err(|error| Error::io("could not write a tree file", error))?;
        Ok(groups)
    }

    /// Roots of all sealed groups of a log, as its files have them.
    pub(super) fn group_roots(&self, log: u32) -> Result<Vec<Hash>> {
        expired::group_roots(&self.world, &self.dir, &self.manifest, log, |info| {
            files::open_segment(&self.world, &self.dir, info).map(Box::new)
        })
    }

    /// Removes the journal files that are sealed; behind each large one it waits for `breath`.
    fn remove_journal(&self, breath: Duration) -> Result<()> {
        let (disk, journal) = (&self.world.disk, self.dir.join("journal"));
        for number in frames::numbers(&self.world, &self.dir)?.into_iter().filter(|number| *number < self.manifest.start.file) {
            let name = file_name(number);
            let path = journal.join(&name);
            let is_large = || disk.open(&path, Open::Read).and_then(|file| file.len()).is_ok_and(|bytes| bytes > FILE_BYTES_MIN);
            let pause = if breath.is_zero() || !is_large() { Duration::ZERO } else { breath };
            disk.remove(&path).map_err(|error| Error::io(format!("could not remove journal/{name}"), error))?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// Seals everything before `to`.
    ///
    /// # Errors
    /// `Io` (no room, most often), `Corrupt`; `Closed`: `stop` said so. Whatever happened, everything is where it was, and a later call may try again.
    pub(crate) fn seal(&mut self, to: &Boundary, shape: &Shape, stop: &dyn Fn() -> bool) -> Result<Sealed> {
        if to.lsn <= self.manifest.start.lsn {
            return Ok(Sealed::default());
        }
        self.undivided(|sealer| sealer.seal_once(to, shape, stop))
    }

    fn seal_once(&mut self, to: &Boundary, shape: &Shape, stop: &dyn Fn() -> bool) -> Result<Sealed> {
        let folder = files::folder(&self.dir);
        let failed = |error| Error::io("could not write to segments", error);
        if !self.world.disk.exists(&folder) {
            self.world.disk.create_dir(&folder).map_err(failed)?;
            self.world.disk.sync_dir(&self.dir).map_err(failed)?;
        }
        let mut how = How::Trusting;
        let pass = loop {
            let pass = self.pass(to, shape, how, stop)?;
            how = match (how, pass.agrees(to)) {
                (How::Computing, false) => {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        "what is in the journal does not lead to the roots that were signed",
                    )
                    .with_hint("run `indelible verify` for all findings; nothing is sealed until then"));
                }
                // The tree file is derived and may have rotted. What is hashed anew either gives the roots, or the journal does not.
                (_, false) => How::Computing,
                (_, true) => match self.compare(&pass, stop)? {
                    None => break pass,
                    // A record that its columns do not give back.
                    Some(_) if how == How::Trusting => How::Comparing,
                    Some(differs) => return Err(differs),
                },
            };
        };
        self.publish(to, pass)
    }

    /// Reads every new segment back from disk, all of its bytes, and compares its records with those it was made of. Gives the first difference.
    fn compare(&self, pass: &Pass, stop: &dyn Fn() -> bool) -> Result<Option<Error>> {
        let mut logs: Vec<u32> = pass.written.iter().map(|written| written.info.log).collect();
        // In the order in which they were finished, so that a log may come several times.
        logs.sort_unstable();
        logs.dedup();
        for log in logs {
            let merged: Vec<SegmentInfo> = pass.merged.iter().filter(|segment| segment.log == log).cloned().collect();
            let frames = pass.frames.get(&log).map(Vec::as_slice).unwrap_or_default();
            let mut rows = Rows::new(&self.world, &self.dir, log, &merged, frames);
            for written in pass.written.iter().filter(|written| written.info.log == log) {
                if let Some(differs) = compare_one(written, &mut rows, stop)? {
                    return Ok(Some(differs));
                }
            }
            if rows.next()?.is_some() {
                return Err(Error::new(ErrorKind::Corrupt, format!("segments of log {log} have fewer rows than the journal")));
            }
        }
        Ok(None)
    }

    /// Makes the segments of a pass the store's.
    fn publish(&mut self, to: &Boundary, pass: Pass) -> Result<Sealed> {
        let mut manifest = Manifest::clone(&self.manifest);
        manifest.start = Start { file: to.file, lsn: to.lsn, prev: pass.prev };
        let before: u64 = self.state.logs.iter().map(super::state::LogState::size).sum();
        let after: u64 = pass.state.logs.iter().map(super::state::LogState::size).sum();
        let sum = |of: fn(&SegmentInfo) -> u64, segments: &mut dyn Iterator<Item = &SegmentInfo>| segments.map(of).sum::<u64>();
        let sealed = Sealed {
            records: after - before,
            journal_bytes: sum(|info| info.journal_bytes, &mut pass.written.iter().map(|written| &written.info)),
            segments: pass.written.len() as u64,
            segment_bytes: sum(|info| info.bytes, &mut pass.written.iter().map(|written| &written.info)),
            merged: pass.merged.len() as u64,
        };
        self.replace(manifest, pass.state, &pass.written, &pass.merged, &[])?;
        Ok(sealed)
    }

    /// Gives the files their names, makes `next`, with what was written, the store's manifest, and removes what they replace. `others`:
    /// names of further files that are there as `.new`.
    pub(super) fn replace(
        &mut self,
        mut next: Manifest,
        state: State,
        written: &[Written],
        merged: &[SegmentInfo],
        others: &[&str],
    ) -> Result<()> {
        let (disk, folder) = (&self.world.disk, files::folder(&self.dir));
        let failed = |error| Error::io("could not write to segments", error);
        next.generation = self.manifest.generation + 1;
        next.segments.retain(|segment| !merged.contains(segment));
        next.segments.extend(written.iter().map(|written| written.info.clone()));
        next.segments.sort_unstable_by_key(|segment| (segment.log, segment.first_seq));

        let name = files::state_name(next.generation);
        let unwritten = |error| Error::io(format!("could not write segments/{name}"), error);
        files::write_whole(&self.world, &folder, &name, &state.encode()).map_err(unwritten)?;
        // What is replaced goes out of sight first: nobody sees an event twice.
        for old in merged {
            disk.rename(&folder.join(&old.file), &folder.join(files::replaced(&old.file))).map_err(failed)?;
        }
        let new = written.iter().map(|written| written.info.file.as_str()).chain(others.iter().copied());
        for name in new.chain([name.as_str()]) {
            disk.rename(&folder.join(files::fresh(name)), &folder.join(name)).map_err(failed)?;
        }
        disk.sync_dir(&folder).map_err(failed)?;
        if let Err(error) = next.replace(&self.world, &self.dir, &self.identity) {
            let found = Manifest::read(&self.world, &self.dir, &self.identity);
            if !found.is_ok_and(|found| found.generation == self.manifest.generation) {
                self.uncertain = Some(error.clone());
            }
            return Err(error);
        }
        self.manifest = Arc::new(next);
        self.state = state;
        // It is there; what cannot be removed now is removed at the next opening, and read by nobody.
        let _ = files::tidy(&self.world, &self.dir, &self.manifest);
        let _ = self.remove_journal(BREATH);
        Ok(())
    }

    /// Does `work`, which replaces the manifest, unless nobody knows which manifest there is. What it leaves half done is removed.
    pub(crate) fn undivided<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        available()?;
        if let Some(cause) = &self.uncertain {
            return Err(Error::poisoned(cause));
        }
        let done = work(self);
        if done.is_err() && self.uncertain.is_none() {
            // Best effort: what stays is removed at the next opening.
            let _ = files::tidy(&self.world, &self.dir, &self.manifest);
        }
        done
    }
}

fn compare_one(written: &Written, rows: &mut Rows<'_>, stop: &dyn Fn() -> bool) -> Result<Option<Error>> {
    let name = &written.info.file;
    written.read_back()?;
    let segment = files::read_segment(SharedFile(Arc::clone(&written.file)), name)?;
    let (mut differs, mut failed) = (None, None);
    let read = segment.records(0..u64::MAX, &mut |seq, record| {
        match rows.next() {
            _ if seq.is_multiple_of(ROWS_BETWEEN_STOPS) && stop() => failed = Some(stopped()),
            Ok(Some(expected)) if expected == record => return ControlFlow::Continue(()),
            Ok(_) => differs = Some(files::damaged(name, &format!("position {seq} came back as other bytes"))),
            Err(error) => failed = Some(error),
        }
        ControlFlow::Break(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    match read {
        Ok(()) => Ok(differs),
        // A row that gives no record at all differs, too.
        Err(SegmentError::Damaged { .. }) => Ok(read.err().map(|error| files::failed(name, error))),
        Err(error) => Err(files::failed(name, error)),
    }
}

/// A file that is still being written about, read as a segment.
pub(super) struct SharedFile(pub(super) Arc<dyn DiskFile>);

impl ReadAt for SharedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
}

/// Whether these are the roots of all groups of the tree.
fn leads_to(roots: &[Hash], tree: &Frontier) -> bool {
    let mut frontier = Frontier::new();
    roots.iter().all(|root| frontier.push_subtree(GROUP_LEVEL, *root).is_ok()) && frontier == *tree
}

pub(crate) fn read_state(world: &World, dir: &Path, manifest: &Manifest) -> Result<State> {
    let name = files::state_name(manifest.generation);
    let bytes = files::read_whole(world, &files::folder(dir), &name)
        .map_err(|error| Error::io(format!("could not read segments/{name}"), error))?;
    State::decode(&bytes).ok_or_else(|| damaged_state(manifest))
}

fn damaged_state(manifest: &Manifest) -> Error {
    let name = files::state_name(manifest.generation);
    Error::new(ErrorKind::Corrupt, format!("segments/{name} is damaged, or does not belong to the manifest"))
        .with_hint("run `indelible verify`; keep the directory as evidence and restore a backup")
}

/// Whether this build can read and write segments.
pub(crate) fn available() -> Result<()> {
    if cfg!(feature = "segments") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "this program was built without sealing")
        .with_hint("build it with the default feature `segments` of the crate `indelible`"))
}

pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed while it was being sealed")
}

pub(super) fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the journal cannot be sealed: {what}"))
        .with_hint("run `indelible verify` for all findings; nothing is sealed until then")
}

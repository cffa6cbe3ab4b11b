//! One segment while it is being written.

use std::path::Path;
use std::sync::Arc;

use indelible_format::leaf::{self, Salts, Seed};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::root_of;
use indelible_format::{Hash, Head, Record};
use indelible_segment::{Options, Proof, SegmentError, SegmentWriter};

use super::files::{self, FileWriter};
use super::manifest::SegmentInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::world::{DiskFile, World};

/// How much is believed while a segment is written. What it holds is compared with the journal afterwards, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// That columns give records back, and that the tree file has the right roots.
    Trusting,
    /// Only the latter: records that columns do not give back are kept whole.
    Comparing,
    /// Neither: roots are computed from values.
    Computing,
}

/// Where a segment's rows come from, as its proof says it.
pub(crate) struct Origin {
    /// The origin of the log.
    pub(crate) origin: String,
    /// Leaves of the first row's group that come before it.
    pub(crate) before: Vec<Hash>,
}

/// A segment that takes rows.
pub(crate) struct Building {
    info: SegmentInfo,
    writer: SegmentWriter<FileWriter>,
    origin: String,
    before: Vec<Hash>,
    seeds: Vec<Seed>,
    group: OpenGroup,
    /// Group roots computed from values, where those of the tree file are not to be believed.
    computed: Option<Vec<Hash>>,
}

/// The group that is not complete yet: its leaves are wanted if the segment ends within it, or if roots are computed. Few are, so its records
/// are kept; they are hashed when they are asked for, or when they become too many bytes to keep.
#[derive(Default)]
struct OpenGroup {
    /// Of its first positions.
    leaves: Vec<Hash>,
    /// Records of the positions behind them.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Bytes of records of a group that are kept.
const GROUP_BYTES: usize = 8 << 20;

/// A segment that is written and synced, under its `.new` name.
pub(crate) struct Written {
    pub(crate) info: SegmentInfo,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Leaves of the group that is not complete at its end, and that group's seed.
    pub(crate) partial: Vec<Hash>,
    pub(crate) seed: Option<Seed>,
    /// Roots of the groups that are complete within.
    pub(crate) roots: Vec<Hash>,
}

impl Written {
    /// Reads all of the file back from disk: rows, and what cannot be made of them again.
    ///
    /// # Errors
    /// `Io`: it is not what was written.
    pub(crate) fn read_back(&self) -> Result<()> {
        let SegmentInfo { file: name, bytes, digest, .. } = &self.info;
        files::read_back(&*self.file, *bytes, digest).map_err(|error| {
            Error::io(format!("could not read segments/{name} back"), error)
                .with_hint("nothing was removed; see what the disk says of itself before you go on")
        })
    }
}

impl Building {
    /// Begins a segment.
    pub(crate) fn create(
        world: &World,
        dir: &Path,
        info: SegmentInfo,
        origin: Origin,
        how: How,
        options: Options,
    ) -> Result<Self> {
        let path = files::folder(dir).join(files::fresh(&info.file));
        let out = FileWriter::create(world, &path).map_err(|error| write_failed(&info.file, error))?;
        let mut writer = SegmentWriter::new(out, info.log, info.first_seq, options).map_err(|error| failed(&info.file, error))?;
        if how == How::Trusting {
            writer.leave_comparison_to_caller();
        }
        let computed = (how == How::Computing).then(Vec::new);
        let Origin { origin, before } = origin;
        let group = OpenGroup { leaves: before.clone(), ..OpenGroup::default() };
        Ok(Self { info, writer, origin, before, seeds: Vec::new(), group, computed })
    }

    pub(crate) const fn log(&self) -> u32 {
        self.info.log
    }

    /// Rows so far.
    pub(crate) const fn count(&self) -> u64 {
        self.info.count
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.writer.memory() + self.group.bytes.len()
    }

    /// The position that comes next.
    pub(crate) const fn end(&self) -> u64 {
        self.info.end()
    }

    /// Adds the next record. `seed` gives that of a group, if the frame has it.
    pub(crate) fn push<'s>(
        &mut self,
        record: &Record<'_>,
        head: Option<&Head<'_>>,
        seed: impl FnOnce(u64) -> Option<&'s Seed>,
    ) -> Result<()> {
        let seq = self.end();
        if seq.is_multiple_of(GROUP_LEAVES) {
            self.group.leaves.clear();
            self.group.bytes.clear();
            self.group.ends.clear();
        }
        if seq / GROUP_LEAVES - self.info.first_seq / GROUP_LEAVES >= self.seeds.len() as u64 {
            self.seeds.push(seed(seq / GROUP_LEAVES).cloned().unwrap_or(Seed([0; 32])));
        }
        self.group.bytes.extend_from_slice(record.bytes());
        self.group.ends.push(self.group.bytes.len());
        self.writer.push_with_head(record, head).map_err(|error| failed(&self.info.file, error))?;
        self.info.add(record, head);
        let completes = self.computed.is_some() && self.end().is_multiple_of(GROUP_LEAVES);
        if completes || self.group.bytes.len() > GROUP_BYTES {
            self.settle()?;
        }
        if completes {
            let root = root_of(&self.group.leaves);
            self.computed.iter_mut().for_each(|roots| roots.push(root));
        }
        Ok(())
    }

    /// Hashes the records of the group that the last one is in, so that all its leaves are there.
    fn settle(&mut self) -> Result<()> {
        let (Some(seed), end) = (self.seeds.last(), self.end()) else { return Ok(()) };
        let OpenGroup { leaves, bytes, ends } = &mut self.group;
        let mut salts = Salts::new(seed.clone());
        let mut from = 0;
        for (end, seq) in ends.iter().zip(end - ends.len() as u64..) {
            let record = bytes.get(from..*end).and_then(Record::parse);
            let record = record.ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("position {seq} is no record")))?;
            leaves.push(leaf::leaf(&record, seq, &mut salts));
            from = *end;
        }
        bytes.clear();
        ends.clear();
        Ok(())
    }

    /// Writes proof and footer, and syncs. `roots`: where they come from, unless they were computed here.
    pub(crate) fn finish(mut self, roots: impl FnOnce(u64, u64) -> Result<Vec<Hash>>) -> Result<Written> {
        let mut partial = Vec::new();
        if !self.end().is_multiple_of(GROUP_LEAVES) {
            self.settle()?;
            partial = std::mem::take(&mut self.group.leaves);
        }
        let roots = match self.computed.take() {
            Some(computed) => computed,
            None => roots(self.info.first_seq / GROUP_LEAVES, self.end() / GROUP_LEAVES)?,
        };
        let seed = if partial.is_empty() { None } else { self.seeds.last().cloned() };
        let SegmentInfo { log, first_seq, count, .. } = self.info;
        let proof = Proof { origin: self.origin, log, first_seq, count, before: self.before, roots, seeds: self.seeds };
        let (out, _) = self.writer.finish(&proof).map_err(|error| failed(&self.info.file, error))?;
        let (file, bytes, digest) = out.finish().map_err(|error| write_failed(&self.info.file, error))?;
        self.info.bytes = bytes;
        self.info.digest = digest;
        Ok(Written { info: self.info, file: file.into(), partial, seed, roots: proof.roots })
    }
}

fn write_failed(name: &str, error: std::io::Error) -> Error {
    Error::io(format!("could not write segments/{name}"), error)
}

fn failed(name: &str, error: SegmentError) -> Error {
    match error {
        SegmentError::Io(error) => write_failed(name, error),
        error => Error::new(ErrorKind::Corrupt, format!("could not write segments/{name}: {error}")),
    }
}

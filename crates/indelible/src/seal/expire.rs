//! Expiry: the beginning of a log goes, and what proofs of the rest need stays.
//!
//! Order of writes, each durable before the next begins: what stays, under `.new` names, read back; the entry in log 0 that says so; names
//! and manifest, as sealing does it. Until the manifest is replaced every event is there still; an entry without a manifest that follows
//! it has announced something and done nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use indelible_format::leaf::{self, Salts, Seed};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::record::{self, Kind};
use indelible_format::sha256::sha256;
use indelible_format::{Hash, Record};
use sha2::{Digest, Sha256};

use super::building::{Building, How, Written};
use super::expired::{self, Anchor, Beginning, Positions};
use super::files;
use super::manifest::{ExpiredInfo, Manifest, SegmentInfo};
use super::sealer::{Sealer, Shape, SharedFile, stopped};
use crate::commit::control;
use crate::error::{Error, ErrorKind, Result};

/// What of a log is to go.
pub(crate) struct Expiry<'e> {
    pub(crate) log: u32,
    /// Positions before this one, a multiple of 256.
    pub(crate) below: u64,
    /// Whether an event is held, by a hold or by what a framework asks: it stays.
    pub(crate) held: &'e dyn Fn(u64, &Record<'_>) -> bool,
    /// Sizes of checkpoints outside that shall stay provable.
    pub(crate) anchors: &'e [u64],
}

/// What stays, written and synced, under names that nothing refers to yet.
pub(crate) struct Prepared {
    pub(crate) expired: Beginning,
    pub(crate) digest: Hash,
    file: String,
    written: Vec<Written>,
    replaced: Vec<SegmentInfo>,
    /// Positions that go now.
    pub(crate) removed: u64,
    /// Events that stay because they are held.
    pub(crate) held: u64,
}

/// Takes a position that stays: where it is, its record, and the seed of its group.
type Each<'e> = dyn FnMut(u64, &[u8], &Seed) -> Result<()> + 'e;

impl Sealer {
    /// Writes what stays of a log. `None`: nothing would change.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Closed` (`stop` said so). Nothing has changed.
    pub(crate) fn prepare(&self, expiry: &Expiry<'_>, shape: &Shape, stop: &dyn Fn() -> bool) -> Result<Option<Prepared>> {
        let before = self.manifest.expired(expiry.log).map(|info| expired::read(&self.world, &self.dir, info)).transpose()?;
        let before = before.unwrap_or_else(|| Beginning::new(expiry.log));
        let from = before.below();
        let below = expiry.below.max(from);
        let replaced: Vec<_> = self.manifest.of(expiry.log).iter().filter(|info| info.first_seq < below).cloned().collect();
        let mut prepared = Prepared {
            expired: before,
            digest: Hash::ZERO,
            file: files::expired_name(expiry.log, below, self.manifest.generation + 1),
            written: Vec::new(),
            replaced,
            removed: 0,
            held: 0,
        };
        let roots = self.group_roots(expiry.log)?;
        let groups = usize::try_from(below / GROUP_LEAVES).unwrap_or(usize::MAX);
        if roots.len() < groups {
            return Err(Error::new(ErrorKind::Rejected, format!("log {} is not sealed up to {below}", expiry.log)));
        }
        prepared.expired.roots = roots.get(..groups).unwrap_or_default().to_vec();
        let (mut digest, mut stays) = (Sha256::new(), Positions::default());
        let mut open: Option<Building> = None;
        {
            let Prepared { expired, written, replaced, removed, held, .. } = &mut prepared;
            let mut tally = Tally { expired, anchors: expiry.anchors, from, removed, held, stays: &mut stays };
            self.survivors(expiry, below, replaced, &mut tally, stop, &mut |seq, bytes, seed| {
                let record = Record::parse(bytes).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a row is no record"))?;
                add(&mut digest, seq, bytes);
                // What has expired is kept in whole groups; behind it a segment may end anywhere.
                let full = |open: &Building| {
                    seq.is_multiple_of(GROUP_LEAVES) && open.count() + GROUP_LEAVES > shape.rows_max
                        || (seq.is_multiple_of(GROUP_LEAVES) || seq > below) && open.memory() > shape.memory_bytes_max
                };
                if let Some(done) = open.take_if(|open| open.end() != seq || seq == below || full(open)) {
                    written.push(finish(done, &roots)?);
                }
                let building = match &mut open {
                    Some(building) => building,
                    None => {
                        let before = written.last().filter(|last| last.info.end() == seq);
                        let before = before.map(|last| last.partial.clone()).unwrap_or_default();
                        open.insert(self.begin_at(expiry.log, seq, before, shape, How::Comparing)?)
                    }
                };
                building.push(&record, record.head().as_ref(), |_| Some(seed))
            })?;
            if let Some(done) = open.take() {
                written.push(finish(done, &roots)?);
            }
        }
        if prepared.removed == 0 && below == from {
            self.abandon();
            return Ok(None);
        }
        self.read_back(&prepared.written, digest.finalize().into())?;
        prepared.expired.held = stays.digest();
        let bytes = prepared.expired.encode();
        // What cannot be read again must not take the place of events.
        if Beginning::decode(&bytes).is_none() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "what is to stay of the events cannot be read again; nothing has expired",
            ));
        }
        prepared.digest = sha256(&bytes);
        files::write_whole(&self.world, &files::folder(&self.dir), &prepared.file, &bytes)
            .map_err(|error| Error::io(format!("could not write segments/{}", prepared.file), error))?;
        Ok(Some(prepared))
    }

    /// Makes what was prepared the store's; `entry` of log 0 says so, and is durable.
    pub(crate) fn expire(&mut self, prepared: &Prepared, entry: u64) -> Result<()> {
        let Prepared { expired, digest, file, written, replaced, .. } = prepared;
        let info = ExpiredInfo { log: expired.log, below: expired.below(), entry, file: file.clone(), digest: *digest };
        let mut next = Manifest::clone(&self.manifest);
        next.expired.retain(|known| known.log != expired.log);
        next.expired.push(info);
        next.expired.sort_unstable_by_key(|known| known.log);
        let state = self.state.clone();
        self.undivided(|sealer| sealer.replace(next, state, written, replaced, &[file]))
    }

    /// Removes what was prepared and shall not be.
    pub(crate) fn abandon(&self) {
        // Best effort: what stays is removed at the next opening.
        let _ = files::tidy(&self.world, &self.dir, &self.manifest);
    }

    /// Hands out, in order, every position of these segments that stays: groups before `below` that hold an event, the others in them as
    /// leaf hashes, and everything from `below` on.
    fn survivors(
        &self,
        expiry: &Expiry<'_>,
        below: u64,
        segments: &[SegmentInfo],
        tally: &mut Tally<'_>,
        stop: &dyn Fn() -> bool,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let mut group = Group::default();
        for info in segments {
            let segment = files::open_segment(&self.world, &self.dir, info)?;
            let seeds = segment.proof().map_err(|error| files::failed(&info.file, error))?.seeds;
            let mut failed = None;
            let read = segment.records(0..u64::MAX, &mut |seq, bytes| {
                let nth = usize::try_from(seq / GROUP_LEAVES - info.first_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
                let (Some(record), Some(seed)) = (Record::parse(bytes), seeds.get(nth)) else {
                    failed = Some(files::damaged(&info.file, &format!("position {seq} is no record")));
                    return ControlFlow::Break(());
                };
                let done = if seq >= below {
                    each(seq, bytes, seed)
                } else {
                    tally.see(seq, &record);
                    group.push(seq, bytes, (expiry.held)(seq, &record) && record.kind() == Kind::Event);
                    let full = group.ends.len() as u64 == GROUP_LEAVES;
                    if full { group.flush(expiry.log, seed, tally, each) } else { Ok(()) }
                };
                failed = done.err().or_else(|| (seq.is_multiple_of(GROUP_LEAVES) && stop()).then(stopped));
                if failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            read.map_err(|error| files::failed(&info.file, error))?;
        }
        Ok(())
    }

    /// Compares what is on disk now with what was to be written.
    fn read_back(&self, written: &[Written], expected: [u8; 32]) -> Result<()> {
        let mut digest = Sha256::new();
        for written in written {
            let name = &written.info.file;
            written.read_back()?;
            let segment = files::read_segment(SharedFile(Arc::clone(&written.file)), name)?;
            let read = segment.records(0..u64::MAX, &mut |seq, bytes| {
                add(&mut digest, seq, bytes);
                ControlFlow::Continue(())
            });
            read.map_err(|error| files::failed(name, error))?;
        }
        if <[u8; 32]>::from(digest.finalize()) == expected {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "segments that were written anew came back with other records; nothing has expired"))
    }
}

fn add(digest: &mut Sha256, seq: u64, bytes: &[u8]) {
    digest.update(seq.to_le_bytes());
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

fn finish(building: Building, roots: &[Hash]) -> Result<Written> {
    building.finish(|from, to| {
        let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(usize::MAX);
        Ok(roots.get(range).unwrap_or_default().to_vec())
    })
}

/// What is noted of positions that expire.
struct Tally<'t> {
    expired: &'t mut Beginning,
    anchors: &'t [u64],
    /// Positions before this one had expired before: they were noted then.
    from: u64,
    removed: &'t mut u64,
    held: &'t mut u64,
    /// Positions of the events that stay.
    stays: &'t mut Positions,
}

impl Tally<'_> {
    fn see(&mut self, seq: u64, record: &Record<'_>) {
        if seq < self.from {
            return;
        }
        if let Some(head) = record.head() {
            *self.expired.tenants.entry(head.tenant) = head.tenant_seq.saturating_add(1);
            if let Some(producer) = head.producer {
                self.expired.producers.arrive(producer.id, producer.epoch, producer.seq);
            }
        }
        self.expired.gaps.extend(record.control().and_then(control::gap_range));
    }
}

/// The positions of one group, until all of them are known.
#[derive(Default)]
struct Group {
    first: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    held: Vec<bool>,
}

impl Group {
    fn push(&mut self, seq: u64, record: &[u8], held: bool) {
        if self.ends.is_empty() {
            self.first = seq;
        }
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.held.push(held);
    }

    fn records(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(from, to)| self.bytes.get(from..*to).unwrap_or_default());
        ranges.zip(self.held.iter().copied())
    }

    /// Lets the group go, or hands out what stays of it.
    fn flush(&mut self, log: u32, seed: &Seed, tally: &mut Tally<'_>, each: &mut Each<'_>) -> Result<()> {
        let within = self.first + 1..self.first + GROUP_LEAVES;
        let known = |size: &u64| tally.expired.anchors.iter().any(|anchor| anchor.size == *size);
        let anchors: BTreeSet<u64> = tally.anchors.iter().copied().filter(|size| within.contains(size) && !known(size)).collect();
        let holds = self.held.contains(&true);
        if holds || !anchors.is_empty() {
            let mut salts = Salts::new(seed.clone());
            let leaves: Vec<Hash> = (self.first..)
                .zip(self.records())
                .map(|(seq, (bytes, _))| Record::parse(bytes).map_or(Hash::ZERO, |record| leaf::leaf(&record, seq, &mut salts)))
                .collect();
            tally.expired.anchors.extend(anchors.into_iter().map(|size| Anchor::new(size, &leaves)));
            tally.expired.anchors.sort_unstable_by_key(|anchor| anchor.size);
            if holds {
                let mut in_place = Vec::new();
                for ((seq, (bytes, held)), leaf) in (self.first..).zip(self.records()).zip(&leaves) {
                    in_place.clear();
                    record::encode_leaf(log, leaf, &mut in_place);
                    if held {
                        tally.stays.push(seq);
                    }
                    each(seq, if held { bytes } else { &in_place }, seed)?;
                }
            }
        }
        let stays = |held: bool, bytes: &[u8]| held || Record::parse(bytes).is_some_and(|record| record.kind() == Kind::Leaf);
        *tally.held += self.held.iter().filter(|held| **held).count() as u64;
        *tally.removed += self.records().filter(|(bytes, held)| !stays(*held, bytes)).count() as u64;
        self.bytes.clear();
        self.ends.clear();
        self.held.clear();
        Ok(())
    }
}

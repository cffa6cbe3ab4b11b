//! Proofs of single events: inclusion under the newest checkpoint, with everything a verifier needs to compute the leaf.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::frame::FLAG_CARRY;
use indelible_format::leaf::{self, Salts, Seed};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::{self, Frontier, TreeHashes};
use indelible_format::record::{Body, Kind, Records};
use indelible_format::tlog_proof::TlogProof;
use indelible_format::{Hash, Record, Tag};

use crate::digest::checkpoints::SignedCheckpoint;
use crate::digest::tree_file;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Reader;
use crate::read::frames::{Next, Stored};
use crate::seal::{Manifest, expired, files};

impl Reader {
    /// Proves that position `seq` of `log` is in the log, under the newest checkpoint on disk.
    ///
    /// **Cost**: the groups of 256 that hold the event and the log's end are hashed anew; their roots come from the tree file. When that
    /// file is missing or wrong, everything is hashed anew. The proof is verified before it is given out.
    ///
    /// # Errors
    /// `NotFound`: no such position, or no checkpoint covers it yet. `Corrupt`: the store contradicts its own checkpoint.
    pub fn prove(&self, log: u32, seq: u64) -> Result<TlogProof> {
        let checkpoint = self.checkpoint(log)?.filter(|checkpoint| checkpoint.size > seq).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no checkpoint covers position {seq} yet"))
                .with_hint("run `indelible checkpoint`, or wait a second while a writer is open")
        })?;
        self.prove_under(&checkpoint, seq, &[])
    }

    /// As [`prove`](Self::prove), under a checkpoint that a writer has just signed, and withholding groups: the proof has the commitment to each
    /// in place of what it says.
    ///
    /// # Errors
    /// As `prove`.
    pub fn prove_under(&self, checkpoint: &SignedCheckpoint, seq: u64, withheld: &[Tag]) -> Result<TlogProof> {
        let log = checkpoint.log;
        let none = || {
            Error::new(ErrorKind::NotFound, format!("log {log} has no position {seq}"))
                .with_hint("`indelible stats` shows how far the logs reach")
        };
        let stored = self.record(log, seq)?.filter(|_| seq < checkpoint.size).ok_or_else(none)?;
        let record = stored.record().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the record is malformed"))?;
        let extra = extra(&record, &stored, withheld)?;
        let groups = checkpoint.size / GROUP_LEAVES;
        let roots = tree_file::read(self.world(), self.dir(), log, 0, groups).unwrap_or_default();
        let from_file = (roots.len() as u64 == groups).then(|| self.inclusion(log, seq, checkpoint.size, &roots)).transpose()?;
        let leaf = stored.leaf();
        let holds = |hashes: &[Hash]| merkle::verify_inclusion(&leaf, seq, checkpoint.size, hashes, &checkpoint.root).is_ok();
        let hashes = match from_file.filter(|hashes| holds(hashes)) {
            Some(hashes) => hashes,
            None => {
                let hashes = self.inclusion(log, seq, checkpoint.size, &self.rebuild_tree(log, groups)?)?;
                if !holds(&hashes) {
                    return Err(Error::new(ErrorKind::Corrupt, "what is stored does not lead to the signed root")
                        .with_hint("run `indelible verify` for all findings"));
                }
                hashes
            }
        };
        Ok(TlogProof { extra: Some(extra), index: seq, hashes, checkpoint: checkpoint.note.clone() })
    }

    fn inclusion(&self, log: u32, seq: u64, size: u64, roots: &[Hash]) -> Result<Vec<Hash>> {
        let mut source = TreeHashes::new(roots, |group| self.group_leaves(log, group, size));
        merkle::inclusion_proof(seq, size, &mut source)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("could not build the proof: {error}")))
    }

    /// Leaves of one group below `size`, from the stored values.
    fn group_leaves(&self, log: u32, group: u64, size: u64) -> Result<Vec<Hash>> {
        let first = group * GROUP_LEAVES;
        let last = size.min(first + GROUP_LEAVES);
        self.leaves_of(log, first, last)
    }

    /// Leaves of positions `first..last`, from the stored values.
    pub(crate) fn leaves_of(&self, log: u32, first: u64, last: u64) -> Result<Vec<Hash>> {
        let mut leaves = Vec::new();
        self.leaves(log, first, last, &mut |leaf| leaves.push(leaf))?;
        Ok(leaves)
    }

    /// The roots of the first `groups` groups: of sealed ones as their segments have them, of the others from values.
    pub(crate) fn rebuild_tree(&self, log: u32, groups: u64) -> Result<Vec<Hash>> {
        let wanted = usize::try_from(groups).unwrap_or(usize::MAX);
        let of_sealed =
            &mut |manifest: &Manifest| expired::group_roots(self.world(), self.dir(), manifest, log, |info| self.segment(info));
        let mut roots = self.settled(|_| true, of_sealed)?;
        roots.truncate(wanted);
        let first = roots.len() as u64 * GROUP_LEAVES;
        let mut frontier = Frontier::new();
        let mut more = Vec::new();
        self.leaves(log, first, groups * GROUP_LEAVES, &mut |leaf| more.extend(frontier.push_leaf(leaf)))?;
        roots.extend(more);
        Ok(roots)
    }

    /// The root that a log had at `size`, from what is stored.
    ///
    /// # Errors
    /// `Expired`: of this size nothing was kept.
    pub(crate) fn root_at(&self, log: u32, size: u64) -> Result<Hash> {
        self.settled(|_| true, &mut |manifest| self.root_under(manifest, log, size))
    }

    fn root_under(&self, manifest: &Manifest, log: u32, size: u64) -> Result<Hash> {
        let kept = size.is_multiple_of(GROUP_LEAVES) || manifest.find(log, size).is_some();
        if let Some(info) = manifest.expired(log).filter(|info| size < info.below && !kept) {
            let expired = expired::read(self.world(), self.dir(), info)?;
            return expired.root_at(size).ok_or_else(|| expired::gone(info, size));
        }
        let roots = self.rebuild_tree(log, size / GROUP_LEAVES)?;
        let mut source = TreeHashes::new(&roots, |group| self.group_leaves(log, group, size));
        merkle::root_at(size, &mut source)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("the tree of log {log} cannot be built: {error}")))
    }

    /// Hands out the leaves of positions `first..last` of a log in order, from the stored values.
    fn leaves(&self, log: u32, first: u64, last: u64, each: &mut dyn FnMut(Hash)) -> Result<()> {
        self.salted_all(log, first, last, &mut |seq, record, salts| {
            each(record.map_or(Hash::ZERO, |record| leaf::leaf(record, seq, salts)));
        })
    }

    /// As [`salted`](Self::salted), of positions that are all there. Fewer would pass for all: a tile cut short, a tree of other leaves.
    pub(crate) fn salted_all(
        &self,
        log: u32,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(u64, Option<&Record<'_>>, &mut Salts),
    ) -> Result<()> {
        let mut next = first;
        self.salted(log, first, last, &mut |seq, record, salts| {
            next = seq + 1;
            each(seq, record, salts);
        })?;
        if next < last {
            return Err(Error::new(ErrorKind::Corrupt, format!("position {next} of log {log} is missing")));
        }
        Ok(())
    }

    /// Shows `each` the positions `first..last` of a log in order, as far as they are there: each with the salts that its commitments are
    /// made with, and without a record where it is malformed.
    ///
    /// **Cost**: one pass over them; of the unsealed part, frames from the one that has `first`.
    ///
    /// # Errors
    /// `Expired`: they were there, and went as a policy said. `Io`, `Corrupt`.
    pub fn salted(
        &self,
        log: u32,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(u64, Option<&Record<'_>>, &mut Salts),
    ) -> Result<()> {
        let mut salts = Salts::new(Seed([0; 32]));
        let mut next = first;
        let mut show = |seq: u64, record: Option<&Record<'_>>, seed: Option<&Seed>| {
            if let Some(seed) = seed {
                salts.rekey(seed);
            }
            each(seq, record, &mut salts);
        };
        // What was shown is not shown again: where a segment was replaced on the way, it goes on in the one that has the rest.
        let are_all = |all: &bool| *all;
        self.settled(are_all, &mut |manifest| self.salted_under(manifest, log, &mut next, last, &mut show)).map(drop)
    }

    /// Gives whether they were all there.
    fn salted_under(&self, manifest: &Manifest, log: u32, next: &mut u64, last: u64, show: &mut Show<'_>) -> Result<bool> {
        let first = *next;
        for info in manifest.of(log).iter().filter(|info| info.end() > first && info.first_seq < last) {
            if info.first_seq > *next {
                break;
            }
            let segment = self.segment(info)?;
            let seeds = segment.proof().map_err(|error| files::failed(&info.file, error))?.seeds;
            let read = segment.records(*next..last, &mut |seq, bytes| {
                let group = seq / GROUP_LEAVES - info.first_seq / GROUP_LEAVES;
                let seed = usize::try_from(group).ok().and_then(|group| seeds.get(group));
                show(seq, Record::parse(bytes).as_ref(), seed);
                *next = seq + 1;
                ControlFlow::Continue(())
            });
            read.map_err(|error| files::failed(&info.file, error))?;
        }
        if *next >= last {
            return Ok(true);
        }
        if let Some(info) = manifest.expired(log).filter(|info| *next < info.below) {
            return Err(expired::gone(info, *next));
        }
        let mut cursor = self.cursor_at(manifest, log, *next)?;
        while *next < last {
            let Next::Frame(frame, _) = cursor.next()? else { return Ok(false) };
            let Some(change) = frame.meta.logs.iter().find(|change| change.log == log && frame.meta.flags & FLAG_CARRY == 0)
            else {
                continue;
            };
            for (record, seq) in Records::new(frame.payload).filter(|record| record.log() == log).zip(change.first_seq..) {
                if seq != *next || *next >= last {
                    continue;
                }
                let group = seq / GROUP_LEAVES;
                let seed = frame.meta.seeds.iter().find(|seed| (seed.log, seed.group) == (log, group));
                show(seq, Some(&record), seed.map(|seed| &seed.seed));
                *next += 1;
            }
        }
        Ok(true)
    }
}

/// What is shown a position: its record, and the seed of its group, where that is not the one before.
type Show<'s> = dyn FnMut(u64, Option<&Record<'_>>, Option<&Seed>) + 's;

/// The `extra` of a proof: docs/format/proofs.md.
fn extra(record: &Record<'_>, stored: &Stored, withheld: &[Tag]) -> Result<Vec<u8>> {
    match record.kind() {
        Kind::Control => {
            let mut out = b"{\"control\":".to_vec();
            out.extend_from_slice(record.control().unwrap_or_default());
            out.extend_from_slice(b",\"format\":\"indelible/v1\"}");
            Ok(out)
        }
        Kind::Leaf => Err(Error::new(ErrorKind::NotFound, "the event at this position has expired; only its leaf hash is kept")),
        Kind::Event => {
            let seed = stored.seed.clone().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the event's seed is missing"))?;
            let mut out = b"{\"format\":\"indelible/v1\",\"groups\":".to_vec();
            write_groups(record, stored.seq, &mut Salts::new(seed), withheld, &mut out);
            out.push(b'}');
            Ok(out)
        }
    }
}

/// The groups of an event, each with its salt, or its commitment where it is withheld.
pub(crate) fn write_groups(record: &Record<'_>, seq: u64, salts: &mut Salts, withheld: &[Tag], out: &mut Vec<u8>) {
    out.push(b'[');
    for (nth, (tag, body)) in record.groups().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        let known = match body {
            Body::Withheld(hash) => Err(hash),
            Body::Value(value) => Ok((salts.salt(tag, seq), value)),
            Body::Salted(salt, value) => Ok((salt, value)),
        };
        let (salt, value) = match known {
            Ok(known) if !withheld.contains(&tag) => known,
            hidden => {
                let hash = hidden.map_or_else(|hash| hash, |(salt, value)| leaf::commitment(tag, &salt, value));
                let hash = STANDARD.encode(hash.0);
                out.extend_from_slice(format!("{{\"commitment\":\"{hash}\",\"tag\":{}}}", tag.0).as_bytes());
                continue;
            }
        };
        let (salt, value) = (STANDARD.encode(salt), STANDARD.encode(value));
        out.extend_from_slice(format!("{{\"salt\":\"{salt}\",\"tag\":{},\"value\":\"{value}\"}}", tag.0).as_bytes());
    }
    out.push(b']');
}

//! The pass over the segments: every row rebuilt from its columns, hashed, and held against all that claims to know it already.

use std::ops::ControlFlow;

use indelible_format::Record;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::record::Kind;

use super::finding::Code;
use super::stream::Verifier;
use crate::digest::replay::{Fault, Replay};
use crate::error::{Error, ErrorKind, Result};
use crate::seal::expired::Beginning;
use crate::seal::{Manifest, SegmentInfo, files, sealer};

impl Verifier<'_> {
    /// Reads every sealed row that was not read yet. Gives the manifest that was gone by: the journal begins where it says.
    pub(super) fn sealed(&mut self, replay: &mut Replay) -> Result<Manifest> {
        self.claims.values_mut().for_each(|claims| claims.unordered = true);
        let manifest = loop {
            let manifest = match self.reader.manifest() {
                Ok(manifest) => Manifest::clone(&manifest),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.fail(Code::Manifest, None, None, error.to_string());
                    break Manifest::empty();
                }
                Err(error) => return Err(error),
            };
            let mut replaced = false;
            for log in manifest.logs() {
                replaced |= self.sealed_log(log, &manifest, replay)?;
            }
            let mut faults = Vec::new();
            manifest.logs().into_iter().for_each(|log| replay.judge_stated(log, &mut faults));
            faults.iter().for_each(|fault| self.report(fault));
            if !replaced {
                self.check_state(&manifest, replay)?;
                break manifest;
            }
        };
        for log in manifest.logs() {
            let head = {
                replay.tip(log).settle_root();
                replay.head(log)
            };
            if let Some(claims) = self.claims.get_mut(&log) {
                claims.sealed = manifest.sealed(log);
                claims.boundary(head.size, head.root);
            }
        }
        self.claims.values_mut().for_each(|claims| claims.unordered = false);
        Ok(manifest)
    }

    /// Whether a writer has replaced this manifest.
    pub(super) fn moved_on(&self, manifest: &Manifest) -> Result<bool> {
        // One that cannot be read was reported, and is not read again.
        Ok(self.reader.manifest().is_ok_and(|now| now.generation != manifest.generation))
    }

    /// Reads the segments of a log. Returns whether one was replaced meanwhile: then the manifest is to be read again.
    fn sealed_log(&mut self, log: u32, manifest: &Manifest, replay: &mut Replay) -> Result<bool> {
        if self.identity.origin(log).is_none() && !self.claims.contains_key(&log) {
            self.claims.entry(log).or_default().unordered = true;
            self.fail(Code::LogUnknown, Some(log), None, "segments of a log that store.json does not know");
        }
        let beginning = match self.beginning(log, manifest, replay) {
            Err(_) if self.moved_on(manifest)? => return Ok(true),
            read => read?,
        };
        if let Some(beginning) = &beginning {
            // How many events tenants had within what has expired cannot be told any more.
            replay.tip(log).stated.retain(|due| due.size >= beginning.below());
        }
        for info in manifest.of(log) {
            if let Some(beginning) = &beginning {
                self.pass_expired(beginning, info.first_seq, replay)?;
            }
            let next = replay.tip(log).next_seq;
            if info.end() <= next {
                continue;
            }
            if info.first_seq > next {
                let message = format!("positions {next} to {} are in no segment", info.first_seq - 1);
                self.fail(Code::Manifest, Some(log), Some(next), message);
                self.skip(info, replay);
                continue;
            }
            let sparse = info.first_seq < manifest.below(log);
            if let Err(error) = self.segment(info, sparse, beginning.as_ref(), replay) {
                if self.moved_on(manifest)? {
                    return Ok(true);
                }
                if error.kind() != ErrorKind::Corrupt && !error.is_missing() {
                    return Err(error);
                }
                self.fail(Code::SegmentDamaged, Some(log), Some(replay.tip(log).next_seq), error.to_string());
                self.skip(info, replay);
            }
        }
        if let Some(beginning) = &beginning {
            self.pass_expired(beginning, beginning.below(), replay)?;
        }
        Ok(false)
    }

    /// Nothing can be said of a segment's rows: nor of the tree from here on.
    fn skip(&self, info: &SegmentInfo, replay: &mut Replay) {
        replay.settle();
        replay.diverge(info.log);
        replay.tip(info.log).next_seq = info.end();
    }

    /// Checks the rows of a segment. `sparse`: it holds some events of what has expired, and leaf hashes in place of the others.
    fn segment(&mut self, info: &SegmentInfo, sparse: bool, beginning: Option<&Beginning>, replay: &mut Replay) -> Result<()> {
        let log = info.log;
        let segment = self.reader.segment(info)?;
        let proof = segment.proof().map_err(|error| files::failed(&info.file, error))?;
        let place = format!("segments/{}", info.file);
        if self.identity.origin(log).is_some() && !self.identity.may_have_sealed(&proof.origin, log, info.end()) {
            self.fail(Code::StoreIdentity, Some(log), Some(info.first_seq), format!("{place} is of the log {}", proof.origin));
        }
        let digest = files::digest(self.reader.world(), self.reader.dir(), &info.file);
        if digest.map_err(|error| Error::io(format!("could not read {place}"), error))? != info.digest {
            let message = format!("{place} is another file than the one that was sealed, if only by a byte");
            self.fail(Code::SegmentDamaged, Some(log), Some(info.first_seq), message);
        }
        let group_first = info.first_seq - info.first_seq % GROUP_LEAVES;
        if group_first < info.first_seq && self.reader.leaves_of(log, group_first, info.first_seq)? != proof.before {
            let message = format!("{place} carries other leaves before its first row than the log has");
            self.fail(Code::SegmentProof, Some(log), Some(info.first_seq), message);
        }
        let mut faults: Vec<Fault> = Vec::new();
        let (mut malformed, next) = (None, replay.tip(log).next_seq);
        let is_whole = next == info.first_seq;
        let mut told = SegmentInfo { count: 0, journal_bytes: 0, keyed: 0, time: None, received: None, ..info.clone() };
        let (details, findings, pruning) = (&mut self.details, &mut self.findings, &mut self.pruning);
        let read = segment.checked_records(next..u64::MAX, &mut |seq, bytes, rebuilt| {
            let group = usize::try_from(seq / GROUP_LEAVES - info.first_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
            let record = Record::parse(bytes).filter(|record| record.log() == log);
            let (Some(record), Some(seed)) = (record, proof.seeds.get(group)) else {
                malformed = Some(seq);
                return ControlFlow::Break(());
            };
            replay.row(&record, seed, &mut faults, &mut |log, seq, record, head| {
                told.add(record, head);
                if sparse && record.kind() == Kind::Event {
                    pruning.stays(log, seq);
                }
                if !(sparse && record.kind() == Kind::Leaf) {
                    details.look(log, seq, record, head, rebuilt, findings);
                }
            });
            ControlFlow::Continue(())
        });
        replay.settle();
        self.events = self.details.events;
        // Of what has expired a tenant's events may be missing in between.
        let told_of = |fault: &&Fault| !(sparse && matches!(fault, Fault::Tenant { .. }));
        faults.iter().filter(told_of).for_each(|fault| self.report(fault));
        for (seq, log, size, root) in std::mem::take(&mut self.details.heads) {
            self.claim(log, size, root, super::anchors::Source::Heads(seq), replay);
        }
        let tip = replay.tip(log);
        let passed = std::mem::take(&mut tip.passed);
        let roots = std::mem::take(&mut tip.group_roots);
        if let Some(claims) = self.claims.get_mut(&log) {
            for (size, root) in passed {
                claims.reached(size, &root, log, &mut self.findings);
            }
        }
        self.bytes_sealed += info.bytes;
        if let Some(beginning) = beginning.filter(|_| sparse) {
            self.met_sparse(info, &proof.roots, beginning);
        }
        let checked = read.map_err(|error| files::failed(&info.file, error))?;
        if let Some(seq) = malformed {
            return Err(files::damaged(&info.file, &format!("position {seq} is no record of its log")));
        }
        if let Some((count, seq)) = checked.lies {
            let message =
                format!("{place}: columns of {count} rows say other things than their records, first at position {seq}");
            self.fail(Code::SegmentDamaged, Some(log), Some(seq), message);
        }
        for difference in &checked.differences {
            self.fail(Code::SegmentIndex, Some(log), Some(info.first_seq), format!("{place}: {difference}"));
        }
        // Searches pass over a segment because of its times, and opening because of its keys.
        let length = segment.bytes();
        if is_whole && (told != *info || length != info.bytes) {
            let message = format!("the manifest describes {place} otherwise than its rows do: times, keys or sizes differ");
            self.fail(Code::Manifest, Some(log), Some(info.first_seq), message);
        }
        // Both lists end with the last group that is complete here. The rows give fewer where the segment took in others that were read
        // before, and more where rows were read from the journal before a writer sealed them.
        let agree = proof.roots.ends_with(&roots) || roots.ends_with(&proof.roots);
        if !agree && !replay.diverged().contains(&log) {
            let message = format!("{place} carries other roots of its groups than its rows give");
            self.fail(Code::SegmentProof, Some(log), Some(info.first_seq), message);
        }
        Ok(())
    }

    /// What opening the store would believe must be what the rows lead to.
    fn check_state(&mut self, manifest: &Manifest, replay: &mut Replay) -> Result<()> {
        if manifest.generation == 0 {
            return Ok(());
        }
        let state = match sealer::read_state(self.reader.world(), self.reader.dir(), manifest) {
            Ok(state) => state,
            Err(_) if self.moved_on(manifest)? => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt || error.is_missing() => {
                self.fail(Code::SealedState, None, None, error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for log in &state.logs {
            let tip = replay.tip(log.log);
            tip.settle_root();
            let tenants = log.tenants.iter().all(|(name, next)| tip.tenants.get(name) == Some(next))
                && tip.tenants.iter().count() == log.tenants.iter().count();
            let seed = log.seed.is_none() || tip.salts(log.size()).map(|salts| salts.seed().clone()) == log.seed;
            if tip.head() != log.head() || !tenants || !seed {
                let message = format!(
                    "the state says that log {} had {} entries, with another root, another seed or other tenants",
                    log.log,
                    log.size()
                );
                self.fail(Code::SealedState, Some(log.log), Some(log.size()), message);
            }
        }
        for log in manifest.logs().into_iter().filter(|log| !state.logs.iter().any(|known| known.log == *log)) {
            self.fail(Code::SealedState, Some(log), None, "the state does not know this log");
        }
        let producers = |producers: &crate::commit::producers::Producers| {
            let mut all: Vec<_> =
                producers.iter().map(|(id, epoch, intervals)| (id.to_owned(), epoch, intervals.as_slice().to_vec())).collect();
            all.sort_unstable();
            all
        };
        if producers(&state.producers) != producers(&self.details.producers) {
            self.fail(
                Code::SealedState,
                None,
                None,
                "the state knows other producers, or other numbers of theirs, than the rows",
            );
        }
        Ok(())
    }
}

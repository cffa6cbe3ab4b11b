//! Beginnings of logs whose events have expired: what stays of them is held against the tree, and against what log 0 says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::Hash;
use indelible_format::json::Node;
use indelible_format::leaf::Seed;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::GROUP_LEVEL;

use super::anchors::Source;
use super::finding::{Code, Finding, Level};
use super::stream::Verifier;
use crate::digest::names::ByName;
use crate::digest::replay::Replay;
use crate::digest::stated;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::seal::expired::{self, Beginning, Positions};
use crate::seal::{ExpiredInfo, Manifest, SegmentInfo};

/// What was met of expired beginnings.
#[derive(Default)]
pub(super) struct Pruning {
    /// By log: what the manifest says, the root over what has expired, and which events stay.
    met: BTreeMap<u32, Met>,
    /// Seeds of the groups of log 0 that `expired` entries are in, by position.
    pub(super) seeds: BTreeMap<u64, Seed>,
    /// By log, if all of them were read under one manifest: its file, and the events that are still there.
    held: BTreeMap<u32, (Hash, u64, Positions)>,
    /// By log: claims about sizes of which nothing was kept.
    given_up: BTreeMap<u32, u64>,
    /// Of those, how many came from outside the store.
    outside: u64,
}

/// What the manifest says of an expired beginning, and what it leads to.
struct Met {
    info: ExpiredInfo,
    root: Hash,
    /// The digest of which events stay.
    stays: Hash,
    tenants: ByName<u64>,
}

impl Pruning {
    /// An event that has expired is there.
    pub(super) fn stays(&mut self, log: u32, seq: u64) {
        if let Some((_, count, positions)) = self.held.get_mut(&log) {
            *count += 1;
            positions.push(seq);
        }
    }
}

/// What an `expired` entry of log 0 says.
pub(super) struct Expiry {
    log: u64,
    below: u64,
    root: Hash,
    digest: Hash,
    before: String,
    held: u64,
    /// Root over the tenants' counts; entries of the first version of this program have none.
    tenants: Option<Hash>,
}

impl Expiry {
    pub(super) fn read(entry: &Node<'_, '_>) -> Option<Self> {
        let number = |key: &str| entry.get(key)?.as_u64();
        let hash = |key: &str| Hash::from_slice(&STANDARD.decode(entry.get(key)?.as_str()?.as_bytes()).ok()?);
        let before = entry.get("before")?.as_str()?.into_owned();
        number("count").and(number("policy"))?;
        let (log, below, held) = (number("log")?, number("below")?, number("held")?);
        let tenants = match entry.get("tenants") {
            Some(_) => Some(hash("tenants")?),
            None => None,
        };
        Some(Self { log, below, root: hash("root")?, digest: hash("sha256")?, before, held, tenants })
    }
}

impl Verifier<'_> {
    /// What stays of the expired beginning of a log, if it has one.
    pub(super) fn beginning(&mut self, log: u32, manifest: &Manifest, replay: &mut Replay) -> Result<Option<Beginning>> {
        let Some(info) = manifest.expired(log) else { return Ok(None) };
        match expired::read(self.reader.world(), self.reader.dir(), info) {
            Ok(beginning) => {
                let root = beginning.tree(beginning.roots.len()).root();
                let met = Met { info: info.clone(), root, stays: beginning.held, tenants: beginning.tenants.clone() };
                self.pruning.met.insert(log, met);
                if replay.tip(log).next_seq == 0 {
                    self.pruning.held.insert(log, (info.digest, 0, Positions::default()));
                }
                Ok(Some(beginning))
            }
            Err(error) if (error.kind() == ErrorKind::Corrupt || error.is_missing()) && !self.moved_on(manifest)? => {
                self.fail(Code::ExpiredMismatch, Some(log), Some(0), error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The groups of a sparse segment must have the roots that were kept of them.
    pub(super) fn met_sparse(&mut self, info: &SegmentInfo, roots: &[Hash], beginning: &Beginning) {
        let first = usize::try_from(info.first_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
        if beginning.roots.get(first..first.saturating_add(roots.len())) != Some(roots) {
            let message = format!("segments/{} carries other roots of its groups than what stays of them", info.file);
            self.fail(Code::SegmentProof, Some(info.log), Some(info.first_seq), message);
        }
    }

    /// Takes the tree over groups that are not there any more, up to position `to` or the end of what has expired.
    pub(super) fn pass_expired(&mut self, beginning: &Beginning, to: u64, replay: &mut Replay) -> Result<()> {
        let (log, to) = (beginning.log, to.min(beginning.below()));
        replay.settle();
        let tip = replay.tip(log);
        if tip.next_seq < to && !tip.next_seq.is_multiple_of(GROUP_LEAVES) {
            return Err(Error::new(ErrorKind::Busy, format!("the beginning of log {log} expired while it was being verified"))
                .with_hint("run `indelible verify` again"));
        }
        let mut given_up = Vec::new();
        while tip.next_seq < to {
            let end = tip.next_seq + GROUP_LEAVES;
            while let Some(stop) = tip.stops.first().copied().filter(|stop| *stop < end) {
                tip.stops.pop_first();
                match beginning.root_within(&tip.frontier, stop) {
                    Some(root) => tip.passed.push((stop, root)),
                    None => given_up.push(stop),
                }
            }
            let group = usize::try_from(tip.next_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
            let root = beginning.roots.get(group).copied().unwrap_or(Hash::ZERO);
            if tip.frontier.push_subtree(GROUP_LEVEL, root).is_err() {
                break;
            }
            tip.next_seq = end;
            if tip.stops.remove(&end) {
                tip.passed.push((end, tip.frontier.root()));
            }
        }
        if tip.next_seq == beginning.below() && to == beginning.below() {
            tip.tenants = beginning.tenants.clone();
            self.details.producers.union(&beginning.producers);
            self.details.gaps.extend(beginning.gaps.iter().cloned());
        }
        tip.settle_root();
        let passed = std::mem::take(&mut tip.passed);
        if let Some(claims) = self.claims.get_mut(&log) {
            for (size, root) in passed {
                claims.reached(size, &root, log, &mut self.findings);
            }
        }
        for size in given_up {
            let sources = self.claims.get_mut(&log).map(|claims| claims.give_up(size)).unwrap_or_default();
            sources.into_iter().for_each(|source| self.give_up(log, size, source));
        }
        Ok(())
    }

    /// A claim is about a size of which nothing was kept: neither right nor wrong.
    pub(super) fn give_up(&mut self, log: u32, size: u64, source: Source) {
        if matches!(source, Source::TakenOver | Source::Predecessor) {
            // Of these, expiry keeps what proves them.
            let message = format!(
                "{} over {size} entries lies within what has expired, and nothing was kept to prove it",
                source.describe()
            );
            return self.fail(Code::RestoredMismatch, Some(log), Some(size), message);
        }
        *self.pruning.given_up.entry(log).or_default() += 1;
        if source.outside() {
            self.pruning.outside += 1;
            let message = format!(
                "{} over {size} entries lies within what has expired, and nothing was kept to compare it with: name such checkpoints when events expire (`indelible retention apply --anchor FILE`)",
                source.describe()
            );
            self.find(Code::Expired, Level::Warn, Some(log), Some(size), message);
        }
    }

    /// Holds what has expired against what log 0 says. Gives whether an outside checkpoint, if there was one, could be compared.
    pub(super) fn check_expired(&mut self) -> bool {
        let Pruning { met, seeds, mut held, given_up, outside } = std::mem::take(&mut self.pruning);
        for (log, Met { info, root, stays, tenants }) in met {
            let entry = self.details.expiries.get(&info.entry).filter(|_| log != LOG_CONTROL);
            let entry = entry.filter(|entry| {
                (entry.log, entry.below, entry.root, entry.digest) == (u64::from(log), info.below, root, info.digest)
            });
            match entry {
                Some(entry) => {
                    let counts = |seed: &Seed| stated::tree(seed, &tenants).root();
                    if entry.tenants.is_some_and(|stated| seeds.get(&info.entry).map(counts) != Some(stated)) {
                        let message = format!(
                            "entry {} of log 0 states other numbers of its tenants' events before {} than what stays of them",
                            info.entry, info.below
                        );
                        let (code, level, at) = (Code::TenantCounts, Level::Fail, Some(info.below));
                        self.findings.push(Finding { code, level, log: Some(log), at, message });
                    }
                    // No root binds which events stay: a hash in an event's place, or no segment at all, gives the same tree.
                    let found = held.remove(&log).filter(|(digest, ..)| *digest == info.digest);
                    let wrong = found.filter(|(_, count, found)| *count != entry.held || found.clone().digest() != stays);
                    if let Some((_, found, _)) = wrong {
                        let message = format!(
                            "{} events that have expired were to stay because they are held, as entry {} of log 0 says; {found} are there, or others",
                            entry.held, info.entry
                        );
                        self.findings.push(Finding {
                            code: Code::ExpiredMismatch,
                            level: Level::Fail,
                            log: Some(log),
                            at: Some(info.below),
                            message,
                        });
                    }
                    let unknown = given_up.get(&log).map_or_else(String::new, |count| {
                        format!("; {count} older checkpoints and heads cannot be compared any more")
                    });
                    let message = format!(
                        "PRUNED: what was received before {} has expired, {} positions, as entry {} of log 0 says{unknown}",
                        entry.before, info.below, info.entry
                    );
                    self.find(Code::Expired, Level::Note, Some(log), Some(info.below), message);
                }
                None => {
                    let message = format!(
                        "{} positions are said to have expired, and entry {} of log 0 does not say so",
                        info.below, info.entry
                    );
                    self.fail(Code::ExpiredMismatch, Some(log), Some(info.below), message);
                }
            }
        }
        let judged = self.claims.values().any(|claims| claims.anchored > 0);
        outside == 0 || judged
    }
}

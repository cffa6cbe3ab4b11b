//! Checkpoints that the log must agree with, from inside and outside the store, and how they are struck off while it streams by.
//!
//! A checkpoint made by this engine is over a state between two frames. One from outside may be over any size, so the frontier is
//! stopped there: the sizes wanted are known before reading begins.

use std::collections::BTreeMap;

use indelible_format::Hash;
use indelible_format::merkle::empty_root;

use super::finding::{Code, Finding, Level};

/// Where a checkpoint came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A note in a journal frame, with the frame's number.
    Frame(u64),
    /// `checkpoint/<log>`.
    File,
    /// A control entry `heads` at this position of log 0.
    Heads(u64),
    /// What `store.json` says was taken over from a predecessor.
    TakenOver,
    /// A predecessor's checkpoint, as `store.json` keeps it.
    Predecessor,
    /// The trusted state.
    State,
    /// Given by the caller.
    Given,
}

impl Source {
    pub(crate) const fn outside(self) -> bool {
        matches!(self, Self::State | Self::Given)
    }

    pub(crate) fn describe(self) -> String {
        match self {
            Self::Frame(lsn) => format!("the checkpoint in frame {lsn}"),
            Self::File => "the store's newest checkpoint".into(),
            Self::Heads(seq) => format!("the heads entry {seq} of log 0"),
            Self::TakenOver => "what was taken over from the predecessor".into(),
            Self::Predecessor => "the predecessor's checkpoint".into(),
            Self::State => "the trusted state".into(),
            Self::Given => "the checkpoint given".into(),
        }
    }

    const fn codes(self) -> (Code, Code) {
        match self {
            Self::TakenOver => (Code::RestoredMismatch, Code::RestoredMismatch),
            Self::Frame(_) | Self::File | Self::Predecessor => (Code::CheckpointMismatch, Code::CheckpointAhead),
            Self::Heads(_) => (Code::HeadsMismatch, Code::HeadsMismatch),
            Self::State | Self::Given => (Code::AnchorMismatch, Code::AnchorAhead),
        }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It was found true, or reported.
    Judged,
    /// The log has not got there: the tree must be looked at when it does.
    Ahead,
    /// It is about a size within the sealed part, which was read before.
    Sealed,
}

/// What was claimed about one log, and what became of it.
#[derive(Default)]
pub(crate) struct Claims {
    size: u64,
    /// Claims that are still ahead of the log, by size.
    ahead: BTreeMap<u64, Vec<(Hash, Source)>>,
    /// Roots between frames since the last note: notes and heads may look back a little.
    recent: Vec<(u64, Hash)>,
    /// Size up to which the log is sealed: there are no frames to look back to.
    pub(crate) sealed: u64,
    /// While sealed rows are read, which come log by log: a claim may be ahead of its log.
    pub(crate) unordered: bool,
    pub(crate) signed: u64,
    pub(crate) anchored: u64,
}

/// Boundaries remembered for claims that look back. A note rides in one of the next frames, so a few would do; a writer that
/// signs once a second passes thousands in between.
const RECENT_MAX: usize = 262_144;

impl Claims {
    /// The log has reached `size` with `root`: claims about that size are judged.
    pub(crate) fn reached(&mut self, size: u64, root: &Hash, log: u32, findings: &mut Vec<Finding>) {
        self.size = size;
        for (claimed, source) in self.ahead.remove(&size).unwrap_or_default() {
            self.judge(size, root, &claimed, source, log, findings);
        }
    }

    /// Notes a state between frames.
    pub(crate) fn boundary(&mut self, size: u64, root: Hash) {
        self.size = size;
        if self.recent.len() >= RECENT_MAX {
            self.recent.drain(..RECENT_MAX / 2);
        }
        self.recent.push((size, root));
    }

    /// A claim that `size` has `root`: judged at once if that size was passed, else when it is reached.
    pub(crate) fn claim(&mut self, size: u64, root: Hash, source: Source, log: u32, findings: &mut Vec<Finding>) -> Claimed {
        if size > self.size {
            // What the journal itself signs or states was durable before: it cannot be about what comes later.
            if matches!(source, Source::Frame(_) | Source::Heads(_)) && !self.unordered {
                let what = format!("is ahead of the log, which has {} there", self.size);
                self.report(source.codes().1, size, source, log, findings, &what);
                return Claimed::Judged;
            }
            self.ahead.entry(size).or_default().push((root, source));
            return Claimed::Ahead;
        }
        if size == 0 {
            self.judge(0, &empty_root(), &root, source, log, findings);
            return Claimed::Judged;
        }
        let at = self.recent.partition_point(|(known, _)| *known < size);
        match self.recent.get(at).copied().filter(|(known, _)| *known == size) {
            Some((_, known)) => self.judge(size, &known, &root, source, log, findings),
            None if size < self.sealed => return Claimed::Sealed,
            None => self.report(source.codes().0, size, source, log, findings, "is over a size at which no frame ended"),
        }
        Claimed::Judged
    }

    /// Gives up the claims about a size: nothing is there any more to judge them by.
    pub(crate) fn give_up(&mut self, size: u64) -> Vec<Source> {
        self.ahead.remove(&size).unwrap_or_default().into_iter().map(|(_, source)| source).collect()
    }

    pub(crate) fn judge(
        &mut self,
        size: u64,
        root: &Hash,
        claimed: &Hash,
        source: Source,
        log: u32,
        findings: &mut Vec<Finding>,
    ) {
        if root != claimed {
            self.report(source.codes().0, size, source, log, findings, "has another root than the log");
            return;
        }
        if source.outside() {
            self.anchored = self.anchored.max(size);
        } else if !matches!(source, Source::Heads(_) | Source::TakenOver) {
            self.signed = self.signed.max(size);
        }
    }

    fn report(&self, code: Code, size: u64, source: Source, log: u32, findings: &mut Vec<Finding>, what: &str) {
        let message = format!("{} over {size} entries {what}", source.describe());
        findings.push(Finding { code, level: Level::Fail, log: Some(log), at: Some(size), message });
    }

    /// What is still ahead when the log ends.
    pub(crate) fn finish(&mut self, log: u32, findings: &mut Vec<Finding>) {
        for (size, claims) in std::mem::take(&mut self.ahead) {
            for (_, source) in claims {
                let what = format!("is ahead of the log, which has {}", self.size);
                self.report(source.codes().1, size, source, log, findings, &what);
            }
        }
    }
}

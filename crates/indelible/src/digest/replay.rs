//! Replays frames: numbers their records again, recomputes every leaf from values, and compares roots.
//!
//! Recovery and `verify` share this: the first stops at the first fault, the second goes on and reports them all.

use std::collections::{BTreeMap, BTreeSet};

use indelible_format::frame::{FLAG_CARRY, Frame};
use indelible_format::leaf::Seed;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::record::{Kind, Records};
use indelible_format::{Hash, Head, Record};

use crate::digest::LogHead;
use crate::digest::hashing::{Batch, Hashing};
use crate::digest::stated::{self, Due};
use crate::digest::tip::Tip;
use crate::identity::LOG_CONTROL;

/// What is wrong with a frame whose checksums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A record is not one, or the payload has more or fewer than the meta says.
    Malformed { log: Option<u32>, at: u64 },
    /// A log begins or counts otherwise than its records do.
    Sequence { log: u32, expected: u64, found: u64 },
    /// A record belongs to a log that its frame does not list, so that no root binds it.
    Unlisted { log: u32, seq: u64 },
    /// The seed of a record's group is not in the frame, or another one than before.
    SeedMissing { log: u32, seq: u64 },
    /// The recomputed root is another than the frame's.
    Root { log: u32, first_seq: u64, size: u64, expected: Hash, found: Hash },
    /// The tenant's count does not go on.
    Tenant { log: u32, seq: u64, expected: u64, found: u64 },
    /// An entry of log 0 states other counts of tenants than the log gives, or counts at no place where it could know them.
    Stated { entry: u64, log: u32, size: u64 },
}

/// Sees a record with its log, its position and its head.
pub(crate) type Each<'e> = dyn FnMut(u32, u64, &Record<'_>, Option<&Head<'_>>) + 'e;

/// State of all logs while frames are replayed.
pub(crate) struct Replay {
    pub(crate) tips: Vec<Tip>,
    pub(crate) records: u64,
    hashing: Hashing,
    own: Vec<Hash>,
    /// Logs whose root disagreed already: what follows is compared with nothing any more.
    diverged: Vec<u32>,
    /// Whether statements about tenants are judged.
    judges: bool,
    /// Logs that log 0 has created so far: a statement is about all of them.
    created: BTreeSet<u32>,
    /// Seeds of the groups of log 0 that `expired` entries are in, by position.
    pub(crate) expiries: BTreeMap<u64, Seed>,
}

impl Replay {
    /// `helped`: a second thread may be started, for hashing.
    pub(crate) fn new(helped: bool) -> Self {
        let (tips, own, diverged) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            tips,
            records: 0,
            hashing: Hashing::new(helped),
            own,
            diverged,
            judges: false,
            created: BTreeSet::new(),
            expiries: BTreeMap::new(),
        }
    }

    /// Also judges what log 0 states about tenants.
    pub(crate) fn judging(helped: bool) -> Self {
        Self { judges: true, ..Self::new(helped) }
    }

    pub(crate) fn heads(&self) -> Vec<LogHead> {
        self.tips.iter().map(Tip::head).collect()
    }

    /// Logs whose root disagreed with a frame's.
    pub(crate) fn diverged(&self) -> &[u32] {
        &self.diverged
    }

    /// From here on nothing can be said of a log's tree.
    pub(crate) fn diverge(&mut self, log: u32) {
        if !self.diverged.contains(&log) {
            self.diverged.push(log);
        }
    }

    pub(crate) fn head(&self, log: u32) -> LogHead {
        self.tips.iter().find(|tip| tip.log == log).map_or_else(|| Tip::new(log).head(), Tip::head)
    }

    pub(crate) fn tip(&mut self, log: u32) -> &mut Tip {
        let at = self.tips.iter().position(|tip| tip.log == log).unwrap_or_else(|| {
            self.tips.push(Tip::new(log));
            self.tips.len() - 1
        });
        // `position` or `push` made sure that it is there.
        #[expect(clippy::indexing_slicing, reason = "the index was found or made in the line above")]
        &mut self.tips[at]
    }

    /// Replays one frame. `each` sees every record in order, with its position and head.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>, faults: &mut Vec<Fault>, each: &mut Each<'_>) {
        if frame.meta.flags & FLAG_CARRY != 0 {
            return;
        }
        for change in &frame.meta.logs {
            let expected = self.tip(change.log).next_seq;
            if change.first_seq != expected {
                faults.push(Fault::Sequence { log: change.log, expected, found: change.first_seq });
            }
        }
        let mut records = Records::new(frame.payload);
        let mut count = 0u64;
        for record in records.by_ref() {
            count += 1;
            let log = record.log();
            let seq = self.tip(log).next_seq;
            if !frame.meta.logs.iter().any(|change| change.log == log) {
                faults.push(Fault::Unlisted { log, seq });
            }
            self.take_seed(frame, &record, seq, faults);
            self.record(&record, log, seq, faults, each);
            if self.judges && log == LOG_CONTROL && record.kind() == Kind::Control {
                // A frame knows the logs as they were before it, and such an entry comes first.
                if count > 1 && record.control().and_then(stated::parse).is_some() {
                    faults.push(Fault::Stated { entry: seq, log, size: seq });
                }
                self.take_statement(&record, seq, faults);
                self.refuse_stated(faults);
            }
        }
        self.settle();
        self.records += count;
        if !records.finished() || count != u64::from(frame.meta.records) {
            faults.push(Fault::Malformed { log: None, at: frame.meta.lsn });
        }
        self.compare(frame, faults);
    }

    /// Replays one sealed row: position `next_seq` of its log, whose group has this seed. [`settle`](Self::settle) is owed.
    pub(crate) fn row(&mut self, record: &Record<'_>, seed: &Seed, faults: &mut Vec<Fault>, each: &mut Each<'_>) {
        let log = record.log();
        let tip = self.tip(log);
        let seq = tip.next_seq;
        match tip.salts(seq) {
            None => tip.set_seed(seq / GROUP_LEAVES, seed),
            Some(salts) if salts.seed() == seed => {}
            Some(_) => {
                faults.push(Fault::SeedMissing { log, seq });
                tip.set_seed(seq / GROUP_LEAVES, seed);
            }
        }
        tip.frame_of_seed = None;
        self.record(record, log, seq, faults, each);
        if self.judges && log == LOG_CONTROL && record.kind() == Kind::Control {
            self.take_statement(record, seq, faults);
        }
        self.records += 1;
    }

    /// What an entry of log 0 states about tenants is judged at once, or when its log has come as far as the statement.
    fn take_statement(&mut self, record: &Record<'_>, seq: u64, faults: &mut Vec<Fault>) {
        let entry = record.control().unwrap_or_default();
        self.created.extend(stated::created(entry));
        if stated::is_expiry(entry)
            && let Some(salts) = self.tip(LOG_CONTROL).salts(seq)
        {
            let seed = salts.seed().clone();
            self.expiries.insert(seq, seed);
        }
        let Some(logs) = stated::parse(entry) else { return };
        let Some(logs) = logs else {
            return faults.push(Fault::Malformed { log: Some(LOG_CONTROL), at: seq });
        };
        // Every log once, in their order: one that is left out would hide its events.
        if !self.created.iter().eq(logs.iter().map(|stated| &stated.log)) {
            faults.push(Fault::Stated { entry: seq, log: LOG_CONTROL, size: seq });
        }
        let Some(seed) = self.tip(LOG_CONTROL).salts(seq).map(|salts| salts.seed().clone()) else { return };
        for stated in logs {
            let tip = self.tip(stated.log);
            let in_order = tip.stated.back().is_none_or(|last| last.size <= stated.size);
            if stated.size < tip.next_seq || !in_order {
                faults.push(Fault::Stated { entry: seq, log: stated.log, size: stated.size });
                continue;
            }
            tip.stated.push_back(Due { entry: seq, size: stated.size, tenants: stated.tenants, seed: seed.clone() });
            self.judge_stated(stated.log, faults);
        }
    }

    /// Judges the statements about a log's tenants as it is now.
    pub(crate) fn judge_stated(&mut self, log: u32, faults: &mut Vec<Fault>) {
        let diverged = self.diverged.contains(&log);
        let tip = self.tip(log);
        while let Some(due) = tip.stated.pop_front_if(|due| due.size <= tip.next_seq) {
            if due.size == tip.next_seq && !diverged && !due.holds(&tip.tenants) {
                faults.push(Fault::Stated { entry: due.entry, log, size: due.size });
            }
        }
    }

    /// Statements about what is still to come are wrong.
    fn refuse_stated(&mut self, faults: &mut Vec<Fault>) {
        for tip in &mut self.tips {
            faults.extend(tip.stated.drain(..).map(|due| Fault::Stated { entry: due.entry, log: tip.log, size: due.size }));
        }
    }

    fn record(&mut self, record: &Record<'_>, log: u32, seq: u64, faults: &mut Vec<Fault>, each: &mut Each<'_>) {
        let head = record.head();
        if self.tip(log).stated.front().is_some_and(|due| due.size <= seq) {
            self.judge_stated(log, faults);
        }
        if record.kind() == Kind::Event {
            match &head {
                Some(head) => {
                    let count = self.tip(log).tenants.entry(head.tenant);
                    let expected = std::mem::replace(count, head.tenant_seq.saturating_add(1));
                    if head.tenant_seq != expected {
                        faults.push(Fault::Tenant { log, seq, expected, found: head.tenant_seq });
                    }
                }
                // A withheld head has no number to check.
                None if record.value(indelible_format::Tag::HEAD).is_none() => {}
                None => faults.push(Fault::Malformed { log: Some(log), at: seq }),
            }
        }
        each(log, seq, record, head.as_ref());
        self.push(record, log, seq);
    }

    /// Waits for the hashes of everything replayed; the frontiers then have it. Roots are still to be settled.
    pub(crate) fn settle(&mut self) {
        let Self { tips, hashing, own, .. } = self;
        hashing.finish(&mut |batch| extend(tips, batch, own));
    }

    fn take_seed(&mut self, frame: &Frame<'_>, record: &Record<'_>, seq: u64, faults: &mut Vec<Fault>) {
        let (log, group) = (record.log(), seq / GROUP_LEAVES);
        let needed = record.kind() == Kind::Event;
        let tip = self.tip(log);
        if tip.frame_of_seed != Some(frame.meta.lsn) || tip.salts(seq).is_none() {
            match frame.meta.seeds.iter().find(|seed| (seed.log, seed.group) == (log, group)) {
                Some(seed) => {
                    if tip.salts(seq).is_some_and(|salts| *salts.seed() != seed.seed) {
                        faults.push(Fault::SeedMissing { log, seq });
                    }
                    tip.set_seed(group, &seed.seed);
                }
                None if needed && tip.salts(seq).is_none() => {
                    faults.push(Fault::SeedMissing { log, seq });
                    tip.set_seed(group, &indelible_format::leaf::Seed([0; 32]));
                }
                None if needed => faults.push(Fault::SeedMissing { log, seq }),
                None => {}
            }
            tip.frame_of_seed = Some(frame.meta.lsn);
        }
        if !needed && tip.salts(seq).is_none() {
            // Control and leaf records use no salt; any will do to satisfy the hasher.
            tip.set_seed(group, &indelible_format::leaf::Seed([0; 32]));
            tip.frame_of_seed = None;
        }
    }

    fn push(&mut self, record: &Record<'_>, log: u32, seq: u64) {
        let Self { tips, hashing, own, .. } = self;
        let Some(tip) = tips.iter_mut().find(|tip| tip.log == log) else { return };
        tip.next_seq += 1;
        if let Some(salts) = tip.salts(seq) {
            hashing.push(record, log, seq, salts);
        }
        if hashing.is_full() {
            hashing.send(&mut |batch| extend(tips, batch, own));
        }
    }

    fn compare(&mut self, frame: &Frame<'_>, faults: &mut Vec<Fault>) {
        for change in &frame.meta.logs {
            let diverged = self.diverged.contains(&change.log);
            let tip = self.tip(change.log);
            tip.settle_root();
            let (head, first_seq) = (tip.head(), change.first_seq);
            let size = first_seq.saturating_add(u64::from(change.count));
            if head.size != size && !diverged {
                faults.push(Fault::Sequence { log: change.log, expected: size, found: head.size });
            }
            if head.root != change.root && !diverged {
                faults.push(Fault::Root { log: change.log, first_seq, size: head.size, expected: change.root, found: head.root });
                self.diverged.push(change.log);
            }
        }
    }
}

/// Appends the leaves of a batch to their logs.
fn extend(tips: &mut [Tip], batch: &Batch, own: &mut Vec<Hash>) {
    for tip in tips {
        own.clear();
        own.extend(batch.leaves().filter(|(log, _)| *log == tip.log).map(|(_, leaf)| leaf));
        if !own.is_empty() {
            tip.extend_without_root(own);
        }
    }
}

//! The tip of a log: everything needed to append the next record to it.

use std::collections::{BTreeSet, VecDeque};

use indelible_format::Hash;
use indelible_format::leaf::{Salts, Seed};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::{Frontier, empty_root};

use crate::digest::LogHead;
use crate::digest::names::ByName;
use crate::digest::stated::Due;

/// Owned by whoever builds or replays frames; others see heads only once they are durable.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) log: u32,
    pub(crate) frontier: Frontier,
    // Root of the frontier; kept, because it is asked for more often than it changes.
    root: Hash,
    /// Roots of complete groups since they were last handed to the tree file.
    pub(crate) group_roots: Vec<Hash>,
    /// Sequence number of the next record; runs ahead of the frontier while a frame is being hashed.
    pub(crate) next_seq: u64,
    /// Sizes at which the root is wanted, and the roots found there; only `verify` asks.
    pub(crate) stops: BTreeSet<u64>,
    pub(crate) passed: Vec<(u64, Hash)>,
    /// Statements about the tenants at sizes that are still to come, by size; only `verify` looks at them.
    pub(crate) stated: VecDeque<Due>,
    /// Frame whose seed table the current seed was last compared with; only replay uses it.
    pub(crate) frame_of_seed: Option<u64>,
    salts: Option<(u64, Salts)>,
    /// Number of the next event of each tenant.
    pub(crate) tenants: ByName<u64>,
}

impl Tip {
    pub(crate) fn new(log: u32) -> Self {
        Self {
            log,
            frontier: Frontier::new(),
            root: empty_root(),
            group_roots: Vec::new(),
            next_seq: 0,
            stops: BTreeSet::new(),
            passed: Vec::new(),
            stated: VecDeque::new(),
            frame_of_seed: None,
            salts: None,
            tenants: ByName::default(),
        }
    }

    /// The tip of a log of which only the end is read: its tree and its tenants as they are there, and the seed of the group that is not
    /// complete.
    pub(crate) fn resume(log: u32, frontier: Frontier, tenants: ByName<u64>, seed: Option<&Seed>) -> Self {
        let (root, next_seq) = (frontier.root(), frontier.size());
        let salts = seed.map(|seed| (Self::group(next_seq), Salts::new(seed.clone())));
        Self { root, next_seq, frontier, tenants, salts, ..Self::new(log) }
    }

    pub(crate) fn head(&self) -> LogHead {
        LogHead { log: self.log, size: self.frontier.size(), root: self.root }
    }

    /// The group that `seq` falls into.
    pub(crate) const fn group(seq: u64) -> u64 {
        seq / GROUP_LEAVES
    }

    /// The salts of the group of `seq`, if its seed is known.
    pub(crate) fn salts(&mut self, seq: u64) -> Option<&mut Salts> {
        self.salts.as_mut().filter(|(group, _)| *group == Self::group(seq)).map(|(_, salts)| salts)
    }

    /// Makes `seed` the seed of `group`.
    pub(crate) fn set_seed(&mut self, group: u64, seed: &Seed) {
        match &mut self.salts {
            Some((known, salts)) => {
                *known = group;
                salts.rekey(seed);
            }
            None => self.salts = Some((group, Salts::new(seed.clone()))),
        }
    }

    /// Appends the leaves of a frame.
    pub(crate) fn extend(&mut self, leaves: &[Hash]) {
        self.extend_without_root(leaves);
        self.settle_root();
    }

    /// Appends leaves; [`settle_root`](Self::settle_root) is owed.
    pub(crate) fn extend_without_root(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        // Somebody wants to know the root at sizes in between.
        while let Some(stop) = self.stops.first().copied().filter(|stop| *stop <= self.frontier.size() + rest.len() as u64) {
            let (run, after) = rest.split_at(usize::try_from(stop.saturating_sub(self.frontier.size())).unwrap_or(0));
            let group_roots = &mut self.group_roots;
            self.frontier.extend(run, |root| group_roots.push(root));
            self.passed.push((stop, self.frontier.root()));
            self.stops.pop_first();
            rest = after;
        }
        let group_roots = &mut self.group_roots;
        self.frontier.extend(rest, |root| group_roots.push(root));
    }

    /// Recomputes the root.
    pub(crate) fn settle_root(&mut self) {
        self.root = self.frontier.root();
    }
}

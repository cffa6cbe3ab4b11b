//! Which sequence numbers of which producers have arrived: exact, as intervals.

use crate::digest::names::ByName;

/// Producers (id and epoch) that there may be before another is refused.
const PRODUCERS_MAX: usize = 65_536;
/// … before one that is in the log is not remembered: the store's own epochs, one for each start, come on top of all others.
const ARRIVED_MAX: usize = 2 * PRODUCERS_MAX;
/// … of one realm: of producers whose ids have the same text before the first `/`, as those of a tenant of a server. Nobody takes all the room.
const REALM_MAX: usize = PRODUCERS_MAX / 8;
/// Separate intervals per producer: how much out of order it may deliver.
const INTERVALS_MAX: usize = 4_096;

/// What became of a producer's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Not seen before; it is remembered now.
    New,
    /// Seen before.
    Repeated,
    /// More producers or gaps than can be remembered.
    TooMany,
}

/// Received sequence numbers by (producer id, epoch).
#[derive(Debug, Clone, Default)]
pub(crate) struct Producers {
    received: ByName<Vec<(u64, Intervals)>>,
    count: usize,
    /// How many of them each realm has.
    realms: ByName<usize>,
}

/// What is before the first `/` of a producer's id; ids without one belong to no realm.
fn realm(id: &str) -> Option<&str> {
    id.split_once('/').map(|(realm, _)| realm)
}

impl Producers {
    /// What [`arrive`](Self::arrive) would say. Notes nothing.
    pub(crate) fn look(&self, id: &str, epoch: u64, seq: u64) -> Arrival {
        match self.received.get(id).and_then(|epochs| epochs.iter().rev().find(|(known, _)| *known == epoch)) {
            Some((_, intervals)) => intervals.look(seq),
            None if self.count >= PRODUCERS_MAX || self.is_full(id) => Arrival::TooMany,
            None => Arrival::New,
        }
    }

    /// Whether the realm of `id` has as many producers as it may.
    fn is_full(&self, id: &str) -> bool {
        realm(id).and_then(|realm| self.realms.get(realm)).is_some_and(|count| *count >= REALM_MAX)
    }

    /// Counts a producer, or another epoch of one, that was not known.
    fn count(&mut self, id: &str) {
        self.count += 1;
        if let Some(realm) = realm(id) {
            *self.realms.entry(realm) += 1;
        }
    }

    /// Notes that a number arrived; of a realm that is full, too: it is in the log.
    pub(crate) fn arrive(&mut self, id: &str, epoch: u64, seq: u64) -> Arrival {
        if self.count >= ARRIVED_MAX && self.received.get(id).is_none() {
            return Arrival::TooMany;
        }
        // The newest epoch is last and nearly always the one that is asked for.
        let epochs = self.received.entry(id);
        if let Some((_, intervals)) = epochs.iter_mut().rev().find(|(known, _)| *known == epoch) {
            return intervals.insert(seq);
        }
        if self.count >= ARRIVED_MAX {
            return Arrival::TooMany;
        }
        let mut intervals = Intervals::default();
        let arrival = intervals.insert(seq);
        epochs.push((epoch, intervals));
        self.count(id);
        arrival
    }

    /// The highest epoch of a producer.
    pub(crate) fn latest_epoch(&self, id: &str) -> Option<u64> {
        self.received.get(id)?.iter().map(|(epoch, _)| *epoch).max()
    }

    /// Every producer with its epochs and the numbers that arrived.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64, &Intervals)> {
        self.received.iter().flat_map(|(id, epochs)| epochs.iter().map(move |(epoch, intervals)| (id, *epoch, intervals)))
    }

    /// Takes over what [`iter`](Self::iter) told.
    pub(crate) fn restore(&mut self, id: &str, epoch: u64, intervals: Intervals) {
        self.count(id);
        self.received.entry(id).push((epoch, intervals));
    }

    /// Takes in what others delivered, whether it is known or not.
    pub(crate) fn union(&mut self, other: &Self) {
        for (id, epoch, intervals) in other.iter() {
            let epochs = self.received.entry(id);
            match epochs.iter_mut().find(|(known, _)| *known == epoch) {
                Some((_, known)) => known.union(intervals),
                None => {
                    epochs.push((epoch, intervals.clone()));
                    self.count(id);
                }
            }
        }
    }

    /// Every number that is missing below the highest one that arrived: (id, epoch, first, last).
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (&str, u64, u64, u64)> {
        self.received.iter().flat_map(|(id, epochs)| {
            epochs.iter().flat_map(move |(epoch, intervals)| intervals.gaps().map(move |(first, last)| (id, *epoch, first, last)))
        })
    }
}

/// A set of numbers as sorted, disjoint, non-adjacent intervals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Its intervals, both ends included.
    pub(crate) fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// From intervals that are sorted, disjoint and not adjacent; `None`: they are not, or too many.
    pub(crate) fn from_sorted(intervals: Vec<(u64, u64)>) -> Option<Self> {
        let apart = |pair: &[(u64, u64)]| matches!(pair, [one, two] if one.1.checked_add(1).is_some_and(|next| next < two.0));
        let sorted = intervals.iter().all(|(first, last)| first <= last) && intervals.windows(2).all(apart);
        (sorted && intervals.len() <= INTERVALS_MAX).then_some(Self(intervals))
    }

    fn union(&mut self, other: &Self) {
        let mut all: Vec<(u64, u64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for (first, last) in all {
            match self.0.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => self.0.push((first, last)),
            }
        }
    }

    /// What `insert` would say.
    fn look(&self, seq: u64) -> Arrival {
        // The first interval that begins behind `seq`. Nearly always there is none.
        let after = match self.0.last() {
            Some((first, _)) if *first > seq => self.0.partition_point(|(first, _)| *first <= seq),
            _ => self.0.len(),
        };
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        if before.is_some_and(|(_, last)| seq <= *last) {
            return Arrival::Repeated;
        }
        let joins_before = before.is_some_and(|(_, last)| last.checked_add(1) == Some(seq));
        let joins_after = self.0.get(after).is_some_and(|(first, _)| seq.checked_add(1) == Some(*first));
        if joins_before || joins_after || self.0.len() < INTERVALS_MAX { Arrival::New } else { Arrival::TooMany }
    }

    fn insert(&mut self, seq: u64) -> Arrival {
        match self.0.last_mut() {
            // The usual case: the next number.
            Some((_, last)) if last.checked_add(1) == Some(seq) => {
                *last = seq;
                return Arrival::New;
            }
            Some((_, last)) if *last < seq => return self.add(self.0.len(), seq),
            None => return self.add(0, seq),
            Some(_) => {}
        }
        // The first interval that begins behind `seq`.
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        if before.is_some_and(|(_, last)| seq <= *last) {
            return Arrival::Repeated;
        }
        let joins_before = before.is_some_and(|(_, last)| last.checked_add(1) == Some(seq));
        let joins_after = self.0.get(after).is_some_and(|(first, _)| seq.checked_add(1) == Some(*first));
        match (joins_before, joins_after) {
            (true, true) => {
                let (_, last) = self.0.remove(after);
                if let Some(before) = self.0.get_mut(after - 1) {
                    before.1 = last;
                }
            }
            (true, false) => {
                if let Some(before) = self.0.get_mut(after - 1) {
                    before.1 = seq;
                }
            }
            (false, true) => {
                if let Some(next) = self.0.get_mut(after) {
                    next.0 = seq;
                }
            }
            (false, false) => return self.add(after, seq),
        }
        Arrival::New
    }

    fn add(&mut self, at: usize, seq: u64) -> Arrival {
        if self.0.len() >= INTERVALS_MAX {
            return Arrival::TooMany;
        }
        self.0.insert(at, (seq, seq));
        Arrival::New
    }

    fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut next = 0;
        self.0.iter().filter_map(move |(first, last)| {
            let gap = (next < *first).then(|| (next, first - 1));
            next = last.saturating_add(1);
            gap
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The intervals are a set of numbers, and their gaps are what is missing from it.
        #[test]
        fn intervals_are_a_set(numbers in proptest::collection::vec(0u64..200, 0..300)) {
            let (mut intervals, mut twin) = (Intervals::default(), BTreeSet::new());
            for seq in numbers {
                let expected = if twin.insert(seq) { Arrival::New } else { Arrival::Repeated };
                prop_assert_eq!(intervals.look(seq), expected);
                prop_assert_eq!(intervals.insert(seq), expected);
            }
            let missing: Vec<u64> = intervals.gaps().flat_map(|(first, last)| first..=last).collect();
            let expected: Vec<u64> = (0..twin.last().map_or(0, |last| *last)).filter(|seq| !twin.contains(seq)).collect();
            prop_assert_eq!(missing, expected);
        }
    }

    proptest! {
        #[test]
        fn a_union_holds_the_numbers_of_both(
            one in proptest::collection::vec(0u64..100, 0..80),
            two in proptest::collection::vec(0u64..100, 0..80),
        ) {
            let (mut both, mut left, mut right) = (Producers::default(), Producers::default(), Producers::default());
            for seq in &one { let _ = (both.arrive("p", 1, *seq), left.arrive("p", 1, *seq)); }
            for seq in &two { let _ = (both.arrive("p", 1, *seq), right.arrive("p", 1, *seq)); }
            left.union(&right);
            let all = |producers: &Producers| producers.iter().map(|(_, _, intervals)| intervals.as_slice().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(all(&left), all(&both));
        }
    }

    #[test]
    fn looking_says_what_arriving_would_when_there_is_no_room() {
        let mut producers = Producers::default();
        for seq in 0..INTERVALS_MAX as u64 {
            assert_eq!(producers.arrive("a", 1, seq * 3), Arrival::New);
        }
        for seq in [0, 1, 2, 3, 4, 5, 3 * INTERVALS_MAX as u64 - 2, 3 * INTERVALS_MAX as u64, 3 * INTERVALS_MAX as u64 + 7] {
            assert_eq!(producers.look("a", 1, seq), producers.clone().arrive("a", 1, seq), "{seq}");
        }
        assert_eq!(producers.look("a", 1, 3 * INTERVALS_MAX as u64 + 7), Arrival::TooMany);
    }

    #[test]
    fn one_realm_leaves_room_for_others_and_all_of_them_for_the_store_itself() {
        let mut producers = Producers::default();
        for epoch in 0..REALM_MAX as u64 {
            assert_eq!(producers.look("acme/p", epoch, 0), Arrival::New);
            producers.arrive("acme/p", epoch, 0);
        }
        assert_eq!(producers.look("acme/q", 0, 0), Arrival::TooMany);
        assert_eq!(producers.look("acme/p", 0, 1), Arrival::New, "who is known goes on");
        assert_eq!(producers.look("acme.org/p", 0, 0), Arrival::New);
        assert_eq!(producers.look("p", 0, 0), Arrival::New);
        // A copy of it that was written and read back counts the same.
        let mut copy = Producers::default();
        producers.iter().for_each(|(id, epoch, intervals)| copy.restore(id, epoch, intervals.clone()));
        assert_eq!((copy.count, copy.look("acme/q", 0, 0)), (REALM_MAX, Arrival::TooMany));
        for n in 0..PRODUCERS_MAX - REALM_MAX {
            producers.arrive(&n.to_string(), 1, 0);
        }
        assert_eq!(producers.look("p", 0, 0), Arrival::TooMany);
        producers.arrive("the store", 7, 0);
        assert_eq!(producers.latest_epoch("the store"), Some(7), "else its next life would have the numbers of this one");
    }

    #[test]
    fn an_epoch_starts_the_count_anew() {
        let mut producers = Producers::default();
        assert_eq!(producers.arrive("a", 1, 0), Arrival::New);
        assert_eq!(producers.arrive("a", 2, 0), Arrival::New);
        assert_eq!(producers.arrive("a", 1, 0), Arrival::Repeated);
        assert_eq!(producers.latest_epoch("a"), Some(2));
    }
}

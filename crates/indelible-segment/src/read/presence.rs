//! Which entries have a value.

use std::ops::Range;

/// Which of a page's entries have a value.
#[derive(Debug)]
pub(crate) enum Presence {
    All,
    None,
    /// A bit for each, and how many are set before each word.
    Some(Vec<u64>, Vec<u32>),
}

impl Presence {
    /// Of entries, each there or not.
    pub(crate) fn of(entries: impl Iterator<Item = bool>) -> (Self, usize) {
        let (mut words, mut ranks) = (Vec::new(), Vec::new());
        let (mut word, mut bit, mut count, mut set) = (0u64, 0u32, 0usize, 0u32);
        for is_there in entries {
            word |= u64::from(is_there) << bit;
            count += 1;
            bit += 1;
            if bit == 64 {
                ranks.push(set);
                set += word.count_ones();
                words.push(word);
                (word, bit) = (0, 0);
            }
        }
        ranks.push(set);
        set += word.count_ones();
        words.push(word);
        let set = set as usize;
        match set {
            0 => (Self::None, 0),
            _ if set == count => (Self::All, set),
            _ => (Self::Some(words, ranks), set),
        }
    }

    /// How many of the entries before this one have a value.
    pub(super) fn rank(&self, entry: u32) -> usize {
        match self {
            Self::All => entry as usize,
            Self::None => 0,
            Self::Some(words, ranks) => {
                let (at, bit) = (entry as usize / 64, entry % 64);
                let (word, rank) = (words.get(at).copied().unwrap_or(0), ranks.get(at).copied().unwrap_or(0));
                rank as usize + (word & !(u64::MAX << bit)).count_ones() as usize
            }
        }
    }

    /// Appends what `values` appends for the values of these entries, with `none` for each entry without one.
    pub(super) fn spread<T: Copy>(
        &self,
        entries: Range<u32>,
        none: T,
        out: &mut Vec<T>,
        values: impl FnOnce(Range<usize>, &mut Vec<T>),
    ) {
        match self {
            Self::All => values(entries.start as usize..entries.end as usize, out),
            Self::None => out.extend(entries.map(|_| none)),
            Self::Some(..) => {
                // The rank behind the last entry is one more than its own, if it is there.
                let end = match entries.end.checked_sub(1) {
                    Some(last) => self.rank(last) + usize::from(self.slot(last).is_some()),
                    None => 0,
                };
                let slots = self.rank(entries.start)..end;
                let mut found = Vec::with_capacity(slots.len());
                if !slots.is_empty() {
                    values(slots, &mut found);
                }
                let mut found = found.into_iter();
                out.extend(entries.map(|entry| self.slot(entry).and_then(|_| found.next()).unwrap_or(none)));
            }
        }
    }

    /// The number of an entry's value among the values.
    #[inline]
    pub(super) fn slot(&self, entry: u32) -> Option<usize> {
        match self {
            Self::All => Some(entry as usize),
            Self::None => None,
            Self::Some(words, ranks) => {
                let (at, bit) = (entry as usize / 64, entry % 64);
                let (word, rank) = (words.get(at)?, ranks.get(at)?);
                (word >> bit & 1 == 1).then(|| *rank as usize + (word & !(u64::MAX << bit)).count_ones() as usize)
            }
        }
    }
}

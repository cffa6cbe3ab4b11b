//! The distinct values of a column, numbered in the order in which they first come.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Numbers values; owns a copy of each.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// Hash and number of each value. The hash is seeded anew each time, so that nobody can choose texts that collide; numbers do not
    /// depend on it.
    table: HashTable<(u64, u32)>,
    seed: RandomState,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    last: u32,
}

impl Dictionary {
    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all values together.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A value by its number.
    pub(crate) fn value(&self, number: u32) -> &[u8] {
        value(&self.bytes, &self.ends, number)
    }

    /// All values in the order of their numbers.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let range = start..*end as usize;
            start = range.end;
            self.bytes.get(range).unwrap_or_default()
        })
    }

    /// The number of `wanted`, which is added if it is new.
    #[inline]
    pub(crate) fn number(&mut self, wanted: &[u8]) -> u32 {
        // Many columns say the same thing row after row.
        if !self.ends.is_empty() && self.value(self.last) == wanted {
            return self.last;
        }
        let hash = self.seed.hash_one(wanted);
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        let same = |(found, number): &(u64, u32)| *found == hash && value(bytes, ends, *number) == wanted;
        self.last = match self.table.entry(hash, same, |(hash, _)| *hash) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
                entry.insert((hash, number));
                bytes.extend_from_slice(wanted);
                ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                number
            }
        };
        self.last
    }
}

fn value<'b>(bytes: &'b [u8], ends: &[u32], number: u32) -> &'b [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|end| bytes.get(start as usize..*end as usize)).unwrap_or_default()
}

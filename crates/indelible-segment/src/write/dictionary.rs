//! The distinct values of a column, numbered in the order in which they first come.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// What the table knows of a value: some of its hash, its number, and where it stands. Twelve bytes, so that most of the table stays close;
/// a look-up then goes to the value itself and nowhere else.
#[derive(Clone, Copy)]
struct Known {
    hash: u32,
    number: u32,
    start: u32,
}

/// Numbers values; owns a copy of each.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// The hash is seeded anew each time, so that nobody can choose texts that collide; numbers do not depend on it.
    table: HashTable<Known>,
    seed: RandomState,
    /// Each value behind its length of four bytes.
    bytes: Vec<u8>,
    /// Where each value begins, length first.
    starts: Vec<u32>,
    last: Option<Known>,
}

impl Dictionary {
    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes of all values together, each with its length.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A value by its number.
    pub(crate) fn value(&self, number: u32) -> &[u8] {
        self.starts.get(number as usize).map_or(&[], |start| value(&self.bytes, *start))
    }

    /// The number of `wanted`, which is added if it is new.
    #[inline]
    pub(crate) fn number(&mut self, wanted: &[u8]) -> u32 {
        // Many columns say the same thing row after row.
        if let Some(last) = self.last
            && value(&self.bytes, last.start) == wanted
        {
            return last.number;
        }
        let [a, b, c, d, ..] = self.seed.hash_one(wanted).to_le_bytes();
        let hash = u32::from_le_bytes([a, b, c, d]);
        let bytes = &self.bytes;
        let same = |known: &Known| known.hash == hash && value(bytes, known.start) == wanted;
        let known = match self.table.entry(spread(hash), same, |known| spread(known.hash)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let number = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
                let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
                let known = Known { hash, number, start };
                entry.insert(known);
                self.bytes.extend_from_slice(&u32::try_from(wanted.len()).unwrap_or(u32::MAX).to_le_bytes());
                self.bytes.extend_from_slice(wanted);
                self.starts.push(start);
                known
            }
        };
        self.last = Some(known);
        known.number
    }
}

/// What the table's places depend on: all bits of it, the highest as well as the lowest.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn value(bytes: &[u8], start: u32) -> &[u8] {
    let Some((length, rest)) = bytes.get(start as usize..).and_then(<[u8]>::split_first_chunk::<4>) else { return &[] };
    rest.get(..u32::from_le_bytes(*length) as usize).unwrap_or_default()
}

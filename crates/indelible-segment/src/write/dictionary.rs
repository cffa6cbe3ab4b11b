//! The distinct values of a column, numbered in the order in which they first come.
//!
//! While they lie in a near cache, values are looked up one by one. Those of a large column are looked up some hundreds at a time: the steps
//! of one look-up wait for each other, those of different ones do not.

use std::hash::BuildHasher as _;

use crate::codec::RandomState;
use crate::encoding::bits::low_half;

/// Places of a table that has any.
const PLACES_MIN: usize = 64;
/// Bytes in front of a value: its number and its length.
const FRONT_BYTES: usize = 8;
/// Bytes of values up to which they and their table are taken to lie in a near cache.
const NEAR_BYTES: usize = 32 << 10;

/// A value that waits for its number, and how often it came in a row.
#[derive(Clone, Copy)]
struct Wanted {
    hash: u32,
    start: u32,
    end: u32,
    count: u32,
}

/// Numbers values; owns a copy of each.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// The hash is seeded anew each time, so that nobody can choose texts that collide; numbers do not depend on it.
    seed: RandomState,
    /// A power of two of places, at most half of them taken: the hash of a value above, below it where it stands in `bytes`, plus one.
    /// Zero is an empty place. So a look-up touches one place of the table and one of the values, nearly always.
    table: Vec<u64>,
    /// Each value behind its number and its length, four bytes each.
    bytes: Vec<u8>,
    /// Where each value begins, number first.
    starts: Vec<u32>,
    /// Where the value begins that was numbered last, by itself.
    last: u32,
    /// Values without a number yet, one behind the other.
    waiting: Vec<u8>,
    wanted: Vec<Wanted>,
    /// What the table says of each of `wanted`.
    found: Vec<u64>,
}

impl Dictionary {
    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes of all values together, each with its length.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len() - self.starts.len() * (FRONT_BYTES - 4)
    }

    /// Bytes of memory that it takes between two strides, when nothing waits.
    pub(crate) const fn memory(&self) -> usize {
        self.bytes.len() + size_of_val(self.table.as_slice()) + size_of_val(self.starts.as_slice())
    }

    /// A value by its number.
    pub(crate) fn value(&self, number: u32) -> &[u8] {
        let start = self.starts.get(number as usize).copied();
        start.and_then(|start| known(&self.bytes, start)).map_or(&[], |(_, value)| value)
    }

    /// Whether values are numbered one by one, without waiting. Once it is not so it never is again.
    #[inline]
    pub(crate) const fn is_near(&self) -> bool {
        self.bytes.len() < NEAR_BYTES
    }

    /// The number of `value`, which is added if it is new; for a dictionary that is near.
    #[inline]
    pub(crate) fn number_of(&mut self, value: &[u8]) -> u32 {
        // Many columns say the same thing row after row.
        if let Some((number, last)) = known(&self.bytes, self.last)
            && same(last, value)
        {
            return number;
        }
        let [a, b, c, d, ..] = self.seed.hash_one(value).to_le_bytes();
        let number = self.number(u32::from_le_bytes([a, b, c, d]), value);
        self.last = self.starts.get(number as usize).copied().unwrap_or(0);
        number
    }

    /// Asks for the number of `value`; it is given by [`settle`](Self::settle).
    #[inline]
    pub(crate) fn ask(&mut self, value: &[u8]) {
        // Many columns say the same thing row after row.
        if let Some(last) = self.wanted.last_mut()
            && self.waiting.get(last.start as usize..).is_some_and(|last| same(last, value))
        {
            last.count += 1;
            return;
        }
        let [a, b, c, d, ..] = self.seed.hash_one(value).to_le_bytes();
        let start = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.waiting.extend_from_slice(value);
        let end = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.wanted.push(Wanted { hash: u32::from_le_bytes([a, b, c, d]), start, end, count: 1 });
    }

    /// Appends the numbers of all values that were asked for; new ones are added.
    pub(crate) fn settle(&mut self, numbers: &mut Vec<u32>) {
        let wanted = std::mem::take(&mut self.wanted);
        let waiting = std::mem::take(&mut self.waiting);
        self.found.clear();
        let mask = self.table.len().wrapping_sub(1);
        let table = &self.table;
        self.found.extend(wanted.iter().map(|wanted| table.get(wanted.hash as usize & mask).copied().unwrap_or(0)));
        // Looks at the values that these places name, so that they lie near when they are compared one by one: what is far is waited for once.
        // The result is of no use; the box keeps the compiler from knowing it.
        let first = |place: &u64| self.bytes.get(low_half(*place).wrapping_sub(1) as usize).copied().unwrap_or(0);
        std::hint::black_box(self.found.iter().map(first).fold(0, |all, byte| all | byte));
        for (nth, wanted) in wanted.iter().enumerate() {
            let value = waiting.get(wanted.start as usize..wanted.end as usize).unwrap_or_default();
            let found = self.found.get(nth).copied().unwrap_or(0);
            // A place once taken stays true, whatever is added meanwhile.
            let number = match is(&self.bytes, found, wanted.hash, value) {
                Some(number) => number,
                None => self.number(wanted.hash, value),
            };
            numbers.extend(std::iter::repeat_n(number, wanted.count as usize));
        }
        (self.wanted, self.waiting) = (wanted, waiting);
        self.wanted.clear();
        self.waiting.clear();
    }

    /// The number of one value, which is added if it is new.
    fn number(&mut self, hash: u32, value: &[u8]) -> u32 {
        if self.table.len() < (self.starts.len() + 1) * 2 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(place) = self.table.get(at).copied().filter(|place| *place != 0) {
            if let Some(number) = is(&self.bytes, place, hash, value) {
                return number;
            }
            at = (at + 1) & mask;
        }
        let number = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Some(place) = self.table.get_mut(at) {
            *place = u64::from(hash) << 32 | (u64::from(start) + 1);
        }
        self.starts.push(start);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(value);
        number
    }

    fn grow(&mut self) {
        let places = (self.table.len() * 2).max(PLACES_MIN);
        let old = std::mem::replace(&mut self.table, vec![0; places]);
        for place in old.into_iter().filter(|place| *place != 0) {
            let [.., a, b, c, d] = place.to_le_bytes();
            let mut at = u32::from_le_bytes([a, b, c, d]) as usize & (places - 1);
            while self.table.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) & (places - 1);
            }
            if let Some(slot) = self.table.get_mut(at) {
                *slot = place;
            }
        }
    }
}

/// The number of `value`, if `place` is its place in the table.
#[inline(always)]
fn is(bytes: &[u8], place: u64, hash: u32, value: &[u8]) -> Option<u32> {
    let [a, b, c, d, e, f, g, h] = place.to_le_bytes();
    let start = u32::from_le_bytes([a, b, c, d]).checked_sub(1)?;
    if u32::from_le_bytes([e, f, g, h]) != hash {
        return None;
    }
    known(bytes, start).filter(|(_, known)| same(known, value)).map(|(number, _)| number)
}

/// Whether two values are the same: nearly all are short, and a call to have them compared costs more than comparing them.
#[inline(always)]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        4..8 => both_ends::<4>(a, b),
        8..16 => both_ends::<8>(a, b),
        16..=32 => both_ends::<16>(a, b),
        _ => a == b,
    }
}

/// Compares `N` to `2 N` bytes as their first and their last `N`, which may overlap.
#[inline(always)]
fn both_ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

/// Number and value of what stands at `start`.
#[inline(always)]
fn known(bytes: &[u8], start: u32) -> Option<(u32, &[u8])> {
    let ([a, b, c, d, e, f, g, h], rest) = bytes.get(start as usize..)?.split_first_chunk::<FRONT_BYTES>()?;
    let length = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
    Some((u32::from_le_bytes([*a, *b, *c, *d]), rest.get(..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_the_order_in_which_they_come() {
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut dictionary, mut simple) = (Dictionary::default(), Vec::<Vec<u8>>::new());
        for _ in 0..60 {
            let (mut wanted, mut numbers) = (Vec::new(), Vec::new());
            for _ in 0..rng.usize(..300) {
                let bits = rng.u32(1..12);
                let value = format!("{:x}", rng.u32(..1 << bits)).repeat(rng.usize(..4)).into_bytes();
                for _ in 0..rng.usize(1..3) {
                    dictionary.ask(&value);
                    let known = simple.iter().position(|known| *known == value).unwrap_or_else(|| {
                        simple.push(value.clone());
                        simple.len() - 1
                    });
                    wanted.push(u32::try_from(known).unwrap());
                }
            }
            dictionary.settle(&mut numbers);
            assert_eq!(numbers, wanted);
        }
        assert_eq!((dictionary.len(), dictionary.bytes()), (simple.len(), simple.iter().map(|value| value.len() + 4).sum()));
        for (number, value) in (0..).zip(&simple) {
            assert_eq!(dictionary.value(number), value);
        }
        assert_eq!(dictionary.value(u32::MAX), b"");
    }

    #[test]
    fn values_are_numbered_one_by_one_and_then_many_at_once() {
        let mut rng = fastrand::Rng::with_seed(6);
        let (mut dictionary, mut simple) = (Dictionary::default(), std::collections::HashMap::<Vec<u8>, u32>::new());
        let (mut numbers, mut wanted, mut were_near) = (Vec::new(), Vec::new(), true);
        for _ in 0..100 {
            for _ in 0..100 {
                let bits = rng.u32(1..20);
                let value = format!("{:x}", rng.u32(..1 << bits)).repeat(rng.usize(..3)).into_bytes();
                if dictionary.is_near() {
                    assert!(were_near);
                    numbers.push(dictionary.number_of(&value));
                } else {
                    were_near = false;
                    dictionary.ask(&value);
                }
                let next = u32::try_from(simple.len()).unwrap();
                wanted.push(*simple.entry(value).or_insert(next));
            }
            dictionary.settle(&mut numbers);
            assert_eq!(numbers, wanted);
        }
        assert!(!were_near);
    }

    #[test]
    fn values_of_any_length_are_the_same_only_if_they_are() {
        for length in 0..70 {
            let one = vec![7u8; length];
            assert!(same(&one, &one.clone()) && !same(&one, &vec![7; length + 1]));
            for at in 0..length {
                let mut other = one.clone();
                other[at] = 8;
                assert!(!same(&one, &other), "{at} of {length}");
            }
        }
    }
}

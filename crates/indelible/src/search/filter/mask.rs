//! Sets of rows within a block of a segment.

use indelible_segment::BLOCK_ROWS;

const WORDS: usize = BLOCK_ROWS as usize / 64;

/// Rows of one block, by their place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask([u64; WORDS]);

impl Mask {
    pub(crate) const NONE: Self = Self([0; WORDS]);

    /// The first `count` rows.
    pub(crate) fn first(count: u32) -> Self {
        let mut mask = Self::NONE;
        let mut left = count.min(BLOCK_ROWS);
        for word in &mut mask.0 {
            let here = left.min(64);
            *word = if here == 64 { u64::MAX } else { (1 << here) - 1 };
            left -= here;
        }
        mask
    }

    fn with(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut joined = self;
        joined.0.iter_mut().zip(other.0).for_each(|(word, other)| *word = join(*word, other));
        joined
    }

    pub(crate) fn and(self, other: Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        self.with(other, |a, b| a & !b)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(crate) fn holds(&self, place: u32) -> bool {
        self.0.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, place: u32) {
        if let Some(word) = self.0.get_mut(place as usize / 64) {
            *word |= 1 << (place % 64);
        }
    }

    /// Takes the last of its rows out.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let at = self.0.iter().rposition(|word| *word != 0)?;
        let word = self.0.get_mut(at)?;
        let bit = word.checked_ilog2()?;
        *word &= !(1 << bit);
        Some(u32::try_from(at).unwrap_or(0) * 64 + bit)
    }

    /// Those of its rows that pass.
    pub(crate) fn filter(mut self, mut passes: impl FnMut(u32) -> bool) -> Self {
        for (word, first) in self.0.iter_mut().zip((0u32..).step_by(64)) {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                *word &= !(u64::from(!passes(first + bit)) << bit);
            }
        }
        self
    }

    /// The rows, ascending.
    pub(crate) fn places(self) -> impl Iterator<Item = u32> {
        (0u32..).zip(self.0).flat_map(|(nth, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(nth * 64 + bit)
            })
        })
    }

    /// The rows, descending.
    pub(crate) fn places_back(self) -> impl Iterator<Item = u32> {
        (0..BLOCK_ROWS / 64).rev().zip(self.0.into_iter().rev()).flat_map(|(nth, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.checked_ilog2()?;
                left &= !(1 << bit);
                Some(nth * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_set_of_rows() {
        for count in [0, 1, 63, 64, 65, 1_000, 1_024] {
            let mask = Mask::first(count);
            assert_eq!(mask.count(), u64::from(count));
            assert_eq!(mask.places().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            assert_eq!(mask.places_back().collect::<Vec<_>>(), (0..count).rev().collect::<Vec<_>>());
        }
        let mut odd = Mask::NONE;
        (0..1_024).filter(|place| place % 2 == 1).for_each(|place| odd.insert(place));
        let all = Mask::first(1_024);
        assert_eq!(all.without(odd).and(odd), Mask::NONE);
        assert_eq!(all.without(odd).or(odd), all);
        assert_eq!(all.filter(|place| place % 2 == 1), odd);
        assert_eq!(odd.filter(|place| place > 500).places().next(), Some(501));
        assert!(odd.holds(1) && !odd.holds(2) && !odd.holds(5_000));
        assert_eq!(odd.places_back().next(), Some(1_023));
        let mut left = odd;
        assert!(std::iter::from_fn(|| left.pop()).eq(odd.places_back()) && left.is_empty());
    }
}

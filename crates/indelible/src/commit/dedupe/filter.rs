//! Salted positions of a key, and the filter that knows most new keys as new without a read.

/// Where keys go: a strongly universal hash (multiply, add, keep the upper half) with secret parameters.
///
/// Whoever chooses keys without knowing the salt cannot make them meet more often than chance does.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    factor: u128,
    offset: u128,
}

/// The hashed halves of one key.
#[derive(Clone, Copy)]
pub(super) struct Place {
    first: u64,
    second: u64,
}

impl Spread {
    pub(super) fn new(salt: [u8; 32]) -> Self {
        let (factor, offset) = halves::<32, 16>(&salt);
        Self { factor: u128::from_le_bytes(factor), offset: u128::from_le_bytes(offset) }
    }

    pub(super) fn place(&self, key: &[u8; 16]) -> Place {
        let (first, second) = halves::<16, 8>(key);
        Place { first: self.hash(u64::from_le_bytes(first)), second: self.hash(u64::from_le_bytes(second)) }
    }

    const fn hash(&self, value: u64) -> u64 {
        (self.factor.wrapping_mul(value as u128).wrapping_add(self.offset) >> 64) as u64
    }
}

impl Place {
    /// A number below `count`.
    pub(super) fn bucket(&self, count: usize) -> usize {
        scale(self.first, count)
    }
}

/// A Bloom filter of 64-byte blocks: all bits of one key lie in one cache line.
pub(super) struct Filter {
    blocks: Vec<[u64; 8]>,
    probes: u32,
}

impl Filter {
    /// For `entries` keys at `bits` bits each, at most 10.
    pub(super) fn new(entries: u64, bits: u64) -> Self {
        let blocks = usize::try_from((entries * bits).div_ceil(512).max(1)).unwrap_or(1);
        // ln 2 × bits is best for the whole filter; blocks of uneven load like a little less.
        let probes = match bits {
            0..=2 => 1,
            3..=4 => 3,
            5..=7 => 4,
            _ => 6,
        };
        Self { blocks: vec![[0; 8]; blocks], probes }
    }

    pub(super) fn add(&mut self, place: Place) {
        let at = scale(place.second, self.blocks.len());
        let probes = self.probes;
        if let Some(block) = self.blocks.get_mut(at) {
            for (word, mask) in bits(place, probes) {
                if let Some(word) = block.get_mut(word) {
                    *word |= mask;
                }
            }
        }
    }

    /// False: the key was never added. True: it was, or about once in 80 it was not.
    pub(super) fn may_hold(&self, place: Place) -> bool {
        let Some(block) = self.blocks.get(scale(place.second, self.blocks.len())) else { return true };
        bits(place, self.probes).all(|(word, mask)| block.get(word).is_none_or(|word| word & mask != 0))
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.capacity() * 64
    }
}

/// Nine bits of the hash for each probe: which word of the block, which bit of the word.
fn bits(place: Place, probes: u32) -> impl Iterator<Item = (usize, u64)> {
    (0..probes).map(move |probe| {
        let nine = place.first >> (probe * 9);
        ((nine >> 6 & 7) as usize, 1 << (nine & 63))
    })
}

/// Maps a uniform number to `0..count` by its upper bits.
#[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below `count`")]
const fn scale(value: u64, count: usize) -> usize {
    ((value as u128 * count as u128) >> 64) as usize
}

fn halves<const WHOLE: usize, const HALF: usize>(bytes: &[u8; WHOLE]) -> ([u8; HALF], [u8; HALF]) {
    const { assert!(HALF * 2 == WHOLE) };
    let first = bytes.first_chunk::<HALF>().copied().unwrap_or([0; HALF]);
    let second = bytes.last_chunk::<HALF>().copied().unwrap_or([0; HALF]);
    (first, second)
}

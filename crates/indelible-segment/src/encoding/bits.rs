//! Numbers of a fixed number of bits, one behind the other, lowest bit first: what Parquet calls bit-packed.

/// Zero bytes behind all that is unpacked, so that a number may be read as part of a longer one.
pub(crate) const PADDING: usize = 16;

/// Packs numbers to the end of some bytes.
pub(crate) struct BitWriter<'o> {
    out: &'o mut Vec<u8>,
    word: u128,
    bits: u32,
}

impl<'o> BitWriter<'o> {
    pub(crate) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, word: 0, bits: 0 }
    }

    /// The `width` (at most 64) low bits of `value`, whose others are 0.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: u64, width: u32) {
        self.word |= u128::from(value) << self.bits;
        self.bits += width;
        if self.bits >= 64 {
            let [low, _] = halves(self.word);
            self.out.extend_from_slice(&low.to_le_bytes());
            self.word >>= 64;
            self.bits -= 64;
        }
    }

    /// Writes what is left, filled up with zeros to a whole byte.
    pub(crate) fn finish(self) {
        let bytes = self.word.to_le_bytes();
        self.out.extend_from_slice(bytes.get(..self.bits.div_ceil(8) as usize).unwrap_or_default());
    }
}

/// Bits that `value` takes.
pub(crate) const fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// The `width` low bits set; `width` is at most 64.
pub(crate) const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

/// The number of `width` (at most 32) bits that begins at bit `at`. Behind `bytes` there is [`PADDING`]; outside of them: 0.
#[inline(always)]
pub(crate) fn extract(bytes: &[u8], at: usize, width: u32) -> u64 {
    let word = bytes.get(at / 8..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |word| u64::from_le_bytes(*word));
    word >> (at % 8) & mask(width)
}

/// As [`extract`], for up to 64 bits.
#[inline(always)]
pub(crate) fn extract_wide(bytes: &[u8], at: usize, width: u32) -> u64 {
    let word = bytes.get(at / 8..).and_then(<[u8]>::first_chunk::<16>).map_or(0, |word| u128::from_le_bytes(*word));
    let [low, _] = halves(word >> (at % 8));
    low & mask(width)
}

const fn halves(word: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = word.to_le_bytes();
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        let mut rng = fastrand::Rng::with_seed(1);
        for width in 0..=64 {
            let numbers: Vec<u64> = (0..100).map(|_| rng.u64(..) & mask(width)).collect();
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            numbers.iter().for_each(|number| writer.push(*number, width));
            writer.finish();
            assert_eq!(out.len(), (100 * width as usize).div_ceil(8));
            out.extend([0; PADDING]);
            for (nth, number) in numbers.iter().enumerate() {
                assert_eq!(extract_wide(&out, nth * width as usize, width), *number, "{width}");
                if width <= 32 {
                    assert_eq!(extract(&out, nth * width as usize, width), *number, "{width}");
                }
            }
        }
    }
}

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

/// Bytes from which eight numbers of up to 32 bits are taken, each as part of eight bytes.
const WINDOW: usize = 40;

/// Appends `count` numbers of `width` (at most 32) bits, of which the first begins at bit `at`. Behind `bytes` there is [`PADDING`];
/// outside of them: 0.
pub(crate) fn unpack(bytes: &[u8], at: usize, width: u32, count: usize, out: &mut Vec<u32>) {
    let one = |at: usize| low_half(extract(bytes, at, width));
    // Eight numbers end where they began: at the same bit of a byte. So only the first few need a look.
    let step = width as usize;
    let unaligned = (0..8).find(|nth| (at + nth * step).is_multiple_of(8)).unwrap_or(count).min(count);
    out.reserve(count);
    out.extend((0..unaligned).map(|nth| one(at + nth * step)));
    let (at, count) = (at + unaligned * step, count - unaligned);
    let done = match width {
        0 => {
            out.extend(std::iter::repeat_n(0, count));
            count
        }
        1..=8 => narrow(bytes, at / 8, width, count, out),
        _ => by_width(bytes, at / 8, width, count, out),
    };
    out.extend((done..count).map(|nth| one(at + nth * step)));
}

/// Eights of numbers that lie in one word of eight bytes; gives how many numbers.
#[inline]
fn narrow(bytes: &[u8], mut at: usize, width: u32, count: usize, out: &mut Vec<u32>) -> usize {
    let mask = mask(width);
    let shifts: [u32; 8] = std::array::from_fn(|nth| u32::try_from(nth).unwrap_or(0) * width);
    let mut done = 0;
    while done + 8 <= count {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else { break };
        let word = u64::from_le_bytes(*word);
        out.extend_from_slice(&shifts.map(|shift| low_half(word >> shift & mask)));
        at += width as usize;
        done += 8;
    }
    done
}

/// As [`narrow`], with the width known to the compiler.
fn by_width(bytes: &[u8], at: usize, width: u32, count: usize, out: &mut Vec<u32>) -> usize {
    macro_rules! widths {
        ($($width:literal)+) => { match width { $($width => wide::<$width>(bytes, at, count, out),)+ _ => 0 } };
    }
    widths!(9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

#[inline]
fn wide<const WIDTH: usize>(bytes: &[u8], mut at: usize, count: usize, out: &mut Vec<u32>) -> usize {
    let mut done = 0;
    while done + 8 <= count {
        let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk::<WINDOW>) else { break };
        out.extend_from_slice(&std::array::from_fn::<u32, 8, _>(|nth| {
            let word =
                window.get(nth * WIDTH / 8..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |word| u64::from_le_bytes(*word));
            low_half(word >> (nth * WIDTH % 8) & (u64::MAX >> (64 - WIDTH)))
        }));
        at += WIDTH;
        done += 8;
    }
    done
}

#[inline(always)]
pub(crate) const fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
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
            if width <= 32 {
                for (from, count) in [(0, 100), (1, 99), (3, 0), (7, 5), (8, 60), (13, 70), (99, 1)] {
                    let mut found = Vec::new();
                    unpack(&out, from * width as usize, width, count, &mut found);
                    let wanted = numbers.iter().skip(from).take(count).map(|number| low_half(*number));
                    assert!(found.iter().copied().eq(wanted), "{count} from {from} of {width} bits");
                }
            }
        }
    }
}

//! Whether text needs escapes in JSON, for many texts at once.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, x86::V3};

/// Whether `bytes` hold exactly this many quotes, no backslash and no control character: then texts that were copied into JSON between
/// so many quotes needed no escapes.
#[inline]
pub(crate) fn all_are_plain(bytes: &[u8], quotes: usize) -> bool {
    let (vectors, last) = padded(bytes);
    #[cfg(target_arch = "x86_64")]
    {
        static AVX2: OnceLock<Option<V3>> = OnceLock::new();
        if let Some(simd) = *AVX2.get_or_init(V3::try_new) {
            return simd.vectorize(OnAvx2 { simd, vectors, last, quotes });
        }
    }
    all_are_plain_portable(vectors, last, quotes)
}

/// Whole vectors, and one that holds what is left and blanks, which are plain.
#[inline(always)]
fn padded(bytes: &[u8]) -> (&[Vector], Vector) {
    let (vectors, rest) = bytes.as_chunks();
    let mut last = [b' '; VECTOR_BYTES];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    (vectors, last)
}

#[cfg(target_arch = "x86_64")]
struct OnAvx2<'b> {
    simd: V3,
    vectors: &'b [Vector],
    last: Vector,
    quotes: usize,
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for OnAvx2<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let avx2 = self.simd.avx2;
        let splat = |byte: u8| pulp::cast([byte; VECTOR_BYTES]);
        let (quote, backslash, control) = (splat(b'"'), splat(b'\\'), splat(0x1f));
        let mut special = splat(0);
        let mut found = 0;
        for bytes in self.vectors.iter().chain([&self.last]) {
            let bytes = pulp::cast(*bytes);
            found += avx2._mm256_movemask_epi8(avx2._mm256_cmpeq_epi8(bytes, quote)).count_ones();
            let controls = avx2._mm256_cmpeq_epi8(avx2._mm256_min_epu8(bytes, control), bytes);
            let backslashes = avx2._mm256_cmpeq_epi8(bytes, backslash);
            special = avx2._mm256_or_si256(special, avx2._mm256_or_si256(controls, backslashes));
        }
        (avx2._mm256_movemask_epi8(special) == 0) & (found as usize == self.quotes)
    }
}

/// On any machine; joined without branches, so that the compiler finds its vectors.
fn all_are_plain_portable(vectors: &[Vector], last: Vector, quotes: usize) -> bool {
    let (mut found, mut special) = (0, 0);
    for bytes in vectors.iter().chain([&last]) {
        let mut count = 0u8;
        for byte in bytes {
            count += u8::from(*byte == b'"');
            special |= u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
        }
        found += usize::from(count);
    }
    (special == 0) & (found == quotes)
}

/// Bytes looked at together.
const VECTOR_BYTES: usize = 32;
type Vector = [u8; VECTOR_BYTES];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_an_escape_is_seen_wherever_it_stands() {
        let anywhere = |bytes: &[u8], quotes| {
            let (vectors, last) = padded(bytes);
            all_are_plain_portable(vectors, last, quotes)
        };
        for length in [0usize, 1, 31, 32, 33, 63, 64, 100] {
            let mut bytes = vec![b'a'; length];
            assert!(all_are_plain(&bytes, 0) && anywhere(&bytes, 0));
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    bytes[place] = byte;
                    let (quotes, special) = (usize::from(byte == b'"'), byte == b'\\' || byte < 0x20);
                    assert_eq!(all_are_plain(&bytes, quotes), !special, "{byte:#x} at {place} of {length}");
                    assert_eq!(anywhere(&bytes, quotes), !special, "{byte:#x} at {place} of {length}");
                    assert!(!all_are_plain(&bytes, quotes + 1) && !anywhere(&bytes, quotes + 1));
                }
                bytes[place] = b'a';
            }
        }
        let quotes = [b'"'; 3210];
        assert!(all_are_plain(&quotes, 3210) && anywhere(&quotes, 3210), "counts do not wrap");
    }
}

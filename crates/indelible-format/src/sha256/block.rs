//! Blocks, padding, digests and constants of SHA-256 (FIPS 180-4), for one message.
//!
//! A padded message is message ‖ 0x80 ‖ zeros ‖ length in bits as big-endian u64, a multiple of 64 bytes (§5.1.1).

use sha2::block_api::compress256;

use crate::Hash;

/// 64 bytes, the unit of SHA-256.
pub(super) type Block = [u8; 64];

pub(super) const INITIAL_STATE: [u32; 8] = prime_roots::<8, 2>();
#[cfg(any(target_arch = "x86_64", test))]
pub(super) const ROUND_CONSTANTS: [u32; 64] = prime_roots::<64, 3>();

/// Writes `parts`, `bytes` long in all, and their padding into `message`, which has [`blocks_of`]`(bytes)` blocks of any content.
#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "FIPS 180-4 §5.1.1: the length is big-endian")]
pub(super) fn pad_into(message: &mut [Block], bytes: usize, parts: &[&[u8]]) {
    debug_assert_eq!(message.len(), blocks_of(bytes));
    debug_assert_eq!(bytes, parts.iter().map(|part| part.len()).sum::<usize>());
    let mut rest = message.as_flattened_mut();
    for part in parts {
        let Some((place, behind)) = rest.split_at_mut_checked(part.len()) else { return };
        place.copy_from_slice(part);
        rest = behind;
    }
    if let Some((mark, padding)) = rest.split_first_mut()
        && let Some((zeros, length)) = padding.split_last_chunk_mut::<8>()
    {
        *mark = 0x80;
        zeros.fill(0);
        *length = (bytes as u64 * 8).to_be_bytes();
    }
}

/// Blocks of a message of `bytes`, the padding mark and the length.
pub(super) const fn blocks_of(bytes: usize) -> usize {
    (bytes + 1 + 8).div_ceil(64)
}

/// The digest of one padded message.
pub(super) fn hash_blocks(message: &[Block]) -> Hash {
    let mut state = INITIAL_STATE;
    compress256(&mut state, message);
    digest(&state)
}

#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "FIPS 180-4 §3.1: a word is written most significant byte first")]
pub(super) fn digest(state: &[u32; 8]) -> Hash {
    let mut hash = Hash::ZERO;
    for (bytes, &word) in hash.0.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// The first 32 bits of the fractional parts of the square (`EXPONENT` 2) or cube roots (3) of the first `N` primes: FIPS 180-4
/// §5.3.3 and §4.2.2, computed from their definition when this is compiled.
#[expect(clippy::indexing_slicing, reason = "runs in const evaluation only, and `found` stays below N")]
const fn prime_roots<const N: usize, const EXPONENT: u32>() -> [u32; N] {
    let mut roots = [0; N];
    let mut found = 0;
    let mut candidate: u128 = 2;
    while found < N {
        if is_prime(candidate) {
            roots[found] = root_fraction(candidate, EXPONENT);
            found += 1;
        }
        candidate += 1;
    }
    roots
}

const fn is_prime(number: u128) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    true
}

/// The root times 2^32, found bit by bit, without its whole part.
#[expect(clippy::cast_possible_truncation, reason = "the whole part of the root is what is cut off")]
const fn root_fraction(number: u128, exponent: u32) -> u32 {
    let scaled = number << (32 * exponent);
    let mut root: u128 = 0;
    // The roots of the numbers below 2^9 that are used here are below 2^4.
    let mut bit: u128 = 1 << 36;
    while bit > 0 {
        if (root | bit).pow(exponent) <= scaled {
            root |= bit;
        }
        bit >>= 1;
    }
    root as u32
}

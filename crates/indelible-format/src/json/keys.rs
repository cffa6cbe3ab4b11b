//! The order of object keys.
//!
//! RFC 8785 §3.2.3 compares keys as UTF-16. That differs from the order of UTF-8 bytes in one place: U+E000–U+FFFF come *after*
//! the characters beyond U+FFFF, whose UTF-16 form begins with a surrogate (D800–DFFF). In UTF-8 the former have the lead bytes
//! EE and EF, the latter F0–F4; continuation bytes stop at BF. So raising EE and EF above F4 turns byte order into UTF-16 order.

use std::cmp::Ordering;

/// Compares two unescaped object keys in the canonical order: as sequences of UTF-16 code units.
///
/// # Cost
/// One pass to the first difference; nothing is converted or allocated.
#[must_use]
pub fn compare_keys(a: &str, b: &str) -> Ordering {
    compare(a.as_bytes(), b.as_bytes())
}

pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((x, y)) => rank(*x).cmp(&rank(*y)),
        None => a.len().cmp(&b.len()),
    }
}

/// The first eight bytes of a key as a number that sorts like the key does. Equal prefixes need [`compare`].
#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "the first byte must weigh most for numbers to sort like strings")]
pub(super) fn prefix(bytes: &[u8], start: usize, end: usize) -> u64 {
    const NON_ASCII: u64 = u64::from_le_bytes([0x80; 8]);
    let length = end.saturating_sub(start);
    // Reading past the key is fine (there is a quote and mostly more behind it): the mask drops what is not part of it.
    let word = match bytes.get(start..).and_then(<[u8]>::first_chunk::<8>) {
        Some(word) if length >= 8 => u64::from_be_bytes(*word),
        Some(word) if length > 0 => u64::from_be_bytes(*word) & (u64::MAX << (64 - 8 * length)),
        _ => return prefix_slow(bytes.get(start..end).unwrap_or_default()),
    };
    if word & NON_ASCII == 0 {
        return word;
    }
    prefix_slow(bytes.get(start..end).unwrap_or_default())
}

#[cold]
fn prefix_slow(key: &[u8]) -> u64 {
    let padded = key.iter().map(|byte| rank(*byte)).chain(std::iter::repeat(0));
    padded.take(8).fold(0, |word, byte| word << 8 | u64::from(byte))
}

/// A byte of UTF-8 moved to where UTF-16 order has it.
#[inline]
const fn rank(byte: u8) -> u8 {
    match byte {
        0xee | 0xef => byte + 0x10,
        _ => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_compare_as_utf_16(a in "[ab\u{7f}é\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}]{0,12}",
                                  b in "[ab\u{7f}é\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}]{0,12}") {
            let twin = a.encode_utf16().cmp(b.encode_utf16());
            prop_assert_eq!(compare_keys(&a, &b), twin);
            let prefixes = prefix(a.as_bytes(), 0, a.len()).cmp(&prefix(b.as_bytes(), 0, b.len()));
            prop_assert!(prefixes == twin || prefixes == Ordering::Equal);
            let both = format!("{a}{b} and more behind it");
            prop_assert_eq!(prefix(both.as_bytes(), 0, a.len()), prefix(a.as_bytes(), 0, a.len()));
        }
    }
}

//! Finding the next interesting byte, eight at a time.

use memchr::memchr2;

/// Where the run of plain string bytes that begins at `from` ends: at the first `"`, `\` or control character, or at the end.
#[inline(always)]
pub(super) fn plain_end(bytes: &[u8], from: usize) -> usize {
    run_end(bytes, from, |word| quotes_and_backslashes(word) | controls(word))
}

/// [`plain_end`] from the beginning, for text that is mostly long and clean: the compiler turns a block into vector code.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<32>();
    // Comparisons joined without a branch; a `matches!` becomes a table look-up per byte.
    let special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let clean = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | special(*byte))).count();
    plain_end(bytes, clean * 32)
}

/// Where the next `"` or `\` at or behind `from` is, or the end.
#[inline(always)]
pub(super) fn quote_or_backslash(bytes: &[u8], from: usize) -> usize {
    // Most strings are short: a call of memchr costs more than looking at their first bytes here.
    let head = bytes.get(..from.saturating_add(SHORT)).unwrap_or(bytes);
    let at = run_end(head, from, quotes_and_backslashes);
    if at < head.len() || head.len() == bytes.len() {
        return at;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
}

/// Where white space (as JSON knows it) that begins at `from` ends.
#[inline(always)]
pub(super) fn space_end(bytes: &[u8], from: usize) -> usize {
    match bytes.get(from) {
        Some(byte) if *byte <= b' ' => space_end_slow(bytes, from),
        _ => from,
    }
}

fn space_end_slow(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The first place at or behind `from` that `marked` marks in a word, or the end.
#[inline(always)]
fn run_end(bytes: &[u8], from: usize, marked: impl Fn(u64) -> u64) -> usize {
    let mut at = from;
    while let Some(word) = word_at(bytes, at) {
        let marks = marked(word);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    // The last bytes once more with some that are known to be clean, where there are enough of them.
    if let Some(last) = bytes.len().checked_sub(8)
        && last >= from
        && let Some(word) = word_at(bytes, last)
    {
        let marks = marked(word);
        return match marks {
            0 => bytes.len(),
            _ => last + (marks.trailing_zeros() / 8) as usize,
        };
    }
    // Fewer than eight bytes in all: the zeros above them may be marked, so the end is the limit.
    let rest = bytes.get(at..).unwrap_or_default();
    let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    at + rest.len().min((marked(word).trailing_zeros() / 8) as usize)
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

// In these masks the high bit of a byte marks a hit. Only the lowest mark is exact: a borrow can mark a byte above a real hit,
// never one below it.

#[inline(always)]
const fn quotes_and_backslashes(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (quote | backslash) & HIGH
}

#[inline(always)]
const fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGH
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES * 0x80;
/// Bytes looked at before memchr is called.
const SHORT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_agree_with_the_byte_loop_for_every_byte_place_and_length() {
        let background = [b'\x80', b'a', b'#', b'!', b'[', b']', b' ', 0xff].repeat(6);
        for byte in 0..=255u8 {
            for place in 0..background.len() {
                let mut bytes = background.clone();
                bytes[place] = byte;
                for (from, length) in [(0, 48), (0, 40), (3, 45), (0, 7), (1, 9), (2, 9), (5, 17), (9, 3)] {
                    let bytes = &bytes[..length];
                    let first = |marked: fn(u8) -> bool| {
                        let rest = bytes.get(from..).unwrap_or_default();
                        from + rest.iter().position(|byte| marked(*byte)).unwrap_or(rest.len())
                    };
                    let case = format!("byte {byte:#x} at {place}, {from}..{length}");
                    assert_eq!(plain_end(bytes, from), first(|b| b == b'"' || b == b'\\' || b < 0x20), "{case}");
                    if from == 0 {
                        assert_eq!(plain_length(bytes), plain_end(bytes, 0), "{case}");
                    }
                    assert_eq!(quote_or_backslash(bytes, from), first(|b| b == b'"' || b == b'\\'), "{case}");
                }
            }
        }
    }
}

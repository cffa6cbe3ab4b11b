//! Payment card numbers: issuer, length and check digit (ISO/IEC 7812), plain or in groups.

use std::ops::Range;

use super::{at, begins_word};

/// Appends every card number in `text`.
pub(super) fn find_all(text: &[u8], hits: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(hit) = find(text, from) {
        from = hit.end;
        hits.push(hit);
    }
}

/// The first card number that begins at `from` or later.
pub(super) fn find(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    // A card that begins in the next 13 bytes covers the last of them, so one look skips them all.
    while let Some(last) = text.get(start + DIGITS_LEAST - 1) {
        if !last.is_ascii_digit() && !is_separator(*last) {
            start += DIGITS_LEAST;
            continue;
        }
        if at(text, start).is_ascii_digit() {
            if let Some(end) = card_at(text, start) {
                return Some(start..end);
            }
            // No card begins inside a run of digits, unless the first two of them are an escape (`%20`).
            let escape = start > 0 && at(text, start - 1) == b'%';
            start += if escape { 2 } else { super::run(text, start, |byte| byte.is_ascii_digit(), usize::MAX) };
        } else {
            start += 1;
        }
    }
    None
}

pub(super) fn card_at(text: &[u8], start: usize) -> Option<usize> {
    if !begins_number(text, start) {
        return None;
    }
    let mut digits = [0u8; DIGITS_MOST];
    let (mut count, mut group, mut separator, mut best) = (0, 0, None, None);
    let mut index = start;
    loop {
        let byte = at(text, index);
        if byte.is_ascii_digit() {
            let Some(slot) = digits.get_mut(count) else {
                // Longer than any card: without groups it is another number altogether.
                return best;
            };
            *slot = byte - b'0';
            count += 1;
            group += 1;
            index += 1;
            continue;
        }
        let first = separator.is_none();
        if (first || (3..=7).contains(&group)) && ends_number(text, index) && is_card(digits.get(..count)?) {
            best = Some(index);
        }
        // Groups have one kind of separator, and the first has four digits.
        let goes_on = is_separator(byte)
            && at(text, index + 1).is_ascii_digit()
            && separator.is_none_or(|known| known == byte)
            && if first { group == 4 } else { (3..=7).contains(&group) };
        if !goes_on {
            return best;
        }
        separator = Some(byte);
        group = 0;
        index += 1;
    }
}

/// Not inside a word, a UUID, a decimal, a path or an international phone number.
fn begins_number(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else { return true };
    match at(text, before) {
        b'_' | b'+' => false,
        b'-' | b'.' | b'/' => !before.checked_sub(1).is_some_and(|index| at(text, index).is_ascii_alphanumeric()),
        _ => begins_word(text, start),
    }
}

fn ends_number(text: &[u8], end: usize) -> bool {
    let next = at(text, end + 1);
    match at(text, end) {
        b'_' => false,
        b'-' => !next.is_ascii_alphanumeric(),
        // `.0` is how a float is written; other decimals are no cards.
        b'.' => {
            let zeros = super::run(text, end + 1, |byte| byte == b'0', usize::MAX);
            !at(text, end + 1 + zeros).is_ascii_digit()
        }
        byte => !byte.is_ascii_alphanumeric(),
    }
}

fn is_card(digits: &[u8]) -> bool {
    (DIGITS_LEAST..=DIGITS_MOST).contains(&digits.len()) && has_issuer(digits) && has_check_digit(digits)
}

/// Whether an issuer gives out numbers that begin so and are so long.
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0u32, |prefix, digit| prefix * 10 + u32::from(*digit));
    ISSUERS.iter().any(|(prefixes, lengths)| prefixes.contains(&prefix) && lengths.contains(&digits.len()))
}

/// Luhn: from the right, every second digit counts double.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            match (place % 2 == 1, digit * 2) {
                (false, _) => digit,
                (true, double) => double / 10 + double % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.')
}

const DIGITS_LEAST: usize = 13;
const DIGITS_MOST: usize = 19;

/// First four digits and lengths in use.
const ISSUERS: &[(std::ops::RangeInclusive<u32>, std::ops::RangeInclusive<usize>)] = &[
    (4000..=4999, 13..=13), // Visa
    (4000..=4999, 16..=16),
    (4000..=4999, 18..=19),
    (5100..=5599, 16..=16), // Mastercard
    (2221..=2720, 16..=16),
    (3400..=3499, 15..=15), // American Express
    (3700..=3799, 15..=15),
    (3000..=3059, 14..=19), // Diners Club
    (3095..=3095, 14..=19),
    (3600..=3699, 14..=19),
    (3800..=3999, 14..=19),
    (6011..=6011, 16..=19), // Discover
    (6440..=6599, 16..=19),
    (3528..=3589, 16..=19), // JCB
    (6200..=6299, 16..=19), // UnionPay
    (2200..=2204, 16..=19), // Mir
    (5018..=5018, 13..=19), // Maestro
    (5020..=5020, 13..=19),
    (5038..=5038, 13..=19),
    (5893..=5893, 13..=19),
    (6304..=6304, 13..=19),
    (6759..=6763, 13..=19),
];

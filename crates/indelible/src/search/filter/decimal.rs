//! Exact comparison of JSON numbers by their lexemes: no `f64`, which would merge 2^53 and 2^53+1 and lose 1e400.

use std::cmp::Ordering;

/// A JSON number, taken apart in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    negative: bool,
    /// Digits before the point.
    whole: &'a [u8],
    /// Digits behind the point.
    fraction: &'a [u8],
    /// Exponent; beyond ±2^40 it counts as that.
    exponent: i64,
}

const EXPONENT_MAX: i64 = 1 << 40;

impl<'a> Decimal<'a> {
    /// Reads a number exactly as RFC 8259 writes it; anything else is `None`.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let (whole, mut rest) = digits(rest)?;
        if whole.len() > 1 && whole.first() == Some(&b'0') {
            return None;
        }
        let mut fraction: &[u8] = &[];
        if let Some((b'.', behind)) = rest.split_first() {
            (fraction, rest) = digits(behind)?;
        }
        let mut exponent = 0;
        if let Some((b'e' | b'E', behind)) = rest.split_first() {
            let (minus, behind) = match behind.split_first()? {
                (b'-', behind) => (true, behind),
                (b'+', behind) => (false, behind),
                _ => (false, behind),
            };
            let (power, none) = digits(behind)?;
            rest = none;
            let power = power.iter().fold(0, |power: i64, digit| (power * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
            exponent = if minus { -power } else { power };
        }
        rest.is_empty().then_some(Self { negative, whole, fraction, exponent })
    }

    /// -1, 0 or 1; and where the first digit that counts stands: its power of ten, and its place among all digits.
    fn first_digit(&self) -> (i8, i64, usize) {
        let Some(place) = self.whole.iter().chain(self.fraction).position(|digit| *digit != b'0') else { return (0, 0, 0) };
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        let power = signed(self.whole.len()) - signed(place) + self.exponent;
        (if self.negative { -1 } else { 1 }, power, place)
    }

    /// Compares by value.
    pub(super) fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let (sign, power, place) = self.first_digit();
        let (other_sign, other_power, other_place) = other.first_digit();
        if sign != other_sign || sign == 0 {
            return sign.cmp(&other_sign);
        }
        let magnitude = power.cmp(&other_power).then_with(|| {
            let ours = self.whole.iter().chain(self.fraction).skip(place);
            let theirs = other.whole.iter().chain(other.fraction).skip(other_place);
            compare_digits(ours, theirs)
        });
        if sign < 0 { magnitude.reverse() } else { magnitude }
    }
}

/// Compares digits behind an imagined point: missing ones are zeros.
fn compare_digits<'a>(mut ours: impl Iterator<Item = &'a u8>, mut theirs: impl Iterator<Item = &'a u8>) -> Ordering {
    loop {
        let (a, b) = (ours.next(), theirs.next());
        if a.is_none() && b.is_none() {
            return Ordering::Equal;
        }
        let order = a.unwrap_or(&b'0').cmp(b.unwrap_or(&b'0'));
        if order.is_ne() {
            return order;
        }
    }
}

/// One or more digits, and what follows.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(count)?;
    (count > 0).then_some((digits, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compare(a: &str, b: &str) -> Ordering {
        Decimal::parse(a.as_bytes()).unwrap().compare(&Decimal::parse(b.as_bytes()).unwrap())
    }

    #[test]
    fn values_are_compared_not_spellings() {
        for (a, b) in
            [("5", "5.0"), ("0", "-0"), ("0", "0e99"), ("1e2", "100"), ("120", "1.2E+2"), ("0.001", "1e-3"), ("-1.50", "-15e-1")]
        {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
        for (a, b) in [
            ("9007199254740992", "9007199254740993"),
            ("-2", "-1"),
            ("-1", "0"),
            ("0", "1e-400"),
            ("1e399", "1e400"),
            ("99", "1e2"),
            ("0.5", "0.51"),
            ("-0.51", "-0.5"),
            ("1", "10"),
            ("1e-99999999999999999999", "1e99999999999999999999"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
        }
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", " 1", "NaN", "1_000", "--1", "1.2.3"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_scaled_integers(a in -99_999i64..99_999, b in -99_999i64..99_999, x in 0usize..5, y in 0usize..5, p in -3i32..4) {
            // a / 10^x and b / 10^y, one of them also moved by an exponent.
            let spell = |n: i64, places: usize| {
                let digits = format!("{:0>width$}", n.abs(), width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                format!("{}{whole}{}{fraction}", if n < 0 { "-" } else { "" }, if places > 0 { "." } else { "" })
            };
            let ours = format!("{}e{p}", spell(a, x));
            let theirs = spell(b, y);
            let scaled = |n: i64, places: usize, power: i32| i128::from(n) * 10i128.pow(u32::try_from(10 - i32::try_from(places).unwrap() + power).unwrap());
            prop_assert_eq!(compare(&ours, &theirs), scaled(a, x, p).cmp(&scaled(b, y, 0)));
        }

        #[test]
        fn any_bytes_are_survived(text in "[-+0-9.eE]{0,24}") {
            if let Some(number) = Decimal::parse(text.as_bytes()) {
                prop_assert_eq!(number.compare(&number), Ordering::Equal);
            }
        }
    }
}

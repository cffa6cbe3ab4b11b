//! From when until when a certificate is valid, read from its DER (RFC 5280): nobody is served by one that no client accepts.

use chrono::{DateTime, NaiveDate, Utc};

/// The time in which a certificate is valid, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

impl Validity {
    /// Of a certificate in DER; `None` if it is none, or says the time in a way that RFC 5280 does not know.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            (_, rest) = element(rest, VERSION)?;
        }
        // The serial number, the algorithm of the signature, the issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = element(rest, tag)?;
        }
        let (validity, _) = element(rest, SEQUENCE)?;
        let (from, rest) = time(validity)?;
        let (until, _) = time(rest)?;
        Some(Self { from, until })
    }

    /// What is wrong with it now, in words.
    pub(crate) fn fault(&self, now: DateTime<Utc>) -> Option<String> {
        if now > self.until {
            Some(format!("it expired at {}", told(self.until)))
        } else if now < self.from {
            Some(format!("it is not valid before {}", told(self.from)))
        } else {
            None
        }
    }
}

fn told(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The contents of the element at the beginning, which has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    // The long form: so many bytes of length, the greatest first.
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length = length.iter().try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050.
fn time(bytes: &[u8]) -> Option<(DateTime<Utc>, &[u8])> {
    let (text, rest, year_digits) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, 2),
        None => element(bytes, GENERALIZED_TIME).map(|(text, rest)| (text, rest, 4))?,
    };
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if digits.len() != year_digits + 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, digits) = digits.split_at_checked(year_digits)?;
    let year: i32 = year.parse().ok()?;
    let year = match (year_digits, year) {
        (2, 50..) => year + 1900,
        (2, _) => year + 2000,
        _ => year,
    };
    let two = |at: usize| digits.get(at..at + 2)?.parse::<u32>().ok();
    let day = NaiveDate::from_ymd_opt(year, two(0)?, two(2)?)?;
    Some((day.and_hms_opt(two(4)?, two(6)?, two(8)?)?.and_utc(), rest))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a certificate, as far as it is looked at.
    fn certificate(from: &[u8], until: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let validity = wrap(SEQUENCE, &[from, until].concat());
        let head = [wrap(VERSION, &[2, 1, 2]), vec![INTEGER, 1, 7], wrap(SEQUENCE, &[]), wrap(SEQUENCE, &[])].concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &[head, validity].concat()))
    }

    #[test]
    fn both_kinds_of_time_are_read() {
        let old = certificate(b"\x17\x0d491231235959Z", b"\x18\x0f20500101000000Z");
        let validity = Validity::of(&old).unwrap();
        assert_eq!((told(validity.from), told(validity.until)), ("2049-12-31T23:59:59Z".into(), "2050-01-01T00:00:00Z".into()));
        assert_eq!(validity.fault(validity.from), None);
        assert!(validity.fault(validity.until + chrono::TimeDelta::seconds(1)).unwrap().contains("expired at 2050"));
        assert!(validity.fault(validity.from - chrono::TimeDelta::seconds(1)).unwrap().contains("not valid before 2049"));
        assert_eq!(
            told(Validity::of(&certificate(b"\x17\x0d500101000000Z", b"\x17\x0d500101000000Z")).unwrap().from).get(..4),
            Some("1950")
        );
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        let good = certificate(b"\x17\x0d491231235959Z", b"\x18\x0f20500101000000Z");
        for length in 0..good.len() {
            assert_eq!(Validity::of(&good[..length]), None, "{length}");
        }
        for wrong in [&b"\x17\x0d491331235959Z"[..], b"\x17\x0b4912312359Z", b"\x17\x0d+91231235959Z", b"\x0c\x0d491231235959Z"] {
            assert_eq!(Validity::of(&certificate(wrong, wrong)), None);
        }
        assert_eq!(Validity::of(&[0x30, 0xff, 1]), None);
        assert_eq!(Validity::of(&[0x30, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}

//! Times as other formats write them, as nanoseconds since 1970 UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a text says about when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// ns since 1970 UTC.
    At(i64),
    /// A date and time without a zone: it names 24 hours' worth of moments, so it is not used.
    Zoneless,
    /// Nothing we can read, or beyond what 64 bits of nanoseconds hold.
    Unreadable,
}

/// RFC 3339.
pub(crate) fn rfc3339(text: &str) -> Reading {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => nanoseconds(timestamp),
        Err(_) if text.parse::<DateTime>().is_ok() => Reading::Zoneless,
        Err(_) => Reading::Unreadable,
    }
}

/// A zone-less time whose source says that it is UTC.
pub(crate) fn declared_utc(text: &str) -> Reading {
    match rfc3339(text) {
        Reading::Zoneless => text
            .parse::<DateTime>()
            .ok()
            .and_then(|civil| civil.to_zoned(TimeZone::UTC).ok())
            .map_or(Reading::Unreadable, |zoned| nanoseconds(zoned.timestamp())),
        reading => reading,
    }
}

fn nanoseconds(timestamp: Timestamp) -> Reading {
    i64::try_from(timestamp.as_nanosecond()).map_or(Reading::Unreadable, Reading::At)
}

/// Milliseconds since 1970 UTC.
pub(crate) fn epoch_milliseconds(milliseconds: i64) -> Reading {
    milliseconds.checked_mul(1_000_000).map_or(Reading::Unreadable, Reading::At)
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970 UTC; which one is told by its size, and the ranges
/// (1973 to 5138 for seconds) do not overlap. Seconds may have a fraction. What is smaller is no time of an audit event.
pub(crate) fn epoch(lexeme: &str) -> Reading {
    let (whole, fraction) = lexeme.split_once('.').unwrap_or((lexeme, ""));
    let Ok(whole) = whole.parse::<i64>() else { return Reading::Unreadable };
    let unit: i64 = match whole {
        100_000_000..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return Reading::Unreadable,
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Reading::Unreadable;
    }
    // Digits of the fraction weigh a tenth each; what is below a nanosecond is dropped.
    let (below, _) =
        fraction.bytes().fold((0, unit / 10), |(sum, weight), digit| (sum + i64::from(digit - b'0') * weight, weight / 10));
    whole.checked_mul(unit).and_then(|time| time.checked_add(below)).map_or(Reading::Unreadable, Reading::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: i64 = 1_705_314_600_000_000_000; // 2024-01-15T10:30:00Z

    #[test]
    fn a_zone_is_required() {
        assert_eq!(rfc3339("2024-01-15T10:30:00Z"), Reading::At(TEN));
        assert_eq!(rfc3339("2024-01-15T11:30:00.000000001+01:00"), Reading::At(TEN + 1));
        assert_eq!(rfc3339("2024-01-15T10:30:00"), Reading::Zoneless);
        assert_eq!(rfc3339("2024-01-15 10:30:00.5"), Reading::Zoneless);
        assert_eq!(declared_utc("2024-01-15 10:30:00.000"), Reading::At(TEN));
        for text in ["", "yesterday", "2024-13-01T00:00:00Z", "9999-01-01T00:00:00Z", "\0"] {
            assert_eq!(rfc3339(text), Reading::Unreadable, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_told_apart_by_their_size() {
        for lexeme in ["1705314600", "1705314600000", "1705314600000000", "1705314600000000000", "1705314600.0000000009"] {
            assert_eq!(epoch(lexeme), Reading::At(TEN), "{lexeme}");
        }
        assert_eq!(epoch("1705314600.25"), Reading::At(TEN + 250_000_000));
        for lexeme in ["0", "-1705314600", "42", "1e9", "1705314600.5e3", "99999999999999999999", ""] {
            assert_eq!(epoch(lexeme), Reading::Unreadable, "{lexeme}");
        }
        assert_eq!(epoch_milliseconds(i64::MAX), Reading::Unreadable);
    }
}

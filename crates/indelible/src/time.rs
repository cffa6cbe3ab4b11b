//! Times as the log knows them: nanoseconds since 1970 UTC, shown as RFC 3339 with nine digits.

use jiff::Timestamp;

/// RFC 3339 with nine fractional digits, such as `2026-11-21T09:30:00.000000000Z`.
#[must_use]
pub fn format(ns: i64) -> String {
    // Every i64 of nanoseconds (years 1677 to 2262) is within jiff's range.
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| format!("{time:.9}"))
}

/// RFC 3339 with a zone, as nanoseconds. `None`: no such time, no zone, or outside the years an `i64` can hold.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

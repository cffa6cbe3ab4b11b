//! Times as people write them, in queries and on the command line.
//!
//! | written | means |
//! |---|---|
//! | `2021-01-31T12:00:00Z`, `…+02:00`, with any fraction | RFC 3339, at the precision written |
//! | `2021-01-31`, `2021-01`, `2021` | that day, month or year in UTC |
//! | `today`, `yesterday` | that day in UTC |
//! | `now`, `now-15m`, `now+1h` | relative to now |
//! | `15m`, `-15m`, `1h30m`, `2 hours ago` | that long ago |
//!
//! A time of day needs its zone: guessing one would move an investigation by hours without a word. Units are `ns us ms s m h d w` and
//! their names; a day is 24 hours. Times are i64 nanoseconds since 1970 UTC, which reach from 1677 to 2262.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The stretch of time that a text stands for, both ends included: a day has 24 hours, a second 10^9 nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeSpan {
    /// Its first nanosecond.
    pub first: i64,
    /// Its last nanosecond.
    pub last: i64,
}

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TimeError {
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// The moment `text` begins: `2021-01-31` is its first nanosecond. Use it for both ends of `--since A --until B` with B excluded.
///
/// `now` is ns since 1970 UTC.
///
/// # Errors
/// `text` is no time, has no zone, or lies outside 1677–2262.
pub fn parse(text: &str, now: i64) -> Result<i64, TimeError> {
    parse_span(text, now).map(|span| span.first)
}

/// The stretch of time that `text` stands for: a day, a second, a nanosecond…
///
/// # Errors
/// As [`parse`].
pub fn parse_span(text: &str, now: i64) -> Result<TimeSpan, TimeError> {
    let text = text.trim();
    let bytes = text.as_bytes();
    // No time is longer, and error messages show the text.
    if text.len() > TEXT_BYTES_MAX {
        return Err(unreadable("that"));
    }
    if bytes.len() > 10 && matches!(bytes.get(10), Some(b'T' | b't' | b' ')) && bytes.get(4) == Some(&b'-') {
        return date_time(text);
    }
    if let Some(span) = date(text) {
        return span;
    }
    relative(text, now)
}

/// `ns` as RFC 3339 in UTC, with as many digits of the fraction as it needs.
#[must_use]
pub fn show(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

fn date_time(text: &str) -> Result<TimeSpan, TimeError> {
    let clock = text.get(11..).unwrap_or_default();
    let zone = clock.find(['Z', 'z', '+', '-']);
    let Some(zone) = zone else {
        if text.parse::<DateTime>().is_ok() {
            let message = format!("\"{text}\" has no zone");
            return Err(TimeError {
                message,
                hint: format!(
                    "write {}Z for UTC, or the offset: {}+02:00",
                    text.replacen(' ', "T", 1),
                    text.replacen(' ', "T", 1)
                ),
            });
        }
        return Err(unreadable(text));
    };
    if clock.contains('[') {
        return Err(unreadable(text));
    }
    let time: Timestamp = text.parse().map_err(|_| unreadable(text))?;
    let first = i64::try_from(time.as_nanosecond()).map_err(|_| outside(text))?;
    let clock = clock.get(..zone).unwrap_or_default();
    let length = match clock.split_once(['.', ',']) {
        Some((_, fraction)) => 10i64.pow(9u32.saturating_sub(u32::try_from(fraction.len()).unwrap_or(9))),
        None => match clock.matches(':').count() {
            0 => HOUR,
            1 => MINUTE,
            _ => SECOND,
        },
    };
    Ok(TimeSpan { first, last: first.saturating_add(length - 1) })
}

/// A year, month or day; `None` if it does not look like one.
fn date(text: &str) -> Option<Result<TimeSpan, TimeError>> {
    let number = |part: Option<&str>, width: usize| -> Option<i16> {
        let part = part?;
        (part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let mut parts = text.split('-');
    let year = number(parts.next(), 4)?;
    let (month, day) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (None, None),
        (month, None, _) => (Some(number(month, 2)?), None),
        (month, day, None) => (Some(number(month, 2)?), Some(number(day, 2)?)),
        _ => return None,
    };
    let start = |year: i16, month: i16, day: i16| -> Option<Date> {
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    let midnight =
        |date: Date| date.to_zoned(TimeZone::UTC).ok().and_then(|zoned| i64::try_from(zoned.timestamp().as_nanosecond()).ok());
    let first = match start(year, month.unwrap_or(1), day.unwrap_or(1)) {
        Some(date) => midnight(date).ok_or_else(|| outside(text)),
        None => Err(TimeError { message: format!("there is no day \"{text}\""), hint: "check the month and the day".to_owned() }),
    };
    Some(first.map(|first| {
        let next = match (month, day) {
            (_, Some(_)) => return TimeSpan { first, last: first.saturating_add(DAY - 1) },
            (Some(month), None) if month < 12 => start(year, month + 1, 1),
            _ => start(year + 1, 1, 1),
        };
        TimeSpan { first, last: next.and_then(midnight).map_or(i64::MAX, |next| next - 1) }
    }))
}

fn relative(text: &str, now: i64) -> Result<TimeSpan, TimeError> {
    let lower = text.to_ascii_lowercase();
    let day = |days: i64| {
        let first = now.div_euclid(DAY).saturating_add(days).saturating_mul(DAY);
        TimeSpan { first, last: first.saturating_add(DAY - 1) }
    };
    match lower.as_str() {
        "now" => return Ok(TimeSpan { first: now, last: now }),
        "today" => return Ok(day(0)),
        "yesterday" => return Ok(day(-1)),
        _ => {}
    }
    let (ahead, length) = if let Some(rest) = lower.strip_prefix("now") {
        let rest = rest.trim_start();
        let ahead = rest.starts_with('+');
        (ahead, rest.strip_prefix(['+', '-']).ok_or_else(|| unreadable(text))?)
    } else if let Some(ago) = lower.strip_suffix("ago") {
        (false, ago)
    } else {
        (false, lower.strip_prefix('-').unwrap_or(&lower))
    };
    let length = duration(length).ok_or_else(|| unreadable(text))?;
    let first = if ahead { now.saturating_add(length) } else { now.saturating_sub(length) };
    Ok(TimeSpan { first, last: first })
}

/// `1h30m`, `2 hours`: whole numbers, each with its unit.
pub(super) fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0i64;
    loop {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (count, behind) = rest.split_at(digits);
        let behind = behind.trim_start();
        let (unit, behind) =
            behind.split_at(behind.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(behind.len()));
        let unit = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
            "h" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => 7 * DAY,
            _ => return None,
        };
        total = total.checked_add(count.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(total);
        }
    }
}

fn outside(text: &str) -> TimeError {
    TimeError {
        message: format!("\"{text}\" lies outside the years 1677 to 2262"),
        hint: "times are 64-bit nanoseconds; leave the end of the range open instead".to_owned(),
    }
}

fn unreadable(text: &str) -> TimeError {
    TimeError {
        message: format!("\"{text}\" is no time"),
        hint: "write 2021-01-31, 2021-01-31T12:00:00Z, now-15m or 2h (that long ago)".to_owned(),
    }
}

const TEXT_BYTES_MAX: usize = 64;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2021-01-31T12:34:56.789Z
    const NOW: i64 = 1_612_096_496_789_000_000;

    fn span(text: &str) -> (String, String) {
        let span = parse_span(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}"));
        (show(span.first), show(span.last))
    }

    #[test]
    fn every_way_to_write_a_time_means_what_the_table_says() {
        for (text, first, last) in [
            ("2021-01-31T12:00:00Z", "2021-01-31T12:00:00Z", "2021-01-31T12:00:00.999999999Z"),
            ("2021-01-31t12:00:00z", "2021-01-31T12:00:00Z", "2021-01-31T12:00:00.999999999Z"),
            ("2021-01-31 12:00:00+02:00", "2021-01-31T10:00:00Z", "2021-01-31T10:00:00.999999999Z"),
            ("2021-01-31T12:00:00.5-01:30", "2021-01-31T13:30:00.5Z", "2021-01-31T13:30:00.599999999Z"),
            ("2021-01-31T12:00:00.123456789Z", "2021-01-31T12:00:00.123456789Z", "2021-01-31T12:00:00.123456789Z"),
            ("2021-01-31T12:30Z", "2021-01-31T12:30:00Z", "2021-01-31T12:30:59.999999999Z"),
            ("2021-01-31", "2021-01-31T00:00:00Z", "2021-01-31T23:59:59.999999999Z"),
            ("2021-02", "2021-02-01T00:00:00Z", "2021-02-28T23:59:59.999999999Z"),
            ("2020-12", "2020-12-01T00:00:00Z", "2020-12-31T23:59:59.999999999Z"),
            ("2020", "2020-01-01T00:00:00Z", "2020-12-31T23:59:59.999999999Z"),
            ("now", "2021-01-31T12:34:56.789Z", "2021-01-31T12:34:56.789Z"),
            (" today ", "2021-01-31T00:00:00Z", "2021-01-31T23:59:59.999999999Z"),
            ("yesterday", "2021-01-30T00:00:00Z", "2021-01-30T23:59:59.999999999Z"),
            ("now-15m", "2021-01-31T12:19:56.789Z", "2021-01-31T12:19:56.789Z"),
            ("now + 1h", "2021-01-31T13:34:56.789Z", "2021-01-31T13:34:56.789Z"),
            ("15m", "2021-01-31T12:19:56.789Z", "2021-01-31T12:19:56.789Z"),
            ("-15m", "2021-01-31T12:19:56.789Z", "2021-01-31T12:19:56.789Z"),
            ("1h30m", "2021-01-31T11:04:56.789Z", "2021-01-31T11:04:56.789Z"),
            ("2 hours ago", "2021-01-31T10:34:56.789Z", "2021-01-31T10:34:56.789Z"),
            ("1w2d", "2021-01-22T12:34:56.789Z", "2021-01-22T12:34:56.789Z"),
            ("789ms", "2021-01-31T12:34:56Z", "2021-01-31T12:34:56Z"),
        ] {
            assert_eq!(span(text), (first.to_owned(), last.to_owned()), "{text}");
        }
        assert_eq!(parse("1970-01-01", NOW), Ok(0));
    }

    #[test]
    fn the_ends_of_time_are_kept() {
        assert_eq!(parse_span("2262", NOW).unwrap().last, i64::MAX);
        assert_eq!(parse("999999999h", i64::MIN), Err(unreadable("999999999h")));
        assert_eq!(parse("100d", i64::MIN), Ok(i64::MIN));
        assert!(parse("1677", NOW).unwrap_err().message.contains("outside"));
        assert!(parse("9999-12-31", NOW).unwrap_err().message.contains("outside"));
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_both_ways_out() {
        let error = parse("2021-01-31 12:00", NOW).unwrap_err();
        assert!(error.message.contains("no zone"));
        assert!(error.hint.contains("2021-01-31T12:00Z") && error.hint.contains("+02:00"), "{}", error.hint);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "15",
            "15x",
            "m",
            "ago",
            "now-",
            "now15m",
            "2021-13",
            "2021-02-30",
            "2021-1-1",
            "21-01-01",
            "2021-01-31T",
            "2021-01-31T25:00:00Z",
            "2021-01-31T12:00:00[Europe/Paris]",
            "2021-01-31T12:00:00Z[UTC]",
            "1612096496",
            "99999999999999999999m",
            "yesterdays",
            "--15m",
            "+15m",
            "1h 30",
        ] {
            let error = parse(text, NOW).expect_err(text);
            assert!(!error.hint.is_empty());
        }
        assert!(parse(&"1".repeat(10_000), NOW).unwrap_err().message.len() < 100);
    }

    proptest! {
        #[test]
        fn shown_times_read_back(ns in any::<i64>()) {
            prop_assert_eq!(parse(&show(ns), NOW), Ok(ns));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}|[-0-9TZ:.+ nowhmsd]{0,40}", now in any::<i64>()) {
            if let Ok(span) = parse_span(&text, now) {
                prop_assert!(span.first <= span.last);
            }
        }
    }
}

//! Stretches of time of one length, aligned to UTC.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use crate::search::time::{TimeError, duration};

/// A length of time that divides all time, from 1970-01-01T00:00:00Z on in both directions. Whole weeks begin on Mondays.
///
/// ```
/// use indelible::search::Interval;
/// let hour: Interval = "1h".parse()?;
/// assert_eq!(hour.start_of(1_612_096_496_789_000_000), 1_612_094_400_000_000_000); // 12:34:56 is in the hour from 12:00
/// # Ok::<(), indelible::search::time::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    ns: NonZero<i64>,
}

impl Interval {
    /// Of so many nanoseconds; `None` unless there are more than none.
    #[must_use]
    pub fn of_ns(ns: i64) -> Option<Self> {
        NonZero::new(ns).filter(|ns| ns.get() > 0).map(|ns| Self { ns })
    }

    /// Its length in nanoseconds, at least 1.
    #[must_use]
    pub const fn ns(self) -> i64 {
        self.ns.get()
    }

    /// The first moment of the stretch that `time` lies in; both are ns since 1970 UTC.
    #[must_use]
    pub const fn start_of(self, time: i64) -> i64 {
        let ns = self.ns();
        // 1970 began on a Thursday, three days after a Monday.
        let origin = if ns % WEEK == 0 { -3 * DAY } else { 0 };
        // The first stretch of all may begin before an i64 can say so.
        time.saturating_sub(time.saturating_sub(origin).rem_euclid(ns))
    }
}

impl FromStr for Interval {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        duration(&text.to_ascii_lowercase()).and_then(Self::of_ns).ok_or_else(|| TimeError {
            message: format!("\"{}\" is no length of time", text.get(..64).unwrap_or(text)),
            hint: "write 1m, 15m, 1h, 1d or 1w".to_owned(),
        })
    }
}

impl fmt::Display for Interval {
    /// In the largest unit that divides it: `90m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.ns();
        let (length, unit) = UNITS.iter().find(|(length, _)| ns % length == 0).unwrap_or(&(1, "ns"));
        f.pad(&format!("{}{unit}", ns / length))
    }
}

const DAY: i64 = 86_400_000_000_000;
const WEEK: i64 = 7 * DAY;
const UNITS: &[(i64, &str)] = &[
    (WEEK, "w"),
    (DAY, "d"),
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::time::{parse, show};

    fn start(interval: &str, time: &str) -> String {
        show(interval.parse::<Interval>().unwrap().start_of(parse(time, 0).unwrap()))
    }

    #[test]
    fn stretches_begin_where_people_expect_them() {
        for (interval, time, begins) in [
            ("1m", "2021-01-31T12:34:56Z", "2021-01-31T12:34:00Z"),
            ("15m", "2021-01-31T12:34:56Z", "2021-01-31T12:30:00Z"),
            ("1h", "2021-01-31T12:34:56+05:30", "2021-01-31T07:00:00Z"),
            ("1d", "2021-01-31T23:59:59.999999999Z", "2021-01-31T00:00:00Z"),
            ("1d", "1969-12-31T12:00:00Z", "1969-12-31T00:00:00Z"),
            ("1w", "2021-01-31T12:00:00Z", "2021-01-25T00:00:00Z"),
            ("7d", "1969-12-28T12:00:00Z", "1969-12-22T00:00:00Z"),
            ("1h30m", "2021-01-31T02:00:00Z", "2021-01-31T01:30:00Z"),
        ] {
            assert_eq!(start(interval, time), begins, "{interval} {time}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for interval in ["1ns", "1d", "1w", "9223372036854775807ns"] {
            let interval: Interval = interval.parse().unwrap();
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
                assert!(interval.start_of(time) <= time);
            }
        }
    }

    #[test]
    fn lengths_are_read_and_written() {
        for text in ["1ns", "250ms", "90m", "1d", "2w"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        assert_eq!("24 Hours".parse::<Interval>().unwrap().to_string(), "1d");
        for text in ["", "0s", "1", "h", "-1h", "1y", "99999999999w"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}

//! Histograms of nanoseconds, and what the clock itself costs.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;

/// Longest time that is told apart: a minute.
const LONGEST_NS: u64 = 60_000_000_000;
const CLOCK_PAIRS: usize = 20_000;

/// Durations, kept to three significant digits.
#[derive(Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { histogram: Histogram::new_with_bounds(1, LONGEST_NS, 3)? })
    }

    /// Counts one duration. Cost: about 5 ns, no allocation.
    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.histogram.add(&other.histogram)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The duration that `share` of all do not exceed; nothing when there are none.
    pub(crate) fn quantile_ns(&self, share: f64) -> Option<u64> {
        (!self.histogram.is_empty()).then(|| self.histogram.value_at_quantile(share))
    }

    pub(crate) fn quantile_us(&self, share: f64) -> Option<f64> {
        self.quantile_ns(share).map(|ns| ns as f64 / 1e3)
    }

    pub(crate) fn max_ns(&self) -> Option<u64> {
        (!self.histogram.is_empty()).then(|| self.histogram.max())
    }
}

/// Whole nanoseconds of a duration.
#[inline]
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Median time between two readings of the clock with nothing between: what every measured time contains.
pub(crate) fn clock_overhead_ns() -> u64 {
    let mut pairs: Vec<u64> = (0..CLOCK_PAIRS)
        .map(|_| {
            let first = Instant::now();
            nanoseconds(Instant::now().duration_since(first))
        })
        .collect();
    pairs.sort_unstable();
    pairs.get(pairs.len() / 2).copied().unwrap_or(0)
}

/// The middle one of `values`; the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }
}

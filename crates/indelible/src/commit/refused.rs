//! Numbers of producers that will not be in the log because the committer turned their events away: repeated under one idempotency
//! key, or refused. Each frame owns up to its own, in `gap` entries of the same frame, so that no crash comes between and `verify` has
//! nothing to wonder about.

use indelible_format::Class;

use crate::buffer::Loss;
use crate::commit::board::Fate;
use crate::commit::control;

/// Ranges kept apart; more are merged. A merged range covers numbers that did arrive, which harms nobody: `count` tells.
const RANGES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    producer: String,
    epoch: u64,
    class: Class,
    reason: &'static str,
    loss: Loss,
}

/// What one frame has to own up to.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    ranges: Vec<Range>,
}

impl Refused {
    /// Notes that event `seq` of a producer met `fate`.
    pub(crate) fn note(&mut self, (producer, epoch, seq): (&[u8], u64, u64), class: Class, fate: Fate) {
        let reason = match fate {
            // The number is in the log already, or the producer gave none.
            Fate::Recorded { .. } | Fate::Repeated { .. } => return,
            Fate::Duplicate { .. } => "repeated",
            Fate::Conflict { .. } | Fate::TooManyProducers | Fate::IndexFailed { .. } => "rejected",
        };
        if producer.is_empty() {
            return;
        }
        let full = self.ranges.len() >= RANGES_MAX;
        let fits = |range: &&mut Range| {
            (range.producer.as_bytes(), range.epoch, range.class, range.reason) == (producer, epoch, class, reason)
                && (full || range.loss.last_seq.checked_add(1) == Some(seq))
        };
        if let Some(range) = self.ranges.iter_mut().rev().find(fits) {
            range.loss.count += 1;
            range.loss.first_seq = range.loss.first_seq.min(seq);
            range.loss.last_seq = range.loss.last_seq.max(seq);
        } else if !full && let Ok(producer) = std::str::from_utf8(producer) {
            // Beyond that many producers in one frame a gap stays one that `verify` warns of.
            let loss = Loss { count: 1, first_seq: seq, last_seq: seq };
            self.ranges.push(Range { producer: producer.to_owned(), epoch, class, reason, loss });
        }
    }

    /// The control entries, for log 0: a request that is repeated changes nothing in the log it was recorded in.
    pub(crate) fn entries(&self, at: i64) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.ranges
            .iter()
            .map(move |range| control::gap(&range.loss, range.class, range.reason, &range.producer, range.epoch, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUPLICATE: Fate = Fate::Duplicate { log: 1, seq: 0 };

    #[test]
    fn neighbours_share_a_range_and_nothing_else_does() {
        let mut refused = Refused::default();
        for seq in [1, 2, 3, 5] {
            refused.note((b"p", 1, seq), Class::Normal, DUPLICATE);
        }
        refused.note((b"p", 1, 6), Class::Normal, Fate::Conflict { log: 1, seq: 0 });
        refused.note((b"p", 1, 7), Class::Normal, Fate::Repeated { log: 1 });
        refused.note((b"", 0, 0), Class::Normal, DUPLICATE);
        let ranges: Vec<_> =
            refused.ranges.iter().map(|range| (range.reason, range.loss.first_seq, range.loss.last_seq)).collect();
        assert_eq!(ranges, [("repeated", 1, 3), ("repeated", 5, 5), ("rejected", 6, 6)]);
    }

    #[test]
    fn memory_is_bounded_and_every_number_covered() {
        let mut refused = Refused::default();
        for seq in 0..10_000 {
            refused.note((b"p", 1, seq * 2), Class::Normal, DUPLICATE);
        }
        assert_eq!(refused.ranges.len(), RANGES_MAX);
        assert_eq!(refused.ranges.iter().map(|range| range.loss.count).sum::<u64>(), 10_000);
        assert!(
            (0..10_000)
                .all(|seq| refused.ranges.iter().any(|range| (range.loss.first_seq..=range.loss.last_seq).contains(&(seq * 2))))
        );
    }
}

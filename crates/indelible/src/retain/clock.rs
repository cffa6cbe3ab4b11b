//! What time it is, as far as the store itself can tell. A clock that jumps must not let anything expire early, so time is believed only as
//! far as events lead up to it without a leap.

use std::ops::ControlFlow;

use super::plan::DAY_NS;
use crate::error::Result;
use crate::read::walk::Walk;
use crate::read::{Position, Reader};

/// The longest silence that is not taken for a jump of the clock.
const SILENCE_MAX: i64 = 7 * DAY_NS;

/// Times at which events were received, as stretches without a leap.
#[derive(Default)]
struct Times(Vec<(i64, i64)>);

impl Times {
    fn add(&mut self, from: i64, to: i64) {
        match self.0.last_mut() {
            Some((first, last))
                if from >= first.saturating_sub(SILENCE_MAX)
                    && from <= last.saturating_add(SILENCE_MAX)
                    && to - from <= SILENCE_MAX =>
            {
                (*first, *last) = ((*first).min(from), (*last).max(to));
            }
            _ => self.0.push((from, to)),
        }
    }

    /// The time that they lead up to.
    fn end(mut self) -> i64 {
        self.0.sort_unstable();
        let mut end = self.0.first().map_or(0, |(_, to)| *to);
        for (from, to) in self.0 {
            if from > end.saturating_add(SILENCE_MAX) {
                break;
            }
            end = end.max(to);
        }
        end
    }
}

/// The time that the store's events lead up to, if `now` is not to be believed: it lies behind a leap.
pub(super) fn doubt(reader: &Reader, now: i64) -> Result<Option<i64>> {
    let manifest = reader.manifest()?;
    let mut times = Times::default();
    // Once something has expired, time is followed from what is left; single events that are held from before say nothing of it.
    if manifest.expired.is_empty() {
        times.add(reader.identity().created, reader.identity().created);
    }
    let mut wide = Vec::new();
    for info in manifest.segments.iter().filter(|info| info.first_seq >= manifest.below(info.log)) {
        match info.received {
            Some((from, to)) if to.saturating_sub(from) <= SILENCE_MAX => times.add(from, to),
            Some(_) => wide.push(info.clone()),
            None => {}
        }
    }
    let mut see = |position: Position<'_>| {
        if let Some(head) = position.record.head() {
            times.add(head.received, head.received);
        }
        ControlFlow::Continue(())
    };
    for info in wide {
        reader.each_of(info.log, info.first_seq, &mut |position| {
            if position.seq >= info.end() { ControlFlow::Break(()) } else { see(position) }
        })?;
    }
    reader.advance(&mut Walk::behind(&manifest), &mut see)?;
    let end = times.end();
    Ok((now > end.saturating_add(SILENCE_MAX)).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(stretches: &[(i64, i64)]) -> i64 {
        let mut times = Times::default();
        stretches.iter().for_each(|(from, to)| times.add(from * DAY_NS, to * DAY_NS));
        times.end() / DAY_NS
    }

    #[test]
    fn time_goes_as_far_as_events_lead() {
        assert_eq!(end(&[(1, 1), (2, 5), (9, 9)]), 9);
        assert_eq!(end(&[(1, 1), (20, 21), (7, 7), (14, 15)]), 21);
        // Ten years ahead, and back again: it never was that late.
        assert_eq!(end(&[(1, 1), (2, 2), (3_650, 3_651), (3, 4)]), 4);
        // A clock that began in 1970 says nothing of what came later.
        assert_eq!(end(&[(-19_000, -19_000), (1, 1)]), -19_000);
    }
}

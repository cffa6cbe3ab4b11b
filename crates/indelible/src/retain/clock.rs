//! What time it is, as far as the store itself can tell. A clock that jumps must not let anything expire early, so time is believed only as
//! far as events lead up to it without a leap.
//!
//! Events a day apart lead from one to the next. Behind a longer silence time is believed again once events have come for a day, if the silence
//! was no longer than a week: so a weekend makes events go later, and a few events that were recorded while the clock was wrong, in one
//! leap or in several, make none go earlier. Behind a longer silence somebody has to vouch for the clock.

use std::ops::ControlFlow;

use indelible_segment::{Column, PageBounds};

use super::plan::DAY_NS;
use crate::error::{Error, ErrorKind, Result};
use crate::read::walk::Walk;
use crate::read::{Position, Reader};
use crate::seal::{Manifest, SegmentInfo, files};

/// Between two events, or the newest and now, that need nobody to confirm them: what is done once a day, a little later each time, leaves
/// no more.
const SLACK: i64 = DAY_NS + DAY_NS / 24;
/// How long events must have come behind a longer silence: a clock that is wrong is noticed by then, or its jump was over before.
const CONFIRMED: i64 = DAY_NS;
/// The longest silence that is not taken for a jump of the clock, whatever follows.
const SILENCE_MAX: i64 = 7 * DAY_NS;

/// Times at which events were received, as stretches without a silence.
#[derive(Default)]
struct Times(Vec<(i64, i64)>);

impl Times {
    /// Takes in a range of times; one that is longer than the slack may have a silence within, and is not for here.
    fn add(&mut self, from: i64, to: i64) {
        match self.0.last_mut() {
            Some((first, last)) if from >= first.saturating_sub(SLACK) && from <= last.saturating_add(SLACK) => {
                (*first, *last) = ((*first).min(from), (*last).max(to));
            }
            _ => self.0.push((from, to)),
        }
    }

    /// The time that they lead up to.
    fn end(mut self) -> i64 {
        self.0.sort_unstable();
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for (from, to) in self.0 {
            match stretches.last_mut() {
                Some((_, last)) if from <= last.saturating_add(SLACK) => *last = (*last).max(to),
                _ => stretches.push((from, to)),
            }
        }
        let mut end = stretches.first().map_or(0, |(_, to)| *to);
        for (from, to) in stretches.into_iter().skip(1) {
            if from > end.saturating_add(SILENCE_MAX) {
                break;
            }
            if to.saturating_sub(from) >= CONFIRMED {
                end = to;
            }
        }
        end
    }
}

/// The time that the store's events lead up to, if `now` is not to be believed: it lies behind a leap.
pub(super) fn doubt(reader: &Reader, now: i64) -> Result<Option<i64>> {
    loop {
        let manifest = reader.manifest()?;
        match end(reader, &manifest) {
            // A segment was replaced meanwhile.
            Err(_) if reader.manifest()?.generation != manifest.generation => {}
            end => return end.map(|end| (now > end.saturating_add(SLACK)).then_some(end)),
        }
    }
}

fn end(reader: &Reader, manifest: &Manifest) -> Result<i64> {
    let mut times = Times::default();
    // Once something has expired, time is followed from what is left; single events that stay from before say nothing of it.
    if manifest.expired.is_empty() {
        times.add(reader.identity().created, reader.identity().created);
    }
    for info in manifest.segments.iter().filter(|info| info.first_seq >= manifest.below(info.log)) {
        match info.received {
            Some((from, to)) if to.saturating_sub(from) <= SLACK => times.add(from, to),
            Some(_) => pages(reader, info, &mut times)?,
            None => {}
        }
    }
    reader.advance(&mut Walk::behind(manifest), &mut |position| see(&mut times, &position))?;
    Ok(times.end())
}

fn see(times: &mut Times, position: &Position<'_>) -> ControlFlow<()> {
    if let Some(head) = position.record.head() {
        times.add(head.received, head.received);
    }
    ControlFlow::Continue(())
}

/// Takes in the times of a segment that spans more than the slack: by what it says of its pages, and event by event where that is not enough.
fn pages(reader: &Reader, info: &SegmentInfo, times: &mut Times) -> Result<()> {
    let segment = reader.segment(info)?;
    let failed = |error| files::failed(&info.file, error);
    for page in segment.pages(Column::Received).map_err(failed)? {
        match page.bounds {
            Some(PageBounds::Numbers(from, to)) if to.saturating_sub(from) <= SLACK => times.add(from, to),
            None if page.nulls == Some(u64::from(page.rows)) => {}
            _ => {
                let first = info.first_seq + u64::from(page.first_row);
                let end = first + u64::from(page.rows);
                let scan = reader.each_of(info.log, first, &mut |position| {
                    if position.seq >= end { ControlFlow::Break(()) } else { see(times, &position) }
                })?;
                if let Some(reason) = scan.reason {
                    return Err(Error::new(ErrorKind::Corrupt, reason).with_hint("run `indelible verify` for all findings"));
                }
            }
        }
    }
    Ok(())
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
        assert_eq!(end(&[(1, 1), (2, 5), (6, 6)]), 6);
        // A silence of some days, and work again: believed once it has gone on for a day.
        assert_eq!(end(&[(1, 2), (5, 5)]), 2);
        assert_eq!(end(&[(1, 2), (5, 5), (6, 6)]), 6);
        assert_eq!(end(&[(1, 2), (6, 7), (14, 15), (4, 4)]), 15);
        // Some days ahead, in one leap or in several; and back again.
        assert_eq!(end(&[(1, 2), (8, 8), (14, 14), (20, 20)]), 2);
        assert_eq!(end(&[(1, 2), (8, 8), (14, 14), (3, 3)]), 3);
        assert_eq!(end(&[(1, 2), (8, 8), (14, 15)]), 2);
        // Ten years ahead, for however long.
        assert_eq!(end(&[(1, 1), (2, 2), (3_650, 3_660), (3, 4)]), 4);
        // A clock that began in 1970 says nothing of what came later.
        assert_eq!(end(&[(-19_000, -19_000), (1, 1)]), -19_000);
    }
}

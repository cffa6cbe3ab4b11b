//! Whether the groups around members are there in the rows in which a member has a value, and in no others.
//!
//! We look at values alone. Other readers take from the levels of one member, and not all from the same, whether the group around it is
//! there; to them a member that has a value is null where that member says that there is no group.

use std::ops::Range;

use super::decode::Depths;
use super::page::Page;
use crate::column::{Column, Place};

/// The groups that are not in lists, by their members.
const GROUPS: &[&[Column]] = &[
    &[Column::ProducerId, Column::ProducerEpoch, Column::ProducerSeq],
    &[Column::TraceId, Column::SpanId],
    &[Column::ActorId, Column::ActorType, Column::ActorName, Column::ActorEmail],
    &[Column::OriginIp, Column::OriginUserAgent, Column::OriginHost],
    &[Column::RawMediaType, Column::RawBytes],
    &[Column::IdempotencyKey, Column::IdempotencyStatement],
];

/// What the levels of one column say of its rows.
#[derive(Default)]
pub(super) struct Levels {
    /// Rows in which the group around the column is there.
    groups: Rows,
    /// Rows in which the column has a value.
    values: Rows,
}

impl Levels {
    /// Takes the levels of the next page. `false`: a writer of ours has none such.
    pub(super) fn page(&mut self, page: &Page, depths: &Depths) -> bool {
        let place = page.column().place();
        let (first, max) = (page.first_row(), u32::from(place.level_max()));
        if place.is_list() {
            // An element is null as a member of its own alone, and a list without elements is null.
            let is_ours = |level: u32| matches!((place, level), (_, 0) | (_, 3) | (Place::ElementMember, 4));
            return match depths {
                Depths::Same(level) => is_ours(*level),
                Depths::Each(levels) => levels.iter().all(|level| is_ours(*level)),
            };
        }
        if place != Place::Member {
            return true;
        }
        match depths {
            Depths::Same(level) => {
                let rows = first..first.saturating_add(page.rows());
                if *level >= 1 {
                    self.groups.set(rows.clone());
                }
                if *level == max {
                    self.values.set(rows);
                }
            }
            Depths::Each(levels) => {
                for (row, level) in (first..).zip(levels).filter(|(_, level)| **level >= 1) {
                    self.groups.set(row..row + 1);
                    if *level == max {
                        self.values.set(row..row + 1);
                    }
                }
            }
        }
        true
    }
}

/// Columns that say otherwise than the values of their group's members in which rows the group is there, each with the first such row.
pub(super) fn differing<'l>(of: impl Fn(Column) -> &'l Levels) -> Vec<(Column, u32)> {
    let mut found = Vec::new();
    for members in GROUPS {
        let mut any = Rows::default();
        members.iter().for_each(|column| any.add(&of(*column).values));
        let differing = |column: &Column| Some((*column, any.first_difference(&of(*column).groups)?));
        found.extend(members.iter().filter_map(differing));
    }
    found
}

/// Rows of which something is so: a bit each, up to the last that is set.
#[derive(Default)]
struct Rows(Vec<u64>);

impl Rows {
    fn set(&mut self, rows: Range<u32>) {
        let (from, to) = (rows.start as usize, rows.end as usize);
        if from >= to {
            return;
        }
        self.0.resize(self.0.len().max(to.div_ceil(64)), 0);
        for (word, at) in self.0.iter_mut().zip((0usize..).step_by(64)).skip(from / 64).take(to.div_ceil(64) - from / 64) {
            let (low, high) = (from.saturating_sub(at), (to - at).min(64));
            *word |= u64::MAX << low & u64::MAX >> (64 - high);
        }
    }

    fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    fn first_difference(&self, other: &Self) -> Option<u32> {
        let word = |rows: &Self, at: usize| rows.0.get(at).copied().unwrap_or(0);
        let differing = |at: usize| word(self, at) ^ word(other, at);
        let at = (0..self.0.len().max(other.0.len())).find(|at| differing(*at) != 0)?;
        u32::try_from(at).ok()?.checked_mul(64)?.checked_add(differing(at).trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_set_are_those_and_no_others() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..300 {
            let (mut rows, mut simple) = (Rows::default(), Rows::default());
            for _ in 0..rng.usize(..5) {
                let from = rng.u32(..300);
                let range = from..from + rng.u32(..200);
                rows.set(range.clone());
                range.for_each(|row| simple.set(row..row + 1));
            }
            assert_eq!(rows.first_difference(&simple), None);
            let odd = rng.u32(..600);
            let is_new = rows.0.get(odd as usize / 64).is_none_or(|word| word >> (odd % 64) & 1 == 0);
            simple.set(odd..odd + 1);
            assert_eq!(rows.first_difference(&simple), is_new.then_some(odd));
        }
    }
}

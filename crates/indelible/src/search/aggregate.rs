//! Counting what a query finds: exact numbers of events by the values of fields and by stretches of time.
//!
//! `events ──Aggregator::add──▶ table of groups ──finish──▶ Groups, sorted`. The aggregator does not care who finds the events: it is fed
//! whole views, by a scan on one thread or two. Rules that hold throughout:
//!
//! - An event counts once for every different value of a field, and once for every combination where several fields are grouped by.
//!   An event without the field counts for "none", which is not the empty text. So groups may add up to more than the events.
//! - Counts are exact or said not to be: what does not fit the bounds below is counted in `others`, with a reason.
//! - Memory is bounded by [`Grouping::groups_max`] and [`Grouping::key_bytes_max`], whatever the events hold. Groups that are in the table when
//!   it is full go on being counted exactly.

mod interval;
mod scan;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use indelible_format::Outcome;

use crate::search::time::show;
use crate::search::{FilterError, Selector, Summary, View};

pub use interval::Interval;

/// Groups that are told apart unless [`Grouping::groups_max`] says otherwise: about 200 MB with short values.
pub const GROUPS_MAX: usize = 1_000_000;
/// Bytes of values that are remembered unless [`Grouping::key_bytes_max`] says otherwise.
pub const KEY_BYTES_MAX: usize = 256 << 20;
/// Combinations of values that one event may count for.
pub const COMBINATIONS_MAX: usize = 65_536;

/// What to count by.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// The fields; none: all events are one group (of each interval).
    pub fields: Vec<Selector>,
    /// Count each stretch of time by itself.
    pub interval: Option<Interval>,
    /// Groups that are told apart; what comes beyond is counted in [`Groups::others`].
    pub groups_max: usize,
    /// Bytes of the values of all groups together; what comes beyond is counted in `others` too.
    pub key_bytes_max: usize,
}

/// Events that have the same values, in the same stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where the stretch begins, ns since 1970 UTC; `None` without an interval.
    pub start: Option<i64>,
    /// One value for each field of the grouping; `None`: the events do not have the field.
    pub values: Vec<Option<String>>,
    /// What was counted.
    pub tally: Tally,
}

/// How many events, how they ended, and when the first and the last of them happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Time of the earliest, ns since 1970 UTC.
    pub first: i64,
    /// Time of the latest.
    pub last: i64,
    outcomes: [u64; Outcome::ALL.len()],
}

/// What an [`Aggregator`] has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// By start of the interval, then the most frequent first, then by values.
    pub groups: Vec<Group>,
    /// All events, each counted once; `None`: there were none.
    pub all: Option<Tally>,
    /// Times that an event belonged to a group which did not fit the bounds.
    pub others: u64,
    /// Which bound that was.
    pub incomplete: Option<String>,
}

/// The answer of [`Reader::aggregate`](crate::Reader::aggregate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// The groups and their counts.
    pub groups: Groups,
    /// What the search found out. `incomplete` also names the bound that groups did not fit.
    pub summary: Summary,
}

impl Grouping {
    /// By these fields, as queries name them.
    ///
    /// # Errors
    /// There is no such field; near names are in the hint.
    pub fn by<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> std::result::Result<Self, FilterError> {
        let names = names.into_iter();
        let fields = names.map(|name| Selector::new(name.as_ref())).collect::<std::result::Result<_, _>>()?;
        Ok(Self { fields, interval: None, groups_max: GROUPS_MAX, key_bytes_max: KEY_BYTES_MAX })
    }

    /// The same, each stretch of time by itself.
    #[must_use]
    pub fn every(self, interval: Interval) -> Self {
        Self { interval: Some(interval), ..self }
    }
}

/// What is told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) groups_max: usize,
    pub(super) key_bytes_max: usize,
}

/// Which bound it is that a group does not fit.
pub(super) enum Beyond {
    Groups(usize),
    Bytes(usize),
}

impl Bounds {
    /// For who sees to it otherwise.
    pub(super) const NONE: Self = Self { groups_max: usize::MAX, key_bytes_max: usize::MAX };

    /// Whether there is no room for one more group, of `more` bytes, beside so many of so many bytes. One that was refused is refused for
    /// good, as these only grow: so what is told apart is counted exactly.
    pub(super) const fn refuse(self, groups: usize, bytes: usize, more: usize) -> Option<Beyond> {
        if groups >= self.groups_max {
            Some(Beyond::Groups(self.groups_max))
        } else if bytes.saturating_add(more) > self.key_bytes_max {
            Some(Beyond::Bytes(self.key_bytes_max))
        } else {
            None
        }
    }
}

impl std::fmt::Display for Beyond {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Groups(max) => write!(f, "there are more than {max} groups; what belongs to further ones is counted as others"),
            Self::Bytes(max) => {
                write!(f, "the groups' values are longer than {max} bytes; what belongs to further ones is counted as others")
            }
        }
    }
}

impl Tally {
    const NONE: Self = Self { events: 0, first: i64::MAX, last: i64::MIN, outcomes: [0; Outcome::ALL.len()] };

    const fn add(&mut self, time: i64, outcome: usize) {
        self.events += 1;
        if time < self.first {
            self.first = time;
        }
        if time > self.last {
            self.last = time;
        }
        if let Some((_, [count, ..])) = self.outcomes.split_at_mut_checked(outcome) {
            *count += 1;
        }
    }

    /// Adds what was counted of other events.
    fn join(&mut self, other: &Self) {
        self.events += other.events;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(own, other)| *own += other);
    }

    /// Of events that were counted elsewhere: how many ended how, by the outcome's byte, and when the first and the last of them happened.
    #[must_use]
    pub fn counted(outcomes: [u64; Outcome::ALL.len()], first: i64, last: i64) -> Self {
        Self { events: outcomes.iter().fold(0, |sum, count| sum.saturating_add(*count)), first, last, outcomes }
    }

    /// Events that ended like this.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(usize::from(outcome.byte())).copied().unwrap_or_default()
    }
}

/// Counts events that it is shown. Nothing is allocated for an event whose groups are known and whose fields are not computed.
#[derive(Debug, Clone)]
pub struct Aggregator {
    grouping: Grouping,
    table: HashMap<Box<[u8]>, Tally>,
    key_bytes: usize,
    all: Tally,
    others: u64,
    incomplete: Option<String>,
    scratch: Scratch,
}

/// The values of one event, kept from event to event for its memory.
#[derive(Debug, Clone, Default)]
struct Scratch {
    /// Encoded values, one behind the other.
    bytes: Vec<u8>,
    /// Where they are, those of one field together.
    values: Vec<Range<usize>>,
    /// Which of `values` belong to which field.
    fields: Vec<Range<usize>>,
    /// Which value of each field is in the key that is being counted.
    chosen: Vec<usize>,
    key: Vec<u8>,
}

impl Aggregator {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(grouping: Grouping) -> Self {
        let table = HashMap::new();
        Self { grouping, table, key_bytes: 0, all: Tally::NONE, others: 0, incomplete: None, scratch: Scratch::default() }
    }

    /// Counts one event.
    pub fn add(&mut self, view: &View<'_>) {
        self.scratch.read(&self.grouping.fields, view);
        self.count_scratch(view.head.time, view.head.outcome);
    }

    /// Bytes that the groups of an event would take, about, were they new.
    fn weigh(&mut self, view: &View<'_>) -> usize {
        self.scratch.read(&self.grouping.fields, view);
        let combinations = self.scratch.combinations();
        // Of more than that, none is counted.
        if combinations > COMBINATIONS_MAX {
            0
        } else {
            combinations.saturating_mul(size_of::<Tally>() + self.scratch.bytes.len())
        }
    }

    /// Counts the event whose values are in `scratch`.
    fn count_scratch(&mut self, time: i64, outcome: Outcome) {
        let outcome = usize::from(outcome.byte());
        self.all.add(time, outcome);
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.combinations() > COMBINATIONS_MAX {
            self.leave_out(1, || format!("an event of {} has more than {COMBINATIONS_MAX} combinations of values", show(time)));
        } else {
            let start = self.grouping.interval.map(|interval| interval.start_of(time));
            loop {
                scratch.write_key(start);
                self.count(&scratch.key, time, outcome);
                if !scratch.next_combination() {
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    fn count(&mut self, key: &[u8], time: i64, outcome: usize) {
        if let Some(tally) = self.table.get_mut(key) {
            tally.add(time, outcome);
        } else if let Some(why) = self.bounds().refuse(self.table.len(), self.key_bytes, key.len()) {
            self.leave_out(1, || why.to_string());
        } else {
            self.key_bytes += key.len();
            let mut tally = Tally::NONE;
            tally.add(time, outcome);
            self.table.insert(key.into(), tally);
        }
    }

    const fn bounds(&self) -> Bounds {
        Bounds { groups_max: self.grouping.groups_max, key_bytes_max: self.grouping.key_bytes_max }
    }

    fn leave_out(&mut self, events: u64, why: impl FnOnce() -> String) {
        self.others += events;
        self.incomplete.get_or_insert_with(why);
    }

    /// Adds what another one has counted, by the same fields and stretches of time.
    fn join(&mut self, other: Self) {
        self.all.join(&other.all);
        if let Some(why) = other.incomplete {
            self.leave_out(other.others, || why);
        }
        for (key, counted) in other.table {
            if let Some(tally) = self.table.get_mut(&key) {
                tally.join(&counted);
            } else if let Some(why) = self.bounds().refuse(self.table.len(), self.key_bytes, key.len()) {
                self.leave_out(counted.events, || why.to_string());
            } else {
                self.key_bytes += key.len();
                self.table.insert(key, counted);
            }
        }
    }

    /// Bytes of memory, about.
    fn memory(&self) -> usize {
        self.key_bytes + self.table.len() * (size_of::<Tally>() + 48)
    }

    /// What was counted, sorted.
    #[must_use]
    pub fn finish(self) -> Groups {
        let has_interval = self.grouping.interval.is_some();
        let mut groups: Vec<Group> =
            self.table.into_iter().map(|(key, tally)| Group { tally, ..Group::of_key(&key, has_interval) }).collect();
        groups.sort_by(|a, b| {
            let order = |group: &Group| (group.start, Reverse(group.tally.events));
            order(a).cmp(&order(b)).then_with(|| a.values.cmp(&b.values))
        });
        let all = Some(self.all).filter(|all| all.events > 0);
        Groups { groups, all, others: self.others, incomplete: self.incomplete }
    }
}

impl Scratch {
    /// Takes down the different values of each field.
    fn read(&mut self, fields: &[Selector], view: &View<'_>) {
        self.bytes.clear();
        self.values.clear();
        self.fields.clear();
        self.chosen.clear();
        for field in fields {
            let first = self.values.len();
            field.each(view, &mut |value| {
                let start = self.bytes.len();
                // A text in an event is far below 4 GiB.
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                self.bytes.push(SOME);
                self.bytes.extend_from_slice(&length.to_le_bytes());
                self.bytes.extend_from_slice(value.as_bytes());
                self.values.push(start..self.bytes.len());
            });
            if self.values.len() == first {
                let start = self.bytes.len();
                self.bytes.push(NONE);
                self.values.push(start..self.bytes.len());
            }
            self.drop_repeated(first);
            self.fields.push(first..self.values.len());
            self.chosen.push(first);
        }
    }

    /// Leaves of the values from `first` on only those that differ, in whatever order.
    fn drop_repeated(&mut self, first: usize) {
        let bytes = &self.bytes;
        let of = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let Some(values) = self.values.get_mut(first..).filter(|values| values.len() > 1) else { return };
        values.sort_unstable_by(|a, b| of(a).cmp(of(b)));
        let mut kept = 0usize;
        for at in 0..values.len() {
            let is_new = match (values.get(at), kept.checked_sub(1).and_then(|last| values.get(last))) {
                (Some(value), Some(last)) => of(value) != of(last),
                _ => true,
            };
            if is_new {
                values.swap(kept, at);
                kept += 1;
            }
        }
        self.values.truncate(first + kept);
    }

    fn combinations(&self) -> usize {
        self.fields.iter().fold(1, |product, values| product.saturating_mul(values.len()))
    }

    fn write_key(&mut self, start: Option<i64>) {
        self.key.clear();
        if let Some(start) = start {
            self.key.extend_from_slice(&start.to_le_bytes());
        }
        for chosen in &self.chosen {
            let value = self.values.get(*chosen).and_then(|range| self.bytes.get(range.clone()));
            self.key.extend_from_slice(value.unwrap_or_default());
        }
    }

    /// Goes on to the next choice of values, as an odometer does; `false` behind the last.
    fn next_combination(&mut self) -> bool {
        for (chosen, values) in self.chosen.iter_mut().zip(&self.fields).rev() {
            if *chosen + 1 < values.end {
                *chosen += 1;
                return true;
            }
            *chosen = values.start;
        }
        false
    }
}

/// First byte of an encoded value: none, or some of a length.
const NONE: u8 = 0;
const SOME: u8 = 1;

impl Group {
    /// Reads the key that [`Scratch::write_key`] wrote.
    fn of_key(mut key: &[u8], has_interval: bool) -> Self {
        let mut start = None;
        if has_interval && let Some((bytes, rest)) = key.split_first_chunk() {
            start = Some(i64::from_le_bytes(*bytes));
            key = rest;
        }
        let mut values = Vec::new();
        while let Some((form, rest)) = key.split_first() {
            key = rest;
            values.push((*form == SOME).then(|| {
                let (length, rest) = key.split_first_chunk().unwrap_or((&[0; 4], &[]));
                let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
                let (value, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                key = rest;
                String::from_utf8_lossy(value).into_owned()
            }));
        }
        Self { start, values, tally: Tally::NONE }
    }
}

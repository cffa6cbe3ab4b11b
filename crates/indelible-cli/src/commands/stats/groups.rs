//! Groups and their counts, in the form that was asked for.

use indelible::Outcome;
use indelible::search::time::show;
use indelible::search::{Group, Grouping, Interval, Summary, Tally};
use indelible::{Identity, time};

use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, Out, bar};
use crate::question::{describe_summary, grouped};
use crate::source::Counted;

/// What the groups were made by, and how many of them are shown.
pub(super) struct Shown<'s> {
    names: Vec<String>,
    interval: Option<Interval>,
    /// Outcomes stand beside the events unless they are grouped by.
    outcomes: &'static [Outcome],
    limit: usize,
    counted: &'s Counted,
}

impl<'s> Shown<'s> {
    /// `limit`: groups that are shown of each interval; 0 for all.
    pub(super) fn new(grouping: &Grouping, limit: usize, counted: &'s Counted) -> Self {
        let names: Vec<String> = grouping.fields.iter().map(|field| field.name().to_string()).collect();
        let outcomes = if names.iter().any(|name| name == "outcome") { &[] } else { Outcome::ALL };
        let limit = if limit == 0 { usize::MAX } else { limit };
        Self { names, interval: grouping.interval, outcomes, limit, counted }
    }

    pub(super) fn write(&self, form: Listing, summary: &Summary, identity: &Identity, out: &mut Out) -> Result<()> {
        match form {
            Listing::Table => self.table(out),
            Listing::Csv => self.csv(out),
            Listing::Ndjson => self.rows().try_for_each(|group| {
                let mut object = Object::new();
                self.members(group, &mut object);
                out.json_line(&object.finish())
            }),
            Listing::Json => {
                let mut object = Object::new();
                object.texts("by", self.names.iter().map(String::as_str));
                object.optional_text("interval", self.interval.map(|interval| interval.to_string()).as_deref());
                object.objects("groups", self.rows(), |object, group| self.members(group, object));
                object.number("groups_total", self.counted.total).number("others", self.counted.groups.others);
                describe_summary(summary, identity, &mut object);
                out.json_line(&object.finish())
            }
        }
    }

    /// The groups within the limit.
    fn rows(&self) -> impl Iterator<Item = &'s Group> + use<'s> {
        let (limit, mut start, mut nth) = (self.limit, None, 0usize);
        self.counted.groups.groups.iter().filter(move |group| {
            nth = if start == Some(group.start) { nth + 1 } else { 0 };
            start = Some(group.start);
            nth < limit
        })
    }

    fn titles(&self) -> impl Iterator<Item = &str> {
        let start = self.interval.map(|_| "start");
        let outcomes = self.outcomes.iter().map(|outcome| outcome.name());
        start.into_iter().chain(self.names.iter().map(String::as_str)).chain(["events"]).chain(outcomes)
    }

    fn table(&self, out: &mut Out) -> Result<()> {
        let mut table = Table::new(self.titles().chain([""]));
        let most = self.rows().map(|group| group.tally.events).max().unwrap_or_default();
        let keys = usize::from(self.interval.is_some()) + self.names.len();
        let counts = |tally: &Tally| {
            let cell = |count: u64| if count == 0 { "-".to_owned() } else { grouped(count) };
            let outcomes = self.outcomes.iter().map(move |outcome| cell(tally.of(*outcome)));
            [grouped(tally.events)].into_iter().chain(outcomes).collect::<Vec<_>>()
        };
        let mut last = None;
        for group in self.rows() {
            self.empty_rows(last, group.start, &mut table);
            last = group.start;
            let values = group.values.iter().map(|value| value.clone().unwrap_or_else(|| "(none)".to_owned()));
            let cells = group.start.map(show).into_iter().chain(values).chain(counts(&group.tally));
            table.row(cells.chain([bar(group.tally.events, most)]));
        }
        if let Some(all) = self.counted.groups.all.as_ref().filter(|_| keys > 0) {
            let blank = std::iter::repeat_n(String::new(), keys - 1);
            table.row(["all events".to_owned()].into_iter().chain(blank).chain(counts(all)));
        }
        let numbers: Vec<usize> = (keys..=keys + self.outcomes.len()).collect();
        out.table(table, &numbers)?;
        let left = self.counted.total - self.rows().count();
        if left > 0 {
            eprintln!("{} more groups; --limit 0 shows all", grouped(left as u64));
        }
        Ok(())
    }

    /// Shows where nothing happened between two stretches of time, if time is all there is.
    fn empty_rows(&self, last: Option<i64>, next: Option<i64>, table: &mut Table) {
        let (Some(interval), Some(last), Some(next), []) = (self.interval, last, next, &*self.names) else { return };
        let gap = next.saturating_sub(last).saturating_sub(1) / interval.ns();
        if gap > EMPTY_ROWS_MAX {
            table.row([format!("… {gap} × {interval} without events")]);
        } else {
            (1..=gap).for_each(|nth| table.row([show(last.saturating_add(nth * interval.ns())), "-".to_owned()]).end());
        }
    }

    fn csv(&self, out: &mut Out) -> Result<()> {
        out.csv(self.titles().chain(["first", "last"]))?;
        for group in self.rows() {
            let start = group.start.map(time::format);
            let values = group.values.iter().map(|value| value.clone().unwrap_or_default());
            let outcomes = self.outcomes.iter().map(|outcome| group.tally.of(*outcome).to_string());
            let counts = [group.tally.events.to_string()].into_iter().chain(outcomes);
            let moments = [time::format(group.tally.first), time::format(group.tally.last)];
            out.csv(start.into_iter().chain(values).chain(counts).chain(moments))?;
        }
        Ok(())
    }

    fn members(&self, group: &Group, object: &mut Object) {
        if let Some(start) = group.start {
            object.text("start", &time::format(start));
        }
        for (name, value) in self.names.iter().zip(&group.values) {
            object.optional_text(name, value.as_deref());
        }
        object.number("events", group.tally.events);
        for outcome in self.outcomes {
            object.number(outcome.name(), group.tally.of(*outcome));
        }
        object.text("first", &time::format(group.tally.first)).text("last", &time::format(group.tally.last));
    }
}

/// Longer stretches without events are told in one row.
const EMPTY_ROWS_MAX: i64 = 3;

//! Having everything that a query matches counted.

use super::{Aggregate, Aggregator, Grouping, Groups};
use crate::error::Result;
use crate::read::Reader;
use crate::search::explain::Explain;
use crate::search::gather::{Gather, PART_BYTES_MAX, Sum};
use crate::search::sealed::{Passed, Rows};
use crate::search::{Query, Summary, View};

impl Reader {
    /// Counts every durable event that matches, by the groups that `grouping` makes of them.
    ///
    /// **Cost**: the record of every event that matches is put together, on two threads, unless its segment's answer is known from before;
    /// memory for the groups, see [`Grouping::groups_max`].
    ///
    /// # Errors
    /// As [`search`](Self::search). Groups that did not fit make the answer incomplete, not an error.
    pub fn aggregate(&self, query: &Query, grouping: Grouping) -> Result<Aggregate> {
        let (mut groups, mut summary) = self.aggregate_each(query, [grouping])?;
        let groups = groups.pop().unwrap_or_default();
        summary.incomplete = summary.incomplete.or_else(|| groups.incomplete.clone());
        Ok(Aggregate { groups, summary })
    }

    /// [`aggregate`](Self::aggregate) for several groupings in one search; their answers come in the same order.
    ///
    /// # Errors
    /// As `aggregate`. The summary is that of the search alone.
    pub fn aggregate_each(&self, query: &Query, groupings: impl IntoIterator<Item = Grouping>) -> Result<(Vec<Groups>, Summary)> {
        let (counted, summary) = self.gather(query, &Grouped(groupings.into_iter().collect()))?;
        Ok((counted.into_iter().map(Aggregator::finish).collect(), summary))
    }
}

struct Grouped(Vec<Grouping>);

impl Gather for Grouped {
    type Part = Vec<Aggregator>;

    fn name(&self) -> String {
        let mut name = "groups".to_owned();
        for grouping in &self.0 {
            name.push_str(&format!("\n{:?}", grouping.interval));
            grouping.fields.iter().for_each(|field| name.push_str(&format!(" {:?}", field.name().to_string())));
        }
        name
    }

    fn part(&self) -> Vec<Aggregator> {
        let unbounded = |grouping: &Grouping| Grouping { groups_max: usize::MAX, key_bytes_max: usize::MAX, ..grouping.clone() };
        self.0.iter().map(|grouping| Aggregator::new(unbounded(grouping))).collect()
    }

    fn sum(&self) -> Vec<Aggregator> {
        self.0.iter().cloned().map(Aggregator::new).collect()
    }

    fn bytes(&self, part: &Vec<Aggregator>) -> usize {
        part.iter().map(Aggregator::memory).sum()
    }

    fn block(
        &self,
        rows: &mut Rows<'_>,
        passed: &Passed,
        explain: &mut Explain,
        part: &mut Vec<Aggregator>,
        sum: &mut Sum<'_, Vec<Aggregator>>,
    ) -> Result<u64> {
        let mut matched = 0;
        for place in passed.may.places() {
            let is_certain = passed.must.holds(place);
            let shown = rows.with(passed.first + place, is_certain, explain, &mut |view| {
                // One event can have more combinations of values than a part may take.
                if part.iter_mut().any(|counts| counts.weigh(view) > PART_BYTES_MAX) {
                    sum.with(&mut |sum| self.one(sum, view));
                } else {
                    part.iter_mut().for_each(|counts| counts.count_scratch(view.head.time, view.head.outcome));
                }
            })?;
            matched += u64::from(shown);
            if self.bytes(part) > PART_BYTES_MAX {
                let mut much = std::mem::replace(part, self.part());
                sum.with(&mut |sum| self.join(sum, std::mem::take(&mut much)));
            }
        }
        Ok(matched)
    }

    fn join(&self, sum: &mut Vec<Aggregator>, part: Vec<Aggregator>) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| sum.join(part));
    }

    fn one(&self, sum: &mut Vec<Aggregator>, view: &View<'_>) {
        sum.iter_mut().for_each(|counts| counts.add(view));
    }
}

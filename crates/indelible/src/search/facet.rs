//! How often each value of one field is there.

use std::collections::HashMap;

use indelible_segment::{BLOCK_ROWS, Column, PageCache, Segment, SegmentError};

use super::aggregate::{Bounds, GROUPS_MAX, KEY_BYTES_MAX};
use super::explain::Explain;
use super::filter::{KnownField, Name};
use super::gather::{Gather, PART_BYTES_MAX, Sum};
use super::scan::{Query, Summary};
use super::sealed::{Passed, Rows};
use super::view::{Selector, View};
use crate::error::Result;
use crate::read::Reader;
use crate::seal::files;

/// The values of a field among the events that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Each value with its number of events, the most frequent first; `None`: events without the field. An event with several values
    /// counts once for each.
    pub counts: Vec<(Option<String>, u64)>,
    /// Times that an event had a value which did not fit the bounds.
    pub others: u64,
    /// What the search found out. `incomplete` also names the bound that values did not fit.
    pub summary: Summary,
}

impl Reader {
    /// Counts the values of a field among the events that match, a million values and 256 MiB of them at most.
    ///
    /// # Errors
    /// As [`facet_within`](Reader::facet_within).
    pub fn facet(&self, query: &Query, field: &Selector) -> Result<Facet> {
        self.facet_within(query, field, GROUPS_MAX, KEY_BYTES_MAX)
    }

    /// Counts the values of a field among the events that match: `values_max` values of `bytes_max` bytes are told apart; how often others
    /// are there is one number.
    ///
    /// **Cost**: fields that have a column of their own are counted by it, without looking at records; others record by record. Memory: one
    /// entry for each value that is told apart.
    ///
    /// # Errors
    /// As [`search`](Reader::search). Values that did not fit make the answer incomplete, not an error.
    pub fn facet_within(&self, query: &Query, field: &Selector, values_max: usize, bytes_max: usize) -> Result<Facet> {
        let bounds = Bounds { groups_max: values_max, key_bytes_max: bytes_max };
        let (counts, mut summary) = self.gather(query, &Values { field, column: column_of(field), bounds })?;
        summary.incomplete = summary.incomplete.or(counts.incomplete);
        let mut all: Vec<_> = counts.by_text.into_iter().map(|(text, count)| (Some(text.into_string()), count)).collect();
        all.extend((counts.missing > 0).then_some((None, counts.missing)));
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(Facet { counts: all, others: counts.others, summary })
    }
}

struct Values<'f> {
    field: &'f Selector,
    column: Option<Column>,
    bounds: Bounds,
}

#[derive(Clone)]
struct Counts {
    by_text: HashMap<Box<str>, u64>,
    /// Events without the field.
    missing: u64,
    /// Bytes of the texts.
    bytes: usize,
    bounds: Bounds,
    others: u64,
    incomplete: Option<String>,
    /// By number in the dictionary of the segment.
    by_word: Vec<u64>,
    /// Numbers of the rows that are being counted.
    unpacked: Vec<u32>,
}

impl Counts {
    fn new(bounds: Bounds) -> Self {
        Self {
            by_text: HashMap::new(),
            missing: 0,
            bytes: 0,
            bounds,
            others: 0,
            incomplete: None,
            by_word: Vec::new(),
            unpacked: Vec::new(),
        }
    }

    /// The texts so far, which are then none.
    fn take_texts(&mut self) -> HashMap<Box<str>, u64> {
        self.bytes = 0;
        std::mem::take(&mut self.by_text)
    }

    fn add(&mut self, text: Option<&str>, count: u64) {
        let Some(text) = text else {
            self.missing += count;
            return;
        };
        // No text is made for a value that is known.
        match self.by_text.get_mut(text) {
            Some(known) => *known += count,
            None => self.add_new(text.into(), count),
        }
    }

    /// Adds a value that is not there yet, if there is room for it.
    fn add_new(&mut self, text: Box<str>, count: u64) {
        if let Some(why) = self.bounds.refuse(self.by_text.len(), self.bytes, text.len()) {
            self.others += count;
            self.incomplete.get_or_insert_with(|| why.to_string());
            return;
        }
        self.bytes += text.len();
        self.by_text.insert(text, count);
    }

    fn add_all(&mut self, texts: HashMap<Box<str>, u64>) {
        for (text, count) in texts {
            match self.by_text.get_mut(&text) {
                Some(known) => *known += count,
                None => self.add_new(text, count),
            }
        }
    }

    /// Hands on what was gathered, if that is much.
    fn spill(&mut self, sum: &mut Sum<'_, Self>) {
        if self.memory() > PART_BYTES_MAX {
            let mut texts = self.take_texts();
            sum.with(&mut |sum| sum.add_all(std::mem::take(&mut texts)));
        }
    }

    fn memory(&self) -> usize {
        self.bytes + 64 * self.by_text.len()
    }

    /// Counts the values of an event.
    fn add_event(&mut self, field: &Selector, view: &View<'_>) {
        let mut values: Vec<String> = Vec::new();
        field.each(view, &mut |value| values.push(value.into_owned()));
        if values.is_empty() {
            self.add(None, 1);
        }
        values.sort_unstable();
        values.dedup();
        values.iter().for_each(|value| self.add(Some(value), 1));
    }

    /// Counts the rows of a block by the column of a field.
    fn add_rows(
        &mut self,
        segment: &Segment,
        column: Column,
        passed: &Passed,
        cache: &PageCache,
    ) -> std::result::Result<(), SegmentError> {
        let is_whole = passed.must.count() == u64::from(BLOCK_ROWS);
        let mut places = passed.must.places().peekable();
        while let Some(place) = places.peek().copied() {
            let page = segment.page(column, passed.first + place, cache)?;
            let end = page.first_row() + page.rows();
            let here = std::iter::from_fn(|| places.next_if(|place| passed.first + place < end));
            let Some(dictionary) = page.dictionary() else {
                here.for_each(|place| self.add(page.text(passed.first + place), 1));
                continue;
            };
            if self.by_word.len() < dictionary.len() {
                self.by_word.resize(dictionary.len(), 0);
            }
            let last = (passed.first + BLOCK_ROWS).min(end);
            self.unpacked.clear();
            page.indices_in(passed.first.max(page.first_row())..last, &mut self.unpacked);
            let from = passed.first.max(page.first_row()) - passed.first;
            let mut none = 0;
            let mut count = |word: u32| match self.by_word.get_mut(word as usize) {
                Some(count) => *count += 1,
                None => none += 1,
            };
            if is_whole {
                self.unpacked.iter().for_each(|word| count(*word));
                here.for_each(drop);
            } else {
                here.for_each(|place| count(self.unpacked.get((place - from) as usize).copied().unwrap_or(u32::MAX)));
            }
            self.missing += none;
        }
        Ok(())
    }
}

impl Gather for Values<'_> {
    type Part = Counts;

    fn name(&self) -> String {
        format!("values of {}", self.field.name())
    }

    fn part(&self) -> Counts {
        Counts::new(Bounds::NONE)
    }

    fn sum(&self) -> Counts {
        Counts::new(self.bounds)
    }

    fn bytes(&self, part: &Counts) -> usize {
        part.memory()
    }

    fn block(
        &self,
        rows: &mut Rows<'_>,
        passed: &Passed,
        explain: &mut Explain,
        part: &mut Counts,
        sum: &mut Sum<'_, Counts>,
    ) -> Result<u64> {
        let mut asked = passed.may;
        let mut matched = 0;
        if let Some(column) = self.column {
            part.add_rows(rows.segment(), column, passed, rows.cache()).map_err(|error| files::failed(rows.name(), error))?;
            part.spill(sum);
            asked = asked.without(passed.must);
            matched = passed.must.count();
        }
        for place in asked.places() {
            let is_certain = passed.must.holds(place);
            matched +=
                u64::from(rows.with(passed.first + place, is_certain, explain, &mut |view| part.add_event(self.field, view))?);
            part.spill(sum);
        }
        Ok(matched)
    }

    fn end(&self, rows: &Rows<'_>, part: &mut Counts, sum: &mut Sum<'_, Counts>) -> Result<()> {
        let (Some(column), words) = (self.column, std::mem::take(&mut part.by_word)) else { return Ok(()) };
        let failed = |error: SegmentError| files::failed(rows.name(), error);
        let Some(dictionary) = rows.segment().dictionary(column, rows.cache()).map_err(failed)? else { return Ok(()) };
        for (word, count) in (0u32..).zip(words).filter(|(_, count)| *count > 0) {
            part.add(dictionary.text(word), count);
            part.spill(sum);
        }
        part.unpacked = Vec::new();
        Ok(())
    }

    fn join(&self, sum: &mut Counts, part: Counts) {
        sum.missing += part.missing;
        sum.add_all(part.by_text);
    }

    fn one(&self, sum: &mut Counts, view: &View<'_>) {
        sum.add_event(self.field, view);
    }
}

/// The column that has the one value of a field, under the text that the field is shown by.
fn column_of(field: &Selector) -> Option<Column> {
    let Name::Field(field) = field.name() else { return None };
    Some(match field {
        KnownField::Action => Column::Action,
        KnownField::Outcome => Column::Outcome,
        KnownField::Severity => Column::Severity,
        KnownField::Class => Column::Class,
        KnownField::ActorId => Column::ActorId,
        KnownField::ActorName => Column::ActorName,
        KnownField::ActorType => Column::ActorType,
        KnownField::ActorEmail => Column::ActorEmail,
        KnownField::Session => Column::Session,
        KnownField::OriginIp => Column::OriginIp,
        KnownField::OriginHost => Column::OriginHost,
        KnownField::OriginUserAgent => Column::OriginUserAgent,
        KnownField::Tenant => Column::Tenant,
        KnownField::Producer => Column::ProducerId,
        // An empty source is none, and an empty text is one; fields of numbers, times and lists are counted by records.
        _ => return None,
    })
}

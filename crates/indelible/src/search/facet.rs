//! How often each value of one field is there.

use std::collections::HashMap;

use indelible_segment::{BLOCK_ROWS, Column, PageCache, Segment, SegmentError};

use super::explain::Explain;
use super::filter::{KnownField, Name};
use super::scan::{Gather, Query, Summary};
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
    /// What the search found out.
    pub summary: Summary,
}

impl Reader {
    /// Counts the values of a field among the events that match.
    ///
    /// **Cost**: fields that have a column of their own are counted by it, without looking at records; others record by record. Memory: one
    /// entry for each value.
    ///
    /// # Errors
    /// As [`search`](Reader::search).
    pub fn facet(&self, query: &Query, field: &Selector) -> Result<Facet> {
        let (counts, summary) = self.gather(query, &Values { field, column: column_of(field) })?;
        let mut counts: Vec<_> = counts.by_text.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(Facet { counts, summary })
    }
}

struct Values<'f> {
    field: &'f Selector,
    column: Option<Column>,
}

#[derive(Clone, Default)]
struct Counts {
    by_text: HashMap<Option<String>, u64>,
    /// By number in the dictionary of the segment.
    by_word: Vec<u64>,
    /// Numbers of the rows that are being counted.
    unpacked: Vec<u32>,
}

impl Counts {
    fn add(&mut self, text: Option<&str>, count: u64) {
        // No text is made for a value that is known.
        match self.by_text.get_mut(&text.map(str::to_owned)) {
            Some(known) => *known += count,
            None => drop(self.by_text.insert(text.map(str::to_owned), count)),
        }
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
            self.add_missing(none);
        }
        Ok(())
    }

    fn add_missing(&mut self, count: u64) {
        if count > 0 {
            self.add(None, count);
        }
    }
}

impl Gather for Values<'_> {
    type Part = Counts;

    fn name(&self) -> Option<String> {
        Some(format!("values of {}", self.field.name()))
    }

    fn bytes(&self, part: &Counts) -> usize {
        part.by_text.keys().map(|text| 64 + text.as_ref().map_or(0, String::len)).sum()
    }

    fn block(&self, rows: &mut Rows<'_>, passed: &Passed, explain: &mut Explain, part: &mut Counts) -> Result<u64> {
        let mut asked = passed.may;
        let mut matched = 0;
        if let Some(column) = self.column {
            part.add_rows(rows.segment(), column, passed, rows.cache()).map_err(|error| files::failed(rows.name(), error))?;
            asked = asked.without(passed.must);
            matched = passed.must.count();
        }
        for place in asked.places() {
            let is_certain = passed.must.holds(place);
            matched += u64::from(rows.with(passed.first + place, is_certain, explain, &mut |view| self.one(part, view))?);
        }
        Ok(matched)
    }

    fn end(&self, rows: &Rows<'_>, part: &mut Counts) -> Result<()> {
        let (Some(column), words) = (self.column, std::mem::take(&mut part.by_word)) else { return Ok(()) };
        let failed = |error: SegmentError| files::failed(rows.name(), error);
        let Some(dictionary) = rows.segment().dictionary(column, rows.cache()).map_err(failed)? else { return Ok(()) };
        for (word, count) in (0u32..).zip(words).filter(|(_, count)| *count > 0) {
            part.add(dictionary.text(word), count);
        }
        part.unpacked = Vec::new();
        Ok(())
    }

    fn join(&self, sum: &mut Counts, part: Counts) {
        part.by_text.into_iter().for_each(|(text, count)| *sum.by_text.entry(text).or_default() += count);
    }

    fn one(&self, sum: &mut Counts, view: &View<'_>) {
        let mut values: Vec<String> = Vec::new();
        self.field.each(view, &mut |value| values.push(value.into_owned()));
        if values.is_empty() {
            sum.add(None, 1);
        }
        values.sort_unstable();
        values.dedup();
        values.iter().for_each(|value| sum.add(Some(value), 1));
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

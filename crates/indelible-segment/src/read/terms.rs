//! The index, made again from pages as they go by.

use std::ops::Range;
use std::sync::Arc;

use super::Segment;
use super::page::{Page, Shape, Values};
use super::store::Dictionary;
use crate::column::PerColumn;
use crate::container::footer::Zone;
use crate::error::Result;
use crate::index::{BLOCK_ROWS, IndexBuilder, IndexField, id_index};
use crate::write::column_of;

/// The terms of a segment's rows.
pub(super) struct Terms {
    builder: IndexBuilder,
    dictionaries: PerColumn<Option<Arc<Dictionary>>>,
    /// Whether ids are indexed by what the file says of their pages. If it lies, that is found out by itself.
    has_ids: bool,
    words: Vec<u32>,
    others: Vec<u32>,
}

impl Terms {
    /// `ids`: what the file says of the pages of ids; `is_there`: its index has ids.
    pub(super) fn new(ids: Option<&[Zone]>, is_there: bool) -> Self {
        let has_ids = id_index(ids).or(is_there);
        let dictionaries = PerColumn::new(|_| None);
        Self { builder: IndexBuilder::default(), dictionaries, has_ids, words: Vec::new(), others: Vec::new() }
    }

    /// Takes the next page of its column.
    pub(super) fn page(&mut self, segment: &Segment, page: &Page) -> Result<()> {
        let of_column = |field: &IndexField| *field != IndexField::TenantAction && column_of(*field) == page.column();
        let Some(field) = IndexField::ALL.iter().copied().find(of_column) else { return Ok(()) };
        if field == IndexField::Id && !self.has_ids {
            return Ok(());
        }
        if let Some(dictionary) = page.dictionary() {
            *self.dictionaries.of_mut(page.column()) = Some(Arc::clone(dictionary));
        }
        let all = page.first_row()..page.first_row() + page.rows();
        match (&page.shape, &page.values) {
            (_, Values::Empty) => {}
            (Shape::OneEach, Values::Same(_) | Values::Packed(..) | Values::Words(_)) => {
                let known = page.dictionary().map_or(0, |dictionary| dictionary.len());
                for rows in blocks(&all) {
                    self.builder.row(rows.start);
                    self.words.clear();
                    page.indices_in(rows.clone(), &mut self.words);
                    // Those without a word are those that no dictionary has, and nulls.
                    self.words.retain(|word| (*word as usize) < known);
                    self.builder.add_words(field, &self.words);
                }
            }
            _ => each_term(segment, page, &mut |row, word, term| {
                self.builder.row(row);
                match (term.first_chunk(), word) {
                    (Some(id), _) if field == IndexField::Id => self.builder.add_id(id),
                    (_, Some(word)) => self.builder.add_words(field, &[word]),
                    (_, None) => self.builder.add(field, term),
                }
            })?,
        }
        Ok(())
    }

    /// Takes tenant and action of these rows, which both pages have.
    pub(super) fn pairs(&mut self, tenants: &Page, actions: &Page, rows: &Range<u32>) {
        let known = tenants.dictionary().zip(actions.dictionary()).map(|(tenants, actions)| (tenants.len(), actions.len()));
        for rows in blocks(rows) {
            self.builder.row(rows.start);
            let Some((tenants_known, actions_known)) = known else {
                for row in rows {
                    if let (Some(tenant), Some(action)) = (tenants.bytes(row), actions.bytes(row)) {
                        self.builder.add_pair(tenant, action);
                    }
                }
                continue;
            };
            self.words.clear();
            self.others.clear();
            tenants.indices_in(rows.clone(), &mut self.words);
            actions.indices_in(rows, &mut self.others);
            let is = |(tenant, action): (&u32, &u32)| (*tenant as usize) < tenants_known && (*action as usize) < actions_known;
            if self.words.iter().zip(&self.others).all(is) {
                self.builder.add_pairs(&self.words, &self.others);
                continue;
            }
            for words in self.words.iter().zip(&self.others).filter(|words| is(*words)) {
                self.builder.add_pairs(&[*words.0], &[*words.1]);
            }
        }
    }

    /// The index's bytes. `zones`: the bounds of the pages of ids.
    pub(super) fn finish(self, rows: u32, zones: &[Zone]) -> Vec<u8> {
        let Self { builder, dictionaries, has_ids, .. } = self;
        let word = |field, word| match dictionaries.of(column_of(field)) {
            Some(dictionary) => dictionary.bytes(word).unwrap_or_default(),
            None => &[],
        };
        builder.finish(rows, word, id_index(Some(zones)).or(has_ids))
    }
}

/// These rows, block by block.
fn blocks(rows: &Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let rows = rows.clone();
    (rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS)).map(move |block| {
        let first = block * BLOCK_ROWS;
        first.max(rows.start)..(first + BLOCK_ROWS).min(rows.end)
    })
}

/// Takes a row, the number of its word in the dictionary, and the term.
type Each<'e> = dyn FnMut(u32, Option<u32>, &[u8]) + 'e;

fn each_term(segment: &Segment, page: &Page, each: &mut Each<'_>) -> Result<()> {
    for row in page.first_row()..page.first_row() + page.rows() {
        for element in page.elements(row) {
            let word = page.element_index(element);
            match page.element_bytes(element) {
                Some(term) => each(row, word, term),
                None if word.is_some() => return Err(segment.damaged("a page has a value that its dictionary has not", row)),
                None => {}
            }
        }
    }
    Ok(())
}

//! Whether what the file says of its rows is so: statistics and index, made again from the rows and compared.

use std::sync::Arc;

use indelible_format::sha256::sha256;

use super::page::Values;
use super::source::read_exact;
use super::store::Dictionary;
use super::{Page, Segment};
use crate::column::{Column, PerColumn};
use crate::container::footer::{Bounds, Zone};
use crate::error::{Result, SegmentError};
use crate::index::block::{self, Entry};
use crate::index::{IndexBuilder, IndexField};
use crate::limits::STRIDE;
use crate::write::{column_of, hex};

/// Something that the file says of its rows and that is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is about.
    pub what: &'static str,
    /// The column, or that whose terms are indexed; `None`: all of it.
    pub column: Option<Column>,
    /// The first position concerned.
    pub seq: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)?;
        if let Some(column) = self.column {
            write!(f, ", column {}", column.name())?;
        }
        write!(f, ", from position {}", self.seq)
    }
}

/// A dictionary that was asked for, if the column has one.
type Known = Option<Option<Arc<Dictionary>>>;

impl Segment {
    /// Compares bounds and counts of nulls, of pages and of columns, with the rows; and that pages begin where they may.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a page that cannot be read at all.
    ///
    /// # Cost
    /// Reads and decodes every page.
    pub fn check_statistics(&self) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        for (column, places) in self.columns.iter() {
            let mut differs = |what, row: u32| {
                found.push(Difference { what, column: Some(column), seq: self.proof.first_seq + u64::from(row) });
            };
            let (mut nulls, mut entries, mut all) = (0, 0, None::<Bounds>);
            let mut known = None;
            for nth in 0..places.pages.len() {
                let page = self.load_known(column, nth, &mut known)?;
                let zone = zone_of(&page)
                    .ok_or_else(|| self.damaged("a page has a value that its dictionary has not", page.first_row()))?;
                if page.first_row() % STRIDE != 0 {
                    differs("a page begins where none may", page.first_row());
                }
                if let Some(said) = places.zones.as_ref().and_then(|zones| zones.get(nth))
                    && *said != zone
                {
                    differs("the bounds of a page are not those of its values", page.first_row());
                }
                nulls += zone.nulls;
                entries += entries_of(&page);
                all = match (all, zone.bounds) {
                    (Some(all), Some(bounds)) => Some(all.merge(&bounds, column)),
                    (all, bounds) => all.or(bounds),
                };
            }
            if places.nulls.is_some_and(|said| said != nulls) || places.entries != entries {
                differs("the values or nulls of a column are others than it says", 0);
            }
            if places.bounds.is_some() && places.bounds != all {
                differs("the bounds of a column are not those of its values", 0);
            }
        }
        Ok(found)
    }

    /// Makes the index again from the rows and compares.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a page that cannot be read at all.
    ///
    /// # Cost
    /// Reads and decodes the pages of the indexed columns; memory as for writing an index, about 30 bytes a row.
    pub fn check_index(&self) -> Result<Vec<Difference>> {
        let Some(place) = &self.index else { return Ok(Vec::new()) };
        let made = self.make_index()?;
        let length = usize::try_from(place.bytes).map_err(|_| self.damaged("its index is too long", 0))?;
        let stored = read_exact(&*self.input, place.offset, length, 0).map_err(SegmentError::Io)?;
        let mut found = Vec::new();
        let mut differs = |what, column| found.push(Difference { what, column, seq: self.proof.first_seq });
        if hex(&sha256(&stored)) != place.digest {
            differs("the index is another than the footer says", None);
        }
        if stored != made {
            let head = |bytes: &[u8]| block::read_head(bytes, bytes.len() as u64, self.rows).unwrap_or_default();
            let part = |bytes: &[u8], entries: &[Entry], field: IndexField| {
                let entry = entries.iter().find(|entry| entry.field == field.number())?;
                entry.part(bytes).map(<[u8]>::to_vec)
            };
            let (heads, mut any) = ([head(&stored), head(&made)], false);
            let [said, right] = &heads;
            for field in IndexField::ALL.iter().copied() {
                if part(&stored, said, field) != part(&made, right, field) {
                    any = true;
                    differs("the index has other terms or blocks than the rows", Some(column_of(field)));
                }
            }
            if !any {
                differs("the index has other bytes than the rows give", None);
            }
        }
        Ok(found)
    }

    fn load_known(&self, column: Column, nth: usize, known: &mut Known) -> Result<Page> {
        self.load(column, nth, &mut || match known {
            Some(dictionary) => Ok(dictionary.clone()),
            None => Ok(known.insert(self.load_dictionary(column)?).clone()),
        })
    }

    fn make_index(&self) -> Result<Vec<u8>> {
        let mut builder = IndexBuilder::default();
        let mut dictionaries: PerColumn<Known> = PerColumn::new(|_| None);
        for field in IndexField::ALL.iter().copied() {
            let column = column_of(field);
            if field == IndexField::TenantAction {
                continue;
            }
            for nth in 0..self.columns.of(column).pages.len() {
                let page = self.load_known(column, nth, dictionaries.of_mut(column))?;
                self.each_term(&page, |row, word, term| {
                    builder.row(row);
                    match term.first_chunk() {
                        Some(id) if field == IndexField::Id => builder.add_id(id),
                        _ => match word {
                            Some(word) => builder.add_words(field, &[word]),
                            None => builder.add(field, term),
                        },
                    }
                })?;
            }
        }
        self.make_pairs(&mut builder, &mut dictionaries)?;
        let zones = self.id_zones()?;
        let word = |field, word| match dictionaries.of(column_of(field)) {
            Some(Some(dictionary)) => dictionary.bytes(word).unwrap_or_default(),
            _ => &[],
        };
        Ok(builder.finish(self.rows, word, zones.as_deref()))
    }

    /// Tenant and action of every row, whose pages may end at different rows.
    fn make_pairs(&self, builder: &mut IndexBuilder, dictionaries: &mut PerColumn<Known>) -> Result<()> {
        let mut actions = self.columns.of(Column::Action).pages.iter().enumerate().map(|(nth, _)| nth);
        let mut action: Option<Page> = None;
        for nth in 0..self.columns.of(Column::Tenant).pages.len() {
            let tenant = self.load_known(Column::Tenant, nth, dictionaries.of_mut(Column::Tenant))?;
            for row in tenant.first_row()..tenant.first_row() + tenant.rows() {
                while action.as_ref().is_none_or(|page| !page.holds(row)) {
                    let nth = actions.next().ok_or_else(|| self.damaged("rows are missing", row))?;
                    action = Some(self.load_known(Column::Action, nth, dictionaries.of_mut(Column::Action))?);
                }
                let Some(action) = &action else { continue };
                if let (Some(term), Some(other)) = (tenant.bytes(row), action.bytes(row)) {
                    builder.row(row);
                    match tenant.index(row).zip(action.index(row)) {
                        Some((tenant, action)) => builder.add_pairs(&[tenant], &[action]),
                        None => builder.add_pair(term, other),
                    }
                }
            }
        }
        Ok(())
    }

    /// The bounds of the pages of ids, by their values.
    fn id_zones(&self) -> Result<Option<Vec<Zone>>> {
        let pages = 0..self.columns.of(Column::Id).pages.len();
        let mut known = None;
        pages.map(|nth| Ok(zone_of(&self.load_known(Column::Id, nth, &mut known)?))).collect()
    }

    fn each_term(&self, page: &Page, mut each: impl FnMut(u32, Option<u32>, &[u8])) -> Result<()> {
        for row in page.first_row()..page.first_row() + page.rows() {
            for element in page.elements(row) {
                let word = page.element_index(element);
                match page.element_bytes(element) {
                    Some(term) => each(row, word, term),
                    None if word.is_some() => return Err(self.damaged("a page has a value that its dictionary has not", row)),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// Values and nulls of a page: a row without elements is one entry.
fn entries_of(page: &Page) -> u64 {
    let entries = |row| page.elements(row).len().max(1) as u64;
    if page.column().is_list() && page.element_count() > 0 {
        (page.first_row()..page.first_row() + page.rows()).map(entries).sum()
    } else {
        u64::from(page.rows())
    }
}

/// What a zone map says of this page. `None`: a value is not in the dictionary.
fn zone_of(page: &Page) -> Option<Zone> {
    let column = page.column();
    let mut bounds = None::<Bounds>;
    let mut values = 0u64;
    let mut add = |value: Bounds| {
        bounds = Some(match bounds.take() {
            Some(bounds) => bounds.merge(&value, column),
            None => value,
        });
    };
    match &page.values {
        Values::Empty => {}
        Values::Same(word) => {
            values = (0..page.element_count()).filter(|element| page.element_index(*element).is_some()).count() as u64;
            add(word_bounds(page, *word)?);
        }
        Values::Packed(..) | Values::Words(_) => {
            let mut words: Vec<u32> = (0..page.element_count()).filter_map(|element| page.element_index(element)).collect();
            values = words.len() as u64;
            words.sort_unstable();
            words.dedup();
            words.into_iter().try_for_each(|word| {
                add(word_bounds(page, word)?);
                Some(())
            })?;
        }
        Values::Numbers(numbers) => {
            values = numbers.len() as u64;
            numbers.iter().for_each(|number| add(Bounds::Numbers(*number, *number)));
        }
        Values::Ids(ids) => {
            values = ids.len() as u64;
            if let Some((min, max)) = ids.iter().min().zip(ids.iter().max()) {
                add(Bounds::Bytes((*min).into(), (*max).into()));
            }
        }
        Values::Store(store) => {
            values = store.len() as u64;
            for value in (0..store.len()).filter_map(|nth| store.get(nth)) {
                add(bounds_of(column, value));
            }
        }
    }
    Some(Zone { nulls: entries_of(page) - values.min(entries_of(page)), bounds })
}

fn word_bounds(page: &Page, word: u32) -> Option<Bounds> {
    Some(bounds_of(page.column(), page.dictionary()?.bytes(word)?))
}

fn bounds_of(column: Column, value: &[u8]) -> Bounds {
    if !column.is_number() {
        return Bounds::Bytes(value.into(), value.into());
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
    let number = i64::from_le_bytes(bytes);
    Bounds::Numbers(number, number)
}

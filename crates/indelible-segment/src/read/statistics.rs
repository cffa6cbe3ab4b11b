//! What the file says of a column, made again from its pages as they go by: bounds, counts of nulls, encodings, sizes.

use super::decode::Said;
use super::groups::Levels;
use super::page::{Page, Shape, Values};
use super::{ColumnPlaces, PageBounds, Segment};
use crate::column::Column;
use crate::container::footer::{Bounds, Zone};
use crate::container::page_header::{PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY};
use crate::error::Result;
use crate::limits::STRIDE;

/// What the pages of a column add up to.
#[derive(Default)]
pub(super) struct Statistics {
    nulls: u64,
    entries: u64,
    bounds: Option<Bounds>,
    /// Pages that went by.
    pages: usize,
    /// For each word of the dictionary the last page in which it was met, counted from 1.
    met: Vec<u32>,
    /// The bounds of pages of ids, which decide whether ids are indexed.
    zones: Vec<Zone>,
    encodings: u16,
    raw_bytes: u64,
    /// Whether any page has numbers of the dictionary.
    has_words: bool,
    levels: Levels,
}

impl Statistics {
    /// Takes the next page. Shows what the file says of it and is not so.
    pub(super) fn page(
        &mut self,
        segment: &Segment,
        page: &Page,
        said: &Said,
        differs: &mut dyn FnMut(&'static str, u32),
    ) -> Result<()> {
        self.encodings |= encodings_of(&[said.encoding]);
        self.raw_bytes += said.raw_bytes;
        self.has_words |= matches!(said.encoding, RLE_DICTIONARY | PLAIN_DICTIONARY);
        if !self.levels.page(page, &said.depths) {
            differs("a page has lists or elements that are missing in a way that no segment has", page.first_row());
        }
        let column = page.column();
        let places = segment.columns.of(column);
        let told = segment.zones(column)?.and_then(|zones| zones.get(self.pages));
        self.pages += 1;
        let zone = self.zone(page, needs_bounds(column, places));
        let zone = zone.ok_or_else(|| segment.damaged("a page has a value that its dictionary has not", page.first_row()))?;
        if !page.first_row().is_multiple_of(STRIDE) {
            differs("a page begins where none may", page.first_row());
        }
        if told.is_some_and(|told| told != (zone.nulls, zone.bounds.as_ref().map(PageBounds::from))) {
            differs("the bounds of a page are not those of its values", page.first_row());
        }
        self.nulls += zone.nulls;
        self.entries += entries_of(page);
        self.bounds = match (self.bounds.take(), &zone.bounds) {
            (Some(all), Some(bounds)) => Some(all.merge(bounds, column)),
            (all, bounds) => all.or_else(|| bounds.clone()),
        };
        if column == Column::Id {
            self.zones.push(zone);
        }
        Ok(())
    }

    /// The last page went by. Shows what the file says of all of them and is not so.
    pub(super) fn end(&self, segment: &Segment, column: Column, differs: &mut dyn FnMut(&'static str, u32)) -> Result<()> {
        let places = segment.columns.of(column);
        if places.nulls.is_some_and(|told| told != self.nulls) || places.entries != self.entries {
            differs("the values or nulls of a column are others than it says", 0);
        }
        if places.bounds.is_some() && places.bounds != self.bounds {
            differs("the bounds of a column are not those of its values", 0);
        }
        let (mut encodings, mut raw_bytes) = (self.encodings | encodings_of(&[RLE]), self.raw_bytes);
        if places.dictionary.is_some() {
            encodings |= encodings_of(&[PLAIN]);
            let dictionary = segment.raw_bytes_of_dictionary(column)?.filter(|_| self.has_words);
            // Others begin to read where it stands, and take what they find there for a page.
            raw_bytes = dictionary.map_or(u64::MAX, |dictionary| raw_bytes.saturating_add(dictionary));
        }
        if self.pages > 0 && (places.encodings, places.raw_bytes) != (encodings, raw_bytes) {
            differs("the encodings or the sizes of a column, or where its dictionary is, are others than it says", 0);
        }
        if !segment.has_plain_page_indexes(column)? {
            differs("the page indexes of a column say more than those of a segment, or say it in another way", 0);
        }
        Ok(())
    }

    /// What its levels say.
    pub(super) const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The bounds of the pages that went by; of ids only.
    pub(super) fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// What a zone map says of this page, with bounds if they are needed. `None`: a value is not in the dictionary.
    fn zone(&mut self, page: &Page, with_bounds: bool) -> Option<Zone> {
        let column = page.column();
        let values = page.value_count();
        let mut bounds = None::<Bounds>;
        match &page.values {
            Values::Empty => {}
            Values::Same(word) => {
                let value = page.dictionary()?.bytes(*word)?;
                bounds = (values > 0).then(|| bounds_of(column, value));
            }
            Values::Packed(..) | Values::Words(_) => {
                let mut words = Vec::new();
                page.value_words(&mut words);
                let dictionary = page.dictionary()?;
                if words.iter().copied().max().is_some_and(|word| word as usize >= dictionary.len()) {
                    return None;
                }
                if with_bounds {
                    self.met.resize(dictionary.len(), 0);
                    let this = u32::try_from(self.pages).unwrap_or(u32::MAX);
                    for word in &words {
                        if let Some(met) = self.met.get_mut(*word as usize).filter(|met| **met != this) {
                            *met = this;
                            add(&mut bounds, bounds_of(column, dictionary.bytes(*word)?), column);
                        }
                    }
                }
            }
            Values::Numbers(numbers) => {
                let flip = if column.is_unsigned() { i64::MIN } else { 0 };
                let ordered = || numbers.iter().map(|number| number ^ flip);
                let (min, max) = (ordered().fold(i64::MAX, i64::min), ordered().fold(i64::MIN, i64::max));
                bounds = (!numbers.is_empty()).then_some(Bounds::Numbers(min ^ flip, max ^ flip));
            }
            Values::Ids(ids) => {
                if let Some((min, max)) = ids.iter().min().zip(ids.iter().max()) {
                    bounds = Some(Bounds::Bytes((*min).into(), (*max).into()));
                }
            }
            Values::Store(store) => {
                for value in (0..store.len()).filter(|_| with_bounds).filter_map(|nth| store.get(nth)) {
                    add(&mut bounds, bounds_of(column, value), column);
                }
            }
        }
        let entries = entries_of(page);
        Some(Zone { nulls: entries - values.min(entries), bounds })
    }
}

/// Some encodings: a bit for each.
pub(super) fn encodings_of(encodings: &[i32]) -> u16 {
    let bit = |encoding: i32| u32::try_from(encoding).ok().and_then(|encoding| 1u16.checked_shl(encoding));
    // What there is not counts as the last, which there is not either.
    encodings.iter().fold(0, |all, encoding| all | bit(*encoding).unwrap_or(1 << 15))
}

/// Bounds that nobody tells need not be made. Those of ids decide whether there is an index of them.
fn needs_bounds(column: Column, places: &ColumnPlaces) -> bool {
    places.has_zones() || places.bounds.is_some() || column == Column::Id
}

fn add(bounds: &mut Option<Bounds>, value: Bounds, column: Column) {
    *bounds = Some(match bounds.take() {
        Some(bounds) => bounds.merge(&value, column),
        None => value,
    });
}

/// Values and nulls of a page: a row without elements is one entry.
fn entries_of(page: &Page) -> u64 {
    match &page.shape {
        Shape::Lists(starts) => {
            let length = |ends: &[u32]| ends.first().zip(ends.last()).map_or(0, |(start, end)| u64::from(end - start));
            starts.windows(2).map(|ends| length(ends).max(1)).sum()
        }
        Shape::OneEach | Shape::Empty => u64::from(page.rows()),
    }
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

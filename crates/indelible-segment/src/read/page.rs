//! A decoded page: any of its values without looking at the others.

use std::ops::Range;
use std::sync::Arc;

use super::presence::Presence;
use super::store::{Dictionary, Store};
use crate::column::Column;
use crate::encoding::bits::{extract, unpack};

/// The elements of the rows of a page.
#[derive(Debug)]
pub(crate) enum Shape {
    /// One for each row: so it is in every column that is no list.
    OneEach,
    /// No row has any.
    Empty,
    /// Where the elements of each row begin, and where the last end.
    Lists(Vec<u32>),
}

#[derive(Debug)]
pub(crate) enum Values {
    /// There are none.
    Empty,
    /// All have this number in the dictionary.
    Same(u32),
    /// Numbers in the dictionary, packed: bytes, bit at which they begin, bits of each, how many.
    Packed(Vec<u8>, usize, u32, usize),
    /// Numbers in the dictionary.
    Words(Vec<u32>),
    Numbers(Vec<i64>),
    Ids(Vec<[u8; 16]>),
    Store(Store),
}

/// Some consecutive rows of one column, decoded as far as any of them needs.
///
/// Rows are counted from the first row of the segment. In a column of lists a row has any number of elements, which are numbered through
/// the page; in any other it has one, whose number is that of the row within the page.
#[derive(Debug)]
pub struct Page {
    pub(crate) column: Column,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) shape: Shape,
    pub(crate) presence: Presence,
    pub(crate) values: Values,
    pub(crate) dictionary: Option<Arc<Dictionary>>,
}

impl Page {
    /// Whose column it is.
    #[must_use]
    pub const fn column(&self) -> Column {
        self.column
    }

    /// Its first row.
    #[must_use]
    pub const fn first_row(&self) -> u32 {
        self.first_row
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether it has this row.
    #[must_use]
    #[inline]
    pub const fn holds(&self, row: u32) -> bool {
        row.wrapping_sub(self.first_row) < self.rows
    }

    /// The dictionary that [`index`](Self::index) is about, if the page has numbers instead of values.
    #[must_use]
    pub const fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        self.dictionary.as_ref()
    }

    /// The elements of a row.
    #[must_use]
    #[inline]
    pub fn elements(&self, row: u32) -> Range<u32> {
        let nth = row.wrapping_sub(self.first_row);
        match &self.shape {
            _ if nth >= self.rows => 0..0,
            Shape::OneEach => nth..nth + 1,
            Shape::Empty => 0..0,
            Shape::Lists(starts) => match starts.get(nth as usize..).and_then(<[u32]>::first_chunk::<2>) {
                Some([start, end]) => *start..*end,
                None => 0..0,
            },
        }
    }

    /// The number of an element's value among the values; of a row's one element without going through its list.
    #[inline]
    fn slot(&self, element: u32) -> Option<usize> {
        self.presence.slot(element)
    }

    /// The number in the dictionary of an element.
    #[must_use]
    #[inline]
    pub fn element_index(&self, element: u32) -> Option<u32> {
        self.word(self.slot(element)?)
    }

    #[inline]
    fn word(&self, slot: usize) -> Option<u32> {
        match &self.values {
            Values::Same(word) => Some(*word),
            Values::Packed(bytes, at, width, count) => {
                if slot >= *count {
                    return None;
                }
                let [a, b, c, d, ..] = extract(bytes, at + slot * *width as usize, *width).to_le_bytes();
                Some(u32::from_le_bytes([a, b, c, d]))
            }
            Values::Words(words) => words.get(slot).copied(),
            Values::Empty | Values::Numbers(_) | Values::Ids(_) | Values::Store(_) => None,
        }
    }

    /// The bytes of an element, and whether they are known to stand in a JSON string as they are.
    #[inline]
    pub(crate) fn element_and_plain(&self, element: u32) -> Option<(&[u8], bool)> {
        let slot = self.slot(element)?;
        match &self.values {
            Values::Store(store) => store.get(slot).map(|bytes| (bytes, false)),
            Values::Ids(ids) => ids.get(slot).map(|id| (id.as_slice(), false)),
            Values::Empty | Values::Numbers(_) => None,
            Values::Same(_) | Values::Packed(..) | Values::Words(_) => {
                let dictionary = self.dictionary.as_ref()?;
                Some((dictionary.bytes(self.word(slot)?)?, dictionary.is_plain))
            }
        }
    }

    /// The bytes of an element.
    #[must_use]
    pub fn element_bytes(&self, element: u32) -> Option<&[u8]> {
        self.element_and_plain(element).map(|(bytes, _)| bytes)
    }

    /// The text of an element.
    #[must_use]
    pub fn element_text(&self, element: u32) -> Option<&str> {
        std::str::from_utf8(self.element_bytes(element)?).ok()
    }

    #[inline]
    fn element_of(&self, row: u32) -> Option<u32> {
        match self.shape {
            Shape::OneEach => Some(row.wrapping_sub(self.first_row)).filter(|nth| *nth < self.rows),
            _ => self.elements(row).next(),
        }
    }

    /// Whether a row has no value; in a list: no element with one at its front.
    #[must_use]
    pub fn is_null(&self, row: u32) -> bool {
        self.element_of(row).and_then(|element| self.slot(element)).is_none()
    }

    /// The value of a row as bytes; in a list that of its first element. Numbers of delta encoded columns have none.
    #[must_use]
    #[inline]
    pub fn bytes(&self, row: u32) -> Option<&[u8]> {
        self.element_bytes(self.element_of(row)?)
    }

    /// As [`bytes`](Self::bytes), with whether they are known to stand in a JSON string as they are.
    #[inline]
    pub(crate) fn bytes_and_plain(&self, row: u32) -> Option<(&[u8], bool)> {
        self.element_and_plain(self.element_of(row)?)
    }

    /// The first row from `from` on whose value is `value`; not for lists.
    #[must_use]
    pub fn find(&self, value: &[u8], from: u32) -> Option<u32> {
        let first = from.max(self.first_row);
        match (&self.values, &self.presence, value.try_into()) {
            (Values::Ids(ids), Presence::All, Ok(id)) => {
                let id = u128::from_le_bytes(id);
                let at =
                    ids.get((first - self.first_row) as usize..)?.iter().position(|other| u128::from_le_bytes(*other) == id)?;
                Some(first + u32::try_from(at).ok()?)
            }
            _ => (first..self.first_row + self.rows).find(|row| self.bytes(*row) == Some(value)),
        }
    }

    /// The value of a row as text.
    #[must_use]
    pub fn text(&self, row: u32) -> Option<&str> {
        std::str::from_utf8(self.bytes(row)?).ok()
    }

    /// The number of a row's value in the dictionary.
    #[must_use]
    #[inline]
    pub fn index(&self, row: u32) -> Option<u32> {
        self.element_index(self.element_of(row)?)
    }

    /// The code of a row's word, of outcome, severity or class. `None`: there is no value, or the page's dictionary does not say.
    #[inline]
    pub(crate) fn code(&self, row: u32) -> Option<u8> {
        self.dictionary.as_ref()?.code(self.index(row)?)
    }

    /// The number of a row; of an unsigned column the signed number of the same bits.
    #[must_use]
    #[inline]
    pub fn number(&self, row: u32) -> Option<i64> {
        let slot = self.slot(self.element_of(row)?)?;
        match &self.values {
            Values::Numbers(numbers) => numbers.get(slot).copied(),
            Values::Store(store) if self.column.is_number() => Some(number(store.get(slot)?)),
            Values::Same(_) | Values::Packed(..) | Values::Words(_) if self.column.is_number() => {
                Some(number(self.dictionary.as_ref()?.bytes(self.word(slot)?)?))
            }
            _ => None,
        }
    }

    /// Appends the number in the dictionary of each element, `u32::MAX` for one without a value or of a page without dictionary.
    pub fn indices(&self, out: &mut Vec<u32>) {
        self.indices_in(self.first_row..self.first_row + self.rows, out);
    }

    /// As [`indices`](Self::indices), of the elements of these rows, as far as the page has them: in a column that is no list one for each
    /// row.
    pub fn indices_in(&self, rows: Range<u32>, out: &mut Vec<u32>) {
        let elements = self.elements_of(rows);
        self.presence.spread(elements, u32::MAX, out, |slots, out| match &self.values {
            Values::Same(word) => out.extend(slots.map(|_| *word)),
            Values::Packed(bytes, at, width, _) => {
                unpack(bytes, at + slots.start * *width as usize, *width, slots.len(), out);
            }
            Values::Words(words) => out.extend_from_slice(words.get(slots).unwrap_or_default()),
            Values::Empty | Values::Numbers(_) | Values::Ids(_) | Values::Store(_) => out.extend(slots.map(|_| u32::MAX)),
        });
    }

    /// Appends the number of each row, 0 for one without.
    pub fn numbers(&self, out: &mut Vec<i64>) {
        self.numbers_in(self.first_row..self.first_row + self.rows, out);
    }

    /// As [`numbers`](Self::numbers), of these rows, as far as the page has them.
    pub fn numbers_in(&self, rows: Range<u32>, out: &mut Vec<i64>) {
        match &self.values {
            Values::Numbers(numbers) => self.presence.spread(self.elements_of(rows), 0, out, |slots, out| {
                out.extend_from_slice(numbers.get(slots).unwrap_or_default());
            }),
            _ => {
                let rows = rows.start.max(self.first_row)..rows.end.min(self.first_row + self.rows);
                out.extend(rows.map(|row| self.number(row).unwrap_or(0)));
            }
        }
    }

    /// The elements of these rows, as far as the page has them.
    fn elements_of(&self, rows: Range<u32>) -> Range<u32> {
        let (first, end) = (rows.start.max(self.first_row), rows.end.min(self.first_row + self.rows));
        if first >= end { 0..0 } else { self.elements(first).start..self.elements(end - 1).end }
    }

    /// How many elements it has; in a column that is no list as many as rows.
    #[must_use]
    pub fn element_count(&self) -> u32 {
        match &self.shape {
            Shape::OneEach => self.rows,
            Shape::Empty => 0,
            Shape::Lists(starts) => starts.last().copied().unwrap_or(0),
        }
    }

    /// The same value in every row, by its number in the dictionary: `None` if rows differ.
    #[must_use]
    pub const fn same(&self) -> Option<u32> {
        match (&self.shape, &self.presence, &self.values) {
            (Shape::OneEach, Presence::All, Values::Same(word)) => Some(*word),
            _ => None,
        }
    }

    /// Whether none of its rows has a value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.presence, Presence::None) || matches!(self.shape, Shape::Empty)
    }

    /// Whether it has numbers in a dictionary, not values.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        matches!(self.values, Values::Same(_) | Values::Packed(..) | Values::Words(_))
    }

    /// Whether each of its rows has one value.
    pub(crate) const fn is_full(&self) -> bool {
        matches!((&self.shape, &self.presence), (Shape::OneEach, Presence::All))
    }

    /// Whether an element has no value.
    pub(crate) fn is_element_null(&self, element: u32) -> bool {
        self.slot(element).is_none()
    }

    /// How many values it has.
    pub(crate) fn value_count(&self) -> u64 {
        match self.element_count().checked_sub(1) {
            Some(last) => self.presence.rank(last) as u64 + u64::from(self.slot(last).is_some()),
            None => 0,
        }
    }

    /// Appends the numbers in the dictionary of all values, if it has such.
    pub(crate) fn value_words(&self, out: &mut Vec<u32>) {
        match &self.values {
            Values::Same(word) => out.push(*word),
            Values::Packed(bytes, at, width, count) => unpack(bytes, *at, *width, *count, out),
            Values::Words(words) => out.extend_from_slice(words),
            Values::Empty | Values::Numbers(_) | Values::Ids(_) | Values::Store(_) => {}
        }
    }

    /// All values one behind the other, each behind its length, if the page has texts or bytes and no dictionary: for who looks whether
    /// something can be in any of them. `None`: it has other values.
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        match &self.values {
            Values::Store(Store::Texts(bytes, _)) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes of memory, without the dictionary.
    #[must_use]
    pub fn memory(&self) -> usize {
        let shape = match &self.shape {
            Shape::OneEach | Shape::Empty => 0,
            Shape::Lists(starts) => starts.capacity() * 4,
        };
        let presence = match &self.presence {
            Presence::All | Presence::None => 0,
            Presence::Some(words, ranks) => words.capacity() * 8 + ranks.capacity() * 4,
        };
        let values = match &self.values {
            Values::Empty | Values::Same(_) => 0,
            Values::Packed(bytes, ..) => bytes.capacity(),
            Values::Words(words) => words.capacity() * 4,
            Values::Numbers(numbers) => numbers.capacity() * 8,
            Values::Ids(ids) => ids.capacity() * 16,
            Values::Store(store) => store.memory(),
        };
        size_of::<Self>() + shape + presence + values
    }
}

/// A number of four or eight bytes.
#[inline]
fn number(bytes: &[u8]) -> i64 {
    match bytes.first_chunk::<8>() {
        Some(bytes) => i64::from_le_bytes(*bytes),
        None => bytes.first_chunk::<4>().map_or(0, |bytes| i64::from(u32::from_le_bytes(*bytes))),
    }
}

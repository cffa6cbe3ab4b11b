//! Some rows of a page, without the others: what a question for a few rows pays for.
//!
//! The page is read, its checksum compared and its values decompressed, as they must be; but of its values only those of these rows are
//! decoded, each into a [`Page`] of one row. Wherever [`Raw::into_page`] gives a page, the row is the same here; of a page that it refuses a
//! row may be given all the same, if nothing is wrong with that one.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::decode::{Levels, Parts, Raw, runs_of, shape};
use super::page::{Page, Shape, Values};
use super::presence::Presence;
use super::store::{Dictionary, Store};
use crate::column::{Column, Kind};
use crate::container::page_header as encoding;
use crate::encoding::bits::{PADDING, extract};
use crate::encoding::delta;
use crate::encoding::rle::{self, Run, Runs};
use crate::limits::PAGE_ROWS_MAX;

/// Bytes of memory for decompressed values that a thread keeps at most.
const VALUES_BYTES_KEPT: usize = 256 << 10;

thread_local! {
    static VALUES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Raw<'_> {
    /// Some rows of a data page that begins with row `first_row`, each as a page of its own, in the order in which they are asked for.
    pub(super) fn into_rows(
        self,
        column: Column,
        first_row: u32,
        rows: impl IntoIterator<Item = u32>,
        is_compressed: bool,
        dictionary: Option<&Arc<Dictionary>>,
        mut each: impl FnMut(Page) -> Option<()>,
    ) -> Option<()> {
        let parts = self.parts(column)?;
        let finder = Finder::new(&parts, column)?;
        let mut bytes = None;
        for row in rows {
            let Found { shape, presence, slots, count } = finder.find(&parts, row.checked_sub(first_row)?)?;
            let mut values = Values::Empty;
            if !slots.is_empty() {
                let bytes = match &bytes {
                    Some(bytes) => bytes,
                    None => bytes.insert(parts.values.bytes(is_compressed, || VALUES.take())?),
                };
                values = values_of(bytes, &parts, column, count, slots)?;
            }
            let dictionary = dictionary.filter(|_| matches!(values, Values::Same(_) | Values::Words(_))).cloned();
            each(Page { column, first_row: row, rows: 1, shape, presence, values, dictionary })?;
        }
        if let Some(Cow::Owned(memory)) = bytes
            && memory.capacity() <= VALUES_BYTES_KEPT
        {
            VALUES.set(memory);
        }
        Some(())
    }
}

/// Where the values of a row are.
struct Found {
    shape: Shape,
    presence: Presence,
    /// Its values, by their numbers among those of the page.
    slots: Range<usize>,
    /// Values of the page.
    count: usize,
}

impl Found {
    const fn nothing(shape: Shape) -> Self {
        Self { shape, presence: Presence::None, slots: 0..0, count: 0 }
    }
}

/// How rows of a page are found.
enum Finder<'p> {
    /// By counting levels up to the row: of a column that is no list. Levels, bits of each, and which one says that there is a value.
    Levels(&'p [u8], u32, u32),
    /// In what the levels of all rows mean.
    Shape(Shape, Presence, usize),
}

impl<'p> Finder<'p> {
    fn new(parts: &'p Parts<'_>, column: Column) -> Option<Self> {
        if let (false, Levels::Each(bytes, width)) = (column.is_list(), &parts.definitions) {
            return Some(Self::Levels(bytes, *width, u32::from(column.place().level_max())));
        }
        let (shape, presence, count) = shape(column, parts.rows, parts.entries, &parts.repetitions, &parts.definitions)?;
        Some(Self::Shape(shape, presence, count))
    }

    fn find(&self, parts: &Parts<'_>, nth: u32) -> Option<Found> {
        if nth >= parts.rows {
            return None;
        }
        let (shape, presence, count) = match self {
            Self::Levels(bytes, width, max) => {
                let (is_there, before) = rank(bytes, *width, parts.entries, *max, nth as usize)?;
                if !is_there {
                    return Some(Found::nothing(Shape::OneEach));
                }
                let count = parts.entries.checked_sub(parts.nulls)?;
                return Some(Found { shape: Shape::OneEach, presence: Presence::All, slots: before..before + 1, count });
            }
            Self::Shape(shape, presence, count) => (shape, presence, *count),
        };
        let (own, elements) = match shape {
            Shape::OneEach => (Shape::OneEach, nth..nth + 1),
            Shape::Empty => return Some(Found::nothing(Shape::Empty)),
            Shape::Lists(starts) => {
                let [start, end] = *starts.get(nth as usize..)?.first_chunk()?;
                if start == end {
                    return Some(Found::nothing(Shape::Empty));
                }
                (Shape::Lists(vec![0, end.checked_sub(start)?]), start..end)
            }
        };
        let first = presence.rank(elements.start);
        let (of_row, values) = Presence::of(elements.map(|element| presence.slot(element).is_some()));
        Some(Found { shape: own, presence: of_row, slots: first..first + values, count })
    }
}

/// Whether the entry has a value, and how many before it have one.
fn rank(levels: &[u8], width: u32, entries: usize, max: u32, nth: usize) -> Option<(bool, usize)> {
    let (mut at, mut before) = (0, 0);
    for run in Runs::new(levels, width, entries) {
        let (Run::Same(_, length) | Run::Packed(_, length)) = run;
        let wanted = nth - at;
        match run {
            Run::Same(level, _) => {
                if wanted < length {
                    return Some((level == max, before + if level == max { wanted } else { 0 }));
                }
                before += if level == max { length } else { 0 };
            }
            Run::Packed(packed, _) => {
                let level = |nth: usize| short(packed, nth * width as usize, width);
                before += (0..wanted.min(length)).filter(|nth| level(*nth) == max).count();
                if wanted < length {
                    return Some((level(wanted) == max, before));
                }
            }
        }
        at += length;
    }
    None
}

/// A number of at most eight bits, which begins at bit `at`.
fn short(bytes: &[u8], at: usize, width: u32) -> u32 {
    let byte = |nth: usize| bytes.get(nth).copied().unwrap_or(0);
    let word = u16::from_le_bytes([byte(at / 8), byte(at / 8 + 1)]) >> (at % 8);
    u32::from(word) & ((1 << width) - 1)
}

/// The values of these slots. `bytes`: those of the page, with [`PADDING`].
fn values_of(bytes: &[u8], parts: &Parts<'_>, column: Column, count: usize, slots: Range<usize>) -> Option<Values> {
    let length = bytes.len().checked_sub(PADDING)?;
    let one = slots.len() == 1;
    Some(match parts.used {
        encoding::RLE_DICTIONARY | encoding::PLAIN_DICTIONARY => words(bytes, count, parts.rows, slots)?,
        _ if parts.rows > PAGE_ROWS_MAX => return None,
        encoding::PLAIN => {
            let is_text = column.kind() == Kind::Text;
            Values::Store(Store::read_some(bytes.get(..length)?, count, column.fixed_bytes(), is_text, slots)?)
        }
        encoding::DELTA_BINARY_PACKED if one && matches!(column.kind(), Kind::Time | Kind::Number) => {
            Values::Numbers(vec![delta::number_at(bytes, count, slots.start)?])
        }
        encoding::DELTA_BYTE_ARRAY if one && column.kind() == Kind::Fixed(16) => {
            Values::Ids(vec![delta::id_at(bytes, count, slots.start)?])
        }
        _ => return None,
    })
}

/// Numbers in the dictionary.
fn words(bytes: &[u8], count: usize, rows: u32, slots: Range<usize>) -> Option<Values> {
    let (width, hybrid, end) = runs_of(bytes)?;
    let mut runs = Runs::new(hybrid, width, count);
    let words: Vec<u32> = match runs.next()? {
        Run::Same(word, all) if all == count => return Some(Values::Same(word)),
        _ if rows > PAGE_ROWS_MAX => return None,
        Run::Packed(packed, all) if all == count => {
            let at = (end - runs.rest() - packed.len()) * 8;
            let word = |slot: usize| u32::try_from(extract(bytes, at + slot * width as usize, width)).ok();
            slots.map(word).collect::<Option<_>>()?
        }
        _ => rle::decode(hybrid, width, count)?.get(slots)?.to_vec(),
    };
    Some(match words.as_slice() {
        [word] => Values::Same(*word),
        _ => Values::Words(words),
    })
}

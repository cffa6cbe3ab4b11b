//! From the bytes of a page to a [`Page`]. Total: whatever the bytes are, the answer is a page or `None`, and memory is bounded by what
//! [`crate::limits`] says of pages.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use super::page::{Page, Shape, Values};
use super::presence::Presence;
use super::source::{ReadAt, fill};
use super::store::{Dictionary, Store};
use crate::codec::{Decompressor, crc32};
use crate::column::{Column, Kind};
use crate::container::page_header::{self as encoding, Body, PageHeader};
use crate::encoding::bits::PADDING;
use crate::encoding::delta;
use crate::encoding::rle::{self, Run, Runs};
use crate::limits::{ELEMENTS_MAX, PAGE_ROWS_MAX, may_become};

/// Bytes of a page with [`PADDING`] behind them, and what its header says of them.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'b> {
    bytes: &'b [u8],
    header: PageHeader,
    /// Where the page begins in `bytes`.
    start: usize,
}

impl<'b> Raw<'b> {
    /// Of bytes as they were read, header first, [`PADDING`] behind the last. `None`: the header or the checksum is wrong, or
    /// there is none.
    pub(crate) fn read(bytes: &'b [u8]) -> Option<Self> {
        let stored = bytes.get(..bytes.len().checked_sub(PADDING)?)?;
        let (header, body) = PageHeader::read(stored)?;
        let start = stored.len() - body.len();
        let whole = body.len() == header.bytes && header.crc == Some(crc32(body));
        whole.then_some(Self { bytes, header, start })
    }

    /// The values of a dictionary page.
    pub(crate) fn into_dictionary(self, column: Column, is_compressed: bool) -> Option<Dictionary> {
        let Body::Dictionary { values } = self.header.body else { return None };
        let raw_bytes = self.header.raw_bytes;
        let bytes = if is_compressed {
            decompress(column, self.bytes.get(self.start..self.bytes.len() - PADDING)?, raw_bytes, Vec::new())?
        } else {
            let bytes = self.bytes.get(self.start..)?;
            (bytes.len().checked_sub(PADDING) == Some(raw_bytes)).then(|| bytes.to_vec())?
        };
        let fixed = column.fixed_bytes();
        let length = bytes.len().checked_sub(PADDING)?;
        Some(Dictionary::new(Store::read(bytes, length, values, fixed, column.kind() == Kind::Text)?, column))
    }

    /// Of a compressed dictionary page: its values as they are stored, where they begin in what was read, how many bytes they are decompressed, and how
    /// many values. `None`: it is none, or more than its bytes justify.
    pub(super) fn dictionary(self, column: Column) -> Option<(&'b [u8], usize, usize, usize)> {
        let Body::Dictionary { values } = self.header.body else { return None };
        let stored = self.bytes.get(self.start..self.bytes.len() - PADDING)?;
        may_become(column, self.header.raw_bytes, stored.len()).then_some((stored, self.start, self.header.raw_bytes, values))
    }

    /// How many rows a data page says that it has, and whether it needs a dictionary.
    pub(crate) const fn rows(&self) -> Option<(u32, bool)> {
        match self.header.body {
            Body::Data { rows, encoding, .. } => {
                Some((rows, matches!(encoding, encoding::RLE_DICTIONARY | encoding::PLAIN_DICTIONARY)))
            }
            Body::Dictionary { .. } => None,
        }
    }

    /// The rows of a data page.
    pub(crate) fn into_page(
        self,
        column: Column,
        first_row: u32,
        is_compressed: bool,
        dictionary: Option<Arc<Dictionary>>,
    ) -> Option<Page> {
        let Parts { rows, entries, nulls, used, repetitions, definitions, values } = self.parts(column)?;
        let (shape, presence, count) = shape(column, rows, entries, &repetitions, &definitions)?;
        if entries - count != nulls {
            return None;
        }
        let bytes = values.bytes(is_compressed, Vec::new)?;
        let length = bytes.len().checked_sub(PADDING)?;
        let values = match used {
            _ if count == 0 => Values::Empty,
            encoding::RLE_DICTIONARY | encoding::PLAIN_DICTIONARY => words(bytes, count, rows)?,
            // Beyond this, rows are all the same, and only words can be that in few bytes.
            _ if rows > PAGE_ROWS_MAX => return None,
            encoding::PLAIN => {
                Values::Store(Store::read(bytes.into_owned(), length, count, column.fixed_bytes(), column.kind() == Kind::Text)?)
            }
            encoding::DELTA_BINARY_PACKED if matches!(column.kind(), Kind::Time | Kind::Number) => {
                Values::Numbers(delta::numbers(&bytes, count)?.0)
            }
            encoding::DELTA_BYTE_ARRAY if column.kind() == Kind::Fixed(16) => Values::Ids(delta::ids(&bytes, count)?),
            _ => return None,
        };
        let dictionary = dictionary.filter(|_| matches!(values, Values::Same(_) | Values::Packed(..) | Values::Words(_)));
        Some(Page { column, first_row, rows, shape, presence, values, dictionary })
    }

    /// What a data page says beside its values.
    pub(super) fn said(self, column: Column) -> Option<Said> {
        let raw_bytes = (self.start + self.header.raw_bytes) as u64;
        let Parts { entries, used, definitions, .. } = self.parts(column)?;
        let depths = match definitions {
            Levels::Same(level) => Depths::Same(level),
            Levels::Each(bytes, width) if width > 1 => Depths::Each(rle::decode(bytes, width, entries)?),
            Levels::Each(..) => Depths::Each(Vec::new()),
        };
        Some(Said { encoding: used, raw_bytes, depths })
    }

    /// The pieces of a data page.
    pub(super) fn parts(self, column: Column) -> Option<Parts<'b>> {
        let Body::Data { entries, nulls, rows, encoding: used, definition_bytes, repetition_bytes, compressed } =
            self.header.body
        else {
            return None;
        };
        let is_list = column.is_list();
        if rows == 0 || entries < rows as usize || entries > if is_list { rows as usize * ELEMENTS_MAX } else { rows as usize } {
            return None;
        }
        let levels_bytes = repetition_bytes.checked_add(definition_bytes)?;
        let body = self.bytes.get(self.start..self.bytes.len() - PADDING)?;
        let (levels, stored) = body.split_at_checked(levels_bytes)?;
        let (repetitions, definitions) = levels.split_at_checked(repetition_bytes)?;
        let repetitions = Levels::read(repetitions, u32::from(is_list), entries)?;
        let definitions = Levels::read(definitions, column.place().level_width(), entries)?;
        let is_constant = matches!((&repetitions, &definitions), (Levels::Same(0), Levels::Same(_)));
        if rows > PAGE_ROWS_MAX && !is_constant {
            return None;
        }
        let values = Stored {
            column,
            stored,
            padded: self.bytes.get(self.start + levels_bytes..)?,
            raw_bytes: self.header.raw_bytes.checked_sub(levels_bytes)?,
            compressed,
        };
        Some(Parts { rows, entries, nulls, used, repetitions, definitions, values })
    }
}

/// What a data page says beside its values, and other readers believe.
pub(super) struct Said {
    pub(super) encoding: i32,
    /// Bytes once they are decompressed, with the header.
    pub(super) raw_bytes: u64,
    pub(super) depths: Depths,
}

/// Definition levels of the entries of a page.
pub(super) enum Depths {
    Same(u32),
    /// One for each entry; none where a value can be missing in one way only, which nulls say already.
    Each(Vec<u32>),
}

/// What a data page consists of. Of its levels it is known that they are the same for every entry, or few enough to be looked at.
pub(super) struct Parts<'b> {
    pub(super) rows: u32,
    pub(super) entries: usize,
    /// As the header says.
    pub(super) nulls: usize,
    /// The encoding of the values.
    pub(super) used: i32,
    pub(super) repetitions: Levels<'b>,
    pub(super) definitions: Levels<'b>,
    pub(super) values: Stored<'b>,
}

/// Values of a page as they stand in the file.
pub(super) struct Stored<'b> {
    column: Column,
    stored: &'b [u8],
    /// The same, and [`PADDING`] behind them.
    padded: &'b [u8],
    raw_bytes: usize,
    compressed: bool,
}

impl<'b> Stored<'b> {
    /// The values, and [`PADDING`]: as they stand there, or decompressed into `memory`, which is asked for only then.
    pub(super) fn bytes(&self, is_compressed: bool, memory: impl FnOnce() -> Vec<u8>) -> Option<Cow<'b, [u8]>> {
        if self.compressed && is_compressed && !self.stored.is_empty() {
            return decompress(self.column, self.stored, self.raw_bytes, memory()).map(Cow::Owned);
        }
        (self.stored.len() == self.raw_bytes).then_some(Cow::Borrowed(self.padded))
    }
}

/// Levels of the entries of a page.
pub(super) enum Levels<'b> {
    Same(u32),
    /// Their bytes, and bits of each: not decoded yet.
    Each(&'b [u8], u32),
}

impl<'b> Levels<'b> {
    fn read(bytes: &'b [u8], width: u32, count: usize) -> Option<Self> {
        if width == 0 {
            return Some(Self::Same(0));
        }
        match Runs::new(bytes, width, count).next()? {
            Run::Same(level, all) if all == count => Some(Self::Same(level)),
            _ if count > PAGE_ROWS_MAX as usize * ELEMENTS_MAX => None,
            _ => Some(Self::Each(bytes, width)),
        }
    }

    /// One for each entry.
    fn each(&self, count: usize) -> Option<impl Iterator<Item = u32>> {
        let (same, each) = match self {
            Self::Same(level) => (Some(std::iter::repeat_n(*level, count)), None),
            Self::Each(bytes, width) => (None, Some(rle::decode(bytes, *width, count)?)),
        };
        Some(same.into_iter().flatten().chain(each.into_iter().flatten()))
    }
}

/// What the levels mean: the elements of each row, which of them have values, and how many values there are.
pub(super) fn shape(
    column: Column,
    rows: u32,
    entries: usize,
    repetitions: &Levels<'_>,
    definitions: &Levels<'_>,
) -> Option<(Shape, Presence, usize)> {
    let max = u32::from(column.place().level_max());
    let element = u32::from(column.place().element_level());
    if let (Levels::Same(0), Levels::Same(level)) = (repetitions, definitions) {
        if entries != rows as usize || *level > max {
            return None;
        }
        let shape = if *level < element { Shape::Empty } else { Shape::OneEach };
        return Some(if *level == max { (shape, Presence::All, entries) } else { (shape, Presence::None, 0) });
    }
    if !column.is_list() {
        let mut greatest = 0;
        let (presence, count) = Presence::of(definitions.each(entries)?.map(|level| {
            greatest = level.max(greatest);
            level == max
        }));
        return (greatest <= max).then_some((Shape::OneEach, presence, count));
    }
    let mut starts = Vec::with_capacity(rows as usize + 1);
    let mut elements = 0u32;
    let mut there = Vec::new();
    let levels = repetitions.each(entries)?.zip(definitions.each(entries)?);
    for (nth, (repetition, definition)) in levels.enumerate() {
        if repetition > 1 || definition > max {
            return None;
        }
        if repetition == 0 {
            starts.push(elements);
        } else if nth == 0 || definition < element {
            return None;
        }
        if definition >= element {
            there.push(definition == max);
            elements += 1;
        }
    }
    if starts.len() != rows as usize {
        return None;
    }
    starts.push(elements);
    let (presence, count) = Presence::of(there.into_iter());
    Some((Shape::Lists(starts), presence, count))
}

/// Bits of a number in the dictionary, the runs of numbers, and where they end, of the values of a page with [`PADDING`].
pub(super) fn runs_of(bytes: &[u8]) -> Option<(u32, &[u8], usize)> {
    let end = bytes.len().checked_sub(PADDING)?;
    let (width, hybrid) = bytes.get(..end)?.split_first()?;
    (*width <= 32).then_some((u32::from(*width), hybrid, end))
}

/// Numbers in the dictionary: as they stand, if they are one piece.
fn words(bytes: Cow<'_, [u8]>, count: usize, rows: u32) -> Option<Values> {
    let (width, hybrid, end) = runs_of(&bytes)?;
    let mut runs = Runs::new(hybrid, width, count);
    match runs.next()? {
        Run::Same(word, all) if all == count => Some(Values::Same(word)),
        _ if rows > PAGE_ROWS_MAX => None,
        Run::Packed(packed, all) if all == count => {
            let at = end - runs.rest() - packed.len();
            Some(Values::Packed(bytes.into_owned(), at * 8, width, count))
        }
        _ => rle::decode(hybrid, width, count).map(Values::Words),
    }
}

/// Bytes of memory for stored pages that a thread keeps at most.
const STORED_BYTES_KEPT: usize = 256 << 10;

thread_local! {
    static STORED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Exactly `raw_bytes` bytes, and [`PADDING`], in `bytes` instead of what is there.
fn decompress(column: Column, stored: &[u8], raw_bytes: usize, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    if !may_become(column, raw_bytes, stored.len()) {
        return None;
    }
    bytes.clear();
    bytes.reserve_exact(raw_bytes + PADDING);
    with_decompressor(|decompressor| decompressor.decompress_to_buffer(stored, &mut bytes).ok())?;
    if bytes.len() != raw_bytes {
        return None;
    }
    bytes.resize(raw_bytes + PADDING, 0);
    Some(bytes)
}

/// Decompresses into `bytes`, and gives how many it were. The caller has seen that so many are justified.
pub(super) fn decompress_to(stored: &[u8], bytes: &mut [u8]) -> Option<usize> {
    with_decompressor(|decompressor| decompressor.decompress_to_buffer(stored, bytes).ok())
}

fn with_decompressor<T>(act: impl FnOnce(&mut Decompressor<'static>) -> Option<T>) -> Option<T> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = Decompressor::new().ok();
        }
        act(decompressor.as_mut()?)
    })
}

/// Reads a page and hands it on, in memory that the thread uses again: most of what is read is decompressed or decoded at once.
pub(super) fn with_page<T>(input: &dyn ReadAt, offset: u64, length: usize, act: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    // Taken, not borrowed: `act` may read another page.
    let mut memory = STORED.take();
    let end = length + PADDING;
    if memory.len() < end {
        memory.resize(end, 0);
    }
    fill(input, offset, memory.get_mut(..length).unwrap_or_default())?;
    memory.get_mut(length..end).unwrap_or_default().fill(0);
    let result = act(memory.get(..end).unwrap_or_default());
    if memory.capacity() <= STORED_BYTES_KEPT {
        STORED.set(memory);
    }
    Ok(result)
}

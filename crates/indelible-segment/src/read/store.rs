//! Values one behind the other, and those of them that are numbered.

use std::ops::Range;

use indelible_format::head::is_action;
use indelible_format::{Class, Outcome, Severity};

use crate::column::Column;
use crate::layout::is_plain;

/// Words of a dictionary whose codes are kept; a writer of ours has a handful.
const CODES_MAX: usize = 256;
/// Bytes of a dictionary up to which its values are taken to lie in a near cache.
const NEAR_BYTES: usize = 64 << 10;

/// Texts, or values of one length, one behind the other.
#[derive(Debug)]
pub(crate) enum Store {
    /// PLAIN as it was read, and where each text begins: behind its length. One more entry than texts, as if another followed.
    Texts(Vec<u8>, Vec<u32>),
    /// Values of this many bytes, how many there are, and perhaps something behind them.
    Fixed(Vec<u8>, usize, usize),
}

impl Store {
    /// Reads `count` values from the front of `bytes`. `None`: there are not as many, more, or a text that is no UTF-8 where it must be.
    pub(crate) fn read(bytes: Vec<u8>, length: usize, count: usize, fixed: Option<usize>, is_text: bool) -> Option<Self> {
        let plain = bytes.get(..length)?;
        if let Some(size) = fixed {
            return (plain.len() == count.checked_mul(size)?).then_some(Self::Fixed(bytes, size, count));
        }
        // Every text has a length of four bytes.
        if count > plain.len() / 4 {
            return None;
        }
        let mut starts = Vec::with_capacity(count + 1);
        let mut at = 4;
        let mut rest = plain;
        for _ in 0..count {
            starts.push(u32::try_from(at).ok()?);
            let (text_length, tail) = rest.split_first_chunk()?;
            let (text, tail) = tail.split_at_checked(u32::from_le_bytes(*text_length) as usize)?;
            if is_text && !text.is_ascii() && std::str::from_utf8(text).is_err() {
                return None;
            }
            at += text.len() + 4;
            rest = tail;
        }
        starts.push(u32::try_from(at).ok()?);
        rest.is_empty().then_some(Self::Texts(bytes, starts))
    }

    /// The values of these slots alone, of the `count` values of a page. Of the others only the lengths in front are looked at.
    pub(super) fn read_some(
        plain: &[u8],
        count: usize,
        fixed: Option<usize>,
        is_text: bool,
        slots: Range<usize>,
    ) -> Option<Self> {
        if slots.end > count {
            return None;
        }
        if let Some(size) = fixed {
            let bytes = plain.get(slots.start.checked_mul(size)?..slots.end.checked_mul(size)?)?;
            return (plain.len() == count.checked_mul(size)?).then(|| Self::Fixed(bytes.to_vec(), size, slots.len()));
        }
        let pass = |mut rest: &'_ [u8], texts: usize| {
            for _ in 0..texts {
                let (length, tail) = rest.split_first_chunk()?;
                rest = tail.get(u32::from_le_bytes(*length) as usize..)?;
            }
            Some(rest.len())
        };
        let from = plain.len() - pass(plain, slots.start)?;
        let wanted = plain.get(from..)?;
        let wanted = wanted.get(..wanted.len() - pass(wanted, slots.len())?)?;
        Self::read(wanted.to_vec(), wanted.len(), slots.len(), None, is_text)
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Texts(_, starts) => starts.len().saturating_sub(1),
            Self::Fixed(_, _, count) => *count,
        }
    }

    #[inline]
    pub(crate) fn get(&self, nth: usize) -> Option<&[u8]> {
        match self {
            Self::Texts(bytes, starts) => {
                let [start, next] = *starts.get(nth..)?.first_chunk()?;
                bytes.get(start as usize..(next - 4) as usize)
            }
            Self::Fixed(bytes, size, count) => {
                let at = nth * size;
                if nth < *count { bytes.get(at..at + size) } else { None }
            }
        }
    }

    /// What the values lie in.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Texts(bytes, _) | Self::Fixed(bytes, ..) => bytes,
        }
    }

    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Texts(bytes, starts) => bytes.capacity() + starts.capacity() * 4,
            Self::Fixed(bytes, ..) => bytes.capacity(),
        }
    }
}

/// The distinct values of a column, as far as its pages have numbers instead of values.
#[derive(Debug)]
pub struct Dictionary {
    pub(super) store: Store,
    /// Whether all of them are known to be actions: of that column only.
    pub(super) are_actions: bool,
    /// Whether all of them stand in a JSON string as they are.
    pub(super) is_plain: bool,
    /// Of outcome, severity and class: the byte that stands for each word in a record, as far as it is one.
    codes: Vec<Option<u8>>,
}

impl Dictionary {
    pub(crate) fn new(store: Store, column: Column) -> Self {
        let is_plain = (0..store.len()).all(|nth| store.get(nth).is_some_and(is_plain));
        let codes = match column {
            Column::Outcome | Column::Severity | Column::Class => {
                (0..store.len().min(CODES_MAX)).map(|nth| code(column, store.get(nth)?)).collect()
            }
            _ => Vec::new(),
        };
        let is_one = |nth| store.get(nth).and_then(|value| std::str::from_utf8(value).ok()).is_some_and(is_action);
        let are_actions = column == Column::Action && (0..store.len()).all(is_one);
        Self { store, are_actions, is_plain, codes }
    }

    /// The byte that stands for a word of outcome, severity or class.
    #[inline]
    pub(super) fn code(&self, index: u32) -> Option<u8> {
        *self.codes.get(index as usize)?
    }

    /// Whether its values are too many to lie in a near cache all the time.
    pub(super) const fn is_far(&self) -> bool {
        match &self.store {
            Store::Texts(bytes, _) => bytes.len() >= NEAR_BYTES,
            Store::Fixed(..) => false,
        }
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value; numbers are eight or four bytes, the lowest first.
    #[must_use]
    pub fn bytes(&self, index: u32) -> Option<&[u8]> {
        self.store.get(index as usize)
    }

    /// A value as text.
    #[must_use]
    pub fn text(&self, index: u32) -> Option<&str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.memory() + size_of::<Self>()
    }
}

/// The byte that stands in a record for a word of outcome, severity or class.
pub(super) fn code(column: Column, word: &[u8]) -> Option<u8> {
    let word = std::str::from_utf8(word).ok()?;
    match column {
        Column::Outcome => word.parse().ok().map(Outcome::byte),
        Column::Severity => word.parse().ok().map(Severity::byte),
        Column::Class => word.parse().ok().map(Class::byte),
        _ => None,
    }
}

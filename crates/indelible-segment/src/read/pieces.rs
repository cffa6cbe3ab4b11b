//! Dictionaries in pieces: one text without the others.
//!
//! A large dictionary is stored as Zstandard frames one behind the other, each of some whole texts ([`crate::write`]). Any reader decompresses
//! them all at once and need not know. A question that shows a hundred rows of a hundred segments would do that for megabytes of each: here
//! it decompresses the frame that a text is in. Where the frames are is found out once, when the page's checksum is compared; each has a
//! checksum of its own from then on. A dictionary that is not in such pieces is read as a whole, as before.

use std::sync::Arc;

use super::decode::{Raw, decompress_to};
use super::page::{Page, Shape, Values};
use super::presence::Presence;
use super::source::read_exact;
use super::store::{Dictionary, Store};
use super::{Segment, decode};
use crate::cache::{Cached, Key, PageCache};
use crate::codec::{crc32, frame};
use crate::column::{Column, Kind};
use crate::encoding::bits::PADDING;
use crate::error::{Result, SegmentError};

/// A dictionary page of fewer bytes is read as a whole.
const STORED_BYTES_MIN: u32 = 16 << 10;
/// A frame of more bytes is no piece.
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// Where the pieces of a dictionary are; none: it is not in pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Box<[Piece]>,
    /// How many texts there are in all.
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// In the file.
    offset: u64,
    stored: u32,
    raw: u32,
    /// The number of its first text.
    first: u32,
    crc: u32,
}

/// Sixteen bits of a checksum of each text, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Prints(Box<[u16]>);

fn print(text: &[u8]) -> u16 {
    let [a, b, c, d] = crc32(text).to_le_bytes();
    u16::from_le_bytes([a, b]) ^ u16::from_le_bytes([c, d])
}

impl Pieces {
    /// Of a dictionary page that begins at `offset` of the file; [`PADDING`] is behind it. `None`: it was changed.
    fn read(bytes: &[u8], offset: u64, column: Column) -> Option<Self> {
        let (stored, start, raw_bytes, values) = Raw::read(bytes)?.dictionary()?;
        let whole = Some(Self::default());
        let (mut pieces, mut at, mut count, mut left) = (Vec::new(), 0, 0u32, raw_bytes);
        let mut memory = Vec::new();
        while at < stored.len() {
            let rest = stored.get(at..)?;
            let Some((length, raw)) = frame(rest).filter(|(length, raw)| *length > 0 && *raw <= PIECE_BYTES_MAX) else {
                return whole;
            };
            let (Some(own), Ok(raw)) = (rest.get(..length), usize::try_from(raw)) else { return whole };
            if raw > left {
                return None;
            }
            let Some(texts) = texts_of(own, raw, column, &mut memory) else { return whole };
            pieces.push(Piece {
                offset: offset + (start + at) as u64,
                stored: u32::try_from(length).ok()?,
                raw: u32::try_from(raw).ok()?,
                first: count,
                crc: crc32(own),
            });
            count = count.checked_add(u32::try_from(texts.len()).ok()?)?;
            at += length;
            left -= raw;
        }
        if left > 0 || count as usize != values {
            return None;
        }
        if pieces.len() < 2 { whole } else { Some(Self { pieces: pieces.into(), count }) }
    }

    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.pieces)
    }
}

impl Prints {
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.len() * 2
    }
}

/// The texts of one frame; `None`: they are not whole, or none.
fn texts_of(stored: &[u8], raw: usize, column: Column, memory: &mut Vec<u8>) -> Option<Store> {
    memory.clear();
    memory.resize(raw, 0);
    if decompress_to(stored, memory)? != raw {
        return None;
    }
    let mut count = 0;
    let mut rest = memory.as_slice();
    while let Some((length, tail)) = rest.split_first_chunk() {
        rest = tail.get(u32::from_le_bytes(*length) as usize..)?;
        count += 1;
    }
    Store::read(memory.clone(), raw, count, None, column.kind() == Kind::Text)
}

impl Segment {
    /// The pieces of a column's dictionary. `None`: it has none, or is read as a whole.
    pub(super) fn pieces(&self, column: Column, cache: &PageCache) -> Result<Option<Arc<Pieces>>> {
        let places = self.columns.of(column);
        let Some((offset, bytes)) = places.dictionary else { return Ok(None) };
        if bytes < STORED_BYTES_MIN || !places.is_compressed || column.fixed_bytes().is_some() {
            return Ok(None);
        }
        let key = Key::pieces(self.id, column);
        let pieces = match cache.pieces(&key) {
            Some(pieces) => pieces,
            None => {
                let page = read_exact(&*self.input, offset, bytes as usize, PADDING).map_err(SegmentError::Io)?;
                let pieces = Pieces::read(&page, offset, column).ok_or_else(|| self.damaged("a dictionary was changed", 0))?;
                let pieces = Arc::new(pieces);
                cache.count_read(u64::from(bytes));
                cache.keep(key, Cached::Pieces(Arc::clone(&pieces)));
                pieces
            }
        };
        Ok(Some(pieces).filter(|pieces| !pieces.pieces.is_empty()))
    }

    /// A piece, as a dictionary of its own.
    fn piece(&self, column: Column, nth: usize, piece: &Piece, cache: &PageCache) -> Result<Arc<Dictionary>> {
        let key = Key::piece(self.id, column, u32::try_from(nth).unwrap_or(u32::MAX));
        if let Some(texts) = cache.dictionary(&key) {
            return Ok(texts);
        }
        let texts = self.load_piece(column, piece)?;
        cache.count_read(u64::from(piece.stored));
        if cache.was_asked(&key) {
            cache.keep(key, Cached::Dictionary(Arc::clone(&texts)));
        }
        Ok(texts)
    }

    fn load_piece(&self, column: Column, piece: &Piece) -> Result<Arc<Dictionary>> {
        let texts = decode::with_page(&*self.input, piece.offset, piece.stored as usize, |bytes| {
            let stored = bytes.get(..piece.stored as usize).filter(|stored| crc32(stored) == piece.crc)?;
            texts_of(stored, piece.raw as usize, column, &mut Vec::new())
        });
        let texts = texts.map_err(SegmentError::Io)?.ok_or_else(|| self.damaged("a dictionary was changed", 0))?;
        Ok(Arc::new(Dictionary::new(texts, column)))
    }

    /// The piece with this number of the dictionary, and its number there.
    fn text(&self, column: Column, pieces: &Pieces, word: u32, cache: &PageCache) -> Result<(Arc<Dictionary>, u32)> {
        let nth = pieces.pieces.partition_point(|piece| piece.first <= word).checked_sub(1);
        let found = nth.and_then(|nth| Some((nth, pieces.pieces.get(nth)?))).filter(|_| word < pieces.count);
        let (nth, piece) = found.ok_or_else(|| self.damaged("a page has a value that its dictionary has not", 0))?;
        Ok((self.piece(column, nth, piece, cache)?, word - piece.first))
    }

    /// One row of page `nth`, as a page of its own.
    pub(super) fn row_in_pieces(
        &self,
        column: Column,
        nth: usize,
        row: u32,
        pieces: &Pieces,
        cache: &PageCache,
    ) -> Result<Arc<Page>> {
        let places = self.columns.of(column);
        let key = Key::bare(self.id, column, u32::try_from(nth).unwrap_or(u32::MAX));
        let page = match cache.page(&key) {
            Some(page) => page,
            None if cache.was_asked(&key) => self.load_bare(column, nth, key, cache)?,
            None => {
                cache.count_read(places.pages.get(nth).map_or(0, |page| u64::from(page.bytes)));
                let first_row = self.page_rows(places, nth).start;
                let row = self.read_page(column, nth, &mut || Ok(None), |raw, _| {
                    raw.into_row(column, row - first_row, row, places.is_compressed, None)
                });
                Arc::new(row?)
            }
        };
        if page.is_numbered() { self.spell(&page, row, pieces, cache).map(Arc::new) } else { Ok(page) }
    }

    fn load_bare(&self, column: Column, nth: usize, key: Key, cache: &PageCache) -> Result<Arc<Page>> {
        let places = self.columns.of(column);
        cache.count_read(places.pages.get(nth).map_or(0, |page| u64::from(page.bytes)));
        let page = Arc::new(self.load(column, nth, &mut || Ok(None))?);
        cache.keep(key, Cached::Page(Arc::clone(&page)));
        Ok(page)
    }

    /// A row with its texts instead of their numbers.
    fn spell(&self, page: &Page, row: u32, pieces: &Pieces, cache: &PageCache) -> Result<Page> {
        let column = page.column;
        let mut words = Vec::new();
        page.indices_in(row..row + 1, &mut words);
        let elements = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let (presence, _) = Presence::of(words.iter().map(|word| *word != u32::MAX));
        words.retain(|word| *word != u32::MAX);
        let shape = match (column.is_list(), elements) {
            (false, _) => Shape::OneEach,
            (true, 0) => Shape::Empty,
            (true, _) => Shape::Lists(vec![0, elements]),
        };
        let (mut values, mut dictionary) = (Values::Empty, None);
        match words.as_slice() {
            [] => {}
            [word] => {
                let (texts, word) = self.text(column, pieces, *word, cache)?;
                values = Values::Same(word);
                dictionary = Some(texts);
            }
            words => {
                let mut plain = Vec::new();
                for word in words {
                    let (texts, word) = self.text(column, pieces, *word, cache)?;
                    let text = texts.bytes(word).unwrap_or_default();
                    plain.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                    plain.extend_from_slice(text);
                }
                let length = plain.len();
                let store = Store::read(plain, length, words.len(), None, false);
                values = Values::Store(store.ok_or_else(|| self.damaged("a dictionary was changed", row))?);
            }
        }
        Ok(Page { column, first_row: row, rows: 1, shape, presence, values, dictionary })
    }

    /// The numbers that a text has in a column's dictionary, if that is in pieces: those are then the ones in the pages that
    /// [`numbers_page`](Self::numbers_page) gives. `None`: it is read as a whole, with [`page`](Self::page).
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn numbers_of(&self, column: Column, text: &[u8], cache: &PageCache) -> Result<Option<Vec<u32>>> {
        let Some(pieces) = self.pieces(column, cache)? else { return Ok(None) };
        let prints = self.prints(column, &pieces, cache)?;
        let wanted = print(text);
        let mut found = Vec::new();
        for (chunk, first) in prints.0.chunks(64).zip((0u32..).step_by(64)) {
            // All of a chunk, without looking where: so it takes a few instructions.
            if !chunk.iter().fold(false, |any, print| any | (*print == wanted)) {
                continue;
            }
            for (_, word) in chunk.iter().zip(first..).filter(|(print, _)| **print == wanted) {
                let (texts, at) = self.text(column, &pieces, word, cache)?;
                if texts.bytes(at) == Some(text) {
                    found.push(word);
                }
            }
        }
        Ok(Some(found))
    }

    fn prints(&self, column: Column, pieces: &Pieces, cache: &PageCache) -> Result<Arc<Prints>> {
        let key = Key::prints(self.id, column);
        if let Some(prints) = cache.prints(&key) {
            return Ok(prints);
        }
        let mut prints = Vec::with_capacity(pieces.count as usize);
        for piece in &pieces.pieces {
            let texts = self.load_piece(column, piece)?;
            prints.extend((0u32..).map_while(|word| texts.bytes(word)).map(print));
        }
        let prints = Arc::new(Prints(prints.into()));
        cache.keep(key, Cached::Prints(Arc::clone(&prints)));
        Ok(prints)
    }

    /// The page that holds a row, with numbers of a dictionary but without the dictionary, unless it has values of its own
    /// ([`Page::is_numbered`]).
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn numbers_page(&self, column: Column, row: u32, cache: &PageCache) -> Result<Arc<Page>> {
        let nth = self.page_of(self.columns.of(column), row)?;
        let key = Key::bare(self.id, column, u32::try_from(nth).unwrap_or(u32::MAX));
        match cache.page(&key) {
            Some(page) => Ok(page),
            None => self.load_bare(column, nth, key, cache),
        }
    }
}

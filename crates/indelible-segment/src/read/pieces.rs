//! Dictionaries in pieces: one text without the others.
//!
//! A large dictionary is stored as Zstandard frames one behind the other, each of some whole texts ([`crate::write`]). Any reader decompresses
//! them all at once and need not know. A question that shows a hundred rows of a hundred segments would do that for megabytes of each: here
//! it decompresses the frame that a text is in. Where the frames are, and which texts are in each, a block of the file says ([`crate::pieces`]);
//! where it does not, that is found out once, when the page's checksum is compared. Either is kept with the segment, with a checksum of each
//! frame. A dictionary that is not in such pieces is read as a whole, as before.

use std::sync::Arc;

use super::Segment;
use super::decode::{Raw, decompress_to, with_page};
use super::open::{BlockPlace, damaged};
use super::page::{Page, Shape, Values};
use super::presence::Presence;
use super::store::{Dictionary, Store};
use crate::cache::{Cached, Key, PageCache};
use crate::codec::{crc32, frame};
use crate::column::{Column, Kind, PerColumn};
use crate::error::{Result, SegmentError};
use crate::limits::may_become;
use crate::pieces::{self, PieceList};

/// A dictionary page of fewer bytes is read as a whole.
const STORED_BYTES_MIN: u32 = 16 << 10;
const CHANGED: &str = "a dictionary was changed";
const LISTS_CHANGED: &str = "the list of its dictionaries' pieces was changed";
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

/// The pieces of a dictionary page, as [`Raw::read`] takes it; none: it is not in pieces. `None`: it was changed.
fn look_through(column: Column, page: &[u8]) -> Option<PieceList> {
    let (stored, start, raw_bytes, values) = Raw::read(page)?.dictionary(column)?;
    let whole = Some(PieceList::default());
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
        let Some(texts) = decompressed(own, raw, &mut memory).and_then(|()| counted(&memory)) else { return whole };
        pieces.push(pieces::Piece::new(own, raw, texts as usize));
        count = count.checked_add(texts)?;
        at += length;
        left -= raw;
    }
    if left > 0 || count as usize != values {
        return None;
    }
    if pieces.len() < 2 { whole } else { Some(PieceList { start: u32::try_from(start).ok()?, pieces }) }
}

impl Pieces {
    /// Of a dictionary page at `offset` of the file. `None`: they do not fit to it, or claim what so many bytes cannot hold.
    fn new(column: Column, list: &PieceList, offset: u64, page_bytes: u32) -> Option<Self> {
        if list.pieces.is_empty() {
            return Some(Self::default());
        }
        let raw_bytes: u64 = list.pieces.iter().map(|piece| u64::from(piece.raw)).sum();
        if !may_become(column, usize::try_from(raw_bytes).ok()?, page_bytes as usize) {
            return None;
        }
        let (mut at, mut count, mut pieces) = (offset + u64::from(list.start), 0u32, Vec::with_capacity(list.pieces.len()));
        for pieces::Piece { stored, raw, texts, crc } in list.pieces.iter().copied() {
            // Each text stands behind a length of four bytes.
            if u64::from(raw) > PIECE_BYTES_MAX || texts == 0 || texts > raw / 4 {
                return None;
            }
            pieces.push(Piece { offset: at, stored, raw, first: count, crc });
            at += u64::from(stored);
            count = count.checked_add(texts)?;
        }
        (list.page_bytes() == u64::from(page_bytes)).then(|| Self { pieces: pieces.into(), count })
    }

    /// How many texts a piece has.
    fn texts(&self, nth: usize) -> u32 {
        let first = |nth: usize| self.pieces.get(nth).map_or(self.count, |piece| piece.first);
        first(nth + 1) - first(nth)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The piece that has this number.
    fn find(&self, word: u32) -> Option<(usize, &Piece)> {
        let nth = self.pieces.partition_point(|piece| piece.first <= word).checked_sub(1)?;
        self.pieces.get(nth).filter(|_| word < self.count).map(|piece| (nth, piece))
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.pieces)
    }
}

impl Prints {
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.len() * 2
    }
}

/// Decompresses a frame into `memory`, which is exactly as long then.
fn decompressed(stored: &[u8], raw: usize, memory: &mut Vec<u8>) -> Option<()> {
    memory.resize(raw, 0);
    (decompress_to(stored, memory)? == raw).then_some(())
}

/// Texts one behind the other, each behind its length of four bytes; ends with `None` where they are not whole.
fn texts(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let here = rest.take().filter(|here| !here.is_empty())?;
        let text =
            here.split_first_chunk().and_then(|(length, tail)| tail.split_at_checked(u32::from_le_bytes(*length) as usize));
        rest = text.map(|(_, tail)| tail);
        Some(text.map(|(text, _)| text))
    })
}

/// How many texts there are. `None`: they are not whole.
fn counted(bytes: &[u8]) -> Option<u32> {
    texts(bytes).try_fold(0u32, |count, text| text.and_then(|_| count.checked_add(1)))
}

/// The piece of a dictionary that was decompressed last: neighbouring rows often say the same.
#[derive(Debug, Default)]
pub(super) struct Speller {
    /// Which piece it is, if any.
    nth: Option<usize>,
    memory: Vec<u8>,
}

impl Segment {
    /// The pieces of a column's dictionary. `None`: it has none, or is read as a whole.
    pub(super) fn pieces(&self, column: Column, cache: &PageCache) -> Result<Option<&Pieces>> {
        let own = self.columns.of(column);
        let Some((offset, bytes)) = own.dictionary else { return Ok(None) };
        if bytes < STORED_BYTES_MIN || !own.is_compressed || column.fixed_bytes().is_some() {
            return Ok(None);
        }
        if own.pieces.get().is_none() {
            self.take_piece_lists(cache)?;
        }
        let pieces = match own.pieces.get() {
            Some(pieces) => pieces,
            None => {
                let list = self.look_through(column)?;
                let pieces = Pieces::new(column, &list, offset, bytes).ok_or_else(|| self.damaged(CHANGED, 0))?;
                cache.count_read(u64::from(bytes));
                own.pieces.get_or_init(|| self.counted(pieces, Pieces::memory))
            }
        };
        Ok(Some(&**pieces).filter(|pieces| !pieces.is_empty()))
    }

    /// The pieces of a dictionary as its page gives them.
    fn look_through(&self, column: Column) -> Result<PieceList> {
        let Some((offset, bytes)) = self.columns.of(column).dictionary else { return Ok(PieceList::default()) };
        let read = with_page(&*self.input, offset, bytes as usize, |page| look_through(column, page));
        read.map_err(SegmentError::Io)?.ok_or_else(|| self.damaged(CHANGED, 0))
    }

    /// Notes the pieces of all dictionaries that are listed.
    fn take_piece_lists(&self, cache: &PageCache) -> Result<()> {
        let Some(place) = &self.piece_lists else { return Ok(()) };
        cache.count_read(place.bytes);
        for (column, list) in self.piece_lists(place)?.iter().filter(|(_, list)| !list.pieces.is_empty()) {
            let own = self.columns.of(column);
            let pieces = own.dictionary.and_then(|(offset, bytes)| Pieces::new(column, list, offset, bytes));
            let pieces = pieces.ok_or_else(|| self.damaged(LISTS_CHANGED, 0))?;
            own.pieces.get_or_init(|| self.counted(pieces, Pieces::memory));
        }
        Ok(())
    }

    fn piece_lists(&self, place: &BlockPlace) -> Result<PerColumn<PieceList>> {
        pieces::decode(&place.read(&self.file(), LISTS_CHANGED)?).ok_or(damaged(LISTS_CHANGED))
    }

    /// Looks through the dictionaries whose pieces are listed, and names the columns of which the list says anything else; `None`: there is no
    /// telling which.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a dictionary that cannot be read at all.
    pub(super) fn false_piece_lists(&self) -> Result<Vec<Option<Column>>> {
        let Some(place) = &self.piece_lists else { return Ok(Vec::new()) };
        let lists = match self.piece_lists(place) {
            Ok(lists) => lists,
            Err(SegmentError::Damaged { .. }) => return Ok(vec![None]),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for (column, list) in lists.iter().filter(|(_, list)| !list.pieces.is_empty()) {
            if self.look_through(column)? != *list {
                found.push(Some(column));
            }
        }
        Ok(found)
    }

    /// Reads a piece, and gives what `act` makes of its texts.
    fn with_piece<T>(
        &self,
        pieces: &Pieces,
        nth: usize,
        memory: &mut Vec<u8>,
        act: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> Result<T> {
        let Some(piece) = pieces.pieces.get(nth) else { return Err(self.damaged(CHANGED, 0)) };
        let read = with_page(&*self.input, piece.offset, piece.stored as usize, |bytes| {
            let stored = bytes.get(..piece.stored as usize).filter(|stored| crc32(stored) == piece.crc)?;
            decompressed(stored, piece.raw as usize, memory)?;
            (counted(memory)? == pieces.texts(nth)).then_some(())
        });
        let read = read.map_err(SegmentError::Io)?.and_then(|()| act(memory));
        read.ok_or_else(|| self.damaged(CHANGED, 0))
    }

    /// A piece, as a dictionary of its own.
    fn load_piece(&self, column: Column, pieces: &Pieces, nth: usize) -> Result<Arc<Dictionary>> {
        self.with_piece(pieces, nth, &mut Vec::new(), |memory| {
            let (count, length) = (pieces.texts(nth), memory.len());
            let store = Store::read(std::mem::take(memory), length, count as usize, None, column.kind() == Kind::Text)?;
            Some(Arc::new(Dictionary::new(store, column)))
        })
    }

    /// Appends the text with this number of a column's dictionary, behind its length.
    fn spell_one(
        &self,
        column: Column,
        pieces: &Pieces,
        word: u32,
        cache: &PageCache,
        speller: &mut Speller,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let found = pieces.find(word);
        let (nth, piece) = found.ok_or_else(|| self.damaged("a page has a value that its dictionary has not", 0))?;
        let key = Key::piece(self.id, column, u32::try_from(nth).unwrap_or(u32::MAX));
        let mut append = |text: &[u8]| {
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(text);
        };
        if speller.nth != Some(nth) {
            let mut known = cache.dictionary(&key);
            if known.is_none() && cache.was_asked(&key) {
                cache.count_read(u64::from(piece.stored));
                let whole = self.load_piece(column, pieces, nth)?;
                cache.keep(key, Cached::Dictionary(Arc::clone(&whole)));
                known = Some(whole);
            }
            if let Some(known) = known {
                append(known.bytes(word - piece.first).unwrap_or_default());
                return Ok(());
            }
            cache.count_read(u64::from(piece.stored));
            speller.nth = None;
            self.with_piece(pieces, nth, &mut speller.memory, |_| Some(()))?;
            speller.nth = Some(nth);
        }
        let text = texts(&speller.memory).nth((word - piece.first) as usize).flatten();
        text.map(append).ok_or_else(|| self.damaged(CHANGED, 0))
    }

    /// A row of a page of numbers, with its texts instead.
    pub(super) fn spell(&self, page: &Page, row: u32, pieces: &Pieces, cache: &PageCache, speller: &mut Speller) -> Result<Page> {
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
        let mut values = Values::Empty;
        if !words.is_empty() {
            let mut plain = Vec::new();
            for word in &words {
                self.spell_one(column, pieces, *word, cache, speller, &mut plain)?;
            }
            let length = plain.len();
            let store = Store::read(plain, length, words.len(), None, column.kind() == Kind::Text);
            values = Values::Store(store.ok_or_else(|| self.damaged(CHANGED, row))?);
        }
        Ok(Page { column, first_row: row, rows: 1, shape, presence, values, dictionary: None })
    }

    /// A page without the dictionary of its column; kept.
    pub(super) fn load_bare(&self, column: Column, nth: usize, key: Key, cache: &PageCache) -> Result<Arc<Page>> {
        cache.count_read(self.places(column)?.get(nth).map_or(0, |page| u64::from(page.bytes)));
        let page = Arc::new(self.load(column, nth, &mut || Ok(None))?);
        cache.keep(key, Cached::Page(Arc::clone(&page)));
        Ok(page)
    }

    /// The numbers that a text has in a column's dictionary, if that is in pieces: those are then the ones in the pages that
    /// [`numbers_page`](Self::numbers_page) gives. `None`: it is read as a whole, with [`page`](Self::page).
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn numbers_of(&self, column: Column, text: &[u8], cache: &PageCache) -> Result<Option<Vec<u32>>> {
        let Some(pieces) = self.pieces(column, cache)? else { return Ok(None) };
        let prints = self.prints(column, pieces, cache)?;
        let wanted = print(text);
        let (mut found, mut speller, mut spelled) = (Vec::new(), Speller::default(), Vec::new());
        for (chunk, first) in prints.0.chunks(64).zip((0u32..).step_by(64)) {
            // All of a chunk, without looking where: so it takes a few instructions.
            if !chunk.iter().fold(false, |any, print| any | (*print == wanted)) {
                continue;
            }
            for (_, word) in chunk.iter().zip(first..).filter(|(print, _)| **print == wanted) {
                spelled.clear();
                self.spell_one(column, pieces, word, cache, &mut speller, &mut spelled)?;
                if spelled.get(4..) == Some(text) {
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
        let (mut prints, mut memory) = (Vec::with_capacity(pieces.count as usize), Vec::new());
        for (nth, piece) in pieces.pieces.iter().enumerate() {
            cache.count_read(u64::from(piece.stored));
            self.with_piece(pieces, nth, &mut memory, |memory| {
                prints.extend(texts(memory).flatten().map(print));
                Some(())
            })?;
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
        let nth = self.page_of(self.places(column)?, row)?;
        let key = Key::bare(self.id, column, u32::try_from(nth).unwrap_or(u32::MAX));
        match cache.page(&key) {
            Some(page) => Ok(page),
            None => self.load_bare(column, nth, key, cache),
        }
    }
}

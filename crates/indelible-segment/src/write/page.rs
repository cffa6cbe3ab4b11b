//! One page as it stands in the file: header, checksum, levels, and values that are compressed where that pays.

use crate::codec::{Compressor, Crc32, compress_bound, compressor};
use crate::container::page_header::{Body, PageHeader};
use crate::encoding::rle;
use crate::error::{Result, SegmentError};
use crate::limits::is_justified;
use crate::pieces::{Piece, PieceList};

/// Values shorter than this are not worth a look.
const COMPRESS_BYTES_MIN: usize = 64;
/// Bytes of texts of a dictionary that are compressed together, about, so that one is read without the others; a shorter dictionary is one piece.
const PIECE_BYTES: usize = 8 << 10;
const PIECES_BYTES_MIN: usize = 64 << 10;
/// Pages of a column that are not tried after one that compression did not make small enough.
const PAGES_NOT_TRIED: u8 = 7;

/// Memory that is kept from page to page: one of large texts needs more.
const SPARE_BYTES: usize = 1 << 20;

/// What pages are made with, kept from page to page.
pub(crate) struct PageMaker {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
    /// Whether `packed` holds `values` compressed and is to be written instead, if that was decided before.
    decided: Option<bool>,
    pub(crate) levels: Vec<u8>,
    pub(crate) values: Vec<u8>,
}

/// Whether the pages of a column were worth compressing of late.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habit {
    skip: u8,
}

impl PageMaker {
    pub(crate) fn new(level: i32) -> Result<Self> {
        Ok(Self {
            compressor: compressor(level).map_err(SegmentError::Io)?,
            packed: Vec::new(),
            decided: None,
            levels: Vec::new(),
            values: Vec::new(),
        })
    }

    /// Compresses `values` into `packed`.
    fn compress(&mut self) -> Result<()> {
        self.packed.clear();
        self.packed.reserve(compress_bound(self.values.len()));
        self.compressor.compress_to_buffer(&self.values, &mut self.packed).map_err(SegmentError::Io)?;
        Ok(())
    }

    /// Compresses `values`, if the habit is not against it, and says whether that makes a page small enough that would have `bytes`.
    fn pays(&mut self, bytes: usize, habit: &mut Habit) -> Result<bool> {
        if habit.skip > 0 {
            habit.skip -= 1;
            return Ok(false);
        }
        if bytes < COMPRESS_BYTES_MIN {
            return Ok(false);
        }
        self.compress()?;
        // A page is read far more often than written: a fifth at least must be won.
        let pays = self.packed.len() * 5 <= bytes * 4 && is_justified(self.values.len(), self.packed.len());
        if !pays {
            habit.skip = PAGES_NOT_TRIED;
        }
        Ok(pays)
    }

    /// Appends numbers in a dictionary, of which the largest has `width` bits, to `values`: so that they end where bytes end and
    /// compressed, if that is smaller than in as many bits as they need. (Zstandard sees bytes; what lies across them is noise to it.)
    pub(crate) fn words(&mut self, words: &[u32], width: u32, habit: &mut Habit) -> Result<()> {
        let needed = (words.len() * width as usize).div_ceil(8);
        let start = self.values.len();
        if habit.skip == 0 {
            let aligned = if width <= 4 { width.next_power_of_two() } else { width.next_multiple_of(8) };
            self.put_words(words, aligned);
            if self.pays(needed, habit)? {
                self.decided = Some(true);
                return Ok(());
            }
            self.values.truncate(start);
        } else {
            habit.skip -= 1;
        }
        self.put_words(words, width);
        self.decided = Some(false);
        Ok(())
    }

    fn put_words(&mut self, words: &[u32], width: u32) {
        self.values.push(u8::try_from(width).unwrap_or(0));
        rle::put_packed(words.iter().copied(), width, &mut self.values);
    }

    /// Appends a data page of `levels` and `values`, which are then empty. `body` says what is in them; whether they are compressed is
    /// decided here. Gives the bytes of the page before compression, its header included.
    pub(crate) fn data_page(&mut self, body: Body, habit: &mut Habit, out: &mut Vec<u8>) -> Result<usize> {
        let raw_bytes = self.levels.len() + self.values.len();
        let pays = match self.decided.take() {
            Some(decided) => decided,
            None => self.pays(self.values.len(), habit)?,
        };
        let body = match body {
            Body::Data { entries, nulls, rows, encoding, definition_bytes, repetition_bytes, .. } => {
                Body::Data { entries, nulls, rows, encoding, definition_bytes, repetition_bytes, compressed: pays }
            }
            body @ Body::Dictionary { .. } => body,
        };
        let stored = if pays { &self.packed } else { &self.values };
        let header_bytes = put(body, raw_bytes, &self.levels, stored, out);
        self.levels.clear();
        for spare in [&mut self.values, &mut self.packed] {
            spare.clear();
            spare.shrink_to(SPARE_BYTES);
        }
        Ok(header_bytes + raw_bytes)
    }

    /// Appends a dictionary page of `values`, which are then empty; whether dictionaries are compressed is said by the column, so they are.
    /// Gives the bytes of the page before compression, its header included, and its pieces.
    pub(crate) fn dictionary_page(&mut self, values: usize, is_text: bool, out: &mut Vec<u8>) -> Result<(usize, PieceList)> {
        let raw_bytes = self.values.len();
        let pieces = if is_text && raw_bytes >= PIECES_BYTES_MIN {
            self.compress_in_pieces()?
        } else {
            self.compress()?;
            Vec::new()
        };
        let header_bytes = put(Body::Dictionary { values }, raw_bytes, &[], &self.packed, out);
        self.values.clear();
        Ok((header_bytes + raw_bytes, PieceList { start: u32::try_from(header_bytes).unwrap_or(u32::MAX), pieces }))
    }

    /// Compresses `values`, texts each behind its length, into `packed`: one frame behind the other, each of whole texts. To Zstandard that
    /// is the same as one frame.
    fn compress_in_pieces(&mut self) -> Result<Vec<Piece>> {
        self.packed.clear();
        let (mut rest, mut piece, mut pieces) = (self.values.as_slice(), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (mut end, mut texts) = (0, 0);
            while end < PIECE_BYTES.min(rest.len()) {
                let length = rest.get(end..).and_then(<[u8]>::first_chunk).map_or(0, |length| u32::from_le_bytes(*length));
                end = (end + 4 + length as usize).min(rest.len());
                texts += 1;
            }
            let (front, behind) = rest.split_at(end);
            piece.clear();
            piece.reserve(compress_bound(front.len()));
            self.compressor.compress_to_buffer(front, &mut piece).map_err(SegmentError::Io)?;
            self.packed.extend_from_slice(&piece);
            pieces.push(Piece::new(&piece, front.len(), texts));
            rest = behind;
        }
        Ok(pieces)
    }
}

/// Appends a page; gives the length of its header.
fn put(body: Body, raw_bytes: usize, levels: &[u8], values: &[u8], out: &mut Vec<u8>) -> usize {
    let mut crc = Crc32::new();
    crc.update(levels);
    crc.update(values);
    let start = out.len();
    PageHeader { raw_bytes, bytes: levels.len() + values.len(), crc: Some(crc.finalize()), body }.write(out);
    let header_bytes = out.len() - start;
    out.extend_from_slice(levels);
    out.extend_from_slice(values);
    header_bytes
}

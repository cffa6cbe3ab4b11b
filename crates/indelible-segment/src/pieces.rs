//! Where the pieces of large dictionaries are, and how many texts each holds: said in a block of its own, so that who wants one text need not
//! decompress all of them once to find out. Bytes: docs/format/segment.md.

use crate::codec::crc32;
use crate::column::{Column, PerColumn};

const MAGIC: &[u8; 8] = b"INDLPCS1";

/// A Zstandard frame of whole texts, in the dictionary page of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of the frame.
    pub(crate) stored: u32,
    /// Bytes of what it holds.
    pub(crate) raw: u32,
    /// How many texts those are.
    pub(crate) texts: u32,
    /// CRC-32 of the frame.
    pub(crate) crc: u32,
}

impl Piece {
    /// Of a frame of so many texts, which take `raw` bytes.
    pub(crate) fn new(frame: &[u8], raw: usize, texts: usize) -> Self {
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        Self { stored: number(frame.len()), raw: number(raw), texts: number(texts), crc: crc32(frame) }
    }
}

/// The pieces of one dictionary: they fill its page from `start` on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PieceList {
    /// Where the first begins, counted from the page's header.
    pub(crate) start: u32,
    pub(crate) pieces: Vec<Piece>,
}

impl PieceList {
    /// Bytes of the page that they end with.
    pub(crate) fn page_bytes(&self) -> u64 {
        u64::from(self.start) + self.pieces.iter().map(|piece| u64::from(piece.stored)).sum::<u64>()
    }
}

/// The block; empty if no dictionary is in pieces.
pub(crate) fn encode(lists: &PerColumn<PieceList>) -> Vec<u8> {
    let listed = || lists.iter().filter(|(_, list)| !list.pieces.is_empty());
    let mut out = Vec::new();
    let count = listed().count();
    if count == 0 {
        return out;
    }
    let mut put = |value: u32| out.extend_from_slice(&value.to_le_bytes());
    put(u32::try_from(count).unwrap_or(u32::MAX));
    for (column, list) in listed() {
        put(u32::try_from(column.index()).unwrap_or(u32::MAX));
        put(list.start);
        put(u32::try_from(list.pieces.len()).unwrap_or(u32::MAX));
        for Piece { stored, raw, texts, crc } in &list.pieces {
            [*stored, *raw, *texts, *crc].into_iter().for_each(&mut put);
        }
    }
    out.splice(0..0, MAGIC.iter().copied());
    out
}

/// `None`: it is no such block. What it says of pages is not looked at.
pub(crate) fn decode(block: &[u8]) -> Option<PerColumn<PieceList>> {
    let (magic, mut rest) = block.split_first_chunk()?;
    let mut lists = PerColumn::new(|_| PieceList::default());
    let mut next = || {
        let (value, behind) = rest.split_first_chunk()?;
        rest = behind;
        Some(u32::from_le_bytes(*value))
    };
    let mut before = None;
    for _ in 0..(magic == MAGIC).then(&mut next)?? {
        let nth = next()? as usize;
        let column = Column::ALL.get(nth).filter(|_| before.is_none_or(|before| before < nth))?;
        before = Some(nth);
        let (start, count) = (next()?, next()?);
        // Grows with what is there: the count is only what the block says.
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push(Piece { stored: next()?, raw: next()?, texts: next()?, crc: next()? });
        }
        *lists.of_mut(*column) = PieceList { start, pieces };
    }
    rest.is_empty().then_some(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut lists = PerColumn::new(|_| PieceList::default());
        assert!(encode(&lists).is_empty());
        let piece = |nth: u32| Piece { stored: nth, raw: nth * 3, texts: 7, crc: !nth };
        *lists.of_mut(Column::Session) = PieceList { start: 31, pieces: (1..9).map(piece).collect() };
        *lists.of_mut(Column::ActorId) = PieceList { start: 30, pieces: vec![piece(1), piece(2)] };
        let block = encode(&lists);
        let same = |read: PerColumn<PieceList>| read.iter().zip(lists.iter()).all(|(read, made)| read.1 == made.1);
        assert!(decode(&block).is_some_and(same));
        for end in 0..block.len() {
            assert!(decode(&block[..end]).is_none(), "{end}");
        }
        assert!(decode(&[&block[..], b"\0"].concat()).is_none());
        // Two lists of one column, a column that there is not, a count beyond all bytes.
        for (at, value) in [(12, 200u8), (12, 255), (20, 255)] {
            let mut changed = block.clone();
            changed[at] = value;
            assert!(decode(&changed).is_none(), "{at}");
        }
    }
}

//! Texts of a page as they stand there, for who looks whether something can be in any of them before anything is taken apart.

use std::ops::Range;

use super::Segment;
use super::decode::decompress_to;
use super::source::fill;
use crate::codec::crc32;
use crate::column::Column;
use crate::container::page_header::{Body, PLAIN, PageHeader};
use crate::error::{Result, SegmentError};
use crate::limits::may_become;

impl Segment {
    /// The rows of the page that holds `row`, and their texts one behind the other, each behind its length of four bytes; nulls have none.
    /// `None`: the page has no texts of its own, but numbers of a dictionary or values of fixed length.
    ///
    /// `memory` is grown where needed and holds the texts; whoever reads page after page uses one.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    ///
    /// # Cost
    /// Reads and decompresses the page, past any cache, and compares its checksum. Levels and lengths are not looked at, nor is it known
    /// that texts are UTF-8: what is found here is looked up in [`page`](Self::page).
    pub fn plain_texts<'m>(&self, column: Column, row: u32, memory: &'m mut Vec<u8>) -> Result<Option<(Range<u32>, &'m [u8])>> {
        let places = self.places(column)?;
        let nth = self.page_of(places, row)?;
        let rows = self.page_rows(places, nth);
        let Some(place) = places.get(nth).filter(|_| column.fixed_bytes().is_none()) else { return Ok(None) };
        let changed = || self.damaged("a page was changed", rows.start);
        let length = place.bytes as usize;
        if memory.len() < length {
            memory.resize(length, 0);
        }
        fill(&*self.input, place.offset, memory.get_mut(..length).unwrap_or_default()).map_err(SegmentError::Io)?;
        let stored = memory.get(..length).unwrap_or_default();
        let (header, body) = PageHeader::read(stored).ok_or_else(changed)?;
        if body.len() != header.bytes || header.crc != Some(crc32(body)) {
            return Err(changed());
        }
        let Body::Data { rows: said, encoding, definition_bytes, repetition_bytes, compressed, entries, nulls } = header.body
        else {
            return Err(self.damaged("a page is of another kind", rows.start));
        };
        if said != rows.end - rows.start {
            return Err(self.damaged("a page has other rows than its index says", rows.start));
        }
        if encoding != PLAIN {
            return Ok(None);
        }
        let undecodable = || self.damaged("a page cannot be decoded", rows.start);
        if nulls == entries {
            return Ok(Some((rows, &[])));
        }
        let levels = repetition_bytes.checked_add(definition_bytes).ok_or_else(undecodable)?;
        let start = (length - body.len()).checked_add(levels).filter(|start| *start <= length).ok_or_else(undecodable)?;
        let raw_bytes = header.raw_bytes.checked_sub(levels).ok_or_else(undecodable)?;
        if !(compressed && self.columns.of(column).is_compressed && start < length) {
            let texts = memory.get(start..length).filter(|texts| texts.len() == raw_bytes);
            return Ok(Some((rows.clone(), texts.ok_or_else(undecodable)?)));
        }
        if !may_become(column, raw_bytes, length - start) {
            return Err(undecodable());
        }
        // Stored bytes in front, texts behind them.
        if memory.len() < length + raw_bytes {
            memory.resize(length + raw_bytes, 0);
        }
        let (stored, texts) = memory.split_at_mut_checked(length).ok_or_else(undecodable)?;
        let stored = stored.get(start..).unwrap_or_default();
        let texts = texts.get_mut(..raw_bytes).ok_or_else(undecodable)?;
        if decompress_to(stored, texts) != Some(raw_bytes) {
            return Err(undecodable());
        }
        Ok(Some((rows, texts)))
    }
}

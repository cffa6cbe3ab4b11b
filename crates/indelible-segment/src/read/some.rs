//! Records of some rows, which may lie anywhere: each page that any of them needs is read once, and of it these rows are taken.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::page::Page;
use super::pieces::Speller;
use super::rebuild::{Scratch, Window};
use super::{Raw, Segment, is_short};
use crate::cache::{Key, PageCache};
use crate::column::Column;
use crate::error::{Result, SegmentError};

/// Rows of one page from which on it is decoded as a whole, and kept.
const DENSE_ROWS: usize = 64;

/// A row that is wanted, and its place among those that are.
type Wanted = (u32, usize);

impl Segment {
    /// Rebuilds one record; `None`: the position lies outside of the segment.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    ///
    /// # Cost
    /// Of each column whose page is not in the cache a page is read and decompressed, and the row's value taken from it. A page that is
    /// asked for again soon is decoded and kept: see [`page`](Self::page). What the last call left in `scratch` is used without looking
    /// into the cache.
    pub fn record<'s>(&self, seq: u64, cache: &PageCache, scratch: &'s mut Scratch) -> Result<Option<&'s [u8]>> {
        let row = seq.checked_sub(self.first_seq()).and_then(|row| u32::try_from(row).ok()).filter(|row| *row < self.rows);
        let Some(row) = row else { return Ok(None) };
        let (window, memory) = scratch.parts(self.id);
        for column in Column::ALL.iter().copied() {
            // Where the row is says what its position is.
            if column != Column::Seq && !window.holds(column, row) {
                let mut speller = Speller::default();
                self.fill(column, &[(row, 0)], cache, &mut speller, &mut |_, page| window.put(page))?;
            }
        }
        let record = window.record(row, self.log(), memory);
        record.map(Some).ok_or(SegmentError::Damaged { what: "a row is no record", seq })
    }

    /// Rebuilds the records of these rows, and shows `each` with its place among them, in their order, until it has enough.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a row that the segment does not have, too.
    ///
    /// # Cost
    /// As that of [`record`](Self::record) for each of the rows, but a page that several of them need is read once.
    pub fn records_of(
        &self,
        rows: &[u32],
        cache: &PageCache,
        each: &mut dyn FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut wanted: Vec<Wanted> = rows.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut windows: Vec<Window> = rows.iter().map(|_| Window::default()).collect();
        for column in Column::ALL.iter().copied().filter(|column| *column != Column::Seq) {
            let mut speller = Speller::default();
            let mut rest = wanted.as_slice();
            while let Some((row, _)) = rest.first() {
                let end = match self.columns.of(column).pinned.get() {
                    Some(_) => self.rows,
                    None => {
                        let places = self.places(column)?;
                        self.page_rows(places, self.page_of(places, *row)?).end
                    }
                };
                let (here, others) = rest.split_at(rest.partition_point(|(row, _)| *row < end).max(1));
                rest = others;
                self.fill(column, here, cache, &mut speller, &mut |at, page| {
                    if let Some(window) = windows.get_mut(at) {
                        window.put(page);
                    }
                })?;
            }
        }
        let mut memory = Vec::new();
        for ((at, row), window) in rows.iter().enumerate().zip(&windows) {
            let record = window.record(*row, self.log(), &mut memory);
            if each(at, record.ok_or_else(|| self.damaged("a row is no record", *row))?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Hands out a page for each of these rows, all of one page of the file: that page, or one of this row alone.
    fn fill(
        &self,
        column: Column,
        wanted: &[Wanted],
        cache: &PageCache,
        speller: &mut Speller,
        put: &mut dyn FnMut(usize, Arc<Page>),
    ) -> Result<()> {
        let Some((first, _)) = wanted.first() else { return Ok(()) };
        let own = self.columns.of(column);
        let whole = |put: &mut dyn FnMut(usize, Arc<Page>), page: &Arc<Page>| {
            wanted.iter().for_each(|(_, at)| put(*at, Arc::clone(page)));
        };
        if let Some(page) = own.pinned.get() {
            whole(put, page);
            return Ok(());
        }
        let places = self.places(column)?;
        let nth = self.page_of(places, *first)?;
        let number = u32::try_from(nth).unwrap_or(u32::MAX);
        let key = Key { segment: self.id, column, page: number };
        if let Some(page) = cache.page(&key) {
            whole(put, &page);
            return Ok(());
        }
        let pieces = if is_short(own, places) { None } else { self.pieces(column, cache)? };
        let dense = is_short(own, places) || wanted.len() >= DENSE_ROWS;
        if let Some(pieces) = pieces {
            let key = Key::bare(self.id, column, number);
            let known = match cache.page(&key) {
                None if dense || cache.was_asked(&key) => Some(self.load_bare(column, nth, key, cache)?),
                known => known,
            };
            let mut spelled = |page: Arc<Page>, row, at| -> Result<()> {
                let page = if page.is_numbered() { Arc::new(self.spell(&page, row, pieces, cache, speller)?) } else { page };
                put(at, page);
                Ok(())
            };
            return match known {
                Some(page) => wanted.iter().try_for_each(|(row, at)| spelled(Arc::clone(&page), *row, *at)),
                None => {
                    let rows = self.read_rows(column, nth, wanted, None, cache)?;
                    rows.into_iter().zip(wanted).try_for_each(|(page, (row, at))| spelled(page, *row, *at))
                }
            };
        }
        if dense || cache.was_asked(&key) {
            whole(put, &self.page(column, *first, cache)?);
            return Ok(());
        }
        let rows = self.read_rows(column, nth, wanted, Some(cache), cache)?;
        rows.into_iter().zip(wanted).for_each(|(page, (_, at))| put(*at, page));
        Ok(())
    }

    /// These rows of a page, each by itself; with their texts, if `dictionary` says where the dictionary is looked for.
    fn read_rows(
        &self,
        column: Column,
        nth: usize,
        wanted: &[Wanted],
        dictionary: Option<&PageCache>,
        cache: &PageCache,
    ) -> Result<Vec<Arc<Page>>> {
        let places = self.places(column)?;
        cache.count_read(places.get(nth).map_or(0, |page| u64::from(page.bytes)));
        let (first_row, is_compressed) = (self.page_rows(places, nth).start, self.columns.of(column).is_compressed);
        let mut known = || dictionary.map_or(Ok(None), |cache| self.dictionary(column, cache));
        self.read_page(column, nth, &mut known, |raw: Raw<'_>, dictionary| {
            let mut pages = Vec::with_capacity(wanted.len());
            let rows = wanted.iter().map(|(row, _)| *row);
            raw.into_rows(column, first_row, rows, is_compressed, dictionary.as_ref(), |page| {
                pages.push(Arc::new(page));
                Some(())
            })?;
            Some(pages)
        })
    }
}

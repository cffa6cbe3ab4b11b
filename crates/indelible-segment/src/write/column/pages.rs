//! From the rows of a column to its pages.

use super::{
    BOUND_BYTES_MAX, BOUNDED_VALUES_MAX, ColumnWriter, Finished, ORDER_WORDS, Order, Same, Values, WORD_PAGE_ROWS, Waiting,
};
use crate::container::footer::{Bounds, Chunk, PagePlace, Zone};
use crate::container::page_header::{self as encoding, Body};
use crate::encoding::{bits, delta, rle};
use crate::error::Result;
use crate::pieces::PieceList;
use crate::write::dictionary::Dictionary;
use crate::write::page::PageMaker;

impl ColumnWriter {
    /// Writes a run as a page.
    pub(super) fn flush_run(&mut self, same: Same, rows: u32, maker: &mut PageMaker) -> Result<()> {
        let place = self.column.place();
        let entries = rows as usize;
        if place.is_list() {
            rle::put_run(0, entries, 1, &mut maker.levels);
        }
        let repetition_bytes = maker.levels.len();
        if place.level_max() > 0 {
            rle::put_run(u32::from(same.definition), entries, place.level_width(), &mut maker.levels);
        }
        let definition_bytes = maker.levels.len() - repetition_bytes;
        let (used, nulls) = if same.word.is_some() { (encoding::RLE_DICTIONARY, 0) } else { (encoding::PLAIN, entries) };
        let body = Body::Data { entries, nulls, rows, encoding: used, definition_bytes, repetition_bytes, compressed: false };
        self.put_words(body, same.word.into_iter().collect(), maker)
    }

    /// Bits of a word: at least one, as some readers stumble over none.
    fn word_width(&self) -> u32 {
        bits::width_of(self.dictionary.len().saturating_sub(1) as u64).max(1)
    }

    /// Writes the rows in the buffers as a page.
    pub(super) fn flush(&mut self, maker: &mut PageMaker) -> Result<()> {
        let place = self.column.place();
        if place.is_list() {
            self.repetitions.write(1, &mut maker.levels);
        }
        let repetition_bytes = maker.levels.len();
        if place.level_max() > 0 {
            self.definitions.write(place.level_width(), &mut maker.levels);
        }
        let definition_bytes = maker.levels.len() - repetition_bytes;
        let (entries, nulls) = (self.definitions.count(), self.definitions.not(place.level_max()));
        let (rows, is_empty) = (self.rows, nulls == entries);
        let body =
            |encoding| Body::Data { entries, nulls, rows, encoding, definition_bytes, repetition_bytes, compressed: false };
        if let Values::Words(words) = &mut self.values {
            let words = std::mem::take(words);
            let used = if is_empty { encoding::PLAIN } else { encoding::RLE_DICTIONARY };
            self.put_words(body(used), words, maker)?;
        } else {
            let (used, bounds) = self.encode(is_empty, maker);
            self.put(body(used), bounds, maker)?;
        }
        self.rows = 0;
        self.clear();
        if self.dictionary_is_full() {
            // From here on values are written out; what was written stays. Bounds would be of no use.
            self.set_order(maker)?;
            self.values = Values::Plain(Vec::new(), 0);
            self.zones = None;
        }
        Ok(())
    }

    /// Writes a page of words whose levels are in `maker`, or lets it wait until words are numbered.
    fn put_words(&mut self, body: Body, new: Vec<u32>, maker: &mut PageMaker) -> Result<()> {
        match &mut self.order {
            Order::Known(_) => self.encode_words(body, new, maker),
            Order::Open { pages, words } => {
                *words += new.len();
                let enough = *words >= ORDER_WORDS;
                let levels = std::mem::take(&mut maker.levels);
                pages.push(Waiting { body, levels, words: new });
                if enough { self.set_order(maker) } else { Ok(()) }
            }
        }
    }

    /// Numbers the words known so far by how often they came, and writes the pages that waited for it.
    fn set_order(&mut self, maker: &mut PageMaker) -> Result<()> {
        let Order::Open { pages, .. } = &mut self.order else { return Ok(()) };
        let pages = std::mem::take(pages);
        let mut counts: Vec<(u32, u32)> =
            (0..u32::try_from(self.dictionary.len()).unwrap_or(u32::MAX)).map(|word| (0, word)).collect();
        for word in pages.iter().flat_map(|page| &page.words) {
            if let Some((count, _)) = counts.get_mut(*word as usize) {
                *count += 1;
            }
        }
        // Words that came equally often stay in the order in which they came first.
        counts.sort_unstable_by_key(|(count, word)| (std::cmp::Reverse(*count), *word));
        let mut numbers = vec![0; counts.len()];
        for (number, (_, word)) in (0..).zip(&counts) {
            if let Some(slot) = numbers.get_mut(*word as usize) {
                *slot = number;
            }
        }
        self.order = Order::Known(numbers);
        for Waiting { body, levels, words } in pages {
            maker.levels = levels;
            self.encode_words(body, words, maker)?;
        }
        Ok(())
    }

    /// Writes a page of words whose levels are in `maker`.
    fn encode_words(&mut self, body: Body, mut words: Vec<u32>, maker: &mut PageMaker) -> Result<()> {
        let bounds = self.word_bounds(&words);
        if let Order::Known(numbers) = &self.order {
            words.iter_mut().for_each(|word| *word = numbers.get(*word as usize).copied().unwrap_or(*word));
        }
        if let (Some(first), Body::Data { entries, nulls, .. }) = (words.first().copied(), body) {
            let width = self.word_width();
            if words.iter().all(|word| *word == first) {
                maker.values.push(u8::try_from(width).unwrap_or(0));
                // Of a run only one word was kept.
                rle::put_run(first, entries - nulls, width, &mut maker.values);
            } else {
                maker.words(&words, width, &mut self.habit)?;
            }
        }
        self.put(body, bounds, maker)?;
        // The memory is used again; but behind a run the words of the next stride wait there already.
        if let Values::Words(spare) = &mut self.values
            && spare.is_empty()
        {
            words.clear();
            *spare = words;
        }
        Ok(())
    }

    /// Moves the values in the buffers, which are no words, to `maker.values`; gives their encoding and bounds.
    fn encode(&mut self, is_empty: bool, maker: &mut PageMaker) -> (i32, Option<Bounds>) {
        if is_empty {
            return (encoding::PLAIN, None);
        }
        match &mut self.values {
            Values::Words(_) => (encoding::RLE_DICTIONARY, None),
            Values::Plain(bytes, _) => {
                // Not copied: a page of large texts takes megabytes.
                std::mem::swap(&mut maker.values, bytes);
                (encoding::PLAIN, None)
            }
            Values::Numbers(numbers) => {
                delta::put_numbers(numbers, &mut maker.values);
                let bounds = if self.column.is_unsigned() {
                    let unsigned = || numbers.iter().map(|number| number.cast_unsigned());
                    unsigned().min().zip(unsigned().max()).map(|(min, max)| (min.cast_signed(), max.cast_signed()))
                } else {
                    numbers.iter().min().zip(numbers.iter().max()).map(|(min, max)| (*min, *max))
                };
                (encoding::DELTA_BINARY_PACKED, bounds.map(|(min, max)| Bounds::Numbers(min, max)))
            }
            Values::Ids(ids) => {
                delta::put_ids(ids, &mut maker.values);
                let bounds = ids.iter().min().zip(ids.iter().max());
                (encoding::DELTA_BYTE_ARRAY, bounds.map(|(min, max)| Bounds::Bytes((*min).into(), (*max).into())))
            }
        }
    }

    /// Least and greatest of some words, if there are few different ones.
    fn word_bounds(&self, words: &[u32]) -> Option<Bounds> {
        if self.zones.is_none() || self.dictionary.len() > BOUNDED_VALUES_MAX {
            return None;
        }
        let mut met = [false; BOUNDED_VALUES_MAX];
        for word in words {
            if let Some(met) = met.get_mut(*word as usize) {
                *met = true;
            }
        }
        let values = || (0u32..).zip(&met).filter(|(_, met)| **met).map(|(word, _)| self.dictionary.value(word));
        if self.column.is_number() {
            let number = |bytes: &[u8]| {
                let mut number = [0; 8];
                number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                u64::from_le_bytes(number)
            };
            let numbers = || values().map(number);
            return numbers().min().zip(numbers().max()).map(|(min, max)| Bounds::Numbers(min.cast_signed(), max.cast_signed()));
        }
        values().min().zip(values().max()).map(|(min, max)| Bounds::Bytes(min.into(), max.into()))
    }

    fn put(&mut self, body: Body, bounds: Option<Bounds>, maker: &mut PageMaker) -> Result<()> {
        let Body::Data { entries, nulls, rows, encoding, .. } = body else { return Ok(()) };
        let short = match &bounds {
            Some(Bounds::Bytes(min, max)) => min.len().max(max.len()) <= BOUND_BYTES_MAX,
            Some(Bounds::Numbers(..)) => true,
            None => nulls == entries,
        };
        match &mut self.zones {
            Some(zones) if short => zones.push(Zone { nulls: nulls as u64, bounds }),
            zones => *zones = None,
        }
        let start = self.out.bytes();
        self.raw_bytes += maker.data_page(body, &mut self.habit, &mut self.out.last)? as u64;
        let bytes = u32::try_from(self.out.bytes() - start).unwrap_or(u32::MAX);
        self.out.turn();
        self.pages.push(PagePlace { offset: start as u64, bytes, first_row: self.first_row });
        self.first_row += rows;
        self.total_entries += entries as u64;
        self.total_nulls += nulls as u64;
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        Ok(())
    }

    /// Appends the values to `maker.values`, in the order of their numbers in the file.
    fn put_dictionary(&self, maker: &mut PageMaker) {
        let numbers = match &self.order {
            Order::Known(numbers) => numbers.as_slice(),
            Order::Open { .. } => &[],
        };
        let mut words: Vec<u32> = (0..u32::try_from(self.dictionary.len()).unwrap_or(u32::MAX)).collect();
        for (word, number) in (0..).zip(numbers) {
            if let Some(slot) = words.get_mut(*number as usize) {
                *slot = word;
            }
        }
        for word in words {
            let value = self.dictionary.value(word);
            if self.column.fixed_bytes().is_none() {
                maker.values.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
            }
            maker.values.extend_from_slice(value);
        }
    }

    /// Writes what is left, and the dictionary.
    pub(crate) fn finish(mut self, maker: &mut PageMaker) -> Result<(Finished, Dictionary)> {
        if let Some((same, count)) = self.run.take() {
            if self.rows == 0 || count >= WORD_PAGE_ROWS {
                self.flush_run(same, count, maker)?;
            } else {
                self.unfold(same, count);
            }
        }
        if self.rows > 0 {
            self.flush(maker)?;
        }
        self.set_order(maker)?;
        let (mut dictionary_page, mut pieces) = (Vec::new(), PieceList::default());
        let is_text = self.column.fixed_bytes().is_none();
        if self.dictionary.len() > 0 {
            self.put_dictionary(maker);
            let (raw_bytes, made) = maker.dictionary_page(self.dictionary.len(), is_text, &mut dictionary_page)?;
            self.raw_bytes += raw_bytes as u64;
            pieces = made;
            if !self.encodings.contains(&encoding::PLAIN) {
                self.encodings.push(encoding::PLAIN);
            }
        }
        let column = self.column;
        let bounds = self.zones.as_ref().and_then(|zones| {
            zones.iter().filter_map(|zone| zone.bounds.clone()).reduce(|all, bounds| all.merge(&bounds, column))
        });
        let chunk = Chunk {
            encodings: self.encodings,
            entries: self.total_entries,
            raw_bytes: self.raw_bytes,
            bytes: (self.out.bytes() + dictionary_page.len()) as u64,
            is_compressed: true,
            nulls: Some(self.total_nulls),
            bounds,
            ..Chunk::default()
        };
        let finished =
            Finished { pages: self.pages, zones: self.zones, chunk, dictionary_page, pieces, out: self.out.into_all() };
        Ok((finished, self.dictionary))
    }
}

//! One column while a segment is written: values come in row by row and leave as encoded pages.
//!
//! Invariants: pages begin at multiples of [`STRIDE`] rows; a page is constant, or has no more rows than its encoding allows; a run of
//! constant rows is kept as a count, however long it is.

use crate::column::{Coding, Column};
use crate::container::footer::{Bounds, Chunk, PagePlace, Zone};
use crate::container::page_header::{self as encoding, Body};
use crate::encoding::{bits, delta, rle};
use crate::error::Result;
use crate::limits::STRIDE;
use crate::write::dictionary::Dictionary;
use crate::write::page::{Habit, PageMaker};

/// Rows of a page of words: what one random access reads and checks.
const WORD_PAGE_ROWS: u32 = 4_096;
/// Rows of a page of numbers: one random access adds up all differences before its own.
const NUMBER_PAGE_ROWS: u32 = 2_048;
/// Rows of a page of ids.
const ID_PAGE_ROWS: u32 = 1_024;
/// Rows of a page of texts written out, and bytes at which the next begins.
const PLAIN_PAGE_ROWS: u32 = 8_192;
const PLAIN_PAGE_BYTES: usize = 16 << 10;
/// Bytes of a dictionary beyond which values are written out.
const DICTIONARY_BYTES: usize = 4 << 20;
/// Values after which a dictionary shall have shown that it is of use, and the share of new ones above which it is not.
const DICTIONARY_TRIAL: u64 = 16_384;
/// Words of a column by whose frequency its dictionary is put in order: frequent ones first, so that their numbers are small and alike.
const ORDER_WORDS: usize = 1 << 16;
/// Distinct values up to which pages of words have bounds.
const BOUNDED_VALUES_MAX: usize = 256;
/// Longest text that is a bound.
const BOUND_BYTES_MAX: usize = 64;

/// Levels of a page's entries: nearly always all the same.
#[derive(Default)]
struct Levels {
    same: u8,
    count: usize,
    each: Vec<u8>,
}

impl Levels {
    #[inline]
    fn push(&mut self, level: u8) {
        if self.count == 0 {
            self.same = level;
        }
        if level != self.same || !self.each.is_empty() {
            if self.each.is_empty() {
                self.each.resize(self.count, self.same);
            }
            self.each.push(level);
        }
        self.count += 1;
    }

    fn constant(&self) -> Option<u8> {
        self.each.is_empty().then_some(self.same)
    }

    fn not(&self, level: u8) -> usize {
        match self.constant() {
            Some(same) => {
                if same == level {
                    0
                } else {
                    self.count
                }
            }
            None => self.each.iter().filter(|found| **found != level).count(),
        }
    }

    fn write(&self, width: u32, out: &mut Vec<u8>) {
        match self.constant() {
            Some(same) => rle::put_run(u32::from(same), self.count, width, out),
            None => rle::put_levels(&self.each, width, out),
        }
    }

    fn clear(&mut self) {
        self.each.clear();
        self.count = 0;
    }
}

/// Values of the page in the making.
enum Values {
    /// Numbers of the dictionary.
    Words(Vec<u32>),
    /// PLAIN already, and how many.
    Plain(Vec<u8>, usize),
    Numbers(Vec<i64>),
    Ids(Vec<[u8; 16]>),
}

/// Rows that are all the same: their levels, and the number of their value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Same {
    definition: u8,
    word: Option<u32>,
}

/// How words are numbered in the file.
enum Order {
    /// Not known yet: pages wait until there are enough words.
    Open { pages: Vec<Waiting>, words: usize },
    /// By frequency, as far as they were known then: the number in the file of each. Later words keep theirs.
    Known(Vec<u32>),
}

/// A page whose words are not numbered yet.
struct Waiting {
    body: Body,
    levels: Vec<u8>,
    words: Vec<u32>,
}

/// A column in the making.
pub(crate) struct ColumnWriter {
    column: Column,
    /// Rows before `definitions` and `values` that belong to the same page; all of them are this.
    run: Option<(Same, u32)>,
    definitions: Levels,
    repetitions: Levels,
    values: Values,
    /// Rows in `definitions` and `values`.
    rows: u32,
    /// First row of the page in the making, and of the segment's rows that were taken into account.
    first_row: u32,
    dictionary: Dictionary,
    order: Order,
    total_entries: u64,
    total_nulls: u64,
    raw_bytes: u64,
    out: Vec<u8>,
    pages: Vec<PagePlace>,
    zones: Option<Vec<Zone>>,
    encodings: Vec<i32>,
    habit: Habit,
}

/// A finished column, all but its dictionary page, which stands in front of the others and is made last.
pub(crate) struct Finished {
    /// Offsets are counted from the first page.
    pub(crate) pages: Vec<PagePlace>,
    pub(crate) zones: Option<Vec<Zone>>,
    pub(crate) chunk: Chunk,
    pub(crate) dictionary_page: Vec<u8>,
    pub(crate) out: Vec<u8>,
}

impl ColumnWriter {
    pub(crate) fn new(column: Column) -> Self {
        let (values, bounded) = match column.coding() {
            Coding::Words => (Values::Words(Vec::new()), true),
            Coding::Delta => (Values::Numbers(Vec::new()), true),
            Coding::Ids => (Values::Ids(Vec::new()), true),
            Coding::Plain => (Values::Plain(Vec::new(), 0), false),
        };
        Self {
            column,
            run: None,
            definitions: Levels::default(),
            repetitions: Levels::default(),
            values,
            rows: 0,
            first_row: 0,
            dictionary: Dictionary::default(),
            order: match column.coding() {
                Coding::Words => Order::Open { pages: Vec::new(), words: 0 },
                Coding::Delta | Coding::Ids | Coding::Plain => Order::Known(Vec::new()),
            },
            total_entries: 0,
            total_nulls: 0,
            raw_bytes: 0,
            out: Vec::new(),
            pages: Vec::new(),
            zones: bounded.then(Vec::new),
            encodings: vec![encoding::RLE],
            habit: Habit::default(),
        }
    }

    /// An entry without a value; `level` says what of it is there.
    #[inline]
    pub(crate) fn null(&mut self, level: u8) {
        self.definitions.push(level);
    }

    /// Where the entry stands in its row's list: 0 begins a row.
    #[inline]
    pub(crate) fn repetition(&mut self, level: u8) {
        self.repetitions.push(level);
    }

    /// A number.
    #[inline]
    pub(crate) fn number(&mut self, value: i64) {
        match &mut self.values {
            Values::Numbers(numbers) => {
                numbers.push(value);
                self.definitions.push(self.column.place().level_max());
            }
            _ => {
                let bytes = value.to_le_bytes();
                self.bytes(bytes.get(..self.column.fixed_bytes().unwrap_or(8)).unwrap_or_default());
            }
        }
    }

    /// Text or bytes. Gives the number of the value, if it has one.
    #[inline]
    pub(crate) fn bytes(&mut self, value: &[u8]) -> Option<u32> {
        self.definitions.push(self.column.place().level_max());
        match &mut self.values {
            Values::Words(words) => {
                let word = self.dictionary.number(value);
                words.push(word);
                return Some(word);
            }
            Values::Plain(bytes, count) => {
                if self.column.fixed_bytes().is_none() {
                    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
                }
                bytes.extend_from_slice(value);
                *count += 1;
            }
            Values::Ids(ids) => ids.extend(value.first_chunk::<16>()),
            Values::Numbers(_) => {}
        }
        None
    }

    /// What the rows in the buffers are, if they are all the same.
    fn same(&self) -> Option<Same> {
        let definition = self.definitions.constant()?;
        // In a list the same thing must stand once in each row.
        if self.column.is_list() && (self.repetitions.constant() != Some(0) || self.repetitions.count != self.rows as usize) {
            return None;
        }
        if definition < self.column.place().level_max() {
            return Some(Same { definition, word: None });
        }
        match &self.values {
            Values::Words(words) => {
                let first = *words.first()?;
                words.iter().all(|word| *word == first).then_some(Same { definition, word: Some(first) })
            }
            _ => None,
        }
    }

    /// Told after every [`STRIDE`] rows, and at the end: ends the page if it is full.
    pub(crate) fn stride(&mut self, rows: u32, maker: &mut PageMaker) -> Result<()> {
        self.rows += rows;
        let begins = self.rows == rows;
        if begins && let Some(same) = self.same() {
            match &mut self.run {
                Some((run, count)) if *run == same => {
                    *count += rows;
                    self.rows = 0;
                    self.clear();
                    return Ok(());
                }
                None => {
                    self.run = Some((same, rows));
                    self.rows = 0;
                    self.clear();
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        if let Some((same, count)) = self.run.take() {
            if count >= WORD_PAGE_ROWS {
                self.flush_run(same, count, maker)?;
                // What follows may be a run of its own.
                self.rows -= rows;
                return self.stride(rows, maker);
            }
            self.unfold(same, count);
        }
        let full = match &self.values {
            Values::Words(_) => self.rows >= WORD_PAGE_ROWS,
            Values::Numbers(_) => self.rows >= NUMBER_PAGE_ROWS,
            Values::Ids(_) => self.rows >= ID_PAGE_ROWS,
            Values::Plain(bytes, _) => self.rows >= PLAIN_PAGE_ROWS || bytes.len() >= PLAIN_PAGE_BYTES,
        };
        if full || self.dictionary_is_full() {
            self.flush(maker)?;
        }
        Ok(())
    }

    fn dictionary_is_full(&self) -> bool {
        if !matches!(self.values, Values::Words(_)) {
            return false;
        }
        let values = self.dictionary.len() as u64;
        let waiting = match &self.order {
            Order::Open { words, .. } => *words as u64,
            Order::Known(_) => 0,
        };
        let met = self.total_entries - self.total_nulls + waiting;
        self.dictionary.bytes() > DICTIONARY_BYTES || met >= DICTIONARY_TRIAL && values * 4 > met * 3
    }

    /// Puts the rows of a run that became too short for a page of its own in front of those in the buffers.
    fn unfold(&mut self, same: Same, count: u32) {
        let before = count as usize;
        let unfold = |levels: &mut Levels, level: u8| {
            let constant = levels.constant().filter(|found| *found == level || levels.count == 0);
            if constant.is_none() {
                let mut each = vec![level; before];
                match levels.constant() {
                    Some(found) => each.resize(before + levels.count, found),
                    None => each.append(&mut levels.each),
                }
                levels.each = each;
            }
            levels.same = level;
            levels.count += before;
        };
        unfold(&mut self.definitions, same.definition);
        if self.column.is_list() {
            unfold(&mut self.repetitions, 0);
        }
        if let (Some(word), Values::Words(words)) = (same.word, &mut self.values) {
            words.splice(..0, std::iter::repeat_n(word, before));
        }
        self.rows += count;
    }

    fn clear(&mut self) {
        self.definitions.clear();
        self.repetitions.clear();
        match &mut self.values {
            Values::Words(words) => words.clear(),
            Values::Plain(bytes, count) => {
                bytes.clear();
                *count = 0;
            }
            Values::Numbers(numbers) => numbers.clear(),
            Values::Ids(ids) => ids.clear(),
        }
    }

    /// Writes a run as a page.
    fn flush_run(&mut self, same: Same, rows: u32, maker: &mut PageMaker) -> Result<()> {
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
    fn flush(&mut self, maker: &mut PageMaker) -> Result<()> {
        let place = self.column.place();
        if place.is_list() {
            self.repetitions.write(1, &mut maker.levels);
        }
        let repetition_bytes = maker.levels.len();
        if place.level_max() > 0 {
            self.definitions.write(place.level_width(), &mut maker.levels);
        }
        let definition_bytes = maker.levels.len() - repetition_bytes;
        let (entries, nulls) = (self.definitions.count, self.definitions.not(place.level_max()));
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
        if let Values::Words(spare) = &mut self.values {
            words.clear();
            *spare = words;
        }
        Ok(())
    }

    /// Appends the values in the buffers, which are no words, to `maker.values`; gives their encoding and bounds.
    fn encode(&self, is_empty: bool, maker: &mut PageMaker) -> (i32, Option<Bounds>) {
        if is_empty {
            return (encoding::PLAIN, None);
        }
        match &self.values {
            Values::Words(_) => (encoding::RLE_DICTIONARY, None),
            Values::Plain(bytes, _) => {
                maker.values.extend_from_slice(bytes);
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
        let start = self.out.len();
        self.raw_bytes += maker.data_page(body, &mut self.habit, &mut self.out)? as u64;
        let bytes = u32::try_from(self.out.len() - start).unwrap_or(u32::MAX);
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
        let mut dictionary_page = Vec::new();
        if self.dictionary.len() > 0 {
            self.put_dictionary(maker);
            self.raw_bytes += maker.dictionary_page(self.dictionary.len(), &mut dictionary_page)? as u64;
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
            bytes: (self.out.len() + dictionary_page.len()) as u64,
            is_compressed: true,
            nulls: Some(self.total_nulls),
            bounds,
            ..Chunk::default()
        };
        let finished = Finished { pages: self.pages, zones: self.zones, chunk, dictionary_page, out: self.out };
        Ok((finished, self.dictionary))
    }
}

const _: () = assert!(
    WORD_PAGE_ROWS.is_multiple_of(STRIDE) && NUMBER_PAGE_ROWS.is_multiple_of(STRIDE) && ID_PAGE_ROWS.is_multiple_of(STRIDE)
);

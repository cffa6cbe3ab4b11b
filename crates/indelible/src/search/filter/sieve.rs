//! A filter over the columns of a segment: which rows of a block pass for certain, and which may pass.
//!
//! Tests of a column's words are answered once for each word of its dictionary. Where columns do not tell — a record that is kept whole,
//! targets beyond those that have columns — a row may pass, and its record decides: so the answer is that of [`Matcher::matches`].

use std::ops::Range;
use std::sync::Arc;

use indelible_format::json::Kind;
use indelible_format::{Class, Field, Outcome, Severity, limits};
use indelible_segment::{BLOCK_ROWS, Column, Page, PageBounds, PageCache, Segment, SegmentError};

use super::glob::{Form, Glob};
use super::mask::Mask;
use super::matcher::{HeadText, Leaf, Matcher, Node, Number, TargetText, Words, hex, joined, uuid_text};
use super::needs;
use super::path;

/// Which rows of a block pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sifted {
    /// For certain.
    pub(crate) must: Mask,
    /// Perhaps; all of `must` are among them.
    pub(crate) may: Mask,
}

impl Sifted {
    const NONE: Self = Self { must: Mask::NONE, may: Mask::NONE };

    const fn certain(rows: Mask) -> Self {
        Self { must: rows, may: rows }
    }

    const fn unknown(rows: Mask) -> Self {
        Self { must: Mask::NONE, may: rows }
    }
}

/// A filter at work on one segment.
pub(crate) struct Sieve<'s> {
    root: &'s Node,
    segment: Arc<Segment>,
    /// For columns of words and numbers, of which one page says much.
    cache: &'s PageCache,
    /// For texts, of which a scan needs each page once.
    passing: &'s PageCache,
    log: u32,
    /// By leaf and word of its dictionary: not asked yet, no, yes. Two columns at most are asked by one leaf.
    known: Vec<Vec<u8>>,
    /// By leaf: not asked yet, or the numbers of its text in the dictionary, if that tells them.
    numbers: Vec<Option<Option<Vec<u32>>>>,
    /// The page of texts that was asked last: by which leaf, its column, its rows, and whether nothing in it is near.
    asked: Option<(usize, Column, Range<u32>, bool)>,
    memory: Vec<u8>,
    /// Words of the rows that are asked, by their numbers.
    unpacked: Vec<u32>,
}

const NO: u8 = 1;
const YES: u8 = 2;

type Result<T> = std::result::Result<T, SegmentError>;

impl<'s> Sieve<'s> {
    pub(crate) fn new(matcher: &'s Matcher, segment: Arc<Segment>, cache: &'s PageCache, passing: &'s PageCache) -> Self {
        let root = matcher.root();
        let (known, numbers, log) = (vec![Vec::new(); leaves(root)], vec![None; leaves(root)], segment.log());
        Self { root, segment, cache, passing, log, known, numbers, asked: None, memory: Vec::new(), unpacked: Vec::new() }
    }

    /// Sifts `scope`, rows of the block that begins with row `first`.
    pub(crate) fn sift(&mut self, first: u32, scope: Mask) -> Result<Sifted> {
        let events = self.events(first, scope)?;
        // What is kept whole need not be what its columns say.
        let whole = self.present(Column::Record, first, events)?;
        let sifted = self.node(self.root, 0, first, events)?;
        Ok(Sifted { must: sifted.must.without(whole), may: sifted.may.or(whole) })
    }

    /// Rows that are events.
    fn events(&self, first: u32, scope: Mask) -> Result<Mask> {
        self.each(Column::Kind, first, scope, &mut |page, row| page.bytes(row) == Some(b"event"))
    }

    fn node(&mut self, node: &Node, nth: usize, first: u32, scope: Mask) -> Result<Sifted> {
        if scope.is_empty() {
            return Ok(Sifted::NONE);
        }
        Ok(match node {
            Node::All => Sifted::certain(scope),
            Node::Leaf(leaf) => self.leaf(leaf, nth, first, scope)?,
            Node::Not(inner) => {
                let inner = self.node(inner, nth, first, scope)?;
                Sifted { must: scope.without(inner.may), may: scope.without(inner.must) }
            }
            Node::And(nodes) => {
                let (mut all, mut nth) = (Sifted::certain(scope), nth);
                for node in nodes {
                    let one = self.node(node, nth, first, all.may)?;
                    all = Sifted { must: all.must.and(one.must), may: one.may };
                    nth += leaves(node);
                }
                all
            }
            Node::Or(nodes) => {
                let (mut any, mut nth) = (Sifted::NONE, nth);
                for node in nodes {
                    let one = self.node(node, nth, first, scope.without(any.must))?;
                    any = Sifted { must: any.must.or(one.must), may: any.may.or(one.may) };
                    nth += leaves(node);
                }
                any
            }
        })
    }

    fn leaf(&mut self, leaf: &Leaf, nth: usize, first: u32, scope: Mask) -> Result<Sifted> {
        let plain = |glob: &Option<Glob>, text: &[u8]| glob.as_ref().is_none_or(|glob| glob.matches(text, Form::Plain));
        Ok(Sifted::certain(match leaf {
            Leaf::Words(words, mask) => self.words(words.column(), nth, first, scope, &mut |text| words.is_in(text, *mask))?,
            Leaf::Number(number, low, high) => self.number(*number, *low, *high, first, scope)?,
            Leaf::Time { received, first: low, last } => {
                let column = if *received { Column::Received } else { Column::Time };
                self.times(column, *low, *last, first, scope)?
            }
            Leaf::Head(text, glob) => return self.head(*text, glob.as_ref(), nth, first, scope),
            Leaf::Span(field, glob) => match column_of(*field) {
                Some(column) => match glob.as_ref().and_then(Glob::literal) {
                    Some(literal) => self.literal(column, literal, nth, first, scope)?,
                    None => self.words(column, nth, first, scope, &mut |text| plain(glob, text))?,
                },
                None => return Ok(Sifted::unknown(scope)),
            },
            Leaf::Address { glob, network } => self.words(Column::OriginIp, nth, first, scope, &mut |text| {
                glob.as_ref().is_none_or(|glob| glob.matches(text, Form::Plain))
                    || network.is_some_and(|network| network.contains(text))
            })?,
            Leaf::Target(which, glob) => return self.target(*which, glob.as_ref(), nth, first, scope),
            Leaf::Details(path, test) => {
                let mut found = Mask::NONE;
                for column in [Column::IdentityDetails, Column::Details] {
                    found = found.or(self.json(
                        nth,
                        column,
                        first,
                        scope.without(found),
                        &mut |json| test.may_pass(json) && path.may_occur(json),
                        &mut |json| test.passes(path, json),
                    )?);
                }
                found
            }
            Leaf::Raw(glob) => self
                .each(Column::RawBytes, first, scope, &mut |page, row| page.bytes(row).is_some_and(|bytes| plain(glob, bytes)))?,
            Leaf::RawMediaType(glob) => self.words(Column::RawMediaType, nth, first, scope, &mut |text| plain(glob, text))?,
            Leaf::Text(glob) => return self.anywhere(glob, nth, first, scope),
        }))
    }

    /// Rows of `scope` of which `pass` says so: it is shown a page, and which of the rows are in it. A page without any value is not shown,
    /// as no test passes on what is not there.
    fn pages(&self, column: Column, first: u32, scope: Mask, pass: &mut dyn FnMut(&Page, Mask) -> Mask) -> Result<Mask> {
        let (mut found, mut left) = (Mask::NONE, scope);
        while let Some(place) = left.places().next() {
            let page = self.segment.page(column, first + place, self.cache_of(column))?;
            let here = left.and(Mask::first((page.first_row() + page.rows()).saturating_sub(first)));
            left = left.without(here);
            if !page.is_empty() {
                found = found.or(pass(&page, here));
            }
        }
        Ok(found)
    }

    /// Rows of `scope` that `passes`.
    fn each(&self, column: Column, first: u32, scope: Mask, passes: &mut dyn FnMut(&Page, u32) -> bool) -> Result<Mask> {
        self.pages(column, first, scope, &mut |page, here| {
            // Where all say the same, the first speaks for all.
            if page.same().is_some() {
                let is = here.places().next().is_some_and(|place| passes(page, first + place));
                return if is { here } else { Mask::NONE };
            }
            here.filter(|place| passes(page, first + place))
        })
    }

    const fn cache_of(&self, column: Column) -> &'s PageCache {
        match column {
            Column::Details | Column::IdentityDetails | Column::RawBytes | Column::Record => self.passing,
            _ => self.cache,
        }
    }

    /// Rows that have a value in a column.
    fn present(&self, column: Column, first: u32, scope: Mask) -> Result<Mask> {
        // Nearly always the column is empty, and its only page says so.
        if self.segment.page(column, first, self.cache)?.is_empty() {
            let last = scope.places_back().next().unwrap_or(0);
            if self.segment.page(column, first + last, self.cache)?.is_empty() {
                return Ok(Mask::NONE);
            }
        }
        self.each(column, first, scope, &mut |page, row| !page.is_null(row))
    }

    /// Rows whose word in a column `passes`; each word of the dictionary is asked once.
    fn words(
        &mut self,
        column: Column,
        nth: usize,
        first: u32,
        scope: Mask,
        passes: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Mask> {
        let mut known = self.known.get_mut(nth).map(std::mem::take).unwrap_or_default();
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let found = self.pages(column, first, scope, &mut |page, here| {
            let Some(dictionary) = page.dictionary() else {
                return here.filter(|place| page.bytes(first + place).is_some_and(&mut *passes));
            };
            if known.len() < dictionary.len() {
                known.resize(dictionary.len(), 0);
            }
            let mut is = |word: u32| match known.get_mut(word as usize) {
                Some(answer @ 0) => {
                    let is = dictionary.bytes(word).is_some_and(&mut *passes);
                    *answer = if is { YES } else { NO };
                    is
                }
                Some(answer) => *answer == YES,
                None => false,
            };
            if let Some(word) = page.same() {
                return if is(word) { here } else { Mask::NONE };
            }
            let (Some(least), Some(greatest)) = (here.places().next(), here.places_back().next()) else { return Mask::NONE };
            unpacked.clear();
            page.indices_in(first + least..first + greatest + 1, &mut unpacked);
            here.filter(|place| unpacked.get((place - least) as usize).is_some_and(|word| is(*word)))
        });
        self.unpacked = unpacked;
        if let Some(slot) = self.known.get_mut(nth) {
            *slot = known;
        }
        found
    }

    /// Rows whose text in a column is this one. Of a large dictionary it is looked for its number, and nothing else.
    fn literal(&mut self, column: Column, literal: &[u8], nth: usize, first: u32, scope: Mask) -> Result<Mask> {
        let numbers = match self.numbers.get_mut(nth) {
            Some(Some(known)) => known.clone(),
            slot => {
                let numbers = self.segment.numbers_of(column, literal, self.cache)?;
                if let Some(slot) = slot {
                    *slot = Some(numbers.clone());
                }
                numbers
            }
        };
        let Some(numbers) = numbers else {
            return self.words(column, nth, first, scope, &mut |text| text == literal);
        };
        let (mut found, mut left) = (Mask::NONE, scope);
        while let Some(least) = left.places().next() {
            let page = self.segment.numbers_page(column, first + least, self.cache)?;
            let here = left.and(Mask::first((page.first_row() + page.rows()).saturating_sub(first)));
            left = left.without(here);
            if page.is_empty() {
                continue;
            }
            if !page.is_numbered() {
                found = found.or(here.filter(|place| page.bytes(first + place) == Some(literal)));
                continue;
            }
            let Some(greatest) = here.places_back().next() else { break };
            self.unpacked.clear();
            page.indices_in(first + least..first + greatest + 1, &mut self.unpacked);
            let is = |place: u32| self.unpacked.get((place - least) as usize).is_some_and(|word| numbers.contains(word));
            found = found.or(here.filter(is));
        }
        Ok(found)
    }

    fn number(&self, number: Number, low: u64, high: u64, first: u32, scope: Mask) -> Result<Mask> {
        let range = low..=high;
        let column = match number {
            Number::Log => return Ok(if range.contains(&u64::from(self.log)) { scope } else { Mask::NONE }),
            Number::Seq => {
                let seq = self.segment.first_seq() + u64::from(first);
                return Ok(scope.places().filter(|place| range.contains(&(seq + u64::from(*place)))).fold(
                    Mask::NONE,
                    |mut mask, place| {
                        mask.insert(place);
                        mask
                    },
                ));
            }
            Number::Weight => Column::Weight,
            Number::TenantSeq => Column::TenantSeq,
            Number::ProducerEpoch => Column::ProducerEpoch,
            Number::ProducerSeq => Column::ProducerSeq,
        };
        self.each(column, first, scope, &mut |page, row| {
            page.number(row).is_some_and(|number| range.contains(&number.cast_unsigned()))
        })
    }

    /// Rows whose time lies between two, both included. What the bounds of a page say need not be asked of its rows.
    pub(crate) fn times(&self, column: Column, low: i64, high: i64, first: u32, scope: Mask) -> Result<Mask> {
        match self.bounds(column, first, scope)? {
            Some((least, greatest)) if greatest < low || high < least => return Ok(Mask::NONE),
            Some((least, greatest)) if low <= least && greatest <= high => return Ok(scope),
            _ => {}
        }
        self.each(column, first, scope, &mut |page, row| page.number(row).is_some_and(|time| (low..=high).contains(&time)))
    }

    /// Least and greatest number of the page that holds all of the block.
    fn bounds(&self, column: Column, first: u32, scope: Mask) -> Result<Option<(i64, i64)>> {
        let Some(last) = scope.places_back().next().map(|last| first + last) else { return Ok(None) };
        let info = self.segment.page_info(column, first)?;
        Ok(match info.bounds {
            // A page with rows that have none says nothing of those.
            Some(PageBounds::Numbers(least, greatest)) if info.nulls == Some(0) && last < info.first_row + info.rows => {
                Some((least, greatest))
            }
            _ => None,
        })
    }

    fn head(&mut self, text: HeadText, glob: Option<&Glob>, nth: usize, first: u32, scope: Mask) -> Result<Sifted> {
        let fits = |text: &[u8]| glob.is_none_or(|glob| glob.matches(text, Form::Plain));
        let mask = match text {
            HeadText::Action => self.words(Column::Action, nth, first, scope, &mut |text| fits(text))?,
            HeadText::Tenant => self.words(Column::Tenant, nth, first, scope, &mut |text| fits(text))?,
            HeadText::Producer => self.words(Column::ProducerId, nth, first, scope, &mut |text| fits(text))?,
            HeadText::Source => self.words(Column::Source, nth, first, scope, &mut |text| !text.is_empty() && fits(text))?,
            HeadText::Framework => self.elements(Column::Frameworks, first, scope, &mut |text| fits(text))?,
            HeadText::Id => {
                let texts = self.words(Column::IdText, nth, first, scope, &mut |text| fits(text))?;
                // One id is compared as it is stored.
                let uuids = match glob.and_then(Glob::literal).and_then(needs::uuid) {
                    Some(one) => self.pages(Column::Id, first, scope.without(texts), &mut |page, here| {
                        let from = |from| page.find(&one, from).filter(|row| *row < first + BLOCK_ROWS);
                        let rows = std::iter::successors(from(first), |row| from(row + 1));
                        rows.fold(Mask::NONE, |mut found, row| {
                            found.insert(row - first);
                            found
                        })
                        .and(here)
                    })?,
                    None => self.each(Column::Id, first, scope.without(texts), &mut |page, row| {
                        let uuid = page.bytes(row).and_then(|bytes| bytes.try_into().ok());
                        uuid.is_some_and(|uuid: [u8; 16]| fits(&uuid_text(&uuid)))
                    })?,
                };
                texts.or(uuids)
            }
            HeadText::Trace => self.each(Column::TraceId, first, scope, &mut |page, row| {
                let id: Option<[u8; 16]> = page.bytes(row).and_then(|bytes| bytes.try_into().ok());
                id.is_some_and(|id| fits(&hex::<16, 32>(&id)))
            })?,
            HeadText::Span => self.each(Column::SpanId, first, scope, &mut |page, row| {
                let id: Option<[u8; 8]> = page.bytes(row).and_then(|bytes| bytes.try_into().ok());
                id.is_some_and(|id| fits(&hex::<8, 16>(&id)))
            })?,
        };
        Ok(Sifted::certain(mask))
    }

    /// Rows of which any element of a list passes.
    fn elements(&self, column: Column, first: u32, scope: Mask, passes: &mut dyn FnMut(&[u8]) -> bool) -> Result<Mask> {
        self.each(column, first, scope, &mut |page, row| {
            page.elements(row).any(|element| page.element_bytes(element).is_some_and(&mut *passes))
        })
    }

    fn target(&mut self, which: TargetText, glob: Option<&Glob>, nth: usize, first: u32, scope: Mask) -> Result<Sifted> {
        let fits = |text: &[u8]| glob.is_none_or(|glob| glob.matches(text, Form::Plain));
        // Only the first targets of an event have columns.
        let mut crowded = Mask::NONE;
        let ids = Column::TargetId;
        let mut known = self.known.get_mut(nth).map(std::mem::take).unwrap_or_default();
        let mut memo = |page: &Page, element: u32| {
            let (Some(word), Some(dictionary)) = (page.element_index(element), page.dictionary()) else {
                return page.element_bytes(element).is_some_and(&fits);
            };
            if known.len() < dictionary.len() {
                known.resize(dictionary.len(), 0);
            }
            match known.get_mut(word as usize) {
                Some(answer @ 0) => {
                    let is = dictionary.bytes(word).is_some_and(&fits);
                    *answer = if is { YES } else { NO };
                    is
                }
                Some(answer) => *answer == YES,
                None => false,
            }
        };
        let column = match which {
            TargetText::Type => Column::TargetType,
            TargetText::Name => Column::TargetName,
            TargetText::Id | TargetText::Whole => ids,
        };
        let mut found = self.each(column, first, scope, &mut |page, row| {
            let elements = page.elements(row);
            if elements.len() >= limits::SPANNED_TARGETS_MAX {
                crowded.insert(row - first);
            }
            // Without a pattern any target will do, whatever it has.
            (glob.is_none() && which == TargetText::Whole && !elements.is_empty())
                || elements.into_iter().any(|element| memo(page, element))
        })?;
        if let Some(slot) = self.known.get_mut(nth) {
            *slot = known;
        }
        if which == TargetText::Whole && glob.is_some() {
            found = found.or(self.joined(first, scope.without(found), &fits)?);
        }
        Ok(Sifted { must: found, may: found.or(crowded) })
    }

    /// Rows with a target whose `type:id` fits.
    fn joined(&self, first: u32, scope: Mask, fits: &dyn Fn(&[u8]) -> bool) -> Result<Mask> {
        let mut kinds: Option<Arc<Page>> = None;
        let mut failed = None;
        let found = self.each(Column::TargetId, first, scope, &mut |ids, row| {
            let here = match kinds.take() {
                Some(page) if page.holds(row) => Ok(page),
                _ => self.segment.page(Column::TargetType, row, self.cache),
            };
            match here {
                Ok(page) => {
                    let any = ids.elements(row).zip(page.elements(row)).any(|(id, kind)| {
                        let both = page.element_bytes(kind).zip(ids.element_bytes(id));
                        both.is_some_and(|(kind, id)| joined(kind, id, fits))
                    });
                    kinds = Some(page);
                    any
                }
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        })?;
        failed.map_or(Ok(found), Err)
    }

    /// Rows whose JSON in a column passes. `near`: false only if nothing in the bytes can pass; asked of whole pages first.
    fn json(
        &mut self,
        nth: usize,
        column: Column,
        first: u32,
        scope: Mask,
        near: &mut dyn FnMut(&[u8]) -> bool,
        passes: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Mask> {
        let mut found = Mask::NONE;
        let mut places = scope.places().peekable();
        while let Some(place) = places.peek().copied() {
            // Most pages have nothing of what is looked for: they are not taken apart.
            let rows = self.far_rows(nth, column, first + place, near)?;
            if let Some(rows) = rows {
                while places.next_if(|place| rows.contains(&(first + place))).is_some() {}
                continue;
            }
            let page = self.segment.page(column, first + place, self.passing)?;
            while let Some(place) = places.next_if(|place| page.holds(first + place)) {
                if page.bytes(first + place).is_some_and(|json| near(json) && passes(json)) {
                    found.insert(place);
                }
            }
        }
        Ok(found)
    }

    /// The rows of the page that holds `row`, if nothing in them is near. Each page is asked once.
    fn far_rows(
        &mut self,
        nth: usize,
        column: Column,
        row: u32,
        near: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Option<Range<u32>>> {
        if let Some((by, of, rows, is_far)) = &self.asked
            && (*by, *of) == (nth, column)
            && rows.contains(&row)
        {
            return Ok(is_far.then(|| rows.clone()));
        }
        let Some((rows, texts)) = self.segment.plain_texts(column, row, &mut self.memory)? else { return Ok(None) };
        let is_far = !near(texts);
        self.asked = Some((nth, column, rows.clone(), is_far));
        Ok(is_far.then_some(rows))
    }

    /// Free text: in the action, in any text of actor, session, origin, targets and details, in the foreign record.
    fn anywhere(&mut self, glob: &Glob, nth: usize, first: u32, scope: Mask) -> Result<Sifted> {
        let fits = |text: &[u8]| glob.matches(text, Form::Plain);
        let mut found = Mask::NONE;
        for column in [
            Column::Action,
            Column::ActorId,
            Column::ActorType,
            Column::ActorName,
            Column::ActorEmail,
            Column::Session,
            Column::OriginIp,
            Column::OriginUserAgent,
            Column::OriginHost,
        ] {
            // Neighbouring rows often say the same.
            let mut last = None;
            found = found.or(self.each(column, first, scope.without(found), &mut |page, row| match (page.index(row), last) {
                (Some(word), Some((known, of, is))) if known == word && of == page.first_row() => is,
                (word, _) => {
                    let is = page.bytes(row).is_some_and(fits);
                    last = word.map(|word| (word, page.first_row(), is));
                    is
                }
            })?);
        }
        let mut crowded = Mask::NONE;
        for column in [Column::TargetType, Column::TargetId, Column::TargetName] {
            found = found.or(self.each(column, first, scope.without(found), &mut |page, row| {
                let elements = page.elements(row);
                if elements.len() >= limits::SPANNED_TARGETS_MAX {
                    crowded.insert(row - first);
                }
                elements.into_iter().any(|element| page.element_bytes(element).is_some_and(fits))
            })?);
        }
        for column in [Column::IdentityDetails, Column::Details] {
            let form = |kind| if kind == Kind::String { Form::Escaped } else { Form::Plain };
            found =
                found.or(self.json(nth, column, first, scope.without(found), &mut |json| glob.may_occur(json), &mut |json| {
                    path::any_text(json, &mut |kind, text| glob.matches(text, form(kind)))
                })?);
        }
        found = found
            .or(self.each(Column::RawBytes, first, scope.without(found), &mut |page, row| page.bytes(row).is_some_and(fits))?);
        Ok(Sifted { must: found, may: found.or(crowded) })
    }
}

/// How many tests a filter has.
fn leaves(node: &Node) -> usize {
    match node {
        Node::All => 0,
        Node::Leaf(_) => 1,
        Node::Not(inner) => leaves(inner),
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().map(leaves).sum(),
    }
}

/// The column that has the text of a field.
const fn column_of(field: Field) -> Option<Column> {
    Some(match field {
        Field::ActorId => Column::ActorId,
        Field::ActorName => Column::ActorName,
        Field::ActorType => Column::ActorType,
        Field::ActorEmail => Column::ActorEmail,
        Field::Session => Column::Session,
        Field::OriginHost => Column::OriginHost,
        Field::OriginUserAgent => Column::OriginUserAgent,
        _ => return None,
    })
}

impl Words {
    const fn column(self) -> Column {
        match self {
            Self::Outcome => Column::Outcome,
            Self::Severity => Column::Severity,
            Self::Class => Column::Class,
        }
    }

    /// Whether the word's bit is in the mask.
    fn is_in(self, word: &[u8], mask: u8) -> bool {
        let word = std::str::from_utf8(word).unwrap_or_default();
        let byte = match self {
            Self::Outcome => word.parse().ok().map(Outcome::byte),
            Self::Severity => word.parse().ok().map(Severity::byte),
            Self::Class => word.parse().ok().map(Class::byte),
        };
        byte.and_then(|byte| mask.checked_shr(u32::from(byte))).is_some_and(|bits| bits & 1 == 1)
    }
}

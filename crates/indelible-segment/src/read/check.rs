//! Whether what the file says of its rows is so: statistics and index, made again from the rows and compared; and whether the columns of
//! a row say what its record says.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::decode::Said;
use super::groups;
use super::page::Page;
use super::rebuild::Window;
use super::source::read_exact;
use super::statistics::Statistics;
use super::store::Dictionary;
use super::terms::Terms;
use super::{Segment, Watch};
use crate::column::{Column, PerColumn};
use crate::error::{Result, SegmentError};
use crate::index::IndexField;
use crate::index::block::{self, Entry};
use crate::write::column_of;

/// Something that the file says of its rows and that is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is about.
    pub what: &'static str,
    /// The column, or that whose terms are indexed; `None`: all of it.
    pub column: Option<Column>,
    /// The first position concerned.
    pub seq: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)?;
        if let Some(column) = self.column {
            write!(f, ", column {}", column.name())?;
        }
        write!(f, ", from position {}", self.seq)
    }
}

/// How a record was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// Laid out from columns: whatever they say, its groups are canonical JSON but for the details, which were copied as they stand, and its
    /// spans are those of its values.
    FromColumns,
    /// In some other way: nothing is known of it.
    Otherwise,
}

/// What is shown a row that is checked: its position, its record and how that was come by.
pub type EachChecked<'e> = dyn FnMut(u64, &[u8], Rebuilt) -> ControlFlow<()> + 'e;

/// What [`Segment::checked_records`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What the file says of its rows and is not so.
    pub differences: Vec<Difference>,
    /// How many rows have columns that say other things than their records, and the first such position.
    pub lies: Option<(u64, u64)>,
}

/// A dictionary that was asked for, if the column has one.
type Known = Option<Option<Arc<Dictionary>>>;

impl Segment {
    /// As [`records`](Self::records); on the way, all that the file says of its rows is made again and compared.
    ///
    /// Of a range that begins behind the first row the rows before it are looked at, too, but for what their columns say beside their
    /// records. If `each` breaks off, only the rows up to there were compared with anything.
    ///
    /// # Errors
    /// `Io`, `Damaged`: as of `records`.
    ///
    /// # Cost
    /// That of `records`, and a tenth of it; twice that if the range begins behind the first row. Memory as for writing an index: about 30
    /// bytes a row.
    pub fn checked_records(&self, range: Range<u64>, each: &mut EachChecked<'_>) -> Result<Checked> {
        let all = range.start <= self.first_seq() && range.end >= self.first_seq() + u64::from(self.rows);
        let mut check = Check::new(self, all)?;
        let mut broken = false;
        self.walk(range, Some(&mut check), &mut |seq, record, rebuilt| {
            let flow = each(seq, record, rebuilt);
            broken = flow.is_break();
            flow
        })?;
        let Check { pass, lies, .. } = check;
        let mut checked = Checked { differences: Vec::new(), lies };
        match pass {
            _ if broken => {}
            Some(pass) => checked.differences = pass.finish(self)?,
            None => {
                checked.differences = self.check_index()?;
                checked.differences.extend(self.check_statistics()?);
                checked.differences.extend(self.check_piece_lists()?);
            }
        }
        Ok(checked)
    }

    /// Compares bounds, counts of nulls, encodings and sizes, of pages and of columns, with the rows; that pages begin where they may; and
    /// whatever else other readers of Parquet believe and this one does not need.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a page that cannot be read at all.
    ///
    /// # Cost
    /// Reads and decodes every page.
    pub fn check_statistics(&self) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        let mut all = PerColumn::new(|_| Statistics::default());
        for (column, statistics) in all.iter_mut() {
            let mut differs = self.noting(column, &mut found);
            let mut known = None;
            for nth in 0..self.places(column)?.len() {
                let (page, said) = self.load_known(column, nth, &mut known)?;
                statistics.page(self, &page, &said, &mut differs)?;
            }
            statistics.end(self, column, &mut differs)?;
        }
        self.compare_groups(&all, &mut found)?;
        Ok(found)
    }

    /// Compares what the levels of columns say of the groups around them; and how the file begins.
    fn compare_groups(&self, all: &PerColumn<Statistics>, found: &mut Vec<Difference>) -> Result<()> {
        for (column, row) in groups::differing(|column| all.of(column).levels()) {
            self.noting(column, found)("a group is there where none of its members is, or is not there where one is", row);
        }
        if !self.begins_right()? {
            found.push(Difference { what: "it does not begin as Parquet does", column: None, seq: self.first_seq() });
        }
        Ok(())
    }

    /// Makes the index again from the rows and compares.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a page that cannot be read at all.
    ///
    /// # Cost
    /// Reads and decodes the pages of the indexed columns; memory as for writing an index, about 30 bytes a row.
    pub fn check_index(&self) -> Result<Vec<Difference>> {
        if self.index.is_none() {
            return Ok(Vec::new());
        }
        let mut terms = Terms::new(self.zone_list(Column::Id)?.as_deref(), self.indexes_ids());
        let (mut known, mut statistics) = (PerColumn::new(|_| None), Statistics::default());
        for field in IndexField::ALL.iter().copied().filter(|field| *field != IndexField::TenantAction) {
            let column = column_of(field);
            for nth in 0..self.places(column)?.len() {
                let (page, said) = self.load_known(column, nth, known.of_mut(column))?;
                terms.page(self, &page)?;
                if column == Column::Id {
                    statistics.page(self, &page, &said, &mut |_, _| {})?;
                }
            }
        }
        let (mut tenant, mut action) = (None::<Page>, None::<Page>);
        let mut row = 0;
        while row < self.rows {
            for (column, page) in [(Column::Tenant, &mut tenant), (Column::Action, &mut action)] {
                if page.as_ref().is_none_or(|page| !page.holds(row)) {
                    let nth = self.page_of(self.places(column)?, row)?;
                    *page = Some(self.load_known(column, nth, known.of_mut(column))?.0);
                }
            }
            let (Some(tenants), Some(actions)) = (&tenant, &action) else { break };
            let end = |page: &Page| page.first_row() + page.rows();
            let next = end(tenants).min(end(actions));
            terms.pairs(tenants, actions, &(row..next));
            row = next;
        }
        self.compare_index(terms, &statistics)
    }

    /// Compares what is said of the pieces of dictionaries with the dictionaries.
    ///
    /// # Errors
    /// `Io`, `Damaged`: a dictionary that cannot be read at all.
    ///
    /// # Cost
    /// Decompresses every large dictionary.
    pub fn check_piece_lists(&self) -> Result<Vec<Difference>> {
        let what = "the list of dictionary pieces is another than the dictionaries give";
        let named = |column| Difference { what, column, seq: self.first_seq() };
        Ok(self.false_piece_lists()?.into_iter().map(named).collect())
    }

    /// Whether its index has ids.
    fn indexes_ids(&self) -> bool {
        self.index.as_ref().is_some_and(|place| place.entries.iter().any(|entry| entry.field == IndexField::Id.number()))
    }

    fn compare_index(&self, terms: Terms, ids: &Statistics) -> Result<Vec<Difference>> {
        let Some(place) = &self.index else { return Ok(Vec::new()) };
        let made = terms.finish(self.rows, ids.zones());
        let length = usize::try_from(place.block.bytes).map_err(|_| self.damaged("its index is too long", 0))?;
        let stored = read_exact(&*self.input, place.block.offset, length, 0).map_err(SegmentError::Io)?;
        let mut found = Vec::new();
        let mut differs = |what, column| found.push(Difference { what, column, seq: self.first_seq() });
        if !place.block.is(&stored) {
            differs("the index is another than the footer says", None);
        }
        if stored != made {
            let head = |bytes: &[u8]| block::read_head(bytes, bytes.len() as u64, self.rows).unwrap_or_default();
            let part = |bytes: &[u8], entries: &[Entry], field: IndexField| {
                let entry = entries.iter().find(|entry| entry.field == field.number())?;
                entry.part(bytes).map(<[u8]>::to_vec)
            };
            let (heads, mut any) = ([head(&stored), head(&made)], false);
            let [said, right] = &heads;
            for field in IndexField::ALL.iter().copied() {
                if part(&stored, said, field) != part(&made, right, field) {
                    any = true;
                    differs("the index has other terms or blocks than the rows", Some(column_of(field)));
                }
            }
            if !any {
                differs("the index has other bytes than the rows give", None);
            }
        }
        Ok(found)
    }

    fn load_known(&self, column: Column, nth: usize, known: &mut Known) -> Result<(Page, Said)> {
        self.load_with_said(column, nth, &mut || match known {
            Some(dictionary) => Ok(dictionary.clone()),
            None => Ok(known.insert(self.load_dictionary(column)?).clone()),
        })
    }

    fn noting<'f>(&self, column: Column, found: &'f mut Vec<Difference>) -> impl FnMut(&'static str, u32) + use<'f> {
        let first_seq = self.first_seq();
        move |what, row| found.push(Difference { what, column: Some(column), seq: first_seq + u64::from(row) })
    }
}

/// What is compared while records are read in order.
struct Check {
    /// Only if all rows are read.
    pass: Option<Pass>,
    /// Whether the rows at hand must be asked whether their columns say what their records say.
    is_odd: bool,
    lies: Option<(u64, u64)>,
}

/// All that pages add up to.
struct Pass {
    statistics: PerColumn<Statistics>,
    terms: Option<Terms>,
    found: Vec<Difference>,
}

impl Check {
    fn new(segment: &Segment, all: bool) -> Result<Self> {
        let (mut pass, mut terms) = (None, None);
        if all {
            if segment.index.is_some() {
                terms = Some(Terms::new(segment.zone_list(Column::Id)?.as_deref(), segment.indexes_ids()));
            }
            pass = Some(Pass { statistics: PerColumn::new(|_| Statistics::default()), terms, found: Vec::new() });
        }
        Ok(Self { pass, is_odd: true, lies: None })
    }
}

impl Watch for Check {
    fn page(&mut self, segment: &Segment, page: &Page, said: &Said) -> Result<()> {
        let Some(pass) = &mut self.pass else { return Ok(()) };
        let mut differs = segment.noting(page.column(), &mut pass.found);
        pass.statistics.of_mut(page.column()).page(segment, page, said, &mut differs)?;
        pass.terms.as_mut().map_or(Ok(()), |terms| terms.page(segment, page))
    }

    fn window(&mut self, window: &Window, rows: &Range<u32>) {
        self.is_odd = !window.is_plain();
        if let Some(terms) = self.pass.as_mut().and_then(|pass| pass.terms.as_mut())
            && let (Some(tenants), Some(actions)) = (window.page(Column::Tenant), window.page(Column::Action))
        {
            terms.pairs(tenants, actions, rows);
        }
    }

    fn record(&mut self, window: &Window, row: u32, seq: u64, record: &[u8]) {
        if self.is_odd && !window.is_honest(row, record) {
            let (count, first) = self.lies.unwrap_or((0, seq));
            self.lies = Some((count + 1, first));
        }
    }
}

impl Pass {
    fn finish(mut self, segment: &Segment) -> Result<Vec<Difference>> {
        for (column, statistics) in self.statistics.iter() {
            statistics.end(segment, column, &mut segment.noting(column, &mut self.found))?;
        }
        segment.compare_groups(&self.statistics, &mut self.found)?;
        let index =
            self.terms.map_or_else(|| Ok(Vec::new()), |terms| segment.compare_index(terms, self.statistics.of(Column::Id)))?;
        self.found.splice(0..0, index);
        self.found.extend(segment.check_piece_lists()?);
        Ok(self.found)
    }
}

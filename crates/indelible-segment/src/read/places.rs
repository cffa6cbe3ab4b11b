//! Where the pages of a column are, and what the file says of each: as few bytes of memory as that takes.
//!
//! A segment of a million rows has some fifteen thousand pages. Nearly all files put the pages of a column one right behind the other, and
//! begin one every so many rows: then a page takes four bytes, and what a page index says in any other way is kept as it says it.

use crate::container::footer::{Bounds, PagePlace, Zone};

/// The pages of a column, in the order of their rows.
#[derive(Debug)]
pub(super) enum Places {
    /// One right behind the other: where the first begins, and where each ends, counted from there.
    Dense(u64, Box<[u32]>, FirstRows),
    Any(Box<[PagePlace]>),
}

/// The first row of each page.
#[derive(Debug)]
pub(super) enum FirstRows {
    /// A page begins every so many rows.
    Every(u32),
    Each(Box<[u32]>),
}

impl Places {
    /// Of pages whose first rows ascend from 0.
    pub(super) fn new(pages: Vec<PagePlace>) -> Self {
        let start = pages.first().map_or(0, |page| page.offset);
        let mut end = start;
        let mut ends = Vec::with_capacity(pages.len());
        for page in &pages {
            let next = page.offset.checked_add(u64::from(page.bytes));
            let relative = next.and_then(|next| u32::try_from(next.checked_sub(start)?).ok());
            match relative.filter(|_| page.offset == end) {
                Some(relative) => ends.push(relative),
                None => return Self::Any(pages.into()),
            }
            end = page.offset + u64::from(page.bytes);
        }
        let step = pages.get(1).map_or(u32::MAX, |page| page.first_row);
        let is_every = step > 0 && pages.iter().zip(0..).all(|(page, nth)| step.checked_mul(nth) == Some(page.first_row));
        let first_rows =
            if is_every { FirstRows::Every(step) } else { FirstRows::Each(pages.iter().map(|page| page.first_row).collect()) };
        Self::Dense(start, ends.into(), first_rows)
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Dense(_, ends, _) => ends.len(),
            Self::Any(pages) => pages.len(),
        }
    }

    pub(super) fn get(&self, nth: usize) -> Option<PagePlace> {
        match self {
            Self::Dense(start, ends, first_rows) => {
                let end = *ends.get(nth)?;
                let from = nth.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
                let first_row = first_rows.get(nth)?;
                Some(PagePlace { offset: start + u64::from(from), bytes: end - from, first_row })
            }
            Self::Any(pages) => pages.get(nth).copied(),
        }
    }

    /// The first row of a page.
    pub(super) fn first_row(&self, nth: usize) -> Option<u32> {
        match self {
            Self::Dense(_, ends, first_rows) => (nth < ends.len()).then(|| first_rows.get(nth))?,
            Self::Any(pages) => pages.get(nth).map(|page| page.first_row),
        }
    }

    /// The page that holds a row, if any does.
    pub(super) fn find(&self, row: u32) -> Option<usize> {
        match self {
            Self::Dense(_, ends, FirstRows::Every(step)) => ends.len().checked_sub(1).map(|last| last.min((row / step) as usize)),
            Self::Dense(_, _, FirstRows::Each(rows)) => rows.partition_point(|first| *first <= row).checked_sub(1),
            Self::Any(pages) => pages.partition_point(|page| page.first_row <= row).checked_sub(1),
        }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Dense(_, ends, FirstRows::Every(_)) => size_of_val(&**ends),
                Self::Dense(_, ends, FirstRows::Each(rows)) => size_of_val(&**ends) + size_of_val(&**rows),
                Self::Any(pages) => size_of_val(&**pages),
            }
    }
}

impl FirstRows {
    fn get(&self, nth: usize) -> Option<u32> {
        match self {
            Self::Every(step) => step.checked_mul(u32::try_from(nth).ok()?),
            Self::Each(rows) => rows.get(nth).copied(),
        }
    }
}

/// Least and greatest value of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageBounds<'s> {
    /// Of numbers; those of unsigned columns as the signed number of the same bits.
    Numbers(i64, i64),
    /// Of texts and bytes.
    Bytes(&'s [u8], &'s [u8]),
}

impl<'b> From<&'b Bounds> for PageBounds<'b> {
    fn from(bounds: &'b Bounds) -> Self {
        match bounds {
            Bounds::Numbers(least, greatest) => Self::Numbers(*least, *greatest),
            Bounds::Bytes(least, greatest) => Self::Bytes(least, greatest),
        }
    }
}

/// The zone map of a column.
#[derive(Debug)]
pub(super) struct Zones {
    nulls: Box<[u64]>,
    /// Pages that have no values and so no bounds, by number.
    empty: Box<[u32]>,
    bounds: AllBounds,
}

/// The bounds of all pages, with something in place of those of empty ones.
#[derive(Debug)]
enum AllBounds {
    Numbers(Box<[(i64, i64)]>),
    /// Least and greatest of each page in turn, and where each ends.
    Bytes(Box<[u8]>, Box<[u32]>),
}

impl Zones {
    /// `None`: they are longer than a page index can be.
    pub(super) fn new(zones: &[Zone]) -> Option<Self> {
        let nulls = match zones.first() {
            // One for all, as it nearly always is.
            Some(first) if zones.iter().all(|zone| zone.nulls == first.nulls) => [first.nulls].into(),
            _ => zones.iter().map(|zone| zone.nulls).collect(),
        };
        let empty = zones.iter().zip(0..).filter(|(zone, _)| zone.bounds.is_none()).map(|(_, nth)| nth).collect();
        if zones.iter().any(|zone| matches!(zone.bounds, Some(Bounds::Bytes(..)))) {
            let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(zones.len() * 2));
            for zone in zones {
                let both = match &zone.bounds {
                    Some(Bounds::Bytes(least, greatest)) => [&**least, &**greatest],
                    _ => [&[][..]; 2],
                };
                for value in both {
                    bytes.extend_from_slice(value);
                    ends.push(u32::try_from(bytes.len()).ok()?);
                }
            }
            return Some(Self { nulls, empty, bounds: AllBounds::Bytes(bytes.into(), ends.into()) });
        }
        let both = |zone: &Zone| match zone.bounds {
            Some(Bounds::Numbers(least, greatest)) => (least, greatest),
            _ => (0, 0),
        };
        // Of a column without any value not even that.
        let all = if empty_all(zones) { Box::default() } else { zones.iter().map(both).collect() };
        Some(Self { nulls, empty, bounds: AllBounds::Numbers(all) })
    }

    /// Nulls and bounds of a page.
    pub(super) fn get(&self, nth: usize) -> Option<(u64, Option<PageBounds<'_>>)> {
        let nulls = match &*self.nulls {
            [all] => *all,
            each => *each.get(nth)?,
        };
        let is_empty = u32::try_from(nth).is_ok_and(|nth| self.empty.binary_search(&nth).is_ok());
        let bounds = match &self.bounds {
            _ if is_empty => None,
            AllBounds::Numbers(all) => all.get(nth).map(|(least, greatest)| PageBounds::Numbers(*least, *greatest)),
            AllBounds::Bytes(bytes, ends) => {
                let end = |at: usize| ends.get(at).map(|end| *end as usize);
                let from = if nth == 0 { 0 } else { end(nth * 2 - 1)? };
                let (middle, to) = (end(nth * 2)?, end(nth * 2 + 1)?);
                Some(PageBounds::Bytes(bytes.get(from..middle)?, bytes.get(middle..to)?))
            }
        };
        Some((nulls, bounds))
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        let bounds = match &self.bounds {
            AllBounds::Numbers(all) => size_of_val(&**all),
            AllBounds::Bytes(bytes, ends) => bytes.len() + size_of_val(&**ends),
        };
        size_of::<Self>() + size_of_val(&*self.nulls) + size_of_val(&*self.empty) + bounds
    }
}

fn empty_all(zones: &[Zone]) -> bool {
    zones.iter().all(|zone| zone.bounds.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, bytes: u32, first_row: u32) -> PagePlace {
        PagePlace { offset, bytes, first_row }
    }

    /// What is kept says what the index said, page by page and row by row, in whatever way it is kept.
    #[test]
    fn pages_are_where_the_index_says() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..400 {
            let count = rng.usize(..40);
            let (is_dense, is_every) = (rng.bool(), rng.bool());
            let base = if round % 5 == 0 { u64::from(u32::MAX) - 100 } else { rng.u64(..1 << 40) };
            let (mut offset, mut row, mut pages) = (base, 0, Vec::new());
            for _ in 0..count {
                let bytes = if round % 7 == 0 { rng.u32(1 << 30..) } else { rng.u32(1..9_000) };
                pages.push(place(offset, bytes, row));
                offset += u64::from(bytes) + if is_dense { 0 } else { rng.u64(..3) };
                row += if is_every { 512 } else { rng.u32(1..9) * 256 };
            }
            let places = Places::new(pages.clone());
            assert_eq!(places.len(), count);
            for nth in 0..count + 2 {
                assert_eq!(places.get(nth), pages.get(nth).copied());
                assert_eq!(places.first_row(nth), pages.get(nth).map(|page| page.first_row));
            }
            for _ in 0..60 {
                let wanted = rng.u32(..row + 600);
                assert_eq!(places.find(wanted), pages.iter().rposition(|page| page.first_row <= wanted));
            }
            if is_dense && is_every && round % 7 != 0 {
                assert!(places.memory() <= size_of::<Places>() + count * 4);
            }
        }
    }

    #[test]
    fn zones_say_what_the_index_said() {
        let mut rng = fastrand::Rng::with_seed(12);
        for round in 0..400 {
            let zone = |rng: &mut fastrand::Rng| {
                let text = |rng: &mut fastrand::Rng| vec![rng.u8(..); rng.usize(..5)].into_boxed_slice();
                let bounds = match (round % 2, rng.u32(..4)) {
                    (_, 0) => None,
                    (0, _) => Some(Bounds::Numbers(rng.i64(..), rng.i64(..))),
                    _ => Some(Bounds::Bytes(text(rng), text(rng))),
                };
                Zone { nulls: if round % 3 == 0 { 0 } else { rng.u64(..) }, bounds }
            };
            let zones: Vec<Zone> = (0..rng.usize(..30)).map(|_| zone(&mut rng)).collect();
            let kept = Zones::new(&zones).unwrap();
            for (nth, zone) in zones.iter().enumerate() {
                assert_eq!(kept.get(nth), Some((zone.nulls, zone.bounds.as_ref().map(PageBounds::from))));
            }
        }
    }
}

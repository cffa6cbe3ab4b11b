//! The contents of one simulated file: what the process sees, what the disk holds, and what lies between.
//!
//! Contents are kept in sectors of 512 bytes, the unit that real disks write whole. Each write leaves the new state of every
//! sector it touches in `dirty`, stamped with its place in the order of all writes. Until a sync, the disk may come to hold
//! any of those states: the kernel may write a page back at any time. Sizes are kept the same way, as a history.
//!
//! Invariants: `seen` is what all successful calls have made; `durable` changes only when something lands; a sector without
//! an entry reads as zeros; no image has a sector beyond its length, and the rest of its last sector is zeros. Sectors are
//! shared between the images and never changed, so copies are cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

/// The order of writes and of name changes over the whole disk.
pub(crate) type Stamp = u64;

type Sector = Arc<[u8; SECTOR]>;

#[derive(Debug, Clone, Default)]
pub(crate) struct SimFile {
    seen: Image,
    durable: Image,
    /// By sector: its states since the last sync, oldest first.
    dirty: BTreeMap<u64, Vec<(Stamp, Sector)>>,
    /// Lengths since the last sync, oldest first.
    lengths: Vec<(Stamp, u64)>,
    /// Space taken, in bytes from the start of the file. Less than the length when the file was extended without writing.
    pub(crate) allocated: u64,
}

impl SimFile {
    pub(crate) fn len(&self) -> u64 {
        self.seen.len
    }

    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        self.seen.read(buf, offset)
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64, stamps: &mut Stamp) {
        for piece in pieces(bytes, offset) {
            let mut sector = self.seen.sectors.get(&piece.sector).map_or([0; SECTOR], |sector| **sector);
            if let Some(target) = sector.get_mut(piece.start..piece.start + piece.bytes.len()) {
                target.copy_from_slice(piece.bytes);
            }
            *stamps += 1;
            self.put(*stamps, piece.sector, Arc::new(sector));
            // The length follows sector by sector: a crash may cut an append anywhere between two.
            if piece.end > self.seen.len {
                self.seen.len = piece.end;
                self.lengths.push((*stamps, piece.end));
            }
        }
        if !bytes.is_empty() {
            self.allocated = self.allocated.max(offset.saturating_add(bytes.len() as u64));
        }
    }

    pub(crate) fn set_len(&mut self, bytes: u64, stamps: &mut Stamp) {
        if bytes == self.seen.len {
            return;
        }
        *stamps += 1;
        if bytes < self.seen.len {
            self.seen.cut(bytes);
            // States of sectors that are gone can no longer land; the one that was cut is written anew.
            drop(self.dirty.split_off(&bytes.div_ceil(SECTOR_BYTES)));
            let last = bytes / SECTOR_BYTES;
            if let Some(sector) = self.seen.sectors.get(&last).filter(|_| !bytes.is_multiple_of(SECTOR_BYTES)) {
                self.dirty.entry(last).or_default().push((*stamps, Arc::clone(sector)));
            }
            self.allocated = self.allocated.min(bytes);
        }
        self.seen.len = bytes;
        self.lengths.push((*stamps, bytes));
    }

    pub(crate) fn allocate(&mut self, bytes: u64, stamps: &mut Stamp) {
        if bytes > self.seen.len {
            self.set_len(bytes, stamps);
        }
        self.allocated = self.allocated.max(bytes);
    }

    /// Brings to the disk what `landing` chooses of the unsynced states, and forgets the others: what did not land now
    /// never will, although the process goes on seeing it.
    pub(crate) fn settle(&mut self, landing: &mut Landing<'_>) {
        let kept = landing.choose(&self.lengths);
        for (_, len) in self.lengths.drain(..).take(kept) {
            // Each shorter length frees what was beyond it, so that a longer one later reads zeros there.
            self.durable.cut(len);
            self.durable.len = len;
        }
        for (index, mut states) in std::mem::take(&mut self.dirty) {
            let kept = landing.choose(&states);
            states.truncate(kept);
            if let Some((_, sector)) = states.pop() {
                self.durable.sectors.insert(index, sector);
            }
        }
        // A sector may have landed where the length that covers it did not.
        self.durable.cut(self.durable.len);
    }

    /// After a crash: the process sees what the disk holds.
    pub(crate) fn reload(&mut self) {
        self.seen = self.durable.clone();
        self.allocated = self.allocated.min(self.seen.len);
    }

    /// The first stamps of what is unsynced, for choosing where to cut.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> {
        let sectors = self.dirty.values().flatten().map(|(stamp, _)| *stamp);
        sectors.chain(self.lengths.iter().map(|(stamp, _)| *stamp))
    }

    fn put(&mut self, stamp: Stamp, index: u64, sector: Sector) {
        self.seen.sectors.insert(index, Arc::clone(&sector));
        self.dirty.entry(index).or_default().push((stamp, sector));
    }
}

/// How many of the states that something went through since the last sync have landed.
pub(crate) enum Landing<'a> {
    None,
    All,
    Random(&'a mut Rng),
    /// Those up to this stamp.
    Until(Stamp),
}

impl Landing<'_> {
    /// How many of `states`, oldest first, landed; the last of them is the one the disk holds.
    pub(crate) fn choose<T>(&mut self, states: &[(Stamp, T)]) -> usize {
        match self {
            Self::None => 0,
            Self::All => states.len(),
            Self::Random(rng) => rng.usize(0..=states.len()),
            Self::Until(last) => states.partition_point(|(stamp, _)| stamp <= last),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Image {
    len: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Image {
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = available.min(buf.len());
        let mut rest = buf.get_mut(..count).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let start = within(at);
            let (target, behind) = rest.split_at_mut(rest.len().min(SECTOR - start));
            match self.sectors.get(&(at / SECTOR_BYTES)).and_then(|sector| sector.get(start..start + target.len())) {
                Some(bytes) => target.copy_from_slice(bytes),
                None => target.fill(0),
            }
            at += target.len() as u64;
            rest = behind;
        }
        count
    }

    /// Drops everything from `len` on. Does not set the length.
    fn cut(&mut self, len: u64) {
        drop(self.sectors.split_off(&len.div_ceil(SECTOR_BYTES)));
        let keep = within(len);
        if let Some(sector) = self.sectors.get_mut(&(len / SECTOR_BYTES)).filter(|_| keep > 0)
            && let Some(beyond) = Arc::make_mut(sector).get_mut(keep..)
        {
            beyond.fill(0);
        }
    }
}

/// The part of a write that lies in one sector.
struct Piece<'a> {
    sector: u64,
    /// Where in the sector.
    start: usize,
    bytes: &'a [u8],
    /// Offset in the file behind the part.
    end: u64,
}

fn pieces(bytes: &[u8], offset: u64) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = bytes;
    let mut at = offset;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = within(at);
        let (bytes, behind) = rest.split_at(rest.len().min(SECTOR - start));
        let piece = Piece { sector: at / SECTOR_BYTES, start, bytes, end: at + bytes.len() as u64 };
        rest = behind;
        at = piece.end;
        Some(piece)
    })
}

fn within(offset: u64) -> usize {
    (offset % SECTOR_BYTES) as usize
}

const SECTOR: usize = 512;
const SECTOR_BYTES: u64 = SECTOR as u64;

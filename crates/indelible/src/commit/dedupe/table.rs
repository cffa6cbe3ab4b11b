//! # Key table (`dedupe/<log>-<generation>.keys`), format version 1. Normative: docs/format/dedupe.md.
//!
//!   offset  size   field             notes
//!   0       8      magic             "IDLKEY\x00\x01"
//!   8       4      log
//!   12      4      bucket_bytes      1024
//!   16      4      slot_bytes        40
//!   20      4      bucket_slots      25
//!   24      8      generation        equals the number in the name
//!   32      8      buckets_n
//!   40      984    reserved          0
//!   1024    1024×  buckets           25 slots { key 16 · statement 16 · seq + 1 u64 }, then 24 bytes 0
//!
//! Slots of a bucket are used from its front; a key whose bucket is full goes to the next one, the last being followed by the
//! first. How many slots of each bucket are in use is kept in memory only: a write that failed half way is never looked at.

use std::io::{self, IoSlice};
use std::path::PathBuf;

use indelible_format::record::Idempotency;

use super::filter::{Filter, Place, Spread};
use crate::world::{Disk, DiskFile, Open};

pub(super) struct FileTable {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    filter: Filter,
    /// Slots in use, by bucket.
    used: Vec<u8>,
    entries: u64,
    capacity: u64,
}

/// Where a slot is, and what it holds.
struct Found {
    offset: u64,
    statement: [u8; 16],
    seq: u64,
}

impl FileTable {
    /// Makes the file and reserves its space.
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        log: u32,
        generation: u64,
        capacity: u64,
        filter_bits: u64,
    ) -> io::Result<Self> {
        let buckets = capacity.div_ceil(BUCKET_LOAD) + 1;
        let file = disk.open(&path, Open::CreateNew)?;
        file.allocate((buckets + 1) * u64::from(BUCKET_BYTES))?;
        let mut header = [0; 40];
        let fields: [&[u8]; 7] = [
            &MAGIC,
            &log.to_le_bytes(),
            &u32::from(BUCKET_BYTES).to_le_bytes(),
            &u32::from(SLOT_BYTES).to_le_bytes(),
            &u32::from(BUCKET_SLOTS).to_le_bytes(),
            &generation.to_le_bytes(),
            &buckets.to_le_bytes(),
        ];
        for (slot, byte) in header.iter_mut().zip(fields.concat()) {
            *slot = byte;
        }
        file.write_at(&[IoSlice::new(&header)], 0)?;
        Ok(Self {
            file,
            path,
            filter: Filter::new(capacity, filter_bits),
            used: vec![0; usize::try_from(buckets).map_err(|_| io::ErrorKind::InvalidInput)?],
            entries: 0,
            capacity,
        })
    }

    pub(super) fn find(&self, spread: &Spread, key: &[u8; 16]) -> io::Result<Option<([u8; 16], u64)>> {
        let place = spread.place(key);
        Ok(self.locate(place, key)?.map(|found| (found.statement, found.seq)))
    }

    /// Remembers `id`. Never called on a full table, so there is a free slot.
    pub(super) fn put(&mut self, spread: &Spread, id: &Idempotency, seq: u64) -> io::Result<()> {
        let place = spread.place(&id.key);
        let stored = seq.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?.to_le_bytes();
        let parts = [IoSlice::new(&id.key), IoSlice::new(&id.statement), IoSlice::new(&stored)];
        if let Some(found) = self.locate(place, &id.key)? {
            return self.file.write_at(&parts, found.offset);
        }
        let free = self.buckets_from(place).find(|(_, used)| *used < BUCKET_SLOTS);
        let (bucket, used) = free.ok_or(io::ErrorKind::StorageFull)?;
        self.file.write_at(&parts, slot_offset(bucket, used))?;
        if let Some(count) = self.used.get_mut(bucket) {
            *count += 1;
        }
        self.filter.add(place);
        self.entries += 1;
        Ok(())
    }

    pub(super) const fn len(&self) -> u64 {
        self.entries
    }

    pub(super) const fn capacity(&self) -> u64 {
        self.capacity
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.filter.heap_bytes() + self.used.capacity()
    }

    #[cfg(test)]
    pub(super) const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Closes the file and says which one it was.
    pub(super) fn into_path(self) -> PathBuf {
        self.path
    }

    fn locate(&self, place: Place, key: &[u8; 16]) -> io::Result<Option<Found>> {
        if !self.filter.may_hold(place) {
            return Ok(None);
        }
        let mut bytes = [0; BUCKET_BYTES as usize];
        for (bucket, used) in self.buckets_from(place) {
            let length = usize::from(used) * usize::from(SLOT_BYTES);
            let slots = bytes.get_mut(..length).unwrap_or_default();
            if self.file.read_at(slots, slot_offset(bucket, 0))? < length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a table of idempotency keys was cut short"));
            }
            for (nth, slot) in (0u8..).zip(slots.chunks_exact(usize::from(SLOT_BYTES))) {
                if let Some((found, rest)) = slot.split_first_chunk::<16>()
                    && found == key
                    && let Some((statement, rest)) = rest.split_first_chunk::<16>()
                    && let Some(seq) = rest.first_chunk::<8>()
                    && let Some(seq) = u64::from_le_bytes(*seq).checked_sub(1)
                {
                    return Ok(Some(Found { offset: slot_offset(bucket, nth), statement: *statement, seq }));
                }
            }
            if used < BUCKET_SLOTS {
                break;
            }
        }
        Ok(None)
    }

    /// All buckets, in the order in which a key at `place` tries them, with how many of their slots are in use.
    fn buckets_from(&self, place: Place) -> impl Iterator<Item = (usize, u8)> {
        let home = place.bucket(self.used.len());
        let behind = self.used.iter().copied().enumerate().skip(home);
        behind.chain(self.used.iter().copied().enumerate().take(home))
    }
}

const fn slot_offset(bucket: usize, slot: u8) -> u64 {
    (bucket as u64 + 1) * BUCKET_BYTES as u64 + slot as u64 * SLOT_BYTES as u64
}

pub(super) fn file_name(log: u32, generation: u64) -> String {
    format!("{log}-{generation:08}{SUFFIX}")
}

/// Whether `name` is one that [`file_name`] gives for `log`.
pub(super) fn is_file_name(name: &str, log: u32) -> bool {
    name.strip_suffix(SUFFIX)
        .and_then(|stem| stem.split_once('-'))
        .and_then(|(_, number)| number.parse().ok())
        .is_some_and(|generation| file_name(log, generation) == name)
}

const SUFFIX: &str = ".keys";
const MAGIC: [u8; 8] = *b"IDLKEY\x00\x01";
const BUCKET_BYTES: u16 = 1024;
const SLOT_BYTES: u16 = 40;
const BUCKET_SLOTS: u8 = 25;
/// Slots of a bucket in use, on average, when a table is full: about one key in thirty then goes to the next bucket.
const BUCKET_LOAD: u64 = 18;

const _: () = assert!(BUCKET_SLOTS as u16 * SLOT_BYTES <= BUCKET_BYTES && BUCKET_LOAD < BUCKET_SLOTS as u64);

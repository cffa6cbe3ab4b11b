//! The proof of a segment: what it is about is known while the segment is open, the rest is read when it is asked for. A quarter of a
//! megabyte of hashes for a million rows is of use to who proves or verifies, not to who searches.

use std::ops::Range;
use std::sync::OnceLock;

use indelible_format::leaf::Seed;
use indelible_format::limits::GROUP_LEAVES;

use super::Segment;
use super::open::{BlockPlace, Input, damaged};
use crate::codec::crc32;
use crate::column::Column;
use crate::container::footer::{Bounds, Footer};
use crate::error::{Result, SegmentError};
use crate::proof::{Front, Proof};
use crate::write::PROOF_KEY;

/// Largest proof block: a million rows and one leaf group in front of them, twice over.
const PROOF_BYTES_MAX: u64 = 1 << 20;
const SEED_BYTES: u64 = 32;
/// Seeds that are read together to have one.
const PIECE_SEEDS: u64 = 64;

const CHANGED: &str = "its proof block was changed";
const OUTSIDE: &str = "its proof lies outside of the file";

/// Where the proof is, and what it is about.
pub(super) struct ProofPlace {
    block: BlockPlace,
    front: Front,
    /// Checksums of the seeds, [`PIECE_SEEDS`] by so many, since the block was compared with its digest.
    pieces: OnceLock<Box<[u32]>>,
}

impl ProofPlace {
    pub(super) const fn log(&self) -> u32 {
        self.front.log
    }

    pub(super) const fn first_seq(&self) -> u64 {
        self.front.first_seq
    }

    pub(super) const fn count(&self) -> u64 {
        self.front.count
    }

    /// Bytes of memory beyond its own size, with the checksums of seeds.
    pub(super) fn memory(&self) -> usize {
        let pieces = usize::try_from(self.front.seeds().div_ceil(PIECE_SEEDS)).unwrap_or(0);
        self.block.memory() + pieces * size_of::<u32>()
    }

    fn read(&self, file: &Input<'_>) -> Result<Vec<u8>> {
        self.block.read(file, CHANGED)
    }

    /// Where in the block a piece of the seeds is, which are its last bytes.
    fn piece(&self, nth: u64) -> Range<u64> {
        let start = self.block.bytes - self.front.seeds() * SEED_BYTES;
        let at = |piece: u64| (start + piece * PIECE_SEEDS * SEED_BYTES).min(self.block.bytes);
        at(nth)..at(nth + 1)
    }

    fn pieces(&self, file: &Input<'_>) -> Result<&[u32]> {
        if let Some(pieces) = self.pieces.get() {
            return Ok(pieces);
        }
        let block = self.read(file)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let piece = |nth| {
            let Range { start, end } = self.piece(nth);
            crc32(block.get(place(start)..place(end)).unwrap_or_default())
        };
        let pieces = (0..self.front.seeds().div_ceil(PIECE_SEEDS)).map(piece).collect();
        Ok(self.pieces.get_or_init(|| pieces))
    }
}

/// Finds the proof. What it says of its rows must be what the footer says of them; where that does not say, the whole block must be the one
/// that the footer has the digest of.
pub(super) fn read_front(file: &Input<'_>, footer: &Footer) -> Result<ProofPlace> {
    let block = BlockPlace::find(file, footer, PROOF_KEY)?;
    if block.bytes > PROOF_BYTES_MAX {
        return Err(damaged("its proof is too long"));
    }
    let front = Front::decode(&file.read(block.offset, block.bytes.min(Front::BYTES_MAX), OUTSIDE)?, block.bytes)?;
    let proof = ProofPlace { block, front, pieces: OnceLock::new() };
    let Front { log, first_seq, count, .. } = front;
    let told = |column| footer.chunks.of(column).bounds.as_ref();
    let (Some(Bounds::Numbers(first, last)), Some(Bounds::Numbers(least, greatest))) = (told(Column::Seq), told(Column::Log))
    else {
        proof.read(file)?;
        return Ok(proof);
    };
    let last_seq = first_seq.checked_add(count).and_then(|end| end.checked_sub(1)).map(u64::cast_signed);
    let is_log = |told: &i64| *told == i64::from(log);
    if *first == first_seq.cast_signed() && Some(*last) == last_seq && is_log(least) && is_log(greatest) {
        return Ok(proof);
    }
    Err(SegmentError::Damaged { what: "its proof is about other positions than its rows", seq: first_seq })
}

impl Segment {
    /// What proves its rows.
    ///
    /// # Errors
    /// `Io`; `Damaged`, `Foreign`: it is not the block that the footer has the digest of, or no proof.
    ///
    /// # Cost
    /// Reads and hashes the block: 256 KiB for a million rows, and as much memory.
    pub fn proof(&self) -> Result<Proof> {
        Proof::decode(&self.proof.read(&self.file())?)
    }

    /// The seed of the group of 256 leaves that a position is in. `None`: the position lies outside of the segment.
    ///
    /// # Errors
    /// As [`proof`](Self::proof).
    ///
    /// # Cost
    /// At first that of `proof`; after that two kilobytes are read.
    pub fn seed(&self, seq: u64) -> Result<Option<Seed>> {
        let Front { first_seq, count, .. } = self.proof.front;
        if seq.checked_sub(first_seq).is_none_or(|row| row >= count) {
            return Ok(None);
        }
        let group = seq / GROUP_LEAVES - first_seq / GROUP_LEAVES;
        let (nth, within) = (group / PIECE_SEEDS, group % PIECE_SEEDS);
        let pieces = self.proof.pieces(&self.file())?;
        let Range { start, end } = self.proof.piece(nth);
        let seeds = self.file().read(self.proof.block.offset + start, end - start, OUTSIDE)?;
        let known = usize::try_from(nth).ok().and_then(|nth| pieces.get(nth));
        let seed = usize::try_from(within).ok().and_then(|within| seeds.as_chunks().0.get(within));
        let seed = seed.filter(|_| known == Some(&crc32(&seeds)));
        seed.map(|seed| Some(Seed(*seed))).ok_or(SegmentError::Damaged { what: CHANGED, seq })
    }
}

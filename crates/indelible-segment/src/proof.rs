//! What a segment carries besides its rows, so that its part of the tree can be computed and compared: docs/format/segment.md.

use indelible_format::Hash;
use indelible_format::leaf::Seed;
use indelible_format::limits::GROUP_LEAVES;

use crate::error::{Result, SegmentError};

const MAGIC: &[u8; 8] = b"INDLSEG1";
const HASH_BYTES: usize = 32;
/// Longest origin.
const ORIGIN_BYTES_MAX: usize = 512;

/// Where a segment belongs, and what proves its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Origin of the log: the first line of its checkpoints.
    pub origin: String,
    /// Number of the log in its store.
    pub log: u32,
    /// Position of the first row.
    pub first_seq: u64,
    /// Number of rows.
    pub count: u64,
    /// Leaves of the first group that lie before the first row: `first_seq` modulo 256 of them.
    pub before: Vec<Hash>,
    /// Root of every group of 256 leaves that is complete within the segment, the leaves before included.
    pub roots: Vec<Hash>,
    /// Seed of every group that the segment touches.
    pub seeds: Vec<Seed>,
}

/// What a proof is about, without the hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) log: u32,
    pub(crate) first_seq: u64,
    pub(crate) count: u64,
    seeds: u64,
}

impl Front {
    /// The most bytes that stand before the hashes.
    pub(crate) const BYTES_MAX: u64 = 8 + 4 + ORIGIN_BYTES_MAX as u64 + 4 + 8 + 8;

    /// How many seeds there are: the last bytes of the block.
    pub(crate) const fn seeds(&self) -> u64 {
        self.seeds
    }

    /// Reads the front of a block that is `length` bytes long.
    ///
    /// # Errors
    /// As [`Proof::decode`]; hashes are not looked at.
    pub(crate) fn decode(bytes: &[u8], length: u64) -> Result<Self> {
        let (magic, rest) = bytes.split_first_chunk().ok_or(SegmentError::Foreign("its proof block is too short"))?;
        if magic != MAGIC {
            return Err(SegmentError::Foreign("its proof block is of another version"));
        }
        let front = Self::decode_body(rest, length);
        front.ok_or(SegmentError::Damaged { what: "the proof block has another length than it says", seq: 0 })
    }

    fn decode_body(rest: &[u8], length: u64) -> Option<Self> {
        let (origin_bytes, rest) = rest.split_first_chunk()?;
        let origin_bytes = u32::from_le_bytes(*origin_bytes);
        let (_, rest) = rest.split_at_checked(usize::try_from(origin_bytes).ok()?)?;
        let (log, rest) = rest.split_first_chunk()?;
        let (first_seq, rest) = rest.split_first_chunk()?;
        let (count, _) = rest.split_first_chunk()?;
        let (first_seq, count) = (u64::from_le_bytes(*first_seq), u64::from_le_bytes(*count));
        let (touched, complete) = Proof::groups(first_seq, count)?;
        let hashes = Proof::leaves_before(first_seq).checked_add(complete)?.checked_add(touched)?;
        let hashes = u64::try_from(hashes.checked_mul(HASH_BYTES)?).ok()?;
        let front = Self::BYTES_MAX - ORIGIN_BYTES_MAX as u64 + u64::from(origin_bytes);
        let is_whole = front.checked_add(hashes) == Some(length);
        is_whole.then_some(Self { log: u32::from_le_bytes(*log), first_seq, count, seeds: touched as u64 })
    }
}

impl Proof {
    /// Groups that positions `first_seq .. first_seq + count` touch, and how many of them end within.
    fn groups(first_seq: u64, count: u64) -> Option<(usize, usize)> {
        let end = first_seq.checked_add(count)?;
        let touched = if count == 0 { 0 } else { (end - 1) / GROUP_LEAVES - first_seq / GROUP_LEAVES + 1 };
        let complete = end / GROUP_LEAVES - first_seq / GROUP_LEAVES;
        Some((usize::try_from(touched).ok()?, usize::try_from(complete).ok()?))
    }

    /// Number of leaves in front of the first row that belong to its group.
    fn leaves_before(first_seq: u64) -> usize {
        usize::try_from(first_seq % GROUP_LEAVES).unwrap_or(0)
    }

    /// Whether the lists have the lengths that the positions ask for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.origin.len() <= ORIGIN_BYTES_MAX
            && self.before.len() == Self::leaves_before(self.first_seq)
            && Self::groups(self.first_seq, self.count) == Some((self.seeds.len(), self.roots.len()))
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + (self.before.len() + self.roots.len() + self.seeds.len()) * HASH_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(self.origin.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(&self.log.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        self.before.iter().chain(&self.roots).for_each(|hash| out.extend_from_slice(&hash.0));
        self.seeds.iter().for_each(|seed| out.extend_from_slice(&seed.0));
        out
    }

    /// Reads what [`encode`](Self::encode) wrote. Allocates no more than `bytes` is long.
    ///
    /// # Errors
    /// `Foreign`: another version, or nothing of the kind. `Damaged`: lengths that contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (magic, rest) = bytes.split_first_chunk().ok_or(SegmentError::Foreign("its proof block is too short"))?;
        if magic != MAGIC {
            return Err(SegmentError::Foreign("its proof block is of another version"));
        }
        Self::decode_body(rest).ok_or(SegmentError::Damaged { what: "the proof block has another length than it says", seq: 0 })
    }

    fn decode_body(rest: &[u8]) -> Option<Self> {
        let (length, rest) = rest.split_first_chunk()?;
        let (origin, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let (log, rest) = rest.split_first_chunk()?;
        let (first_seq, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (first_seq, count) = (u64::from_le_bytes(*first_seq), u64::from_le_bytes(*count));
        let (touched, complete) = Self::groups(first_seq, count)?;
        let (hashes, []) = rest.as_chunks::<HASH_BYTES>() else { return None };
        let (before, hashes) = hashes.split_at_checked(Self::leaves_before(first_seq))?;
        let (roots, seeds) = hashes.split_at_checked(complete)?;
        let proof = Self {
            origin: std::str::from_utf8(origin).ok()?.to_owned(),
            log: u32::from_le_bytes(*log),
            first_seq,
            count,
            before: before.iter().copied().map(Hash).collect(),
            roots: roots.iter().copied().map(Hash).collect(),
            seeds: seeds.iter().copied().map(Seed).collect(),
        };
        (proof.seeds.len() == touched && proof.is_complete()).then_some(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(first_seq: u64, count: u64) -> Proof {
        let (touched, complete) = Proof::groups(first_seq, count).unwrap();
        let hash = |n: usize| Hash([u8::try_from(n % 251).unwrap(); 32]);
        Proof {
            origin: "example.com/audit/1".into(),
            log: 1,
            first_seq,
            count,
            before: (0..Proof::leaves_before(first_seq)).map(hash).collect(),
            roots: (0..complete).map(hash).collect(),
            seeds: (0..touched).map(|n| Seed(hash(n).0)).collect(),
        }
    }

    #[test]
    fn a_proof_comes_back_whatever_part_of_the_log_it_is_about() {
        for first_seq in [0, 1, 255, 256, 1_000] {
            for count in [0, 1, 255, 256, 257, 1_024] {
                let proof = proof(first_seq, count);
                assert!(proof.is_complete());
                let bytes = proof.encode();
                assert_eq!(Proof::decode(&bytes).unwrap(), proof, "{first_seq} + {count}");
                let front = Front::decode(&bytes[..51], bytes.len() as u64).unwrap();
                assert_eq!((front.log, front.first_seq, front.count), (1, first_seq, count));
                assert_eq!(front.seeds(), proof.seeds.len() as u64);
            }
        }
        assert_eq!(proof(0, 256).roots.len(), 1);
        assert_eq!((proof(255, 2).roots.len(), proof(255, 2).seeds.len()), (1, 2));
    }

    #[test]
    fn any_other_bytes_are_refused_without_panic() {
        let good = proof(300, 700).encode();
        for cut in 0..good.len() {
            assert!(Proof::decode(&good[..cut]).is_err() && Front::decode(&good[..cut], cut as u64).is_err(), "{cut}");
            assert_eq!(Front::decode(&good[..cut], good.len() as u64).is_ok(), cut >= 51);
        }
        assert!(Proof::decode(&[good.as_slice(), &[0]].concat()).is_err());
        for at in 0..60.min(good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            // A changed name or number may still be a proof, of something else; sizes may not.
            if let Ok(proof) = Proof::decode(&bad) {
                assert!(proof.is_complete());
            }
        }
    }
}

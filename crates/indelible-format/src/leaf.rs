//! From records to leaves: salts, commitments, entries. Rules: docs/format/commitment.md.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use hkdf::Hkdf;
use sha2::Sha256;
use smallvec::SmallVec;
use zeroize::Zeroize as _;

use crate::event::Tag;
use crate::hash::Hash;
use crate::limits::GROUP_LEAVES;
use crate::record::{Body, Kind, Record};
use crate::sha256::{self, BatchHasher};

const DOMAIN: &[u8; 12] = b"indelible/v1";
const SALT_BYTES: usize = 16;
const KEYSTREAM_BYTES: usize = 256 * SALT_BYTES;
const PREFIX_BYTES: usize = DOMAIN.len() + 1 + SALT_BYTES;
const ENTRY_EVENT: u8 = 1;
const ENTRY_CONTROL: u8 = 2;

/// The random seed of one group of 256 leaves. Erased from memory on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// The key of one tag's keystream: what a withheld export discloses for the tags it discloses.
    #[must_use]
    pub fn subseed(&self, tag: Tag) -> [u8; 32] {
        let mut subseed = [0; 32];
        let hkdf = Hkdf::<Sha256>::new(Some(DOMAIN), &self.0);
        // 32 bytes are within what HKDF-SHA-256 can give (255 × 32).
        let expanded = hkdf.expand(&[b's', b'a', b'l', b't', tag.0], &mut subseed);
        debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's range");
        subseed
    }

    /// The salt of one tag of the leaf `seq`. Cost: an HKDF and one or two ChaCha blocks; use [`Salts`] for many.
    #[must_use]
    pub fn salt(&self, tag: Tag, seq: u64) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        let mut cipher = ChaCha20::new(&self.subseed(tag).into(), &[0; 12].into());
        cipher.seek((seq % GROUP_LEAVES) * SALT_BYTES as u64);
        cipher.apply_keystream(&mut salt);
        salt
    }
}

/// The salts of one group, derived tag by tag when first asked for.
#[derive(Debug)]
pub struct Salts {
    seed: Seed,
    streams: SmallVec<[(u8, Box<[u8; KEYSTREAM_BYTES]>); 4]>,
    spare: Vec<Box<[u8; KEYSTREAM_BYTES]>>,
}

impl Salts {
    /// Of the group with this seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { seed, streams: SmallVec::new(), spare: Vec::new() }
    }

    /// The group's seed.
    #[must_use]
    pub const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Goes over to another group, keeping the buffers; nothing happens if the seed is the same.
    pub fn rekey(&mut self, seed: &Seed) {
        if self.seed != *seed {
            self.seed = seed.clone();
            self.spare.extend(self.streams.drain(..).map(|(_, stream)| stream));
        }
    }

    /// The salt of `tag` for the leaf `seq`.
    pub fn salt(&mut self, tag: Tag, seq: u64) -> [u8; SALT_BYTES] {
        let at = self.streams.iter().position(|(known, _)| *known == tag.0).unwrap_or_else(|| {
            let mut stream = self.spare.pop().unwrap_or_else(|| Box::new([0; KEYSTREAM_BYTES]));
            stream.fill(0);
            let mut subseed = self.seed.subseed(tag);
            ChaCha20::new(&subseed.into(), &[0; 12].into()).apply_keystream(stream.as_mut_slice());
            subseed.zeroize();
            self.streams.push((tag.0, stream));
            self.streams.len() - 1
        });
        let offset = usize::try_from(seq % GROUP_LEAVES).unwrap_or(0) * SALT_BYTES;
        self.streams
            .get(at)
            .and_then(|(_, stream)| stream.get(offset..offset + SALT_BYTES))
            .and_then(|salt| salt.try_into().ok())
            .unwrap_or_default()
    }
}

/// `C(tag)`: the commitment to one group's value.
#[must_use]
pub fn commitment(tag: Tag, salt: &[u8; SALT_BYTES], value: &[u8]) -> Hash {
    sha256::sha256_parts(&[DOMAIN, &[tag.0], salt, value])
}

/// The entry of an event from its commitments, tags ascending.
#[must_use]
pub fn event_entry(commitments: &[(Tag, Hash)]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(2 + commitments.len() * 33);
    entry.push(ENTRY_EVENT);
    entry.push(u8::try_from(commitments.len()).unwrap_or(u8::MAX));
    for (tag, commitment) in commitments {
        entry.push(tag.0);
        entry.extend_from_slice(&commitment.0);
    }
    entry
}

/// The entry of a control record.
#[must_use]
pub fn control_entry(json: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(1 + json.len());
    entry.push(ENTRY_CONTROL);
    entry.extend_from_slice(json);
    entry
}

/// The commitments of an event record, from its values and salts.
pub fn commitments(record: &Record<'_>, seq: u64, salts: &mut Salts) -> SmallVec<[(Tag, Hash); 4]> {
    record
        .groups()
        .map(|(tag, body)| {
            let hash = match body {
                Body::Value(value) => commitment(tag, &salts.salt(tag, seq), value),
                Body::Salted(salt, value) => commitment(tag, &salt, value),
                Body::Withheld(hash) => hash,
            };
            (tag, hash)
        })
        .collect()
}

/// The entry of any record but a leaf record, whose entry is not known.
pub fn entry(record: &Record<'_>, seq: u64, salts: &mut Salts) -> Option<Vec<u8>> {
    match record.kind() {
        Kind::Event => Some(event_entry(&commitments(record, seq, salts))),
        Kind::Control => record.control().map(control_entry),
        Kind::Leaf => None,
    }
}

/// The leaf of one record, one hash after the other: the simple twin of [`LeafHasher`].
pub fn leaf(record: &Record<'_>, seq: u64, salts: &mut Salts) -> Hash {
    record.leaf().unwrap_or_else(|| sha256::leaf(&entry(record, seq, salts).unwrap_or_default()))
}

/// Hashes many records at once, so that the hasher can work on several messages in parallel.
///
/// Push records in order, then [`finish`](Self::finish). Allocates nothing once its buffers have grown.
#[derive(Default)]
pub struct LeafHasher {
    hasher: BatchHasher,
    plan: Vec<Plan>,
    tags: Vec<u8>,
    withheld: Vec<Option<Hash>>,
    hashes: Vec<Hash>,
    entry: Vec<u8>,
}

#[derive(Debug)]
enum Plan {
    /// The next this many commitments.
    Event(u8),
    /// A leaf that is known already.
    Ready(Hash),
}

impl std::fmt::Debug for LeafHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeafHasher").field("queued", &self.plan.len()).finish_non_exhaustive()
    }
}

impl LeafHasher {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues one record; `salts` are those of its group.
    pub fn push(&mut self, record: &Record<'_>, seq: u64, salts: &mut Salts) {
        match record.kind() {
            Kind::Event => {
                let mut count = 0u8;
                for (tag, body) in record.groups() {
                    count = count.saturating_add(1);
                    self.tags.push(tag.0);
                    let (salt, value) = match body {
                        Body::Withheld(hash) => {
                            self.withheld.push(Some(hash));
                            continue;
                        }
                        Body::Value(value) => (salts.salt(tag, seq), value),
                        Body::Salted(salt, value) => (salt, value),
                    };
                    self.push_commitment(tag, &salt, value);
                }
                self.plan.push(Plan::Event(count));
            }
            Kind::Control => self.plan.push(Plan::Ready(leaf(record, seq, salts))),
            Kind::Leaf => self.plan.push(Plan::Ready(record.leaf().unwrap_or_default())),
        }
    }

    /// Queues an event that this process encoded itself, by its values; `salts` are those of its group.
    #[inline]
    pub fn push_event<'v>(&mut self, values: impl Iterator<Item = (Tag, &'v [u8])>, seq: u64, salts: &mut Salts) {
        let mut count = 0u8;
        for (tag, value) in values {
            count = count.saturating_add(1);
            self.tags.push(tag.0);
            self.push_commitment(tag, &salts.salt(tag, seq), value);
        }
        self.plan.push(Plan::Event(count));
    }

    /// What [`commitment`] hashes, later.
    #[inline]
    fn push_commitment(&mut self, tag: Tag, salt: &[u8; SALT_BYTES], value: &[u8]) {
        self.withheld.push(None);
        let mut prefix = [0; PREFIX_BYTES];
        let (domain, rest) = prefix.split_at_mut(DOMAIN.len());
        domain.copy_from_slice(DOMAIN);
        if let [to, rest @ ..] = rest {
            *to = tag.0;
            rest.copy_from_slice(salt);
        }
        self.hasher.push(&[&prefix, value]);
    }

    /// How many records are queued.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.plan.len()
    }

    /// Whether so much is queued that the next record may be made to wait for the hashing of all of it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.hasher.is_full()
    }

    /// Whether none is queued.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// Appends one leaf per queued record, in order, and empties the queue.
    pub fn finish(&mut self, leaves: &mut Vec<Hash>) {
        self.hashes.clear();
        self.hasher.finish(&mut self.hashes);
        let mut hashes = self.hashes.iter();
        let mut groups = self.tags.iter().zip(&self.withheld);
        for plan in &self.plan {
            if let Plan::Event(count) = plan {
                self.entry.clear();
                self.entry.extend_from_slice(&[0x00, ENTRY_EVENT, *count]);
                for (tag, withheld) in groups.by_ref().take(usize::from(*count)) {
                    let hash = withheld.or_else(|| hashes.next().copied()).unwrap_or_default();
                    self.entry.push(*tag);
                    self.entry.extend_from_slice(&hash.0);
                }
                self.hasher.push(&[&self.entry]);
            }
        }
        self.tags.clear();
        self.withheld.clear();
        self.hashes.clear();
        self.hasher.finish(&mut self.hashes);
        let mut hashes = self.hashes.iter();
        leaves.extend(self.plan.drain(..).map(|plan| match plan {
            Plan::Event(_) => hashes.next().copied().unwrap_or_default(),
            Plan::Ready(hash) => hash,
        }));
    }
}

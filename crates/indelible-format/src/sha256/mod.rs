//! SHA-256 (FIPS 180-4), alone and of many short messages at once.
//!
//! A log hashes several messages of a few hundred bytes per event. On x86-64 they are hashed side by side in the lanes of vector
//! registers (`lanes`) where that is faster than one after the other (see `lane_step_thirds`): with AVX-512 always, with AVX2 unless
//! the processor has SHA instructions. Every other machine takes the `sha2` crate as it is.
//!
//! Invariants: a digest never depends on the backend or on what else was in the batch. A [`BatchHasher`] never holds more than
//! `ARENA_BLOCKS` blocks of messages, whatever is pushed: a full arena is hashed and reused.

mod block;
#[cfg(any(target_arch = "x86_64", test))]
mod lanes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use self::block::{Block, INITIAL_STATE, blocks_of, digest, hash_blocks, pad_into};
#[cfg(target_arch = "x86_64")]
use self::lanes::HashJobs;
use crate::Hash;

/// SHA-256 of `message`.
#[must_use]
pub fn sha256(message: &[u8]) -> Hash {
    sha256_parts(&[message])
}

/// SHA-256 of all `parts` one behind the other.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// RFC 6962 hash of a leaf: SHA-256(0x00 ‖ `entry`).
#[must_use]
pub fn leaf(entry: &[u8]) -> Hash {
    sha256_parts(&[&[LEAF_PREFIX], entry])
}

/// RFC 6962 hash of an inner node: SHA-256(0x01 ‖ `left` ‖ `right`).
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut message = [[0; 64]; NODE_BLOCKS];
    pad_into(&mut message, NODE_BYTES, &[&[NODE_PREFIX], &left.0, &right.0]);
    hash_blocks(&message)
}

/// Appends to `out` the parent of each pair of `children`: [`node`]`(children[2i], children[2i + 1])`, many at a time.
///
/// An odd last child has no pair and is passed over; RFC 6962 carries it to the next level as it is.
///
/// **Cost**: two blocks per parent; no allocation but the growth of `out`.
pub fn nodes(children: &[Hash], out: &mut Vec<Hash>) {
    Backend::detected().nodes(children, out);
}

/// How batches are hashed on this machine: `sha-ni`, `armv8-sha2`, `avx512 x16`, `avx2 x8` or `scalar`.
#[must_use]
pub fn backend() -> &'static str {
    Backend::detected().name()
}

/// Hashes many independent messages.
///
/// Push messages, then take all their hashes with [`finish`](Self::finish). Its buffers (about 300 KiB, and 32 bytes per message until
/// they are taken) are kept: a batch like the one before it allocates nothing.
///
/// ```
/// # use indelible_format::sha256::{BatchHasher, sha256};
/// let mut hasher = BatchHasher::new();
/// hasher.push(&["indelible".as_bytes(), b"/v1"]);
/// let mut hashes = Vec::new();
/// hasher.finish(&mut hashes);
/// assert_eq!(hashes, [sha256(b"indelible/v1")]);
/// ```
pub struct BatchHasher {
    backend: Backend,
    /// Padded messages. Always at its full length; blocks from `used` on are free and hold old bytes.
    arena: Vec<Block>,
    used: usize,
    /// One job per message in the arena; their `index` is into `hashes`.
    queued: Vec<Job>,
    /// `queued`, longest first; kept for its capacity.
    sorted: Vec<Job>,
    /// One per message since the last `finish`; those still queued are zero.
    hashes: Vec<Hash>,
}

impl BatchHasher {
    /// An empty batch on the fastest backend of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Backend::detected())
    }

    fn on(backend: Backend) -> Self {
        Self { backend, arena: vec![[0; 64]; ARENA_BLOCKS], used: 0, queued: Vec::new(), sorted: Vec::new(), hashes: Vec::new() }
    }

    /// Adds the message that is all `parts` one behind the other. Returns its index: how many were pushed before it since the
    /// last [`finish`](Self::finish).
    ///
    /// **Cost**: one copy of the message; every few hundred messages the hashing of what is queued. Messages over 4 KiB are not
    /// copied but hashed at once.
    #[inline]
    pub fn push(&mut self, parts: &[&[u8]]) -> usize {
        let index = self.hashes.len();
        let bytes = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        if bytes > MESSAGE_BYTES_MAX {
            self.hashes.push(sha256_parts(parts));
            return index;
        }
        let blocks = blocks_of(bytes);
        if self.arena.len() - self.used < blocks {
            self.drain();
        }
        let Some(message) = self.arena.get_mut(self.used..self.used + blocks) else {
            // Not reached: an empty arena has room for any message of up to MESSAGE_BYTES_MAX. The answer is right all the same.
            self.hashes.push(sha256_parts(parts));
            return index;
        };
        pad_into(message, bytes, parts);
        self.queued.push(Job::new(self.used, blocks, index));
        self.used += blocks;
        self.hashes.push(Hash::ZERO);
        index
    }

    /// Whether messages wait for so much of the memory that one more may cause the hashing of all of them.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.arena.len() - self.used < MESSAGE_BLOCKS_MAX
    }

    /// Appends the hash of every message pushed since the last call to `out`, in the order of pushing, and begins a new batch.
    pub fn finish(&mut self, out: &mut Vec<Hash>) {
        self.drain();
        out.extend_from_slice(&self.hashes);
        self.hashes.clear();
    }

    /// Hashes what is in the arena.
    #[inline(never)]
    fn drain(&mut self) {
        sort_longest_first(&self.queued, &mut self.sorted);
        self.backend.hash(&self.arena, &self.sorted, &mut self.hashes);
        self.queued.clear();
        self.used = 0;
    }
}

impl Default for BatchHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The way batches are hashed. The vector kinds hold pulp's proof that the processor has the instructions.
#[derive(Clone, Copy)]
enum Backend {
    /// The `sha2` crate, one message after the other.
    Single,
    #[cfg(target_arch = "x86_64")]
    Avx2(V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(V4),
}

impl Backend {
    fn detected() -> Self {
        static DETECTED: OnceLock<Backend> = OnceLock::new();
        *DETECTED.get_or_init(Self::detect)
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        if let Some(simd) = V4::try_new() {
            Self::Avx512(simd)
        } else if has_sha_instructions() {
            Self::Single
        } else if let Some(simd) = V3::try_new() {
            Self::Avx2(simd)
        } else {
            Self::Single
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    const fn detect() -> Self {
        Self::Single
    }

    fn name(self) -> &'static str {
        match self {
            Self::Single if !has_sha_instructions() => "scalar",
            Self::Single if cfg!(target_arch = "aarch64") => "armv8-sha2",
            Self::Single => "sha-ni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2 x8",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512 x16",
        }
    }

    /// Messages hashed side by side.
    const fn lanes(self) -> usize {
        match self {
            Self::Single => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 16,
        }
    }

    /// Hashes `jobs`, longest first, each into its place in `hashes`.
    fn hash(self, arena: &[Block], jobs: &[Job], hashes: &mut [Hash]) {
        let in_lanes = self.worth_lanes(jobs);
        match self {
            Self::Single => {}
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(HashJobs { simd, arena, jobs: jobs.split_at(in_lanes).0, hashes }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.vectorize(HashJobs { simd, arena, jobs: jobs.split_at(in_lanes).0, hashes }),
        }
        for jobs in jobs.get(in_lanes..).unwrap_or_default().chunks(IN_TURN) {
            hash_in_turn(arena, jobs, hashes);
        }
    }

    /// How many of `jobs`, longest first, are cheaper in lanes: all full groups, and the last one if its messages would take
    /// longer one by one than the longest of them takes in lanes.
    fn worth_lanes(self, jobs: &[Job]) -> usize {
        if self.lanes() == 1 {
            return 0;
        }
        let full = jobs.len() - jobs.len() % self.lanes();
        let rest = jobs.get(full..).unwrap_or_default();
        let one_by_one: usize = rest.iter().map(|job| job.blocks).sum();
        let in_lanes = rest.first().map_or(0, |longest| longest.blocks);
        if one_by_one * 3 > in_lanes * lane_step_thirds() { jobs.len() } else { full }
    }

    fn nodes(self, children: &[Hash], out: &mut Vec<Hash>) {
        let (pairs, _) = children.as_chunks::<2>();
        let mut arena = [[0; 64]; NODES_AT_ONCE * NODE_BLOCKS];
        let mut jobs = [Job::default(); NODES_AT_ONCE];
        for (index, job) in jobs.iter_mut().enumerate() {
            *job = Job::new(index * NODE_BLOCKS, NODE_BLOCKS, index);
        }
        for pairs in pairs.chunks(NODES_AT_ONCE) {
            for (message, [left, right]) in arena.chunks_exact_mut(NODE_BLOCKS).zip(pairs) {
                pad_into(message, NODE_BYTES, &[&[NODE_PREFIX], &left.0, &right.0]);
            }
            let mut parents = [Hash::ZERO; NODES_AT_ONCE];
            let (jobs, _) = jobs.split_at(pairs.len());
            self.hash(&arena, jobs, &mut parents);
            out.extend(parents.iter().take(pairs.len()));
        }
    }
}

/// Hashes at most [`IN_TURN`] messages, longest first, a block of each in turn. Each block waits for the one before it in its message, and
/// with SHA instructions for long: a processor that looks far enough ahead works at the next message meanwhile.
fn hash_in_turn(arena: &[Block], jobs: &[Job], hashes: &mut [Hash]) {
    let mut states = [INITIAL_STATE; IN_TURN];
    let longest = jobs.first().map_or(0, |job| job.blocks);
    for nth in 0..longest {
        for (state, job) in states.iter_mut().zip(jobs) {
            if let Some(block) = job.message(arena).get(nth) {
                compress256(state, std::slice::from_ref(block));
            }
        }
    }
    for (state, job) in states.iter().zip(jobs) {
        if let Some(hash) = hashes.get_mut(job.index) {
            *hash = digest(state);
        }
    }
}

/// Whether the `sha2` crate runs on SHA instructions here: the same features that it asks for.
fn has_sha_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("sse4.1");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// One padded message of an arena of blocks, and where its digest goes.
#[derive(Clone, Copy, Default)]
struct Job {
    /// Index of its first block in the arena.
    first: usize,
    /// Its length in blocks, 1..=`MESSAGE_BLOCKS_MAX`.
    blocks: usize,
    /// Index of its digest in the output.
    index: usize,
}

impl Job {
    const fn new(first: usize, blocks: usize, index: usize) -> Self {
        Self { first, blocks, index }
    }

    fn message(self, arena: &[Block]) -> &[Block] {
        let message = arena.get(self.first..self.first + self.blocks).unwrap_or_default();
        debug_assert!(!message.is_empty(), "a job lies inside its arena");
        message
    }
}

/// Counting sort by length, so that the messages of a group of lanes end together.
fn sort_longest_first(queued: &[Job], sorted: &mut Vec<Job>) {
    let mut places = [0; MESSAGE_BLOCKS_MAX + 1];
    for job in queued {
        if let Some(count) = places.get_mut(job.blocks) {
            *count += 1;
        }
    }
    let mut next = 0;
    for place in places.iter_mut().rev() {
        let count = *place;
        *place = next;
        next += count;
    }
    sorted.clear();
    sorted.resize(queued.len(), Job::default());
    for job in queued {
        if let Some(place) = places.get_mut(job.blocks) {
            if let Some(slot) = sorted.get_mut(*place) {
                *slot = *job;
            }
            *place += 1;
        }
    }
}

/// Messages that are hashed in turn.
const IN_TURN: usize = 4;

/// RFC 6962 §2.1.
const LEAF_PREFIX: u8 = 0;
/// RFC 6962 §2.1.
const NODE_PREFIX: u8 = 1;
const NODE_BYTES: usize = 1 + 32 + 32;
const NODE_BLOCKS: usize = blocks_of(NODE_BYTES);
/// Parents hashed per call of the vector code by `nodes`, on the stack: a multiple of every number of lanes.
const NODES_AT_ONCE: usize = 32;

/// The longest message that is copied into the arena. Longer ones seldom find company of their length, and would fill the arena.
const MESSAGE_BLOCKS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = MESSAGE_BLOCKS_MAX * 64 - 9;
/// What one block in every lane costs, in thirds of a block hashed alone. Measured 2026-11-21: without SHA instructions (Xeon, Cascade
/// Lake, 2.5 GHz) alone 335 ns, sixteen lanes 406 ns, eight lanes 408 ns, so that two messages of one length are already worth it;
/// with them (EPYC, Zen 4) alone 42 ns, sixteen lanes 397 ns.
fn lane_step_thirds() -> usize {
    if has_sha_instructions() { 28 } else { 4 }
}
/// Blocks of messages queued before they are hashed: 256 KiB stay in the second-level cache, and are enough messages that the
/// groups of lanes are nearly all full and of one length.
const ARENA_BLOCKS: usize = 4096;

const _: () = assert!(blocks_of(MESSAGE_BYTES_MAX) == MESSAGE_BLOCKS_MAX && MESSAGE_BLOCKS_MAX <= ARENA_BLOCKS);

//! SHA-256 (FIPS 180-4) of many messages at once: lane `l` of every vector belongs to message `l`.
//!
//! Invariants: a group holds 1..=[`Simd::U32_LANES`] jobs in descending order of length, so lanes fall idle from the end; an idle
//! lane compresses zeros and its state is never read again. No lane sees another lane's data, so how messages are grouped cannot
//! change a digest.
//!
//! Everything down to the intrinsics is `#[inline(always)]`: target features hold only inside the function that `vectorize` makes,
//! and an intrinsic that stays outside of it becomes a call per instruction.

use pulp::{NullaryFnOnce, Simd};

use super::Job;
use super::block::{Block, INITIAL_STATE, ROUND_CONSTANTS, digest};
use crate::Hash;

/// A vector unit that can load sixteen or eight messages side by side.
pub(super) trait Lanes: Simd {
    /// Big-endian word `w` of each lane's block, for `w` in 0..16. Reads the first `U32_LANES` blocks.
    fn load(self, blocks: &[&Block; LANES_MAX]) -> [Self::u32s; 16];
}

/// Hashes all `jobs` (in descending order of blocks), each into its place in `hashes`.
pub(super) struct HashJobs<'a, S> {
    pub(super) simd: S,
    pub(super) arena: &'a [Block],
    pub(super) jobs: &'a [Job],
    pub(super) hashes: &'a mut [Hash],
}

impl<S: Lanes> NullaryFnOnce for HashJobs<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for group in self.jobs.chunks(S::U32_LANES) {
            hash_group(self.simd, self.arena, group, self.hashes);
        }
    }
}

#[inline(always)]
fn hash_group<S: Lanes>(simd: S, arena: &[Block], group: &[Job], hashes: &mut [Hash]) {
    let mut messages: [&[Block]; LANES_MAX] = [&[]; LANES_MAX];
    for (message, job) in messages.iter_mut().zip(group) {
        *message = job.message(arena);
    }
    let mut state = [simd.splat_u32s(0); 8];
    for (word, &initial) in state.iter_mut().zip(&INITIAL_STATE) {
        *word = simd.splat_u32s(initial);
    }
    let mut running = group;
    let mut step = 0;
    while !running.is_empty() {
        let mut blocks = [&IDLE; LANES_MAX];
        for (block, message) in blocks.iter_mut().zip(&messages).take(S::U32_LANES) {
            *block = message.get(step).unwrap_or(&IDLE);
        }
        let mut words = simd.load(&blocks);
        compress(simd, &mut state, &mut words);
        step += 1;
        while let Some((last, others)) = running.split_last()
            && last.blocks <= step
        {
            if let Some(hash) = hashes.get_mut(last.index) {
                *hash = lane_digest::<S>(&state, others.len());
            }
            running = others;
        }
    }
}

/// The state of one lane as a digest.
#[inline(always)]
fn lane_digest<S: Lanes>(state: &[S::u32s; 8], lane: usize) -> Hash {
    let words: &[u32] = pulp::bytemuck::cast_slice(state);
    let mut last = [0; 8];
    for (word, column) in last.iter_mut().zip(0..) {
        *word = words.get(column * S::U32_LANES + lane).copied().unwrap_or_default();
    }
    digest(&last)
}

/// One block in every lane: the 64 rounds of FIPS 180-4 §6.2.2. `words` is used up.
///
/// Sixteen rounds are unrolled, not sixty-four, so that the loop should fit the micro-operation cache; the two were not compared.
#[inline(always)]
fn compress<S: Lanes>(simd: S, state: &mut [S::u32s; 8], words: &mut [S::u32s; 16]) {
    let mut v = *state;
    let (constants, _) = ROUND_CONSTANTS.as_chunks::<16>();
    let mut constants = constants.iter();
    if let Some(first) = constants.next() {
        sixteen_rounds::<S, false>(simd, &mut v, words, first);
    }
    for later in constants {
        sixteen_rounds::<S, true>(simd, &mut v, words, later);
    }
    for (word, &mixed) in state.iter_mut().zip(&v) {
        *word = simd.add_u32s(*word, mixed);
    }
}

#[inline(always)]
fn sixteen_rounds<S: Lanes, const EXTEND: bool>(simd: S, v: &mut [S::u32s; 8], w: &mut [S::u32s; 16], k: &[u32; 16]) {
    let &[k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13, k14, k15] = k;
    round::<S, 0, EXTEND>(simd, v, w, k0);
    round::<S, 1, EXTEND>(simd, v, w, k1);
    round::<S, 2, EXTEND>(simd, v, w, k2);
    round::<S, 3, EXTEND>(simd, v, w, k3);
    round::<S, 4, EXTEND>(simd, v, w, k4);
    round::<S, 5, EXTEND>(simd, v, w, k5);
    round::<S, 6, EXTEND>(simd, v, w, k6);
    round::<S, 7, EXTEND>(simd, v, w, k7);
    round::<S, 8, EXTEND>(simd, v, w, k8);
    round::<S, 9, EXTEND>(simd, v, w, k9);
    round::<S, 10, EXTEND>(simd, v, w, k10);
    round::<S, 11, EXTEND>(simd, v, w, k11);
    round::<S, 12, EXTEND>(simd, v, w, k12);
    round::<S, 13, EXTEND>(simd, v, w, k13);
    round::<S, 14, EXTEND>(simd, v, w, k14);
    round::<S, 15, EXTEND>(simd, v, w, k15);
}

/// Round `I` of sixteen. The eight working variables are not moved from letter to letter: letter `n` of round `I` stands in
/// `v[(n - I) mod 8]`. With `EXTEND`, word `I` of the schedule is replaced by the one sixteen rounds later before it is used.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is reduced modulo the length of its array")]
fn round<S: Lanes, const I: usize, const EXTEND: bool>(simd: S, v: &mut [S::u32s; 8], w: &mut [S::u32s; 16], k: u32) {
    let at = |letter: usize| (letter + 16 - I) % 8;
    let [a, b, c, d] = [v[at(0)], v[at(1)], v[at(2)], v[at(3)]];
    let [e, f, g, h] = [v[at(4)], v[at(5)], v[at(6)], v[at(7)]];
    if EXTEND {
        let near = w[(I + 1) % 16];
        let far = w[(I + 14) % 16];
        let small0 = xor3(simd, rotate::<S, 7>(simd, near), rotate::<S, 18>(simd, near), shift::<S, 3>(simd, near));
        let small1 = xor3(simd, rotate::<S, 17>(simd, far), rotate::<S, 19>(simd, far), shift::<S, 10>(simd, far));
        w[I % 16] = simd.add_u32s(simd.add_u32s(w[I % 16], small0), simd.add_u32s(w[(I + 9) % 16], small1));
    }
    let big1 = xor3(simd, rotate::<S, 6>(simd, e), rotate::<S, 11>(simd, e), rotate::<S, 25>(simd, e));
    let choose = simd.xor_u32s(g, simd.and_u32s(e, simd.xor_u32s(f, g)));
    let input = simd.add_u32s(h, simd.add_u32s(w[I % 16], simd.splat_u32s(k)));
    let first = simd.add_u32s(simd.add_u32s(input, choose), big1);
    let big0 = xor3(simd, rotate::<S, 2>(simd, a), rotate::<S, 13>(simd, a), rotate::<S, 22>(simd, a));
    // a ^ b is the b ^ c of the next round: in this form the majority costs one operation less than the textbook's.
    let majority = simd.xor_u32s(b, simd.and_u32s(simd.xor_u32s(a, b), simd.xor_u32s(b, c)));
    v[at(3)] = simd.add_u32s(d, first);
    v[at(7)] = simd.add_u32s(first, simd.add_u32s(big0, majority));
}

#[inline(always)]
fn xor3<S: Simd>(simd: S, x: S::u32s, y: S::u32s, z: S::u32s) -> S::u32s {
    simd.xor_u32s(simd.xor_u32s(x, y), z)
}

/// The amount is a constant, so the compiler makes this one rotate where the machine has it.
#[inline(always)]
fn rotate<S: Simd, const RIGHT: u32>(simd: S, x: S::u32s) -> S::u32s {
    let low = simd.wrapping_dyn_shr_u32s(x, simd.splat_u32s(RIGHT));
    simd.or_u32s(low, simd.wrapping_dyn_shl_u32s(x, simd.splat_u32s(32 - RIGHT)))
}

#[inline(always)]
fn shift<S: Simd, const RIGHT: u32>(simd: S, x: S::u32s) -> S::u32s {
    simd.wrapping_dyn_shr_u32s(x, simd.splat_u32s(RIGHT))
}

/// What a lane without work is given.
static IDLE: Block = [0; 64];

/// Lanes of the widest unit.
pub(super) const LANES_MAX: usize = 16;

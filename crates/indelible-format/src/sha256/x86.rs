//! Loading blocks into lanes on x86-64: byte swap within each word, then a transposition of words by messages.
//!
//! Done word by word in sixteen lanes this cost nearly as much as the rounds (21 ns a block against 26, in a first version). The
//! shuffles work within 128-bit quarters, so four messages by four words is the unit; what differs between the two widths is how
//! quarters are brought together.

use core::arch::x86_64::{__m128i, __m256i, __m512i};

use pulp::x86::{V3, V4};

use super::block::Block;
use super::lanes::{LANES_MAX, Lanes};

impl Lanes for V3 {
    #[inline(always)]
    fn load(self, blocks: &[&Block; LANES_MAX]) -> [Self::u32s; 16] {
        let &[a, b, c, d, e, f, g, h, ..] = blocks;
        let [w0, w1, w2, w3] = quads8::<0>(self, [a, b, c, d], [e, f, g, h]);
        let [w4, w5, w6, w7] = quads8::<1>(self, [a, b, c, d], [e, f, g, h]);
        let [w8, w9, w10, w11] = quads8::<2>(self, [a, b, c, d], [e, f, g, h]);
        let [w12, w13, w14, w15] = quads8::<3>(self, [a, b, c, d], [e, f, g, h]);
        pulp::cast([w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15])
    }
}

impl Lanes for V4 {
    #[inline(always)]
    fn load(self, blocks: &[&Block; LANES_MAX]) -> [Self::u32s; 16] {
        let &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = blocks;
        let [a0, a1, a2, a3] = quads16(self, [a, b, c, d]);
        let [b0, b1, b2, b3] = quads16(self, [e, f, g, h]);
        let [c0, c1, c2, c3] = quads16(self, [i, j, k, l]);
        let [d0, d1, d2, d3] = quads16(self, [m, n, o, p]);
        let [w0, w4, w8, w12] = quarters16(self, a0, b0, c0, d0);
        let [w1, w5, w9, w13] = quarters16(self, a1, b1, c1, d1);
        let [w2, w6, w10, w14] = quarters16(self, a2, b2, c2, d2);
        let [w3, w7, w11, w15] = quarters16(self, a3, b3, c3, d3);
        pulp::cast([w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15])
    }
}

/// Words `4·QUAD ..+4` of eight messages.
#[inline(always)]
fn quads8<const QUAD: usize>(simd: V3, low: [&Block; 4], high: [&Block; 4]) -> [__m256i; 4] {
    let [a, b, c, d] = low;
    let [e, f, g, h] = high;
    let a = pair8::<QUAD>(simd, a, e);
    let b = pair8::<QUAD>(simd, b, f);
    let c = pair8::<QUAD>(simd, c, g);
    let d = pair8::<QUAD>(simd, d, h);
    let avx2 = simd.avx2;
    let ab_low = avx2._mm256_unpacklo_epi32(a, b);
    let ab_high = avx2._mm256_unpackhi_epi32(a, b);
    let cd_low = avx2._mm256_unpacklo_epi32(c, d);
    let cd_high = avx2._mm256_unpackhi_epi32(c, d);
    [
        avx2._mm256_unpacklo_epi64(ab_low, cd_low),
        avx2._mm256_unpackhi_epi64(ab_low, cd_low),
        avx2._mm256_unpacklo_epi64(ab_high, cd_high),
        avx2._mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Sixteen bytes of two messages that are four lanes apart, each word's bytes swapped.
#[inline(always)]
fn pair8<const QUAD: usize>(simd: V3, low: &Block, high: &Block) -> __m256i {
    let swap = simd.avx2._mm256_broadcastsi128_si256(pulp::cast(SWAP));
    let pair = simd.avx._mm256_set_m128i(quarter::<QUAD>(high), quarter::<QUAD>(low));
    simd.avx2._mm256_shuffle_epi8(pair, swap)
}

#[inline(always)]
fn quarter<const QUAD: usize>(block: &Block) -> __m128i {
    let (quarters, _) = block.as_chunks::<16>();
    pulp::cast(quarters.get(QUAD).copied().unwrap_or_default())
}

/// Four messages: result `k`, quarter `q` holds word `4·q + k` of each.
#[inline(always)]
fn quads16(simd: V4, [a, b, c, d]: [&Block; 4]) -> [__m512i; 4] {
    let avx512 = simd.avx512f;
    let swap = avx512._mm512_broadcast_i32x4(pulp::cast(SWAP));
    let a = simd.avx512bw._mm512_shuffle_epi8(pulp::cast(*a), swap);
    let b = simd.avx512bw._mm512_shuffle_epi8(pulp::cast(*b), swap);
    let c = simd.avx512bw._mm512_shuffle_epi8(pulp::cast(*c), swap);
    let d = simd.avx512bw._mm512_shuffle_epi8(pulp::cast(*d), swap);
    let ab_low = avx512._mm512_unpacklo_epi32(a, b);
    let ab_high = avx512._mm512_unpackhi_epi32(a, b);
    let cd_low = avx512._mm512_unpacklo_epi32(c, d);
    let cd_high = avx512._mm512_unpackhi_epi32(c, d);
    [
        avx512._mm512_unpacklo_epi64(ab_low, cd_low),
        avx512._mm512_unpackhi_epi64(ab_low, cd_low),
        avx512._mm512_unpacklo_epi64(ab_high, cd_high),
        avx512._mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Transposes quarters: result `q` is quarter `q` of a, b, c and d.
#[inline(always)]
fn quarters16(simd: V4, a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
    let avx512 = simd.avx512f;
    let ab_even = avx512._mm512_shuffle_i32x4::<EVEN>(a, b);
    let ab_odd = avx512._mm512_shuffle_i32x4::<ODD>(a, b);
    let cd_even = avx512._mm512_shuffle_i32x4::<EVEN>(c, d);
    let cd_odd = avx512._mm512_shuffle_i32x4::<ODD>(c, d);
    [
        avx512._mm512_shuffle_i32x4::<EVEN>(ab_even, cd_even),
        avx512._mm512_shuffle_i32x4::<EVEN>(ab_odd, cd_odd),
        avx512._mm512_shuffle_i32x4::<ODD>(ab_even, cd_even),
        avx512._mm512_shuffle_i32x4::<ODD>(ab_odd, cd_odd),
    ]
}

/// Quarters 0 and 2 of the first operand, then of the second.
const EVEN: i32 = 0b10_00_10_00;
/// Quarters 1 and 3 of the first operand, then of the second.
const ODD: i32 = 0b11_01_11_01;
/// Where each byte of a quarter comes from when the bytes of its words are swapped.
const SWAP: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];

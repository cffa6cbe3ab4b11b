//! # Index block. Normative: docs/format/segment.md.
//!
//! Little-endian; bits from the lowest up.
//!
//!   offset  size   field       notes
//!   0       8      magic       `INDLIDX1`
//!   8       4      rows        rows of the segment
//!   12      4      block_rows  rows of a block: 1,024
//!   16      4      fields      number of entries that follow
//!   20      16×n   entry       field u8 · bits u8 · 0 u16 · terms u32 · offset u32 (from the magic) · bytes u32
//!           4      crc         IEEE CRC-32 of everything before it
//!           …      parts       one for each entry, in their order
//!
//! A part has 2^bits buckets: `2^bits + 1` offsets u32, counted from behind the last of them, then the buckets. A term is in the bucket
//! that the `bits` highest bits of its hash name; the 16 bits below them are its remainder. A bucket is CRC-32 u32 (over field u8, number
//! of the bucket u32, and the rest of the bucket), terms u16, and then bits, for each term in order of its remainder: the step from the
//! remainder before it (at first from 0), as a Rice number of `16 − ⌊log2 terms⌋` bits, at least 0; how many blocks it has, as an Elias
//! gamma number; the first block and then each step to the next less one, as Rice numbers of `⌊log2 (blocks of the segment / its blocks)⌋`
//! bits. Terms with the same bucket and remainder are one term.
//!
//! Rice number of b bits: the value shifted down by b, as that many zeros and a one; then its b low bits. Elias gamma number n ≥ 1:
//! ⌊log2 n⌋ zeros and a one, then the ⌊log2 n⌋ low bits of n.

use super::{BLOCK_ROWS, IndexField};
use crate::codec::{Crc32, crc32};
use crate::encoding::bits::{BitWriter, PADDING, extract, mask};

pub(crate) const MAGIC: &[u8; 8] = b"INDLIDX1";
const ENTRY_BYTES: usize = 16;
/// Bytes before the entries.
const FRONT_BYTES: usize = 20;
/// Magic, entries and their checksum, if every field has one.
pub(crate) const HEAD_BYTES_MAX: usize = FRONT_BYTES + ENTRY_BYTES * IndexField::ALL.len() + 4;
/// Terms and blocks of a bucket, on average at most.
const BUCKET_TERMS: usize = 64;
const BUCKET_BLOCKS: usize = 1_024;
/// More buckets than this no segment needs.
const BUCKET_BITS_MAX: u8 = 24;
/// Longest bucket that is read: thousands of terms in every block.
const BUCKET_BYTES_MAX: u32 = 16 << 20;
const REMAINDER_BITS: u32 = 16;

/// Terms as (hash, range of their blocks), in the order of their hashes.
pub(crate) struct Terms {
    pub(crate) terms: Vec<(u64, u32, u32)>,
    pub(crate) blocks: Vec<u32>,
}

impl Terms {
    pub(crate) const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn blocks(&self, start: u32, end: u32) -> &[u32] {
        self.blocks.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// One field's part of the block.
pub(crate) struct Part {
    bits: u8,
    terms: u32,
    bytes: Vec<u8>,
}

/// What the head says of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) field: u8,
    bits: u8,
    pub(crate) terms: u32,
    offset: u32,
    bytes: u32,
}

impl Entry {
    /// The field's part of the whole block.
    pub(crate) fn part<'b>(&self, block: &'b [u8]) -> Option<&'b [u8]> {
        let start = self.offset as usize;
        block.get(start..start.checked_add(self.bytes as usize)?)
    }
}

const fn bucket_of(hash: u64, bits: u8) -> u64 {
    if bits == 0 { 0 } else { hash >> (64 - bits as u32) }
}

const fn remainder_of(hash: u64, bits: u8) -> u64 {
    hash >> (64 - bits as u32 - REMAINDER_BITS) & mask(REMAINDER_BITS)
}

/// Buckets for so many terms with so many blocks in all.
fn bits_for(terms: usize, blocks: usize) -> u8 {
    let buckets = terms.div_ceil(BUCKET_TERMS).max(blocks.div_ceil(BUCKET_BLOCKS)).max(1);
    u8::try_from(buckets.next_power_of_two().trailing_zeros()).unwrap_or(BUCKET_BITS_MAX).min(BUCKET_BITS_MAX)
}

fn remainder_width(terms: usize) -> u32 {
    REMAINDER_BITS.saturating_sub(terms.checked_ilog2().unwrap_or(0))
}

fn block_width(segment_blocks: u32, blocks: u32) -> u32 {
    segment_blocks.checked_div(blocks).and_then(u32::checked_ilog2).unwrap_or(0)
}

fn put_rice(value: u64, width: u32, out: &mut BitWriter<'_>) {
    let mut zeros = value >> width;
    while zeros >= 32 {
        out.push(0, 32);
        zeros -= 32;
    }
    out.push(1 << zeros, u32::try_from(zeros).unwrap_or(0) + 1);
    out.push(value & mask(width), width);
}

fn put_gamma(value: u64, out: &mut BitWriter<'_>) {
    let width = value.max(1).ilog2();
    out.push(1 << width, width + 1);
    out.push(value & mask(width), width);
}

/// The part of one field.
pub(crate) fn encode(field: IndexField, terms: &Terms, segment_blocks: u32) -> Part {
    // Which terms share a remainder depends on the number of buckets, and that not on them: so it is a function of the set.
    let bits = bits_for(terms.terms.len(), terms.blocks.len());
    let mut part = Part { bits, terms: 0, bytes: Vec::new() };
    let mut offsets = Vec::with_capacity((1 << bits) + 1);
    let mut buckets = Vec::new();
    let mut rest = terms.terms.as_slice();
    let mut body = Vec::new();
    for bucket in 0..1u64 << bits {
        offsets.push(buckets.len());
        let length = rest.iter().take_while(|(hash, ..)| bucket_of(*hash, bits) == bucket).count();
        let (mine, others) = rest.split_at_checked(length).unwrap_or_default();
        rest = others;
        if mine.is_empty() {
            continue;
        }
        let remainders = mine.chunk_by(|a, b| remainder_of(a.0, bits) == remainder_of(b.0, bits)).count();
        body.clear();
        body.extend_from_slice(&u16::try_from(remainders).unwrap_or(u16::MAX).to_le_bytes());
        let mut writer = BitWriter::new(&mut body);
        let mut last = 0;
        for same in mine.chunk_by(|a, b| remainder_of(a.0, bits) == remainder_of(b.0, bits)) {
            let Some((hash, start, end)) = same.first() else { continue };
            let remainder = remainder_of(*hash, bits);
            put_rice(remainder - last, remainder_width(remainders), &mut writer);
            last = remainder;
            if same.len() == 1 {
                put_blocks(terms.blocks(*start, *end), segment_blocks, &mut writer);
            } else {
                let mut blocks: Vec<u32> = same.iter().flat_map(|(_, start, end)| terms.blocks(*start, *end)).copied().collect();
                blocks.sort_unstable();
                blocks.dedup();
                put_blocks(&blocks, segment_blocks, &mut writer);
            }
        }
        writer.finish();
        part.terms += u32::try_from(remainders).unwrap_or(0);
        buckets.extend_from_slice(&checksum(field, bucket, &body).to_le_bytes());
        buckets.extend_from_slice(&body);
    }
    offsets.push(buckets.len());
    for offset in offsets {
        part.bytes.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
    }
    part.bytes.append(&mut buckets);
    part
}

fn put_blocks(blocks: &[u32], segment_blocks: u32, writer: &mut BitWriter<'_>) {
    let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    put_gamma(u64::from(count), writer);
    let width = block_width(segment_blocks, count);
    let mut next = 0;
    for block in blocks {
        put_rice(u64::from(block - next), width, writer);
        next = block + 1;
    }
}

fn checksum(field: IndexField, bucket: u64, body: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(&[field.number()]);
    crc.update(bucket.to_le_bytes().get(..4).unwrap_or_default());
    crc.update(body);
    crc.finalize()
}

/// The whole block.
pub(crate) fn assemble(rows: u32, parts: &[(IndexField, Part)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&rows.to_le_bytes());
    out.extend_from_slice(&BLOCK_ROWS.to_le_bytes());
    out.extend_from_slice(&u32::try_from(parts.len()).unwrap_or(u32::MAX).to_le_bytes());
    let mut offset = FRONT_BYTES + parts.len() * ENTRY_BYTES + 4;
    for (field, part) in parts {
        out.extend_from_slice(&[field.number(), part.bits, 0, 0]);
        out.extend_from_slice(&part.terms.to_le_bytes());
        out.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&u32::try_from(part.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        offset += part.bytes.len();
    }
    out.extend_from_slice(&crc32(&out).to_le_bytes());
    parts.iter().for_each(|(_, part)| out.extend_from_slice(&part.bytes));
    out
}

/// Reads the head of a block of `length` bytes, whose front is `front`. `None`: it is none, or of other rows.
pub(crate) fn read_head(front: &[u8], length: u64, rows: u32) -> Option<Vec<Entry>> {
    let (magic, rest) = front.split_first_chunk::<8>()?;
    let (numbers, rest) = rest.split_first_chunk::<12>()?;
    let [a, b, c] = *numbers.as_chunks::<4>().0 else { return None };
    let [found, block_rows, count] = [a, b, c].map(u32::from_le_bytes);
    if magic != MAGIC || found != rows || block_rows != BLOCK_ROWS || count as usize > IndexField::ALL.len() {
        return None;
    }
    let entries_bytes = count as usize * ENTRY_BYTES;
    let (entries, rest) = rest.split_at_checked(entries_bytes)?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    if crc32(front.get(..FRONT_BYTES + entries_bytes)?) != crc {
        return None;
    }
    let mut read = Vec::with_capacity(count as usize);
    for [field, bits, _, _, rest @ ..] in entries.as_chunks::<ENTRY_BYTES>().0 {
        let [a, b, c] = *rest.as_chunks::<4>().0 else { return None };
        let [terms, offset, bytes] = [a, b, c].map(u32::from_le_bytes);
        if *bits > BUCKET_BITS_MAX || u64::from(offset) + u64::from(bytes) > length {
            return None;
        }
        if (1u64 << bits) * 4 + 4 > u64::from(bytes) {
            return None;
        }
        read.push(Entry { field: *field, bits: *bits, terms, offset, bytes });
    }
    Some(read)
}

/// Looks a term up: `read` gives bytes of the block, by offset and length. `Err(None)`: what was read is no such bucket.
pub(crate) fn look_up<E>(
    entry: &Entry,
    field: IndexField,
    hash: u64,
    segment_blocks: u32,
    mut read: impl FnMut(u64, u32) -> Result<Vec<u8>, E>,
) -> Result<Vec<u32>, Option<E>> {
    let bucket = bucket_of(hash, entry.bits);
    let part = u64::from(entry.offset);
    let ends = read(part + bucket * 4, 8).map_err(Some)?;
    let (first, second) = (ends.first_chunk::<4>().ok_or(None)?, ends.last_chunk::<4>().ok_or(None)?);
    let (start, end) = (u32::from_le_bytes(*first), u32::from_le_bytes(*second));
    let table = (1u32 << entry.bits) * 4 + 4;
    if start == end {
        return Ok(Vec::new());
    }
    if start > end || end > entry.bytes - table || end - start > BUCKET_BYTES_MAX {
        return Err(None);
    }
    let bytes = read(part + u64::from(table) + u64::from(start), end - start).map_err(Some)?;
    find(&bytes, field, bucket, remainder_of(hash, entry.bits), segment_blocks).ok_or(None)
}

fn find(bytes: &[u8], field: IndexField, bucket: u64, wanted: u64, segment_blocks: u32) -> Option<Vec<u32>> {
    let (crc, body) = bytes.split_first_chunk::<4>()?;
    if checksum(field, bucket, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (count, body) = body.split_first_chunk::<2>()?;
    let count = u16::from_le_bytes(*count);
    let mut padded = Vec::with_capacity(body.len() + PADDING);
    padded.extend_from_slice(body);
    padded.resize(body.len() + PADDING, 0);
    let mut bits = BitReader { bytes: &padded, at: 0, end: body.len() * 8 };
    let mut remainder = 0u64;
    for _ in 0..count {
        remainder = remainder.checked_add(bits.rice(remainder_width(usize::from(count)))?)?;
        let blocks = u32::try_from(bits.gamma()?).ok().filter(|blocks| *blocks <= segment_blocks)?;
        let width = block_width(segment_blocks, blocks);
        let is_wanted = remainder == wanted;
        let mut found = Vec::with_capacity(if is_wanted { blocks as usize } else { 0 });
        let mut next = 0;
        for _ in 0..blocks {
            let block = bits.rice(width)?.checked_add(next)?;
            next = block + 1;
            if next > u64::from(segment_blocks) {
                return None;
            }
            if is_wanted {
                found.push(u32::try_from(block).ok()?);
            }
        }
        if is_wanted {
            return Some(found);
        }
        if remainder > wanted {
            break;
        }
    }
    Some(Vec::new())
}

struct BitReader<'b> {
    /// With [`PADDING`] behind them.
    bytes: &'b [u8],
    at: usize,
    end: usize,
}

impl BitReader<'_> {
    fn zeros(&mut self) -> Option<u32> {
        let mut zeros = 0;
        loop {
            let found = extract(self.bytes, self.at, 32).trailing_zeros().min(32);
            zeros += found;
            self.at += found as usize;
            if self.at >= self.end {
                return None;
            }
            if found < 32 {
                self.at += 1;
                return Some(zeros);
            }
        }
    }

    fn low(&mut self, width: u32) -> Option<u64> {
        let low = extract(self.bytes, self.at, width);
        self.at += width as usize;
        (self.at <= self.end).then_some(low)
    }

    fn rice(&mut self, width: u32) -> Option<u64> {
        let high = u64::from(self.zeros()?);
        Some(high << width | self.low(width)?)
    }

    fn gamma(&mut self) -> Option<u64> {
        let width = self.zeros().filter(|width| *width < 32)?;
        Some(1 << width | self.low(width)?)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;

    #[test]
    fn every_term_is_found_in_its_blocks_and_only_there() {
        let mut rng = fastrand::Rng::with_seed(5);
        for (terms_n, segment_blocks) in [(1, 1), (3, 2), (64, 5), (65, 1024), (5_000, 977)] {
            let mut terms = Terms { terms: Vec::new(), blocks: Vec::new() };
            for nth in 0..terms_n {
                let hash = super::super::hash(IndexField::Session, &[nth as u8, (nth >> 8) as u8]);
                let start = terms.blocks.len() as u32;
                let share = rng.f64();
                terms.blocks.extend((0..segment_blocks).filter(|_| rng.f64() < share * share * share));
                if terms.blocks.len() as u32 == start {
                    terms.blocks.push(rng.u32(..segment_blocks));
                }
                terms.terms.push((hash, start, terms.blocks.len() as u32));
            }
            terms.terms.sort_unstable();
            let part = encode(IndexField::Session, &terms, segment_blocks);
            let block = assemble(segment_blocks * BLOCK_ROWS, &[(IndexField::Session, part)]);
            let entries = read_head(&block[..HEAD_BYTES_MAX.min(block.len())], block.len() as u64, segment_blocks * BLOCK_ROWS);
            let entry = entries.unwrap()[0];
            let look = |block: &[u8], hash| {
                look_up(&entry, IndexField::Session, hash, segment_blocks, |at, length| {
                    block.get(at as usize..at as usize + length as usize).map(<[u8]>::to_vec).ok_or(())
                })
            };
            for (hash, start, end) in &terms.terms {
                let found = look(&block, *hash).unwrap();
                assert!(terms.blocks(*start, *end).iter().all(|block| found.contains(block)));
            }
            let lost = (0..1000).filter(|_| !look(&block, rng.u64(..)).unwrap().is_empty()).count();
            assert!(lost < 10, "{lost} of 1,000 other terms share a remainder");
            // Any changed bit of a bucket is noticed, whatever was looked for.
            let mut bad = block.clone();
            let at = rng.usize(entry.offset as usize + 4 * ((1 << entry.bits) + 1)..bad.len());
            bad[at] ^= 1 << rng.u8(..8);
            assert!(terms.terms.iter().any(|(hash, ..)| look(&bad, *hash).is_err()), "byte {at}");
        }
    }
}

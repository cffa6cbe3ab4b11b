//! What a search did to find its answer.

use indelible_segment::CacheCounts;

/// Counts of one search: what was passed over, and by what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Explain {
    /// Segments there are.
    pub segments: u64,
    /// Segments passed over because of their log and times.
    pub segments_by_time: u64,
    /// Segments of which the same was asked before: their answer was kept.
    pub segments_by_result: u64,
    /// Segments not looked at because the answer was complete before.
    pub segments_not_needed: u64,
    /// Blocks of 1,024 rows in the segments that were looked at.
    pub blocks: u64,
    /// Blocks passed over because an index has none of the terms there.
    pub blocks_by_index: u64,
    /// Blocks passed over because of the times of their pages.
    pub blocks_by_time: u64,
    /// Rows looked at by their columns.
    pub rows_sifted: u64,
    /// Rows whose whole record was read.
    pub rows_read: u64,
    /// Records of the unsealed part that were looked at.
    pub tail_records: u64,
    /// Records of the unsealed part passed over because their block has none of the terms.
    pub tail_records_by_index: u64,
    /// Pages found decoded.
    pub cache_hits: u64,
    /// Pages read and decoded.
    pub cache_misses: u64,
    /// Bytes of those, as they are in the files.
    pub bytes_read: u64,
}

impl Explain {
    /// Takes in what a cache did between two looks at its counts.
    pub(crate) const fn count(&mut self, before: &CacheCounts, after: &CacheCounts) {
        self.cache_hits += after.hits - before.hits;
        self.cache_misses += after.misses - before.misses;
        self.bytes_read += after.bytes_read - before.bytes_read;
    }

    /// Adds what another part of the same search did.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.segments += other.segments;
        self.segments_by_time += other.segments_by_time;
        self.segments_by_result += other.segments_by_result;
        self.segments_not_needed += other.segments_not_needed;
        self.blocks += other.blocks;
        self.blocks_by_index += other.blocks_by_index;
        self.blocks_by_time += other.blocks_by_time;
        self.rows_sifted += other.rows_sifted;
        self.rows_read += other.rows_read;
        self.tail_records += other.tail_records;
        self.tail_records_by_index += other.tail_records_by_index;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        self.bytes_read += other.bytes_read;
    }
}

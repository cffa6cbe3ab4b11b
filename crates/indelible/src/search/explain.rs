//! What a search did to find its answer.

use indelible_segment::Reads;

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
    /// Pages and dictionaries found decoded.
    pub cache_hits: u64,
    /// Pieces of segments read: pages, dictionaries, parts of indexes, and what says where those are.
    pub cache_misses: u64,
    /// Bytes of those: all that was read of segments for this search, and nothing that was read for another.
    pub bytes_read: u64,
}

impl Explain {
    /// Takes in what this thread has read since.
    pub(super) fn count(&mut self, since: Reads) {
        self.add_reads(Reads::of_this_thread() - since);
    }

    /// Takes in what another thread has read for this search.
    pub(super) const fn add_reads(&mut self, reads: Reads) {
        self.cache_hits += reads.found;
        self.cache_misses += reads.pieces;
        self.bytes_read += reads.bytes;
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

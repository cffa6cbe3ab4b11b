//! One pass over the frames to seal: their records go into segments, and the state goes along.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use indelible_format::frame::FLAG_CARRY;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::GROUP_LEVEL;
use indelible_format::record::{Kind, Records};
use indelible_format::{Hash, Record};

use super::building::{Building, How, Origin, Written};
use super::files;
use super::manifest::SegmentInfo;
use super::rows::Rows;
use super::sealer::{Boundary, Sealer, Shape, broken, stopped};
use super::state::{LogState, State};
use crate::commit::journal::Place;
use crate::digest::{LogHead, tree_file};
use crate::error::{Error, ErrorKind, Result};
use crate::read::frames::{Cursor, End, Next};

/// Segments of up to this many rows are taken into the next one whatever its size: rewriting them costs less than keeping them.
const MERGED_ROWS: u64 = 4_096;

/// What one pass over the journal gave.
pub(super) struct Pass {
    pub(super) written: Vec<Written>,
    /// Segments that the written ones take the place of.
    pub(super) merged: Vec<SegmentInfo>,
    pub(super) state: State,
    pub(super) prev: Hash,
    /// By log: the frames that have records of it.
    pub(super) frames: BTreeMap<u32, Vec<Place>>,
    heads: Vec<LogHead>,
    /// By log: the group roots that the merged segments were sealed with.
    merged_roots: BTreeMap<u32, Vec<Hash>>,
    /// A merged group came out with another root: the tree file is wrong there, where the state does not tell.
    is_wrong: bool,
}

impl Sealer {
    /// Reads the frames before `to` and writes their records into segments.
    pub(super) fn pass(&self, to: &Boundary, shape: &Shape, how: How, stop: &dyn Fn() -> bool) -> Result<Pass> {
        let start = self.manifest.start;
        let mut cursor = Cursor::new(&self.world, &self.dir, self.identity.store, &start, Some(to.lsn))?.around_cache();
        if cursor.first()?.is_some_and(|first| first != (start.lsn, start.prev)) {
            return Err(broken("it does not begin where the segments end"));
        }
        let mut pass = Pass {
            written: Vec::new(),
            merged: Vec::new(),
            state: self.state.clone(),
            prev: Hash::ZERO,
            frames: BTreeMap::new(),
            heads: Vec::new(),
            merged_roots: BTreeMap::new(),
            is_wrong: false,
        };
        let mut open: BTreeMap<u32, Building> = BTreeMap::new();
        let mut ends: BTreeMap<u32, LogHead> = BTreeMap::new();
        loop {
            let (frame, place) = match cursor.next()? {
                Next::Frame(frame, place) => (frame, place),
                Next::End(End::Limit) => break,
                Next::End(end) => return Err(broken(&format!("it ends before the place to seal up to: {end:?}"))),
            };
            if stop() {
                return Err(stopped());
            }
            if frame.meta.flags & FLAG_CARRY != 0 {
                continue;
            }
            for change in &frame.meta.logs {
                pass.frames.entry(change.log).or_default().push(place);
                let size = change.first_seq.saturating_add(change.count.into());
                ends.insert(change.log, LogHead { log: change.log, size, root: change.root });
            }
            for record in Records::new(frame.payload) {
                let log = record.log();
                let building = match open.entry(log) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(place) => place.insert(self.begin(log, to, shape, how, &mut pass)?),
                };
                let seeds = &frame.meta.seeds;
                let seed = |group| seeds.iter().find(|seed| (seed.log, seed.group) == (log, group)).map(|seed| &seed.seed);
                let head = record.head();
                building.push(&record, head.as_ref(), seed)?;
                if let Some(head) = head.filter(|_| record.kind() == Kind::Event) {
                    *pass.state.log(log).tenants.entry(head.tenant) = head.tenant_seq.saturating_add(1);
                    if let Some(producer) = head.producer {
                        pass.state.producers.arrive(producer.id, producer.epoch, producer.seq);
                    }
                }
                // The next one begins with a group, so that it needs no leaves from before.
                if building.count() + GROUP_LEAVES > shape.rows_max && building.end().is_multiple_of(GROUP_LEAVES) {
                    let Some(full) = open.remove(&log) else { continue };
                    self.finish(full, &mut pass)?;
                }
            }
        }
        // Frames are chained by their hashes; what a file's header says of the logs is not.
        if ends.values().any(|end| !to.heads.contains(end)) {
            return Err(broken("its frames lead to other heads than the file after them begins with"));
        }
        pass.prev = cursor.prev;
        for (_, building) in open {
            self.finish(building, &mut pass)?;
        }
        pass.heads = pass.state.logs.iter().map(LogState::head).collect();
        Ok(pass)
    }

    /// Begins a segment where the last one of its log ends, or with small ones before it, which it takes in.
    fn begin(&self, log: u32, to: &Boundary, shape: &Shape, how: How, pass: &mut Pass) -> Result<Building> {
        let generation = self.manifest.generation + 1;
        let state = pass.state.log(log);
        let (mut first_seq, mut before) = (state.size(), state.partial.clone());
        let size = to.heads.iter().find(|head| head.log == log).map_or(first_seq, |head| head.size);
        let first_of_log = !pass.written.iter().any(|written| written.info.log == log);
        let merged = if first_of_log { mergeable(self.manifest.whole(log), size - first_seq, shape.rows_max) } else { &[] };
        let origin = self.identity.origin(log).unwrap_or_default();
        if let Some(first) = merged.first() {
            first_seq = first.first_seq;
            let segment = files::open_segment(&self.world, &self.dir, first)?;
            before = segment.proof().map_err(|error| files::failed(&first.file, error))?.before;
        }
        let info = SegmentInfo::begin(log, first_seq, generation);
        let origin = Origin { origin, before };
        let mut building = Building::create(&self.world, &self.dir, info, origin, size, how, shape.options)?;
        for info in merged {
            let segment = files::open_segment(&self.world, &self.dir, info)?;
            let proof = segment.proof().map_err(|error| files::failed(&info.file, error))?;
            let seeds = proof.seeds;
            pass.merged_roots.entry(log).or_default().extend_from_slice(&proof.roots);
            let mut rows = Rows::new(&self.world, &self.dir, log, std::slice::from_ref(info), &[]);
            while let Some(bytes) = rows.next()? {
                let record = Record::parse(bytes).ok_or_else(|| files::damaged(&info.file, &"a row is no record"))?;
                let nth = |group: u64| usize::try_from(group - info.first_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
                building.push(&record, record.head().as_ref(), |group| seeds.get(nth(group)))?;
            }
        }
        if !merged.is_empty() {
            // The tree of the new segment begins where the first of them does.
            pass.merged.extend_from_slice(merged);
        }
        Ok(building)
    }

    fn finish(&self, building: Building, pass: &mut Pass) -> Result<()> {
        let log = building.log();
        let written = building.finish(|from, to| {
            let roots = tree_file::read(&self.world, &self.dir, log, from, to).unwrap_or_default();
            // Where the file is short the roots are wrong, and that is found out: they are computed then.
            let missing = usize::try_from(to - from).unwrap_or(0).saturating_sub(roots.len());
            Ok(roots.into_iter().chain(std::iter::repeat_n(Hash::ZERO, missing)).collect())
        })?;
        // All that is merged fits into the first segment.
        let merged = pass.merged_roots.remove(&log).unwrap_or_default();
        pass.is_wrong |= !written.roots.starts_with(&merged);
        let state = pass.state.log(log);
        let known = (state.groups.size() / GROUP_LEAVES).saturating_sub(written.info.first_seq / GROUP_LEAVES);
        for root in written.roots.iter().skip(usize::try_from(known).unwrap_or(usize::MAX)) {
            state
                .groups
                .push_subtree(GROUP_LEVEL, *root)
                .map_err(|error| Error::new(ErrorKind::Corrupt, format!("the tree of log {log} cannot go on: {error}")))?;
        }
        state.partial.clone_from(&written.partial);
        state.seed.clone_from(&written.seed);
        pass.written.push(written);
        Ok(())
    }
}

impl Pass {
    /// Whether every log came out with the size and root that the journal had there.
    pub(super) fn agrees(&self, to: &Boundary) -> bool {
        let of = |log: u32| self.heads.iter().find(|head| head.log == log);
        !self.is_wrong && to.heads.iter().filter(|head| head.size > 0).all(|head| of(head.log) == Some(head))
    }
}

/// The last segments of a log that the next one, of `rows` rows, takes in: so that their number grows with the logarithm of the rows.
fn mergeable(segments: &[SegmentInfo], rows: u64, rows_max: u64) -> &[SegmentInfo] {
    let (mut total, mut from) = (rows, segments.len());
    while let Some(last) = from.checked_sub(1).and_then(|at| segments.get(at)) {
        if last.count > total.max(MERGED_ROWS) || total + last.count + GROUP_LEAVES > rows_max {
            break;
        }
        total += last.count;
        from -= 1;
    }
    segments.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_segments_grows_with_the_logarithm_of_the_rows() {
        let info = |first_seq: u64, count: u64| SegmentInfo { count, ..SegmentInfo::begin(1, first_seq, 1) };
        let (mut segments, mut end, mut rewritten) = (Vec::new(), 0, 0);
        for _ in 0..1_000 {
            let rows = 10_000;
            let merged = mergeable(&segments, rows, 1 << 20).to_vec();
            let first_seq = merged.first().map_or(end, |first: &SegmentInfo| first.first_seq);
            rewritten += end - first_seq;
            segments.truncate(segments.len() - merged.len());
            end += rows;
            segments.push(info(first_seq, end - first_seq));
        }
        assert!(segments.len() < 30, "{}", segments.len());
        assert!(segments.iter().all(|segment| segment.count <= 1 << 20));
        assert!(rewritten < 8 * end, "{rewritten} of {end}");
    }
}

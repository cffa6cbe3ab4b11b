//! One pass over the frames to seal: their records go into segments, and the state goes along.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use indelible_format::frame::FLAG_CARRY;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::GROUP_LEVEL;
use indelible_format::record::{Kind, Records};
use indelible_format::{Hash, Record};

use super::building::{Building, How, Origin, Written};
use super::files;
use super::manifest::SegmentInfo;
use super::sealer::{Boundary, Sealer, Shape, broken, stopped};
use super::state::{LogState, State};
use crate::commit::journal::Place;
use crate::digest::{LogHead, tree_file};
use crate::error::{Error, ErrorKind, Result};
use crate::read::frames::{Cursor, End, Next};

/// Segments of up to this many rows are taken into the next one whatever its size: rewriting them costs less than keeping them.
const MERGED_ROWS: u64 = 4_096;

/// How often the sizes of segments go into the memory that they take while they are written as one: index and dictionaries are there, too.
const MERGED_COPIES: u64 = 2;
/// How often the records of a group are in memory while its pages are made.
const GROUP_COPIES: u64 = 3;
/// Bytes of records between two looks at the memory that is taken.
const LOOK_BYTES: usize = 1 << 20;

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
        let mut unseen = 0;
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
                if !open.contains_key(&log) {
                    // What the others have is not there for it to take smaller ones in.
                    let others = open.values().map(Building::memory).sum();
                    let memory_bytes_max = shape.memory_bytes_max.saturating_sub(others);
                    let building = self.begin(log, to, &Shape { memory_bytes_max, ..*shape }, how, &mut pass)?;
                    open.insert(log, building);
                }
                let Some(building) = open.get_mut(&log) else { continue };
                unseen += record.bytes().len();
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
                if unseen > LOOK_BYTES {
                    unseen = 0;
                    self.make_room(&mut open, shape, &mut pass)?;
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

    /// Ends the largest segments until those that are left have room. They end where they are: within a group, most often.
    fn make_room(&self, open: &mut BTreeMap<u32, Building>, shape: &Shape, pass: &mut Pass) -> Result<()> {
        while open.values().map(Building::memory).sum::<usize>() > shape.memory_bytes_max {
            let largest = open.iter().max_by_key(|(_, building)| building.memory()).map(|(log, _)| *log);
            let Some(largest) = largest.and_then(|log| open.remove(&log)) else { break };
            self.finish(largest, pass)?;
        }
        Ok(())
    }

    /// Begins a segment where the last one of its log ends, or with small ones before it, which it takes in.
    fn begin(&self, log: u32, to: &Boundary, shape: &Shape, how: How, pass: &mut Pass) -> Result<Building> {
        if pass.last(log).is_none() {
            let sealed = self.manifest.sealed(log);
            let size = to.heads.iter().find(|head| head.log == log).map_or(sealed, |head| head.size);
            let segments = if shape.merges { self.manifest.whole(log) } else { &[] };
            let merged = mergeable(segments, size.saturating_sub(sealed), shape);
            if let Some(building) = self.merge(log, merged, shape, how, pass)? {
                return Ok(building);
            }
        }
        let (first_seq, before) = match pass.last(log) {
            Some(last) => (last.info.end(), last.partial.clone()),
            None => {
                let state = pass.state.log(log);
                (state.size(), state.partial.clone())
            }
        };
        self.begin_at(log, first_seq, before, shape, how)
    }

    pub(super) fn begin_at(&self, log: u32, first_seq: u64, before: Vec<Hash>, shape: &Shape, how: How) -> Result<Building> {
        let info = SegmentInfo::begin(log, first_seq, self.manifest.generation + 1);
        let origin = Origin { origin: self.identity.origin(log).unwrap_or_default(), before };
        Building::create(&self.world, &self.dir, info, origin, how, shape.options)
    }

    /// Writes the rows of these segments anew. Gives the segment that the last of them is in, to be gone on with; `None`: there is none.
    fn merge(&self, log: u32, segments: &[SegmentInfo], shape: &Shape, how: How, pass: &mut Pass) -> Result<Option<Building>> {
        let (mut open, mut unseen) = (None::<Building>, 0);
        for info in segments {
            let segment = files::open_segment(&self.world, &self.dir, info)?;
            let proof = segment.proof().map_err(|error| files::failed(&info.file, error))?;
            pass.merged_roots.entry(log).or_default().extend_from_slice(&proof.roots);
            let mut push = |bytes: &[u8]| {
                let record = Record::parse(bytes).ok_or_else(|| files::damaged(&info.file, &"a row is no record"))?;
                let building = match &mut open {
                    Some(building) => building,
                    None => {
                        let last = pass.last(log).map(|last| (last.info.end(), last.partial.clone()));
                        // The tree of the first begins where that of the segments does.
                        let (first_seq, before) = last.unwrap_or_else(|| (info.first_seq, proof.before.clone()));
                        open.insert(self.begin_at(log, first_seq, before, shape, how)?)
                    }
                };
                let nth = |group: u64| usize::try_from(group - info.first_seq / GROUP_LEAVES).unwrap_or(usize::MAX);
                building.push(&record, record.head().as_ref(), |group| proof.seeds.get(nth(group)))?;
                unseen += bytes.len();
                if unseen > LOOK_BYTES {
                    unseen = 0;
                    // Their sizes said that they have room together; rows of very different sizes may have not.
                    if let Some(full) = open.take_if(|building| building.memory() > shape.memory_bytes_max) {
                        self.finish(full, pass)?;
                    }
                }
                Ok(())
            };
            let mut failed = None;
            let read = segment.records(0..u64::MAX, &mut |_, bytes| match push(bytes) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            read.map_err(|error| files::failed(&info.file, error))?;
        }
        pass.merged.extend_from_slice(segments);
        Ok(open)
    }

    fn finish(&self, building: Building, pass: &mut Pass) -> Result<()> {
        let log = building.log();
        let written = building.finish(|from, to| {
            let roots = tree_file::read(&self.world, &self.dir, log, from, to).unwrap_or_default();
            // Where the file is short the roots are wrong, and that is found out: they are computed then.
            let missing = usize::try_from(to - from).unwrap_or(0).saturating_sub(roots.len());
            Ok(roots.into_iter().chain(std::iter::repeat_n(Hash::ZERO, missing)).collect())
        })?;
        let merged = pass.merged_roots.entry(log).or_default();
        pass.is_wrong |= merged.iter().zip(&written.roots).any(|(sealed, root)| sealed != root);
        merged.drain(..written.roots.len().min(merged.len()));
        let state = pass.state.log(log);
        if written.info.end() < state.size() {
            // It only has what was sealed before, and others that are merged follow.
            pass.written.push(written);
            return Ok(());
        }
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
    /// The newest segment of a log.
    fn last(&self, log: u32) -> Option<&Written> {
        self.written.iter().rev().find(|written| written.info.log == log)
    }

    /// Whether every log came out with the size and root that the journal had there.
    pub(super) fn agrees(&self, to: &Boundary) -> bool {
        let of = |log: u32| self.heads.iter().find(|head| head.log == log);
        !self.is_wrong && to.heads.iter().filter(|head| head.size > 0).all(|head| of(head.log) == Some(head))
    }
}

/// The last segments of a log that the next one, of `rows` rows, takes in: so that their number grows with the logarithm of the rows, as long
/// as they have room in one.
fn mergeable<'s>(segments: &'s [SegmentInfo], rows: u64, shape: &Shape) -> &'s [SegmentInfo] {
    let (mut total, mut from) = (rows, segments.len());
    let (mut file_bytes, mut journal_bytes, mut merged) = (0, 0, 0);
    while let Some(last) = from.checked_sub(1).and_then(|at| segments.get(at)) {
        (file_bytes, journal_bytes, merged) = (file_bytes + last.bytes, journal_bytes + last.journal_bytes, merged + last.count);
        let group_bytes = journal_bytes.min(journal_bytes / merged.max(1) * GROUP_LEAVES);
        // The rows that follow take as much each.
        let written = file_bytes.saturating_mul(merged + rows) / merged.max(1);
        let memory = MERGED_COPIES.saturating_mul(written).saturating_add(GROUP_COPIES * group_bytes);
        if last.count > total.max(MERGED_ROWS)
            || total + last.count + GROUP_LEAVES > shape.rows_max
            || memory > shape.memory_bytes_max as u64
        {
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
        let shape = crate::config::Sealing::default().shape();
        let (mut segments, mut end, mut rewritten) = (Vec::new(), 0, 0);
        for _ in 0..1_000 {
            let rows = 10_000;
            let merged = mergeable(&segments, rows, &shape).to_vec();
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

    #[test]
    fn segments_that_have_no_room_in_one_are_not_merged() {
        let shape = Shape { memory_bytes_max: 32 << 20, ..crate::config::Sealing::default().shape() };
        let of = |bytes: u64, journal_bytes: u64| {
            (0..8).map(move |nth| SegmentInfo { count: 500, bytes, journal_bytes, ..SegmentInfo::begin(1, nth * 500, 1) })
        };
        let merged = |bytes, journal_bytes| mergeable(&of(bytes, journal_bytes).collect::<Vec<_>>(), 500, &shape).len();
        assert_eq!(merged(40_000, 250_000), 8);
        // Files of 5 MiB, of which the new rows take as much; and files that are small, of records that are large until they are compressed.
        assert_eq!(merged(5 << 20, 6 << 20), 1);
        assert_eq!(merged(40_000, 30 << 20), 0);
    }
}

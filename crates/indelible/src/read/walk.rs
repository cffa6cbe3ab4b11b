//! Walking through a store from its first position to what is durable now, while a writer may append, and seal what it appended.
//!
//! The sealed part comes first, log by log; then the journal, frame by frame. A writer that seals removes journal files under the
//! walker's feet; the walker then takes up the new manifest where it stands in each log.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use indelible_format::Record;
use indelible_format::frame::{FLAG_CARRY, Frame};
use indelible_format::record::Records;

use super::frames::{self, Cursor, End, Next};
use super::{Position, Reader, Scan};
use crate::digest::LogHead;
use crate::error::Result;
use crate::seal::{Manifest, files, sealer};

/// How far a store was read.
#[derive(Default)]
pub(crate) struct Walk {
    /// The next position of each log.
    next: BTreeMap<u32, u64>,
    /// In the journal; `None`: the sealed part comes first.
    cursor: Option<Cursor>,
    /// Generation of the manifest that led to the cursor.
    generation: u64,
    heads: BTreeMap<u32, LogHead>,
}

impl Walk {
    /// From these positions on; logs that are not named from their beginning.
    pub(crate) fn from(next: BTreeMap<u32, u64>) -> Self {
        Self { next, ..Self::default() }
    }

    /// Past everything that is sealed.
    pub(crate) fn behind(manifest: &Manifest) -> Self {
        let next = manifest.logs().into_iter().map(|log| (log, manifest.sealed(log))).collect();
        Self { next, ..Self::default() }
    }
}

/// What is shown each position.
pub(crate) type Each<'e> = dyn FnMut(Position<'_>) -> ControlFlow<()> + 'e;

impl Reader {
    /// Reads on to what is durable now, until `each` breaks off.
    pub(crate) fn advance(&self, walk: &mut Walk, each: &mut Each<'_>) -> Result<Scan> {
        let mut scan = Scan { records: 0, frames: 0, complete: true, reason: None, heads: Vec::new() };
        if let Some(cursor) = &mut walk.cursor {
            cursor.extend(self.durable_limit()?)?;
        }
        loop {
            if walk.cursor.is_none() {
                match self.enter(walk, &mut scan, each)? {
                    Entered::Journal => {}
                    Entered::Stopped => break,
                    Entered::Broken(reason) => {
                        (scan.complete, scan.reason) = (false, Some(reason));
                        break;
                    }
                }
            }
            let Some(cursor) = &mut walk.cursor else { break };
            let problem = match cursor.next()? {
                Next::Frame(frame, place) => {
                    scan.frames += 1;
                    if show(&frame, place.file, &mut walk.next, &mut walk.heads, &mut scan, each).is_break() {
                        break;
                    }
                    continue;
                }
                Next::End(End::Broken { file, offset, why }) => {
                    format!("the journal is broken at byte {offset} of file {file}: {why:?}")
                }
                Next::End(End::Gone) => "a file of the journal is gone".into(),
                Next::End(_) => break,
            };
            // Perhaps a writer has sealed what the cursor was about to read.
            if self.manifest()?.generation == walk.generation {
                (scan.complete, scan.reason) = (false, Some(problem));
                break;
            }
            walk.cursor = None;
        }
        scan.heads = walk.heads.values().copied().collect();
        Ok(scan)
    }

    /// Reads what is sealed and was not read yet, and opens the journal behind it.
    fn enter(&self, walk: &mut Walk, scan: &mut Scan, each: &mut Each<'_>) -> Result<Entered> {
        loop {
            let manifest = self.manifest()?;
            walk.generation = manifest.generation;
            let entered = self.sealed(&manifest, walk, scan, each).and_then(|flow| {
                if flow.is_break() {
                    return Ok(Some(Entered::Stopped));
                }
                let mut cursor =
                    Cursor::new(self.world(), self.dir(), self.identity().store, &manifest.start, self.durable_limit()?)?;
                let first = cursor.first()?;
                if first.is_some_and(|first| first != (manifest.start.lsn, manifest.start.prev)) {
                    return Ok(None);
                }
                walk.cursor = Some(cursor);
                Ok(Some(Entered::Journal))
            });
            match entered {
                Ok(Some(entered)) => return Ok(entered),
                _ if self.manifest()?.generation != manifest.generation => {}
                Ok(None) => return Ok(Entered::Broken("the journal does not begin where the sealed segments end".into())),
                Err(error) => return Err(error),
            }
        }
    }

    fn sealed(&self, manifest: &Manifest, walk: &mut Walk, scan: &mut Scan, each: &mut Each<'_>) -> Result<ControlFlow<()>> {
        if manifest.generation > 0 {
            let state = sealer::read_state(self.world(), self.dir(), manifest)?;
            walk.heads.extend(state.logs.iter().filter(|log| log.size() > 0).map(|log| (log.log, log.head())));
        }
        for info in &manifest.segments {
            let next = walk.next.entry(info.log).or_default();
            if info.end() <= *next {
                continue;
            }
            let segment = self.segment(info)?;
            let (mut stopped, mut damaged) = (false, None);
            let read = segment.records(*next..u64::MAX, &mut |seq, bytes| {
                // Passed over, an entry that cannot be read would be one that is not there: a hold, say.
                let Some(record) = Record::parse(bytes) else {
                    damaged = Some(files::no_record(&info.file, seq));
                    return ControlFlow::Break(());
                };
                *next = seq + 1;
                scan.records += 1;
                let flow = each(Position { log: info.log, seq, record: &record });
                stopped = flow.is_break();
                flow
            });
            if stopped {
                return Ok(ControlFlow::Break(()));
            }
            read.map_err(|error| files::failed(&info.file, error))?;
            damaged.map_or(Ok(()), Err)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(crate) fn durable_limit(&self) -> Result<Option<u64>> {
        frames::durable_limit(self.world(), self.dir(), &self.identity().store)
    }
}

enum Entered {
    Journal,
    Stopped,
    Broken(String),
}

/// Shows the records of a frame that were not shown yet.
fn show(
    frame: &Frame<'_>,
    file: u64,
    next: &mut BTreeMap<u32, u64>,
    heads: &mut BTreeMap<u32, LogHead>,
    scan: &mut Scan,
    each: &mut Each<'_>,
) -> ControlFlow<()> {
    if frame.meta.flags & FLAG_CARRY != 0 {
        return ControlFlow::Continue(());
    }
    let mut here: Vec<(u32, u64)> = frame.meta.logs.iter().map(|change| (change.log, change.first_seq)).collect();
    let mut records = Records::new(frame.payload);
    for record in records.by_ref() {
        let Some((log, seq)) = here.iter_mut().find(|(log, _)| *log == record.log()) else { continue };
        let position = Position { log: *log, seq: *seq, record: &record };
        *seq += 1;
        let known = next.entry(*log).or_default();
        if *seq <= *known {
            continue;
        }
        *known = *seq;
        scan.records += 1;
        each(position)?;
    }
    if !records.finished() {
        scan.complete = false;
        scan.reason = Some(format!("frame {} holds a malformed record (journal file {file})", frame.meta.lsn));
    }
    for change in &frame.meta.logs {
        let head = LogHead { log: change.log, size: change.first_seq + u64::from(change.count), root: change.root };
        heads.insert(change.log, head);
    }
    ControlFlow::Continue(())
}

//! Leaves for receipts that are not at hand any more: read back from the journal, a frame at a time.
//!
//! Who records a large batch waits for all of its events, and a frame may hold thousands of them: each is read and hashed once, not once for
//! each receipt.

use std::collections::VecDeque;
use std::path::Path;

use indelible_format::Hash;
use indelible_format::frame::{FLAG_CARRY, Frame};
use indelible_format::leaf::{Salts, Seed, leaf};
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::record::Records;
use parking_lot::Mutex;

use super::board::LeafRun;
use super::journal::Place;
use crate::error::Result;
use crate::read::frames::{FileReader, Pages};
use crate::world::World;

/// Leaves of the frames that are kept, 40 bytes each: of one frame at least, however many it has.
const LEAVES_MAX: usize = 1 << 17;

/// The frames that were read back last, newest first.
#[derive(Default)]
pub(crate) struct ReadBack(Mutex<VecDeque<(Place, Vec<LeafRun>)>>);

impl ReadBack {
    /// Leaf and tenant number of position `seq` of `log`, if it is in the frame at `place`. That may be sealed by now, and its file gone.
    /// Those who want the same frame at the same time wait for the one that reads it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn find(&self, world: &World, dir: &Path, place: Place, log: u32, seq: u64) -> Result<Option<(Hash, u64)>> {
        let mut frames = self.0.lock();
        let at = match frames.iter().position(|(known, _)| *known == place) {
            Some(at) => at,
            None => {
                let Some(mut reader) = FileReader::open_if_there(world, dir, place.file, Pages::default())? else {
                    return Ok(None);
                };
                let Ok(frame) = reader.frame_at(place.offset)? else { return Ok(None) };
                frames.push_front((place, leaves(&frame)));
                let mut count = 0;
                frames.retain(|(known, runs)| {
                    count += runs.iter().map(|run| run.leaves.len()).sum::<usize>();
                    *known == place || count <= LEAVES_MAX
                });
                0
            }
        };
        let runs = frames.get(at).map_or(&[][..], |(_, runs)| runs);
        let run = runs.iter().find(|run| run.log == log);
        Ok(run.and_then(|run| run.leaves.get(usize::try_from(seq.checked_sub(run.first_seq)?).ok()?).copied()))
    }
}

/// Of every record in a frame. Carried records are copies that no root binds.
fn leaves(frame: &Frame<'_>) -> Vec<LeafRun> {
    let meta = &frame.meta;
    let changed = meta.logs.iter().filter(|_| meta.flags & FLAG_CARRY == 0);
    let run = |log: u32, first_seq| {
        let mut salts = Salts::new(Seed([0; 32]));
        let records = Records::new(frame.payload).filter(|record| record.log() == log);
        let leaves = records.zip(first_seq..).map(|(record, seq)| {
            let group = seq / GROUP_LEAVES;
            if let Some(known) = meta.seeds.iter().find(|seed| (seed.log, seed.group) == (log, group)) {
                salts.rekey(&known.seed);
            }
            (leaf(&record, seq, &mut salts), record.head().map_or(0, |head| head.tenant_seq))
        });
        LeafRun { log, first_seq, leaves: leaves.collect() }
    };
    changed.map(|change| run(change.log, change.first_seq)).collect()
}

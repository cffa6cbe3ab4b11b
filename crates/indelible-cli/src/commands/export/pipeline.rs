//! Searching, writing and handing on, beside each other.
//!
//! This thread searches and copies records into batches; workers write each batch in its form; one more thread hands the bytes on in the
//! order of the search. Batches go round: the nth to worker n modulo their number, and they are taken back in the same round, so that
//! nothing needs to be sorted. Every channel holds one batch at most, and buffers are used again, so memory is bounded by the workers.

use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use indelible::Record;
use indelible::identity::Identity;
use indelible::search::View;

use super::form::{Mark, Writer};
use super::part::Reached;
use crate::failure::Result;
use crate::question::with_view;

/// Records that are written together.
struct Batch {
    /// One behind the other.
    records: Vec<u8>,
    /// Log and position of each, and where it ends.
    places: Vec<(u32, u64, usize)>,
    /// How far the search was behind the last of them.
    reached: Reached,
    /// Whether the search came to its end with it.
    is_last: bool,
}

/// The batch as it stands in the file.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// How far the search was; of its bytes it knows nothing.
    pub(super) reached: Reached,
    pub(super) mark: Mark,
}

impl Batch {
    fn write(self, writer: &mut Writer<'_>, identity: &Identity, pool: &Pool) -> Result<Written> {
        let mut bytes = pool.take();
        let mut start = 0;
        for (log, seq, end) in &self.places {
            let record = self.records.get(start..*end).and_then(Record::parse);
            start = *end;
            // They were read before they were copied: none is missing.
            if let Some(record) = record {
                with_view(*log, *seq, &record, |view| writer.event(&mut bytes, view, identity)).transpose()?;
            }
        }
        pool.give_back(self.records);
        let mark = writer.end_batch(&mut bytes, self.is_last)?;
        Ok(Written { bytes, reached: self.reached, mark })
    }
}

/// Buffers that nobody uses at the moment: new ones of this size cost more page faults than writing into them does work.
#[derive(Default)]
struct Pool {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    fn take(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(BUFFER_BYTES_MAX);
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// What a buffer keeps; a few events are longer.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Takes what the search finds.
pub(super) struct Feeder<'p> {
    pool: &'p Pool,
    workers: Vec<SyncSender<Batch>>,
    turn: usize,
    batch: Batch,
    /// Bytes of records, and events, after which a batch is full.
    batch_max: (usize, usize),
}

impl Feeder<'_> {
    /// Takes one event, unless an earlier run wrote it. Breaks off when nobody takes the batches any more.
    pub(super) fn event(&mut self, view: &View<'_>) -> ControlFlow<()> {
        if !self.batch.reached.advance(view.log, view.seq) {
            return ControlFlow::Continue(());
        }
        self.batch.records.extend_from_slice(view.record.bytes());
        self.batch.places.push((view.log, view.seq, self.batch.records.len()));
        let (bytes, events) = self.batch_max;
        let is_full = self.batch.records.len() >= bytes || self.batch.places.len() >= events;
        if is_full { self.send() } else { ControlFlow::Continue(()) }
    }

    /// Told when the search came to its end by itself: nothing follows the batch in the making.
    pub(super) const fn end(&mut self) {
        self.batch.is_last = true;
    }

    fn send(&mut self) -> ControlFlow<()> {
        let next = Batch { records: self.pool.take(), places: Vec::new(), reached: self.batch.reached.clone(), is_last: false };
        let full = std::mem::replace(&mut self.batch, next);
        let worker = self.workers.get(self.turn % self.workers.len().max(1));
        self.turn += 1;
        match worker.map(|worker| worker.send(full)) {
            Some(Ok(())) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// Runs `search`, which feeds what it finds; `hand_on` gets what was written in order. Each of `writers` works on a thread.
///
/// # Errors
/// That of a writer or of `hand_on`, else that of `search`.
pub(super) fn run<T>(
    writers: Vec<Writer<'_>>,
    identity: &Identity,
    reached: Reached,
    batch_max: (usize, usize),
    hand_on: &mut (dyn FnMut(&Written) -> Result<()> + Send),
    search: impl FnOnce(&mut Feeder<'_>) -> Result<T>,
) -> Result<T> {
    let pool = &Pool::default();
    std::thread::scope(|scope| {
        let (mut workers, mut outputs) = (Vec::new(), Vec::new());
        for mut writer in writers {
            let (worker, batches) = sync_channel::<Batch>(1);
            let (done, output) = sync_channel::<Result<Written>>(1);
            workers.push(worker);
            outputs.push(output);
            scope.spawn(move || {
                for batch in batches {
                    let written = batch.write(&mut writer, identity, pool);
                    let failed = written.is_err();
                    if done.send(written).is_err() || failed {
                        return;
                    }
                }
            });
        }
        let handing = scope.spawn(move || -> Result<()> {
            // The first worker that has nothing more is the one whose turn did not come.
            outputs.iter().cycle().map_while(|output| output.recv().ok()).try_for_each(|written| {
                let written = written?;
                hand_on(&written)?;
                pool.give_back(written.bytes);
                Ok(())
            })
        });
        let batch = Batch { records: pool.take(), places: Vec::new(), reached, is_last: false };
        let mut feeder = Feeder { pool, workers, turn: 0, batch, batch_max };
        let answer = search(&mut feeder);
        // Whether it is taken is told by the other side.
        let nothing = feeder.batch.places.is_empty() && !feeder.batch.is_last;
        let _flow = if nothing { ControlFlow::Continue(()) } else { feeder.send() };
        drop(feeder);
        handing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        answer
    })
}

//! Leaves are hashed on a second thread, beside the reading of what comes next, when there are enough of them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indelible_format::leaf::{LeafHasher, Salts};
use indelible_format::{Hash, Record};

/// Records hashed in one go: so few that little is left to do when a frame ends, so many that the lanes of the hasher are full.
const RECORDS_MAX: usize = 256;
/// Batches on their way at once.
const UNDERWAY_MAX: usize = 2;

/// Records queued, and the leaves they make.
#[derive(Default)]
pub(crate) struct Batch {
    hasher: LeafHasher,
    /// Log of each queued record.
    logs: Vec<u32>,
    leaves: Vec<Hash>,
}

impl Batch {
    /// Every leaf with its log, in the order of pushing.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u32, Hash)> {
        self.logs.iter().copied().zip(self.leaves.iter().copied())
    }

    fn hash(&mut self) {
        self.hasher.finish(&mut self.leaves);
    }

    fn clear(&mut self) {
        self.logs.clear();
        self.leaves.clear();
    }
}

/// Hashes records, and gives their leaves back in order.
pub(crate) struct Hashing {
    filling: Batch,
    spare: Vec<Batch>,
    underway: usize,
    helper: Helper,
}

enum Helper {
    /// None is wanted, or none could be had.
    None,
    NotYet,
    Thread(SyncSender<Batch>, Receiver<Batch>),
}

impl Hashing {
    /// `helped`: a second thread may be started.
    pub(crate) fn new(helped: bool) -> Self {
        let helper = if helped { Helper::NotYet } else { Helper::None };
        Self { filling: Batch::default(), spare: Vec::new(), underway: 0, helper }
    }

    /// Queues a record.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, log: u32, seq: u64, salts: &mut Salts) {
        self.filling.hasher.push(record, seq, salts);
        self.filling.logs.push(log);
    }

    /// Whether what is queued should be sent.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.filling.logs.len() >= RECORDS_MAX || self.filling.hasher.is_full()
    }

    /// Has what is queued hashed. `done` gets what was sent before and is ready.
    pub(crate) fn send(&mut self, done: &mut impl FnMut(&Batch)) {
        if let Helper::NotYet = self.helper {
            self.helper = start();
        }
        let Helper::Thread(to, _) = &self.helper else { return self.finish(done) };
        let next = self.spare.pop().unwrap_or_default();
        if to.send(std::mem::replace(&mut self.filling, next)).is_err() {
            helper_panicked();
        }
        self.underway += 1;
        if self.underway > UNDERWAY_MAX {
            self.receive(done);
        }
    }

    fn receive(&mut self, done: &mut impl FnMut(&Batch)) {
        let Helper::Thread(_, from) = &self.helper else { return };
        let Ok(mut batch) = from.recv() else { helper_panicked() };
        self.underway -= 1;
        done(&batch);
        batch.clear();
        self.spare.push(batch);
    }

    /// Hands out everything that is still queued or on its way.
    pub(crate) fn finish(&mut self, done: &mut impl FnMut(&Batch)) {
        // The helper is at its own batch meanwhile.
        self.filling.hash();
        while self.underway > 0 {
            self.receive(done);
        }
        done(&self.filling);
        self.filling.clear();
    }
}

/// A thread that ends with the channels to it.
fn start() -> Helper {
    let (to, batches) = sync_channel::<Batch>(UNDERWAY_MAX + 1);
    let (back, from) = sync_channel(UNDERWAY_MAX + 1);
    let run = move || {
        for mut batch in batches {
            batch.hash();
            if back.send(batch).is_err() {
                return;
            }
        }
    };
    match thread::Builder::new().name("indelible-hash".into()).spawn(run) {
        Ok(_) => Helper::Thread(to, from),
        Err(_) => Helper::None,
    }
}

/// It has said why; without its batch there is nothing to go on with.
fn helper_panicked() -> ! {
    std::panic::resume_unwind(Box::new("the hashing thread panicked"))
}

#[cfg(test)]
mod tests {
    use indelible_format::leaf::{self, Seed};
    use indelible_format::record::Records;
    use indelible_format::{Draft, Stamp, encode};

    use super::*;

    #[test]
    fn leaves_come_back_in_order_with_and_without_help() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut payload, mut memory) = (Vec::new(), Vec::new());
        for n in 0..3_000u32 {
            let text = "x".repeat(if rng.u8(..) == 0 { 9_000 } else { rng.usize(..300) });
            let stamp = Stamp { received: 1, uuid: [0; 16], producer: None, tenant: "acme", log: rng.u32(..3) };
            let draft = Draft::new("widget.polish").actor("alice").detail("n", n).detail("text", &*text);
            let encoded = encode(&draft, &stamp, &mut memory).unwrap();
            payload.extend_from_slice(&memory[..encoded.bytes]);
        }
        let records: Vec<Record<'_>> = Records::new(&payload).collect();
        let mut salts = Salts::new(Seed([7; 32]));
        let expected: Vec<(u32, Hash)> =
            records.iter().zip(0..).map(|(record, seq)| (record.log(), leaf::leaf(record, seq % 256, &mut salts))).collect();
        for helped in [false, true] {
            let (mut hashing, mut found, mut seq) = (Hashing::new(helped), Vec::new(), 0);
            // Frames of any length, one after the other.
            for frame in records.chunk_by(|_, _| rng.u16(..) > 100) {
                for record in frame {
                    hashing.push(record, record.log(), seq % 256, &mut salts);
                    seq += 1;
                    if hashing.is_full() {
                        hashing.send(&mut |batch: &Batch| found.extend(batch.leaves()));
                    }
                }
                hashing.finish(&mut |batch: &Batch| found.extend(batch.leaves()));
            }
            assert_eq!(found, expected, "helped: {helped}");
            assert_eq!(matches!(hashing.helper, Helper::Thread(..)), helped);
        }
    }
}

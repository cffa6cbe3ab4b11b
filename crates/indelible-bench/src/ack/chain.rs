//! A hash chain in a growing file, as one writes it in an afternoon: each line carries the hash of the line before and its own;
//! whoever finds nobody syncing writes and syncs what has gathered, for all who wait.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use indelible::Hash;
use indelible::format::sha256::sha256_parts;

use super::{Round, Running, Subject, Writer};
use crate::Result;
use crate::events::Samples;

pub(super) struct Chain;

impl Subject for Chain {
    fn name(&self) -> &'static str {
        "naive hash chain, group commit"
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        let file = File::options().create(true).append(true).open(round.dir.join("chain.ndjson"))?;
        let state = State { previous: Hash([0; 32]), waiting: Vec::new(), written: 0, durable: 0, file: Some(file) };
        Ok(Box::new(Open { samples: Arc::clone(&round.samples), state: Mutex::new(state), changed: Condvar::new() }))
    }
}

struct Open {
    samples: Arc<Samples>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    previous: Hash,
    waiting: Vec<u8>,
    /// Events put into `waiting` since the beginning.
    written: u64,
    /// Events that are synced.
    durable: u64,
    /// Taken by whoever syncs.
    file: Option<File>,
}

impl Open {
    fn append(&self, event: usize) -> Result<()> {
        let json = &self.samples.at(event).json;
        let mut state = self.lock();
        let hash = sha256_parts(&[&state.previous.0, json.as_bytes()]);
        state.previous = hash;
        state.waiting.extend_from_slice(json.as_bytes());
        writeln!(&mut state.waiting, " {hash}")?;
        state.written += 1;
        let mine = state.written;
        while state.durable < mine {
            let Some(mut file) = state.file.take() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let batch = std::mem::take(&mut state.waiting);
            let covers = state.written;
            drop(state);
            file.write_all(&batch)?;
            file.sync_data()?;
            state = self.lock();
            state.file = Some(file);
            state.durable = covers;
            self.changed.notify_all();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running for Open {
    fn writer(&self) -> Result<Writer<'_>> {
        Ok(Box::new(|event| self.append(event)))
    }
}

//! SIGINT and SIGTERM: the first asks to stop taking input, drain and end; the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Whether somebody asked the command to stop. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on. Commands that have nothing to drain do not call this and simply end.
    pub(crate) fn install() -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag down, and raises it; the second finds it up.
            flag::register_conditional_shutdown(signal, i32::from(Exit::Error.code()), Arc::clone(&stop.asked))
                .and_then(|_| flag::register(signal, Arc::clone(&stop.asked)))
                .map_err(|error| Failure::io("could not listen for signals", &error))?;
        }
        Ok(stop)
    }

    /// Cheap enough to ask for every record.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

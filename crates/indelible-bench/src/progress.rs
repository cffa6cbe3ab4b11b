//! How far a long part of a run is, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

const CELLS: u64 = 30;

/// Begins where it is made.
pub(crate) struct Progress {
    total: u64,
    started: Instant,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, started: Instant::now(), shown: None }
    }

    /// `done` of the total are done; shown twice a second at most, where nobody looks on every ten seconds.
    pub(crate) fn at(&mut self, done: u64) {
        let is_terminal = stderr().is_terminal();
        let pause = Duration::from_millis(if is_terminal { 500 } else { 10_000 });
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = done as f64 / seconds.max(0.001);
        let left = self.total.saturating_sub(done) as f64 / rate.max(1.0);
        let cells = (done.min(self.total) * CELLS).checked_div(self.total).unwrap_or(CELLS);
        let bar: String = (0..CELLS).map(|cell| if cell < cells { '#' } else { '.' }).collect();
        let end = if is_terminal { "\r" } else { "\n" };
        // Nobody is left to tell if stderr is gone.
        let _ = write!(stderr(), "[{bar}] {done} of {}, {rate:.0}/s, {left:.0} s left   {end}", self.total);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() && stderr().is_terminal() {
            let _ = writeln!(stderr());
        }
    }
}

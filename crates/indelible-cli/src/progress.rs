//! Progress bars on stderr; nothing is drawn when stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over a number of bytes. Dropping it wipes it away.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `what` is being done to `total` bytes.
    pub(crate) fn bytes(total: u64, what: &'static str) -> Self {
        let bar = ProgressBar::new(total);
        // Without colours, so that NO_COLOR has nothing to forbid. A template that does not parse would be a bug, and a plain bar.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bytes:>10}/{total_bytes} [{bar:30}] {msg} {eta:>4} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// `what` is being done to `total` things; 0 if nobody knows how many.
    pub(crate) fn share(total: u64, what: &'static str) -> Self {
        let bar = ProgressBar::new(total.max(1));
        let template = if total == 0 { "{prefix} {spinner} {msg}" } else { "{prefix} [{bar:30}] {percent:>3} % {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// `what` is being done, and nobody knows how much of it there is.
    pub(crate) fn endless(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {bytes:>10} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    pub(crate) fn total(&self, total: u64) {
        self.bar.set_length(total);
    }

    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    pub(crate) fn says(&self, message: String) {
        self.bar.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const TICK: Duration = Duration::from_millis(200);

//! The gate: steps that all run, each with a line and its time, and one closing line.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::process::say;

/// What a step has to say: something worth knowing when it passed, or why it did not.
pub(crate) type Outcome = Result<String, String>;

/// The steps run so far.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

impl Gate {
    /// Runs a step. A failure does not stop the gate: one run shows everything that is wrong.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> Outcome) {
        say(&format!("\n==> {name}"));
        let started = Instant::now();
        let step = Step { name, outcome: run(), took: started.elapsed() };
        say(&step.line());
        self.steps.push(step);
    }

    /// Says how it went, all in one place.
    pub(crate) fn close(self) -> ExitCode {
        let failed = self.steps.iter().filter(|step| step.outcome.is_err()).count();
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        say(&format!("\n==> summary, {:.0} s in all", total.as_secs_f64()));
        self.steps.iter().for_each(|step| say(&step.line()));
        say(&closing_line(self.steps.len() - failed, failed));
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Step {
    fn line(&self) -> String {
        let (word, note) = match &self.outcome {
            Ok(note) => ("ok    ", note),
            Err(reason) => ("FAILED", reason),
        };
        format!("{word} {:<22} {:>7.1} s  {note}", self.name, self.took.as_secs_f64()).trim_end().to_owned()
    }
}

/// Plain, alone on its line, the last one: machines read it.
fn closing_line(passed: usize, failed: usize) -> String {
    format!("{passed} passed, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_not_hide_the_steps_behind_it() {
        let mut gate = Gate::default();
        gate.step("first", || Err("broken".into()));
        gate.step("second", || Ok(String::new()));
        let outcomes: Vec<bool> = gate.steps.iter().map(|step| step.outcome.is_ok()).collect();
        assert_eq!(outcomes, [false, true]);
        assert_eq!(closing_line(1, 1), "1 passed, 1 failed");
    }
}

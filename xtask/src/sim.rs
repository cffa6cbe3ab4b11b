//! `cargo xtask sim`: the real engine in a simulated world, for as many seeds as wanted.

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::process::{cargo, output, run as run_command};

/// Part of the name of every simulation test.
const NAMED: &str = "simulat";

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let runs = arguments.take_number("--runs")?;
    let seed = arguments.take_number("--seed")?;
    let filter = arguments.take_word().unwrap_or_else(|| NAMED.to_owned());
    arguments.finish()?;
    let tests = ["test", "--locked", "-p", "indelible", "-p", "indelible-testkit", "--tests", "--", filter.as_str()];
    let list = output(cargo(&tests).arg("--list"))?;
    let count = list.lines().filter(|line| line.ends_with(": test")).count();
    if count == 0 {
        // Nothing run is nothing shown: a filter that fits no test must not look like success.
        return Err(format!("no test has `{filter}` in its name"));
    }
    let mut command = cargo(&tests);
    for (variable, number) in [("INDELIBLE_RUNS", runs), ("INDELIBLE_SEED", seed)] {
        if let Some(number) = number {
            command.env(variable, number.to_string());
        }
    }
    run_command(&mut command).map(|()| ExitCode::SUCCESS)
}

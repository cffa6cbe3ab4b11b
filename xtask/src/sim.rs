//! `cargo xtask sim`: the real engine in a simulated world, for as many seeds as wanted.

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::process::{cargo, output, run as run_command};

/// Parts of the names of the tests that run the engine in a simulated world.
const NAMED: &[&str] = &["crash", "faults::", "recovery::"];

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let runs = arguments.take_number("--runs")?;
    let seed = arguments.take_number("--seed")?;
    let filter = arguments.take_word();
    arguments.finish()?;
    let filters: Vec<&str> = filter.as_deref().map_or_else(|| NAMED.to_vec(), |filter| vec![filter]);
    let tests =
        [&["test", "--locked", "-p", "indelible", "-p", "indelible-testkit", "--tests", "--"], filters.as_slice()].concat();
    let list = output(cargo(&tests).arg("--list"))?;
    if !list.lines().any(|line| line.ends_with(": test")) {
        // Nothing run is nothing shown: a filter that fits no test must not look like success.
        return Err(format!("no test has {} in its name", filters.join(" or ")));
    }
    let mut command = cargo(&tests);
    for (variable, number) in [("INDELIBLE_RUNS", runs), ("INDELIBLE_SEED", seed)] {
        if let Some(number) = number {
            command.env(variable, number.to_string());
        }
    }
    run_command(&mut command).map(|()| ExitCode::SUCCESS)
}

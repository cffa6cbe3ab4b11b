//! The gate and its helpers. `cargo xtask help` lists them.
//!
//! Plain std, so that the gate builds in seconds on a bare machine. Nothing here is shipped.

use std::process::ExitCode;

mod arguments;
mod bench;
mod checks;
mod fuzz;
mod gate;
mod package;
mod process;
mod setup;
mod sim;
mod test;

use arguments::Arguments;

const HELP: &str = "\
cargo xtask test [--long]                   everything CI runs; installs what it needs, or says that it cannot
cargo xtask ci [--long]                     the same
cargo xtask check                           only what is quick: tree, boundaries, links, dependencies, licences, README
cargo xtask sim [FILTER] [--runs N] [--seed S]
                                            the simulation tests, for N seeds from S on
cargo xtask fuzz [TARGET] [--seconds N]     libFuzzer on one decoder, or on each in turn
cargo xtask bench [--peers] [--rocksdb] [ARGUMENTS…]
                                            the benchmarks in release mode; `all` if nothing is said
cargo xtask package deb [--binary FILE]     a Debian package of the command, in target/package; built in release mode, or FILE as it is
cargo xtask package try [--binary FILE]     what the gate tries of package, unit and container file
cargo xtask help                            this page

INDELIBLE_CORPUS   folder with real events; default: ../shared/data beside the workspace
CI                 when set, nothing may be skipped
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_environment();
    let verb = arguments.take_word().unwrap_or_else(|| "help".to_owned());
    let result = match verb.as_str() {
        "test" | "ci" => test::run(arguments),
        "check" => test::run_checks(arguments),
        "sim" => sim::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "bench" => bench::run(arguments),
        "package" => package::run(arguments),
        "help" | "--help" | "-h" => {
            process::say(HELP.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        other => Err(format!("there is no `{other}`; `cargo xtask help` lists what there is")),
    };
    result.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}

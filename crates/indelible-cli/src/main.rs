//! The `indelible` command: parse the arguments, run one verb, say how it ended.
//!
//! stdout is data, stderr is talk. What the verbs do is in `commands`, one file each; how it ends is in `exit`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;

mod cli;
mod commands;
mod data_dir;
mod drill;
mod exit;
mod failure;
mod machine;
mod output;
mod progress;
mod question;
mod remote;
mod shown;
mod signals;
mod source;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let json = output::wants_json(&arguments);
    let end = match Cli::try_parse_from(&arguments) {
        Ok(cli) => commands::run(cli).unwrap_or_else(|failure| failure.report(json)),
        Err(error) if error.use_stderr() && json => Failure::usage(error.to_string().trim_end()).report(json),
        Err(error) => {
            // Nobody is left to tell that the terminal is gone.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Ok }
        }
    };
    let _ = std::io::stdout().flush();
    end.into()
}

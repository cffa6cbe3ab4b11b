//! `indelible completions`: the completion script of a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Out;

/// Print the completion script of a shell.
///
/// For bash: indelible completions bash > ~/.local/share/bash-completion/completions/indelible
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "indelible", &mut script);
    let mut out = Out::open();
    out.bytes(&script)?;
    out.flush()?;
    Ok(Exit::Ok)
}

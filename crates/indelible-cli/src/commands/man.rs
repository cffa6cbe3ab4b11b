//! `indelible man`: the manual pages, made from the same words as `--help`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Out;

/// Print the manual page, or write all of them to a directory.
///
/// To read it: indelible man | man -l -
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write indelible.1 and a page for each verb here
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs) -> Result<Exit> {
    let command = Cli::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| Failure::io("could not make the manual page", &error))?;
        let mut out = Out::open();
        out.bytes(&page)?;
        out.flush()?;
        return Ok(Exit::Ok);
    };
    fs::create_dir_all(dir).map_err(|error| Failure::file("make the directory", dir, &error))?;
    clap_mangen::generate_to(command, dir).map_err(|error| Failure::file("write the manual pages to", dir, &error))?;
    eprintln!("the manual pages are in {}; read one with `man {}`", dir.display(), dir.join("indelible.1").display());
    Ok(Exit::Ok)
}

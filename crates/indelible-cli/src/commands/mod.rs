//! The verbs, one file each.

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Result;

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod checkpoint;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod emit;
pub(crate) mod export;
pub(crate) mod facets;
pub(crate) mod health;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod prove;
pub(crate) mod redaction;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod seal;
pub(crate) mod search;
pub(crate) mod segments;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod tail;
pub(crate) mod tenant;
pub(crate) mod token;
pub(crate) mod verify;

/// Runs the verb.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let place = &cli.place;
    let (verb, asks) = cli.command.described();
    place.check(verb, asks)?;
    match cli.command {
        Command::Init(args) => init::run(place, &args),
        Command::Emit(args) => emit::run(place, &args),
        Command::Import(args) => import::run(place, &args),
        Command::Search(args) => search::run(place, &args),
        Command::Tail(args) => tail::run(place, &args),
        Command::Show(args) => show::run(place, &args),
        Command::Stats(args) => stats::run(place, &args),
        Command::Facets(args) => facets::run(place, &args),
        Command::Export(args) => export::run(place, &args),
        Command::Prove(args) => prove::run(place, &args),
        Command::Seal(args) => seal::run(place, &args),
        Command::Segments(args) => segments::run(place, &args),
        Command::Retention(args) => retention::run(place, &args),
        Command::Hold(args) => hold::run(place, &args),
        Command::Verify(args) => verify::run(place, &args),
        Command::Backup(args) => backup::run(place, &args),
        Command::Restore(args) => restore::run(place, &args),
        Command::Checkpoint(args) => checkpoint::run(place, &args),
        Command::Doctor(args) => doctor::run(place, &args),
        Command::Drill(args) => drill::run(place, &args),
        Command::Bench(args) => bench::run(place, &args),
        Command::Demo(args) => demo::run(place, &args),
        Command::Serve(args) => serve::run(place, &args),
        Command::Health(args) => health::run(place, &args),
        Command::Config(args) => config::run(place, &args),
        Command::Token(args) => token::run(place, &args),
        Command::Tenant(args) => token::run_tenant(place, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

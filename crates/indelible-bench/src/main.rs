//! `indelible-bench`: our numbers beside our peers', in one run on the same events.
//!
//! Each subject has a module. All of them take their events from [`events`], say what they found in the tables of [`report`], and
//! write below one directory that is removed afterwards. Peers are behind the feature `peers`, RocksDB behind `rocksdb`.

mod ack;
mod big;
mod child;
mod cpu;
mod disk;
mod emit;
#[cfg(feature = "peers")]
mod emit_peers;
mod events;
mod import;
mod ingest;
mod kept;
mod latency;
mod machine;
mod memory;
mod pace;
mod pages;
mod place;
mod progress;
mod ranks;
mod report;
mod seal;
mod seal_ingest;
mod sealing;
mod search;
mod serve;
mod verify;
mod zipf;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::events::Samples;
use crate::machine::Machine;
use crate::place::Place;
use crate::report::{Format, Report};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Measures Indelible, and its peers on the same events
#[derive(Debug, Parser)]
#[command(name = "indelible-bench", version, about)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Directory on a real disk to write to [default: the build's target directory]
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// Seed of the events
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// How results are written
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cost of an emit on the caller's thread
    Emit(emit::EmitArgs),
    /// Durable events per second through the public API, with the budget per stage
    Ingest(ingest::IngestArgs),
    /// Waiting writers, each for its own acknowledgement
    Ack(ack::AckArgs),
    /// Verification of a whole store
    Verify(verify::VerifyArgs),
    /// Time to open a store after a clean close and after a kill
    Recovery(verify::RecoveryArgs),
    /// Memory that an open store adds, idle and full
    Memory(memory::MemoryArgs),
    /// Import of real Windows events, stage by stage
    Import(import::ImportArgs),
    /// Questions to a store and to its peers: times hot and cold, and bytes on disk
    Search(search::SearchArgs),
    /// CPU that sealing takes by itself
    Seal(seal::SealArgs),
    /// Ingest at a given rate for many minutes, sealing included
    SealIngest(seal_ingest::SealIngestArgs),
    /// Selective questions to a large log that is kept from run to run
    Big(big::BigArgs),
    /// The server: durable events per second, acknowledgements, searches and live tails under load, memory
    Serve(serve::ServeArgs),
    /// Everything, with short settings
    All,
    /// What the others run in a process of its own
    #[command(subcommand, hide = true)]
    Child(child::Child),
}

/// What every measurement is given.
struct Bench {
    place: Place,
    samples: Samples,
    seed: u64,
    report: Report,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            say(&text);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    if let Command::Child(child) = &cli.command {
        return child.run(cli.common.seed);
    }
    let place = Place::make(cli.common.data.as_deref())?;
    let samples = Samples::generate(cli.common.seed);
    let report = Report::begin(cli.common.output, Machine::look(place.path(), &place.mount))?;
    let mut bench = Bench { place, samples, seed: cli.common.seed, report };
    match &cli.command {
        Command::Emit(args) => emit::run(&mut bench, args)?,
        Command::Ingest(args) => ingest::run(&mut bench, args)?,
        Command::Ack(args) => ack::run(&mut bench, args)?,
        Command::Verify(args) => verify::run(&mut bench, args)?,
        Command::Recovery(args) => verify::run_recovery(&mut bench, args)?,
        Command::Memory(args) => memory::run(&mut bench, args)?,
        Command::Import(args) => import::run(&mut bench, args)?,
        Command::Search(args) => search::run(&mut bench, args)?,
        Command::Seal(args) => seal::run(&mut bench, args)?,
        Command::SealIngest(args) => seal_ingest::run(&mut bench, args)?,
        Command::Big(args) => big::run(&mut bench, args)?,
        Command::Serve(args) => serve::run(&mut bench, args)?,
        Command::All => {
            emit::run(&mut bench, &emit::EmitArgs::short())?;
            ingest::run(&mut bench, &ingest::IngestArgs::short())?;
            ack::run(&mut bench, &ack::AckArgs::short())?;
            verify::run(&mut bench, &verify::VerifyArgs::short())?;
            verify::run_recovery(&mut bench, &verify::RecoveryArgs::short())?;
            memory::run(&mut bench, &memory::MemoryArgs::short())?;
            import::run(&mut bench, &import::ImportArgs::default())?;
            search::run(&mut bench, &search::SearchArgs::short())?;
        }
        Command::Child(_) => {}
    }
    bench.report.finish()
}

/// Talk goes to stderr; stdout is for results.
fn say(text: &str) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

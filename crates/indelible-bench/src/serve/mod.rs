//! The server, driven over its sockets by a generator on the same machine: what clients get, and what it takes.
//!
//! The program is started as an operator starts it, on a directory of its own. Its CPU and memory are read from `/proc`; the disk's own sync is
//! measured in the same run.

mod answer;
mod bodies;
mod driver;
mod grpc;
mod listeners;
mod load;
mod process;
mod questions;
mod tenants;
mod throughput;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::process::Program;
use crate::{Bench, Result};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Only these parts [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The program to start [default: `indelible` beside this one]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Set a key of its configuration; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Connections that post events
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each measurement of throughput, after one to warm up
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Events a second in batches of 1,000 when their latency is measured; 0: it is not
    #[arg(long, default_value_t = 100_000.0)]
    batch_rate: f64,
    /// Single events a second when their latency is measured; 0: it is not
    #[arg(long, default_value_t = 10_000.0)]
    single_rate: f64,
    #[command(flatten)]
    load: load::LoadArgs,
    /// Tenants of the last part
    #[arg(long, default_value_t = 10_000)]
    tenants: usize,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// NDJSON batches of 1,000 events
    Batches,
    /// Single events
    Singles,
    /// OTLP over gRPC, batches of 512
    Otlp,
    /// A steady load in batches of 100, with searches and live tails meanwhile
    Load,
    /// Many tenants
    Tenants,
}

pub(crate) fn run(bench: &mut Bench, args: &ServeArgs) -> Result<()> {
    let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
    let path = match &args.server {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("indelible"),
    };
    let program = Program { path, settings: args.set.clone() };
    if [Part::Batches, Part::Singles, Part::Otlp].into_iter().any(wanted) {
        throughput::run(bench, args, &program, &wanted)?;
    }
    if wanted(Part::Load) {
        load::run(bench, args, &program)?;
    }
    if wanted(Part::Tenants) {
        tenants::run(bench, args, &program)?;
    }
    Ok(())
}

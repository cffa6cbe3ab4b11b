//! The command line: global options and the verbs.

use clap::{Parser, Subcommand};

use crate::commands::{
    backup, bench, checkpoint, completions, config, demo, doctor, drill, emit, export, facets, health, hold, import, init, man,
    prove, restore, retention, seal, search, segments, serve, show, stats, tail, token, verify,
};
use crate::data_dir::Place;

/// The audit log that can prove itself
#[derive(Debug, Parser)]
#[command(
    name = "indelible",
    version,
    long_about = "Records who did what, finds it again, and proves that nothing of it was changed or left out.\n\n\
        A store is a directory: events are appended by one process at a time and read, searched and verified by any number of \
        others without a lock. With --url, a server is asked in its place.",
    after_help = "Try `indelible demo`, or `indelible init` and then `indelible emit`.",
    after_long_help = EXIT_CODES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a store: identity, signing key, empty logs
    Init(init::InitArgs),
    /// Record one event and print its receipt
    Emit(Box<emit::EmitArgs>),
    /// Record events from files: CloudTrail, Kubernetes audit, OCSF, Windows, any JSON
    Import(import::ImportArgs),
    /// Find events
    Search(search::SearchArgs),
    /// Show the newest events, and those that come
    Tail(tail::TailArgs),
    /// Show one event whole
    Show(show::ShowArgs),
    /// Count events, or show how far the logs reach
    Stats(stats::StatsArgs),
    /// Show what values fields have, the most frequent first
    Facets(facets::FacetsArgs),
    /// Write events to a file: NDJSON, CSV, OCSF, Parquet
    Export(export::ExportArgs),
    /// Write the proof of one event to a file
    Prove(prove::ProveArgs),
    /// Seal what was recorded into segments of plain Parquet
    Seal(seal::SealArgs),
    /// Show what is sealed: files, positions, times, sizes
    Segments(segments::SegmentsArgs),
    /// Say how long events are kept, see what would expire, and let it expire
    Retention(retention::RetentionArgs),
    /// Hold events that a policy would let expire
    Hold(hold::HoldArgs),
    /// Recompute every hash and check every signature
    Verify(verify::VerifyArgs),
    /// Print the signed head of a log, to be kept elsewhere
    Checkpoint(checkpoint::CheckpointArgs),
    /// Copy the store to another disk while it is in use
    Backup(backup::BackupArgs),
    /// Verify a backup and make a new store of it
    Restore(restore::RestoreArgs),
    /// Serve the store: HTTP API, other people's protocols, C2SP logs
    Serve(serve::ServeArgs),
    /// Ask the server of this machine whether it records
    Health(health::HealthArgs),
    /// Write, check and show the server's configuration
    Config(config::ConfigArgs),
    /// Make, list and revoke tokens of a server
    Token(token::TokenArgs),
    /// Make and list tenants of a server
    Tenant(token::TenantArgs),
    /// Look for what could go wrong here
    Doctor(doctor::DoctorArgs),
    /// Attack copies of this log in every known way, and see each attack named
    Drill(drill::DrillArgs),
    /// Measure emit, ingest and sync on this disk
    Bench(bench::BenchArgs),
    /// Record a made-up company's day, then search, prove and verify it
    Demo(demo::DemoArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write all of them to a directory
    Man(man::ManArgs),
}

impl Command {
    /// The verb, and whether a server can be asked for it.
    pub(crate) const fn described(&self) -> (&'static str, bool) {
        match self {
            Self::Emit(_) => ("emit", true),
            Self::Import(_) => ("import", true),
            Self::Search(_) => ("search", true),
            Self::Tail(_) => ("tail", true),
            Self::Show(_) => ("show", true),
            Self::Stats(_) => ("stats", true),
            Self::Facets(_) => ("facets", true),
            Self::Export(_) => ("export", true),
            Self::Prove(_) => ("prove", true),
            Self::Checkpoint(_) => ("checkpoint", true),
            Self::Verify(args) => ("verify", !args.is_offline()),
            Self::Config(args) => ("config", args.asks()),
            Self::Health(_) => ("health", false),
            Self::Init(_) => ("init", false),
            Self::Seal(_) => ("seal", false),
            Self::Segments(_) => ("segments", false),
            Self::Retention(_) => ("retention", false),
            Self::Hold(_) => ("hold", false),
            Self::Backup(_) => ("backup", false),
            Self::Restore(_) => ("restore", false),
            Self::Serve(_) => ("serve", false),
            Self::Token(_) => ("token", false),
            Self::Tenant(_) => ("tenant", false),
            Self::Doctor(_) => ("doctor", false),
            Self::Drill(_) => ("drill", false),
            Self::Bench(_) => ("bench", false),
            Self::Demo(_) => ("demo", false),
            Self::Completions(_) => ("completions", false),
            Self::Man(_) => ("man", false),
        }
    }
}

const EXIT_CODES: &str = "Exit codes:\n  0  done\n  1  error\n  2  the command line or query cannot be understood\n  \
    3  verification failed: the log is not what was signed\n  4  incomplete: the answer or the import has gaps, named on stderr\n\n\
    stdout is data, stderr is talk. NO_COLOR is respected. Text from the log cannot act on the terminal.";

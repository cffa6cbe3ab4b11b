//! Work that must be done in a process of its own: to be killed in the middle, or to have its memory measured alone.
//!
//! A child prints one line of JSON on stdout. One that is to be killed then waits for its stdin to end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::Instant;

use clap::{Subcommand, ValueEnum};
use indelible::{Config, Store, verify};
use serde_json::{Value, json};

use crate::cpu::{CpuWatch, memory_bytes, process_cpu};
use crate::events::Samples;
use crate::{Result, memory};

#[derive(Debug, Subcommand)]
pub(crate) enum Child {
    /// Make a store of so many events
    Fill {
        dir: PathBuf,
        #[arg(long)]
        events: usize,
        #[arg(long, value_enum)]
        end: End,
    },
    /// Verify a store
    Verify { dir: PathBuf },
    /// Open a store and close it
    Open { dir: PathBuf },
    /// Open a new store and fill its lanes for some seconds
    Memory {
        dir: PathBuf,
        #[arg(long)]
        seconds: f64,
        #[arg(long)]
        producers: usize,
    },
}

/// How a process leaves its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum End {
    /// It closes it.
    Close,
    /// It is killed while it has it open; all its events are durable.
    Kill,
}

impl End {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Kill => "kill",
        }
    }
}

impl Child {
    /// Does the work, in the child.
    pub(crate) fn run(&self, seed: u64) -> Result<()> {
        match self {
            Self::Fill { dir, events, end } => fill(dir, *events, *end, &Samples::generate(seed)),
            Self::Verify { dir } => verify_store(dir),
            Self::Open { dir } => open_store(dir),
            Self::Memory { dir, seconds, producers } => say(&memory::grow(dir, *seconds, *producers, &Samples::generate(seed))?),
        }
    }
}

fn fill(dir: &Path, events: usize, end: End, samples: &Samples) -> Result<()> {
    let store = Store::open(Config::new(dir))?;
    for event in 0..events {
        store.emit(&samples.at(event).draft())?;
    }
    store.flush()?;
    let bytes = store.stats().bytes;
    match end {
        End::Close => {
            store.close()?;
            say(&json!({"bytes": bytes}))
        }
        End::Kill => {
            say(&json!({"bytes": bytes}))?;
            // The parent kills us here.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            Err("not killed".into())
        }
    }
}

fn verify_store(dir: &Path) -> Result<()> {
    let (watch, cpu_before) = (CpuWatch::start(&[]), process_cpu());
    let started = Instant::now();
    let report = verify::verify(dir, verify::Options::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_s = (process_cpu() - cpu_before).as_secs_f64();
    say(
        &json!({"ok": report.ok, "events": report.events, "seconds": seconds, "cpu_s": cpu_s, "peak_bytes": memory_bytes("VmHWM"),
               "foreign": watch.stop().foreign_text()}),
    )
}

fn open_store(dir: &Path) -> Result<()> {
    let (watch, cpu_before) = (CpuWatch::start(&[]), process_cpu());
    let started = Instant::now();
    let store = Store::open(Config::new(dir))?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_s = (process_cpu() - cpu_before).as_secs_f64();
    let foreign = watch.stop().foreign_text();
    let recovery = store.stats().recovery;
    let peak = memory_bytes("VmHWM");
    store.close()?;
    say(&json!({"seconds": seconds, "cpu_s": cpu_s, "records": recovery.records, "copied_bytes": recovery.copied_bytes,
               "peak_bytes": peak, "foreign": foreign}))
}

fn say(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Runs this program again as a child; returns what it said. `kill`: ends it by SIGKILL as soon as it spoke.
pub(crate) fn spawn(arguments: &[&str], seed: u64, kill: bool) -> Result<Value> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--seed", &seed.to_string(), "child"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = listen(&mut child);
    if kill {
        child.kill()?;
        child.wait()?;
        return said;
    }
    let status = child.wait()?;
    if status.success() { said } else { Err(format!("the child process for {arguments:?} failed: {status}").into()) }
}

fn listen(child: &mut Process) -> Result<Value> {
    let out = child.stdout.take().ok_or("no pipe to the child")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|_| format!("the child process said {line:?}").into())
}

/// A text of what a child said.
pub(crate) fn text<'v>(said: &'v Value, name: &str) -> Result<&'v str> {
    said.get(name).and_then(Value::as_str).ok_or_else(|| format!("the child process did not say {name}: {said}").into())
}

/// A number of what a child said.
pub(crate) fn number(said: &Value, name: &str) -> Result<f64> {
    said.get(name).and_then(Value::as_f64).ok_or_else(|| format!("the child process did not say {name}: {said}").into())
}

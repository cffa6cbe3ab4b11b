//! `indelible import`: records events from files.
//!
//! Files are shared out among worker threads; each reads records (adapters' `for_each_record`), adapts them (`Adapter`) and emits them
//! into the one store. Nothing is skipped without a count: what cannot be recorded is named by code, file and line.

mod decode;
mod files;
mod tally;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use indelible::format::draft::Raw;
use indelible::format::sha256;
use indelible::{Draft, ErrorKind, Idempotence, Identity, LogHead, Stats, Store, Ticket, taxonomy};
use indelible_adapters::{Adapter, Format, ReadLimits, for_each_record};

use crate::commands::redaction::{RedactionArgs, Redactor};
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Out, ShapeOption};
use crate::progress::Progress;
use crate::question::{grouped, grouped_rate};
use crate::remote::{Fate, HandOver, Remote};
use crate::signals::Stop;

use decode::Limits;
use files::Input;
use tally::{Summary, Tally};

/// Record events from files.
///
/// Understands AWS CloudTrail, Kubernetes audit, OCSF, Windows events as JSON, and any other JSON: one value per line, arrays, or
/// envelopes such as {"Records":[…]}; plain, .gz or .zst, told by content. Records are kept losslessly; well-known fields can be
/// searched. A record that cannot be kept is counted by reason and shown with its place, and the import ends with exit code 4.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Files, directories (read recursively), or - for stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Read every record as this format instead of detecting it: cloudtrail, kubernetes, ocsf, windows or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Whose events they are
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Record each record of each file once, however often this is run
    ///
    /// Keyed by the file's path, the place in it and what stands there; the newest million keys are remembered.
    #[arg(long)]
    once: bool,

    /// Keep lines and records that are not JSON as they are, instead of rejecting them
    ///
    /// They become events of the action record.opaque; their text can be searched, their fields cannot.
    #[arg(long)]
    keep_unreadable: bool,

    /// How many files to read at once; default: one per processor
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,

    /// Give up on a file that decompresses to more than this
    ///
    /// A number of bytes, or one with KiB, MiB, GiB or TiB. A file that decompresses to more than a thousand times its size is given
    /// up on in any case.
    #[arg(long, value_name = "SIZE", default_value = "64GiB", value_parser = parse_bytes)]
    max_decompressed: u64,

    #[command(flatten)]
    redaction: RedactionArgs,

    #[command(flatten)]
    shape: ShapeOption,
}

/// Events whose receipts are waited for together.
const TICKETS: usize = 1024;
const BAR_PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(place: &Place, args: &ImportArgs) -> Result<Exit> {
    let mut tally = Tally::default();
    let inputs = files::find(&args.paths, &mut tally)?;
    let target = match place.server() {
        Some((server, url)) => {
            // Told before anything is read: it may not be there, or these rules may not be for it.
            args.redaction.here()?;
            Target::Server(Box::new(Remote::open(server.connect(&url)?)?))
        }
        None => {
            let mut config = place.config("import")?;
            config.redaction = args.redaction.redaction()?;
            Target::Store(Store::open(config)?)
        }
    };
    let stop = Stop::install()?;
    let import = Import {
        args,
        target: &target,
        stop: &stop,
        inputs: &inputs,
        next: AtomicUsize::new(0),
        read: AtomicU64::new(0),
        emitted: AtomicU64::new(0),
        broken: AtomicBool::new(false),
    };
    let started = Instant::now();
    let outcome = import.run_all(&mut tally);
    let Ended { stats, heads, identity } = target.end(outcome)?;
    let seconds = started.elapsed().as_secs_f64();
    let (tally, interrupted) = (&tally, stop.asked());
    let summary = Summary { tally, seconds, stats: stats.as_ref(), heads: &heads, identity: &identity, interrupted };
    let mut out = Out::open();
    if args.shape.is_json() {
        summary.json(&mut out)?
    } else {
        summary.table(&mut out)?
    }
    out.flush()?;
    Ok(if tally.is_complete() && !stop.asked() { Exit::Ok } else { Exit::Incomplete })
}

/// Where the events go.
enum Target {
    Store(Store),
    Server(Box<Remote>),
}

/// What there is to say when everything is durable.
struct Ended {
    /// Only of a store of this process.
    stats: Option<Stats>,
    heads: Vec<LogHead>,
    identity: Identity,
}

impl Target {
    /// Whatever ended the import: what was emitted is made durable, and the store closed in order.
    fn end(self, outcome: Result<()>) -> Result<Ended> {
        match self {
            Self::Store(store) => {
                let flushed = store.flush().map_err(Failure::from);
                let (stats, identity) = (Some(store.stats()), store.identity()?.clone());
                let closed = store.close().map_err(Failure::from);
                outcome.and(flushed)?;
                Ok(Ended { stats, heads: closed?.heads, identity })
            }
            Self::Server(remote) => {
                outcome?;
                // What it records is durable when it says so.
                let now = Remote::open(remote.connection().clone())?;
                Ok(Ended { stats: None, heads: now.heads().to_vec(), identity: now.identity().clone() })
            }
        }
    }
}

/// What the workers share.
struct Import<'i> {
    args: &'i ImportArgs,
    target: &'i Target,
    stop: &'i Stop,
    inputs: &'i [Input],
    next: AtomicUsize,
    /// Bytes of the files read so far, as they are on disk.
    read: AtomicU64,
    emitted: AtomicU64,
    /// The store failed: no worker needs to go on.
    broken: AtomicBool,
}

impl Import<'_> {
    /// Reads all inputs on as many threads as were asked for, and draws the bar on this one.
    fn run_all(&self, tally: &mut Tally) -> Result<()> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs = self.args.jobs.map_or(processors, usize::from).clamp(1, self.inputs.len().max(1));
        let failure = Mutex::new(None);
        let total = Mutex::new(std::mem::take(tally));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs)
                .map(|_| {
                    scope.spawn(|| {
                        let mut mine = Tally::default();
                        if let Err(error) = self.work(&mut mine) {
                            self.broken.store(true, Ordering::Relaxed);
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                        total.lock().unwrap_or_else(PoisonError::into_inner).add(mine);
                    })
                })
                .collect();
            self.draw(|| workers.iter().all(|worker| worker.is_finished()));
        });
        *tally = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn draw(&self, done: impl Fn() -> bool) {
        let total: u64 = self.inputs.iter().map(|input| input.bytes).sum();
        let endless = self.inputs.iter().any(|input| input.bytes == 0);
        let bar = if endless { Progress::endless("importing") } else { Progress::bytes(total, "importing") };
        let started = Instant::now();
        // Most imports are short: look often at first.
        let mut pause = Duration::from_millis(1);
        while !done() {
            std::thread::sleep(pause);
            pause = (pause * 2).min(BAR_PAUSE);
            bar.at(self.read.load(Ordering::Relaxed));
            let events = self.emitted.load(Ordering::Relaxed);
            let rate = events as f64 / started.elapsed().as_secs_f64().max(0.001);
            bar.says(format!("{} events, {}/s", grouped(events), grouped_rate(rate)));
        }
    }

    fn ended(&self) -> bool {
        self.stop.asked() || self.broken.load(Ordering::Relaxed)
    }

    fn work(&self, tally: &mut Tally) -> Result<()> {
        let mut adapter = Adapter::new(self.args.format);
        while !self.ended() {
            let Some(input) = self.inputs.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
            self.file(input, &mut adapter, tally)?;
        }
        Ok(())
    }

    /// Imports one file. An error is one of the store; what is wrong with the file goes into the tally.
    fn file(&self, input: &Input, adapter: &mut Adapter, tally: &mut Tally) -> Result<()> {
        let limits = Limits { decompressed_bytes_max: self.args.max_decompressed };
        let mut source = match decode::open(input, &limits, &self.read, self.stop) {
            Ok(source) => source,
            Err(error) => {
                tally.file_failed(input.name(), &error.to_string());
                return Ok(());
            }
        };
        let looks_right = input.by_name || {
            match decode::looks_like_json(&mut source) {
                Ok(looks) => looks,
                Err(error) => {
                    tally.file_failed(input.name(), &error.to_string());
                    return Ok(());
                }
            }
        };
        if !looks_right {
            tally.file_skipped(input.name());
            return Ok(());
        }
        tally.files += 1;
        let way = match self.target {
            Target::Store(store) => Way::Store(store, Vec::new()),
            Target::Server(remote) => Way::Server(Box::new(Sending {
                batch: HandOver::new(remote.connection()),
                redactor: self.args.redaction.here()?,
            })),
        };
        let mut worker = Worker { import: self, input, adapter, tally, way, failed: None, salt: self.salt(input) };
        let read = for_each_record(&mut source, ReadLimits::default(), &mut |record| {
            if self.ended() {
                return ControlFlow::Break(());
            }
            match record {
                Ok(record) => worker.record(record.bytes, record.line, record.offset),
                Err(error) => {
                    worker.tally.records += 1;
                    worker.tally.reject(code_of(error.kind), worker.input.name(), error.line, &error.kind.to_string());
                    ControlFlow::Continue(())
                }
            }
        });
        // Why it broke off, if it did, is in `failed`.
        let _flow = worker.settle();
        if let Some(failure) = worker.failed {
            return Err(failure);
        }
        match read {
            Ok(totals) => {
                tally.decompressed_bytes += totals.bytes;
                tally.envelope_members += totals.envelope_members;
            }
            // What came before the bad place is recorded.
            Err(error) => tally.file_failed(input.name(), &error.to_string()),
        }
        Ok(())
    }

    /// What makes the keys of one file's records differ from those of all others.
    fn salt(&self, input: &Input) -> Vec<u8> {
        let path = input.path.canonicalize().unwrap_or_else(|_| input.path.clone());
        let format = self.args.format.map_or("", Format::name);
        let tenant = self.args.tenant.as_deref().unwrap_or_default();
        format!("{}\0{format}\0{tenant}\0{}\0", path.to_string_lossy(), self.args.redaction.fingerprint()).into_bytes()
    }
}

/// One file in the hands of one thread.
struct Worker<'w> {
    import: &'w Import<'w>,
    input: &'w Input,
    adapter: &'w mut Adapter,
    tally: &'w mut Tally,
    way: Way<'w>,
    failed: Option<Failure>,
    salt: Vec<u8>,
}

impl Worker<'_> {
    fn record(&mut self, bytes: &[u8], line: u64, offset: u64) -> ControlFlow<()> {
        self.tally.records += 1;
        let import = self.import;
        let key = import.args.once.then(|| {
            let hash = sha256::sha256_parts(&[&self.salt, &offset.to_le_bytes(), bytes]);
            format!("import:{hash}")
        });
        let tenant = import.args.tenant.as_deref();
        let way = &mut self.way;
        let mut emit = |draft: &Draft<'_>| {
            if tenant.is_none() && key.is_none() {
                return way.give(draft, line);
            }
            let mut draft = draft.clone();
            draft.tenant = tenant.or(draft.tenant);
            draft.idempotency_key = key.as_deref();
            way.give(&draft, line)
        };
        let emitted = match self.adapter.adapt(bytes, &mut emit) {
            Ok(adapted) => {
                self.tally.note(adapted.format, adapted.notes);
                adapted.result
            }
            Err(_) if import.args.keep_unreadable => {
                self.tally.opaque += 1;
                let media_type = if std::str::from_utf8(bytes).is_ok() { "text/plain" } else { "application/octet-stream" };
                emit(&Draft::new(taxonomy::RECORD_OPAQUE).source("text").raw(Raw { media_type, bytes }))
            }
            Err(error) => {
                self.tally.reject(error.code(), self.input.name(), line, &error.to_string());
                return ControlFlow::Continue(());
            }
        };
        match emitted {
            Ok(ticket) => {
                import.emitted.fetch_add(1, Ordering::Relaxed);
                match (&mut self.way, ticket) {
                    (Way::Store(_, tickets), Some(ticket)) if key.is_some() => tickets.push((ticket, line)),
                    (Way::Store(..), _) => self.tally.recorded += 1,
                    (Way::Server(..), _) => {}
                }
                if self.way.is_full() { self.settle() } else { ControlFlow::Continue(()) }
            }
            Err(NotTaken::Store(error)) => self.refused(error, line),
            Err(NotTaken::Draft(code, message)) => {
                self.tally.reject(code, self.input.name(), line, &message);
                ControlFlow::Continue(())
            }
        }
    }

    /// Sorts out which events are new and which were recorded before.
    fn settle(&mut self) -> ControlFlow<()> {
        let name = self.input.name();
        match &mut self.way {
            Way::Store(_, tickets) => {
                for (ticket, line) in std::mem::take(tickets) {
                    match ticket.wait() {
                        Ok(receipt) if receipt.idempotence == Idempotence::Duplicate => self.tally.duplicates += 1,
                        Ok(_) => self.tally.recorded += 1,
                        Err(error) => self.refused(error, line)?,
                    }
                }
            }
            Way::Server(sending) => {
                let tally = &mut *self.tally;
                let sent = sending.batch.send(|line, fate| match fate {
                    Fate::Recorded => tally.recorded += 1,
                    Fate::Duplicate => tally.duplicates += 1,
                    Fate::Refused(code, message) => tally.reject(code, name, line, &message),
                });
                if let Err(failure) = sent {
                    let recorded = grouped(tally.recorded);
                    let why = format!("while importing {}; {recorded} events of this thread are recorded", name.display());
                    self.failed.get_or_insert(failure.cause(why));
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The store did not take an event: for its own sake, or because the store itself failed.
    fn refused(&mut self, error: indelible::Error, line: u64) -> ControlFlow<()> {
        if error.kind() != ErrorKind::Rejected {
            self.failed.get_or_insert_with(|| {
                let (name, recorded) = (self.input.name().display(), grouped(self.import.emitted.load(Ordering::Relaxed)));
                Failure::from(error).cause(format!("while importing {name}, line {line}, after {recorded} events"))
            });
            return ControlFlow::Break(());
        }
        let (code, message) = match error.rejection() {
            Some(rejection) => (rejection.code(), rejection.to_string()),
            None => ("rejected", error.to_string()),
        };
        self.tally.reject(code, self.input.name(), line, &message);
        ControlFlow::Continue(())
    }
}

/// The way of one file's events to where they go.
enum Way<'w> {
    /// With the events whose receipts are still to be asked for, and their lines.
    Store(&'w Store, Vec<(Ticket<'w>, u64)>),
    Server(Box<Sending<'w>>),
}

/// Redacted here, then sent.
struct Sending<'w> {
    batch: HandOver<'w>,
    redactor: Redactor,
}

/// Why an event was not taken.
enum NotTaken {
    Store(indelible::Error),
    /// Code and message.
    Draft(&'static str, String),
}

impl<'w> Way<'w> {
    fn give(&mut self, draft: &Draft<'_>, line: u64) -> Result<Option<Ticket<'w>>, NotTaken> {
        match self {
            Self::Store(store, _) => store.emit(draft).map(Some).map_err(NotTaken::Store),
            Self::Server(sending) => {
                let Sending { batch, redactor } = &mut **sending;
                match redactor.with(draft, |draft| batch.add(draft, line)) {
                    Ok(Ok(())) => Ok(None),
                    Ok(Err((code, message))) => Err(NotTaken::Draft(code, message)),
                    Err(error) => Err(NotTaken::Draft("rejected", error.to_string())),
                }
            }
        }
    }

    /// Whether it is time to ask what became of them.
    fn is_full(&self) -> bool {
        match self {
            Self::Store(_, tickets) => tickets.len() >= TICKETS,
            Self::Server(sending) => sending.batch.is_full(),
        }
    }
}

const fn code_of(kind: indelible_adapters::RecordErrorKind) -> &'static str {
    use indelible_adapters::RecordErrorKind as Kind;
    match kind {
        Kind::TooLong { .. } => "too_long",
        Kind::Truncated => "truncated",
        Kind::StrayBracket => "stray_bracket",
        _ => "not_a_record",
    }
}

/// `64GiB`, `1MiB`, `4096`.
pub(crate) fn parse_bytes(text: &str) -> std::result::Result<u64, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("write a number of bytes, or one with KiB, MiB, GiB or TiB".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a whole number, such as 64GiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than can be counted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("1KiB", 1024), ("64GiB", 64 << 30), ("2 MiB", 2 << 20), ("1t", 1 << 40)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1.5GiB", "-1", "1GB", "99999999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}

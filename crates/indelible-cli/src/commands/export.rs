//! `indelible export`: every event that fits, as a file for other programs.
//!
//! One pass of the search in constant memory: log by log, and each log in the order of its commits, whatever of it is sealed. How the
//! file gets whole, and how an interrupted export goes on, is in `part`; what is written for one event is in `form`, on which threads in
//! `pipeline`; what is said about the whole is in `trailer`.

mod form;
mod part;
mod pipeline;
mod table;
mod trailer;

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indelible::search::{Summary, View};

use crate::commands::import::parse_bytes;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::question::{QuestionArgs, bytes_text, grouped, grouped_rate, now_ns, summary_line};
use crate::signals::Stop;

use form::{Form, Mark, Shape};
use part::{Part, Reached};
use pipeline::Written;
use trailer::Trailer;

/// Write events to a file for other programs.
///
/// Writes everything that fits the query, log by log and each log in the order of its commits, and then a trailer that says how many
/// events there are and whether they are all. The file appears under its name when it is whole and on disk; until then it is FILE.part. An export that was
/// interrupted goes on where it stopped when the same command is run again, and the result is the same file. See docs/export.md.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// Form of the file
    ///
    /// ndjson and ocsf end with the trailer as a line of its own; csv has it beside it, in FILE.trailer.json; parquet in its footer, under
    /// the key indelible.export.
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "ndjson")]
    form: Form,

    /// Where to write; stdout if left out
    ///
    /// What goes to stdout cannot go on after an interruption. The file can be read by its owner only.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write these fields, separated by commas, instead of all; not for ocsf
    ///
    /// For parquet: columns such as action, actor.id or actor.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,

    /// Replace FILE if it is there
    ///
    /// By default it is left alone, and the export refused.
    #[arg(long, requires = "out")]
    overwrite: bool,

    /// Make what was written durable, and note how far it got, whenever this much was written
    ///
    /// An interrupted export goes on from there. Less costs more syncs.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    save_every: u64,

    /// Events of a row group, for parquet
    ///
    /// It is written when it has so many; an export that goes on does so behind one. More make a smaller file and need more memory.
    #[arg(long, value_name = "EVENTS", default_value_t = 131_072, value_parser = clap::value_parser!(u64).range(1..=524_288))]
    row_group: u64,
}

/// Bytes of records that are written together.
const BATCH_BYTES: usize = 256 << 10;
/// Threads that write. One search feeds no more.
const WORKERS_MAX: usize = 4;

pub(crate) fn run(place: &Place, args: &ExportArgs) -> Result<Exit> {
    let source = place.source()?;
    let identity = source.identity();
    if !source.masked().is_empty() && matches!(args.form, Form::Ocsf | Form::Parquet) {
        return Err(Failure::usage(format!("{} has no way to say what is masked for this token", args.form.name()))
            .hint("use -o ndjson, which names what is withheld"));
    }
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS_MAX);
    let shape = Shape::new(args.form, &args.fields, args.row_group)?;
    // Told before anything is touched: the query may be wrong.
    args.question.compile(identity)?;
    let mut sink = match &args.out {
        Some(path) => Sink::File(Box::new(Part::open(path, args.overwrite, trailer::request(args, identity))?)),
        None if std::io::stdout().is_terminal() => {
            return Err(
                Failure::usage("an export is not for terminals").hint("name a file with --out, or use `indelible search`")
            );
        }
        None => Sink::Stdout(Reached::beginning(now_ns())),
    };
    let (reached, groups) = sink.reached();
    if reached.bytes > 0 {
        eprintln!("going on behind {} events ({}) that are written already", grouped(reached.count), bytes_text(reached.bytes));
    }
    let question = args.question.compile_at(identity, reached.now)?;
    let stop = Stop::install()?;
    let total: u64 = identity.logs.iter().map(|log| source.signed_size(log.id)).sum();
    let bar = Progress::share(total, "exporting");
    let mut export = Export {
        sink: &mut sink,
        bar: &bar,
        already: reached.count,
        reached: reached.clone(),
        groups,
        started: Instant::now(),
        save_every: args.save_every.max(1),
    };
    let writers = (0..shape.workers(workers)).map(|_| shape.writer(reached.bytes)).collect::<Result<Vec<_>>>()?;
    if reached.bytes == 0 {
        export.hand_on(&Written { bytes: shape.header(), reached: reached.clone(), mark: Mark::Written })?;
    }
    let batch_bytes = match &shape {
        Shape::Lines(..) => usize::try_from(args.save_every).unwrap_or(usize::MAX).min(BATCH_BYTES),
        // Where row groups end depends on it, and they shall not depend on how often is saved.
        Shape::Table(_) => BATCH_BYTES,
    };
    let batch_max = (batch_bytes, shape.batch_events());
    let from = reached.next().to_vec();
    let (answer, stopped) =
        pipeline::run(writers, identity, reached, batch_max, &mut |written| export.hand_on(written), |feeder| {
            let mut event = |view: &View<'_>| if stop.asked() { ControlFlow::Break(()) } else { feeder.event(view) };
            let answer = source.search_from(&question, &from, &mut event)?;
            // Asked once: a signal that comes later finds everything written, or else nothing of what was left open.
            let stopped = stop.asked();
            if !stopped {
                feeder.end();
            }
            Ok((answer, stopped))
        })?;
    let trailer = Trailer { args, question: &question, answer: &answer, identity };
    let reached = if stopped { export.leave()? } else { export.finish(&shape, &trailer)? };
    drop(bar);
    if stopped {
        let next = if args.out.is_some() { "; run the same command again to go on" } else { "" };
        eprintln!("interrupted after {} events{next}", grouped(reached.count));
        return Ok(Exit::Incomplete);
    }
    // On a second run the search finds again what was written by the first.
    let whole = Summary { matched: reached.count, ..answer };
    eprintln!("{} · {} written", summary_line(&whole, identity), bytes_text(reached.bytes));
    Ok(if whole.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

/// Where the bytes go.
enum Sink {
    File(Box<Part>),
    Stdout(Reached),
}

impl Sink {
    /// How far an earlier run got, and its row groups.
    fn reached(&self) -> (Reached, Vec<Vec<u8>>) {
        match self {
            Self::File(part) => (part.reached().clone(), part.groups().to_vec()),
            Self::Stdout(reached) => (reached.clone(), Vec::new()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::File(part) => part.write(bytes),
            Self::Stdout(_) => std::io::stdout().lock().write_all(bytes).map_err(|error| Failure::stdout(&error)),
        }
    }
}

/// An export on its way.
struct Export<'e> {
    sink: &'e mut Sink,
    bar: &'e Progress,
    /// Events that an earlier run wrote.
    already: u64,
    /// How far it is.
    reached: Reached,
    /// What the end of a table is to say of the row groups so far.
    groups: Vec<Vec<u8>>,
    started: Instant,
    save_every: u64,
}

impl Export<'_> {
    /// Writes the next bytes, and saves how far it got when it is time.
    fn hand_on(&mut self, written: &Written) -> Result<()> {
        let searched = &written.reached;
        self.bar.at(searched.positions());
        let events = searched.count - self.already;
        let rate = events as f64 / self.started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        self.bar.says(format!("{} events, {}/s", grouped(searched.count), grouped_rate(rate)));
        match &written.mark {
            Mark::Written => {}
            Mark::Held => return Ok(()),
            Mark::Group(group) | Mark::Last(group) => self.groups.push(group.clone()),
        }
        self.sink.write(&written.bytes)?;
        self.reached = self.reached.on_to(searched.clone(), written.bytes.len());
        if !matches!(written.mark, Mark::Last(_))
            && let Sink::File(part) = &mut *self.sink
            && self.reached.bytes - part.reached().bytes >= self.save_every
        {
            part.save(&self.reached, &self.groups)?;
        }
        Ok(())
    }

    /// Leaves the file so that the export can go on. Returns how far it got.
    fn leave(self) -> Result<Reached> {
        if let Sink::File(part) = self.sink {
            part.save(&self.reached, &self.groups)?;
        }
        Ok(self.reached)
    }

    /// Makes the file whole. Returns how far it got.
    fn finish(mut self, shape: &Shape, trailer: &Trailer<'_>) -> Result<Reached> {
        let mut told = trailer.json(self.reached.count);
        let (behind, beside) = match shape {
            Shape::Table(table) => (table.footer(self.reached.count, &self.groups, &told, trailer.identity), None),
            Shape::Lines(form, _) => {
                told.push(b'\n');
                // CSV has no place for it.
                if *form == Form::Csv { (Vec::new(), Some(&*told)) } else { (told, None) }
            }
        };
        // Not saved: a state that speaks of the end would have the next run write a second one.
        self.sink.write(&behind)?;
        self.reached.bytes += behind.len() as u64;
        match self.sink {
            Sink::File(part) => part.finish(beside)?,
            Sink::Stdout(_) => {
                std::io::stdout().flush().map_err(|error| Failure::stdout(&error))?;
                if let Some(told) = beside {
                    eprint!("{}", String::from_utf8_lossy(told));
                }
            }
        }
        Ok(self.reached)
    }
}

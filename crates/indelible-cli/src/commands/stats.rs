//! `indelible stats`: counts of events, or how far the logs reach.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use indelible::search::{Selector, Summary};
use indelible::{Outcome, Reader, time};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, ListingOption, Out};
use crate::question::{Question, QuestionArgs, bytes_text, describe_summary, grouped, summary_line};

/// Count events, or show how far the logs reach.
///
/// With --by, counts the events that fit the query by the value of a field, the most frequent first. An event with several values (targets,
/// frameworks, elements of an array) counts for each. Without --by, shows each log's size and root, the span of time and the bytes on disk.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// Count by the value of this field: action, outcome, actor.id, details.request.bucket…
    #[arg(long, value_name = "FIELD")]
    by: Option<String>,

    /// Show at most this many values; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,

    #[command(flatten)]
    listing: ListingOption,
}

/// Different values that are told apart; the rest is counted together, and said.
const VALUES_MAX: usize = 1_000_000;
const OUTCOMES: usize = Outcome::ALL.len();

/// How many events, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: u64,
    outcomes: [u64; OUTCOMES],
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.total += 1;
        if let Some(count) = self.outcomes.get_mut(usize::from(outcome.byte())) {
            *count += 1;
        }
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(usize::from(outcome.byte())).copied().unwrap_or_default()
    }
}

/// Counts by value.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The most frequent first; `None`: events without the field.
    pub(crate) values: Vec<(Option<String>, Tally)>,
    all: Tally,
    /// Events whose value was one too many to be told apart.
    rest: u64,
}

/// Counts the events that fit `question` by `field`.
pub(crate) fn count_by(reader: &Reader, question: &Question, field: &Selector) -> Result<(Counts, Summary)> {
    let mut values: HashMap<Option<String>, Tally> = HashMap::new();
    let (mut all, mut rest) = (Tally::default(), 0);
    let answer = question.ask(reader, &mut |view| {
        let outcome = view.head.outcome;
        all.add(outcome);
        let mut any = false;
        let mut count = |value: Option<&str>| {
            let key = value.map(str::to_owned);
            if let Some(tally) = values.get_mut(&key) {
                tally.add(outcome);
            } else if values.len() < VALUES_MAX {
                values.entry(key).or_default().add(outcome);
            } else {
                rest += 1;
            }
        };
        field.each(view, &mut |value| {
            any = true;
            count(Some(&value));
        });
        if !any {
            count(None);
        }
        ControlFlow::Continue(())
    })?;
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(|(a_value, a), (b_value, b)| b.total.cmp(&a.total).then_with(|| a_value.cmp(b_value)));
    Ok((Counts { values, all, rest }, answer))
}

pub(crate) fn run(place: &Place, args: &StatsArgs) -> Result<Exit> {
    let reader = place.reader()?;
    let question = args.question.compile(reader.identity())?;
    let mut out = Out::open();
    let answer = match &args.by {
        Some(field) => {
            let selector = Selector::new(field)?;
            let (counts, mut answer) = count_by(&reader, &question, &selector)?;
            if counts.rest > 0 && answer.incomplete.is_none() {
                answer.incomplete = Some(format!("more than {VALUES_MAX} values; {} events are counted as others", counts.rest));
            }
            write_counts(&counts, &answer, &selector.name().to_string(), &reader, args, &mut out)?;
            answer
        }
        None => overview(&reader, &question, args, &mut out)?,
    };
    out.flush()?;
    drop(out);
    eprintln!("{}", summary_line(&answer, reader.identity()));
    Ok(if answer.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

fn write_counts(counts: &Counts, answer: &Summary, field: &str, reader: &Reader, args: &StatsArgs, out: &mut Out) -> Result<()> {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let shown = counts.values.iter().take(limit);
    let outcome_names = || Outcome::ALL.iter().map(|outcome| outcome.name());
    match args.listing.output {
        Listing::Table => {
            let mut table = Table::new([field, "events"].into_iter().chain(outcome_names()));
            let cell = |count: u64| if count == 0 { "-".to_owned() } else { grouped(count) };
            let mut row = |name: &str, tally: &Tally| {
                let outcomes = Outcome::ALL.iter().map(|outcome| cell(tally.of(*outcome)));
                table.row([name.to_owned(), grouped(tally.total)].into_iter().chain(outcomes));
            };
            shown.for_each(|(value, tally)| row(value.as_deref().unwrap_or("(none)"), tally));
            row("all events", &counts.all);
            out.table(table, &(1..=1 + OUTCOMES).collect::<Vec<_>>())?;
            if counts.values.len() > limit {
                eprintln!("{} more values; --limit 0 shows all", grouped((counts.values.len() - limit) as u64));
            }
        }
        Listing::Csv => {
            out.csv([field, "events"].into_iter().chain(outcome_names()))?;
            for (value, tally) in shown {
                let outcomes = Outcome::ALL.iter().map(|outcome| tally.of(*outcome).to_string());
                out.csv([value.clone().unwrap_or_default(), tally.total.to_string()].into_iter().chain(outcomes))?;
            }
        }
        Listing::Ndjson => {
            for (value, tally) in shown {
                let mut object = Object::new();
                value_members(value.as_deref(), tally, &mut object);
                out.json_line(&object.finish())?;
            }
        }
        Listing::Json => {
            let mut object = Object::new();
            object.text("by", field);
            object.objects("values", shown, |object, (value, tally)| value_members(value.as_deref(), tally, object));
            object.number("values_total", counts.values.len()).number("others", counts.rest);
            describe_summary(answer, reader.identity(), &mut object);
            out.json_line(&object.finish())?;
        }
    }
    Ok(())
}

fn value_members(value: Option<&str>, tally: &Tally, object: &mut Object) {
    object.optional_text("value", value).number("events", tally.total);
    for outcome in Outcome::ALL {
        object.number(outcome.name(), tally.of(*outcome));
    }
}

/// What is known about the events of one log.
#[derive(Debug, Clone, Copy, Default)]
struct LogFacts {
    tally: Tally,
    first: Option<i64>,
    last: Option<i64>,
}

fn overview(reader: &Reader, question: &Question, args: &StatsArgs, out: &mut Out) -> Result<Summary> {
    let identity = reader.identity();
    let mut facts: HashMap<u32, LogFacts> = HashMap::new();
    let answer = question.ask(reader, &mut |view| {
        let facts = facts.entry(view.log).or_default();
        facts.tally.add(view.head.outcome);
        facts.first = Some(facts.first.map_or(view.head.time, |first| first.min(view.head.time)));
        facts.last = Some(facts.last.map_or(view.head.time, |last| last.max(view.head.time)));
        ControlFlow::Continue(())
    })?;
    let of = |log: u32| facts.get(&log).copied().unwrap_or_default();
    let signed = |log: u32| reader.checkpoint(log).ok().flatten().map_or(0, |checkpoint| checkpoint.size);
    let (journal, files) = directory_bytes(&reader.dir().join("journal"))?;
    match args.listing.output {
        Listing::Table => {
            let mut table = Table::new(["log", "entries", "signed", "matching events", "first", "last", "root"]);
            for head in &answer.heads {
                let facts = of(head.log);
                let moment = |ns: Option<i64>| ns.map_or_else(|| "-".to_owned(), indelible::search::time::show);
                let root = head.root.to_string();
                table.row([
                    identity.log_name(head.log).to_owned(),
                    grouped(head.size),
                    grouped(signed(head.log)),
                    grouped(facts.tally.total),
                    moment(facts.first),
                    moment(facts.last),
                    root.get(..16).map_or_else(String::new, |short| format!("{short}…")),
                ]);
            }
            out.table(table, &[1, 2, 3])?;
            out.line("")?;
            let mut outcomes = Table::pairs();
            for outcome in Outcome::ALL {
                let count: u64 = facts.values().map(|facts| facts.tally.of(*outcome)).sum();
                outcomes.pair(outcome.name(), grouped(count));
            }
            outcomes.pair("journal", format!("{} in {files} files", bytes_text(journal)));
            out.table(outcomes, &[1])?;
        }
        Listing::Csv => {
            out.csv(["log", "entries", "signed", "events", "first", "last", "root"])?;
            for head in &answer.heads {
                let facts = of(head.log);
                let moment = |ns: Option<i64>| ns.map_or_else(String::new, time::format);
                out.csv([
                    identity.log_name(head.log).to_owned(),
                    head.size.to_string(),
                    signed(head.log).to_string(),
                    facts.tally.total.to_string(),
                    moment(facts.first),
                    moment(facts.last),
                    head.root.to_string(),
                ])?;
            }
        }
        Listing::Json | Listing::Ndjson => {
            let mut object = Object::new();
            object.text("store", &identity.store_hex()).number("journal_bytes", journal).number("journal_files", files);
            for outcome in Outcome::ALL {
                object.number(outcome.name(), facts.values().map(|facts| facts.tally.of(*outcome)).sum::<u64>());
            }
            object.objects("heads", &answer.heads, |object, head| {
                let facts = of(head.log);
                object.text("log", identity.log_name(head.log)).number("size", head.size).number("signed", signed(head.log));
                object.text("root", &head.root.to_string()).number("events", facts.tally.total);
                object.optional_text("first", facts.first.map(time::format).as_deref());
                object.optional_text("last", facts.last.map(time::format).as_deref());
            });
            describe_summary(&answer, identity, &mut object);
            out.json_line(&object.finish())?;
        }
    }
    Ok(answer)
}

/// Bytes on disk and number of the files in a directory.
fn directory_bytes(dir: &Path) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |error| Failure::file("read", dir, &error);
    let (mut bytes, mut files) = (0, 0);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        // Journal files are made ahead at their full size; what counts is what they take. A file may go while we look.
        if let Ok(metadata) = entry.map_err(failed)?.metadata() {
            bytes += metadata.blocks() * 512;
            files += 1;
        }
    }
    Ok((bytes, files))
}

//! `indelible stats`: counts of events, or how far the logs reach.

mod groups;

use std::path::Path;

use clap::Args;
use indelible::search::time::{TimeError, show};
use indelible::search::{Group, Grouping, Interval, Selector, Summary};
use indelible::{Outcome, time};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, ListingOption, Out};
use crate::question::{Question, QuestionArgs, bytes_text, describe_summary, grouped, summary_line};
use crate::source::Source;

use groups::Shown;

/// Count events, or show how far the logs reach.
///
/// With --by, counts the events that fit the query by the values of fields, the most frequent first; with --interval, each stretch of
/// time by itself. Counts are exact. An event with several values (targets, frameworks, elements of an array) counts once for each.
/// Without either, shows each log's size and root, the span of time and the bytes on disk.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// Count by the values of these fields, separated by commas
    ///
    /// action, outcome, actor.id, details.request.bucket…; with several fields, by every combination of their values that occurs.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    by: Vec<String>,

    /// Count each stretch of time of this length by itself: 1m, 15m, 1h, 1d, 1w
    ///
    /// By the event's own time, aligned to UTC: hours begin on the hour, days at midnight, weeks on Monday.
    #[arg(long, value_name = "LENGTH", value_parser = parse_interval)]
    interval: Option<Interval>,

    /// Show at most this many groups, of each interval if there is one; 0 for all
    ///
    /// The default shows 50. All groups are counted, whatever is shown.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,

    #[command(flatten)]
    listing: ListingOption,
}

pub(crate) fn run(place: &Place, args: &StatsArgs) -> Result<Exit> {
    let source = place.source()?;
    let question = args.question.compile(source.identity())?;
    let mut out = Out::open();
    let answer = if args.by.is_empty() && args.interval.is_none() {
        overview(&source, &question, args, &mut out)?
    } else {
        let mut grouping = Grouping::by(args.by.iter().map(|name| name.trim()))?;
        grouping.interval = args.interval;
        distinct_names(&grouping.fields)?;
        let (counted, summary) = source.aggregate(&question, &grouping, args.limit)?;
        let shown = Shown::new(&grouping, args.limit, &counted);
        shown.write(args.listing.output, &summary, source.identity(), &mut out)?;
        summary
    };
    out.flush()?;
    drop(out);
    eprintln!("{}", summary_line(&answer, source.identity()));
    Ok(if answer.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

fn parse_interval(text: &str) -> std::result::Result<Interval, String> {
    text.parse().map_err(|error: TimeError| format!("{error}; {}", error.hint))
}

/// The long names of `fields`, each of which may be named once.
pub(crate) fn distinct_names<'f>(fields: impl IntoIterator<Item = &'f Selector>) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for field in fields {
        let name = field.name().to_string();
        if names.contains(&name) {
            return Err(Failure::usage(format!("the field {name} is named twice")).hint("name each field once"));
        }
        names.push(name);
    }
    Ok(names)
}

/// How far each log reaches, and what of it fits the question.
fn overview(source: &Source, question: &Question, args: &StatsArgs, out: &mut Out) -> Result<Summary> {
    let identity = source.identity();
    let (by_log, answer) = source.aggregate(question, &Grouping::by(["log"])?, 0)?;
    let of = |log: u32| -> (u64, Option<i64>, Option<i64>) {
        let number = |group: &Group| group.values.first().and_then(Option::as_deref).and_then(|number| number.parse().ok());
        let tally = by_log.groups.groups.iter().find(|group| number(group) == Some(log)).map(|group| group.tally);
        tally.map_or((0, None, None), |tally| (tally.events, Some(tally.first), Some(tally.last)))
    };
    let ended = |outcome: Outcome| by_log.groups.all.map_or(0, |all| all.of(outcome));
    let signed = |log: u32| source.signed_size(log);
    let journal = match source {
        Source::Store(reader) => Some(directory_bytes(&reader.dir().join("journal"))?),
        // What it takes on a server's disk is for the server's operator.
        Source::Server(_) => None,
    };
    match args.listing.output {
        Listing::Table => {
            let mut table = Table::new(["log", "entries", "signed", "matching events", "first", "last", "root"]);
            for head in &answer.heads {
                let (events, first, last) = of(head.log);
                let moment = |ns: Option<i64>| ns.map_or_else(|| "-".to_owned(), show);
                let root = head.root.to_string();
                table.row([
                    identity.log_name(head.log).to_owned(),
                    grouped(head.size),
                    grouped(signed(head.log)),
                    grouped(events),
                    moment(first),
                    moment(last),
                    root.get(..16).map_or_else(String::new, |short| format!("{short}…")),
                ]);
            }
            out.table(table, &[1, 2, 3])?;
            out.line("")?;
            let mut outcomes = Table::pairs();
            for outcome in Outcome::ALL {
                outcomes.pair(outcome.name(), grouped(ended(*outcome)));
            }
            if let Some((bytes, files)) = journal {
                outcomes.pair("journal", format!("{} in {files} files", bytes_text(bytes)));
            }
            out.table(outcomes, &[1])?;
        }
        Listing::Csv => {
            out.csv(["log", "entries", "signed", "events", "first", "last", "root"])?;
            for head in &answer.heads {
                let (events, first, last) = of(head.log);
                let moment = |ns: Option<i64>| ns.map_or_else(String::new, time::format);
                out.csv([
                    identity.log_name(head.log).to_owned(),
                    head.size.to_string(),
                    signed(head.log).to_string(),
                    events.to_string(),
                    moment(first),
                    moment(last),
                    head.root.to_string(),
                ])?;
            }
        }
        Listing::Json | Listing::Ndjson => {
            let mut object = Object::new();
            object.text("store", &identity.store_hex());
            object.optional_number("journal_bytes", journal.map(|(bytes, _)| bytes));
            object.optional_number("journal_files", journal.map(|(_, files)| files));
            for outcome in Outcome::ALL {
                object.number(outcome.name(), ended(*outcome));
            }
            object.objects("heads", &answer.heads, |object, head| {
                let (events, first, last) = of(head.log);
                object.text("log", identity.log_name(head.log)).number("size", head.size).number("signed", signed(head.log));
                object.text("root", &head.root.to_string()).number("events", events);
                object.optional_text("first", first.map(time::format).as_deref());
                object.optional_text("last", last.map(time::format).as_deref());
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

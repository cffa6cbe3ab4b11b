//! `indelible search`: finds events.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Instant;

use clap::Args;
use indelible::search::{FIELDS, PageEnd, Summary, View};
use indelible::{Identity, Record};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, ListingOption, Out};
use crate::question::{Question, QuestionArgs, describe_summary, grouped, summary_line, with_view};
use crate::shown::{Column, columns_json, event_json};
use crate::source::Source;

/// Find events.
///
/// Looks through everything that is durable at this moment, without a lock and while another process may be writing. A table
/// shows the newest 100 events, newest first; the other formats give all of them log by log, each log in the order of its commits.
#[derive(Debug, Args)]
#[command(after_long_help = fields_help())]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// Show at most this many events; 0 for all
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,

    /// Newest first
    #[arg(long, conflicts_with = "oldest")]
    newest: bool,

    /// Log by log, and each log in the order of its commits
    #[arg(long)]
    oldest: bool,

    /// Show these fields, separated by commas
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,

    /// Only say how many there are
    #[arg(long, conflicts_with_all = ["fields", "limit"])]
    count: bool,

    /// Only the events older than a page that was shown: what its last line says
    #[arg(long, value_name = "PAGE", conflicts_with = "oldest")]
    before: Option<PageEnd>,

    /// Say how the query is understood and how its first page is found, instead of the events
    ///
    /// A page has at most 10,000 events and 32 MiB, whatever --limit says.
    #[arg(long, conflicts_with_all = ["count", "fields"])]
    explain: bool,

    #[command(flatten)]
    listing: ListingOption,
}

/// Events a table shows when nobody says how many.
const TABLE_EVENTS: usize = 100;
/// Rows that are laid out together; longer tables repeat their header.
const TABLE_ROWS: usize = 1000;
/// Memory for events that are turned around.
const NEWEST_BYTES_MAX: usize = 512 << 20;

pub(crate) fn run(place: &Place, args: &SearchArgs) -> Result<Exit> {
    let source = place.source()?;
    let identity = source.identity();
    let question = args.question.compile(identity)?;
    let listing = args.listing.output;
    let mut out = Out::open();
    if args.explain {
        return explain(&source, &question, args, &mut out);
    }
    let answer = if args.count {
        let answer = source.count(&question)?;
        match listing {
            Listing::Table | Listing::Csv => out.line(&answer.matched.to_string())?,
            Listing::Json | Listing::Ndjson => {
                let mut object = Object::new();
                describe_summary(&answer, identity, &mut object);
                out.json_line(&object.finish())?;
            }
        }
        answer
    } else {
        let limit = args.limit.unwrap_or(if listing == Listing::Table { TABLE_EVENTS } else { 0 });
        let newest = args.newest || args.before.is_some() || (listing == Listing::Table && !args.oldest);
        let mut writer = EventWriter::new(listing, &args.fields, identity, &mut out)?;
        let answer = if newest {
            newest_first(&source, &question, limit, args.before.as_ref(), &mut writer)?
        } else {
            oldest_first(&source, &question, limit, &mut writer)?
        };
        let shown = writer.finish(Some(&answer))?;
        if shown < answer.matched {
            eprintln!(
                "{} of {} shown; --limit 0 shows all, log by log in the order of commits",
                grouped(shown),
                grouped(answer.matched)
            );
        }
        answer
    };
    out.flush()?;
    drop(out);
    eprintln!("{}", summary_line(&answer, identity));
    Ok(if answer.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

fn explain(source: &Source, question: &Question, args: &SearchArgs, out: &mut Out) -> Result<Exit> {
    let query = question.filter.to_string();
    let query = if query.is_empty() { "*" } else { &query };
    let limit = args.limit.unwrap_or(TABLE_EVENTS);
    let started = Instant::now();
    let found = source.latest(question, limit as u64, args.before.as_ref(), &mut |_| ControlFlow::Continue(()))?;
    let micros = started.elapsed().as_micros();
    let did = found.explain;
    let numbers = [
        ("events shown on the page", "shown", found.shown),
        ("segments", "segments", did.segments),
        ("  of another log or time", "segments_by_time", did.segments_by_time),
        ("  of which the answer was kept", "segments_by_result", did.segments_by_result),
        ("  not needed any more", "segments_not_needed", did.segments_not_needed),
        ("blocks of 1,024 rows in the others", "blocks", did.blocks),
        ("  that the index excludes", "blocks_by_index", did.blocks_by_index),
        ("  that times of pages exclude", "blocks_by_time", did.blocks_by_time),
        ("rows looked at by columns", "rows_sifted", did.rows_sifted),
        ("rows read whole", "rows_read", did.rows_read),
        ("unsealed records looked at", "tail_records", did.tail_records),
        ("  passed over by filters", "tail_records_by_index", did.tail_records_by_index),
        ("pages found decoded", "cache_hits", did.cache_hits),
        ("pieces of segments read", "cache_misses", did.cache_misses),
        ("  bytes of those", "bytes_read", did.bytes_read),
        ("microseconds", "micros", u64::try_from(micros).unwrap_or(u64::MAX)),
    ];
    if matches!(args.listing.output, Listing::Json | Listing::Ndjson) {
        let mut object = Object::new();
        object.text("query", query);
        for (_, key, number) in numbers {
            object.number(key, number);
        }
        out.json_line(&object.finish())?;
    } else {
        let mut table = Table::pairs();
        table.pair("query", query);
        numbers.iter().for_each(|(name, _, number)| table.pair(name, grouped(*number)).end());
        out.table(table, &[])?;
    }
    out.flush()?;
    Ok(if found.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

fn oldest_first(source: &Source, question: &Question, limit: usize, writer: &mut EventWriter<'_>) -> Result<Summary> {
    let mut failed = None;
    let answer = source.first(question, (limit > 0).then_some(limit), &mut |view| match writer.event(view) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(answer), Err)
}

/// The newest `limit` events, all of them if it is 0; a page after the other, so that they need no memory.
fn newest_first(
    source: &Source,
    question: &Question,
    limit: usize,
    before: Option<&PageEnd>,
    writer: &mut EventWriter<'_>,
) -> Result<Summary> {
    let mut left = if limit == 0 { u64::MAX } else { limit as u64 };
    let mut end = before.cloned();
    loop {
        let mut failed = None;
        let page = source.latest(question, left.min(PAGE_EVENTS), end.as_ref(), &mut |view| match writer.event(view) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                failed = Some(failure);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        left -= page.shown.min(left);
        end = page.next;
        if end.is_none() || left == 0 {
            break;
        }
    }
    if let Some(end) = &end {
        eprintln!("there are older ones: --before {end}");
    }
    source.count(question)
}

/// Events that are turned around together.
const PAGE_EVENTS: u64 = 1_000;

/// The newest events found so far, oldest first.
pub(crate) struct Newest {
    pub(crate) events: VecDeque<Kept>,
    limit: usize,
    bytes: usize,
}

/// An event that outlives the reading of it.
pub(crate) struct Kept {
    log: u32,
    seq: u64,
    record: Vec<u8>,
}

impl Kept {
    pub(crate) fn with(&self, show: &mut dyn FnMut(&View<'_>) -> Result<()>) -> Result<()> {
        // It was read before it was kept.
        let Some(record) = Record::parse(&self.record) else { return Ok(()) };
        with_view(self.log, self.seq, &record, show).unwrap_or(Ok(()))
    }
}

impl Newest {
    pub(crate) fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit, bytes: 0 }
    }

    /// Takes an event that is older than all so far.
    pub(crate) fn push_older(&mut self, view: &View<'_>) -> ControlFlow<()> {
        self.bytes += view.record.bytes().len();
        self.events.push_front(Kept { log: view.log, seq: view.seq, record: view.record.bytes().to_vec() });
        if self.bytes > NEWEST_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(crate) fn push(&mut self, view: &View<'_>) -> ControlFlow<()> {
        if self.events.len() == self.limit
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= oldest.record.len();
        }
        self.bytes += view.record.bytes().len();
        self.events.push_back(Kept { log: view.log, seq: view.seq, record: view.record.bytes().to_vec() });
        if self.bytes > NEWEST_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether all fitted.
    pub(crate) fn check(&self) -> Result<()> {
        if self.bytes <= NEWEST_BYTES_MAX {
            return Ok(());
        }
        Err(Failure::new("rejected", format!("{} events are too many bytes to turn around in memory", self.limit))
            .hint("use a smaller --limit, or --oldest, which needs no memory"))
    }
}

/// Writes events one by one in the form that was asked for.
pub(crate) struct EventWriter<'w> {
    listing: Listing,
    columns: Vec<Column>,
    /// Columns were asked for by name.
    chosen: bool,
    identity: &'w Identity,
    out: &'w mut Out,
    table: Option<Table>,
    count: u64,
}

impl<'w> EventWriter<'w> {
    pub(crate) fn new(listing: Listing, fields: &[String], identity: &'w Identity, out: &'w mut Out) -> Result<Self> {
        let columns = match (fields, listing) {
            ([], Listing::Table) => Column::for_eyes()?,
            ([], _) => Column::for_spreadsheets()?,
            (fields, _) => Column::named(fields)?,
        };
        match listing {
            Listing::Csv => out.csv(columns.iter().map(|column| column.title.as_str()))?,
            Listing::Json => out.bytes(b"{\"events\":[")?,
            Listing::Table | Listing::Ndjson => {}
        }
        Ok(Self { listing, columns, chosen: !fields.is_empty(), identity, out, table: None, count: 0 })
    }

    pub(crate) fn event(&mut self, view: &View<'_>) -> Result<()> {
        let identity = self.identity;
        let cells = || self.columns.iter().map(|column| column.text(view, identity).unwrap_or_default());
        self.count += 1;
        match self.listing {
            Listing::Csv => self.out.csv(cells()),
            Listing::Table => {
                let row: Vec<_> = cells().collect();
                let table = self.table.get_or_insert_with(|| Table::new(self.columns.iter().map(|column| column.title.as_str())));
                table.row(row);
                if table.rows() >= TABLE_ROWS { self.flush() } else { Ok(()) }
            }
            Listing::Json | Listing::Ndjson => {
                let json = if self.chosen { columns_json(view, identity, &self.columns) } else { event_json(view, identity) };
                if self.listing == Listing::Ndjson {
                    return self.out.json_line(&json);
                }
                if self.count > 1 {
                    self.out.bytes(b",\n")?;
                }
                self.out.json(&json)
            }
        }
    }

    /// Hands over what was written so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if let Some(table) = self.table.take() {
            self.out.table(table, &[])?;
        }
        self.out.flush()
    }

    /// Ends the output; the summary goes where the form has a place for it. Returns how many events were written.
    pub(crate) fn finish(mut self, answer: Option<&Summary>) -> Result<u64> {
        self.flush()?;
        if self.listing == Listing::Json {
            let mut object = Object::new();
            object.number("shown", self.count);
            if let Some(answer) = answer {
                describe_summary(answer, self.identity, &mut object);
            }
            // The summary's members go on where the list of events ends.
            self.out.bytes(b"],")?;
            self.out.json_line(object.finish().get(1..).unwrap_or_default())?;
        }
        Ok(self.count)
    }
}

fn fields_help() -> String {
    let mut table = Table::pairs();
    for field in FIELDS {
        let aliases = if field.aliases.is_empty() { String::new() } else { format!(" (also {})", field.aliases.join(", ")) };
        table.pair(&format!("  {}", field.name), format!("{}{aliases}", field.about));
    }
    format!("Fields:\n{}", table.show(None, &[]))
}

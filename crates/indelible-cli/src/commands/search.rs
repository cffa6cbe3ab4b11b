//! `indelible search`: finds events.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use clap::Args;
use indelible::search::{FIELDS, Summary, View};
use indelible::{Reader, Record};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, ListingOption, Out};
use crate::question::{Question, QuestionArgs, describe_summary, grouped, summary_line, with_view};
use crate::shown::{Column, columns_json, event_json};

/// Find events.
///
/// Looks through everything that is durable at this moment, without a lock and while another process may be writing. A table
/// shows the newest 100 events, newest first; the other formats give all of them in the order they were committed.
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

    /// In the order they were committed
    #[arg(long)]
    oldest: bool,

    /// Show these fields, separated by commas
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,

    /// Only say how many there are
    #[arg(long, conflicts_with_all = ["fields", "limit"])]
    count: bool,

    /// Only say how the query is understood
    #[arg(long)]
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
    let reader = place.reader()?;
    let question = args.question.compile(reader.identity())?;
    let listing = args.listing.output;
    let mut out = Out::open();
    if args.explain {
        return explain(&question, listing, &mut out);
    }
    let answer = if args.count {
        let answer = question.ask(&reader, &mut |_| ControlFlow::Continue(()))?;
        match listing {
            Listing::Table | Listing::Csv => out.line(&answer.matched.to_string())?,
            Listing::Json | Listing::Ndjson => {
                let mut object = Object::new();
                describe_summary(&answer, reader.identity(), &mut object);
                out.json_line(&object.finish())?;
            }
        }
        answer
    } else {
        let limit = args.limit.unwrap_or(if listing == Listing::Table { TABLE_EVENTS } else { 0 });
        let newest = args.newest || (listing == Listing::Table && !args.oldest && limit > 0);
        if newest && limit == 0 {
            return Err(
                Failure::usage("--newest needs to know how many events to turn around").hint("add --limit N, or use --oldest")
            );
        }
        let mut writer = EventWriter::new(listing, &args.fields, &reader, &mut out)?;
        let answer = if newest {
            newest_first(&reader, &question, limit, &mut writer)?
        } else {
            oldest_first(&reader, &question, limit, &mut writer)?
        };
        let shown = writer.finish(Some(&answer))?;
        if shown < answer.matched {
            eprintln!(
                "{} of {} shown; --limit 0 shows all, in the order they were committed",
                grouped(shown),
                grouped(answer.matched)
            );
        }
        answer
    };
    out.flush()?;
    drop(out);
    eprintln!("{}", summary_line(&answer, reader.identity()));
    Ok(if answer.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

fn explain(question: &Question, listing: Listing, out: &mut Out) -> Result<Exit> {
    let query = question.filter.to_string();
    if matches!(listing, Listing::Json | Listing::Ndjson) {
        let mut object = Object::new();
        object.text("query", &query);
        out.json_line(&object.finish())?;
    } else {
        out.lines(if query.is_empty() { "*" } else { &query })?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn oldest_first(reader: &Reader, question: &Question, limit: usize, writer: &mut EventWriter<'_>) -> Result<Summary> {
    let mut failed = None;
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let answer = question.ask(reader, &mut |view| {
        // The rest is only counted.
        if left > 0 {
            left -= 1;
            if let Err(failure) = writer.event(view) {
                failed = Some(failure);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(answer), Err)
}

/// The last `limit` events found, turned around.
fn newest_first(reader: &Reader, question: &Question, limit: usize, writer: &mut EventWriter<'_>) -> Result<Summary> {
    let mut kept = Newest::new(limit);
    let answer = question.ask(reader, &mut |view| kept.push(view))?;
    kept.check()?;
    for event in kept.events.iter().rev() {
        event.with(&mut |view| writer.event(view))?;
    }
    Ok(answer)
}

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
    reader: &'w Reader,
    out: &'w mut Out,
    table: Option<Table>,
    count: u64,
}

impl<'w> EventWriter<'w> {
    pub(crate) fn new(listing: Listing, fields: &[String], reader: &'w Reader, out: &'w mut Out) -> Result<Self> {
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
        Ok(Self { listing, columns, chosen: !fields.is_empty(), reader, out, table: None, count: 0 })
    }

    pub(crate) fn event(&mut self, view: &View<'_>) -> Result<()> {
        let identity = self.reader.identity();
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
                describe_summary(answer, self.reader.identity(), &mut object);
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

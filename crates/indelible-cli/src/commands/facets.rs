//! `indelible facets`: what values fields have, the most frequent first.

use clap::Args;
use indelible::search::{GROUPS_MAX, Group, Grouping, KEY_BYTES_MAX, Summary};
use indelible::{Identity, time};

use crate::commands::stats::distinct_names;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, ListingOption, Out, bar};
use crate::question::{QuestionArgs, describe_summary, grouped, summary_line};
use crate::source::Counted;

/// Show what values fields have.
///
/// For each field: how many different values it has among the events that fit the query, and its most frequent values with the
/// share of those events that have them. An event with several values (targets, frameworks, elements of an array) counts for
/// each, so shares may add up to more than 100 %. All fields are counted in one pass.
#[derive(Debug, Args)]
pub(crate) struct FacetsArgs {
    /// The fields, separated by commas: action,outcome,actor.id
    #[arg(value_name = "FIELDS")]
    fields: String,

    #[command(flatten)]
    question: QuestionArgs,

    /// Show at most this many values of each field; 0 for all
    ///
    /// The default shows 10. The number of different values is counted among all of them.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: usize,

    #[command(flatten)]
    listing: ListingOption,
}

pub(crate) fn run(place: &Place, args: &FacetsArgs) -> Result<Exit> {
    let source = place.source()?;
    let question = args.question.compile(source.identity())?;
    let mut groupings = Vec::new();
    let fields: Vec<&str> = args.fields.split(',').map(str::trim).collect();
    for name in &fields {
        let mut grouping = Grouping::by([name])?;
        // All fields together have the memory of one statistic.
        grouping.groups_max = GROUPS_MAX / fields.len().max(1);
        grouping.key_bytes_max = KEY_BYTES_MAX / fields.len().max(1);
        groupings.push(grouping);
    }
    let names = distinct_names(groupings.iter().flat_map(|grouping| &grouping.fields))?;
    let (counted, answer) = source.facets(&question, &names, groupings)?;
    let facets: Vec<Facet<'_>> =
        names.iter().zip(&counted).map(|(name, counted)| Facet { name, counted, matched: answer.matched }).collect();
    let mut out = Out::open();
    write(&facets, args, &answer, source.identity(), &mut out)?;
    out.flush()?;
    drop(out);
    eprintln!("{}", summary_line(&answer, source.identity()));
    Ok(if answer.incomplete.is_some() { Exit::Incomplete } else { Exit::Ok })
}

/// The values of one field.
struct Facet<'f> {
    name: &'f str,
    counted: &'f Counted,
    matched: u64,
}

/// One value and how many events have it.
struct Row<'f> {
    value: &'f str,
    events: u64,
    /// Of the events that match, from 0 to 1.
    share: f64,
    first: i64,
    last: i64,
}

impl<'f> Facet<'f> {
    /// All values, the most frequent first.
    fn rows(&self) -> impl Iterator<Item = Row<'f>> {
        let matched = self.matched.max(1) as f64;
        self.counted.groups.groups.iter().filter_map(move |group| {
            let value = group.values.first()?.as_deref()?;
            let tally = &group.tally;
            Some(Row { value, events: tally.events, share: tally.events as f64 / matched, first: tally.first, last: tally.last })
        })
    }

    /// Events without the field.
    fn missing(&self) -> u64 {
        self.none().map_or(0, |group| group.tally.events)
    }

    fn none(&self) -> Option<&'f Group> {
        self.counted.groups.groups.iter().find(|group| matches!(&*group.values, [None]))
    }

    /// Values there are, told or not.
    fn distinct(&self) -> usize {
        self.counted.total - usize::from(self.none().is_some())
    }
}

fn write(facets: &[Facet<'_>], args: &FacetsArgs, answer: &Summary, identity: &Identity, out: &mut Out) -> Result<()> {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    match args.listing.output {
        Listing::Table => facets.iter().enumerate().try_for_each(|(nth, facet)| {
            if nth > 0 {
                out.line("")?;
            }
            write_table(facet, limit, out)
        }),
        Listing::Csv => {
            out.csv(["field", "value", "events", "share", "first", "last"])?;
            for facet in facets {
                for row in facet.rows().take(limit) {
                    let (events, share) = (row.events.to_string(), format!("{:.6}", row.share));
                    out.csv([facet.name, row.value, &events, &share, &time::format(row.first), &time::format(row.last)])?;
                }
            }
            Ok(())
        }
        Listing::Ndjson => {
            for facet in facets {
                for row in facet.rows().take(limit) {
                    let mut object = Object::new();
                    object.text("field", facet.name);
                    row_members(&row, &mut object);
                    out.json_line(&object.finish())?;
                }
            }
            Ok(())
        }
        Listing::Json => {
            let mut object = Object::new();
            object.objects("facets", facets, |object, facet| {
                object.text("field", facet.name).number("distinct", facet.distinct()).number("missing", facet.missing());
                object.number("others", facet.counted.groups.others);
                object.objects("values", facet.rows().take(limit), |object, row| row_members(&row, object));
            });
            describe_summary(answer, identity, &mut object);
            out.json_line(&object.finish())
        }
    }
}

fn write_table(facet: &Facet<'_>, limit: usize, out: &mut Out) -> Result<()> {
    let most = facet.rows().next().map_or(0, |row| row.events);
    let mut table = Table::new([facet.name, "events", "share", ""]);
    for row in facet.rows().take(limit) {
        table.row([row.value, &grouped(row.events), &format!("{:.1} %", row.share * 100.0), &bar(row.events, most)]);
    }
    let (distinct, missing) = (facet.distinct(), facet.missing());
    let shown = distinct.min(limit);
    let rest: u64 = facet.rows().skip(limit).map(|row| row.events).sum();
    if shown < distinct {
        table.row([format!("({} more)", grouped((distinct - shown) as u64)), grouped(rest)]);
    }
    if missing > 0 {
        table.row(["(none)".to_owned(), grouped(missing)]);
    }
    out.table(table, &[1, 2])
}

fn row_members(row: &Row<'_>, object: &mut Object) {
    object.text("value", row.value).number("events", row.events).number("share", format!("{:.6}", row.share));
    object.text("first", &time::format(row.first)).text("last", &time::format(row.last));
}

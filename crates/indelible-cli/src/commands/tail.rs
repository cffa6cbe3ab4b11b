//! `indelible tail`: the newest events, and those that come.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use indelible::search::PageEnd;
use indelible::{Reader, Record};

use crate::commands::search::{EventWriter, Newest};
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Listing, ListingOption, Out, talk};
use crate::question::{QuestionArgs, with_view};
use crate::remote::{Followed, Follower, Remote};
use crate::signals::Stop;
use crate::source::Source;

/// Show the newest events, and those that come.
///
/// Events appear once they are durable, in the order they were committed; the writer is not slowed by those who watch.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// Begin with this many of the newest events
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: usize,

    /// Go on until stopped
    #[arg(short, long)]
    follow: bool,

    /// Show these fields, separated by commas
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,

    #[command(flatten)]
    listing: ListingOption,
}

/// How often to look for new events.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(place: &Place, args: &TailArgs) -> Result<Exit> {
    if args.follow && args.listing.output == Listing::Json {
        return Err(Failure::usage("a JSON object has an end, --follow has none").hint("use -o ndjson"));
    }
    let stop = if args.follow { Stop::install()? } else { Stop::default() };
    match place.source()? {
        Source::Store(reader) => of_store(&reader, args, &stop),
        Source::Server(remote) => of_server(&remote, args, &stop),
    }
}

fn of_store(reader: &Reader, args: &TailArgs, stop: &Stop) -> Result<Exit> {
    let question = args.question.compile(reader.identity())?;
    let mut out = Out::open();
    // Both closures below write, one after the other, never at once.
    let writer = std::cell::RefCell::new(EventWriter::new(args.listing.output, &args.fields, reader.identity(), &mut out)?);
    let newest = std::cell::RefCell::new(Some(Newest::new(args.lines)));
    let failed = std::cell::RefCell::new(None);
    let try_to = |result: Result<()>| match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            *failed.borrow_mut() = Some(failure);
            ControlFlow::Break(())
        }
    };
    let scan = reader.tail(
        &mut |position| {
            if stop.asked() {
                return ControlFlow::Break(());
            }
            let flow = with_view(position.log, position.seq, position.record, |view| {
                if !question.query.matches(view) {
                    return ControlFlow::Continue(());
                }
                match newest.borrow_mut().as_mut() {
                    Some(_) if args.lines == 0 => ControlFlow::Continue(()),
                    Some(newest) => newest.push(view),
                    None => try_to(writer.borrow_mut().event(view)),
                }
            });
            flow.unwrap_or(ControlFlow::Continue(()))
        },
        &mut || {
            // The first time there is nothing new, everything that was there has been seen.
            if let Some(newest) = newest.borrow_mut().take() {
                let mut writer = writer.borrow_mut();
                try_to(newest.events.iter().try_for_each(|event| event.with(&mut |view| writer.event(view))))?;
            }
            try_to(writer.borrow_mut().flush())?;
            if !args.follow || stop.asked() {
                return ControlFlow::Break(());
            }
            std::thread::sleep(PAUSE);
            ControlFlow::Continue(())
        },
    )?;
    if let Some(newest) = newest.into_inner() {
        newest.check()?;
        let mut writer = writer.borrow_mut();
        newest.events.iter().try_for_each(|event| event.with(&mut |view| writer.event(view)))?;
    }
    if let Some(failure) = failed.into_inner() {
        return Err(failure);
    }
    writer.into_inner().finish(None)?;
    out.flush()?;
    if let Some(reason) = scan.reason {
        talk(&format!("INCOMPLETE: {reason}"));
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

/// Events of one page.
const PAGE_EVENTS: u64 = 1_000;

fn of_server(remote: &Remote, args: &TailArgs, stop: &Stop) -> Result<Exit> {
    let question = args.question.compile(remote.identity())?;
    let mut out = Out::open();
    let mut writer = EventWriter::new(args.listing.output, &args.fields, remote.identity(), &mut out)?;
    let (mut newest, mut end, mut incomplete) = (Newest::new(args.lines), None::<PageEnd>, None);
    // What comes behind the first page is what comes: nothing is between the two.
    let mut from = None;
    let mut left = args.lines as u64;
    while left > 0 {
        let page = remote.latest(&question, left.min(PAGE_EVENTS), end.as_ref(), &mut |view| newest.push_older(view))?;
        newest.check()?;
        from.get_or_insert_with(|| {
            let places: Vec<String> = page.heads.iter().map(|head| format!("{}:{}", head.log, head.size)).collect();
            places.join(",")
        });
        incomplete = incomplete.or(page.incomplete);
        left -= page.shown.min(left);
        end = page.next;
        if end.is_none() {
            break;
        }
    }
    newest.events.iter().try_for_each(|event| event.with(&mut |view| writer.event(view)))?;
    writer.flush()?;
    if args.follow {
        let follower = Follower::start(remote, &question, from)?;
        while !stop.asked() {
            match follower.next_within(PAUSE) {
                None => writer.flush()?,
                Some(Followed::Event(seq, bytes)) => {
                    if let Some(record) = Record::parse(&bytes) {
                        with_view(record.log(), seq, &record, |view| writer.event(view)).transpose()?;
                    }
                }
                Some(Followed::Lost(why)) => {
                    writer.flush()?;
                    talk(&why);
                }
                Some(Followed::Ended(failure)) => return Err(failure),
            }
        }
    }
    writer.finish(None)?;
    out.flush()?;
    if let Some(reason) = incomplete {
        talk(&format!("INCOMPLETE: {reason}"));
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

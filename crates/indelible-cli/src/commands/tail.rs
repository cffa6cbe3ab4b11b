//! `indelible tail`: the newest events, and those that come.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;

use crate::commands::search::{EventWriter, Newest};
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Listing, ListingOption, Out};
use crate::question::{QuestionArgs, with_view};
use crate::signals::Stop;

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
    let reader = place.reader()?;
    let question = args.question.compile(reader.identity())?;
    let mut out = Out::open();
    // Both closures below write, one after the other, never at once.
    let writer = std::cell::RefCell::new(EventWriter::new(args.listing.output, &args.fields, &reader, &mut out)?);
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
        eprintln!("INCOMPLETE: {reason}");
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

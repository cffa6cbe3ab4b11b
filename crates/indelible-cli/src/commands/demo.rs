//! `indelible demo`: a made-up company's day, recorded, searched, proved and verified.

mod company;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indelible::identity::LOG_MAIN;
use indelible::search::Grouping;
use indelible::verify::{Options, verify, verify_proof};
use indelible::{Reader, Store};

use crate::commands::search::EventWriter;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Listing, Out, ShapeOption, Tone};
use crate::question::{Question, grouped, now_ns};

/// Record a made-up company's day, then search, prove and verify it.
///
/// A few thousand events of two dozen people and services, and one night in which somebody guesses a password. Everything is
/// recorded in a new temporary directory, or in --data, and stays there for you to try things on.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Make the same day again: the number that an earlier run printed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    shape: ShapeOption,
}

/// Where the demo is.
struct Stage {
    data: PathBuf,
    state: PathBuf,
    proof: PathBuf,
    /// The directory it made for itself.
    made: Option<PathBuf>,
}

/// What happened, for those who asked for JSON.
struct Outcome {
    events: u64,
    seconds: f64,
    guesses: u64,
    break_in: u64,
    proven: u64,
    verified: bool,
    anchored: bool,
}

pub(crate) fn run(place: &Place, args: &DemoArgs) -> Result<Exit> {
    let stage = Stage::set(place)?;
    let mut out = Out::open();
    let json = args.shape.is_json();
    let mut teller = Teller { out: &mut out, silent: json };
    let outcome = play(&stage, args.seed, &mut teller)?;
    if json {
        let mut object = Object::new();
        object.text("data", &stage.data.to_string_lossy()).text("state", &stage.state.to_string_lossy());
        object.text("proof", &stage.proof.to_string_lossy()).number("events", outcome.events).decimal("seconds", outcome.seconds);
        object
            .number("failed_guesses", outcome.guesses)
            .number("break_in_events", outcome.break_in)
            .number("proven_seq", outcome.proven);
        object.boolean("verified", outcome.verified).boolean("anchored", outcome.anchored);
        out.json_line(&object.finish())?;
    }
    out.flush()?;
    Ok(if outcome.verified { Exit::Ok } else { Exit::Unverified })
}

impl Stage {
    fn set(place: &Place) -> Result<Self> {
        if place.names_data() {
            let data = place.data()?;
            if data.join("store.json").exists() {
                return Err(Failure::new(
                    "rejected",
                    format!("{} holds a store; made-up events do not belong there", data.display()),
                )
                .hint("leave --data out, or name a new directory"));
            }
            let proof = data.with_extension("tlog-proof");
            return Ok(Self { data, state: place.state()?, proof, made: None });
        }
        let dir = tempfile::Builder::new()
            .prefix("indelible-demo-")
            .tempdir()
            .map_err(|error| Failure::io("could not make a temporary directory", &error))?;
        // It stays: the user is to play with it.
        let dir = dir.keep();
        Ok(Self { data: dir.join("audit"), state: dir.join("state"), proof: dir.join("export.tlog-proof"), made: Some(dir) })
    }
}

/// Tells the story, unless only the outcome is wanted.
struct Teller<'t> {
    out: &'t mut Out,
    silent: bool,
}

impl Teller<'_> {
    fn say(&mut self, line: &str) -> Result<()> {
        if self.silent { Ok(()) } else { self.out.lines(line) }
    }

    /// A chapter, with the command that does the same.
    fn chapter(&mut self, title: &str, command: &str) -> Result<()> {
        if self.silent {
            return Ok(());
        }
        let title = self.out.painted(Tone::Good, title);
        self.out.line(&format!("\n{title}"))?;
        if !command.is_empty() {
            self.out.lines(&format!("  $ indelible {command}"))?;
        }
        Ok(())
    }
}

const ATTACKER: &str = company::ATTACKER_ADDRESS;

fn play(stage: &Stage, seed: u64, teller: &mut Teller<'_>) -> Result<Outcome> {
    let mut config = indelible::Config::new(&stage.data);
    config.prefix = "demo.example".to_owned();
    config.trusted_state_dir = Some(stage.state.clone());
    config.command = "indelible demo".to_owned();
    let store = Store::open(config)?;
    let day = company::day(now_ns(), seed);
    teller.chapter("1. A company's day is recorded", "")?;
    let started = Instant::now();
    for happening in &day {
        let ticket = store.emit(&happening.draft())?;
        // In life these come one by one. Here they would come all at once, and critical ones would overtake the others.
        // Nobody waits for the rest: the flush below waits for all of them.
        if happening.is_break_in() {
            ticket.wait()?;
        }
    }
    store.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    let stats = store.stats();
    let closed = store.close()?;
    let events = day.len() as u64;
    let bytes = crate::question::bytes_text(stats.bytes);
    teller.say(&format!(
        "  {} events in {:.0} ms, durable in {} syncs ({bytes}), hashed and signed",
        grouped(events),
        seconds * 1e3,
        stats.frames
    ))?;

    let reader = Reader::open(&stage.data)?;
    teller.chapter("2. What was it made of?", "stats --by action -n 8")?;
    if !teller.silent {
        let counted = reader.aggregate(&Question::parse("")?.query, Grouping::by(["action"])?)?;
        let mut table = Table::new(["action", "events"]);
        for group in counted.groups.groups.iter().take(8) {
            table.row([group.values.iter().flatten().next().map_or("", String::as_str), &grouped(group.tally.events)]);
        }
        teller.out.table(table, &[1])?;
    }

    let guesses = format!("action:user.login outcome:failure ip:{ATTACKER}");
    teller.chapter("3. Somebody guessed passwords in the night", &format!("search --count '{guesses}'"))?;
    let failed = Question::parse(&guesses)?.ask(&reader, &mut |_| ControlFlow::Continue(()))?.matched;
    teller.say(&format!("  {} failed logins from {ATTACKER}", grouped(failed)))?;

    let inside = format!("ip:{ATTACKER} NOT outcome:failure");
    teller.chapter("4. … and got in. What did they do?", &format!("search --oldest '{inside}'"))?;
    let (break_in, proven) = break_in(&reader, &inside, teller)?;

    teller.chapter("5. Prove it to somebody who does not trust you", &format!("prove {proven} -o {}", stage.proof.display()))?;
    let proof = reader.prove(LOG_MAIN, proven)?;
    let text = proof.to_string();
    std::fs::write(&stage.proof, &text).map_err(|error| Failure::file("write", &stage.proof, &error))?;
    let key = reader.identity().verifier_key(LOG_MAIN).ok_or_else(|| Failure::new("corrupt", "the main log has no key"))?;
    let report = verify_proof(text.as_bytes(), &key)?;
    teller.say(&format!(
        "  {} bytes: the event, {} hashes and a signed checkpoint show that it is entry {} of {}",
        text.len(),
        proof.hashes.len(),
        report.seq,
        grouped(report.size)
    ))?;
    teller.say(&format!("  anybody can check it: indelible verify --proof {} --key '{key}'", stage.proof.display()))?;

    teller.chapter("6. Was anything changed or left out?", "verify")?;
    let options = Options { trusted_state_dir: Some(stage.state.clone()), ..Options::default() };
    let verified = verify(&stage.data, options)?;
    let word = if verified.ok { "VERIFIED" } else { "FAILED" };
    let heads: Vec<String> =
        closed.heads.iter().map(|head| format!("{} {}", reader.identity().log_name(head.log), grouped(head.size))).collect();
    teller.say(&format!("  {word}: every hash recomputed from values, every signature checked ({})", heads.join(", ")))?;
    if !teller.silent {
        next_steps(stage, proven, teller)?;
    }
    Ok(Outcome { events, seconds, guesses: failed, break_in, proven, verified: verified.ok, anchored: verified.anchored })
}

/// Shows what the intruder did; returns how much and where the export is.
fn break_in(reader: &Reader, query: &str, teller: &mut Teller<'_>) -> Result<(u64, u64)> {
    let mut writer =
        if teller.silent { None } else { Some(EventWriter::new(Listing::Table, &[], reader.identity(), teller.out)?) };
    let mut export = None;
    let mut failed = None;
    let answer = Question::parse(query)?.ask(reader, &mut |view| {
        if view.head.action == "data.export" {
            export.get_or_insert(view.seq);
        }
        if let Some(Err(failure)) = writer.as_mut().map(|writer| writer.event(view)) {
            failed = Some(failure);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if let Some(writer) = writer {
        writer.finish(None)?;
    }
    let export =
        export.ok_or_else(|| Failure::new("bug", "the demo's story lost its ending").hint("report this with the seed"))?;
    Ok((answer.matched, export))
}

fn next_steps(stage: &Stage, proven: u64, teller: &mut Teller<'_>) -> Result<()> {
    teller.chapter("Now you", "")?;
    let quoted = |path: &Path| format!("'{}'", path.display());
    teller.say(&format!("  export INDELIBLE_DATA={} INDELIBLE_STATE={}", quoted(&stage.data), quoted(&stage.state)))?;
    let lines = [
        format!("indelible show {proven}"),
        "indelible search 'severity:>=high' --fields time,action,actor,target".to_owned(),
        "indelible emit user.login --actor you --outcome success --detail reason=curious".to_owned(),
        "indelible checkpoint > kept-elsewhere.note".to_owned(),
        format!(
            "printf X | dd of={} bs=1 seek=70000 conv=notrunc   # an attack",
            quoted(&stage.data.join("journal/00000001.wal"))
        ),
        "indelible verify --against kept-elsewhere.note".to_owned(),
    ];
    lines.iter().try_for_each(|line| teller.say(&format!("  {line}")))?;
    if let Some(dir) = &stage.made {
        teller.say(&format!("\n  when you are done: rm -r {}", quoted(dir)))?;
    }
    Ok(())
}

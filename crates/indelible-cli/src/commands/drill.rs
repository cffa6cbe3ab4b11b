//! `indelible drill`: attacks copies of the log and shows which check catches what.

use std::path::PathBuf;

use clap::Args;

use crate::data_dir::Place;
use crate::drill::{self, At, Drill, Evidence, Options, Outcome, Verdict, place_text};
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption, Tone};
use crate::question::grouped;

/// Attack copies of this log in every known way, and see each attack named.
///
/// The log itself is only read. Each attack is made on a copy of its own in a temporary directory that only you may enter (of a large
/// log, on a copy of its beginning; of an empty one, on a made-up log), and verified as somebody would who has nothing but the
/// directory, knows the store's key, has a trusted state, or kept a checkpoint elsewhere. SECURITY.md tells what each row
/// means. Exit code 3: an attack went unnoticed, or an intact copy raised an alarm.
#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// Only this attack; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Keep the attacked copies in this directory
    ///
    /// It must be new or empty. The copies hold your events, but not the signing key; `evidence` is what a verifier has besides.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    #[command(flatten)]
    shape: ShapeOption,
}

pub(crate) fn run(place: &Place, args: &DrillArgs) -> Result<Exit> {
    let options = Options { keep: args.keep.clone(), only: args.only.clone() };
    let drill = drill::run(&place.data()?, &options)?;
    let mut out = Out::open();
    if args.shape.is_json() {
        show_json(&drill, &mut out)?
    } else {
        show_text(&drill, &mut out)?
    }
    out.flush()?;
    Ok(if missed(&drill) == 0 { Exit::Ok } else { Exit::Unverified })
}

fn count(drill: &Drill, verdict: Verdict) -> usize {
    drill.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
}

fn missed(drill: &Drill) -> usize {
    count(drill, Verdict::Missed)
}

fn show_json(drill: &Drill, out: &mut Out) -> Result<()> {
    let mut object = Object::new();
    object
        .boolean("ok", missed(drill) == 0)
        .boolean("example", drill.example)
        .boolean("whole", drill.whole)
        .number("events", drill.events);
    object.objects("attacks", &drill.outcomes, |object, outcome| {
        let (_, evidence) = outcome.attack.promise();
        object.text("name", outcome.attack.name).text("what", outcome.attack.what).text("takes", outcome.attack.takes.name());
        object.optional_text("code", outcome.code()).text("evidence", evidence).text("verdict", outcome.verdict.name());
        object
            .optional_number("log", outcome.at.log)
            .optional_number("at", outcome.at.at)
            .optional_text("complaint", outcome.complaint.as_deref());
        object.objects("views", &outcome.views, |object, view| {
            object.text("evidence", view.evidence.name()).boolean("ok", view.ok);
            object.objects("findings", &view.findings, |object, seen| {
                object.text("code", seen.code).text("level", seen.level);
                object.optional_number("log", seen.at.log).optional_number("at", seen.at.at);
            });
        });
    });
    out.json_line(&object.finish())
}

fn show_text(drill: &Drill, out: &mut Out) -> Result<()> {
    let what = match (drill.example, drill.whole) {
        (true, _) => "a made-up log, because this one has next to nothing signed in it",
        (false, true) => "copies of this log",
        (false, false) => "copies of the beginning of this log",
    };
    out.line(&format!("attacking {what}: {} events; the log itself is only read\n", grouped(drill.events)))?;
    let mut table = Table::new(["attack", "takes", "verdict", "caught by", "with", "first bad position"]);
    for outcome in &drill.outcomes {
        let (code, (_, evidence)) = (outcome.code(), outcome.attack.promise());
        let caught = outcome.verdict == Verdict::Caught;
        let shown = |text: &str| if caught { text.to_owned() } else { "-".to_owned() };
        let place = if caught { first_bad(outcome) } else { "-".to_owned() };
        table.row([
            outcome.attack.name,
            outcome.attack.takes.name(),
            outcome.verdict.name(),
            &shown(code.unwrap_or("-")),
            &shown(evidence),
            &place,
        ]);
    }
    out.table(table, &[])?;
    for outcome in drill.outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Missed) {
        out.lines(&format!(
            "\n{}: {}\n  {}",
            outcome.attack.name,
            outcome.attack.what,
            outcome.complaint.as_deref().unwrap_or_default()
        ))?;
    }
    let outside = drill
        .outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Caught && outcome.attack.promise().1 == Evidence::Checkpoint.name())
        .count();
    let (caught, unbound, skipped) =
        (count(drill, Verdict::Caught), count(drill, Verdict::Unbound), count(drill, Verdict::Skipped));
    let (tone, word) = if missed(drill) == 0 { (Tone::Good, "HELD") } else { (Tone::Bad, "FAILED") };
    let word = out.painted(tone, word);
    out.line(&format!(
        "\n{word}: {caught} attacks caught, {} missed; {} copies raised no alarm, as they should; {unbound} change what nothing proves; {skipped} had no place here",
        missed(drill),
        count(drill, Verdict::Quiet),
    ))?;
    if outside > 0 {
        out.line(&format!("{outside} of them are seen only by who kept a checkpoint elsewhere: `indelible checkpoint`, and `indelible verify --against FILE`"))?;
    }
    Ok(())
}

/// Where the attack shows first: as the attacker knows it, else where the promised code was found.
fn first_bad(outcome: &Outcome) -> String {
    let code = outcome.code();
    if let (Some("producer-gap"), Some(number)) = (code, outcome.at.at) {
        return format!("producer's {number}");
    }
    if outcome.at != At::default() {
        return place_text(outcome.at);
    }
    let seen = outcome.views.iter().flat_map(|view| &view.findings).find(|seen| Some(seen.code) == code);
    seen.map_or_else(|| place_text(outcome.at), |seen| place_text(seen.at))
}

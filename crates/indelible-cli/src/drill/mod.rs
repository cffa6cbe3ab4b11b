//! The drill: a copy of a log is attacked in every way of the threat table, and verification has to name each attack.
//!
//! The store itself is only read. Every attack begins with a fresh copy, in a directory that nobody else may enter and that is removed
//! at the end. Each copy is verified four times, as somebody would who has nothing but the directory, who knows the store's
//! key, who has a trusted state, and who kept a checkpoint elsewhere. `SECURITY.md` tells the same table in words.

use std::fs;
use std::path::{Path, PathBuf};

use indelible::verify::{Code, Level};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

mod attacker;
mod attacks;
mod example;
mod forms;
mod outcome;
mod proofs;
mod record;
mod scene;
mod structure;

pub(crate) use outcome::{At, Evidence, Outcome, Verdict, place_text};
use scene::Scene;

/// How a drill is run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Keep the attacked copies here; the directory is made, or must be empty.
    pub(crate) keep: Option<PathBuf>,
    /// Only the attacks of these names; all if empty.
    pub(crate) only: Vec<String>,
}

/// What a drill showed.
#[derive(Debug)]
pub(crate) struct Drill {
    /// Events in the copy.
    pub(crate) events: u64,
    /// Whether the copy is the whole log, and not only its beginning.
    pub(crate) whole: bool,
    /// Whether a made-up log was attacked, because there was none or next to nothing in it.
    pub(crate) example: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What an attacker must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is an accident, or no attack at all.
    Nothing,
    /// The right to write to the directory.
    Write,
    /// That, and the store's signing key.
    Key,
}

impl Takes {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Write => "write",
            Self::Key => "write+key",
        }
    }
}

/// What verification must say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// It fails for everybody, with this code.
    Alarm(Code),
    /// It fails for everybody, with one of these, by where the checkpoints of this log happen to lie.
    AlarmOr(Code, Code),
    /// From inside everything is right, and `unanchored` says so; from outside it fails with these codes.
    Outside { key: Option<Code>, state: Option<Code>, checkpoint: Option<Code> },
    /// It does not fail, and this is said.
    Said(Code, Level),
    /// Nothing more than about the untouched copy.
    Quiet,
    /// The same, although it is an attack: nothing that is proved depends on what it changes.
    Unbound,
    /// The proof is refused.
    Refused,
    /// The proof is accepted.
    Accepted,
}

/// Does the attack in an empty directory. `None`: this log has no place for it.
type Act = fn(&Scene, &Path) -> Result<Option<At>>;

/// One row of the threat table.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) takes: Takes,
    pub(crate) expected: Expected,
    pub(crate) act: Act,
    /// What else must hold afterwards; `Some` is a complaint.
    pub(crate) also: Option<fn(&Scene, &Path) -> Option<String>>,
}

impl Attack {
    /// The code that the table promises, and the least evidence it takes.
    pub(crate) fn promise(&self) -> (Option<&'static str>, &'static str) {
        match self.expected {
            Expected::Alarm(code) | Expected::AlarmOr(code, _) | Expected::Said(code, _) => {
                (Some(code.name()), Evidence::Nothing.name())
            }
            Expected::Outside { key: Some(code), .. } => (Some(code.name()), Evidence::Key.name()),
            Expected::Outside { checkpoint, .. } => (checkpoint.map(Code::name), Evidence::Checkpoint.name()),
            Expected::Refused => (Some(proofs::REFUSED), Evidence::Key.name()),
            Expected::Quiet | Expected::Unbound | Expected::Accepted => (None, "-"),
        }
    }
}

/// Every attack, in the order of the threat table.
pub(crate) fn attacks() -> impl Iterator<Item = &'static Attack> {
    [attacks::ATTACKS, forms::ATTACKS, structure::ATTACKS, proofs::ATTACKS].into_iter().flatten()
}

/// Attacks copies of the store in `dir`, or of a made-up one if there is next to nothing in it.
pub(crate) fn run(dir: &Path, options: &Options) -> Result<Drill> {
    let unknown = options.only.iter().find(|name| !attacks().any(|attack| attack.name == **name));
    if let Some(name) = unknown {
        return Err(Failure::usage(format!("there is no attack named {name}")).hint("`indelible drill` lists the names"));
    }
    let temporary = tempfile::Builder::new()
        .prefix("indelible-drill-")
        .tempdir()
        .map_err(|error| Failure::io("could not make a temporary directory", &error))?;
    let work = match &options.keep {
        Some(keep) => {
            claim(keep)?;
            keep.clone()
        }
        None => temporary.path().join("copies"),
    };
    let (scene, whole, example) = Scene::set(dir, temporary.path(), &work)?;
    let baseline = scene.views(&scene.intact)?;
    if let Some(view) = baseline.iter().find(|view| !view.ok) {
        let codes: Vec<&str> =
            view.findings.iter().filter(|seen| seen.level == Level::Fail.name()).map(|seen| seen.code).collect();
        return Err(Failure::new(
            "mismatch",
            format!("this log fails verification before anybody attacks it: {}", codes.join(", ")),
        )
        .exit(Exit::Unverified)
        .hint("run `indelible verify` for all findings, and keep a copy of the directory"));
    }
    let mut outcomes = Vec::new();
    for attack in attacks().filter(|attack| options.only.is_empty() || options.only.iter().any(|name| name == attack.name)) {
        let place = work.join(attack.name);
        outcomes.push(scene.drill(attack, &place, &baseline)?);
        if options.keep.is_none() {
            // The next copy needs the room; what cannot be removed now is removed with the rest.
            let _ = fs::remove_dir_all(&place);
        }
    }
    let events = scene.forgery.spots().iter().filter(|spot| spot.log != 0).count() as u64;
    Ok(Drill { events, whole, example, outcomes })
}

fn claim(keep: &Path) -> Result<()> {
    let failed = |error| Failure::file("make", keep, &error);
    fs::create_dir_all(keep).map_err(failed)?;
    if fs::read_dir(keep).map_err(failed)?.next().is_some() {
        return Err(
            Failure::new("rejected", format!("{} is not empty", keep.display())).hint("choose a new directory for --keep")
        );
    }
    Ok(())
}

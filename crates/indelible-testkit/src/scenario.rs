//! One fixed piece of work on a simulated machine, and what must be true after whatever happened to it.
//!
//! The work makes a store, writes, closes, reopens, is killed, reopens again. It runs without threads, so the calls it makes to
//! the disk are the same in every run up to the moment where something is made to fail; a test can strike each in turn.

use std::path::PathBuf;
use std::time::Duration;

use indelible::{Config, Error, Idempotence, Store, Ticket};

use crate::check::{Audit, Proofs, audit};
use crate::events::Spec;
use crate::model::Ledger;
use crate::{SimDisk, SimWorld};

/// The work.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Seed of the machine and of the events.
    pub seed: u64,
    /// How often the store is opened; every third opening ends with a kill, the others with a close or a drop.
    pub sessions: u64,
    /// Events of each session.
    pub events: u64,
    /// Seals after every so many events; 0: never.
    pub seal_every: u64,
    /// Bytes of padding of every fourth event: large ones make the journal go over to further files.
    pub pad_bytes: usize,
}

/// What the work does when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It ends.
    Stop,
    /// It goes on with the same handle, and with the next session.
    GoOn,
}

/// One call of the work that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// In which session.
    pub session: u64,
    /// The call: `open`, `emit`, `wait`, `flush`, `seal`, `checkpoint`, `close`.
    pub call: &'static str,
    /// How.
    pub error: Error,
}

/// What came of the work.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was asked for and acknowledged.
    pub ledger: Ledger,
    /// Calls that failed.
    pub failed: Vec<Failed>,
    /// Receipts that contradict each other: there must be none.
    pub contradictions: Vec<String>,
    /// Acknowledgements given on a handle after one of its calls had said `Io` or `Poisoned`.
    pub after_failure: u64,
}

impl Scenario {
    /// A few dozen small events over several openings.
    #[must_use]
    pub const fn small(seed: u64) -> Self {
        Self { seed, sessions: 3, events: 11, seal_every: 0, pad_bytes: 200 }
    }

    /// As [`small`](Self::small), and sealed again and again: small segments are taken into larger ones.
    #[must_use]
    pub const fn sealing(seed: u64) -> Self {
        Self { seed, sessions: 3, events: 11, seal_every: 4, pad_bytes: 200 }
    }

    /// Every fourth event has nearly a mebibyte: the journal goes over to its second file.
    #[must_use]
    pub const fn rotating(seed: u64) -> Self {
        Self { seed, sessions: 1, events: 20, seal_every: 0, pad_bytes: 1_000_000 }
    }

    /// The data directory.
    #[must_use]
    pub fn dir() -> PathBuf {
        "/data/audit".into()
    }

    /// How the store is opened.
    #[must_use]
    pub fn config() -> Config {
        let mut config = Config::new(Self::dir());
        config.threads = false;
        config.disk_reserve_bytes = 0;
        config.journal_file_bytes_max = 4 << 20;
        config.trusted_state_dir = Some("/trusted".into());
        config
    }

    /// A machine for it.
    #[must_use]
    pub fn machine(&self) -> SimWorld {
        SimWorld::new(self.seed)
    }

    /// Does the work on `machine`.
    #[must_use]
    pub fn run(&self, machine: &SimWorld, on_error: OnError) -> Outcome {
        let mut outcome = Outcome::default();
        for session in 0..self.sessions {
            let failures = outcome.failed.len();
            self.session(machine, session, on_error, &mut outcome);
            if outcome.failed.len() > failures && (on_error == OnError::Stop || machine.disk.is_stopped()) {
                break;
            }
        }
        outcome
    }

    fn session(&self, machine: &SimWorld, session: u64, on_error: OnError, outcome: &mut Outcome) {
        let store = match Store::open_in(Self::config(), machine.world()) {
            Ok(store) => store,
            Err(error) => return outcome.failed.push(Failed { session, call: "open", error }),
        };
        let mut run = Session { store: &store, session, on_error, outcome, dead: false, waiting: Vec::new() };
        for number in 0..self.events {
            let mut spec = Spec::of(self.seed, session, number);
            if number % 4 == 3 {
                spec = spec.with_pad(self.pad_bytes);
            }
            if !run.step(&spec, machine) {
                break;
            }
            if self.seal_every > 0 && number % self.seal_every == self.seal_every - 1 && !run.seal() {
                break;
            }
        }
        run.settle();
        drop(run);
        match session % 3 {
            // A clean end, said.
            0 => {
                if let Err(error) = store.close() {
                    outcome.failed.push(Failed { session, call: "close", error });
                }
            }
            // A clean end, by going out of scope.
            1 => drop(store),
            // The process dies with events in hand; the machine goes on.
            _ => {
                if !machine.disk.is_stopped() {
                    machine.disk.kill();
                }
                drop(store);
            }
        }
    }
}

struct Session<'s> {
    store: &'s Store,
    session: u64,
    on_error: OnError,
    outcome: &'s mut Outcome,
    /// A call has said that this handle is dead.
    dead: bool,
    waiting: Vec<(Spec, Ticket<'s>)>,
}

impl Session<'_> {
    /// Hands one event over, in one of several ways. Returns whether to go on.
    fn step(&mut self, spec: &Spec, machine: &SimWorld) -> bool {
        self.outcome.ledger.attempt(spec);
        machine.clock.advance(Duration::from_millis(7));
        let ticket = match self.store.emit(&spec.draft()) {
            Ok(ticket) => ticket,
            Err(error) => return self.fail("emit", error),
        };
        self.waiting.push((spec.clone(), ticket));
        match spec.number % 7 {
            // Nobody waits for these yet.
            1 | 2 => true,
            4 => match self.store.flush() {
                Ok(()) => self.settle(),
                Err(error) => self.fail("flush", error),
            },
            5 => match self.store.checkpoint(1) {
                Ok(_) => self.settle(),
                Err(error) => self.fail("checkpoint", error),
            },
            _ => self.settle(),
        }
    }

    fn seal(&mut self) -> bool {
        match self.store.seal() {
            Ok(_) => true,
            // Sealing that fails takes nothing with it.
            Err(error) => self.fail("seal", error),
        }
    }

    /// Waits for everything handed over.
    fn settle(&mut self) -> bool {
        for (spec, ticket) in std::mem::take(&mut self.waiting) {
            match ticket.wait() {
                Ok(receipt) => {
                    self.outcome.after_failure += u64::from(self.dead);
                    self.outcome.contradictions.extend(self.outcome.ledger.acknowledge(&spec, &receipt).err());
                }
                Err(error) => {
                    if !self.fail("wait", error) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn fail(&mut self, call: &'static str, error: Error) -> bool {
        use indelible::ErrorKind::{Io, Poisoned};
        self.dead |= call != "seal" && matches!(error.kind(), Io | Poisoned);
        self.outcome.failed.push(Failed { session: self.session, call, error });
        self.on_error == OnError::GoOn
    }
}

/// Restarts on `disk` and checks that it holds what `ledger` says: the store opens; whatever was acknowledged is where its receipt
/// says, once, proven; what was not is accepted again without being recorded twice; numbers go on; nobody alarms.
///
/// `salt` draws the machine's further randomness.
///
/// # Errors
/// What is not so.
pub fn restart_and_check(disk: SimDisk, salt: u64, ledger: &Ledger) -> Result<Audit, String> {
    let machine = SimWorld { disk, ..SimWorld::new(salt ^ 0xA5A5) };
    machine.clock.advance(Duration::from_secs(60));
    let mut ledger = ledger.clone();
    let open =
        |what: &str| Store::open_in(Scenario::config(), machine.world()).map_err(|error| format!("{what}: {}", chain(&error)));
    let store = open("the store does not open")?;
    let append = |spec: &Spec, ledger: &mut Ledger| {
        ledger.attempt(spec);
        let receipt = store.append(&spec.draft()).map_err(|error| format!("{} is refused: {}", spec.id, chain(&error)))?;
        ledger.acknowledge(spec, &receipt)?;
        Ok::<_, String>(receipt)
    };
    // A client that heard nothing asks again; so does one that lost its receipts.
    let known: Vec<Spec> = ledger.acknowledged().map(|(spec, _)| spec.clone()).collect();
    for spec in ledger.unknown().cloned().collect::<Vec<_>>() {
        append(&spec, &mut ledger)?;
    }
    for spec in known.iter().rev().step_by(5) {
        let receipt = append(spec, &mut ledger)?;
        if receipt.idempotence != Idempotence::Duplicate {
            return Err(format!("{} was acknowledged, sent again, and counted as {:?}", spec.id, receipt.idempotence));
        }
    }
    for number in 0..3 {
        append(&Spec::of(salt, u64::MAX, number), &mut ledger)?;
    }
    if salt.is_multiple_of(2) {
        store.seal().map_err(|error| format!("seal: {}", chain(&error)))?;
    }
    store.close().map_err(|error| format!("close: {}", chain(&error)))?;
    let found = audit(&machine.world(), &Scenario::dir(), &ledger, Proofs::Signed { by_engine: 2 });
    if !found.is_clean() {
        return Err(found.to_string());
    }
    // What was signed just now must not be held against the store at its next opening. That costs as much as all the rest, so
    // only some do it.
    if salt.is_multiple_of(4) {
        drop(open("the store does not open again")?);
    }
    Ok(found)
}

/// An error with all its causes.
#[must_use]
pub fn chain(error: &Error) -> String {
    let mut text = format!("{:?}: {error}", error.kind());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(" <- {cause}"));
        source = cause.source();
    }
    text
}

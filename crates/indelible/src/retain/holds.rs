//! Legal holds: events that a query matches stay, whatever the policy says, until the hold is released.

use std::ops::ControlFlow;

use indelible_format::json::{Document, Limits};
use indelible_format::leaf::Seed;
use indelible_format::record::Kind;
use indelible_format::{Head, Record};

use crate::commit::control;
use crate::commit::pipeline::{Progress, Shared};
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::read::Reader;
use crate::search::{Filter, Query, View};
use crate::time;

const NAME_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 1_024;

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What people call it: a case number, most often.
    pub name: String,
    /// What it holds, in the search language. Relative times count from `at`. Empty: everything.
    pub query: String,
    /// Why.
    pub reason: String,
    /// Since when, ns since 1970 UTC.
    pub at: i64,
    /// Position in log 0 of the entry that says so.
    pub entry: u64,
}

impl Hold {
    fn query(&self) -> Result<Query> {
        let query = self.query.parse::<Filter>().and_then(|filter| Query::new(&filter, self.at));
        query.map_err(|error| {
            Error::new(ErrorKind::Unsupported, format!("the hold `{}` cannot be understood: {error}", self.name.escape_debug()))
                .with_hint(
                    "nothing expires as long as it is unclear what is held: release the hold, or use the version that made it",
                )
        })
    }
}

/// All holds in force, ready to be asked.
pub(crate) struct Holds(Vec<Query>);

impl Holds {
    pub(super) fn new(holds: &[Hold]) -> Result<Self> {
        holds.iter().map(Hold::query).collect::<Result<_>>().map(Self)
    }

    /// Whether a record is held by any of them. One that is an event and cannot be read is.
    pub(super) fn hold(&self, log: u32, seq: u64, record: &Record<'_>, head: Option<&Head<'_>>) -> bool {
        if record.kind() != Kind::Event || self.0.is_empty() {
            return false;
        }
        head.is_none_or(|head| self.0.iter().any(|query| query.matches(&View { log, seq, record, head })))
    }
}

impl Reader {
    /// The holds in force, oldest first.
    ///
    /// **Cost**: reads the control log, about a microsecond an entry.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let mut holds: Vec<Hold> = Vec::new();
        let (mut document, mut unreadable) = (Document::new(), None);
        let scan = self.each_of(LOG_CONTROL, 0, &mut |position| {
            let Some(entry) = position.record.control() else {
                unreadable = Some(position.seq);
                return ControlFlow::Break(());
            };
            // Heads are nearly all there is, and are not worth parsing.
            if !entry.windows(5).any(|part| part == b"hold.") {
                return ControlFlow::Continue(());
            }
            let Ok(root) = document.parse(entry, &Limits::default()) else {
                unreadable = Some(position.seq);
                return ControlFlow::Break(());
            };
            let text = |key: &str| root.get(key).and_then(|node| node.as_str()).map(String::from).unwrap_or_default();
            let name = text("name");
            match text("type").as_str() {
                "hold.created" => {
                    let at = time::parse(&text("at")).unwrap_or(0);
                    holds.push(Hold { name, query: text("query"), reason: text("reason"), at, entry: position.seq });
                }
                "hold.released" => holds.retain(|hold| hold.name != name),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        let unreadable = unreadable.map(|seq| format!("entry {seq} of the control log cannot be read"));
        match scan.reason.or(unreadable) {
            // Events must not go because a hold could not be read.
            Some(reason) => Err(Error::new(ErrorKind::Corrupt, reason).with_hint("run `indelible verify` for all findings")),
            None => Ok(holds),
        }
    }
}

impl Store {
    /// Holds every event that `query` matches, of now and of later: it stays until [`release`](Self::release).
    ///
    /// **Durability**: the hold is in log 0, durable and signed, when this returns.
    ///
    /// # Errors
    /// `Rejected`: there is a hold of that name, or the query is none. `Poisoned`, `Closed`, `Busy`.
    pub fn hold(&self, name: &str, query: &str, reason: &str) -> Result<Hold> {
        let shared = self.shared()?;
        let at = shared.world.clock.wall_ns();
        let mut hold = Hold { name: name.into(), query: query.into(), reason: reason.into(), at, entry: 0 };
        let rejected = |what: String| Error::new(ErrorKind::Rejected, what);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || reason.len() > REASON_BYTES_MAX {
            return Err(rejected(format!(
                "a hold has a name of 1 to {NAME_BYTES_MAX} bytes and a reason of up to {REASON_BYTES_MAX}"
            )));
        }
        let parsed = query.parse::<Filter>().and_then(|filter| Query::new(&filter, at));
        parsed.map_err(|error| rejected(format!("what is to be held is not clear: {error}")))?;
        // Nothing expires meanwhile.
        let _sealer = shared.sealer.lock();
        if shared.reader.holds()?.iter().any(|known| known.name == name) {
            return Err(rejected(format!("there is a hold `{}` already", name.escape_debug()))
                .with_hint("choose another name; `indelible hold list` shows those in force"));
        }
        hold.entry = shared.record(&control::hold_created(&hold))?;
        Ok(hold)
    }

    /// Ends a hold. What it held and has expired goes when events expire next.
    ///
    /// # Errors
    /// `NotFound`: there is no such hold. `Poisoned`, `Closed`, `Busy`.
    pub fn release(&self, name: &str, reason: &str) -> Result<Hold> {
        let shared = self.shared()?;
        let _sealer = shared.sealer.lock();
        let hold = shared.reader.holds()?.into_iter().find(|hold| hold.name == name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no hold `{}`", name.escape_debug()))
                .with_hint("`indelible hold list` shows those in force")
        })?;
        shared.record(&control::hold_released(name, reason, shared.world.clock.wall_ns()))?;
        Ok(hold)
    }
}

impl Shared {
    /// Adds an entry to log 0, durable and signed when it returns. Gives its position.
    pub(super) fn record(&self, entry: &[u8]) -> Result<u64> {
        self.record_with(|_| entry.to_vec())
    }

    /// The same, of an entry that is made with the seed of the group that it comes to lie in.
    pub(super) fn record_with(&self, entry: impl Fn(&Seed) -> Vec<u8>) -> Result<u64> {
        let position = loop {
            let mut builder = self.builder.lock();
            let (position, seed) = builder.next_entry()?;
            if self.cycle_with(builder, 0, &[(LOG_CONTROL, entry(&seed))])? != Progress::Cleared {
                break position;
            }
        };
        self.flush()?;
        self.sign_all()?;
        self.save_checkpoints()?;
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_that_is_not_understood_stops_expiry() {
        let hold = |query: &str| Hold { name: "case".into(), query: query.into(), reason: String::new(), at: 0, entry: 0 };
        assert!(Holds::new(&[hold("actor.id:a"), hold("")]).is_ok());
        let error = Holds::new(&[hold("actor.id:a"), hold("of.a.later.version:(")]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("`case`"));
    }
}

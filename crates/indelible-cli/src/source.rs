//! Where events are asked for: a data directory, or a server. What is printed of an answer does not know which.

use std::ops::ControlFlow;

use indelible::format::leaf::{Salts, Seed, commitments};
use indelible::format::tlog_proof::TlogProof;
use indelible::search::{Grouping, Groups, Latest, PageEnd, Summary, View};
use indelible::{Hash, Identity, Reader};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::question::{Located, Question, locate};
use crate::remote::Remote;

/// Whom to ask.
#[derive(Debug)]
pub(crate) enum Source {
    Store(Box<Reader>),
    Server(Box<Remote>),
}

/// Groups, and how many there are, told or not.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) groups: Groups,
    pub(crate) total: usize,
}

impl From<Groups> for Counted {
    fn from(groups: Groups) -> Self {
        Self { total: groups.groups.len(), groups }
    }
}

/// One position, with what its leaf is made of.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) located: Located,
    pub(crate) bytes: Vec<u8>,
    /// Of the record's groups, in their order.
    pub(crate) commitments: Vec<Hash>,
    pub(crate) leaf: Hash,
}

impl Source {
    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Store(reader) => reader.identity(),
            Self::Server(remote) => remote.identity(),
        }
    }

    /// Groups of events that this source does not show.
    pub(crate) fn masked(&self) -> &[String] {
        match self {
            Self::Store(_) => &[],
            Self::Server(remote) => remote.masked(),
        }
    }

    /// Shows `each` the events that fit, in the order of each log, from these positions on, until it breaks off.
    pub(crate) fn search_from(
        &self,
        question: &Question,
        from: &[(u32, u64)],
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Summary> {
        match self {
            Self::Store(reader) => Ok(reader.search_from(&question.query, from, each)?),
            Self::Server(remote) => remote.search_from(question, from, each),
        }
    }

    /// Shows `each` the first events that fit, `limit` of them at most, until it breaks off; all that fit are counted.
    pub(crate) fn first(
        &self,
        question: &Question,
        limit: Option<usize>,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Summary> {
        let mut left = limit.unwrap_or(usize::MAX);
        let counts_here = matches!(self, Self::Store(_));
        let mut broken = false;
        let answer = self.search_from(question, &[], &mut |view| {
            if left > 0 {
                left -= 1;
                broken |= each(view).is_break();
            }
            // A directory counts the rest on the way; a server counts without sending it.
            if broken || (left == 0 && !counts_here) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if left == 0 && !counts_here && !broken { self.count(question) } else { Ok(answer) }
    }

    /// The newest events that fit, the newest first.
    pub(crate) fn latest(
        &self,
        question: &Question,
        limit: u64,
        before: Option<&PageEnd>,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Latest> {
        match self {
            Self::Store(reader) => Ok(reader.latest(&question.query, limit, before, each)?),
            Self::Server(remote) => remote.latest(question, limit, before, each),
        }
    }

    pub(crate) fn count(&self, question: &Question) -> Result<Summary> {
        match self {
            Self::Store(reader) => Ok(reader.count(&question.query)?),
            Self::Server(remote) => remote.count(question),
        }
    }

    /// Counts by groups, of which `limit` (0: all) will be shown of each stretch of time.
    pub(crate) fn aggregate(&self, question: &Question, grouping: &Grouping, limit: usize) -> Result<(Counted, Summary)> {
        match self {
            Self::Store(reader) => {
                let answer = reader.aggregate(&question.query, grouping.clone())?;
                Ok((answer.groups.into(), answer.summary))
            }
            Self::Server(remote) => remote.aggregate(question, grouping, limit),
        }
    }

    /// Counts by each of these groupings, which have one field each.
    pub(crate) fn facets(
        &self,
        question: &Question,
        names: &[String],
        groupings: Vec<Grouping>,
    ) -> Result<(Vec<Counted>, Summary)> {
        match self {
            Self::Store(reader) => {
                let (groups, mut summary) = reader.aggregate_each(&question.query, groupings)?;
                for (name, groups) in names.iter().zip(&groups) {
                    let why = groups.incomplete.as_ref().map(|why| format!("{name}: {why}"));
                    summary.incomplete = summary.incomplete.or(why);
                }
                Ok((groups.into_iter().map(Counted::from).collect(), summary))
            }
            Self::Server(remote) => remote.facets(question, names),
        }
    }

    /// Up to where the newest known checkpoint covers a log.
    pub(crate) fn signed_size(&self, log: u32) -> u64 {
        match self {
            Self::Store(reader) => reader.checkpoint(log).ok().flatten().map_or(0, |checkpoint| checkpoint.size),
            Self::Server(remote) => remote.signed_size(log),
        }
    }

    /// The event at a position, or with an id.
    pub(crate) fn event(&self, text: &str) -> Result<Found> {
        match self {
            Self::Store(reader) => stored(reader, text),
            Self::Server(remote) => remote.event(text),
        }
    }

    /// The proof of one event.
    pub(crate) fn prove(&self, text: &str) -> Result<(Located, TlogProof)> {
        match self {
            Self::Store(reader) => {
                let located = locate(reader, text)?;
                Ok((located, reader.prove(located.log, located.seq)?))
            }
            Self::Server(remote) => remote.prove(text),
        }
    }
}

fn stored(reader: &Reader, text: &str) -> Result<Found> {
    let identity = reader.identity();
    let located = locate(reader, text)?;
    let stored = reader.record(located.log, located.seq)?.ok_or_else(|| {
        let (log, seq) = (identity.log_name(located.log), located.seq);
        Failure::new("not_found", format!("the log {log} has no position {seq}"))
            .hint("`indelible stats` shows how far the logs reach")
    })?;
    let leaf = stored.leaf();
    let mut salts = Salts::new(stored.seed.clone().unwrap_or(Seed([0; 32])));
    let record = stored.record().ok_or_else(|| {
        Failure::new("corrupt", "the record at this position is malformed")
            .exit(Exit::Unverified)
            .hint("run `indelible verify` for all findings")
    })?;
    let commitments = commitments(&record, stored.seq, &mut salts).into_iter().map(|(_, hash)| hash).collect();
    Ok(Found { located, bytes: stored.bytes, commitments, leaf })
}

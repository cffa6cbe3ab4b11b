//! Asking a store: every durable event that a query matches, in commit order.

use std::ops::ControlFlow;

use indelible_format::record::Kind;

use crate::digest::LogHead;
use crate::error::Result;
use crate::read::Reader;
use crate::search::{Filter, FilterError, Matcher, View};

/// What to look for, ready to be asked any number of times.
#[derive(Debug, Clone)]
pub struct Query {
    matcher: Matcher,
    /// Only events of this time and later, ns since 1970 UTC.
    pub since: Option<i64>,
    /// Only events before this time, ns since 1970 UTC.
    pub until: Option<i64>,
    /// Only events of this log.
    pub log: Option<u32>,
}

/// What a search found out, besides the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Events that match.
    pub matched: u64,
    /// Events looked at.
    pub scanned: u64,
    /// Why events may be missing from the answer; `None`: it is complete up to where the caller broke off.
    pub incomplete: Option<String>,
    /// How far each log reached.
    pub heads: Vec<LogHead>,
}

impl Query {
    /// All events that `filter` matches; relative times in it count from `now`, ns since 1970 UTC.
    ///
    /// # Errors
    /// A value that does not fit its field.
    pub fn new(filter: &Filter, now: i64) -> std::result::Result<Self, FilterError> {
        Ok(Self { matcher: filter.compile(now)?, since: None, until: None, log: None })
    }

    /// Whether one event matches.
    #[must_use]
    pub fn matches(&self, view: &View<'_>) -> bool {
        self.log.is_none_or(|log| log == view.log)
            && self.since.is_none_or(|since| view.head.time >= since)
            && self.until.is_none_or(|until| view.head.time < until)
            && self.matcher.matches(view)
    }
}

impl Reader {
    /// Shows `each` every durable event that matches, in commit order, until it breaks off.
    ///
    /// **Cost**: one pass over the journal in constant memory.
    ///
    /// # Errors
    /// `Io`. A journal that is damaged, or an event whose head cannot be read, makes the answer incomplete, not an error.
    pub fn search(&self, query: &Query, each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>) -> Result<Summary> {
        let (mut matched, mut scanned, mut unreadable) = (0, 0, 0u64);
        let scan = self.records(&mut |position| {
            let Some(head) = position.record.head() else {
                unreadable += u64::from(position.record.kind() == Kind::Event);
                return ControlFlow::Continue(());
            };
            scanned += 1;
            let view = View { log: position.log, seq: position.seq, record: position.record, head: &head };
            if !query.matches(&view) {
                return ControlFlow::Continue(());
            }
            matched += 1;
            each(&view)
        })?;
        let incomplete = match (scan.complete, unreadable) {
            (false, _) => Some(scan.reason.unwrap_or_else(|| "the journal could not be read to its end".into())),
            (true, 0) => None,
            (true, count) => Some(format!("the heads of {count} events are withheld or cannot be read")),
        };
        Ok(Summary { matched, scanned, incomplete, heads: scan.heads })
    }
}

//! Asking a store for everything that a query matches, log by log, and each log in its order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indelible_format::Record;
use indelible_segment::{BLOCK_ROWS, Reads, Segment};

use super::explain::Explain;
use super::sealed::{self, Passed, Rows, Tools};
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Reader;
use crate::read::tail::{Moment, Opened};
use crate::seal::{SegmentInfo, files};
use crate::search::{Filter, FilterError, Matcher, View};

/// What to look for, ready to be asked any number of times.
#[derive(Debug, Clone)]
pub struct Query {
    matcher: Matcher,
    filter: Filter,
    /// What relative times in the filter count from.
    now: i64,
    /// Only events of this time and later, ns since 1970 UTC.
    pub since: Option<i64>,
    /// Only events before this time, ns since 1970 UTC.
    pub until: Option<i64>,
    /// Only events of this log.
    pub log: Option<u32>,
    /// Whether counts of a sealed segment may be those of an earlier answer, which are the same; true unless it is changed.
    pub remembered: bool,
    /// Raised when nobody waits for the answer any more. Whatever is being asked then ends with `Cancelled`, at the latest behind the block
    /// of 1,024 events that it is at; only unsealed events that this reader has not seen yet are first taken in, as others need them, too.
    pub cancel: Option<Arc<AtomicBool>>,
}

/// What a search found out, besides the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Events that match.
    pub matched: u64,
    /// Positions there were in logs that take events: looked at, or passed over because an index or the bounds of a page exclude them.
    pub scanned: u64,
    /// Why events may be missing from the answer; `None`: it is complete up to where the caller broke off.
    pub incomplete: Option<String>,
    /// How far each log reached.
    pub heads: Vec<LogHead>,
    /// How the answer was found.
    pub explain: Explain,
}

impl Query {
    /// All events that `filter` matches; relative times in it count from `now`, ns since 1970 UTC.
    ///
    /// # Errors
    /// A value that does not fit its field.
    pub fn new(filter: &Filter, now: i64) -> std::result::Result<Self, FilterError> {
        let matcher = filter.compile(now)?;
        Ok(Self { matcher, filter: filter.clone(), now, since: None, until: None, log: None, remembered: true, cancel: None })
    }

    /// What is asked, but for the times, as text: two questions with the same text have the same answer.
    pub(super) fn question(&self, gathered: &str) -> String {
        // Most filters say no time, or one that does not move.
        let later = self.filter.compile(self.now.saturating_add(86_400_000_000_000)).ok();
        let moves = later.is_none_or(|later| format!("{later:?}") != format!("{:?}", self.matcher));
        let now = if moves { self.now } else { 0 };
        format!("{gathered}\n{now}\n{}", self.filter)
    }

    /// Whether one event matches.
    #[must_use]
    pub fn matches(&self, view: &View<'_>) -> bool {
        self.log.is_none_or(|log| log == view.log)
            && self.since.is_none_or(|since| view.head.time >= since)
            && self.until.is_none_or(|until| view.head.time < until)
            && self.matcher.matches(view)
    }

    /// Whether every event of its log matches.
    const fn is_all(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.matcher.is_all()
    }

    /// Whether nobody waits any more.
    fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// Asked wherever more is about to be read.
    ///
    /// # Errors
    /// `Cancelled`: nobody waits any more.
    pub(crate) fn still_wanted(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the search was given up: nobody waits for its answer"));
        }
        Ok(())
    }

    pub(crate) const fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl Reader {
    /// Shows `each` every durable event that matches, log by log and each log in its order, until it breaks off; what of it is sealed makes
    /// no difference.
    ///
    /// **Cost**: blocks of sealed events that cannot match are passed over; one pass over the unsealed part for each log. Constant memory.
    ///
    /// # Errors
    /// `Io`, `Corrupt` (a segment, or one row of it), `Cancelled`. A journal that is damaged, or an event whose head cannot be read, makes
    /// the answer incomplete, not an error.
    pub fn search(&self, query: &Query, each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>) -> Result<Summary> {
        self.search_from(query, &[], each)
    }

    /// As [`search`](Self::search), from a position of each log on; of a log that is not named, from its beginning. `matched` counts from there.
    ///
    /// # Errors
    /// As `search`.
    pub fn search_from(
        &self,
        query: &Query,
        from: &[(u32, u64)],
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<Summary> {
        let counted = Reads::of_this_thread();
        // How far each log was searched, if its segments are replaced on the way.
        let mut done: BTreeMap<u32, u64> = from.iter().copied().collect();
        let (mut matched, mut explain) = (0, Explain::default());
        let mut each = |view: &View<'_>| {
            matched += 1;
            each(view)
        };
        loop {
            let moment = self.moment()?;
            explain.segments = moment.manifest.segments.len() as u64;
            match self.search_at(&moment, query, &mut done, &mut explain, &mut each) {
                Ok(headless) => {
                    explain.count(counted);
                    let incomplete = incomplete(moment.problem.clone(), headless);
                    return Ok(Summary { matched, scanned: moment.events(), incomplete, heads: moment.heads, explain });
                }
                Err(error) if self.is_stale(&moment, &error)? => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether `error` may come of a segment that was replaced since `moment`: then the same is asked once more.
    pub(crate) fn is_stale(&self, moment: &Moment, error: &Error) -> Result<bool> {
        Ok(error.kind() != ErrorKind::Cancelled && self.manifest()?.generation != moment.manifest.generation)
    }

    /// Gives how many events have no head that can be read.
    fn search_at(
        &self,
        moment: &Moment,
        query: &Query,
        done: &mut BTreeMap<u32, u64>,
        explain: &mut Explain,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let tools = Tools::new(query, self.cache());
        // Log by log, and not as they lie: what is sealed on the way changes nothing of the order.
        for head in moment.heads.iter().filter(|head| query.log.is_none_or(|log| log == head.log)) {
            let log = head.log;
            for info in moment.manifest.of(log) {
                let from = done.get(&log).copied().unwrap_or(0);
                if info.end() <= from {
                    continue;
                }
                tools.query.still_wanted()?;
                let flow = self.search_segment(&tools, info, from, explain, &mut |view| {
                    done.insert(log, view.seq + 1);
                    each(view)
                })?;
                if flow.is_break() {
                    return Ok(tools.headless());
                }
                done.insert(log, info.end());
            }
            let from = done.get(&log).copied().unwrap_or(0);
            let flow = search_tail(moment, &tools, &[(log, from)], explain, &mut |view| {
                done.insert(log, view.seq + 1);
                each(view)
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(tools.headless())
    }

    fn search_segment(
        &self,
        tools: &Tools<'_>,
        info: &SegmentInfo,
        from: u64,
        explain: &mut Explain,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if sealed::is_outside(tools.query, info) {
            explain.segments_by_time += 1;
            return Ok(ControlFlow::Continue(()));
        }
        let segment = self.segment(info)?;
        if tools.query.is_all() {
            return search_all(&segment, tools, info, from, explain, each);
        }
        let blocks = sealed::candidates(tools, info, &segment, explain)?;
        let mut rows = Rows::new(tools, info, segment);
        for block in blocks {
            tools.query.still_wanted()?;
            let Passed { first, must, may } = rows.sift(block, &(from..u64::MAX), explain)?;
            for place in may.places() {
                let mut flow = ControlFlow::Continue(());
                rows.with(first + place, must.holds(place), explain, &mut |view| flow = each(view))?;
                if flow.is_break() {
                    return Ok(flow);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Shows the unsealed events that match, of each of these logs from a position on, in the order of the journal.
pub(super) fn search_tail(
    moment: &Moment,
    tools: &Tools<'_>,
    from: &[(u32, u64)],
    explain: &mut Explain,
    each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    for nth in 0..moment.block_count() {
        tools.query.still_wanted()?;
        let Some(block) = moment.block(nth) else { break };
        let wanted: u64 = from.iter().map(|(log, from)| block.count(*log, &(*from..u64::MAX))).sum();
        if wanted == 0 {
            continue;
        }
        let is_wanted = |(log, seq): (u32, u64)| from.iter().any(|(known, from)| *known == log && *from <= seq);
        let rows = tools.rows(block).filter(|nth| block.position(nth).is_some_and(is_wanted));
        explain.tail_records_by_index += wanted - rows.count();
        if rows.is_empty() {
            continue;
        }
        let mut block = Opened::new(Arc::clone(block), rows);
        for nth in rows.places() {
            let Some((log, seq)) = block.block().position(nth) else { continue };
            let Some(record) = block.record(nth, &moment.stock)? else { continue };
            let Some(head) = tools.head(&record) else { continue };
            explain.tail_records += 1;
            let view = View { log, seq, record: &record, head: &head };
            if tools.query.matches(&view) && each(&view).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Shows every event of a segment from a position on: read in order, past the cache, as none of them need be looked for.
fn search_all(
    segment: &Segment,
    tools: &Tools<'_>,
    info: &SegmentInfo,
    from: u64,
    explain: &mut Explain,
    each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    explain.blocks += u64::from(segment.rows().div_ceil(BLOCK_ROWS));
    let mut flow = Ok(ControlFlow::Continue(()));
    let read = segment.records(from..u64::MAX, &mut |seq, bytes| {
        explain.rows_sifted += 1;
        flow = tools.query.still_wanted().and_then(|()| {
            let record = Record::parse(bytes).ok_or_else(|| files::no_record(&info.file, seq))?;
            let Some(head) = tools.head(&record) else { return Ok(ControlFlow::Continue(())) };
            explain.rows_read += 1;
            Ok(each(&View { log: info.log, seq, record: &record, head: &head }))
        });
        *flow.as_ref().unwrap_or(&ControlFlow::Break(()))
    });
    read.map_err(|error| files::failed(&info.file, error))?;
    flow
}

/// Why an answer is not complete, if so.
pub(super) fn incomplete(problem: Option<String>, headless: u64) -> Option<String> {
    problem.or_else(|| (headless > 0).then(|| format!("the heads of {headless} events are withheld or cannot be read")))
}

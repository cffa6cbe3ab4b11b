//! Asking a store for everything that a query matches, in the order of each log; or only how much that is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use indelible_format::Record;
use indelible_segment::{BLOCK_ROWS, Segment};

use super::explain::Explain;
use super::sealed::{self, Passed, Rows, Tools};
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Reader;
use crate::read::tail::{Moment, Opened};
use crate::seal::{Manifest, SegmentInfo, files};
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
    fn question(&self, gathered: &str) -> String {
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

/// Some blocks of one segment: a piece of work for one thread.
struct Piece<'m> {
    /// Which of the segments that are looked at.
    nth: usize,
    info: &'m SegmentInfo,
    blocks: Vec<u32>,
}

/// Blocks that are worth a piece of their own.
const PIECE_BLOCKS: usize = 128;

impl Reader {
    /// Shows `each` every durable event that matches, in the order of its log, until it breaks off: first what is sealed, log by log, then
    /// the journal in its order.
    ///
    /// **Cost**: blocks of sealed events that cannot match are passed over; one pass over the journal. Constant memory.
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
        let counted = self.cache().counts();
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
                    explain.count(&counted, &self.cache().counts());
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
        for info in &moment.manifest.segments {
            let from = done.get(&info.log).copied().unwrap_or(0);
            if info.end() <= from {
                continue;
            }
            tools.query.still_wanted()?;
            let flow = self.search_segment(&tools, info, from, explain, &mut |view| {
                done.insert(view.log, view.seq + 1);
                each(view)
            })?;
            if flow.is_break() {
                return Ok(tools.headless());
            }
            done.insert(info.log, info.end());
        }
        self.search_tail(moment, &tools, done, explain, each)?;
        Ok(tools.headless())
    }

    /// Shows the unsealed events that match, from the positions in `done` on.
    fn search_tail(
        &self,
        moment: &Moment,
        tools: &Tools<'_>,
        done: &BTreeMap<u32, u64>,
        explain: &mut Explain,
        each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        for nth in 0..moment.block_count() {
            tools.query.still_wanted()?;
            let Some(block) = moment.block(nth) else { break };
            let rows = tools.rows(block);
            explain.tail_records_by_index += u64::from(block.len()) - rows.count();
            if rows.is_empty() {
                continue;
            }
            let mut block = Opened::new(Arc::clone(block), rows);
            for nth in rows.places() {
                let Some((log, seq)) = block.block().position(nth) else { continue };
                if seq < done.get(&log).copied().unwrap_or(0) {
                    continue;
                }
                let Some(record) = block.record(nth, &moment.stock)? else { continue };
                let Some(head) = tools.head(&record) else { continue };
                explain.tail_records += 1;
                let view = View { log, seq, record: &record, head: &head };
                if tools.query.matches(&view) && each(&view).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
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

    /// How many durable events match.
    ///
    /// **Cost**: columns of sealed events are read, records only where columns do not tell; two threads. One pass over the journal.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn count(&self, query: &Query) -> Result<Summary> {
        self.gather(query, &Nothing).map(|((), summary)| summary)
    }

    /// Goes through everything that may match, on two threads where that pays.
    pub(crate) fn gather<G: Gather>(&self, query: &Query, gather: &G) -> Result<(G::Part, Summary)> {
        loop {
            let counted = self.cache().counts();
            let moment = self.moment()?;
            let gathered = self.gather_at(&moment, query, gather);
            let (sum, matched, mut explain, headless) = match gathered {
                Ok(gathered) => gathered,
                Err(error) if self.is_stale(&moment, &error)? => continue,
                Err(error) => return Err(error),
            };
            explain.count(&counted, &self.cache().counts());
            let incomplete = incomplete(moment.problem.clone(), headless);
            return Ok((sum, Summary { matched, scanned: moment.events(), incomplete, heads: moment.heads, explain }));
        }
    }

    fn gather_at<G: Gather>(&self, moment: &Moment, query: &Query, gather: &G) -> Result<(G::Part, u64, Explain, u64)> {
        let Gathered { part: mut sum, mut explain, mut matched, headless } =
            self.gather_sealed(query, &moment.manifest, gather)?;
        let done = moment.manifest.logs().into_iter().map(|log| (log, moment.manifest.sealed(log))).collect();
        let tools = Tools::new(query, self.cache());
        self.search_tail(moment, &tools, &done, &mut explain, &mut |view| {
            matched += 1;
            gather.one(&mut sum, view);
            ControlFlow::Continue(())
        })?;
        Ok((sum, matched, explain, headless + tools.headless()))
    }

    fn gather_sealed<G: Gather>(&self, query: &Query, manifest: &Manifest, gather: &G) -> Result<Gathered<G::Part>> {
        let mut all = Worked::default();
        let mut sum = Gathered::default();
        sum.explain.segments = manifest.segments.len() as u64;
        let tools = Tools::new(query, self.cache());
        let asked = gather.name().filter(|_| query.remembered).map(|name| query.question(&name));
        let mut asked_of = Vec::new();
        let mut pieces = Vec::new();
        for info in &manifest.segments {
            if sealed::is_outside(query, info) {
                sum.explain.segments_by_time += 1;
                continue;
            }
            let question = asked.as_ref().map(|asked| match info.time {
                // All of it is within: whatever the window is, the answer is the same.
                Some((first, last))
                    if query.since.is_none_or(|since| since <= first) && query.until.is_none_or(|until| last < until) =>
                {
                    Arc::from(asked.as_str())
                }
                _ => Arc::from(format!("{asked}\n{:?} {:?}", query.since, query.until)),
            });
            if let Some(question) = &question
                && let Some((part, matched)) = self.results().get::<G::Part>(info.digest, question)
            {
                sum.explain.segments_by_result += 1;
                sum.matched += matched;
                gather.join(&mut sum.part, part);
                continue;
            }
            query.still_wanted()?;
            let segment = self.segment(info)?;
            let blocks = sealed::candidates(&tools, info, &segment, &mut sum.explain)?;
            let nth = asked_of.len();
            pieces.extend(blocks.chunks(PIECE_BLOCKS).map(|blocks| Piece { nth, info, blocks: blocks.to_vec() }));
            asked_of.push((info, question, Piecewise::default()));
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<Worked<G::Part>> {
            let mut worked = Worked::default();
            let tools = Tools::new(query, self.cache());
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut rows = Rows::new(&tools, piece.info, self.segment(piece.info)?);
                let mut done = Piecewise::<G::Part>::default();
                let before = tools.headless();
                for block in &piece.blocks {
                    query.still_wanted()?;
                    let passed = rows.sift(*block, &(0..u64::MAX), &mut worked.explain)?;
                    done.matched += gather.block(&mut rows, &passed, &mut worked.explain, &mut done.part)?;
                }
                gather.end(&rows, &mut done.part)?;
                done.headless = tools.headless() - before;
                worked.parts.push((piece.nth, done));
            }
            Ok(worked)
        };
        // A thread costs as much as a piece or two.
        let is_helped = pieces.len() > 2;
        let (own, other) = std::thread::scope(|scope| {
            let spawn = || std::thread::Builder::new().name("indelible-scan".into()).spawn_scoped(scope, work).ok();
            let helper = is_helped.then(spawn).flatten();
            (work(), helper.map(std::thread::ScopedJoinHandle::join))
        });
        all.add(own?);
        match other {
            Some(Ok(other)) => all.add(other?),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => {}
        }
        sum.explain.add(&all.explain);
        for (nth, done) in all.parts {
            if let Some((.., of_segment)) = asked_of.get_mut(nth) {
                gather.join(&mut of_segment.part, done.part);
                of_segment.matched += done.matched;
                of_segment.headless += done.headless;
            }
        }
        for (info, question, Piecewise { part, matched, headless }) in asked_of {
            // An answer that lacks something is not kept: from memory it would look whole.
            if let Some(question) = question.filter(|_| headless == 0) {
                self.results().put(info.digest, &question, part.clone(), matched, gather.bytes(&part));
            }
            sum.matched += matched;
            sum.headless += headless;
            gather.join(&mut sum.part, part);
        }
        Ok(sum)
    }
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
        let mut show = || {
            tools.query.still_wanted()?;
            explain.rows_sifted += 1;
            let record = Record::parse(bytes).ok_or_else(|| files::no_record(&info.file, seq))?;
            let Some(head) = tools.head(&record) else { return Ok(ControlFlow::Continue(())) };
            explain.rows_read += 1;
            Ok(each(&View { log: info.log, seq, record: &record, head: &head }))
        };
        flow = show();
        *flow.as_ref().unwrap_or(&ControlFlow::Break(()))
    });
    read.map_err(|error| files::failed(&info.file, error))?;
    flow
}

/// What is gathered from everything that matches.
pub(crate) trait Gather: Sync {
    /// What one thread has gathered from some blocks of a segment, and what all of it becomes.
    type Part: Clone + Default + Send + Sync + 'static;

    /// What is gathered, as text; `None`: its answers are not kept.
    fn name(&self) -> Option<String>;

    /// Bytes that a part takes, about.
    fn bytes(&self, part: &Self::Part) -> usize;

    /// Gathers the rows of a block. Gives how many match.
    fn block(&self, rows: &mut Rows<'_>, passed: &Passed, explain: &mut Explain, part: &mut Self::Part) -> Result<u64>;

    /// The last block of these rows was gathered.
    fn end(&self, _rows: &Rows<'_>, _part: &mut Self::Part) -> Result<()> {
        Ok(())
    }

    fn join(&self, sum: &mut Self::Part, part: Self::Part);

    /// Gathers a match that is not sealed.
    fn one(&self, sum: &mut Self::Part, view: &View<'_>);
}

/// Only how many there are.
struct Nothing;

impl Gather for Nothing {
    type Part = ();

    fn name(&self) -> Option<String> {
        Some("count".into())
    }

    fn bytes(&self, (): &()) -> usize {
        0
    }

    fn block(&self, rows: &mut Rows<'_>, passed: &Passed, explain: &mut Explain, (): &mut ()) -> Result<u64> {
        let mut matched = passed.must.count();
        for place in passed.may.without(passed.must).places() {
            matched += u64::from(rows.matches(passed.first + place, explain)?);
        }
        Ok(matched)
    }

    fn join(&self, (): &mut (), (): ()) {}

    fn one(&self, (): &mut (), _view: &View<'_>) {}
}

/// What was gathered from segments.
#[derive(Default)]
struct Gathered<T> {
    part: T,
    explain: Explain,
    matched: u64,
    headless: u64,
}

/// What was gathered from one segment, or from a piece of it.
#[derive(Default)]
struct Piecewise<T> {
    part: T,
    matched: u64,
    /// Events whose head cannot be read.
    headless: u64,
}

/// What a thread did.
struct Worked<T> {
    /// Which segment, and what of it.
    parts: Vec<(usize, Piecewise<T>)>,
    explain: Explain,
}

impl<T> Default for Worked<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), explain: Explain::default() }
    }
}

impl<T> Worked<T> {
    fn add(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.explain.add(&other.explain);
    }
}

/// Why an answer is not complete, if so.
pub(super) fn incomplete(problem: Option<String>, headless: u64) -> Option<String> {
    problem.or_else(|| (headless > 0).then(|| format!("the heads of {headless} events are withheld or cannot be read")))
}

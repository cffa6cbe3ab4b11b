//! Gathering something from everything that a query matches: how much it is, which values it has.
//!
//! Segments are gathered in pieces, on two threads where that pays; what one segment gives is kept, if it is little, for when the same is
//! asked again. Memory: the sum, which bounds itself, and of each thread what it has gathered since it last added to the sum.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indelible_segment::Reads;
use parking_lot::Mutex;

use super::explain::Explain;
use super::scan::{incomplete, search_tail};
use super::sealed::{self, Passed, Rows, Tools};
use super::{Query, Results, Summary, View};
use crate::error::Result;
use crate::read::Reader;
use crate::read::tail::Moment;
use crate::seal::SegmentInfo;

/// Blocks that are worth a piece of their own.
const PIECE_BLOCKS: usize = 128;
/// What a thread gathers before it adds that to the sum: a segment may have as many values as rows.
pub(super) const PART_BYTES_MAX: usize = 1 << 20;

/// What is gathered from everything that matches.
pub(super) trait Gather: Sync {
    /// What was gathered of some blocks of a segment, and what all of it becomes.
    type Part: Clone + Send + Sync + 'static;

    /// What is gathered, as text: the same text, the same parts.
    fn name(&self) -> String;

    /// Nothing gathered yet of some blocks. It takes whatever comes: somebody sees to it that it does not get large.
    fn part(&self) -> Self::Part;

    /// Nothing gathered yet of anything. It bounds itself.
    fn sum(&self) -> Self::Part {
        self.part()
    }

    /// Bytes that a part takes, about.
    fn bytes(&self, part: &Self::Part) -> usize;

    /// Gathers the rows of a block. Gives how many match. What is too much for a part goes to the sum.
    fn block(
        &self,
        rows: &mut Rows<'_>,
        passed: &Passed,
        explain: &mut Explain,
        part: &mut Self::Part,
        sum: &mut Sum<'_, Self::Part>,
    ) -> Result<u64>;

    /// The last block of these rows was gathered.
    fn end(&self, _rows: &Rows<'_>, _part: &mut Self::Part, _sum: &mut Sum<'_, Self::Part>) -> Result<()> {
        Ok(())
    }

    fn join(&self, sum: &mut Self::Part, part: Self::Part);

    /// Gathers a match that is not sealed.
    fn one(&self, sum: &mut Self::Part, view: &View<'_>);
}

/// The way to the sum that all threads add to; what goes there is missing in the part.
pub(super) struct Sum<'g, P> {
    add: &'g Adding<'g, P>,
    is_used: bool,
}

/// Has something done with the sum.
type Adding<'g, P> = dyn Fn(&mut dyn FnMut(&mut P)) + 'g;

impl<P> Sum<'_, P> {
    pub(super) fn with(&mut self, add: &mut dyn FnMut(&mut P)) {
        self.is_used = true;
        (self.add)(add);
    }
}

impl Reader {
    /// How many durable events match.
    ///
    /// **Cost**: columns of sealed events are read, records only where columns do not tell; two threads. One pass over the journal.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn count(&self, query: &Query) -> Result<Summary> {
        self.gather(query, &Nothing).map(|((), summary)| summary)
    }

    /// Goes through everything that may match.
    pub(super) fn gather<G: Gather>(&self, query: &Query, gather: &G) -> Result<(G::Part, Summary)> {
        let counted = Reads::of_this_thread();
        let mut others = Reads::default();
        loop {
            let moment = self.moment()?;
            let gathered = self.gather_at(&moment, query, gather, &mut others);
            let mut all = match gathered {
                Ok(gathered) => gathered,
                Err(error) if self.is_stale(&moment, &error)? => continue,
                Err(error) => return Err(error),
            };
            all.explain.count(counted);
            all.explain.add_reads(others);
            let incomplete = incomplete(moment.problem.clone(), all.headless);
            let (matched, scanned, explain) = (all.matched, moment.events(), all.explain);
            return Ok((all.sum, Summary { matched, scanned, incomplete, heads: moment.heads, explain }));
        }
    }

    fn gather_at<'m, G: Gather>(
        &self,
        moment: &'m Moment,
        query: &Query,
        gather: &G,
        others: &mut Reads,
    ) -> Result<Gathered<'m, G::Part>> {
        let manifest = &moment.manifest;
        let mut all = self.gather_sealed(query, &manifest.segments, gather, others)?;
        let tools = Tools::new(query, self.cache());
        let from: Vec<(u32, u64)> = moment.heads.iter().map(|head| (head.log, manifest.sealed(head.log))).collect();
        let Gathered { sum, matched, explain, .. } = &mut all;
        let _flow = search_tail(moment, &tools, &from, explain, &mut |view| {
            *matched += 1;
            gather.one(sum, view);
            ControlFlow::Continue(())
        })?;
        all.headless += tools.headless();
        Ok(all)
    }

    fn gather_sealed<'m, G: Gather>(
        &self,
        query: &Query,
        segments: &'m [SegmentInfo],
        gather: &G,
        others: &mut Reads,
    ) -> Result<Gathered<'m, G::Part>> {
        let mut all = Gathered::new(gather);
        all.explain.segments = segments.len() as u64;
        let tools = Tools::new(query, self.cache());
        let asked = query.remembered.then(|| query.question(&gather.name()));
        let mut pieces = Vec::new();
        for info in segments {
            if sealed::is_outside(query, info) {
                all.explain.segments_by_time += 1;
                continue;
            }
            let question = asked.as_ref().map(|asked| question(asked, query, info));
            if let Some(question) = &question
                && let Some((part, matched)) = self.results().get::<G::Part>(info.digest, question)
            {
                all.explain.segments_by_result += 1;
                all.matched += matched;
                gather.join(&mut all.sum, part);
                continue;
            }
            query.still_wanted()?;
            let blocks = sealed::candidates(&tools, info, &*self.segment(info)?, &mut all.explain)?;
            let nth = all.segments.len();
            let of_segment = OfSegment::new(info, question, blocks.len().div_ceil(PIECE_BLOCKS), gather.part());
            if blocks.is_empty() {
                of_segment.keep(gather, self.results());
                continue;
            }
            pieces.extend(blocks.chunks(PIECE_BLOCKS).map(|blocks| Piece { nth, info, blocks: blocks.to_vec() }));
            all.segments.push(of_segment);
        }
        let all = Mutex::new(all);
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            let tools = Tools::new(query, self.cache());
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.gather_piece(piece, &tools, gather, &all)?;
            }
            Ok(())
        };
        let counted = || {
            let before = Reads::of_this_thread();
            let done = work();
            (done, Reads::of_this_thread() - before)
        };
        // A thread costs as much as a piece or two.
        let is_helped = pieces.len() > 2;
        let (own, other) = std::thread::scope(|scope| {
            let spawn = || std::thread::Builder::new().name("indelible-scan".into()).spawn_scoped(scope, counted).ok();
            let helper = is_helped.then(spawn).flatten();
            (work(), helper.map(std::thread::ScopedJoinHandle::join))
        });
        match other {
            Some(Ok((done, reads))) => {
                *others += reads;
                own.and(done)?;
            }
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => own?,
        }
        Ok(all.into_inner())
    }

    fn gather_piece<G: Gather>(
        &self,
        piece: &Piece<'_>,
        tools: &Tools<'_>,
        gather: &G,
        all: &Mutex<Gathered<'_, G::Part>>,
    ) -> Result<()> {
        let mut rows = Rows::new(tools, piece.info, self.segment(piece.info)?);
        let (mut part, mut matched, mut explain) = (gather.part(), 0, Explain::default());
        let mut sum = Sum { add: &|add| add(&mut all.lock().sum), is_used: false };
        let before = tools.headless();
        for block in &piece.blocks {
            tools.query.still_wanted()?;
            let passed = rows.sift(*block, &(0..u64::MAX), &mut explain)?;
            matched += gather.block(&mut rows, &passed, &mut explain, &mut part, &mut sum)?;
        }
        gather.end(&rows, &mut part, &mut sum)?;
        let is_whole = !sum.is_used && tools.headless() == before;
        let mut all = all.lock();
        let all = &mut *all;
        all.matched += matched;
        all.headless += tools.headless() - before;
        all.explain.add(&explain);
        if let Some(of_segment) = all.segments.get_mut(piece.nth) {
            of_segment.add(part, matched, is_whole, gather, &mut all.sum, self.results());
        }
        Ok(())
    }
}

/// What is asked of a segment.
fn question(asked: &str, query: &Query, info: &SegmentInfo) -> Arc<str> {
    match info.time {
        // All of it is within: whatever the window is, the answer is the same.
        Some((first, last)) if query.since.is_none_or(|since| since <= first) && query.until.is_none_or(|until| last < until) => {
            Arc::from(asked)
        }
        _ => Arc::from(format!("{asked}\n{:?} {:?}", query.since, query.until)),
    }
}

/// Some blocks of one segment: a piece of work for one thread.
struct Piece<'m> {
    /// Which of the segments that are looked at.
    nth: usize,
    info: &'m SegmentInfo,
    blocks: Vec<u32>,
}

/// What was gathered so far.
struct Gathered<'m, P> {
    sum: P,
    matched: u64,
    /// Events whose head cannot be read.
    headless: u64,
    explain: Explain,
    segments: Vec<OfSegment<'m, P>>,
}

impl<P> Gathered<'_, P> {
    fn new(gather: &impl Gather<Part = P>) -> Self {
        Self { sum: gather.sum(), matched: 0, headless: 0, explain: Explain::default(), segments: Vec::new() }
    }
}

/// What was gathered of one segment, as long as it may be worth keeping.
struct OfSegment<'m, P> {
    info: &'m SegmentInfo,
    question: Option<Arc<str>>,
    part: P,
    matched: u64,
    /// Pieces that are not gathered yet.
    left: usize,
}

impl<'m, P: Clone + Send + Sync + 'static> OfSegment<'m, P> {
    const fn new(info: &'m SegmentInfo, question: Option<Arc<str>>, pieces: usize, part: P) -> Self {
        Self { info, question, part, matched: 0, left: pieces }
    }

    /// Takes what a piece gave; what it has goes to the sum as soon as it is all, or too much.
    fn add<G: Gather<Part = P>>(&mut self, part: P, matched: u64, is_whole: bool, gather: &G, sum: &mut P, results: &Results) {
        self.matched += matched;
        self.left -= 1;
        gather.join(&mut self.part, part);
        if !is_whole || gather.bytes(&self.part) > PART_BYTES_MAX {
            // An answer that lacks something is not kept: from memory it would look whole.
            self.question = None;
        }
        if self.left == 0 {
            self.keep(gather, results);
        }
        if self.left == 0 || self.question.is_none() {
            gather.join(sum, std::mem::replace(&mut self.part, gather.part()));
        }
    }

    fn keep<G: Gather<Part = P>>(&self, gather: &G, results: &Results) {
        if let Some(question) = &self.question {
            results.put(self.info.digest, question, self.part.clone(), self.matched, gather.bytes(&self.part));
        }
    }
}

/// Only how many there are.
struct Nothing;

impl Gather for Nothing {
    type Part = ();

    fn name(&self) -> String {
        "count".into()
    }

    fn part(&self) {}

    fn bytes(&self, (): &()) -> usize {
        0
    }

    fn block(
        &self,
        rows: &mut Rows<'_>,
        passed: &Passed,
        explain: &mut Explain,
        (): &mut (),
        _sum: &mut Sum<'_, ()>,
    ) -> Result<u64> {
        let mut matched = passed.must.count();
        for place in passed.may.without(passed.must).places() {
            matched += u64::from(rows.matches(passed.first + place, explain)?);
        }
        Ok(matched)
    }

    fn join(&self, (): &mut (), (): ()) {}

    fn one(&self, (): &mut (), _view: &View<'_>) {}
}

//! What would expire now, and why. Reads only.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use indelible_format::limits::GROUP_LEAVES;
use indelible_format::record::Kind;

use super::holds::{Hold, Holds};
use super::stay::{Staying, Why, before};
use super::{Retention, clock};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::read::{Reader, Scan};

pub(super) const DAY_NS: i64 = 86_400_000_000_000;

/// How to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Believe the clock even where the events of the store do not lead up to it: they have to come every day, or to have come for a day since
    /// a silence of a week at most.
    pub trust_clock: bool,
}

/// What would expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The policy, and the position in log 0 of the entry that set it.
    pub policy: (u64, Retention),
    /// The time that it counts from, ns since 1970 UTC.
    pub now: i64,
    /// What the clock says, where that is not believed: the store's events do not lead up to it.
    pub doubted: Option<i64>,
    /// The holds in force.
    pub holds: Vec<Hold>,
    /// Every log but the control log.
    pub logs: Vec<LogPlan>,
}

/// What would expire of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlan {
    /// Its number.
    pub log: u32,
    /// Days that it keeps its events; `None`: for good.
    pub days: Option<u32>,
    /// What was received before this time goes, ns since 1970 UTC.
    pub before: Option<i64>,
    /// Positions before this one have expired already.
    pub expired: u64,
    /// Positions before this one would have.
    pub below: u64,
    /// Events that would go.
    pub events: u64,
    /// Events that would go and stay, because they are held.
    pub held: u64,
    /// Events that would go and stay, because a framework that they are marked with asks for longer. They go when that time is over.
    pub asked: u64,
}

impl Reader {
    /// What would expire now, by the clock and by the policy in force. Changes nothing.
    ///
    /// **Cost**: reads the control log, and the events that would go.
    ///
    /// # Errors
    /// `NotFound`: the store has no policy. `Unsupported`: a hold cannot be understood. `Io`, `Corrupt`.
    pub fn plan_expiry(&self, options: PlanOptions) -> Result<Plan> {
        let now = self.world().clock.wall_ns();
        let policy = self.identity().retention.clone().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "this store has no retention policy: nothing ever expires")
                .with_hint("write one and give it to `indelible retention set FILE`")
        })?;
        let holds = self.holds()?;
        let held = Holds::new(&holds)?;
        let (mut doubted, mut counted) = (None, now);
        if !options.trust_clock
            && let Some(end) = clock::doubt(self, now)?
        {
            (doubted, counted) = (Some(now), end);
        }
        let staying = Staying::new(held, &policy.1.minima, counted);
        let mut logs = Vec::new();
        for log in self.identity().logs.iter().filter(|log| log.id != LOG_CONTROL) {
            let days = policy.1.days(&log.name);
            let before = days.map(|days| before(counted, days));
            logs.push(self.plan_log(log.id, days, before, &staying)?);
        }
        Ok(Plan { policy, now: counted, doubted, holds, logs })
    }

    fn plan_log(&self, log: u32, days: Option<u32>, before: Option<i64>, staying: &Staying<'_>) -> Result<LogPlan> {
        let expired = self.manifest()?.below(log);
        let mut plan = LogPlan { log, days, before, expired, below: expired, events: 0, held: 0, asked: 0 };
        let Some(before) = before else { return Ok(plan) };
        plan.below = self.first_kept(log, before)?.max(expired);
        // What has expired and stayed may be free to go by now.
        let scan = self.each_of(log, 0, &mut |position| {
            if position.seq >= plan.below {
                return ControlFlow::Break(());
            }
            let head = position.record.head();
            if position.record.kind() == Kind::Event {
                *match staying.why(log, position.seq, position.record, head.as_ref()) {
                    Some(Why::Held) => &mut plan.held,
                    Some(Why::Asked) => &mut plan.asked,
                    None => &mut plan.events,
                } += 1;
            }
            ControlFlow::Continue(())
        })?;
        whole(&scan)?;
        Ok(plan)
    }

    /// The beginning of the first group that holds an event received at `before` or later. An event received earlier behind it waits: what
    /// expires is a beginning.
    fn first_kept(&self, log: u32, before: i64) -> Result<u64> {
        let manifest = self.manifest()?;
        let segments = manifest.whole(log);
        let young = segments.iter().position(|info| info.received.is_some_and(|(_, last)| last >= before));
        let from = young.and_then(|at| segments.get(at)).map_or_else(|| manifest.sealed(log), |info| info.first_seq);
        let mut end = from;
        let scan = self.each_of(log, from, &mut |position| {
            let is_young = match position.record.head() {
                Some(head) => head.received >= before,
                // Nobody can tell how old it is.
                None => position.record.kind() == Kind::Event,
            };
            if is_young {
                return ControlFlow::Break(());
            }
            end = position.seq + 1;
            ControlFlow::Continue(())
        })?;
        whole(&scan)?;
        Ok(end - end % GROUP_LEAVES)
    }

    /// Shows the positions of one log from `from` on, as [`records`](Self::records) shows those of all.
    pub(crate) fn each_of(
        &self,
        log: u32,
        from: u64,
        each: &mut dyn FnMut(crate::read::Position<'_>) -> ControlFlow<()>,
    ) -> Result<Scan> {
        let others = self.identity().logs.iter().map(|known| (known.id, u64::MAX));
        let next: BTreeMap<u32, u64> = others.chain([(log, from)]).collect();
        self.advance(&mut crate::read::walk::Walk::from(next), each)
    }
}

/// Nothing expires by what was not read.
fn whole(scan: &Scan) -> Result<()> {
    match &scan.reason {
        Some(reason) => Err(Error::new(ErrorKind::Corrupt, reason.clone()).with_hint("run `indelible verify` for all findings")),
        None => Ok(()),
    }
}

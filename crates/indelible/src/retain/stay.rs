//! What of an expired beginning stays, and why: events that are held, and those of which a framework asks that they be kept for longer than
//! their log keeps them. (Events are led to a log that keeps them as long; these came before there was a policy, or under another one.)

use indelible_format::record::Kind;
use indelible_format::{Head, Record};

use super::holds::Holds;
use super::plan::{DAY_NS, Plan};
use super::policy::{Minimum, asked};
use crate::error::Result;

/// Why an event stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A hold matches it.
    Held,
    /// A framework that it is marked with asks for more time than it has been there.
    Asked,
}

/// Decides what stays.
pub(super) struct Staying<'p> {
    holds: Holds,
    minima: &'p [Minimum],
    now: i64,
}

impl<'p> Staying<'p> {
    pub(super) const fn new(holds: Holds, minima: &'p [Minimum], now: i64) -> Self {
        Self { holds, minima, now }
    }

    /// As a plan says.
    pub(super) fn of(plan: &'p Plan) -> Result<Self> {
        Ok(Self::new(Holds::new(&plan.holds)?, &plan.policy.1.minima, plan.now))
    }

    /// Why a record stays; `None`: it goes.
    pub(super) fn why(&self, log: u32, seq: u64, record: &Record<'_>, head: Option<&Head<'_>>) -> Option<Why> {
        if self.holds.hold(log, seq, record, head) {
            return Some(Why::Held);
        }
        let head = head.filter(|_| record.kind() == Kind::Event)?;
        let days = asked(self.minima, |wanted| head.frameworks().any(|framework| framework.eq_ignore_ascii_case(wanted)));
        (days > 0 && head.received >= before(self.now, days)).then_some(Why::Asked)
    }
}

/// What was received before this time is more than so many days old.
pub(super) fn before(now: i64, days: u32) -> i64 {
    now.saturating_sub(i64::from(days).saturating_mul(DAY_NS))
}

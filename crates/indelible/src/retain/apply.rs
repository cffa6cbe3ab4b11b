//! Letting the beginnings of logs go, as a plan says.

use std::sync::atomic::Ordering;

use indelible_format::{Hash, checkpoint};

use super::plan::{LogPlan, Plan, PlanOptions};
use super::stay::Staying;
use crate::commit::control;
use crate::commit::pipeline::{OPEN, Shared};
use crate::digest::{checkpoints, stated};
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::seal::expire::Expiry;
use crate::seal::sealer::Sealer;

/// How to let events expire.
#[derive(Debug, Clone, Default)]
pub struct ExpireOptions {
    /// How to count.
    pub plan: PlanOptions,
    /// Checkpoints that somebody outside keeps: the log can still be compared with them afterwards. Those of the trusted state are taken
    /// care of without being named.
    pub anchors: Vec<String>,
}

/// What came of letting events expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiration {
    /// What was to expire.
    pub plan: Plan,
    /// What has, by log. Empty: nothing was due.
    pub expired: Vec<Expired>,
}

/// What has expired of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Its number.
    pub log: u32,
    /// What was received before this time is gone, ns since 1970 UTC.
    pub before: i64,
    /// Positions before this one have expired.
    pub below: u64,
    /// Entries that went this time.
    pub removed: u64,
    /// Events that have expired and stay, because they are held or a framework asks for longer.
    pub held: u64,
    /// Position in log 0 of the entry that says so.
    pub entry: u64,
}

impl Store {
    /// Lets expire what [`plan_expiry`](crate::Reader::plan_expiry) says, at this moment. What is held, or asked for by a framework, stays.
    ///
    /// **Durability**: an entry in log 0 says what goes, durable and signed, before it goes; at every moment the events of a log are all
    /// there, or what has expired is replaced by what proofs of the rest need. **Cost**: seals everything first; reads what goes, and
    /// writes the segment anew that the border lies in.
    ///
    /// # Errors
    /// As `plan_expiry`; `Rejected`: an anchor is no checkpoint of this store. `Io`, `Poisoned`, `Closed`: a log has expired or it has not,
    /// nothing between; call again.
    pub fn expire(&self, options: &ExpireOptions) -> Result<Expiration> {
        let shared = self.shared()?;
        shared.flush_what_fits()?;
        shared.expire(options)
    }
}

impl Shared {
    fn expire(&self, options: &ExpireOptions) -> Result<Expiration> {
        let anchors = self.anchors(options)?;
        // Nothing is held or released, and nothing sealed, meanwhile.
        let mut sealer = self.sealer.lock();
        self.seal_with(&mut sealer, true, &|| false)?;
        let plan = self.reader.plan_expiry(options.plan)?;
        let staying = Staying::of(&plan)?;
        let trusting = options.plan.trust_clock.then_some(plan.now);
        let mut expired = Vec::new();
        for log in &plan.logs {
            let Some(before) = log.before.filter(|_| log.events > 0 || log.below > log.expired) else { continue };
            let sizes: Vec<u64> = anchors.iter().filter(|(of, _)| *of == log.log).map(|(_, size)| *size).collect();
            expired.extend(self.expire_log(&mut sealer, log, before, plan.policy.0, &staying, &sizes, trusting)?);
        }
        Ok(Expiration { plan, expired })
    }

    #[expect(clippy::too_many_arguments, reason = "called once, with the parts of a plan")]
    fn expire_log(
        &self,
        sealer: &mut Sealer,
        plan: &LogPlan,
        before: i64,
        policy: u64,
        staying: &Staying<'_>,
        anchors: &[u64],
        trusting: Option<i64>,
    ) -> Result<Option<Expired>> {
        let log = plan.log;
        let held = |seq, record: &indelible_format::Record<'_>| staying.why(log, seq, record, record.head().as_ref()).is_some();
        let expiry = Expiry { log, below: plan.below, held: &held, anchors };
        let stop = || self.state.load(Ordering::Acquire) != OPEN;
        let prepared = sealer.undivided(|sealer| sealer.prepare(&expiry, &self.config.sealing.shape(), &stop))?;
        let Some(prepared) = prepared else { return Ok(None) };
        let below = prepared.expired.below();
        let said = |tenants: Hash| control::Expiry {
            log,
            below,
            before,
            count: prepared.removed,
            held: prepared.held,
            policy,
            root: prepared.expired.tree(prepared.expired.roots.len()).root(),
            digest: prepared.digest,
            tenants,
            trusting,
        };
        let recorded = self.record_with(|seed| {
            let tenants = stated::tree(seed, &prepared.expired.tenants).root();
            control::expired(&said(tenants), self.world.clock.wall_ns())
        });
        let entry = match recorded {
            Ok(entry) => entry,
            Err(error) => {
                sealer.abandon();
                return Err(error);
            }
        };
        sealer.expire(&prepared, entry)?;
        Ok(Some(Expired { log, before, below, removed: prepared.removed, held: prepared.held, entry }))
    }

    /// Log and size of every checkpoint outside that is known of.
    fn anchors(&self, options: &ExpireOptions) -> Result<Vec<(u32, u64)>> {
        let mut anchors = Vec::new();
        for note in &options.anchors {
            let parsed = checkpoint::SignedCheckpoint::parse(note.as_bytes());
            let origin = parsed.as_ref().map(|signed| signed.unverified().origin.clone()).unwrap_or_default();
            let log = self.identity.logs.iter().map(|log| log.id).find(|log| self.identity.origin(*log) == Some(origin.clone()));
            let log = log.ok_or_else(|| {
                Error::new(ErrorKind::Rejected, format!("a checkpoint given as an anchor is not of this store: {origin}"))
            })?;
            anchors.push((log, checkpoints::open(&self.identity, log, note)?.size));
        }
        // What was taken over from other stores is held against what they were, for good.
        for before in &self.identity.predecessors {
            for taken in &before.logs {
                let key = before.identity.verifier_key(taken.head.log);
                let signed =
                    taken.checkpoint.as_ref().zip(key).and_then(|(note, key)| checkpoint::open(note.as_bytes(), &key).ok());
                anchors.extend(
                    signed.map(|signed| (taken.head.log, signed.size)).into_iter().chain([(taken.head.log, taken.head.size)]),
                );
            }
        }
        if let Some(dir) = &self.config.trusted_state_dir {
            let known = checkpoints::read_trusted_state(&self.world, dir, &self.identity)?;
            anchors.extend(known.iter().map(|checkpoint| (checkpoint.log, checkpoint.size)));
        }
        Ok(anchors)
    }
}

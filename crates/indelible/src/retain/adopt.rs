//! Taking up a policy: the logs that it names, its entry in log 0, and then `store.json`, which recording goes by.
//!
//! Interrupted before the last step, the store has the policy that it had; the next attempt says it again.

use std::path::Path;

use super::Retention;
use crate::commit::control;
use crate::commit::pipeline::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL};
use crate::world::World;

/// Logs of a store at most, whatever policies it had.
const LOGS_MAX: usize = 256;

/// A policy that a store takes up while it is being opened.
pub(crate) struct Adopted {
    policy: Retention,
    new_logs: Vec<u32>,
}

impl Adopted {
    /// Prepares `identity` for a policy that is not yet its own, and makes the logs that it names. [`settle`](Self::settle) is owed.
    ///
    /// # Errors
    /// `Rejected`: it cannot be a policy. `Io`.
    pub(crate) fn begin(world: &World, dir: &Path, identity: &mut Identity, wanted: Option<&Retention>) -> Result<Option<Self>> {
        let known = identity.retention.as_ref().map(|(_, policy)| policy);
        let Some(policy) = wanted.filter(|wanted| known != Some(wanted)) else { return Ok(None) };
        policy.check()?;
        let announced = |log: &str| {
            log == "control" || log == "main" || log == "telemetry" || known.is_some_and(|known| known.days(log).is_some())
        };
        let new: Vec<String> = policy.keep.iter().map(|keep| keep.log.clone()).filter(|log| !announced(log)).collect();
        if identity.logs.len() + new.len() > LOGS_MAX {
            return Err(Error::new(ErrorKind::Rejected, format!("the store would have more than {LOGS_MAX} logs"))
                .with_hint("let the policy use names of logs that are there"));
        }
        // Their origins are drawn once: an attempt that ended before this one has left them here.
        if identity.add_logs(world, policy)? {
            identity.save(world, dir)?;
        }
        let new_logs = identity.logs.iter().filter(|log| new.contains(&log.name)).map(|log| log.id).collect();
        Ok(Some(Self { policy: policy.clone(), new_logs }))
    }

    /// Makes it the policy of `identity`, whose entry will come behind the `size` entries of log 0.
    pub(crate) fn settle(&self, identity: &mut Identity, size: u64) {
        identity.retention = Some((size + self.new_logs.len() as u64, self.policy.clone()));
    }
}

impl Shared {
    /// Makes a policy known in log 0, and the logs that it made; then in `store.json`.
    pub(crate) fn adopt(&self, adopted: &Adopted) -> Result<()> {
        let now = self.world.clock.wall_ns();
        let created = adopted.new_logs.iter().map(|log| (LOG_CONTROL, control::log_created(&self.identity, *log, now)));
        let entries: Vec<_> = created.chain([(LOG_CONTROL, control::retention(&adopted.policy, now))]).collect();
        self.cycle_with(self.builder.lock(), 0, &entries)?;
        self.flush()?;
        self.identity.save(&self.world, &self.config.dir)
    }
}

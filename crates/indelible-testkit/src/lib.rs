//! A simulated world for the engine: a disk that loses what was not synced, a clock that is a value, randomness from a seed.
//!
//! Everything here is a function of one seed and of the calls made, so a failure replays. [`SimWorld`] bundles the parts;
//! [`seeds`] says which seeds a test shall run, and [`SeedGuard`] prints the one that failed.
//!
//! Beside it stand the tools of tests on the real machine: a [`gate`] before its disk, a [`process`] to kill, [`power`] to cut, an
//! allocator that counts ([`alloc`]). Both kinds share the seeded [`events`], the [`model`] of what must be in the log, and the
//! [`check`] of the one against the other; and a hand that changes sealed files ([`mod@parquet`]).

use std::sync::Arc;

use indelible::world::World;

pub mod alloc;
pub mod check;
pub mod corpus;
pub mod events;
pub mod expired;
mod fault;
pub mod gate;
pub mod model;
pub mod parquet;
pub mod power;
pub mod process;
pub mod scenario;
mod seed;
mod sim_clock;
mod sim_disk;
mod sim_entropy;
mod sim_file;
mod sim_names;
pub mod watched;

pub use fault::{CrashPolicy, Fault, Op, OpKind, What, errno, is_crash};
pub use seed::{SeedGuard, seeds};
pub use sim_clock::SimClock;
pub use sim_disk::SimDisk;
pub use sim_entropy::SimEntropy;

/// A whole simulated machine. Clones share it.
#[derive(Debug, Clone)]
pub struct SimWorld {
    /// Files and directories, and how they fail.
    pub disk: SimDisk,
    /// Time, moved by the test.
    pub clock: SimClock,
    /// Repeatable random bytes.
    pub entropy: SimEntropy,
}

impl SimWorld {
    /// An empty disk, the clock at [`SimClock::START_WALL_NS`], and the randomness of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), clock: SimClock::new(), entropy: SimEntropy::new(seed) }
    }

    /// The door to give to the engine. What the engine does through it is seen in `self`.
    #[must_use]
    pub fn world(&self) -> World {
        World { disk: Arc::new(self.disk.clone()), clock: Arc::new(self.clock.clone()), entropy: Arc::new(self.entropy.clone()) }
    }
}

#[cfg(test)]
mod tests;

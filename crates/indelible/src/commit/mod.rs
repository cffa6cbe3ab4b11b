//! From lanes to disk: frames are built, written, synced, then acknowledged.

pub(crate) mod board;
pub(crate) mod builder;
pub(crate) mod control;
pub(crate) mod dedupe;
pub(crate) mod journal;
pub(crate) mod pipeline;
pub(crate) mod producers;
pub(crate) mod read_back;
pub(crate) mod receipt;
pub(crate) mod recovery;
mod refused;
pub(crate) mod threads;
pub(crate) mod ticket;

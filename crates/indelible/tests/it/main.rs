//! The engine's promises, one file each.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod backup;
mod bounds;
mod cancelling;
mod durability;
mod faults;
mod hostile;
mod limits;
mod moved_on;
mod order;
mod readers;
mod recovery;
mod restored;
mod retention;
mod sealed_tamper;
mod sealing;
mod searching;
mod smoke;
mod tasks;
mod tenants;
mod unreadable;

//! Promises of the client, against a server that does what a test says: lose answers, refuse, hang, go away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connection;
mod delivery;
mod layers;
mod overload;
mod scripted;

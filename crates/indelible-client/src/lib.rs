//! Client of an Indelible server.
//!
//! - [`Client`] emits events as the embedded store does: a ticket at once, a receipt once the event is durable.
//! - [`Connection`] asks anything else: search, export, live tail, proofs.
//!
//! Synchronous, with threads of its own; tickets are futures without a runtime. TLS is rustls with aws-lc-rs.
//!
//! This crate does not know the engine: what they have in common is in the format crate and the adapters.

mod batch;
mod client;
mod config;
mod connection;
mod error;
mod queue;
mod sender;
mod ticket;
mod token;
mod trust;

pub use client::{Client, Closed, Stats, Undelivered};
pub use config::Config;
pub use connection::{Connection, Options, Response};
pub use error::{ClientError, ErrorKind, Fault, Problem};
pub use indelible_format::event::Idempotence;
pub use ticket::{Receipt, Ticket};
pub use token::Token;

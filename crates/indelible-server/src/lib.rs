//! Indelible as a server: one port for its own API, other people's protocols, and C2SP logs.
//!
//! The way of a request: `http` takes it off the wire under limits and finds out who calls → `access` says what the caller may do →
//! `ingest` turns what it says into drafts, hands them to the store and waits until they are durable; `read` asks the store questions for it, of
//! its own tenants only → `api` and the protocols' modules give the answer its shape. What is read, refused or changed is recorded by `audit`.
//!
//! What is not here: bytes on disk (but for `access.json`), formats of events, the search language.

pub mod access;
mod api;
mod audit;
pub mod config;
mod http;
mod ingest;
mod metrics;
mod notify;
pub mod probe;
mod read;
mod run;
mod server;

pub use api::openapi::document as openapi;
pub use http::{Fault, Problem};
pub use run::{Ready, ServeError, serve};

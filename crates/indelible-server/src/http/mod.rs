//! HTTP: sockets and their limits, bodies, who calls, what went wrong.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod problem;
pub(crate) mod serve;
pub(crate) mod tls;

pub use problem::{Fault, Problem};

//! HTTP: sockets and their limits, bodies, who calls, what went wrong.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod caller;
mod handles;
mod heads;
mod peers;
pub(crate) mod problem;
pub(crate) mod serve;
pub(crate) mod shares;
mod taken;
pub(crate) mod tls;
pub(crate) mod validity;

pub use problem::{Fault, Problem};

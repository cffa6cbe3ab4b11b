//! The server as its clients have it: a real process, real sockets.

mod access;
mod client;
mod events;
mod live;
mod remote;
mod served;
mod start;

use served::Served;

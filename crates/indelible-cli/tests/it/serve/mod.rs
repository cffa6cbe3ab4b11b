//! The server as its clients have it: a real process, real sockets.

mod access;
mod copies;
mod events;
mod live;
mod served;
mod start;

use served::Served;

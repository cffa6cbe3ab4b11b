//! Promises of the client, against a server that does what a test says: lose answers, refuse, hang, go away.

mod connection;
mod delivery;
mod layers;
mod overload;
mod scripted;

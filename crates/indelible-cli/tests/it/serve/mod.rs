//! The server as its clients have it: a real process, real sockets.

mod access;
mod carried;
mod client;
mod copies;
mod drain;
mod events;
mod faults;
mod faults_access;
mod faults_connections;
mod faults_disk;
mod faults_shares;
mod faults_taking;
mod faults_tls;
mod hec;
mod keys;
mod live;
mod managed;
mod many;
mod producers;
mod quickstart;
mod remote;
mod served;
mod settings;
mod start;
mod syslog;
mod trust;

use served::Served;

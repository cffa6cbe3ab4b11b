//! The command as its users have it: the real binary, real files, real events.
//!
//! The modules say `cfg(test)` so that the lints know their helpers for test code.

#[cfg(test)]
mod agree;
#[cfg(test)]
mod agree_expired;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod drill;
#[cfg(test)]
mod export;
#[cfg(test)]
mod export_parquet;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod home;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod parquet;
#[cfg(test)]
mod python;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod transcript;
#[cfg(test)]
mod unreadable;
#[cfg(test)]
mod usage;

#[cfg(test)]
use home::{Ended, Home, arguments, text};

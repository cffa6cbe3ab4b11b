//! Foreign records become drafts without loss.
//!
//! The modules say `cfg(test)` so that the lints know their helpers for test code.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lossless;
#[cfg(test)]
mod mapping;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod support;
#[cfg(test)]
mod to_ocsf;

//! Foreign records become drafts without loss.

mod corpus;
mod hostile;
mod lossless;
mod mapping;
mod reading;
mod support;

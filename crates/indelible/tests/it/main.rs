//! The engine's promises, one file each.

mod durability;
mod faults;
mod hostile;
mod limits;
mod order;
mod readers;
mod recovery;
mod smoke;

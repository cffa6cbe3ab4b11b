//! The engine's promises, one file each.

mod durability;
mod faults;
mod recovery;
mod smoke;

//! The engine's promises, one file each.

mod durability;
mod smoke;

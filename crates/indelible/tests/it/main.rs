//! The engine's promises, one file each.

mod smoke;

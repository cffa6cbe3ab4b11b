//! What watches committed events.

pub(crate) mod tap;

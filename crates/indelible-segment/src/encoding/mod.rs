//! How the values of a page stand in bytes: the encodings of Parquet that a segment uses. Pure, total, checked against another reader.

pub(crate) mod bits;
pub(crate) mod delta;
pub(crate) mod rle;

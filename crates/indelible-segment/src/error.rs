//! Why a segment cannot be written or read.

/// What went wrong with a segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The file could not be read or written.
    #[error("could not read or write the segment")]
    Io(#[source] std::io::Error),
    /// Not a segment, or none that this version knows.
    #[error("not a segment: {0}")]
    Foreign(&'static str),
    /// It is a segment whose parts contradict each other.
    #[error("a damaged segment: {what}, at position {seq}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// The first bad position.
        seq: u64,
    },
    /// A record was given that is not of the segment's log.
    #[error("position {seq} is no record of this log")]
    Record {
        /// Its position.
        seq: u64,
    },
    /// A segment has as many rows as it may have; begin another.
    #[error("the segment is full")]
    Full,
}

pub(crate) type Result<T> = std::result::Result<T, SegmentError>;

//! Why a segment cannot be written or read.

/// What went wrong with a segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The file is not readable Parquet, or could not be read or written at all.
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// It is Parquet, but not a segment that this version knows.
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
    /// A record was given that is none, or is not of the segment's log.
    #[error("position {seq} is no record of this log")]
    Record {
        /// Its position.
        seq: u64,
    },
}

impl From<arrow_schema::ArrowError> for SegmentError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Parquet(error.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, SegmentError>;

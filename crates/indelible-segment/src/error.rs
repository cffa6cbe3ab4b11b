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

impl SegmentError {
    /// What the file said, if that was the reason; else the error again.
    ///
    /// # Errors
    /// It had another reason.
    pub fn into_io(self) -> std::result::Result<std::io::Error, Self> {
        match self {
            Self::Parquet(parquet::errors::ParquetError::External(cause)) => match cause.downcast() {
                Ok(error) => Ok(*error),
                Err(cause) => Err(Self::Parquet(parquet::errors::ParquetError::External(cause))),
            },
            other => Err(other),
        }
    }
}

impl From<arrow_schema::ArrowError> for SegmentError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Parquet(error.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, SegmentError>;

//! What can be wrong with a JSON text, and where.

/// Why a JSON text was refused, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, as an offset into the input.
    pub offset: usize,
}

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A byte that RFC 8259 does not allow there.
    #[error("not valid JSON")]
    Syntax,
    /// The input ends inside the value; more bytes could make it valid.
    #[error("the JSON text ends too early")]
    UnexpectedEnd,
    /// There is no value, only white space or nothing.
    #[error("no JSON value")]
    Empty,
    /// Something follows the value.
    #[error("something follows the JSON value")]
    TrailingData,
    /// Bytes that are no UTF-8.
    #[error("not valid UTF-8")]
    InvalidUtf8,
    /// The text begins with a byte order mark.
    #[error("a byte order mark before the JSON text")]
    ByteOrderMark,
    /// One object has the same key twice, however each is escaped.
    #[error("an object key is repeated")]
    DuplicateKey,
    /// A `\u` escape names half a surrogate pair, which is no character.
    #[error("an escape names half of a surrogate pair")]
    LoneSurrogate,
    /// Nested deeper than [`Limits::depth_max`](super::Limits::depth_max).
    #[error("nested too deeply")]
    DepthExceeded,
    /// More values and keys than [`Limits::nodes_max`](super::Limits::nodes_max).
    #[error("too many values")]
    TooManyNodes,
    /// Longer than [`Limits::bytes_max`](super::Limits::bytes_max).
    #[error("the JSON text is too long")]
    TooLarge,
}

impl ErrorKind {
    /// A name for programs and metrics; it never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnexpectedEnd => "unexpected_end",
            Self::Empty => "empty",
            Self::TrailingData => "trailing_data",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ByteOrderMark => "byte_order_mark",
            Self::DuplicateKey => "duplicate_key",
            Self::LoneSurrogate => "lone_surrogate",
            Self::DepthExceeded => "depth_exceeded",
            Self::TooManyNodes => "too_many_nodes",
            Self::TooLarge => "too_large",
        }
    }

    pub(super) const fn at(self, offset: usize) -> Error {
        Error { kind: self, offset }
    }
}

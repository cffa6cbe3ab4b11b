//! What can go wrong, named by what to do next.

use std::fmt;
use std::time::Duration;

use indelible_format::Rejection;

/// Result of the engine's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input was refused and nothing was recorded: change it.
    Rejected,
    /// Overloaded, or out of disk reserve: try again later.
    Busy,
    /// The operating system failed; nothing after the last acknowledgement is promised.
    Io,
    /// An earlier write or sync failed: this handle is dead, open the store anew.
    Poisoned,
    /// What is stored contradicts itself: run `verify`.
    Corrupt,
    /// What is stored contradicts what was signed or seen before: run `verify`, keep the evidence.
    Mismatch,
    /// Written by a later version, or not possible here.
    Unsupported,
    /// The store is closed or disabled, or this process was forked from the one that opened it.
    Closed,
    /// There is no such store, log or event.
    NotFound,
    /// The event was there and has expired.
    Expired,
    /// Another process writes to this store.
    Locked,
    /// Whoever asked no longer waits for the answer: see [`Query::cancel`](crate::search::Query::cancel).
    Cancelled,
}

/// An error of the engine: kind, context, and the chain of causes.
#[derive(Debug, Clone)]
pub struct Error {
    inner: std::sync::Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with its context in words.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { inner: std::sync::Arc::new(Inner { kind, context: context.into(), hint: None, source: None }) }
    }

    /// Whether a file was not there.
    pub(crate) fn is_missing(&self) -> bool {
        let cause = self.inner.source.as_deref().and_then(|source| source.downcast_ref::<std::io::Error>());
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
    }

    /// An error of the operating system, with what was being done.
    pub(crate) fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        let hint = match source.kind() {
            std::io::ErrorKind::NotFound => Some("a file of the store is missing: run `indelible verify`, and restore a backup"),
            std::io::ErrorKind::StorageFull => Some("free disk space, then open the store again; what was acknowledged is safe"),
            std::io::ErrorKind::ReadOnlyFilesystem => {
                Some("the file system is read-only: remount it writable, or choose another --data")
            }
            std::io::ErrorKind::PermissionDenied => {
                Some("check who owns the data directory: it must belong to the user that runs this")
            }
            _ => match source.raw_os_error() {
                // ELOOP: every file is opened with O_NOFOLLOW.
                Some(40) => Some("a symbolic link stands where a file of the store belongs; replace it with the file"),
                Some(23 | 24) => Some("raise the limit on open files (ulimit -n)"),
                _ => None,
            },
        };
        Self {
            inner: std::sync::Arc::new(Inner {
                kind: ErrorKind::Io,
                context: context.into(),
                hint: hint.map(str::to_owned),
                source: Some(Box::new(source)),
            }),
        }
    }

    /// The same error because of another one, whose next step it takes over.
    pub(crate) fn with_cause(self, cause: Self) -> Self {
        let hint = cause.hint().map(str::to_owned);
        match std::sync::Arc::try_unwrap(self.inner) {
            Ok(inner) => Self { inner: std::sync::Arc::new(Inner { hint, source: Some(Box::new(cause)), ..inner }) },
            Err(inner) => Self { inner },
        }
    }

    /// The same error with a next step.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match std::sync::Arc::try_unwrap(self.inner) {
            Ok(inner) => Self { inner: std::sync::Arc::new(Inner { hint: Some(hint.into()), ..inner }) },
            Err(inner) => Self { inner },
        }
    }

    /// An event that was refused at the door.
    pub(crate) fn rejected(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            inner: std::sync::Arc::new(Inner {
                kind: ErrorKind::Rejected,
                context: "the event was refused".into(),
                hint: None,
                source: Some(Box::new(cause)),
            }),
        }
    }

    /// A poisoned engine, because of `cause`.
    pub(crate) fn poisoned(cause: &Self) -> Self {
        Self {
            inner: std::sync::Arc::new(Inner {
                kind: ErrorKind::Poisoned,
                context: "the log stopped after a failed write; nothing more is accepted on this handle".into(),
                hint: Some("open the store again: recovery keeps what was acknowledged".into()),
                source: Some(Box::new(cause.clone())),
            }),
        }
    }

    /// A full lane.
    pub(crate) fn queue_full(lane: &str, bytes: usize, capacity: usize, waited: Duration) -> Self {
        Self::new(
            ErrorKind::Busy,
            format!("the {lane} lane is full: {bytes} of {capacity} bytes wait to be written (waited {waited:?})"),
        )
        .with_hint("retry later, or give the lane more bytes or a longer timeout")
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The rejection, if the input was refused at the door.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.inner.source.as_ref()?.downcast_ref::<Rejection>().copied()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::rejected(rejection)
    }
}

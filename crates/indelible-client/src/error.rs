//! What can go wrong, named by what to do next; and what the server said of it (RFC 9457).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indelible_adapters::DraftError;
use indelible_format::Rejection;
use serde_json::Value;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked or sent was refused, and nothing changed: change it.
    Rejected,
    /// The token is missing, unknown, expired, or not for this.
    Denied,
    /// There is no such thing, or not any more, or not for this token.
    NotFound,
    /// The server or the queue has no room now: try again later.
    Busy,
    /// No connection, or it broke: whether the request was carried out is not known.
    Unreachable,
    /// The server failed.
    Server,
    /// The answer is not one that this client understands: is it an Indelible server?
    Protocol,
    /// The client is closed.
    Closed,
    /// Address, token, certificates or options are not usable.
    Config,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to it; in a batch its first step is the number of the event, from 0.
    pub pointer: String,
    /// A stable word.
    pub code: String,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

/// An answer that is an error, as the server told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A stable word for programs; empty if what answered is no Indelible server.
    pub code: String,
    /// The status in words.
    pub title: String,
    /// What happened, for people.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Which parts of the request are wrong; 100 at most.
    pub faults: Vec<Fault>,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// JSON pointer to the first thing that is wrong.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        self.faults.first().map(|fault| fault.pointer.as_str())
    }

    /// Reads an error's body; what is not problem+json becomes a problem all the same, with the status' own words.
    pub(crate) fn read(status: u16, title: &str, retry_after: Option<&str>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let fault =
            |value: &Value| Fault { pointer: text(value, "pointer"), code: text(value, "code"), detail: text(value, "detail") };
        let mut detail = text(&body, "detail");
        if detail.is_empty() {
            detail = format!("the server answered {status} {title}").trim_end().to_owned();
        }
        Self {
            status,
            code: text(&body, "code"),
            title: title.to_owned(),
            detail,
            hint: body.get("hint").and_then(Value::as_str).map(str::to_owned),
            faults: body.get("errors").and_then(Value::as_array).map(|all| all.iter().map(fault).collect()).unwrap_or_default(),
            // Only seconds: a date would be judged by a clock that may be wrong.
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
        }
    }

    const fn kind(&self) -> ErrorKind {
        match self.status {
            401 | 403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            408 | 425 | 429 | 503 | 507 => ErrorKind::Busy,
            400..500 => ErrorKind::Rejected,
            500.. => ErrorKind::Server,
            _ => ErrorKind::Protocol,
        }
    }
}

/// An error of the client: kind, context, and the server's problem or the cause.
#[derive(Debug, Clone)]
pub struct ClientError {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    problem: Option<Problem>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { inner: Arc::new(Inner { kind, context: context.into(), hint: None, problem: None, source: None }) }
    }

    pub(crate) fn caused(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(source));
        Self { inner: Arc::new(Inner { kind, context: context.into(), hint: None, problem: None, source }) }
    }

    /// The same error with a next step.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match Arc::try_unwrap(self.inner) {
            Ok(inner) => Self { inner: Arc::new(Inner { hint: Some(hint.into()), ..inner }) },
            Err(inner) => Self { inner },
        }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What the server said, if it was the server that refused.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        self.inner.problem.as_ref()
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref().or_else(|| self.problem()?.hint.as_deref())
    }

    /// The rejection, if the event was refused before it was sent, by the rules that every store has.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self.inner.source.as_ref()?.downcast_ref::<DraftError>()? {
            DraftError::Rejected(rejection) => Some(*rejection),
            DraftError::NotCanonical(_) => None,
        }
    }

    /// Whether the same request may succeed later, with nothing changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::Busy | ErrorKind::Unreachable | ErrorKind::Server | ErrorKind::Protocol)
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        let (kind, context) = (problem.kind(), problem.detail.clone());
        Self { inner: Arc::new(Inner { kind, context, hint: None, problem: Some(problem), source: None }) }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.context)
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| source.as_ref() as _)
    }
}

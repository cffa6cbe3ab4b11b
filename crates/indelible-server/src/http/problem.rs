//! What went wrong, as problem+json (RFC 9457) with stable codes. Protocols that have error shapes of their own turn a [`Problem`] into them.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use indelible::search::FilterError;
use indelible::text::safe_json;
use indelible::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{AccessError, TooMany};

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to it; in NDJSON the first step is the number of the line, from 0.
    pub pointer: String,
    /// A stable word.
    pub code: String,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// What happened, for people.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Which parts of the request are wrong.
    pub faults: Vec<Fault>,
    /// When to come again.
    pub after: Option<Duration>,
}

/// Faults told in one answer.
pub(crate) const FAULTS_MAX: usize = 100;

#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemBody<'p> {
    #[serde(rename = "type")]
    kind: String,
    title: &'p str,
    status: u16,
    code: &'p str,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'p str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [Fault],
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), hint: None, faults: Vec::new(), after: None }
    }

    pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .hint("send the header `authorization: Bearer indl_…`; `indelible token create` makes a token")
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// Try again later.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).after(Duration::from_secs(1))
    }

    /// Try again when there is room.
    pub(crate) fn disk_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail).after(Duration::from_secs(30))
    }

    pub(crate) fn invalid(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} events cannot be recorded as they are; nothing was recorded", many.len()),
        };
        Self { faults, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// As JSON, told `FAULTS_MAX` faults at most.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("urn:indelible:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            hint: self.hint.as_deref(),
            errors: self.faults.get(..FAULTS_MAX).unwrap_or(&self.faults),
        };
        safe_json(serde_json::to_vec(&body).unwrap_or_default())
    }

    /// The headers that every form of this answer has.
    pub(crate) fn dress(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.after {
            // Whole seconds, and not before there is room.
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(u64::try_from(after.as_millis().div_ceil(1_000).max(1)).unwrap_or(u64::MAX)),
            );
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.dress(&mut response);
        response
    }
}

/// Whether there was no room: on the disk, or within what its owner may have of it.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use std::error::Error as _;
        let mut detail = error.to_string();
        let mut source = error.source();
        let mut full_disk = false;
        while let Some(cause) = source {
            full_disk |= cause.downcast_ref::<std::io::Error>().is_some_and(is_full);
            detail = format!("{detail}: {cause}");
            source = cause.source();
        }
        let status = |status, code| Self::new(status, code, detail.clone());
        let problem = match error.kind() {
            ErrorKind::Rejected => status(StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
            _ if full_disk => Self::disk_full(detail.clone()),
            // What was cancelled took too long, and mostly has nobody left to be told.
            ErrorKind::Busy | ErrorKind::Cancelled => {
                status(StatusCode::SERVICE_UNAVAILABLE, "busy").after(Duration::from_secs(1))
            }
            ErrorKind::NotFound => status(StatusCode::NOT_FOUND, "not_found"),
            ErrorKind::Expired => status(StatusCode::GONE, "expired"),
            ErrorKind::Closed | ErrorKind::Poisoned => {
                status(StatusCode::SERVICE_UNAVAILABLE, "stopped").after(Duration::from_secs(5))
            }
            // What is stored is damaged or cannot be read: whoever asks did nothing wrong.
            _ => status(StatusCode::INTERNAL_SERVER_ERROR, "store"),
        };
        match error.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        let detail = match error.offset {
            Some(offset) => format!("the query cannot be understood at byte {offset}: {}", error.message),
            None => format!("the query cannot be understood: {}", error.message),
        };
        let problem = Self::bad("query", detail);
        match error.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Refused(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail),
            AccessError::Io(what, cause) if is_full(&cause) => Self::disk_full(format!("could not {what} access.json: {cause}")),
            error => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "access", error.to_string()),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(many: TooMany) -> Self {
        match many.after {
            Some(after) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate", format!("too many {} at once", many.what)).after(after)
            }
            None => Self::too_large(format!("more {} than may ever come at once", many.what)).hint("send smaller batches"),
        }
    }
}

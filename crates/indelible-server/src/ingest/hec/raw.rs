//! Lines of text, each an event.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use hyper::StatusCode;
use indelible::format::draft::{Canonical, Raw};
use indelible::json::write_string;
use indelible::{Draft, taxonomy};
use serde::Deserialize;

use super::{Acks, Said, answer, told};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::ingest::foreign::Foreign;
use crate::metrics::Protocol;
use crate::server::Server;

/// What the query says of all lines.
#[derive(Debug, Default, Deserialize)]
pub(super) struct About {
    host: Option<String>,
    index: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
}

impl About {
    /// As canonical JSON; without the host, which is the event's own.
    fn details(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (name, text) in [("index", &self.index), ("source", &self.source), ("sourcetype", &self.sourcetype)] {
            let Some(text) = text else { continue };
            out.extend_from_slice(if out.is_empty() { b"{\"_hec\":{" } else { b"," });
            write_string(&mut out, name);
            out.push(b':');
            write_string(&mut out, text);
        }
        if out.is_empty() {
            return None;
        }
        out.extend_from_slice(b"}}");
        Some(out)
    }
}

pub(super) async fn raw(
    State(server): State<Arc<Server>>,
    Extension(acks): Extension<Arc<Acks>>,
    call: Call,
    about: Result<Query<About>, QueryRejection>,
    body: Body,
) -> Response {
    let about = about.map(|Query(about)| about).map_err(|error| Problem::bad("query", error.body_text()));
    answer(record(&server, &call, &acks, about, body).await)
}

async fn record(server: &Server, call: &Call, acks: &Acks, about: Result<About, Problem>, body: Body) -> Result<Said, Problem> {
    let caller = call.caller(server, Scope::Emit)?;
    let about = about?;
    let received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let most = server.config().size("limits.batch_events");
    let count = lines(&received.bytes).take(most.saturating_add(1)).count();
    if count == 0 {
        return Ok(Said::new(StatusCode::BAD_REQUEST, 5, "No data"));
    }
    let mut foreign = Foreign::new(server, &caller, None, Protocol::Hec, None, count)?;
    let details = about.details();
    for line in lines(&received.bytes) {
        let mut draft = Draft::new(taxonomy::RECORD_OPAQUE).source("splunk-raw");
        draft.raw = Some(Raw { media_type: "text/plain", bytes: line });
        draft.origin.host = about.host.as_deref();
        if let Some(details) = &details {
            draft = draft.details_json(Canonical::trusted(details));
        }
        foreign.take_draft(draft)?;
    }
    Ok(told(&foreign.fates().await?, call, acks))
}

/// Byte for byte but for what ends them; those in which nothing is are none.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !matches!(line, [] | [b'\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_they_came() {
        let told: Vec<_> = lines(b"one\r\n\n\r\n two \r\rthree\n\n").collect();
        assert_eq!(told, [&b"one\r"[..], b" two \r\rthree"]);
    }

    #[test]
    fn what_the_query_says_is_kept() {
        let about = About { source: Some("a\"b".into()), index: Some("main".into()), ..About::default() };
        assert_eq!(about.details().unwrap(), br#"{"_hec":{"index":"main","source":"a\"b"}}"#);
        assert_eq!(About { host: Some("h".into()), ..About::default() }.details(), None);
    }
}

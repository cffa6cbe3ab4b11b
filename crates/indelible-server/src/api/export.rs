//! `GET /api/v1/export`: every event that matches, streamed in the order it was committed, and a trailer that says whether they are all.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use indelible::json::write_string;
use indelible::search::{Query, Selector, Summary, View, time};
use indelible_adapters::{CSV_COLUMNS, RECORDS_MEDIA_TYPE, write_csv, write_end, write_event_without, write_ocsf};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::tail::Position;
use super::{Parameters, records::write_record};
use crate::access::{Masks, Scope};
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::metrics::{ByQuestion, Question};
use crate::read::asked::{self, Asked};
use crate::read::masks;
use crate::server::Server;

/// Bytes that are sent together.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// One JSON object a line, and the trailer as the last line.
    #[default]
    Ndjson,
    /// RFC 4180 with formulas disarmed; it has no place for a trailer, so a broken stream is told by HTTP alone.
    Csv,
    /// One OCSF 1.8 event a line, and the trailer as the last line.
    Ocsf,
    /// The records as they are stored, and the trailer: between programs of ours.
    Records,
}

/// Parameters of an export.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportParameters {
    /// A query in the search language; all events if left out.
    q: Option<String>,
    /// Only events of this time and later.
    since: Option<String>,
    /// Only events before this time.
    until: Option<String>,
    /// Only events of this log.
    log: Option<String>,
    /// `ndjson`, `csv`, `ocsf` or `records`.
    #[param(inline)]
    format: Option<Form>,
    /// Only events from these positions on, by log: `1:4711,2:33`; of a log that is not named, from its beginning.
    from: Option<String>,
    /// What times such as `now-15m` count from, instead of now: for who goes on with an export.
    now: Option<String>,
}

/// Take events elsewhere
#[utoipa::path(get, path = "/api/v1/export", tag = "search", security(("token" = [])), params(ExportParameters),
    responses(
        (status = 200, description = "The events; NDJSON and OCSF that end without a trailer broke off", content((String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.indelible.records"))),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    call: Call,
    Parameters(parameters): Parameters<ExportParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let ExportParameters { q, since, until, log, format, from, now } = parameters;
    let form = format.unwrap_or_default();
    if form == Form::Ocsf && caller.masks().any() {
        return Err(Problem::forbidden("OCSF has no way to say what is masked: ask for ndjson"));
    }
    let asked = Asked { q, since, until, log };
    let now = now.as_deref().map(|text| time::parse(text, server.now())).transpose();
    let now = now.map_err(|error| Problem::bad("time", error.message).hint(error.hint))?.unwrap_or_else(|| server.now());
    let query = asked.compile(&caller, &server.identity, now)?;
    let from = from.as_deref().map(Position::parse).transpose()?.unwrap_or_default();
    let permit = Arc::clone(&server.searches).acquire_owned().await.map_err(|_| Problem::busy("the server is stopping"))?;
    let (sender, receiver) = mpsc::channel::<Bytes>(PIECES);
    let shared = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        let told = asked.told();
        let tenants = asked::told(&caller.tenants());
        let mut writer = Writer::new(&shared, &caller, form, sender);
        let answer = writer.run(&query, &from);
        let (count, complete) =
            (writer.count, answer.as_ref().is_ok_and(|answer| answer.incomplete.is_none()) && !writer.is_broken);
        if let Ok(answer) = answer {
            writer.finish(&asked, &answer);
        }
        shared.audit.export(&caller, &told, &tenants, count, complete);
        shared.metrics.questions.get_or_create(&ByQuestion { question: Question::Export }).inc();
        drop(permit);
    });
    let mut response = Response::new(Body::from_stream(super::tail::Pieces(receiver)));
    let (kind, name) = match form {
        Form::Ndjson => ("application/x-ndjson", "attachment; filename=\"events.ndjson\""),
        Form::Ocsf => ("application/x-ndjson", "attachment; filename=\"events.ocsf.ndjson\""),
        Form::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"events.csv\""),
        Form::Records => (RECORDS_MEDIA_TYPE, "attachment; filename=\"events.records\""),
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Writer<'w> {
    server: &'w Server,
    form: Form,
    masks: Masks,
    columns: Vec<Selector>,
    sender: mpsc::Sender<Bytes>,
    out: Vec<u8>,
    /// One row of CSV, to be used again.
    line: String,
    count: u64,
    is_broken: bool,
}

impl<'w> Writer<'w> {
    fn new(server: &'w Server, caller: &Caller, form: Form, sender: mpsc::Sender<Bytes>) -> Self {
        let masks = caller.masks();
        let columns: Vec<Selector> = CSV_COLUMNS
            .iter()
            .filter_map(|name| Selector::new(name).ok())
            .filter(|column| masks::field(column.name(), masks).is_ok())
            .collect();
        Self { server, form, masks, columns, sender, out: Vec::new(), line: String::new(), count: 0, is_broken: false }
    }

    fn run(&mut self, query: &Query, from: &Position) -> indelible::Result<Summary> {
        if self.form == Form::Csv {
            let names: Vec<String> = self.columns.iter().map(|column| column.name().to_string()).collect();
            write_csv(&mut self.out, &mut String::new(), &names);
        }
        let reader = self.server.reader.clone();
        reader.search_from(query, &from.places(), &mut |view| {
            self.event(view);
            if self.is_broken || self.server.is_draining() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn event(&mut self, view: &View<'_>) {
        self.count += 1;
        let log = self.server.identity.log_name(view.log);
        match self.form {
            Form::Ndjson => write_event_without(&mut self.out, log, view.seq, view.record, view.head, masks::hidden(self.masks)),
            Form::Ocsf => write_ocsf(&mut self.out, log, view.seq, view.record, view.head),
            Form::Csv => {
                let columns = std::mem::take(&mut self.columns);
                let cells = columns.iter().map(|column| match column.name().to_string().as_str() {
                    "log" => log.to_owned().into(),
                    _ => column.text(view).unwrap_or_default(),
                });
                write_csv(&mut self.out, &mut self.line, cells);
                self.columns = columns;
            }
            Form::Records => write_record(&mut self.out, view, masks::hidden(self.masks)),
        }
        if matches!(self.form, Form::Ndjson | Form::Ocsf) {
            self.out.push(b'\n');
        }
        if self.out.len() >= PIECE_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        let piece = Bytes::from(std::mem::take(&mut self.out));
        self.is_broken |= self.sender.blocking_send(piece).is_err();
    }

    /// The trailer; CSV has no place for it.
    fn finish(&mut self, asked: &Asked, answer: &Summary) {
        if self.is_broken || self.server.is_draining() {
            return;
        }
        if self.form == Form::Records {
            let mut end = format!("{{\"matched\":{},\"scanned\":{}", answer.matched, answer.scanned).into_bytes();
            super::search::write_reach(&mut end, self.server, answer.incomplete.as_deref(), &answer.heads);
            end.push(b'}');
            write_end(&mut self.out, &end);
        } else if self.form != Form::Csv {
            let mut out = b"{\"indelible_export\":{\"version\":1,\"format\":".to_vec();
            write_string(&mut out, if self.form == Form::Ocsf { "ocsf" } else { "ndjson" });
            out.extend_from_slice(b",\"store\":");
            write_string(&mut out, &self.server.identity.store_hex());
            for (name, value) in [("query", &asked.q), ("since", &asked.since), ("until", &asked.until), ("log", &asked.log)] {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                match value {
                    Some(value) => write_string(&mut out, value),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.extend_from_slice(format!(",\"count\":{}", self.count).as_bytes());
            super::search::write_reach(&mut out, self.server, answer.incomplete.as_deref(), &answer.heads);
            out.extend_from_slice(b"}}\n");
            self.out.extend_from_slice(&out);
        }
        self.send();
    }
}

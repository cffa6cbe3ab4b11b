//! `GET /api/v1/export`: every event that matches, streamed in the order it was committed, and a trailer that says whether they are all.

mod table;

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use indelible::json::write_string;
use indelible::search::{Query, Selector, Summary, View, time};
use indelible::text::escape_terminal;
use indelible_adapters::{CSV_COLUMNS, RECORDS_MEDIA_TYPE, write_csv, write_end, write_event_without, write_ocsf};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::Asking;
use super::records::write_record;
use super::tail::Position;
use crate::access::{Masks, Scope};
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::metrics::{ByQuestion, Question};
use crate::read::asked::{self, Asked};
use crate::read::masks;
use crate::server::Server;
use table::Table;

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
    /// RFC 4180 with formulas disarmed; it has no place for a trailer, so that it broke off is told by HTTP alone.
    Csv,
    /// One OCSF 1.8 event a line, and the trailer as the last line.
    Ocsf,
    /// One Parquet file with the columns of segments; the trailer is in its footer, under `indelible.export`.
    Parquet,
    /// The records as they are stored, and the trailer: between programs of ours.
    Records,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Parquet => "parquet",
            Self::Records => "records",
        }
    }

    /// Media type, and the name for the file.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Ndjson => ("application/x-ndjson", "attachment; filename=\"events.ndjson\""),
            Self::Ocsf => ("application/x-ndjson", "attachment; filename=\"events.ocsf.ndjson\""),
            Self::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"events.csv\""),
            Self::Parquet => (table::MEDIA_TYPE, table::DISPOSITION),
            Self::Records => (RECORDS_MEDIA_TYPE, "attachment; filename=\"events.records\""),
        }
    }
}

/// Parameters of an export.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportParameters {
    /// `ndjson`, `csv`, `ocsf`, `parquet` or `records`.
    #[param(inline)]
    format: Option<Form>,
    /// Only events from these positions on, by log: `1:4711,2:33`; of a log that is not named, from its beginning.
    from: Option<String>,
    /// What times such as `now-15m` count from, instead of now: for who goes on with an export.
    now: Option<String>,
}

/// Take events elsewhere
#[utoipa::path(get, path = "/api/v1/export", tag = "search", security(("token" = [])), params(Asked, ExportParameters),
    responses(
        (status = 200, description = "The events; a response that breaks off is not all of them", content((String = "application/x-ndjson"), (String = "text/csv"), (String = "application/vnd.apache.parquet"), (Vec<u8> = "application/vnd.indelible.records"))),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    call: Call,
    Asking(asked, parameters): Asking<ExportParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let form = parameters.format.unwrap_or_default();
    if matches!(form, Form::Ocsf | Form::Parquet) && caller.masks().any() {
        let text = format!("{} has no way to say what is masked: ask for ndjson", form.name());
        return Err(Problem::forbidden(text));
    }
    let now = parameters.now.as_deref().map(|text| time::parse(text, server.now())).transpose();
    let now = now.map_err(|error| Problem::bad("time", error.message).hint(error.hint))?.unwrap_or_else(|| server.now());
    let query = asked.compile(&caller, &server.identity, now)?;
    let from = parameters.from.as_deref().map(Position::parse).transpose()?.unwrap_or_default();
    // Places of their own: an export lasts as long as its reader takes, and searches do not wait for that.
    let place =
        tokio::time::timeout(server.config().time("limits.search_time"), Arc::clone(&server.exports).acquire_owned()).await;
    let permit = place.ok().and_then(Result::ok).ok_or_else(|| Problem::busy("too many exports are under way"))?;
    let (sender, receiver) = mpsc::channel(PIECES);
    let ended = Arc::new(AtomicBool::new(false));
    let whole = Arc::clone(&ended);
    let shared = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(&shared, &caller, form, sender);
        let answer = writer.run(&query, &from);
        let is_whole = writer.finish(&asked, answer);
        whole.store(!writer.is_broken, Ordering::Relaxed);
        shared.audit.export(&caller, &asked.told(), &asked::told(&caller.tenants()), writer.count, is_whole);
        shared.metrics.questions.get_or_create(&ByQuestion { question: Question::Export }).inc();
        drop(permit);
    });
    let mut response = Response::new(Body::from_stream(Pieces(receiver, ended)));
    let (kind, name) = form.told();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What is sent; an error breaks the response off, so that nobody takes it for all there is.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>, Arc<AtomicBool>);

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.poll_recv(context) {
            // Whoever made them gave up, and said so at most in a place that this reader left no room in.
            Poll::Ready(None) if !self.1.swap(true, Ordering::Relaxed) => Poll::Ready(Some(Err(broken_off()))),
            polled => polled,
        }
    }
}

fn broken_off() -> io::Error {
    io::Error::other("the export broke off")
}

struct Writer<'w> {
    server: &'w Server,
    form: Form,
    masks: Masks,
    columns: Vec<Selector>,
    table: Option<Table>,
    sender: mpsc::Sender<io::Result<Bytes>>,
    out: Vec<u8>,
    /// One row of CSV, to be used again.
    line: String,
    count: u64,
    /// Nobody takes it any more, or it cannot be gone on with.
    is_broken: bool,
}

impl<'w> Writer<'w> {
    fn new(server: &'w Server, caller: &Caller, form: Form, sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        let masks = caller.masks();
        let columns: Vec<Selector> = CSV_COLUMNS
            .iter()
            .filter_map(|name| Selector::new(name).ok())
            .filter(|column| masks::field(column.name(), masks).is_ok())
            .collect();
        let (out, line) = (Vec::new(), String::new());
        Self { server, form, masks, columns, table: None, sender, out, line, count: 0, is_broken: false }
    }

    fn run(&mut self, query: &Query, from: &Position) -> indelible::Result<Summary> {
        match self.form {
            Form::Csv => {
                let names: Vec<String> = self.columns.iter().map(|column| column.name().to_string()).collect();
                write_csv(&mut self.out, &mut self.line, &names);
            }
            Form::Parquet => match Table::begin(&mut self.out) {
                Ok(table) => self.table = Some(table),
                Err(_) => self.is_broken = true,
            },
            Form::Ndjson | Form::Ocsf | Form::Records => {}
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
            Form::Ndjson => {
                write_event_without(&mut self.out, log, view.seq, view.record, view.head, masks::hidden(self.masks));
                self.out.push(b'\n');
            }
            Form::Ocsf => {
                write_ocsf(&mut self.out, log, view.seq, view.record, view.head);
                self.out.push(b'\n');
            }
            Form::Csv => {
                let columns = std::mem::take(&mut self.columns);
                let cells = columns.iter().map(|column| match column.name().to_string().as_str() {
                    "log" => log.to_owned(),
                    // For eyes, and often those before a terminal.
                    _ => escape_terminal(&column.text(view).unwrap_or_default()).into_owned(),
                });
                write_csv(&mut self.out, &mut self.line, cells);
                self.columns = columns;
            }
            Form::Parquet => {
                let written = self.table.as_mut().map(|table| table.event(&mut self.out, view));
                self.is_broken |= !matches!(written, Some(Ok(())));
            }
            Form::Records => write_record(&mut self.out, view, masks::hidden(self.masks)),
        }
        if self.out.len() >= PIECE_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        let mut rest = Bytes::from(std::mem::take(&mut self.out));
        while !rest.is_empty() && !self.is_broken {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            // Who takes nothing for so long is not waited for.
            let patience = self.server.config().time("limits.body_time");
            let sent = tokio::runtime::Handle::current().block_on(tokio::time::timeout(patience, self.sender.send(Ok(piece))));
            self.is_broken |= !matches!(sent, Ok(Ok(())));
        }
    }

    /// Sends the end, or breaks off. Gives whether all that matches was sent.
    fn finish(&mut self, asked: &Asked, answer: indelible::Result<Summary>) -> bool {
        let answer = answer.ok().filter(|_| !self.is_broken && !self.server.is_draining());
        let is_complete = answer.as_ref().is_some_and(|answer| answer.incomplete.is_none());
        match answer {
            // CSV has no place to say that something is missing.
            Some(answer) if is_complete || self.form != Form::Csv => self.end(asked, &answer),
            _ => self.is_broken = true,
        }
        if self.is_broken {
            let _ = self.sender.try_send(Err(broken_off()));
        }
        is_complete && !self.is_broken
    }

    fn end(&mut self, asked: &Asked, answer: &Summary) {
        match self.form {
            Form::Csv => {}
            Form::Ndjson | Form::Ocsf => {
                let trailer = self.trailer(asked, answer);
                self.out.extend_from_slice(&trailer);
                self.out.push(b'\n');
            }
            Form::Parquet => {
                let trailer = self.trailer(asked, answer);
                let ended = self.table.take().map(|table| table.end(&mut self.out, &trailer, &self.server.identity));
                self.is_broken |= !matches!(ended, Some(Ok(())));
            }
            Form::Records => {
                let mut end = format!("{{\"matched\":{},\"scanned\":{}", answer.matched, answer.scanned).into_bytes();
                super::search::write_reach(&mut end, self.server, answer.incomplete.as_deref(), &answer.heads);
                end.push(b'}');
                write_end(&mut self.out, &end);
            }
        }
        self.send();
    }

    fn trailer(&self, asked: &Asked, answer: &Summary) -> Vec<u8> {
        let mut out = b"{\"indelible_export\":{\"version\":1,\"format\":".to_vec();
        write_string(&mut out, self.form.name());
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
        out.extend_from_slice(b"}}");
        out
    }
}

//! `GET /api/v1/export`: every event that matches, streamed in the order it was committed, and a trailer that says whether they are all.

mod table;

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use indelible::json::write_string;
use indelible::search::{Query, Selector, Summary, View, time};
use indelible::text::escape_terminal;
use indelible_adapters::{CSV_COLUMNS, RECORDS_MEDIA_TYPE, write_csv, write_end, write_event_without, write_ocsf};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Asking;
use super::records::write_record;
use super::sending::{PIECE_BYTES, Sending};
use super::tail::Position;
use crate::access::{Masks, Scope};
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::metrics::{ByQuestion, Question};
use crate::read::asked::{self, Asked};
use crate::read::masks;
use crate::server::Server;
use table::Table;

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
        server.audit.masked(&caller);
        let text = format!("{} has no way to say what is masked: ask for ndjson", form.name());
        return Err(Problem::forbidden(text));
    }
    let now = parameters.now.as_deref().map(|text| time::parse(text, server.now())).transpose();
    let now = now.map_err(|error| Problem::bad("time", error.message).hint(error.hint))?.unwrap_or_else(|| server.now());
    let query = asked.compile(&server, &caller, now)?;
    let from = parameters.from.as_deref().map(Position::parse).transpose()?.unwrap_or_default();
    let (sending, body) = Sending::begin(&server, caller.holder()).await?;
    let shared = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(&shared, &caller, form, sending);
        let answer = writer.run(&query, &from);
        let count = writer.count;
        let is_whole = writer.finish(&asked, answer);
        shared.audit.export(&caller, &asked.told(), &asked::told(&caller.tenants()), count, is_whole);
        shared.metrics.questions.get_or_create(&ByQuestion { question: Question::Export }).inc();
    });
    let mut response = Response::new(body);
    let (kind, name) = form.told();
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
    table: Option<Table>,
    sending: Sending,
    out: Vec<u8>,
    /// One row of CSV, to be used again.
    line: String,
    count: u64,
}

impl<'w> Writer<'w> {
    fn new(server: &'w Server, caller: &Caller, form: Form, sending: Sending) -> Self {
        let masks = caller.masks();
        let columns: Vec<Selector> = CSV_COLUMNS
            .iter()
            .filter_map(|name| Selector::new(name).ok())
            .filter(|column| masks::field(column.name(), masks).is_ok())
            .collect();
        let (out, line) = (Vec::new(), String::new());
        Self { server, form, masks, columns, table: None, sending, out, line, count: 0 }
    }

    fn run(&mut self, query: &Query, from: &Position) -> indelible::Result<Summary> {
        match self.form {
            Form::Csv => {
                let names: Vec<String> = self.columns.iter().map(|column| column.name().to_string()).collect();
                write_csv(&mut self.out, &mut self.line, &names);
            }
            Form::Parquet => match Table::begin(&mut self.out) {
                Ok(table) => self.table = Some(table),
                Err(_) => self.sending.give_up(),
            },
            Form::Ndjson | Form::Ocsf | Form::Records => {}
        }
        let reader = self.server.reader.clone();
        reader.search_from(query, &from.places(), &mut |view| {
            self.event(view);
            if self.sending.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
                if !matches!(written, Some(Ok(()))) {
                    self.sending.give_up();
                }
            }
            Form::Records => write_record(&mut self.out, view, masks::hidden(self.masks)),
        }
        if self.out.len() >= PIECE_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.sending.send(std::mem::take(&mut self.out));
    }

    /// Sends the end, or breaks off. Gives whether all that matches was sent.
    fn finish(mut self, asked: &Asked, answer: indelible::Result<Summary>) -> bool {
        let answer = answer.ok().filter(|_| !self.sending.is_broken());
        let is_complete = answer.as_ref().is_some_and(|answer| answer.incomplete.is_none());
        match answer {
            // CSV has no place to say that something is missing.
            Some(answer) if is_complete || self.form != Form::Csv => self.end(asked, &answer),
            _ => self.sending.give_up(),
        }
        self.sending.end() && is_complete
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
                if !matches!(ended, Some(Ok(()))) {
                    self.sending.give_up();
                }
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

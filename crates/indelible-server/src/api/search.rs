//! Search, one event, and what surrounds it.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use indelible::format::disclose::disclose;
use indelible::format::leaf::{Salts, Seed, commitments};
use indelible::format::record::Body;
use indelible::json::write_string;
use indelible::search::{PageEnd, Summary, View};
use indelible::{Hash, LogHead, Record, Stored, Tag};
use indelible_adapters::{write_event_without, write_seq};
use serde::Deserialize;
use utoipa::IntoParams;

use super::records::{self, AnswerForm, write_record};
use super::{Asking, Parameters, json};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::metrics::Question;
use crate::read::asked::{self, Asked, Located};
use crate::read::{ask, masks};
use crate::server::Server;

/// Parameters of a search.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SearchParameters {
    /// Events of one page, 100 if left out.
    #[param(minimum = 1)]
    limit: Option<u64>,
    /// Only events older than a page: its `next`.
    before: Option<String>,
    /// Also count all that match, as `matched`.
    count: Option<bool>,
    /// Also tell how the page was found, as `explain`.
    explain: Option<bool>,
    /// `json` or `records`.
    #[param(inline)]
    format: Option<AnswerForm>,
}

/// Events of a page if nobody says how many.
const PAGE: u64 = 100;

/// Find events, the newest first
#[utoipa::path(get, path = "/api/v1/search", tag = "search", security(("token" = [])), params(Asked, SearchParameters),
    responses(
        (status = 200, description = "A page of events", body = super::openapi::PageDoc),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
        (status = 503, description = "It took too long", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn search(
    State(server): State<Arc<Server>>,
    call: Call,
    Asking(asked, parameters): Asking<SearchParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let query = asked.compile(&server, &caller, server.now())?;
    let limit = parameters.limit.unwrap_or(PAGE);
    let most = server.config().number("limits.search_events");
    if !(1..=most).contains(&limit) {
        return Err(Problem::bad("limit", format!("limit is from 1 to {most}")));
    }
    let before: Option<PageEnd> =
        parameters.before.as_deref().map(str::parse).transpose().map_err(|error: String| Problem::bad("before", error))?;
    server.audit.read(&caller, "search", &asked.told(), &asked::told(&caller.tenants()));
    let (count, explain) = (parameters.count.unwrap_or(false), parameters.explain.unwrap_or(false));
    let form = parameters.format.unwrap_or_default();
    ask(&server, caller.holder(), Question::Search, move |server, cancel| {
        let mut page = Page::new(server, &caller, form);
        let query = cancel.on(query);
        let found = server.reader.latest(&query, limit, before.as_ref(), &mut |view| {
            page.event(view);
            ControlFlow::Continue(())
        })?;
        let mut out = format!(",\"shown\":{}", found.shown).into_bytes();
        match found.next {
            Some(next) => out.extend_from_slice(format!(",\"next\":\"{next}\"").as_bytes()),
            None => out.extend_from_slice(b",\"next\":null"),
        }
        if count {
            let Summary { matched, scanned, .. } = server.reader.count(&query)?;
            out.extend_from_slice(format!(",\"matched\":{matched},\"scanned\":{scanned}").as_bytes());
        }
        if explain {
            out.extend_from_slice(b",\"explain\":");
            write_explain(&mut out, &found.explain);
        }
        write_reach(&mut out, server, found.incomplete.as_deref(), &found.heads);
        Ok(page.end(&out))
    })
    .await
}

/// Parameters of one event.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShowParameters {
    /// `json`, or `records`: the record, then its origin, leaf and commitments.
    #[param(inline)]
    format: Option<AnswerForm>,
}

/// Show one event
#[utoipa::path(get, path = "/api/v1/events/{event}", tag = "search", security(("token" = [])),
    params(("event" = String, Path, description = "A position (1234), one of another log (telemetry:7), or the event's id"), ShowParameters),
    responses(
        (status = 200, description = "The event", body = super::openapi::EventDoc),
        (status = "4XX", description = "There is no such event for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(event): Path<String>,
    Parameters(parameters): Parameters<ShowParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    server.audit.read(&caller, "show", &event, &asked::told(&caller.tenants()));
    ask(&server, caller.holder(), Question::Show, move |server, cancel| {
        let none = || Problem::not_found(format!("there is no event {event}"));
        let Located { log, seq, namesakes } = asked::locate(server, &caller, &event, cancel)?;
        let stored = server.reader.record(log, seq)?.ok_or_else(none)?;
        let record = stored.record().ok_or_else(none)?;
        let hidden = masks::hidden(caller.masks());
        if parameters.format == Some(AnswerForm::Records) {
            return Ok(one_record(server, &stored, &record, hidden, namesakes));
        }
        let mut out = Vec::new();
        match (record.head(), record.control()) {
            (Some(head), _) => {
                write_event_without(&mut out, server.identity.log_name(log), seq, &record, &head, hidden);
                out.pop();
                out.extend_from_slice(format!(",\"leaf\":\"{}\"}}", stored.leaf()).as_bytes());
            }
            (None, Some(control)) => write_control(&mut out, server, log, seq, control),
            (None, None) => return Err(none()),
        }
        Ok(json(out))
    })
    .await
}

/// The record, and what its leaf is made of.
fn one_record(server: &Server, stored: &Stored, record: &Record<'_>, hidden: &[Tag], namesakes: u64) -> Response {
    let mut salts = Salts::new(stored.seed.clone().unwrap_or(Seed([0; 32])));
    let commitments = commitments(record, stored.seq, &mut salts);
    let mut frames = Vec::new();
    write_seq(&mut frames, stored.seq);
    let known = |tag| commitments.iter().find(|(known, _)| *known == tag).map_or(Hash::ZERO, |(_, hash)| *hash);
    let shown = |tag, body| if hidden.contains(&tag) { Body::Withheld(known(tag)) } else { body };
    // It was a record before, and is no longer now.
    let _ = disclose(record, &mut frames, shown);
    let mut said = b",\"origin\":".to_vec();
    write_string(&mut said, &server.identity.origin(stored.log).unwrap_or_default());
    said.extend_from_slice(format!(",\"leaf\":\"{}\",\"namesakes\":{namesakes},\"commitments\":[", stored.leaf()).as_bytes());
    for (nth, (_, hash)) in commitments.iter().enumerate() {
        said.extend_from_slice(format!("{}\"{hash}\"", if nth > 0 { "," } else { "" }).as_bytes());
    }
    said.push(b']');
    records::response(frames, &said)
}

fn write_control(out: &mut Vec<u8>, server: &Server, log: u32, seq: u64, control: &[u8]) {
    out.extend_from_slice(format!("{{\"log\":\"{}\",\"seq\":{seq},\"control\":", server.identity.log_name(log)).as_bytes());
    out.extend_from_slice(control);
    out.push(b'}');
}

/// How much of what surrounds an event.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContextParameters {
    /// Events before it, 5 if left out.
    #[param(maximum = 100)]
    before: Option<u64>,
    /// Events behind it, 5 if left out.
    #[param(maximum = 100)]
    after: Option<u64>,
    /// Only those that match this query.
    q: Option<String>,
}

/// Show what was recorded before and after an event
#[utoipa::path(get, path = "/api/v1/events/{event}/context", tag = "search", security(("token" = [])),
    params(("event" = String, Path, description = "A position, or the event's id"), ContextParameters),
    responses(
        (status = 200, description = "The event among its neighbours, the oldest first", body = super::openapi::PageDoc),
        (status = "4XX", description = "There is no such event for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn context(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(event): Path<String>,
    Parameters(parameters): Parameters<ContextParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let (before, after) = (parameters.before.unwrap_or(5), parameters.after.unwrap_or(5));
    if before > 100 || after > 100 {
        return Err(Problem::bad("limit", "before and after are 100 at most"));
    }
    let asked = Asked { q: parameters.q, ..Asked::default() };
    let query = asked.compile(&server, &caller, server.now())?;
    server.audit.read(&caller, "context", &event, &asked::told(&caller.tenants()));
    ask(&server, caller.holder(), Question::Search, move |server, cancel| {
        let Located { log, seq, .. } = asked::locate(server, &caller, &event, cancel)?;
        let mut query = cancel.on(query);
        query.log = Some(log);
        let mut page = Page::new(server, &caller, AnswerForm::Json);
        let mut older = Vec::new();
        let end: PageEnd = format!("{log}:{seq}").parse().map_err(|error: String| Problem::bad("event", error))?;
        let found = server.reader.latest(&query, before, Some(&end), &mut |view| {
            older.push((view.seq, view.record.bytes().to_vec()));
            ControlFlow::Continue(())
        })?;
        for (seq, bytes) in older.iter().rev() {
            page.record(log, *seq, bytes);
        }
        if let Some(stored) = server.reader.record(log, seq)? {
            page.record(log, seq, &stored.bytes);
        }
        let mut incomplete = found.incomplete;
        if after > 0 {
            // However far on they are: among ten thousand tenants the next event of one may be behind as many of others.
            let mut left = after;
            let newer = server.reader.search_from(&query, &[(log, seq + 1)], &mut |view| {
                page.event(view);
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            incomplete = incomplete.or(newer.incomplete);
        }
        let mut out = Vec::new();
        write_reach(&mut out, server, incomplete.as_deref(), &found.heads);
        Ok(page.end(&out))
    })
    .await
}

/// A list of events, and what is said of it behind them.
struct Page<'p> {
    server: &'p Server,
    form: AnswerForm,
    hidden: &'static [Tag],
    out: Vec<u8>,
    count: usize,
}

impl<'p> Page<'p> {
    fn new(server: &'p Server, caller: &Caller, form: AnswerForm) -> Self {
        Self { server, form, hidden: masks::hidden(caller.masks()), out: Vec::new(), count: 0 }
    }

    fn event(&mut self, view: &View<'_>) {
        if self.form == AnswerForm::Records {
            return write_record(&mut self.out, view, self.hidden);
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count += 1;
        let log = self.server.identity.log_name(view.log);
        write_event_without(&mut self.out, log, view.seq, view.record, view.head, self.hidden);
    }

    fn record(&mut self, log: u32, seq: u64, bytes: &[u8]) {
        if let Some(record) = Record::parse(bytes)
            && let Some(head) = record.head()
        {
            self.event(&View { log, seq, record: &record, head: &head });
        }
    }

    /// `said`: further members, `,"name":value…`.
    fn end(self, said: &[u8]) -> Response {
        match self.form {
            AnswerForm::Json => json([b"{\"events\":[", &*self.out, b"]", said, b"}"].concat()),
            AnswerForm::Records => records::response(self.out, said),
        }
    }
}

/// Whether the answer is complete, and how far each log reached.
pub(crate) fn write_reach(out: &mut Vec<u8>, server: &Server, incomplete: Option<&str>, heads: &[LogHead]) {
    out.extend_from_slice(format!(",\"complete\":{}", incomplete.is_none()).as_bytes());
    if let Some(reason) = incomplete {
        out.extend_from_slice(b",\"reason\":");
        write_string(out, reason);
    }
    out.extend_from_slice(b",\"logs\":[");
    for (nth, head) in heads.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        let name = server.identity.log_name(head.log);
        out.extend_from_slice(
            format!("{comma}{{\"log\":\"{name}\",\"size\":{},\"root\":\"{}\"}}", head.size, head.root).as_bytes(),
        );
    }
    out.push(b']');
}

fn write_explain(out: &mut Vec<u8>, did: &indelible::search::Explain) {
    let numbers = [
        ("segments", did.segments),
        ("segments_by_time", did.segments_by_time),
        ("segments_by_result", did.segments_by_result),
        ("segments_not_needed", did.segments_not_needed),
        ("blocks", did.blocks),
        ("blocks_by_index", did.blocks_by_index),
        ("blocks_by_time", did.blocks_by_time),
        ("rows_sifted", did.rows_sifted),
        ("rows_read", did.rows_read),
        ("tail_records", did.tail_records),
        ("tail_records_by_index", did.tail_records_by_index),
        ("cache_hits", did.cache_hits),
        ("cache_misses", did.cache_misses),
        ("bytes_read", did.bytes_read),
    ];
    for (nth, (name, number)) in numbers.iter().enumerate() {
        let before = if nth == 0 { '{' } else { ',' };
        out.extend_from_slice(format!("{before}\"{name}\":{number}").as_bytes());
    }
    out.push(b'}');
}

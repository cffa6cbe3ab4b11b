//! Counting: values of fields, groups, stretches of time. Exact, or said not to be.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use indelible::Outcome;
use indelible::json::write_string;
use indelible::search::{Grouping, Groups, Interval, Query, Selector, Summary, Tally};
use serde::Deserialize;
use utoipa::IntoParams;

use super::search::write_reach;
use super::{Asking, json};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::metrics::Question;
use crate::read::asked::{self, Asked};
use crate::read::{ask, masks};
use crate::server::Server;

/// Groups that are told if nobody says how many.
const GROUPS: usize = 100;
const GROUPS_TOLD_MAX: usize = 10_000;
/// Groups and bytes of values that one question may keep apart.
const GROUPS_KEPT: usize = 100_000;
const KEY_BYTES: usize = 16 << 20;
/// Stretches of time of one histogram.
const STRETCHES_MAX: usize = 100_000;

/// Parameters of facets.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FacetParameters {
    /// The fields, separated by commas.
    fields: Option<String>,
    /// Values told of each field, 100 if left out.
    limit: Option<usize>,
    /// Also tell of each value the first and the last event. It reads every event that matches.
    times: Option<bool>,
}

/// Which values fields have, the most frequent first
#[utoipa::path(get, path = "/api/v1/facets", tag = "search", security(("token" = [])), params(Asked, FacetParameters),
    responses(
        (status = 200, description = "Values and counts", body = super::openapi::FacetsDoc),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn facets(
    State(server): State<Arc<Server>>,
    call: Call,
    Asking(asked, parameters): Asking<FacetParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let FacetParameters { fields, limit, times } = parameters;
    let query = asked.compile(&server, &caller, server.now())?;
    let fields = fields.unwrap_or_default();
    let selectors = selectors(&server, &caller, &fields)?;
    if selectors.is_empty() {
        return Err(Problem::bad("fields", "name the fields, such as fields=action,actor.id"));
    }
    let limit = bounded(limit)?;
    server.audit.read(&caller, "facets", &format!("{} fields={fields}", asked.told()), &asked::told(&caller.tenants()));
    let times = times.unwrap_or(false);
    let body = ask(&server, caller.holder(), Question::Count, move |server, cancel| {
        let query = cancel.on(query);
        let mut out = b"{\"facets\":[".to_vec();
        if times {
            let summary = timed_facets(&mut out, server, &query, &selectors, limit)?;
            out.push(b']');
            return end(out, server, Some(&summary));
        }
        let mut last: Option<Summary> = None;
        for (nth, field) in selectors.iter().enumerate() {
            let facet = server.reader.facet_within(&query, field, GROUPS_KEPT, KEY_BYTES)?;
            out.extend_from_slice(if nth > 0 { b",{\"field\":" } else { b"{\"field\":" });
            write_string(&mut out, &field.name().to_string());
            out.extend_from_slice(format!(",\"distinct\":{},\"values\":[", facet.counts.len()).as_bytes());
            for (nth, (value, count)) in facet.counts.iter().take(limit).enumerate() {
                out.extend_from_slice(if nth > 0 { b",{\"value\":" } else { b"{\"value\":" });
                write_value(&mut out, value.as_deref());
                out.extend_from_slice(format!(",\"events\":{count}}}").as_bytes());
            }
            out.extend_from_slice(b"]}");
            // What one field lacks, the answer lacks.
            let before = last.take().and_then(|summary| summary.incomplete);
            last = Some(Summary { incomplete: before.or(facet.summary.incomplete), ..facet.summary });
        }
        out.push(b']');
        end(out, server, last.as_ref())
    })
    .await?;
    Ok(json(body))
}

/// As facets, with the first and the last event of each value; all fields in one pass.
fn timed_facets(
    out: &mut Vec<u8>,
    server: &Server,
    query: &Query,
    fields: &[Selector],
    limit: usize,
) -> Result<Summary, Problem> {
    let share = fields.len().max(1);
    let grouping = |field: &Selector| Grouping {
        fields: vec![field.clone()],
        interval: None,
        groups_max: GROUPS_KEPT / share,
        key_bytes_max: KEY_BYTES / share,
    };
    let (groups, mut summary) = server.reader.aggregate_each(query, fields.iter().map(grouping))?;
    for (nth, (field, groups)) in fields.iter().zip(&groups).enumerate() {
        out.extend_from_slice(if nth > 0 { b",{\"field\":" } else { b"{\"field\":" });
        let name = field.name().to_string();
        write_string(out, &name);
        out.extend_from_slice(format!(",\"distinct\":{},\"others\":{}", groups.groups.len(), groups.others).as_bytes());
        out.extend_from_slice(b",\"values\":[");
        for (nth, group) in groups.groups.iter().take(limit).enumerate() {
            out.extend_from_slice(if nth > 0 { b",{\"value\":" } else { b"{\"value\":" });
            write_value(out, group.values.first().and_then(Option::as_deref));
            out.push(b',');
            write_tally(out, &group.tally);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        let why = groups.incomplete.as_ref().map(|why| format!("{name}: {why}"));
        summary.incomplete = summary.incomplete.or(why);
    }
    Ok(summary)
}

/// Parameters of statistics.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatsParameters {
    /// Fields to group by, separated by commas; one group if left out.
    by: Option<String>,
    /// Count each stretch of time by itself: `1m`, `1h`, `1d`, `1w`.
    interval: Option<String>,
    /// Groups told, 100 if left out.
    limit: Option<usize>,
}

/// How many events there are, by fields and time
#[utoipa::path(get, path = "/api/v1/stats", tag = "search", security(("token" = [])), params(Asked, StatsParameters),
    responses(
        (status = 200, description = "Groups and counts", body = super::openapi::StatsDoc),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn stats(
    State(server): State<Arc<Server>>,
    call: Call,
    Asking(asked, parameters): Asking<StatsParameters>,
) -> Result<Response, Problem> {
    count(server, call, asked, parameters, "stats").await
}

/// How many events each stretch of time has
#[utoipa::path(get, path = "/api/v1/histogram", tag = "search", security(("token" = [])), params(Asked, StatsParameters),
    responses(
        (status = 200, description = "Stretches and counts; `interval` is 1h if left out", body = super::openapi::StatsDoc),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn histogram(
    State(server): State<Arc<Server>>,
    call: Call,
    Asking(asked, mut parameters): Asking<StatsParameters>,
) -> Result<Response, Problem> {
    parameters.interval.get_or_insert_with(|| "1h".to_owned());
    parameters.limit.get_or_insert(GROUPS_TOLD_MAX);
    count(server, call, asked, parameters, "histogram").await
}

async fn count(
    server: Arc<Server>,
    call: Call,
    asked: Asked,
    parameters: StatsParameters,
    operation: &str,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let StatsParameters { by, interval, limit } = parameters;
    let query = asked.compile(&server, &caller, server.now())?;
    let by = by.unwrap_or_default();
    let fields = selectors(&server, &caller, &by)?;
    let interval = interval.as_deref().map(str::parse::<Interval>).transpose();
    let interval = interval.map_err(|error| Problem::bad("interval", error.message).hint(error.hint))?;
    let limit = bounded(limit)?;
    server.audit.read(&caller, operation, &format!("{} by={by}", asked.told()), &asked::told(&caller.tenants()));
    let body = ask(&server, caller.holder(), Question::Count, move |server, cancel| {
        let query = cancel.on(query);
        let groups_max = if interval.is_some() { STRETCHES_MAX } else { GROUPS_KEPT };
        let grouping = Grouping { fields: fields.clone(), interval, groups_max, key_bytes_max: KEY_BYTES };
        let answer = server.reader.aggregate(&query, grouping)?;
        let mut out = Vec::new();
        write_groups(&mut out, &fields, &answer.groups, limit);
        end(out, server, Some(&answer.summary))
    })
    .await?;
    Ok(json(body))
}

fn write_groups(out: &mut Vec<u8>, fields: &[Selector], groups: &Groups, limit: usize) {
    out.extend_from_slice(b"{\"groups\":[");
    for (nth, group) in groups.groups.iter().take(limit).enumerate() {
        let mut separator = if nth > 0 { &b",{"[..] } else { &b"{"[..] };
        if let Some(start) = group.start {
            out.extend_from_slice(separator);
            out.extend_from_slice(format!("\"start\":\"{}\"", indelible::time::format(start)).as_bytes());
            separator = b",";
        }
        for (field, value) in fields.iter().zip(&group.values) {
            out.extend_from_slice(separator);
            separator = b",";
            write_string(out, &field.name().to_string());
            out.push(b':');
            write_value(out, value.as_deref());
        }
        out.extend_from_slice(separator);
        write_tally(out, &group.tally);
        out.push(b'}');
    }
    out.extend_from_slice(format!("],\"distinct\":{},\"others\":{}", groups.groups.len(), groups.others).as_bytes());
    if let Some(all) = &groups.all {
        out.extend_from_slice(b",\"all\":{");
        write_tally(out, all);
        out.push(b'}');
    }
}

/// How many events, how they ended, the first and the last: `"events":…`.
fn write_tally(out: &mut Vec<u8>, tally: &Tally) {
    out.extend_from_slice(format!("\"events\":{},\"outcomes\":", tally.events).as_bytes());
    for (nth, outcome) in Outcome::ALL.iter().enumerate() {
        let before = if nth == 0 { '{' } else { ',' };
        out.extend_from_slice(format!("{before}\"{outcome}\":{}", tally.of(*outcome)).as_bytes());
    }
    let (first, last) = (indelible::time::format(tally.first), indelible::time::format(tally.last));
    out.extend_from_slice(format!("}},\"first\":\"{first}\",\"last\":\"{last}\"").as_bytes());
}

fn end(mut out: Vec<u8>, server: &Server, summary: Option<&Summary>) -> Result<Vec<u8>, Problem> {
    if let Some(summary) = summary {
        out.extend_from_slice(format!(",\"matched\":{},\"scanned\":{}", summary.matched, summary.scanned).as_bytes());
        write_reach(&mut out, server, summary.incomplete.as_deref(), &summary.heads);
    }
    out.push(b'}');
    Ok(out)
}

fn write_value(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => write_string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn selectors(server: &Server, caller: &Caller, names: &str) -> Result<Vec<Selector>, Problem> {
    let mut fields: Vec<Selector> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let field = Selector::new(name)?;
        masks::field(field.name(), caller.masks()).inspect_err(|_| server.audit.masked(caller))?;
        if fields.iter().any(|known| known.name() == field.name()) {
            return Err(Problem::bad("fields", format!("the field {} is named twice", field.name())));
        }
        fields.push(field);
    }
    if fields.len() > 8 {
        return Err(Problem::bad("fields", "8 fields at most"));
    }
    Ok(fields)
}

fn bounded(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(GROUPS);
    if (1..=GROUPS_TOLD_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::bad("limit", format!("limit is from 1 to {GROUPS_TOLD_MAX}")))
    }
}

//! `GET /api/v1/tail`: events as they become durable, as server-sent events. `Last-Event-ID` goes on where a listener stopped; nothing is
//! missed, whatever happened in between.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::search::Query;
use serde::Deserialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use utoipa::IntoParams;

use super::Parameters;
use super::records::AnswerForm;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
use crate::http::shares::Place;
use crate::metrics::Question;
use crate::read::ask;
use crate::read::asked::{self, Asked};
use crate::read::live::{Event, Key, Listening, Message, told};
use crate::server::Server;

/// After how long somebody who hears nothing is told that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is looked whether a listener may still hear.
const CHECK: Duration = Duration::from_secs(1);
/// Events that are read from the store at once.
const STEP_EVENTS: usize = 500;
const STEP_BYTES: usize = 1 << 20;
/// Of live events that are sent together.
const PIECE_BYTES: usize = 64 << 10;

/// Parameters of a live tail.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TailParameters {
    /// A query in the search language; all events if left out.
    q: Option<String>,
    /// Only events of this time and later.
    since: Option<String>,
    /// Only events before this time.
    until: Option<String>,
    /// Only events of this log.
    log: Option<String>,
    /// `json`, or `records`: base64 of the position and the record.
    #[param(inline)]
    format: Option<AnswerForm>,
    /// Where to go on, for those who cannot send `Last-Event-ID`: the id of the last event.
    after: Option<String>,
}

/// Follow events as they become durable
///
/// Server-sent events: `id` is where to go on, `data` the event as JSON, comments are heartbeats.
#[utoipa::path(get, path = "/api/v1/tail", tag = "search", security(("token" = [])),
    params(TailParameters, ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event")),
    responses((status = 200, description = "A stream without an end", body = String, content_type = "text/event-stream"),
        (status = "4XX", description = "Not a question, or not one for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    call: Call,
    Parameters(parameters): Parameters<TailParameters>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    let TailParameters { q, since, until, log, format, after } = parameters;
    let (asked, form) = (Asked { q, since, until, log }, format.unwrap_or_default());
    let (filter, began) = (asked.filter(&server, &caller)?, server.now());
    let query = asked.query(&filter, &server.identity, began)?;
    let after = call.header("last-event-id").map(str::to_owned).or(after);
    let after = after.as_deref().map(Position::parse).transpose()?;
    let place = server.tails.of(caller.holder()).try_take(1).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tails", "too many live tails are open").after(Duration::from_secs(5))
    })?;
    let masks = caller.masks();
    let key = Key::of(&filter, began, &query, masks, form)?;
    let listening = server.live.listen(&server.store, key, query.clone(), &caller.tenants(), masks)?;
    // Taken after listening began: what is between the two comes twice, and is told once.
    let now = Position(server.store.heads().iter().map(|head| (head.log, head.size)).collect());
    server.audit.read(&caller, "tail", &asked.told(), &asked::told(&caller.tenants()));
    let behind = after.is_some();
    let position = after.unwrap_or(now);
    let heard = Heard { server: Arc::clone(&server), caller, form, query, position, listening, behind };
    let listener = Listener::new(heard, HEARTBEAT, place);
    let mut response = Response::new(Body::from_stream(listener.pieces().map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather what they pass on would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// By log, the first position that was not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position(BTreeMap<u32, u64>);

impl Position {
    /// As the engine takes it.
    pub(crate) fn places(&self) -> Vec<(u32, u64)> {
        self.0.iter().map(|(log, next)| (*log, *next)).collect()
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let part = |part: &str| {
            let (log, seq) = part.split_once(':')?;
            Some((log.parse().ok()?, seq.parse().ok()?))
        };
        let parts: Option<BTreeMap<u32, u64>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or_else(|| Problem::bad("position", "a position is the id of an event of a tail, such as 1:4711,2:33"))
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(log, seq)| format!("{log}:{seq}")).collect();
        parts.join(",")
    }

    /// Counts an event as told; `false` if it was before.
    fn advance(&mut self, log: u32, seq: u64) -> bool {
        let next = self.0.entry(log).or_default();
        let is_new = seq >= *next;
        *next = (*next).max(seq + 1);
        is_new
    }
}

/// One connection that listens. Its events are written when the connection takes them, so that none wait for a slow one but in its group.
struct Listener {
    heard: Heard,
    /// The server stops.
    stop: watch::Receiver<bool>,
    /// Time to look whether it may still hear, and whether it has heard nothing for long.
    check: Interval,
    /// Of silence, until it is told that the connection lives.
    heartbeat: Duration,
    told: Instant,
    /// The id of its token.
    token: String,
    open: Open,
}

/// What it hears.
struct Heard {
    server: Arc<Server>,
    caller: Caller,
    form: AnswerForm,
    query: Query,
    position: Position,
    listening: Listening,
    /// Something has to be read from the store first.
    behind: bool,
}

/// Counts as an open tail, and has a place among them.
struct Open {
    server: Arc<Server>,
    _place: Place,
}

impl Open {
    fn new(server: &Arc<Server>, place: Place) -> Self {
        server.metrics.tails.inc();
        Self { server: Arc::clone(server), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.metrics.tails.dec();
    }
}

impl Listener {
    fn new(heard: Heard, heartbeat: Duration, place: Place) -> Self {
        let mut check = tokio::time::interval(CHECK.min(heartbeat));
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (stop, open) = (heard.server.stop.subscribe(), Open::new(&heard.server, place));
        let token = heard.caller.token.id.clone();
        Self { heard, stop, check, heartbeat, told: Instant::now(), token, open }
    }

    /// Until it may hear no more, or the server stops: whatever it is being told at that moment.
    fn pieces(self) -> impl Stream<Item = Bytes> + Send + 'static {
        let begin = format!("retry: 2000\nid: {}\n: listening\n\n", self.heard.position.text());
        let events = stream::unfold(self, |mut listener| async move { Some((listener.next().await?, listener)) });
        stream::once(std::future::ready(begin.into())).chain(events)
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let piece = self.step().await?;
            if !piece.is_empty() {
                self.told = Instant::now();
                return Some(piece);
            }
        }
    }

    /// What is to be told next, if that is anything.
    async fn step(&mut self) -> Option<Bytes> {
        let Self { heard, stop, check, heartbeat, told, token, open } = self;
        let server = &open.server;
        // Who reads from the store is told something when that is done.
        let is_live = !heard.behind;
        let mut piece = pin!(heard.next());
        let mut stop = pin!(stop.wait_for(|stop| *stop));
        loop {
            tokio::select! {
                // Who may hear no more is not told what waits, either.
                biased;
                _ = &mut stop => return None,
                _ = check.tick() => {
                    if !server.access.token(token).is_some_and(|token| token.is_valid(server.now())) {
                        return None;
                    }
                    if is_live && told.elapsed() >= *heartbeat {
                        return Some(Bytes::from_static(b": heartbeat\n\n"));
                    }
                }
                piece = &mut piece => return piece,
            }
        }
    }
}

impl Heard {
    /// Some events, or none; `None`: no more can be heard. When this is dropped on the way, nothing is lost.
    async fn next(&mut self) -> Option<Bytes> {
        let piece = if self.behind { self.catch_up().await? } else { self.live().await? };
        Some(piece.into())
    }

    /// What comes next, and what waits behind it.
    async fn live(&mut self) -> Option<Vec<u8>> {
        let mut message = self.listening.recv().await;
        let mut piece = Vec::new();
        loop {
            match message {
                Ok(Message::Event(event)) => self.tell(&event, &mut piece),
                Ok(Message::Missed) | Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
            if self.behind || piece.len() >= PIECE_BYTES {
                return Some(piece);
            }
            message = match self.listening.try_recv() {
                Ok(message) => Ok(message),
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                // If it was closed, the next call says so.
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(piece),
            };
        }
    }

    fn tell(&mut self, event: &Event, piece: &mut Vec<u8>) {
        if self.position.advance(event.log, event.seq) {
            piece.reserve(event.data.len() + 48);
            write(piece, &self.position, &event.data);
        }
    }

    /// Reads from the store a step of what lies between the position and now; `None` if that cannot be read: the listener comes again with
    /// its position.
    async fn catch_up(&mut self) -> Option<Vec<u8>> {
        let (query, position, masks, form) = (self.query.clone(), self.position.clone(), self.caller.masks(), self.form);
        let found = ask(&self.server, self.caller.holder(), Question::Tail, move |server, cancel| {
            let query = cancel.on(query);
            let from = position.places();
            let mut position = position;
            let (mut piece, mut count) = (Vec::new(), 0);
            let summary = server.reader.search_from(&query, &from, &mut |view| {
                if position.advance(view.log, view.seq) {
                    write(&mut piece, &position, &told(view, &server.identity, masks, form));
                    count += 1;
                }
                if count >= STEP_EVENTS || piece.len() >= STEP_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let is_all = count < STEP_EVENTS && piece.len() < STEP_BYTES;
            if is_all {
                // What does not match need not be looked at again.
                for head in &summary.heads {
                    let next = position.0.entry(head.log).or_default();
                    *next = (*next).max(head.size);
                }
            }
            Ok((piece, position, is_all))
        })
        .await;
        let (piece, position, is_all) = found.ok()?;
        (self.position, self.behind) = (position, !is_all);
        Some(piece)
    }
}

fn write(out: &mut Vec<u8>, position: &Position, json: &[u8]) {
    out.extend_from_slice(format!("id: {}\ndata: ", position.text()).as_bytes());
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;

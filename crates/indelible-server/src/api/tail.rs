//! `GET /api/v1/tail`: events as they become durable, as server-sent events. `Last-Event-ID` goes on where a listener stopped; nothing is
//! missed, whatever happened in between.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::search::Query;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use utoipa::IntoParams;

use super::Parameters;
use super::records::AnswerForm;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Caller};
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
/// Pieces that wait for a slow listener.
const PIECES: usize = 16;

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

/// A byte stream out of a channel.
pub(crate) struct Pieces(pub(crate) mpsc::Receiver<Bytes>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
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
    let (sender, receiver) = mpsc::channel(PIECES);
    let behind = after.is_some();
    let listener = Listener {
        server: Arc::clone(&server),
        caller,
        form,
        query,
        position: after.unwrap_or(now),
        sender,
        heartbeat: HEARTBEAT,
    };
    tokio::spawn(async move {
        listener.run(listening, behind).await;
        drop(place);
    });
    let mut response = Response::new(Body::from_stream(Pieces(receiver)));
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

/// One connection that listens.
struct Listener {
    server: Arc<Server>,
    caller: Caller,
    form: AnswerForm,
    query: Query,
    position: Position,
    sender: mpsc::Sender<Bytes>,
    /// After how long of silence it is told something.
    heartbeat: Duration,
}

impl Listener {
    /// Until it leaves, may hear no more, or the server stops: whatever it is being told at that moment.
    async fn run(mut self, listening: Listening, behind: bool) {
        let (server, sender) = (Arc::clone(&self.server), self.sender.clone());
        let token = self.caller.token.id.clone();
        let mut stop = server.stop.subscribe();
        server.metrics.tails.inc();
        tokio::select! {
            () = self.listen(listening, behind) => {}
            () = lapsed(&server, &token) => {}
            () = sender.closed() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        server.metrics.tails.dec();
    }

    async fn listen(&mut self, mut listening: Listening, mut behind: bool) {
        let begin = format!("retry: 2000\nid: {}\n: listening\n\n", self.position.text());
        let mut open = self.sender.send(begin.into()).await.is_ok();
        while open {
            if behind {
                open = self.catch_up().await;
                behind = false;
                continue;
            }
            match tokio::time::timeout(self.heartbeat, listening.recv()).await {
                Ok(Ok(Message::Event(event))) => open = self.tell(&event).await,
                Ok(Ok(Message::Missed) | Err(RecvError::Lagged(_))) => behind = true,
                Ok(Err(RecvError::Closed)) => open = false,
                Err(_) => open = self.sender.send(Bytes::from_static(b": heartbeat\n\n")).await.is_ok(),
            }
        }
    }

    async fn tell(&mut self, event: &Event) -> bool {
        if !self.position.advance(event.log, event.seq) {
            return true;
        }
        let mut piece = Vec::with_capacity(event.data.len() + 48);
        write(&mut piece, &self.position, &event.data);
        self.sender.send(piece.into()).await.is_ok()
    }

    /// Reads from the store what lies between the position and now.
    async fn catch_up(&mut self) -> bool {
        loop {
            // A step may be large: none is made before what was sent is taken, so that no more than one waits for a slow listener.
            if self.sender.reserve_many(self.sender.max_capacity()).await.is_err() {
                return false;
            }
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
                    if count >= STEP_EVENTS || piece.len() >= STEP_BYTES {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
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
            match found {
                Ok((piece, position, is_all)) => {
                    self.position = position;
                    if !piece.is_empty() && self.sender.send(piece.into()).await.is_err() {
                        return false;
                    }
                    if is_all {
                        return true;
                    }
                }
                // The listener comes again with its position.
                Err(_) => return false,
            }
        }
    }
}

/// Ends when the token of this id does not hold any more: expired, or revoked.
async fn lapsed(server: &Server, token: &str) {
    let mut check = tokio::time::interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while server.access.token(token).is_some_and(|token| token.is_valid(server.now())) {
        check.tick().await;
    }
}

fn write(out: &mut Vec<u8>, position: &Position, json: &[u8]) {
    out.extend_from_slice(format!("id: {}\ndata: ", position.text()).as_bytes());
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;

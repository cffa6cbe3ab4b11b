//! From drafts to receipts: what every protocol does with the events it was sent.
//!
//! A batch is checked whole before the first event of it is handed over, so what is refused changes nothing. Then all are handed over, and
//! the request waits for the sync that makes them durable, together with everybody else's.

pub(crate) mod bulk;
pub(crate) mod cloudevents;
mod foreign;
pub(crate) mod hec;
pub(crate) mod kubernetes;
pub(crate) mod otlp;
pub(crate) mod syslog;
mod weight;

use std::time::{Duration, Instant};

use hyper::StatusCode;
use indelible::format::{Stamp, encode};
use indelible::{Draft, ErrorKind, Receipt, Rejection, Store, Ticket};

use crate::http::Problem;
use crate::http::body::Received;
use crate::http::caller::Caller;
use crate::http::problem::Fault;
use crate::metrics::{ByProtocol, Protocol, Untaken};
use crate::server::Server;

/// What was recorded: one for each event of a batch, in its order.
pub(crate) type Receipts = Vec<Recorded>;

/// What became of one event that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is durable.
    Durable(Receipt),
    /// It was shed: counted, and the loss is recorded.
    Shed,
    /// It cannot be recorded though it looked well: its idempotency key belongs to another event.
    Refused(String),
    /// It is durable; where is not remembered any more.
    Somewhere,
}

/// Hands events over one by one, then waits for all of them.
pub(crate) struct Intake<'s> {
    server: &'s Server,
    protocol: Protocol,
    started: Instant,
    tickets: Vec<Ticket<'s>>,
}

/// Whether the store would take a draft; costs as much as taking it.
pub(crate) fn check(draft: &Draft<'_>, memory: &mut Vec<u8>) -> Result<(), Rejection> {
    let stamp = Stamp { received: 0, uuid: [0; 16], producer: None, tenant: "default", log: 1 };
    encode(draft, &stamp, memory).map(drop)
}

/// A rejection as a fault of the part of the event that it is about.
pub(crate) fn fault(at: &str, rejection: &Rejection) -> Fault {
    let member = match rejection {
        Rejection::Action => "/action",
        Rejection::Weight => "/weight",
        Rejection::NotFinite | Rejection::DuplicateKey => "/details",
        _ => "",
    };
    Fault { pointer: format!("{at}{member}"), code: rejection.code().to_owned(), detail: rejection.to_string() }
}

/// Takes room for what a body of one JSON document is going to be once it is read.
///
/// # Errors
/// There is no room, now or ever.
pub(crate) async fn take_room_for_document(server: &Server, received: &mut Received) -> Result<(), Problem> {
    let weight = weight::of_document(&received.bytes, weight::Most::of(server));
    weight::grow(server, received, weight).await
}

/// Whether `events` of `caller` for `tenant` may be handed over now: there is room on the disk, and they are within the limits.
pub(crate) fn admit(server: &Server, caller: &Caller, tenant: &str, events: usize) -> Result<(), Problem> {
    // Here, where nothing of the batch is in a lane yet: what is refused with 507 is then not recorded later after all.
    if let Some(error) = server.store.stalled() {
        return Err(error.into());
    }
    let events = u32::try_from(events).unwrap_or(u32::MAX);
    let taken = server.limits().events(&caller.token.id, caller.token.events_per_second, tenant, events);
    taken.map_err(|many| server.too_many(caller, many))
}

/// Whether a request may have so many events. Asked while they are counted, before they are collected: one that has two bytes as it comes
/// has a hundred in memory.
pub(crate) fn few_enough(events: usize, most: usize) -> Result<(), Problem> {
    if events > most {
        return Err(Problem::too_large(format!("more than {most} events")).hint("send smaller batches"));
    }
    Ok(())
}

/// Counts a request that is too large in memory as one whose body is.
pub(crate) fn counted<T>(server: &Server, result: Result<T, Problem>) -> Result<T, Problem> {
    result.inspect_err(|problem| {
        if problem.status == StatusCode::PAYLOAD_TOO_LARGE {
            server.room.count(Untaken::Large);
        }
    })
}

impl<'s> Intake<'s> {
    pub(crate) fn new(server: &'s Server, protocol: Protocol, events: usize) -> Self {
        Self { server, protocol, started: Instant::now(), tickets: Vec::with_capacity(events) }
    }

    /// Hands one event over. Waits for room only if there is none, and then not on this executor's time.
    ///
    /// # Errors
    /// The store does not take it.
    pub(crate) fn emit(&mut self, draft: &Draft<'_>) -> Result<(), Problem> {
        let ticket = emit(&self.server.store, draft)?;
        self.tickets.push(ticket);
        Ok(())
    }

    /// Waits until everything is durable.
    ///
    /// # Errors
    /// The store stopped, the disk is full, or it takes longer than it may: nothing is promised of this batch.
    pub(crate) async fn receipts(self) -> Result<Receipts, Problem> {
        let limit = self.server.config().time("limits.emit_time");
        let count = self.tickets.len() as u64;
        let waited = tokio::time::timeout(limit, wait_all(self.tickets)).await;
        let receipts = waited.map_err(|_| late(limit))??;
        self.server.metrics.events.get_or_create(&ByProtocol { protocol: self.protocol }).inc_by(count);
        self.server.metrics.ingest_seconds.observe(self.started.elapsed().as_secs_f64());
        Ok(receipts)
    }
}

fn emit<'s>(store: &'s Store, draft: &Draft<'_>) -> indelible::Result<Ticket<'s>> {
    match store.try_emit(draft) {
        Err(error) if error.kind() == ErrorKind::Busy => tokio::task::block_in_place(|| store.emit(draft)),
        result => result,
    }
}

async fn wait_all(tickets: Vec<Ticket<'_>>) -> Result<Receipts, Problem> {
    let mut receipts = Vec::with_capacity(tickets.len());
    // From the end: when the last of them is durable nearly all are, so a request is woken once and not for every frame that has some of it.
    for ticket in tickets.into_iter().rev() {
        if ticket.is_shed() {
            receipts.push(Recorded::Shed);
            continue;
        }
        receipts.push(match ticket.await {
            Ok(receipt) => Recorded::Durable(receipt),
            Err(error) if error.kind() == ErrorKind::Rejected => Recorded::Refused(error.to_string()),
            // It was durable so early in this batch that its place has been forgotten.
            Err(error) if error.kind() == ErrorKind::NotFound => Recorded::Somewhere,
            Err(error) => return Err(error.into()),
        });
    }
    receipts.reverse();
    Ok(receipts)
}

fn late(limit: Duration) -> Problem {
    Problem::busy(format!("the events were not durable after {} ms; they may yet be recorded", limit.as_millis()))
        .hint("send them again with the same Idempotency-Key: they are then recorded once")
}

//! SQLite (public domain) in WAL mode with `synchronous=FULL` and the three indexes that an audit log wants.
//!
//! One writer inserts by itself, one transaction per event. More hand their events to a thread that puts all that wait into one
//! transaction: without that, SQLite would do no better with 64 writers than with one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use rusqlite::{Connection, params};

use super::{Round, Running, Subject, Writer};
use crate::Result;
use crate::events::{Sample, Samples};

/// Events of one transaction.
const GROUP_EVENTS_MAX: usize = 1_024;
const INSERT: &str = "INSERT INTO events (time, tenant, actor, action, event) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) struct Sqlite;

impl Subject for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite WAL FULL, 3 indexes"
    }

    fn open(&self, round: &Round<'_>) -> Result<Box<dyn Running>> {
        let connection = Connection::open(round.dir.join("events.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE events (seq INTEGER PRIMARY KEY, time INTEGER, tenant TEXT, actor TEXT, action TEXT, event TEXT);
             CREATE INDEX by_tenant ON events (tenant, time);
             CREATE INDEX by_actor ON events (actor);
             CREATE INDEX by_action ON events (action);",
        )?;
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("SQLite is in {mode} mode").into());
        }
        let samples = Arc::clone(&round.samples);
        if round.writers == 1 {
            return Ok(Box::new(Alone { connection: Mutex::new(connection), samples }));
        }
        let (requests, received) = channel();
        let thread =
            thread::Builder::new().name("sqlite-writer".into()).spawn(move || write_groups(connection, &samples, &received))?;
        Ok(Box::new(Grouped { requests: Some(requests), thread: Some(thread) }))
    }
}

fn insert(connection: &Connection, sample: &Sample) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    statement.execute(params![sample.time_ns, sample.tenant, sample.actor_id, sample.action.name(), sample.json]).map(drop)
}

struct Alone {
    connection: Mutex<Connection>,
    samples: Arc<Samples>,
}

impl Running for Alone {
    fn writer(&self) -> Result<Writer<'_>> {
        Ok(Box::new(|event| {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(insert(&connection, self.samples.at(event))?)
        }))
    }
}

/// An event that somebody waits for.
struct Request {
    event: usize,
    done: Arc<AtomicBool>,
    waiter: Thread,
}

struct Grouped {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Running for Grouped {
    fn writer(&self) -> Result<Writer<'_>> {
        let requests = self.requests.clone().ok_or("the writer thread has ended")?;
        let done = Arc::new(AtomicBool::new(false));
        Ok(Box::new(move |event| {
            done.store(false, Ordering::Relaxed);
            requests
                .send(Request { event, done: Arc::clone(&done), waiter: thread::current() })
                .map_err(|_| "the writer thread has ended")?;
            while !done.load(Ordering::Acquire) {
                thread::park();
            }
            Ok(())
        }))
    }
}

/// Puts all events that wait into one transaction, again and again, until nobody can ask any more.
fn write_groups(connection: Connection, samples: &Samples, requests: &Receiver<Request>) -> Result<()> {
    let mut group = Vec::new();
    while let Ok(first) = requests.recv() {
        group.push(first);
        group.extend(requests.try_iter().take(GROUP_EVENTS_MAX - 1));
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for request in &group {
            insert(&connection, samples.at(request.event))?;
        }
        connection.execute_batch("COMMIT")?;
        for request in group.drain(..) {
            request.done.store(true, Ordering::Release);
            request.waiter.unpark();
        }
    }
    drop(connection);
    Ok(())
}

//! A full queue: telemetry is shed and told of, others wait, critical events have room of their own, nobody is lost without a
//! word.

use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use indelible_client::{Config, ErrorKind};
use indelible_format::{Class, Draft};
use serde_json::Value;

use crate::scripted::{Reply, Scripted, gathering};

/// A server that answers once it is let.
fn gated() -> (Scripted, Sender<()>) {
    let (open, gate): (Sender<()>, Receiver<()>) = channel();
    let gate = Mutex::new(gate);
    let server = Scripted::start(move |_, _| {
        // A dropped sender leaves the gate open.
        let _ = gate.lock().unwrap().recv();
        Reply::Receipts
    });
    (server, open)
}

fn small() -> Config {
    Config { queue_bytes: 8_000, emit_timeout: Duration::from_millis(20), batch_age: Duration::ZERO, ..gathering() }
}

/// About 1,000 bytes.
fn draft(class: Class, pad: &str) -> Draft<'_> {
    Draft::new("a.b").class(class).detail("pad", pad)
}

#[test]
fn telemetry_is_shed_first_then_normal_events_are_refused_and_critical_ones_still_come_in() {
    let (server, gate) = gated();
    let client = server.client(small());
    let pad = "x".repeat(700);
    let [telemetry, normal, critical] = [Class::Telemetry, Class::Normal, Class::Critical].map(|class| draft(class, &pad));
    client.emit(&telemetry).unwrap();
    // The first is on its way: what follows waits for it.
    server.requests(1);
    let mut shed = 0;
    while shed < 3 {
        shed += u64::from(client.emit(&telemetry).unwrap().is_shed());
    }
    assert!(client.stats().waiting_bytes <= 4_000, "telemetry has half of the queue");
    let mut taken = 0;
    let error = loop {
        match client.emit(&normal) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(taken > 0 && error.kind() == ErrorKind::Busy, "{error}");
    let first = client.try_emit(&critical).unwrap();
    assert_eq!(client.try_emit(&critical).unwrap_err().kind(), ErrorKind::Busy, "also of critical events there are only so many");
    drop(gate);
    first.wait().unwrap();
    client.flush().unwrap();
    let stats = client.stats();
    assert_eq!((stats.shed, stats.rejected, stats.waiting_bytes), (shed, 2, 0));
    // The log is told of what was shed; and what is critical came first of all that waited.
    let requests = server.requests(2);
    let lines: Vec<Value> = requests[1].lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["action"], &lines[0]["details"]["count"]), (&Value::from("audit.gap"), &Value::from(shed)));
    assert_eq!(lines[0]["details"]["reason"], "shed");
    assert_eq!(lines[1]["class"], "critical");
    let gaps = requests.iter().flat_map(|request| request.lines()).filter(|line| line.contains("audit.gap")).count();
    assert_eq!(gaps, 1, "once");
}

#[test]
fn who_waits_for_room_gets_it_when_the_server_answers() {
    let (server, gate) = gated();
    let client = server.client(Config { emit_timeout: Duration::from_secs(60), ..small() });
    let pad = "x".repeat(700);
    while client.try_emit(&draft(Class::Normal, &pad)).is_ok() {}
    let waiting = {
        let (client, pad) = (client.clone(), pad.clone());
        thread::spawn(move || client.emit(&draft(Class::Normal, &pad)).map(drop))
    };
    drop(gate);
    waiting.join().unwrap().unwrap();
    client.flush().unwrap();
}

#[test]
fn tasks_yield_instead_of_waiting_and_tickets_can_be_awaited() {
    let (server, gate) = gated();
    let client = server.client(small());
    let pad = "x".repeat(700);
    while client.try_emit(&draft(Class::Normal, &pad)).is_ok() {}
    let one_more = draft(Class::Normal, &pad);
    let mut emitting = pin!(client.emit_async(&one_more));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    assert!(emitting.as_mut().poll(&mut context).is_pending());
    drop(gate);
    let ticket = block_on(emitting.as_mut()).unwrap();
    let receipt = block_on(pin!(ticket)).unwrap();
    assert_eq!(&*receipt.log, "main");
    drop(server);
}

#[test]
fn an_event_larger_than_the_queue_goes_alone() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(small());
    let pad = "x".repeat(50_000);
    client.append(&draft(Class::Normal, &pad)).unwrap();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(mut future: std::pin::Pin<&mut F>) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

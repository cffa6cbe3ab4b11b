//! What is emitted is recorded once, or its ticket says why not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use indelible_client::{Client, Config, Connection, ErrorKind, Idempotence, Ticket};
use indelible_format::{Draft, Rejection};
use serde_json::Value;

use crate::scripted::{Reply, Scripted, gathering, problem};

fn emit(client: &Client, ids: &[&str]) -> Vec<Ticket> {
    ids.iter().map(|id| client.emit(&Draft::new("a.b").id(id)).unwrap()).collect()
}

/// The keys that the events of a request say themselves.
fn keys(lines: &[&str]) -> Vec<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let both = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (text(&line, "id"), text(&line, "idempotency_key"))
    };
    lines.iter().map(both).collect()
}

#[test]
fn a_batch_has_a_receipt_for_each_of_its_events() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b", "c"]);
    client.flush().unwrap();
    for (nth, ticket) in tickets.into_iter().enumerate() {
        let receipt = ticket.wait().unwrap();
        assert_eq!((receipt.seq, receipt.tenant_seq), (Some(nth as u64), Some(nth as u64)));
        assert_eq!((&*receipt.origin, &*receipt.log), ("o", "main"));
        assert_eq!(receipt.leaf.unwrap().as_bytes(), &[0xab; 32]);
        assert_eq!(receipt.idempotence, Idempotence::New);
    }
    emit(&client, &["d"]).pop();
    client.flush().unwrap();
    let requests = server.requests(2);
    assert_eq!(requests[0].line, "POST /api/v1/events HTTP/1.1");
    assert_eq!(requests[0].header("content-type"), Some("application/x-ndjson"));
    assert_eq!(requests[0].lines().len(), 3);
    assert_ne!(requests[0].key(), requests[1].key());
    assert!(requests[0].key().len() >= 32, "a key cannot be guessed or met by chance");
    let stats = client.stats();
    assert_eq!((stats.emitted, stats.delivered, stats.waiting, stats.waiting_bytes, stats.requests), (4, 4, 0, 0, 2));
    assert_eq!(client.close().unwrap().delivered, 4);
}

#[test]
fn an_event_happened_when_it_was_emitted_unless_it_is_one_that_may_be_repeated() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(gathering());
    client.emit(&Draft::new("a.b")).unwrap();
    client.emit(&Draft::new("a.b").time_ns(0)).unwrap();
    client.emit(&Draft::new("a.b").idempotency_key("mine")).unwrap();
    client.flush().unwrap();
    let request = &server.requests(1)[0];
    let events: Vec<Value> = request.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events[0]["time"].as_str().unwrap() > "2026-01-01");
    assert_eq!(events[1]["time"], "1970-01-01T00:00:00.000000000Z");
    assert_eq!((&events[2]["time"], &events[2]["idempotency_key"]), (&Value::Null, &Value::from("mine")));
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let server = Scripted::start(|nth, _| if nth < 2 { Reply::Vanish } else { Reply::Receipts });
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b"]);
    client.flush().unwrap();
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    let requests = server.requests(3);
    for again in &requests[1..] {
        assert_eq!((again.key(), &again.body), (requests[0].key(), &requests[0].body));
    }
    assert_eq!((client.stats().delivered, client.stats().retries), (2, 2));
}

#[test]
fn a_server_that_fails_or_is_overloaded_is_asked_again_and_not_before_it_says() {
    let server = Scripted::start(|nth, _| match nth {
        0 => Reply::Answer(429, "retry-after: 1\r\n", problem("rate", &[])),
        1 => Reply::Answer(503, "", problem("busy", &[])),
        2 => Reply::Answer(507, "", problem("disk_full", &[])),
        3 => Reply::Answer(500, "", "not JSON at all".into()),
        4 => Reply::Answer(201, "", "{\"count\":0,\"receipts\":[]}".into()),
        5 => Reply::Answer(200, "", "<html>".into()),
        _ => Reply::Receipts,
    });
    let client = server.client(gathering());
    let ticket = emit(&client, &["a"]).pop().unwrap();
    let started = Instant::now();
    client.flush().unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "it came back before it was told to");
    assert!(ticket.wait().is_ok());
    let requests = server.requests(7);
    assert!(requests.iter().all(|request| request.key() == requests[0].key()));
    assert_eq!(client.stats().last_error.unwrap().kind(), ErrorKind::Protocol);
}

#[test]
fn of_a_batch_that_is_recorded_in_part_each_ticket_says_what_became_of_its_event_and_nothing_is_sent_again() {
    let durable =
        |seq: u64| format!("{{\"origin\":\"o\",\"log\":\"main\",\"seq\":{seq},\"idempotence\":\"new\",\"durable\":true}}");
    let receipts = [
        durable(0),
        "{\"durable\":false,\"error\":\"the key is taken\"}".into(),
        "{\"durable\":false,\"shed\":true}".into(),
        durable(1),
    ];
    let body = format!("{{\"count\":2,\"durable\":false,\"refused\":1,\"shed\":1,\"receipts\":[{}]}}", receipts.join(","));
    let server = Scripted::start(move |_, _| Reply::Answer(207, "", body.clone()));
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b", "c", "d"]);
    client.flush().unwrap();
    let results: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
    assert_eq!([&results[0], &results[3]].map(|result| result.as_ref().unwrap().seq), [Some(0), Some(1)]);
    let errors = [&results[1], &results[2]].map(|result| result.as_ref().unwrap_err());
    assert_eq!(errors.map(|error| error.kind()), [ErrorKind::Rejected, ErrorKind::NotFound]);
    assert_eq!(errors[0].to_string(), "the key is taken");
    let stats = client.stats();
    assert_eq!((stats.requests, stats.retries, stats.delivered, stats.refused, stats.waiting), (1, 0, 2, 2, 0));
}

#[test]
fn a_bad_event_fails_alone_and_the_rest_keeps_its_keys() {
    let server = Scripted::start(|nth, _| match nth {
        0 => Reply::Vanish,
        1 => Reply::Answer(422, "", problem("too_long", &[("/1/details", "it is too long"), ("/3", "it is bad")])),
        2 => Reply::Vanish,
        _ => Reply::Receipts,
    });
    let client = server.client(gathering());
    let mut tickets = emit(&client, &["a", "b", "c"]);
    tickets.push(client.emit(&Draft::new("a.b").id("d").idempotency_key("mine")).unwrap());
    tickets.push(client.emit(&Draft::new("a.b").id("e").idempotency_key("my own")).unwrap());
    client.flush().unwrap();
    let results: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
    assert!(results[0].is_ok() && results[2].is_ok() && results[4].is_ok(), "{results:?}");
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Rejected, "it is too long".into()));
    let told = error.problem().unwrap();
    assert_eq!((told.status, told.code.as_str(), told.pointer()), (422, "too_long", Some("/1/details")));
    assert_eq!(results[3].as_ref().unwrap_err().to_string(), "it is bad");
    let requests = server.requests(4);
    // The first attempt may have been recorded: what is sent again is known by what it was known by then.
    let key = requests[0].key();
    let rest = [("a", format!("{key}/0")), ("c", format!("{key}/2")), ("e", "my own".into())];
    let rest = rest.map(|(id, key)| (id.to_owned(), key));
    assert_eq!(keys(&requests[2].lines()), rest);
    assert_eq!(requests[3].body, requests[2].body);
    assert_eq!((client.stats().delivered, client.stats().refused), (3, 2));
}

#[test]
fn a_batch_that_is_too_large_is_sent_in_parts_and_the_next_are_smaller() {
    let server = Scripted::start(|_, request| match request.lines().len() {
        0..=2 => Reply::Receipts,
        _ => Reply::Answer(413, "", problem("too_large", &[])),
    });
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b", "c", "d"]);
    client.flush().unwrap();
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    let requests = server.requests(3);
    let key = requests[0].key();
    let said: Vec<_> = requests[1..3].iter().flat_map(|request| keys(&request.lines())).collect();
    let expected = ["a", "b", "c", "d"].iter().enumerate().map(|(nth, id)| ((*id).to_owned(), format!("{key}/{nth}")));
    assert_eq!(said, expected.collect::<Vec<_>>());
    drop(emit(&client, &["e", "f", "g"]));
    client.flush().unwrap();
    assert!(server.requests(5)[3..].iter().all(|request| request.lines().len() <= 2));
}

#[test]
fn what_the_server_says_of_single_events_reaches_their_tickets() {
    let server = Scripted::start(|_, _| {
        let receipts = "{\"count\":1,\"receipts\":[{\"durable\":false,\"shed\":true},\
                        {\"durable\":false,\"error\":\"another's key\"},{\"durable\":true},{\"origin\":\"o\",\"log\":\"main\",\"idempotence\":\"repeated\",\"durable\":true}]}";
        Reply::Answer(201, "", receipts.into())
    });
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b", "c", "d"]);
    client.flush().unwrap();
    let mut results = tickets.into_iter().map(Ticket::wait);
    assert_eq!(results.next().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(results.next().unwrap().unwrap_err().to_string(), "another's key");
    assert_eq!(results.next().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    let repeated = results.next().unwrap().unwrap();
    assert_eq!((repeated.idempotence, repeated.seq, repeated.leaf), (Idempotence::Repeated, None, None));
}

#[test]
fn a_token_that_does_not_hold_fails_what_was_sent_and_nothing_is_sent_again() {
    let server = Scripted::start(|_, _| Reply::Answer(401, "", problem("unauthenticated", &[])));
    let client = server.client(gathering());
    let tickets = emit(&client, &["a", "b"]);
    client.flush().unwrap();
    for ticket in tickets {
        let error = ticket.wait().unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Denied, Some("do that")));
    }
    let closed = client.close().unwrap();
    assert_eq!((closed.delivered, closed.refused), (0, 2));
    assert_eq!(server.requests(1).len(), 1);
}

#[test]
fn what_was_emitted_while_the_server_was_away_arrives_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let connection = Connection::new(&format!("http://{address}"), None).unwrap();
    let client = Client::with(&connection, Config { retry_delay_max: Duration::from_millis(5), ..Config::default() }).unwrap();
    let ticket = client.emit(&Draft::new("a.b")).unwrap();
    while client.stats().retries < 2 {
        std::thread::yield_now();
    }
    assert_eq!(client.stats().last_error.unwrap().kind(), ErrorKind::Unreachable);
    let server = Scripted::on(TcpListener::bind(address).unwrap(), |_, _| Reply::Receipts);
    assert!(ticket.wait().is_ok());
    assert_eq!(server.requests(1).len(), 1);
}

#[test]
fn what_no_store_takes_is_refused_before_it_is_sent() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(gathering());
    let error = client.emit(&Draft::new("nonsense")).unwrap_err();
    assert_eq!((error.kind(), error.rejection()), (ErrorKind::Rejected, Some(Rejection::Action)));
    assert_eq!(client.stats().rejected, 1);
}

#[test]
fn closing_gives_back_what_was_not_delivered_with_the_keys_it_was_sent_with() {
    let server = Scripted::start(|_, _| Reply::Hang);
    let client = server.client(Config { drain_timeout: Duration::from_millis(300), batch_events: 2, ..gathering() });
    let tickets = emit(&client, &["a", "b", "c"]);
    let other = client.clone();
    let undelivered = client.close().unwrap_err();
    assert_eq!((undelivered.count, undelivered.closed.delivered), (3, 0));
    let key = server.requests(1)[0].key().to_owned();
    let lines = String::from_utf8(undelivered.lines.clone()).unwrap();
    let said = keys(&lines.lines().collect::<Vec<_>>());
    assert_eq!(said[..2], [("a".to_owned(), format!("{key}/0")), ("b".to_owned(), format!("{key}/1"))]);
    // The third was never sent: it has a key of its own, so that it can be sent twice by whoever finds the lines.
    assert!(said[2].0 == "c" && said[2].1.len() > 32 && !said[2].1.starts_with(&key));
    for ticket in tickets {
        assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(other.emit(&Draft::new("a.b")).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn large_requests_are_compressed() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(gathering());
    let text = "x".repeat(10_000);
    client.emit(&Draft::new("a.b").detail("text", text.as_str())).unwrap();
    client.flush().unwrap();
    let request = &server.requests(1)[0];
    assert_eq!(request.header("content-encoding"), Some("zstd"));
    let sent: usize = request.header("content-length").unwrap().parse().unwrap();
    assert!(sent < 1_000 && request.body.contains(&text));
}

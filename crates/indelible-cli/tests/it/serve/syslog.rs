//! Syslog has no answers: what arrives is recorded, what is not is counted, and no sender takes more than its part.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Served;
use super::faults::behaves;
use super::served::soon;
use crate::Home;

const REFUSED: &str = "indelible_events_refused_total{protocol=\"Syslog\"}";
const LIMITED: &str = "indelible_limited_total";

/// A server that takes syslog over TCP and UDP at the same port.
fn serve(set: &[&str]) -> (Served, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = ["tcp", "udp"].map(|how| format!("listen.syslog_{how}=127.0.0.1:{port}"));
    let set: Vec<&str> = listen.iter().map(String::as_str).chain(set.iter().copied()).collect();
    (Served::start_with(Home::new(), &set), port)
}

fn message(nth: usize) -> String {
    format!("<38>1 2026-01-31T12:00:00Z host sshd - - - number {nth}")
}

fn connect(port: u16, bytes: &[u8]) -> TcpStream {
    let mut sender = TcpStream::connect(("127.0.0.1", port)).unwrap();
    sender.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    sender.write_all(bytes).unwrap();
    sender
}

/// Ends it, and waits for the other end.
fn end(mut sender: TcpStream) {
    sender.shutdown(Shutdown::Write).unwrap();
    assert_eq!(sender.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn the_rate_of_the_tenant_holds_for_datagrams_too() {
    let (served, port) = serve(&["rate.tenant_events=50", "rate.burst_seconds=1"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    // As many as wait in a socket at once.
    for nth in 0..200 {
        sender.send_to(message(nth).as_bytes(), ("127.0.0.1", port)).unwrap();
    }
    let recorded = "indelible_events_total{protocol=\"Syslog\"}";
    soon("each is recorded or counted", || served.metric(recorded) + served.metric(REFUSED) == 200);
    let most = 50 + 50 * (started.elapsed().as_secs() + 1);
    assert!(served.metric(recorded) <= most, "{} of {most}", served.metric(recorded));
    assert_eq!(served.metric(LIMITED), served.metric(REFUSED));
    soon("those are there", || served.count(&served.admin, "source:syslog") == served.metric(recorded));
}

#[test]
fn who_sends_over_tcp_beyond_the_rate_waits_and_loses_nothing() {
    let (served, port) = serve(&["rate.tenant_events=100", "rate.burst_seconds=1"]);
    let lines: String = (0..300).map(|nth| message(nth) + "\n").collect();
    let started = Instant::now();
    let sender = connect(port, lines.as_bytes());
    soon("all are recorded", || served.count(&served.admin, "source:syslog") == 300);
    assert!(started.elapsed() > Duration::from_millis(1_500), "{:?}", started.elapsed());
    assert_eq!(served.metric(REFUSED), 0);
    assert!(served.metric(LIMITED) > 0);
    end(sender);
}

#[test]
fn a_message_that_is_cut_off_is_counted_and_not_recorded() {
    let (served, port) = serve(&["limits.body_time=300ms"]);
    end(connect(port, b"100 <38>1 2026-01-31T12:00:00Z host sshd - - - cut off"));
    soon("it is counted", || served.metric(REFUSED) == 1);
    end(connect(port, b"10"));
    soon("so is a length", || served.metric(REFUSED) == 2);
    // One that stops and does not end: how its line goes on is not known.
    let mut stops = connect(port, (message(1) + "\n<38>1 2026-01-31T12:00:00Z host sshd - - - cut").as_bytes());
    assert_eq!(stops.read(&mut [0; 16]).unwrap(), 0, "it is not waited for");
    soon("it is counted, too", || served.metric(REFUSED) == 3);
    // The last line of a sender that ends its stream needs no end of its own.
    end(connect(port, (message(2) + "\n" + &message(3)).as_bytes()));
    soon("whole ones are recorded", || served.count(&served.admin, "source:syslog") == 3);
    assert_eq!(served.metric(REFUSED), 3);
    assert_eq!(served.count(&served.admin, "source:syslog cut"), 0);
}

/// A byte now and then is no progress: a message has a time as a whole.
#[test]
fn a_message_that_does_not_come_to_its_end_is_not_waited_for() {
    let (served, port) = serve(&["limits.body_time=500ms"]);
    let mut sender = connect(port, b"<38>1 ");
    let started = Instant::now();
    while sender.write_all(b"x").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "it is listened to for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(served.metric(REFUSED), 1);
    // One that says nothing has begun nothing.
    let mut quiet = connect(port, (message(1) + "\n").as_bytes());
    std::thread::sleep(Duration::from_millis(1_500));
    quiet.write_all((message(2) + "\n").as_bytes()).unwrap();
    soon("it is heard", || served.count(&served.admin, "source:syslog") == 2);
}

#[test]
fn long_messages_that_never_end_take_bounded_memory_and_hold_up_nobody() {
    let (served, port) = serve(&["limits.body_time=5s"]);
    behaves(&served);
    let before = served.anonymous_bytes();
    let part = [b"262144 <38>1 ", &[b'x'; 250 << 10][..]].concat();
    let senders: Vec<TcpStream> = (0..800)
        .map(|_| {
            let mut sender = TcpStream::connect(("127.0.0.1", port)).unwrap();
            sender.set_nonblocking(true).unwrap();
            // As much as is taken on the way.
            let mut rest = &part[..];
            while let Ok(count) = sender.write(rest)
                && count > 0
            {
                rest = &rest[count..];
            }
            sender
        })
        .collect();
    let small = connect(port, (message(1) + "\n").as_bytes());
    soon("others are heard", || served.count(&served.admin, "source:syslog") == 1);
    let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
    eprintln!("{} senders: {grown} MiB", senders.len());
    assert!(grown < 96, "{grown} MiB");
    soon("each is let go and counted", || served.metric(REFUSED) == 800);
    drop((senders, small));
    // There is room for long ones again.
    let long = format!("<38>1 2026-01-31T12:00:00Z host sshd - - - {}\n", "y".repeat(200 << 10));
    end(connect(port, long.as_bytes()));
    soon("it is recorded", || served.count(&served.admin, "source:syslog") == 2);
}

#[test]
fn the_host_of_a_message_is_hidden_with_the_identity_and_kept_with_the_record() {
    let (served, port) = serve(&[]);
    end(connect(port, b"<38>1 2026-01-31T12:00:00Z secret-host sshd - - - said\n<34>Jan  1 01:00:00 secret-host su: said\n"));
    soon("both are recorded", || served.count(&served.admin, "source:syslog") == 2);
    let look = |token: &str| served.get("/api/v1/search?q=source:syslog", token).is(200);
    for event in look(&served.admin).json()["events"].as_array().unwrap() {
        assert_eq!((&event["origin"]["host"], &event["details"]["hostname"]), (&json!("secret-host"), &json!("secret-host")));
    }
    assert_eq!(served.count(&served.admin, "details.hostname:secret-host"), 2);
    let masked = look(&served.token(&["read"], &["default"], &["identity"])).body;
    assert!(!masked.contains("secret-host") && masked.contains("said"), "{masked}");
    let masked = look(&served.token(&["read"], &["default"], &["content"])).body;
    assert!(masked.contains("secret-host") && !masked.contains("said"), "{masked}");
}

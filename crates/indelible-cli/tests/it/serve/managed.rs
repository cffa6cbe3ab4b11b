//! What a service manager is told, in the order in which it happens.

use std::io::{BufRead as _, BufReader};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::Home;

/// The manager's end: a socket, and the server that tells it things.
struct Managed {
    socket: UnixDatagram,
    child: Child,
    url: String,
}

impl Managed {
    /// Starts `indelible serve` as a manager does that calls its socket `name` and waits `watchdog` for signs of life.
    fn start(home: &Home, socket: UnixDatagram, name: &str, watchdog: Duration) -> Self {
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut command = home.command(["serve", "-o", "json", "--config", "server.toml", "--set", "listen.http=127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { socket, child, url: ready["url"].as_str().unwrap().to_owned() }
    }

    /// The next thing it is told, signs of life among them or not.
    fn heard(&self, signs: bool) -> Vec<String> {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect("a datagram");
            let told = std::str::from_utf8(&buffer[..length]).unwrap();
            if signs || told != "WATCHDOG=1" {
                return told.lines().map(str::to_owned).collect();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole_life(socket: UnixDatagram, name: &str, home: &Home) {
    home.write("server.toml", "[limits]\nbatch_events = 2\n");
    let mut managed = Managed::start(home, socket, name, Duration::from_millis(500));

    let told = managed.heard(false);
    assert_eq!(told[0], "READY=1", "nothing before it is");
    assert!(told[1].starts_with("STATUS=serving ") && told[1].ends_with(&format!(" at {}", managed.url)), "{told:?}");
    let answer = ureq::get(format!("{}/readyz", managed.url)).call().unwrap();
    assert_eq!(answer.status().as_u16(), 200, "ready when it says so");
    while managed.heard(true) != ["WATCHDOG=1"] {}

    for (file, outcome) in [
        ("[limits]\nbatch_events = 3\n", "the configuration was read again"),
        ("[limits]\nbatch_events = \"many\"\n", "the configuration was not taken up: "),
        ("[limits]\nbatch_events = 3\nsearches = 9\n", "for the next start: limits.searches"),
    ] {
        home.write("server.toml", file);
        let before = clock_gettime(ClockId::Monotonic);
        managed.signal(Signal::HUP);
        let told = managed.heard(false);
        assert_eq!(told[0], "RELOADING=1");
        let usec: i128 = told[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        let before = i128::from(before.tv_sec) * 1_000_000 + i128::from(before.tv_nsec) / 1_000;
        assert!(usec >= before, "a manager takes an older one for another reload");
        let told = managed.heard(false);
        assert_eq!(told[0], "READY=1", "also with a file that is wrong: what was in force still is");
        assert!(told[1].contains(outcome), "{told:?}");
    }

    managed.signal(Signal::TERM);
    let told = managed.heard(false);
    assert_eq!(told[0], "STOPPING=1");
    let usec: u64 = told[1].strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap().parse().unwrap();
    assert!(usec > 20_000_000, "more than the time that requests have: {usec}");
    assert_eq!(managed.heard(false), ["STATUS=closing the store"]);
    assert!(managed.child.wait().unwrap().success());
}

#[test]
fn a_manager_with_a_socket_in_the_file_system_is_told_all_of_it() {
    let home = Home::new();
    let path = home.path("notify");
    whole_life(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap(), &home);
}

#[test]
fn a_manager_with_an_abstract_socket_is_told_all_of_it() {
    let home = Home::new();
    let name = format!("indelible-{}", home.dir.path().file_name().unwrap().to_str().unwrap());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    whole_life(socket, &format!("@{name}"), &home);
}

#[test]
fn a_socket_that_cannot_be_used_is_an_error_and_not_a_manager_that_waits() {
    let home = Home::new();
    let mut command = home.command(["serve", "--set", "listen.http=127.0.0.1:0"]);
    let ended = crate::Ended::of(command.env("NOTIFY_SOCKET", "vsock:2:9999").output().unwrap());
    assert!(ended.exits(1).stderr.contains("NOTIFY_SOCKET=vsock:2:9999 cannot be used"));
}

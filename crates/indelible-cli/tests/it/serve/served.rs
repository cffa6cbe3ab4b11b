//! A server process of a test, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::Home;

/// A running server; killed when it is let go.
pub(super) struct Served {
    pub(super) home: Home,
    pub(super) url: String,
    /// The token for everything.
    pub(super) admin: String,
    child: Child,
    agent: Agent,
}

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}:\n{}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Served {
    pub(super) fn start() -> Self {
        Self::start_with(Home::new(), &[])
    }

    /// Starts the server over a home, with keys of the configuration; `@file` names a configuration file.
    pub(super) fn start_with(home: Home, set: &[&str]) -> Self {
        let (child, ready) = spawn(&home, set);
        let admin = ready["token"].as_str().unwrap_or_default().to_owned();
        let url = ready["url"].as_str().unwrap().to_owned();
        // A connection for each request: who is refused before its body was read is hung up on, and a POST is not sent again by itself.
        let config = Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
        let config = config.timeout_global(Some(Duration::from_secs(60)));
        Self { home, url, admin, child, agent: config.build().into() }
    }

    /// Kills it as `kill -9` does, and starts another over what is left.
    pub(super) fn kill_and_start(&mut self, set: &[&str]) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, ready) = spawn(&self.home, set);
        self.child = child;
        self.url = ready["url"].as_str().unwrap().to_owned();
    }

    /// Ends it as an operator does; it has to end well.
    pub(super) fn stop(mut self) -> Home {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        std::mem::replace(&mut self.home, Home::new())
    }

    /// Host and port.
    pub(super) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// What a metric says whose line begins so; 0 where there is no such line.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics", &self.admin).is(200).body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }

    /// Its memory that no file is behind.
    pub(super) fn anonymous_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub(super) fn request(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if matches!(method, "GET" | "DELETE") {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()));
        let headers = headers.collect();
        let mut body = String::new();
        response.body_mut().as_reader().read_to_string(&mut body).unwrap();
        Answer { status: response.status().as_u16(), headers, body }
    }

    pub(super) fn get(&self, path: &str, token: &str) -> Answer {
        self.request("GET", path, token, &[], b"")
    }

    pub(super) fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request("POST", path, token, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(super) fn post_lines(&self, token: &str, headers: &[(&str, &str)], lines: &str) -> Answer {
        let headers: Vec<_> = [("content-type", "application/x-ndjson")].iter().chain(headers).copied().collect();
        self.request("POST", "/api/v1/events", token, &headers, lines.as_bytes())
    }

    /// A token for tenants that are made if they are not there.
    pub(super) fn token(&self, scopes: &[&str], tenants: &[&str], mask: &[&str]) -> String {
        for tenant in tenants {
            let answer = self.post("/api/v1/tenants", &self.admin, &json!({"name": tenant}));
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        }
        let tenants = if tenants.is_empty() { Value::Null } else { json!(tenants) };
        let spec = json!({"name": "test", "scopes": scopes, "tenants": tenants, "mask": mask});
        self.post("/api/v1/tokens", &self.admin, &spec).is(201).json()["token"].as_str().unwrap().to_owned()
    }

    /// How many events match, by search.
    pub(super) fn count(&self, token: &str, query: &str) -> u64 {
        let path = format!("/api/v1/search?limit=1&count=true&q={}", escaped(query));
        self.get(&path, token).is(200).json()["matched"].as_u64().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text as it may stand in a URL.
pub(super) fn escaped(text: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// Waits for something that happens soon.
#[track_caller]
pub(super) fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn spawn(home: &Home, set: &[&str]) -> (Child, Value) {
    let mut arguments = vec!["serve", "-o", "json", "--set", "listen.http=127.0.0.1:0"];
    for set in set {
        match set.strip_prefix('@') {
            Some(file) => arguments.extend(["--config", file]),
            None => arguments.extend(["--set", *set]),
        }
    }
    let mut child = home.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (child, ready)
}

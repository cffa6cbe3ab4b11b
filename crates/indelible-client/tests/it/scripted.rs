//! An HTTP server of few lines that answers each request as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use indelible_client::{Client, Config, Connection};

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Decompressed.
    pub(crate) body: String,
}

/// What is done with it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// 201, and a receipt for every line of the body.
    Receipts,
    /// This status, with more header lines, and this body.
    Answer(u16, &'static str, String),
    /// The connection is closed, without a byte.
    Vanish,
    /// Nothing for ever; until the other side goes.
    Hang,
}

/// The server; it is there until the test ends.
pub(crate) struct Scripted {
    pub(crate) url: String,
    seen: Arc<(Mutex<Vec<Request>>, Condvar)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn key(&self) -> &str {
        self.header("idempotency-key").expect("every batch has a key")
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.body.lines().collect()
    }
}

impl Scripted {
    /// Answers request `nth`, from 0, as `script` says.
    pub(crate) fn start(script: impl FnMut(usize, &Request) -> Reply + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl FnMut(usize, &Request) -> Reply + Send + 'static) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<(Mutex<Vec<Request>>, Condvar)> = Arc::default();
        let script = Arc::new(Mutex::new(script));
        let told = Arc::clone(&seen);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (told, script) = (Arc::clone(&told), Arc::clone(&script));
                thread::spawn(move || serve(&socket, &told, |nth, request| script.lock().unwrap()(nth, request)));
            }
        });
        Self { url, seen }
    }

    /// A client of it.
    pub(crate) fn client(&self, config: Config) -> Client {
        Client::with(&Connection::new(&self.url, None).unwrap(), config).unwrap()
    }

    /// The requests so far, once there are so many.
    pub(crate) fn requests(&self, count: usize) -> Vec<Request> {
        let (seen, more) = &*self.seen;
        let limit = Duration::from_secs(60);
        let (seen, waited) = more.wait_timeout_while(seen.lock().unwrap(), limit, |seen| seen.len() < count).unwrap();
        assert!(!waited.timed_out(), "only {} of {count} requests came", seen.len());
        seen.clone()
    }
}

/// Gathers until it is flushed; retries at once.
pub(crate) fn gathering() -> Config {
    Config { batch_age: Duration::from_secs(3_600), retry_delay_max: Duration::from_millis(1), ..Config::default() }
}

fn serve(
    socket: &TcpStream,
    seen: &(Mutex<Vec<Request>>, Condvar),
    mut script: impl FnMut(usize, &Request) -> Reply,
) -> Option<()> {
    let mut reader = BufReader::new(socket);
    loop {
        let request = read(&mut reader)?;
        let nth = {
            let mut seen = seen.0.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        seen.1.notify_all();
        let (status, headers, body) = match script(nth, &request) {
            Reply::Receipts => (201, "", receipts(nth, request.lines().len())),
            Reply::Answer(status, headers, body) => (status, headers, body),
            Reply::Vanish => return None,
            Reply::Hang => {
                let _ = reader.read(&mut [0]);
                return None;
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} As Said\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        (&mut &*socket).write_all(answer.as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    };
    let mut request = Request { line: line()?, ..Request::default() };
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if request.header("content-encoding") == Some("zstd") {
        body = zstd::decode_all(body.as_slice()).unwrap();
    }
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

/// Receipts as the server writes them; `seq` is request × 1000 + place.
fn receipts(nth: usize, count: usize) -> String {
    let receipt = |place: usize| {
        let (seq, leaf) = (nth * 1_000 + place, "ab".repeat(32));
        format!(
            "{{\"origin\":\"o\",\"log\":\"main\",\"seq\":{seq},\"leaf\":\"{leaf}\",\"tenant_seq\":{place},\
             \"idempotence\":\"new\",\"durable\":true}}"
        )
    };
    let all: Vec<String> = (0..count).map(receipt).collect();
    format!("{{\"count\":{count},\"durable\":true,\"receipts\":[{}]}}", all.join(","))
}

/// A problem as the server writes it, about these places.
pub(crate) fn problem(code: &str, faults: &[(&str, &str)]) -> String {
    let fault =
        |(pointer, detail): &(&str, &str)| format!("{{\"pointer\":\"{pointer}\",\"code\":\"{code}\",\"detail\":\"{detail}\"}}");
    let faults: Vec<String> = faults.iter().map(fault).collect();
    format!("{{\"code\":\"{code}\",\"detail\":\"it is so\",\"hint\":\"do that\",\"errors\":[{}]}}", faults.join(","))
}

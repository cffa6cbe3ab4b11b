//! Requests to one server: keep-alive, a token that goes nowhere else, and errors as the server tells them.
//!
//! - A token is sent by https, or by http within this machine. By http to any other host only if [`Options::insecure`] says so.
//! - Redirects are not followed: a token and a body are for the server they were given for.
//! - No proxy for http; for https that of the environment, through which everything is a tunnel.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Proxy, RequestBuilder};

use crate::error::{ClientError, ErrorKind, Problem};
use crate::token::Token;
use crate::trust;

/// Bytes of an answer that is read whole.
const JSON_BYTES_MAX: u64 = 256 << 20;
/// Bytes of an error's body; what is longer is no problem+json of ours.
const PROBLEM_BYTES_MAX: u64 = 1 << 20;
const AGENT: &str = concat!("indelible-client/", env!("CARGO_PKG_VERSION"));

/// Requests to one server. Clones share their sockets.
#[derive(Clone)]
pub struct Connection {
    agent: Agent,
    settings: Settings,
    /// Scheme, authority and path, without a slash at the end.
    base: Arc<str>,
    authorization: Option<HeaderValue>,
}

/// What sockets are opened with.
#[derive(Clone)]
struct Settings {
    /// `None`: in the clear.
    tls: Option<TlsConfig>,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

/// How a [`Connection`] is made.
#[derive(Debug, Clone)]
pub struct Options {
    token: Option<Token>,
    roots: Option<Vec<u8>>,
    insecure: bool,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

/// An answer that is no error. Its body is read as it comes; a socket goes back to the pool once it is read to its end.
pub struct Response {
    inner: ureq::http::Response<Body>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            roots: None,
            insecure: false,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

impl Options {
    /// The token to send with every request.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Certificates (PEM) that a server's has to go back to, instead of those of this machine.
    #[must_use]
    pub fn roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Sends the token by http to other machines, too: whoever can listen on the way has it then.
    #[must_use]
    pub const fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// How long connecting may take, TLS included; 10 s.
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the server may be silent, before and within an answer; 2 min. There is no limit on the whole: a stream may last.
    #[must_use]
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// A connection to the server at `url`. No socket is opened before the first request.
    ///
    /// # Errors
    /// `Config`: the address is none, no certificates can be read, or a token would be sent in the clear to another machine.
    pub fn open(self, url: &str) -> Result<Connection, ClientError> {
        let (base, place) = base_of(url)?;
        if self.token.is_some() && place == Place::ClearElsewhere && !self.insecure {
            return Err(ClientError::new(
                ErrorKind::Config,
                format!("{base} is not https: everybody on the way could read the token"),
            )
            .with_hint("use https, or say `insecure` if the way there is safe"));
        }
        let tls = match place {
            Place::Tls => Some(trust::tls(self.roots.as_deref())?),
            Place::ThisMachine | Place::ClearElsewhere => None,
        };
        let authorization = self.token.as_ref().map(Token::header).transpose()?;
        let settings = Settings { tls, connect_timeout: self.connect_timeout, idle_timeout: self.idle_timeout };
        Ok(Connection { agent: settings.agent(), settings, base: base.into(), authorization })
    }
}

impl Settings {
    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(AGENT)
            .timeout_connect(Some(self.connect_timeout))
            .timeout_per_read(Some(self.idle_timeout))
            .timeout_per_write(Some(self.idle_timeout));
        let config = match &self.tls {
            Some(tls) => config.tls_config(tls.clone()).proxy(Proxy::try_from_env()),
            None => config.proxy(None),
        };
        config.build().into()
    }
}

impl Connection {
    /// A connection to the server at `url` (`https://host[:port][/path]`, or http), with the certificates of this machine.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn new(url: &str, token: Option<Token>) -> Result<Self, ClientError> {
        Options { token, ..Options::default() }.open(url)
    }

    /// A connection with other options.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// The server's address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// `GET path?query`. `path` begins with a slash and is escaped where it has to be; names and values of `query` are escaped
    /// here.
    ///
    /// # Errors
    /// `Unreachable`, or what the server refuses: then [`ClientError::problem`] says why.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, ClientError> {
        self.get_with(path, query, &[])
    }

    /// As [`get`](Self::get), with headers: `accept`, `last-event-id`…
    ///
    /// # Errors
    /// As `get`.
    pub fn get_with(&self, path: &str, query: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<Response, ClientError> {
        let request = self.dressed(self.agent.get(self.place(path)), query, headers)?;
        self.answer(request.call())
    }

    /// `POST path?query` with a body.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, ClientError> {
        let request = self.dressed(self.agent.post(self.place(path)), query, headers)?;
        self.answer(request.send(body))
    }

    /// The same server over sockets of its own, where it may be silent for no longer than this.
    pub(crate) fn apart(&self, idle_timeout: Duration) -> Self {
        let settings = Settings { idle_timeout, ..self.settings.clone() };
        Self { agent: settings.agent(), settings, base: Arc::clone(&self.base), authorization: self.authorization.clone() }
    }

    /// Breaks off every request of all clones, and lets none begin.
    pub(crate) fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    fn place(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn dressed<B>(
        &self,
        mut request: RequestBuilder<B>,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<RequestBuilder<B>, ClientError> {
        for (name, value) in query {
            request = request.query(name, value);
        }
        for (name, value) in headers {
            let wrong = || ClientError::new(ErrorKind::Config, format!("{name} is no header, or not with this value"));
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            request = request.header(name.parse::<HeaderName>().map_err(|_| wrong())?, value);
        }
        match &self.authorization {
            Some(value) => Ok(request.header("authorization", value.clone())),
            None => Ok(request),
        }
    }

    fn answer(&self, result: Result<ureq::http::Response<Body>, ureq::Error>) -> Result<Response, ClientError> {
        let response = Response { inner: result.map_err(|error| unreachable(&self.base, error))? };
        match response.status() {
            200..300 => Ok(response),
            300..400 => {
                let elsewhere = response.header("location").unwrap_or("elsewhere").to_owned();
                Err(ClientError::new(ErrorKind::Config, format!("{} points to {elsewhere}; that is not followed", self.base))
                    .with_hint("give the address that it points to"))
            }
            _ => Err(response.problem().into()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.base).finish_non_exhaustive()
    }
}

impl Response {
    /// HTTP status, 200 to 299.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// A header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The whole body as JSON, 256 MiB at most.
    ///
    /// # Errors
    /// `Unreachable`: the connection broke. `Protocol`: the body is not JSON, or longer.
    pub fn json(self) -> Result<Value, ClientError> {
        let body = self.bytes(JSON_BYTES_MAX)?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::caused(ErrorKind::Protocol, "the server's answer is not the JSON it should be", error))
    }

    /// The body as it comes: an export, a live tail. Reading fails when the connection breaks or the server is silent for too
    /// long.
    pub fn into_reader(self) -> impl Read + Send {
        self.inner.into_body().into_reader()
    }

    /// The whole body, of so many bytes at most.
    pub(crate) fn bytes(self, limit: u64) -> Result<Vec<u8>, ClientError> {
        let read = self.inner.into_body().into_with_config().limit(limit).read_to_vec();
        read.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(limit) => {
                ClientError::new(ErrorKind::Protocol, format!("the server's answer has more than {limit} bytes"))
            }
            error => ClientError::caused(ErrorKind::Unreachable, "the connection broke within the server's answer", error),
        })
    }

    fn problem(self) -> Problem {
        let status = self.inner.status();
        let after = self.header("retry-after").map(str::to_owned);
        // The status is known; a body that cannot be read has nothing to add.
        let body = self.bytes(PROBLEM_BYTES_MAX).unwrap_or_default();
        Problem::read(status.as_u16(), status.canonical_reason().unwrap_or_default(), after.as_deref(), &body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Who can read what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Tls,
    ThisMachine,
    ClearElsewhere,
}

fn base_of(url: &str) -> Result<(String, Place), ClientError> {
    let wrong = |why: &str| {
        ClientError::new(ErrorKind::Config, format!("the address is none: {why}"))
            .with_hint("an address is https://host, https://host:port or http://127.0.0.1:8410")
    };
    let uri: Uri = url.trim().parse().map_err(|error| wrong(&format!("{error}")))?;
    let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
    // A name or password in it would show up in every message.
    if authority.as_str().contains('@') {
        return Err(wrong("it has a user in it; give the token apart"));
    }
    if uri.query().is_some() {
        return Err(wrong("it has a query"));
    }
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let here = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let place = match uri.scheme_str() {
        Some("https") => Place::Tls,
        Some("http") if here => Place::ThisMachine,
        Some("http") => Place::ClearElsewhere,
        _ => return Err(wrong("it begins with neither https:// nor http://")),
    };
    let scheme = uri.scheme_str().unwrap_or_default();
    Ok((format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')), place))
}

fn unreachable(base: &str, error: ureq::Error) -> ClientError {
    let hint = trust::hint(&error);
    let (kind, context) = match &error {
        _ if hint.is_some() => (ErrorKind::Unreachable, format!("no safe connection to {base}")),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => (ErrorKind::Config, format!("{base} cannot be asked for that")),
        ureq::Error::HostNotFound => (ErrorKind::Unreachable, format!("there is no host of the name in {base}")),
        ureq::Error::Tls(_) => (ErrorKind::Unreachable, format!("no safe connection to {base}")),
        ureq::Error::Timeout(_) => (ErrorKind::Unreachable, format!("{base} does not answer in time")),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            (ErrorKind::Protocol, format!("what {base} answered is not HTTP as it should be"))
        }
        _ => (ErrorKind::Unreachable, format!("no connection to {base}, or it broke")),
    };
    let error = ClientError::caused(kind, context, error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

//! Connections that speak HTTP: each with a time for the head of a request to come and for answers to be taken, and bounded
//! streams and headers. One that does not keep to that ends, and is counted by why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::accept::{self, Speak};
use super::caller::Peer;
use super::handles;
use super::heads::Heads;
use super::taken::Answers;
use crate::metrics::{Broken, ByStatus};
use crate::server::Server;

/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Streams that a peer may open and reset before the connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 64;
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Bytes of bodies that an HTTP/2 peer may send before anybody takes them: of a stream, and of all of a connection. That is memory beside
/// `limits.bodies`, while a request waits for its room there.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Serves `routes` until the server stops and what is open has ended.
pub(crate) async fn run(server: Arc<Server>, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, routes: Router) {
    let (wanted, fit) = (server.config().size("limits.connections"), handles::connections());
    if fit < wanted {
        eprintln!("limits.connections is {wanted}, but there are handles for {fit} only: raise the limit on open files");
    }
    let most = wanted.min(fit);
    let answers = Answers::new(Arc::clone(&server.metrics), server.config().time("limits.body_time"));
    let http = Http { server: Arc::clone(&server), answers, heads: Heads::new(), routes };
    accept::serve(&server, listener, tls, most, http).await;
}

/// HTTP/1 and HTTP/2, whichever the peer begins with.
#[derive(Clone)]
struct Http {
    server: Arc<Server>,
    answers: Answers,
    heads: Heads,
    routes: Router,
}

impl Speak for Http {
    async fn speak<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        speak(&self.server, stream, peer, &self.answers, &self.heads, self.routes).await;
    }
}

async fn speak<S>(server: &Arc<Server>, stream: S, peer: SocketAddr, answers: &Answers, heads: &Heads, routes: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = server.stop.subscribe();
    let config = server.config();
    let head_time = config.time("limits.header_time");
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also ends a connection that idles: the next head does not come.
        .header_read_timeout(head_time)
        .max_buf_size(64 << 10)
        .max_headers(100);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .initial_stream_window_size(Some(STREAM_WINDOW_BYTES))
        .initial_connection_window_size(Some(CONNECTION_WINDOW_BYTES))
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(config.time("limits.idle_time")))
        .keep_alive_timeout(Duration::from_secs(20));
    let metrics = Arc::clone(&server.metrics);
    let begun = Arc::new(AtomicBool::new(false));
    let has_begun = Arc::clone(&begun);
    let unread = heads.connection();
    let (taking, coming) = (answers.connection(), unread.clone());
    let service = routes.map_request(move |mut request: Request<Incoming>| {
        has_begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        request.map(|body| coming.begun(body))
    });
    let stream = taking.patient(stream, unread);
    let service = service.map_response(move |response: axum::response::Response| {
        let response = taking.look_after(response);
        metrics.responses.get_or_create(&ByStatus { status: response.status().as_u16() }).inc();
        response
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    // HTTP/1 has a time for each head, but only once it is known not to be HTTP/2; and HTTP/2 has none.
    let late = tokio::time::sleep(head_time);
    tokio::pin!(connection, late);
    let (mut stopping, mut waiting, mut told) = (false, true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                let why = ended.err().and_then(|error| why(&*error, begun.load(Ordering::Relaxed)));
                if let Some(why) = why.filter(|_| !told) {
                    server.metrics.broken(why);
                }
                break;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = late.as_mut(), if waiting => {
                let begun = begun.load(Ordering::Relaxed);
                waiting = !begun && !told;
                if told && !begun {
                    // It was asked to end, and did not.
                    break;
                }
                if waiting {
                    told = true;
                    server.metrics.broken(Broken::NoRequest);
                    connection.as_mut().graceful_shutdown();
                    late.as_mut().reset(tokio::time::Instant::now() + head_time);
                }
            }
        }
    }
}

/// Why a connection ended that did not end well; `None` where that is the peer's business.
fn why(error: &(dyn std::error::Error + Send + Sync + 'static), begun: bool) -> Option<Broken> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_timeout() {
        return Some(if begun { Broken::Idle } else { Broken::NoRequest });
    }
    if error.is_parse() {
        return Some(Broken::Malformed);
    }
    let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    match error.reason() {
        // It is we who ended it.
        _ if !error.is_library() => None,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Broken::Flooded),
        _ => Some(Broken::Malformed),
    }
}

//! Connections: accepted up to a number, each with a time for the head of a request to come, and bounded streams and headers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::caller::Peer;
use crate::metrics::ByStatus;
use crate::server::Server;

/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Streams that a peer may open and reset before the connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 64;
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts until it is told to stop, then lets what is open end.
pub(crate) async fn run(server: Arc<Server>, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, routes: Router) {
    let config = server.config();
    let places = Arc::new(Semaphore::new(config.size("limits.connections")));
    let acceptor = tls.map(TlsAcceptor::from);
    let mut stop = server.stop.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else {
            // No handles, most often: who waits in the queue waits a little longer.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            server.metrics.connections_refused.inc();
            continue;
        };
        let (server, routes, acceptor, stop) = (Arc::clone(&server), routes.clone(), acceptor.clone(), stop.clone());
        connections.spawn(async move {
            server.metrics.connections.inc();
            connection(&server, stream, peer, acceptor, routes, stop).await;
            server.metrics.connections.dec();
            drop(place);
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(config.time("drain.time"), drained).await;
    connections.shutdown().await;
}

async fn connection(
    server: &Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    routes: Router,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => speak(server, stream, peer, routes, stop).await,
        Some(acceptor) => {
            // Who speaks plain HTTP here, or nothing at all, is not answered.
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                speak(server, stream, peer, routes, stop).await;
            }
        }
    }
}

async fn speak<S>(server: &Arc<Server>, stream: S, peer: SocketAddr, routes: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = server.config();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also ends a connection that idles: the next head does not come.
        .header_read_timeout(config.time("limits.header_time"))
        .max_buf_size(64 << 10)
        .max_headers(100);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(config.time("limits.idle_time")))
        .keep_alive_timeout(Duration::from_secs(20));
    let metrics = Arc::clone(&server.metrics);
    let service = routes.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let service = service.map_response(move |response: axum::response::Response| {
        metrics.responses.get_or_create(&ByStatus { status: response.status().as_u16() }).inc();
        response
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // How it ended is the peer's business.
            _ = connection.as_mut() => break,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

//! Connections of any protocol: accepted up to a number, each with a time for its TLS handshake, until the server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::peers::Peers;
use crate::metrics::Broken;
use crate::server::Server;

/// Time for a TLS handshake, if `limits.header_time` is not shorter.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time until the next try when the system gives no connection: no handles, most often, and who waits in the queue waits a little longer.
const BREATH: Duration = Duration::from_millis(50);

/// What is spoken over a connection.
pub(crate) trait Speak: Clone + Send + Sync + 'static {
    /// Speaks it until the peer ends; soon after the server stops, if it can.
    fn speak<S>(self, stream: S, peer: SocketAddr) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;
}

/// Accepts until the server stops, then lets what is open end, for `drain.time` at most.
///
/// `most`: connections at once; who comes when they are all there, or when its address has nearly all of them, is let go at once,
/// and counted.
pub(crate) async fn serve(
    server: &Arc<Server>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    most: usize,
    protocol: impl Speak,
) {
    let places = Arc::new(Semaphore::new(most));
    let peers = Peers::new(most);
    let acceptor = tls.map(TlsAcceptor::from);
    let handshake = server.config().time("limits.header_time").min(HANDSHAKE);
    let mut stop = server.stop.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (place, seat) = (Arc::clone(&places).try_acquire_owned(), peers.seat(peer.ip()));
        let (Ok(place), Some(seat)) = (place, seat) else {
            server.metrics.connections_refused.inc();
            continue;
        };
        let (server, acceptor, protocol) = (Arc::clone(server), acceptor.clone(), protocol.clone());
        connections.spawn(async move {
            server.metrics.connections.inc();
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => protocol.speak(stream, peer).await,
                Some(acceptor) => {
                    // Who does not speak TLS here, or nothing at all, or does not trust us, is not answered.
                    match tokio::time::timeout(handshake, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => protocol.speak(stream, peer).await,
                        Ok(Err(_)) | Err(_) => server.metrics.broken(Broken::Handshake),
                    }
                }
            }
            server.metrics.connections.dec();
            drop((place, seat));
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(server.config().time("drain.time"), drained).await;
    connections.shutdown().await;
}

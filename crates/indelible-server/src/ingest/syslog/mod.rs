//! Syslog: RFC 5424 and RFC 3164 over UDP, TCP (RFC 6587, both framings) and TLS (RFC 5425).
//!
//! Syslog has no acknowledgements: what arrives is recorded, what cannot be taken is counted. A message is kept byte for byte in `raw`; what it says of
//! itself stands in `details` and in the fields of the event.

mod framing;
mod message;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use indelible::ErrorKind;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::metrics::{ByProtocol, Protocol};
use crate::server::Server;
use framing::Frames;

/// Bytes of one datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections of syslog senders at once.
const CONNECTIONS_MAX: usize = 4_096;

/// Takes datagrams until the server stops.
pub(crate) async fn udp(server: Arc<Server>, socket: UdpSocket) {
    let mut stop = server.stop.subscribe();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if let Ok((length, peer)) = received {
            take(&server, buffer.get(..length).unwrap_or_default(), peer.ip());
        }
    }
}

/// Takes connections until the server stops.
pub(crate) async fn tcp(server: Arc<Server>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut stop = server.stop.subscribe();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            server.metrics.connections_refused.inc();
            continue;
        };
        let (server, tls) = (Arc::clone(&server), tls.clone());
        connections.spawn(async move {
            match tls {
                None => read(&server, stream, peer.ip()).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        read(&server, stream, peer.ip()).await;
                    }
                }
            }
            drop(place);
        });
    }
    connections.shutdown().await;
}

/// Reads messages until the sender ends, or stops making sense.
async fn read(server: &Server, mut stream: impl AsyncRead + Unpin, peer: IpAddr) {
    let idle = server.config().time("limits.idle_time");
    let mut frames = Frames::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = match tokio::time::timeout(idle, stream.read(&mut buffer)).await {
            Ok(Ok(count)) => count,
            Ok(Err(_)) | Err(_) => 0,
        };
        frames.push(buffer.get(..count).unwrap_or_default());
        loop {
            match frames.next(count == 0) {
                Ok(Some(message)) => take(server, &message, peer),
                Ok(None) => break,
                Err(framing::Nonsense) => {
                    refuse(server);
                    return;
                }
            }
        }
        if count == 0 {
            return;
        }
    }
}

fn refuse(server: &Server) {
    server.metrics.refused.get_or_create(&ByProtocol { protocol: Protocol::Syslog }).inc();
}

/// Records one message.
fn take(server: &Server, bytes: &[u8], peer: IpAddr) {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let config = server.config();
    let (tenant, zone) = (config.text("syslog.tenant"), message::zone(config.text("syslog.zone")));
    let recorded = message::with_draft(bytes, peer, zone, server.now(), |draft| {
        let draft = draft.tenant(tenant);
        match server.store.try_emit(&draft) {
            // The sender cannot be told: it is made to wait, which TCP lets it feel.
            Err(error) if error.kind() == ErrorKind::Busy => tokio::task::block_in_place(|| server.store.emit(&draft)).map(drop),
            result => result.map(drop),
        }
    });
    match recorded {
        Ok(()) => drop(server.metrics.events.get_or_create(&ByProtocol { protocol: Protocol::Syslog }).inc()),
        Err(_) => refuse(server),
    }
}

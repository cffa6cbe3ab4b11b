//! Syslog: RFC 5424 and RFC 3164 over UDP, TCP (RFC 6587, both framings) and TLS (RFC 5425).
//!
//! Syslog has no acknowledgements: what arrives is recorded, what cannot be taken is counted. A message is kept byte for byte in `raw`; what it says of
//! itself stands in `details` and in the fields of the event.

mod framing;
mod message;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use indelible::ErrorKind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, UdpSocket};

use crate::http::accept::{self, Speak};
use crate::metrics::{ByProtocol, Protocol};
use crate::server::Server;
use framing::Frames;

/// Bytes of one datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Connections of syslog senders at once.
const CONNECTIONS_MAX: usize = 4_096;

/// Datagrams that have arrived and are still taken when the server stops.
const DATAGRAMS_LAST_MAX: usize = 65_536;

/// Takes datagrams until the server stops, and then those that have arrived.
pub(crate) async fn udp(server: Arc<Server>, socket: UdpSocket) {
    let mut stop = server.stop.subscribe();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Ok((length, peer)) = received {
            take(&server, buffer.get(..length).unwrap_or_default(), peer.ip());
        }
    }
    for _ in 0..DATAGRAMS_LAST_MAX {
        let Ok((length, peer)) = socket.try_recv_from(&mut buffer) else { return };
        take(&server, buffer.get(..length).unwrap_or_default(), peer.ip());
    }
}

/// Takes connections until the server stops.
pub(crate) async fn tcp(server: Arc<Server>, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) {
    let syslog = Syslog(Arc::clone(&server));
    accept::serve(&server, listener, tls, CONNECTIONS_MAX, syslog).await;
}

/// Messages over a connection.
#[derive(Clone)]
struct Syslog(Arc<Server>);

impl Speak for Syslog {
    /// Reads messages until the sender ends or stops making sense. When the server stops, what has arrived is taken.
    async fn speak<S>(self, mut stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = &*self.0;
        let idle = server.config().time("limits.idle_time");
        let mut stop = server.stop.subscribe();
        let mut frames = Frames::default();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = tokio::select! {
                biased;
                read = tokio::time::timeout(idle, stream.read(&mut buffer)) => read,
                _ = stop.wait_for(|stop| *stop) => Ok(Ok(0)),
            };
            let count = match read {
                Ok(Ok(count)) => count,
                Ok(Err(_)) | Err(_) => 0,
            };
            frames.push(buffer.get(..count).unwrap_or_default());
            loop {
                match frames.next(count == 0) {
                    Ok(Some(message)) => take(server, &message, peer.ip()),
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

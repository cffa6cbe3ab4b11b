//! Starting and stopping: store, tokens, sockets, signals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use indelible::{Draft, Outcome, Store, taxonomy};
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::access::{Access, AccessError, Scope, Scopes, TokenSpec};
use crate::api;
use crate::config::{Config, Sources};
use crate::http::{serve, tls};
use crate::ingest::{bulk, cloudevents, hec, kubernetes, otlp, syslog};
use crate::server::Server;

/// Why the server could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store could not be opened or closed.
    #[error(transparent)]
    Store(#[from] indelible::Error),
    /// Tokens and tenants could not be read or made.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Certificate or key cannot be used.
    #[error("{0}")]
    Tls(String),
    /// An address cannot be listened on.
    #[error("could not listen on {0}")]
    Listen(String, #[source] std::io::Error),
    /// The operating system failed otherwise.
    #[error("{0}")]
    System(&'static str, #[source] std::io::Error),
}

/// What to tell who started it, once it takes requests.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The token of whoever starts a server that nobody has a token for yet: seen once.
    pub token: Option<String>,
    /// The data directory.
    pub data: PathBuf,
}

/// How often what gathered is written, and the log looked after.
const TICK: Duration = Duration::from_secs(1);

/// Serves `store` until SIGTERM or SIGINT, then lets requests end, drains the store and closes it. SIGHUP reads the configuration again. `ready`
/// is called once requests are taken.
///
/// # Errors
/// It could not start; or the store did not close well: what was acknowledged is safe all the same.
pub fn serve(store: Store, sources: Sources, config: Config, ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("indelible-serve").build();
    let runtime = runtime.map_err(|error| ServeError::System("could not start the runtime", error))?;
    let data = store.reader()?.dir().to_owned();
    let server = Arc::new(Server::new(store.clone(), Access::open(&data)?, sources, config)?);
    let result = runtime.block_on(run(&server, &data, ready));
    // Questions that are still being worked on are told that nobody waits.
    runtime.shutdown_timeout(Duration::from_secs(5));
    server.audit.tick();
    drop(server);
    store.close()?;
    result
}

async fn run(server: &Arc<Server>, data: &Path, ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    let config = server.config();
    let failed = |error| ServeError::System("could not listen for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let token = first_token(server)?;
    let tls = match config.text("tls.certificate") {
        "" => None,
        certificate => {
            let key = config.text("tls.key");
            Some(
                tls::server(Path::new(certificate), Path::new(key), None, &[b"h2".as_slice(), b"http/1.1"])
                    .map_err(ServeError::Tls)?,
            )
        }
    };
    let listener = listen(config.text("listen.http")).await?;
    let syslog = syslog(server).await?;
    let address = listener.local_addr().map_err(|error| ServeError::System("could not tell the address", error))?;
    server.audit.own(Draft::new(taxonomy::SERVICE_START).outcome(Outcome::Success).detail("version", env!("CARGO_PKG_VERSION")));
    ready(Ready { address, tls: tls.is_some(), token, data: data.to_owned() });
    let serving = tokio::spawn(serve::run(Arc::clone(server), listener, tls, routes(server)));
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => server.audit.tick(),
            _ = hang_up.recv() => {
                let reloaded = server.reload();
                if let Err(error) = &reloaded {
                    eprintln!("the configuration was not taken up:\n{error}");
                }
                api::record_reload(server, reloaded.is_ok());
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    server.audit.own(Draft::new(taxonomy::SERVICE_STOP).outcome(Outcome::Success));
    server.drain();
    // It has a time limit of its own.
    let _ = serving.await;
    for listening in syslog {
        let _ = listening.await;
    }
    Ok(())
}

/// Everything that is served on the one port.
fn routes(server: &Arc<Server>) -> Router {
    api::routes()
        .merge(bulk::routes())
        .merge(hec::routes())
        .merge(kubernetes::routes())
        .merge(cloudevents::routes())
        .merge(otlp::routes(server))
        .with_state(Arc::clone(server))
}

async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address.to_owned(), error))
}

/// The listeners for syslog that are configured.
async fn syslog(server: &Arc<Server>) -> Result<Vec<tokio::task::JoinHandle<()>>, ServeError> {
    let config = server.config();
    let mut listening = Vec::new();
    let address = config.text("listen.syslog_udp");
    if !address.is_empty() {
        let socket = UdpSocket::bind(address).await.map_err(|error| ServeError::Listen(address.to_owned(), error))?;
        listening.push(tokio::spawn(syslog::udp(Arc::clone(server), socket)));
    }
    let address = config.text("listen.syslog_tcp");
    if !address.is_empty() {
        listening.push(tokio::spawn(syslog::tcp(Arc::clone(server), listen(address).await?, None)));
    }
    let address = config.text("listen.syslog_tls");
    if !address.is_empty() {
        let clients = Some(config.text("tls.syslog_clients")).filter(|path| !path.is_empty()).map(Path::new);
        let (certificate, key) = (Path::new(config.text("tls.certificate")), Path::new(config.text("tls.key")));
        let tls = tls::server(certificate, key, clients, &[]).map_err(ServeError::Tls)?;
        listening.push(tokio::spawn(syslog::tcp(Arc::clone(server), listen(address).await?, Some(tls.into()))));
    }
    Ok(listening)
}

/// Whoever starts a server for the first time gets a token for everything.
fn first_token(server: &Server) -> Result<Option<String>, ServeError> {
    let now = server.now();
    server.access.create_tenant(server.default_tenant(), now)?;
    let syslog = server.config();
    server.access.create_tenant(syslog.text("syslog.tenant"), now)?;
    if !server.access.is_empty() {
        return Ok(None);
    }
    let all = Scope::ALL.iter().fold(Scopes::default(), |scopes, scope| scopes.with(*scope));
    let new = server.access.create_token(TokenSpec { name: "first admin".into(), scopes: all, ..TokenSpec::default() }, now)?;
    server.audit.own(
        Draft::new(taxonomy::TOKEN_ISSUE)
            .outcome(Outcome::Success)
            .target("token", &new.token.id)
            .detail("name", &new.token.name),
    );
    Ok(Some(new.secret.reveal().to_owned()))
}

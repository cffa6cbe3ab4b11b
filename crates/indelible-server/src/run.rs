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
use crate::notify::{self, Manager};
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
    /// The service manager cannot be told anything.
    #[error("{0}")]
    Manager(String),
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
/// Time for questions that are still being worked on to notice that nobody waits.
const QUESTIONS_END: Duration = Duration::from_secs(5);
/// Time in which a store closes, disk permitting.
const STORE_CLOSES: Duration = Duration::from_secs(60);

/// Serves `store` until SIGTERM or SIGINT, then lets requests end, drains the store and closes it. SIGHUP reads the configuration again. `ready`
/// is called once requests are taken. A service manager that wants to know (`sd_notify(3)`) is told all of it.
///
/// # Errors
/// It could not start; or the store did not close well: what was acknowledged is safe all the same.
pub fn serve(store: Store, sources: Sources, config: Config, ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("indelible-serve").build();
    let runtime = runtime.map_err(|error| ServeError::System("could not start the runtime", error))?;
    let manager = Manager::of(&|name| std::env::var_os(name)).map_err(ServeError::Manager)?;
    let data = store.reader()?.dir().to_owned();
    let server = Arc::new(Server::new(store.clone(), Access::open(&data)?, sources, config)?);
    let result = runtime.block_on(run(&server, &manager, &data, ready));
    runtime.shutdown_timeout(QUESTIONS_END);
    // From here on nobody gives signs of life; the store gets the whole of the manager's time.
    manager.status("closing the store");
    manager.alive();
    server.audit.finish();
    drop(server);
    store.close()?;
    result
}

async fn run(server: &Arc<Server>, manager: &Manager, data: &Path, ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    let config = server.config();
    let failed = |error| ServeError::System("could not listen for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let tls = match config.text("tls.certificate") {
        "" => None,
        certificate => {
            let (certificate, key) = (Path::new(certificate), Path::new(config.text("tls.key")));
            let tls = tls::server(certificate, key, None, &[b"h2".as_slice(), b"http/1.1"]).map_err(ServeError::Tls)?;
            tell_validity(server, certificate, &tls);
            Some(tls.config)
        }
    };
    let listener = listen(config.text("listen.http")).await?;
    let syslog = syslog(server).await?;
    // Last: who gets a token has to see it, and whatever fails before is tried again by another start.
    let token = first_token(server)?;
    let address = listener.local_addr().map_err(|error| ServeError::System("could not tell the address", error))?;
    server.audit.own(Draft::new(taxonomy::SERVICE_START).outcome(Outcome::Success).detail("version", env!("CARGO_PKG_VERSION")));
    let serves = format!("serving {} at {}://{address}", data.display(), if tls.is_some() { "https" } else { "http" });
    ready(Ready { address, tls: tls.is_some(), token, data: data.to_owned() });
    let serving = tokio::spawn(serve::run(Arc::clone(server), listener, tls, routes(server)));
    // Also while requests end: until the runtime itself does.
    tokio::spawn(notify::keep_alive(manager.clone(), server.store.clone()));
    manager.ready(&serves);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => server.audit.tick(),
            _ = hang_up.recv() => {
                manager.reloading();
                manager.ready(&reload(server, &serves));
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    manager.stopping(config.time("drain.time") + QUESTIONS_END + STORE_CLOSES);
    server.audit.own(Draft::new(taxonomy::SERVICE_STOP).outcome(Outcome::Success));
    server.drain();
    // It has a time limit of its own.
    let _ = serving.await;
    for listening in syslog {
        let _ = listening.await;
    }
    Ok(())
}

/// Reads the configuration again; gives the server's status after that.
fn reload(server: &Server, serves: &str) -> String {
    let reloaded = server.reload();
    api::record_reload(server, reloaded.is_ok());
    match reloaded {
        Ok(waiting) if waiting.is_empty() => format!("{serves}; the configuration was read again"),
        Ok(waiting) => format!("{serves}; for the next start: {}", waiting.join(", ")),
        Err(error) => {
            eprintln!("the configuration was not taken up:\n{error}");
            format!("{serves}; the configuration was not taken up: {error}")
        }
    }
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

/// A certificate that no client accepts is not a reason to stop recording, but one to say so. Its end is in the metrics.
fn tell_validity(server: &Server, certificate: &Path, tls: &tls::Tls) {
    let Some(validity) = tls.validity else { return };
    server.metrics.certificate_expires.set(validity.until.timestamp());
    if let Some(fault) = validity.fault(chrono::Utc::now()) {
        eprintln!("warning: {} will not be accepted by clients: {fault}", certificate.display());
    }
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
        listening.push(tokio::spawn(syslog::tcp(Arc::clone(server), listen(address).await?, Some(tls.config))));
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

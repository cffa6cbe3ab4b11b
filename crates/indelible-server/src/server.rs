//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indelible::{Identity, Reader, Store};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::access::{Access, Limits, Rate, TooMany};
use crate::audit::Audit;
use crate::config::{Config, ConfigError, Sources};
use crate::http::Problem;
use crate::http::body::{BodyLimits, Room};
use crate::http::caller::Caller;
use crate::http::shares::Shares;
use crate::metrics::Metrics;
use crate::read::live::Live;

/// One running server.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) identity: Identity,
    pub(crate) access: Access,
    pub(crate) audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) room: Room,
    pub(crate) searches: Shares,
    pub(crate) exports: Shares,
    pub(crate) tails: Shares,
    /// The one place for the verification of everything.
    pub(crate) verifying: Arc<Semaphore>,
    pub(crate) live: Arc<Live>,
    sources: Sources,
    config: RwLock<Arc<Config>>,
    limits: RwLock<Arc<Limits>>,
    default_tenant: String,
    draining: AtomicBool,
    pub(crate) stop: tokio::sync::watch::Sender<bool>,
}

impl Server {
    pub(crate) fn new(store: Store, access: Access, sources: Sources, config: Config) -> indelible::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        Ok(Self {
            reader: store.reader()?,
            identity: store.identity()?.clone(),
            audit: Audit::new(store.clone(), Arc::clone(&metrics)),
            store,
            access,
            room: Room::new(config.size("limits.bodies"), metrics.bodies_refused.clone()),
            searches: Shares::new(config.size("limits.searches")),
            exports: Shares::new(config.size("limits.exports")),
            metrics,
            tails: Shares::new(config.size("limits.tails")),
            verifying: Arc::new(Semaphore::new(1)),
            live: Arc::default(),
            default_tenant: config.text("store.tenant").to_owned(),
            limits: RwLock::new(Arc::new(Limits::new(rate(&config)))),
            sources,
            config: RwLock::new(Arc::new(config)),
            draining: AtomicBool::new(false),
            stop: tokio::sync::watch::Sender::new(false),
        })
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// The answer to a caller beyond a rate, which is counted and recorded.
    pub(crate) fn too_many(&self, caller: &Caller, many: TooMany) -> Problem {
        self.metrics.limited.inc();
        self.audit.limited(caller, many);
        many.into()
    }

    pub(crate) fn default_tenant(&self) -> &str {
        &self.default_tenant
    }

    pub(crate) fn body_limits(&self) -> BodyLimits {
        let config = self.config();
        BodyLimits {
            bytes: config.size("limits.body"),
            decompressed: config.size("limits.decompressed"),
            pause: config.time("limits.body_time"),
        }
    }

    /// Reads the configuration again and takes up what can be; what is wrong with it changes nothing. Gives the keys that have to wait for
    /// the next start.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn reload(&self) -> Result<Vec<&'static str>, ConfigError> {
        let newer = Config::load(&self.sources, &|name| std::env::var(name).ok())?;
        // What comes by syslog names no tenant: there has to be the one it is recorded for, as at the start.
        self.access
            .create_tenant(newer.text("syslog.tenant"), self.now())
            .map_err(|error| ConfigError::of(format!("syslog.tenant: could not make it: {error}")))?;
        let mut current = self.config.write();
        let (config, waiting) = current.reloaded(&newer);
        // Buckets stay as they are where the rates do.
        if rate(&config) != self.limits.read().rate() {
            *self.limits.write() = Arc::new(Limits::new(rate(&config)));
        }
        *current = Arc::new(config);
        Ok(waiting)
    }

    /// ns since 1970 UTC.
    pub(crate) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Nothing new is taken from here on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.stop.send_replace(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

fn rate(config: &Config) -> Rate {
    let number = |name| u32::try_from(config.number(name)).unwrap_or(u32::MAX);
    Rate {
        token_events: number("rate.token_events"),
        token_requests: number("rate.token_requests"),
        tenant_events: number("rate.tenant_events"),
        failed_logins: number("rate.failed_logins"),
        burst_seconds: number("rate.burst_seconds"),
    }
}

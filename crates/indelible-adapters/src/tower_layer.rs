//! `tower` → audit events: a [`TowerLayer`] around an HTTP service records one event for each request.
//!
//! The event has the action and the actor that the program says, the method and the path (not the query: secrets stand in
//! queries), the user agent, the status and the time it took. The outcome follows from the status: `denied` for 401 and 403,
//! `failure` for other 4xx, `error` for 5xx, `success` for the rest. A request whose caller went away before there was a response
//! ends in `error`, with `cancelled: true`.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::header::USER_AGENT;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use indelible_format::sink::Sink;
use indelible_format::{Draft, Outcome};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::layer::LayerCounts;

const SOURCE: &str = "http";

/// What the log is to know of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is about to do: `noun.verb`.
    pub action: Cow<'static, str>,
    /// Who asks.
    pub actor: Option<String>,
    /// What kind of actor that is: `user`, `service`…
    pub actor_type: Option<String>,
    /// In which session.
    pub session: Option<String>,
    /// Whose event it is.
    pub tenant: Option<String>,
    /// From where. Unless it is said, the `SocketAddr` among the request's extensions, if there is one. `x-forwarded-for` is not
    /// believed: whoever knows which proxies to believe says the address here.
    pub ip: Option<IpAddr>,
    /// To what: type and id.
    pub target: Option<(String, String)>,
}

impl Asked {
    /// A request to do `action`, of which nothing else is known.
    pub fn to(action: impl Into<Cow<'static, str>>) -> Self {
        Self { action: action.into(), actor: None, actor_type: None, session: None, tenant: None, ip: None, target: None }
    }

    /// Who asks.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// What it is about: type and id.
    #[must_use]
    pub fn of(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.target = Some((kind.into(), id.into()));
        self
    }
}

/// Who it was that asked, if only the service within finds that out: it puts this among the extensions of its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy(pub String);

/// Records one event for each request into a store or a client.
///
/// ```
/// use http::{Request, Response};
/// use indelible_adapters::{Asked, TowerLayer};
/// # use indelible_format::{Draft, sink::{Refusal, Sink}};
/// # struct Store;
/// # impl Sink for Store { fn offer(&self, _: &Draft<'_>) -> Result<(), Refusal> { Ok(()) } }
/// # let store = Store;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// // `store`: an `indelible::Store` or an `indelible::Client`
/// let layer = TowerLayer::new(store, |request| {
///     if request.uri.path() == "/health" {
///         return None; // not an event
///     }
///     let user = request.headers.get("x-user")?.to_str().ok()?;
///     Some(Asked::to(format!("api.{}", request.method.as_str().to_ascii_lowercase())).by(user))
/// });
/// let counts = layer.counts();
/// let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<()>| async {
///     Ok::<_, std::convert::Infallible>(Response::new("hello"))
/// }));
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// service.oneshot(Request::get("/orders/17").header("x-user", "alice").body(()).unwrap()).await.unwrap();
/// # });
/// assert_eq!(counts.taken(), 1);
/// ```
///
/// It never waits: what its sink has no room for is counted in [`LayerCounts`] and not recorded, and the request goes on.
#[derive(Debug)]
pub struct TowerLayer<K, D> {
    shared: Arc<Shared<K, D>>,
}

/// Of a request that was answered: what it was, and the status; whether it is recorded.
type Keep = fn(&Asked, StatusCode) -> bool;

#[derive(Debug)]
struct Shared<K, D> {
    sink: K,
    describe: D,
    keep: Keep,
    counts: Arc<LayerCounts>,
}

impl<K, D> TowerLayer<K, D>
where
    K: Sink,
    D: Fn(&Parts) -> Option<Asked>,
{
    /// A layer that asks `describe` about every request; of what it says `None` to, nothing is recorded.
    pub fn new(sink: K, describe: D) -> Self {
        Self { shared: Arc::new(Shared { sink, describe, keep: |_, _| true, counts: Arc::default() }) }
    }

    /// Records a request only if `keep` says so once the status is known. What got no response is always recorded.
    #[must_use]
    pub fn keep(self, keep: Keep) -> Self {
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => Self { shared: Arc::new(Shared { keep, ..shared }) },
            // It has been put around a service already, which keeps its own ways.
            Err(shared) => Self { shared },
        }
    }

    /// What the layer has done, now and later.
    #[must_use]
    pub fn counts(&self) -> Arc<LayerCounts> {
        Arc::clone(&self.shared.counts)
    }
}

impl<K, D> Clone for TowerLayer<K, D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, D> Layer<S> for TowerLayer<K, D> {
    type Service = Audited<S, K, D>;

    fn layer(&self, service: S) -> Self::Service {
        Audited { service, shared: Arc::clone(&self.shared) }
    }
}

/// A service whose requests are recorded.
#[derive(Debug)]
pub struct Audited<S, K, D> {
    service: S,
    shared: Arc<Shared<K, D>>,
}

impl<S: Clone, K, D> Clone for Audited<S, K, D> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, D, B, R> Service<Request<B>> for Audited<S, K, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    K: Sink,
    D: Fn(&Parts) -> Option<Asked>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = AuditedFuture<S::Future, K, D>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let pending = (self.shared.describe)(&parts).map(|asked| Pending::new(Arc::clone(&self.shared), &parts, asked));
        AuditedFuture { inner: self.service.call(Request::from_parts(parts, body)), pending }
    }
}

pin_project! {
    /// The response to a request that is recorded.
    pub struct AuditedFuture<F, K: Sink, D> {
        #[pin]
        inner: F,
        pending: Option<Pending<K, D>>,
    }
}

impl<F, K, D, R, E> Future for AuditedFuture<F, K, D>
where
    F: Future<Output = Result<Response<R>, E>>,
    K: Sink,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(context));
        if let Some(pending) = this.pending.take() {
            match &result {
                Ok(response) => pending.answered(response.status(), response.extensions().get()),
                Err(_) => pending.end(Outcome::Error, None, false),
            }
        }
        Poll::Ready(result)
    }
}

/// A request that is not answered yet. Let go before it is, it was cancelled.
struct Pending<K: Sink, D> {
    shared: Arc<Shared<K, D>>,
    request: Option<Known>,
}

struct Known {
    asked: Asked,
    method: String,
    path: String,
    user_agent: Option<String>,
    began: Instant,
    began_wall: SystemTime,
}

impl<K: Sink, D> Pending<K, D> {
    fn new(shared: Arc<Shared<K, D>>, parts: &Parts, mut asked: Asked) -> Self {
        asked.ip = asked.ip.or_else(|| parts.extensions.get::<SocketAddr>().map(SocketAddr::ip));
        let request = Known {
            asked,
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            user_agent: parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned),
            began: Instant::now(),
            began_wall: SystemTime::now(),
        };
        Self { shared, request: Some(request) }
    }

    fn answered(mut self, status: StatusCode, by: Option<&AskedBy>) {
        let Some(request) = &mut self.request else { return };
        if !(self.shared.keep)(&request.asked, status) {
            self.request = None;
            return;
        }
        if let Some(AskedBy(actor)) = by {
            request.asked.actor = Some(actor.clone());
        }
        self.end(outcome(status), Some(status), false);
    }

    fn end(mut self, outcome: Outcome, status: Option<StatusCode>, cancelled: bool) {
        self.record(outcome, status, cancelled);
    }

    fn record(&mut self, outcome: Outcome, status: Option<StatusCode>, cancelled: bool) {
        let Some(Known { asked, method, path, user_agent, began, began_wall }) = self.request.take() else { return };
        let ip = asked.ip.map(|ip| ip.to_string());
        let mut draft = Draft::new(&*asked.action).source(SOURCE).outcome(outcome);
        draft.time = began_wall.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_nanos()).ok());
        draft.actor.id = asked.actor.as_deref();
        draft.actor.kind = asked.actor_type.as_deref();
        draft.session = asked.session.as_deref();
        draft.tenant = asked.tenant.as_deref();
        draft.origin.ip = ip.as_deref();
        draft.origin.user_agent = user_agent.as_deref();
        if let Some((kind, id)) = &asked.target {
            draft = draft.target(kind, id);
        }
        draft = draft.detail("duration_us", u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        draft = draft.detail("method", &method).detail("path", &path);
        if let Some(status) = status {
            draft = draft.detail("status", status.as_u16());
        }
        if cancelled {
            draft = draft.detail("cancelled", true);
        }
        self.shared.counts.offer(&self.shared.sink, &draft);
    }
}

impl<K: Sink, D> Drop for Pending<K, D> {
    fn drop(&mut self) {
        self.record(Outcome::Error, None, true);
    }
}

fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        401 | 403 => Outcome::Denied,
        400..500 => Outcome::Failure,
        500.. => Outcome::Error,
        _ => Outcome::Success,
    }
}

//! `tracing` → audit events: a [`TracingLayer`] in the subscriber of a program.
//!
//! # Which
//! Events and spans whose target is `audit` (or begins with `audit::`, or is another that the layer was given), and those with a
//! field `audit`, unless it is `false`. An event is recorded when it happens; a span when it closes, with the time at which it
//! began and its `duration_us`.
//!
//! # As what
//! | field | becomes |
//! |---|---|
//! | `action` | the action; without it, the layer's [`action`](TracingLayer::action) |
//! | `outcome`, `severity`, `class` | the same, if the word is one |
//! | `actor.id`, `actor.type`, `actor.name`, `actor.email` | the actor |
//! | `session`, `tenant`, `id`, `idempotency_key` | the same |
//! | `origin.ip`, `origin.user_agent`, `origin.host` | the origin |
//! | `target.type`, `target.id`, `target.name` | a target |
//! | `trace_id`, `span_id` (hexadecimal, both) | the trace |
//! | any other, and `message` | a detail of that name |
//!
//! Actor, session, tenant, origin and trace are inherited from the spans around, the nearest first: say them once, on the span of
//! a request.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use indelible_format::draft::{Target, Value};
use indelible_format::sink::Sink;
use indelible_format::{Draft, Trace};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::hexadecimal::hexadecimal;
use crate::layer::LayerCounts;

const SOURCE: &str = "tracing";
/// Chosen by target never: what sends events would make more of them. `log`: what comes over the bridge from there.
const NEVER: [&str; 4] = ["indelible", "log", "rustls", "ureq"];
/// Texts of an event; what else is said with these names is turned into text.
const TEXTS: [&str; 20] = [
    "action",
    "outcome",
    "severity",
    "class",
    "actor.id",
    "actor.type",
    "actor.name",
    "actor.email",
    "session",
    "tenant",
    "id",
    "idempotency_key",
    "origin.ip",
    "origin.user_agent",
    "origin.host",
    "target.type",
    "target.id",
    "target.name",
    "trace_id",
    "span_id",
];

/// Records chosen `tracing` events and spans into a store or a client.
///
/// ```
/// use indelible_adapters::TracingLayer;
/// use indelible_format::Draft;
/// use indelible_format::sink::{Refusal, Sink};
/// use tracing_subscriber::prelude::*;
///
/// # #[derive(Clone, Default)]
/// # struct Store(std::sync::Arc<std::sync::Mutex<Vec<(String, String)>>>);
/// # impl Sink for Store {
/// #     fn offer(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
/// #         self.0.lock().unwrap().push((draft.action.name().to_owned(), draft.actor.id.unwrap_or_default().to_owned()));
/// #         Ok(())
/// #     }
/// # }
/// # let store = Store::default();
/// let layer = TracingLayer::new(store.clone()); // an `indelible::Store` or an `indelible::Client`
/// let counts = layer.counts();
/// let subscriber = tracing_subscriber::registry().with(layer);
/// tracing::subscriber::with_default(subscriber, || {
///     let request = tracing::info_span!("request", actor.id = "alice", origin.ip = "203.0.113.9");
///     let _entered = request.enter();
///     tracing::info!(target: "audit", action = "invoice.approve", outcome = "success", target.type = "invoice", target.id = 17);
///     tracing::warn!(audit = true, action = "user.login", outcome = "failure", reason = "bad password");
///     tracing::info!("not for the audit log");
/// });
/// assert_eq!(counts.taken(), 2);
/// # assert_eq!(store.0.lock().unwrap()[0], ("invoice.approve".into(), "alice".into()));
/// ```
///
/// It never waits: what its sink has no room for is counted in [`LayerCounts`] and not recorded. Emit directly what must not be
/// lost.
#[derive(Debug)]
pub struct TracingLayer<K> {
    sink: K,
    targets: Vec<String>,
    action: String,
    counts: Arc<LayerCounts>,
}

impl<K: Sink> TracingLayer<K> {
    /// A layer that records what has the target `audit` or a field `audit`.
    pub fn new(sink: K) -> Self {
        Self { sink, targets: vec!["audit".into()], action: "app.event".into(), counts: Arc::default() }
    }

    /// Chooses what has this target, or one below it, too. (Not `log`, nor the crates that send events: they would hear
    /// themselves.)
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// The action of what says none; `app.event` if this is not called.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    /// What the layer has done, now and later.
    #[must_use]
    pub fn counts(&self) -> Arc<LayerCounts> {
        Arc::clone(&self.counts)
    }

    fn chooses(&self, metadata: &Metadata<'_>) -> bool {
        let below =
            |target: &str, above: &str| target.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        let target = metadata.target();
        let never = target.starts_with("indelible_") || NEVER.iter().any(|never| below(target, never));
        metadata.fields().field("audit").is_some() || (!never && self.targets.iter().any(|chosen| below(target, chosen)))
    }

    /// Records what was said by `said`, and by `inherited` where it said nothing.
    fn record(&self, metadata: &Metadata<'_>, said: &Said, inherited: &Said, began: Option<&Began>) {
        if said.find("audit").is_some_and(|audit| matches!(audit, Told::Bool(false))) {
            return;
        }
        let text = |name| said.text(name);
        let context = |name| said.text(name).or_else(|| inherited.text(name));
        let mut used = vec!["audit", "action"];
        let mut draft = Draft::new(text("action").unwrap_or(&self.action)).source(SOURCE);
        if let Some(outcome) = word(text("outcome"), "outcome", &mut used) {
            draft.outcome = outcome;
        }
        draft.severity = word(text("severity"), "severity", &mut used);
        draft.class = word(text("class"), "class", &mut used);
        draft.actor.id = context("actor.id");
        draft.actor.kind = context("actor.type");
        draft.actor.name = context("actor.name");
        draft.actor.email = context("actor.email");
        draft.origin.ip = context("origin.ip");
        draft.origin.user_agent = context("origin.user_agent");
        draft.origin.host = context("origin.host");
        draft.session = context("session");
        draft.tenant = context("tenant");
        draft.id = text("id");
        draft.idempotency_key = text("idempotency_key");
        let target = Target { kind: text("target.type"), id: text("target.id"), name: text("target.name") };
        if target != Target::default() {
            draft.targets.push(target);
        }
        draft.trace = trace(context("trace_id"), context("span_id"));
        // Words that are not known, and traces that are none, stay as what was said.
        let untold = |name: &str| match name {
            "outcome" | "severity" | "class" => !used.contains(&name),
            "trace_id" | "span_id" => draft.trace.is_none(),
            "audit" => false,
            _ => !TEXTS.contains(&name),
        };
        let details: Vec<(&str, Value<'_>)> =
            said.0.iter().filter(|(name, _)| untold(name)).map(|(name, told)| (*name, told.value())).collect();
        let duration = began.map(|began| u64::try_from(began.at.elapsed().as_micros()).unwrap_or(u64::MAX));
        for (name, value) in details {
            draft = draft.detail(name, value);
        }
        if said.find("level").is_none() {
            draft = draft.detail("level", metadata.level().as_str());
        }
        if let Some(began) = began {
            draft.time = began.wall_ns;
            if said.find("span").is_none() {
                draft = draft.detail("span", metadata.name());
            }
        }
        if let Some(duration) = duration.filter(|_| said.find("duration_us").is_none()) {
            draft = draft.detail("duration_us", duration);
        }
        self.counts.offer(&self.sink, &draft);
    }
}

impl<S, K> Layer<S> for TracingLayer<K>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    K: Sink + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let chosen = self.chooses(attributes.metadata());
        if !chosen && !attributes.metadata().fields().iter().any(|field| is_context(field.name())) {
            return;
        }
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Span { said, began: chosen.then(Began::now) });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Span>()
        {
            values.record(&mut known.said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.chooses(event.metadata()) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let mut inherited = Said::default();
        for span in context.event_scope(event).into_iter().flatten() {
            inherited.inherit(span.extensions().get::<Span>());
        }
        self.record(event.metadata(), &said, &inherited, None);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        // Taken out, so that nothing of the registry is locked while it is recorded.
        let Some(Span { said, began: Some(began) }) = span.extensions_mut().remove::<Span>() else { return };
        let mut inherited = Said::default();
        for above in span.scope().skip(1) {
            inherited.inherit(above.extensions().get::<Span>());
        }
        self.record(span.metadata(), &said, &inherited, Some(&began));
    }
}

/// What is kept of a span.
struct Span {
    said: Said,
    /// If it is recorded itself.
    began: Option<Began>,
}

struct Began {
    at: Instant,
    wall_ns: Option<i64>,
}

impl Began {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { at: Instant::now(), wall_ns: since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()) }
    }
}

/// Fields as they were said, each name once.
#[derive(Default)]
struct Said(Vec<(&'static str, Told)>);

enum Told {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Told {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => text.into(),
            Self::Signed(number) => (*number).into(),
            Self::Unsigned(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Bool(truth) => (*truth).into(),
        }
    }
}

impl Said {
    fn find(&self, name: &str) -> Option<&Told> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, told)| told)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.find(name)? {
            Told::Text(text) => Some(text),
            _ => None,
        }
    }

    fn put(&mut self, name: &'static str, told: Told) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = told,
            None => self.0.push((name, told)),
        }
    }

    fn put_shown(&mut self, field: &Field, told: Told, shown: &dyn fmt::Display) {
        let told = if TEXTS.contains(&field.name()) { Told::Text(shown.to_string()) } else { told };
        self.put(field.name(), told);
    }

    /// Takes over what a span around says of the context, if nothing nearer did.
    fn inherit(&mut self, above: Option<&Span>) {
        for (name, told) in above.into_iter().flat_map(|span| &span.said.0) {
            if let Told::Text(text) = told
                && is_context(name)
                && self.find(name).is_none()
            {
                self.0.push((*name, Told::Text(text.clone())));
            }
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), Told::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_shown(field, Told::Signed(value), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_shown(field, Told::Unsigned(value), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_shown(field, Told::Bool(value), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is not finite.
        let told = if value.is_finite() { Told::Float(value) } else { Told::Text(value.to_string()) };
        self.put_shown(field, told, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A `Debug` that fails has said what it could.
        let _ = write!(text, "{value:?}");
        self.put(field.name(), Told::Text(text));
    }
}

fn is_context(name: &str) -> bool {
    matches!(name, "session" | "tenant" | "trace_id" | "span_id") || name.starts_with("actor.") || name.starts_with("origin.")
}

/// One of a vocabulary's words.
fn word<'u, T: std::str::FromStr>(text: Option<&str>, name: &'u str, used: &mut Vec<&'u str>) -> Option<T> {
    let word = text?.parse().ok()?;
    used.push(name);
    Some(word)
}

fn trace(trace_id: Option<&str>, span_id: Option<&str>) -> Option<Trace> {
    Some(Trace { trace_id: hexadecimal(trace_id?)?, span_id: hexadecimal(span_id?)? })
}

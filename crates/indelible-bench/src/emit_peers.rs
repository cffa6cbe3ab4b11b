//! Loggers that hand events to a thread of their own: tracing-appender (MIT) and spdlog-rs (MIT OR Apache-2.0).

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use spdlog::sink::{AsyncPoolSink, FileSink};
use spdlog::{Logger, ThreadPool};
use tracing::{Dispatch, dispatcher};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::Result;
use crate::emit::Emitter;
use crate::events::Sample;

/// Lines that may wait in either logger.
const QUEUE_LINES: usize = 128_000;

/// `tracing` with typed fields, formatted as JSON by `tracing-subscriber`, written by `tracing-appender`.
pub(crate) struct Tracing {
    // Dropping it writes what waits.
    _worker: WorkerGuard,
}

impl Tracing {
    /// Becomes the process's logger: what `tracing` is fastest at, and possible once.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let file = tracing_appender::rolling::never(dir, "tracing.log");
        // Lossless, as we are.
        let (writer, worker) = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(QUEUE_LINES).finish(file);
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        dispatcher::set_global_default(Dispatch::new(subscriber))?;
        Ok(Self { _worker: worker })
    }
}

impl Emitter for Tracing {
    fn name(&self) -> &'static str {
        "tracing-appender (JSON)"
    }

    #[inline]
    fn emit(&self, sample: &Sample) -> Result<()> {
        tracing::info!(
            tenant = sample.tenant,
            action = sample.action.name(),
            outcome = sample.outcome.name(),
            actor.id = sample.actor_id,
            actor.r#type = "user",
            actor.name = sample.actor_name,
            actor.email = sample.actor_email,
            session = sample.session,
            origin.ip = sample.ip,
            origin.user_agent = sample.user_agent,
            origin.host = sample.host,
            target.kind = sample.target_kind,
            target.id = sample.target_id,
            request_id = sample.request,
            reason = sample.reason,
            duration_us = sample.duration_us,
            mfa = sample.mfa,
        );
        Ok(())
    }
}

/// `spdlog-rs`, one thread behind a queue.
pub(crate) struct Spdlog {
    logger: Arc<Logger>,
}

impl Spdlog {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let file = FileSink::builder().path(dir.join("spdlog.log")).build_arc()?;
        let capacity = NonZeroUsize::new(QUEUE_LINES).unwrap_or(NonZeroUsize::MIN);
        let pool = ThreadPool::builder().capacity(capacity).build_arc()?;
        // Blocks when the queue is full, as we do; that is its default.
        let sink = AsyncPoolSink::builder().thread_pool(pool).sink(file).build_arc()?;
        Ok(Self { logger: Logger::builder().sink(sink).build_arc()? })
    }
}

impl Emitter for Spdlog {
    fn name(&self) -> &'static str {
        "spdlog-rs async"
    }

    #[inline]
    fn emit(&self, sample: &Sample) -> Result<()> {
        spdlog::info!(logger: self.logger, "{}", sample.json);
        Ok(())
    }
}

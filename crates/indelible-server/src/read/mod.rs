//! Questions to the store, on behalf of a caller: of its own tenants, without what it may not see, and not for ever.

pub(crate) mod asked;
pub(crate) mod live;
pub(crate) mod masks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indelible::search::Query;

use crate::http::Problem;
use crate::metrics::{ByQuestion, Question};
use crate::server::Server;

/// Told to a question when nobody waits for its answer any more.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    gone: Arc<AtomicBool>,
    until: Instant,
}

impl Cancel {
    /// Whether to stop.
    pub(crate) fn asked(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    /// The same question, which the store ends when nobody waits.
    pub(crate) fn on(&self, mut query: Query) -> Query {
        query.cancel = Some(Arc::clone(&self.gone));
        query
    }

    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// Raises the flag when the request is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Works on a question beside the executor; at most `limits.searches` at once.
///
/// # Errors
/// What `work` says; 503 when there were too many or it took too long.
pub(crate) async fn ask<T: Send + 'static>(
    server: &Arc<Server>,
    question: Question,
    work: impl FnOnce(&Server, &Cancel) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let limit = server.config().time("limits.search_time");
    let started = Instant::now();
    let late = || {
        Problem::busy(format!("the question was not answered within {} ms", limit.as_millis()))
            .hint("narrow its time, or its terms")
    };
    let permit = tokio::time::timeout(limit, Arc::clone(&server.searches).acquire_owned()).await;
    let permit = permit.map_err(|_| late())?.map_err(|_| Problem::busy("the server is stopping"))?;
    let gone = Arc::new(AtomicBool::new(false));
    let guard = Guard(Arc::clone(&gone));
    let cancel = Cancel { gone, until: started + limit };
    let shared = Arc::clone(server);
    let task = tokio::task::spawn_blocking(move || {
        let answer = work(&shared, &cancel);
        drop(permit);
        answer
    });
    let grace = Duration::from_millis(200);
    let answer = tokio::time::timeout((limit + grace).saturating_sub(started.elapsed()), task).await;
    drop(guard);
    let answer = answer
        .map_err(|_| late())?
        .map_err(|_| Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "store", "the question failed"))?;
    let by = ByQuestion { question };
    server.metrics.questions.get_or_create(&by).inc();
    server.metrics.question_seconds.get_or_create(&by).observe(started.elapsed().as_secs_f64());
    answer
}

//! Questions to the store, on behalf of a caller: of its own tenants, without what it may not see, and not for ever.

pub(crate) mod asked;
pub(crate) mod live;
pub(crate) mod masks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indelible::search::Query;

use crate::http::Problem;
use crate::http::shares::Holder;
use crate::metrics::{ByQuestion, Question};
use crate::server::Server;

/// Told to a question when nobody waits for its answer any more: the caller has left, or its time is over.
#[derive(Debug, Clone)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether to stop.
    #[cfg(test)]
    fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same question, which the store ends when nobody waits.
    pub(crate) fn on(&self, mut query: Query) -> Query {
        query.cancel = Some(Arc::clone(&self.0));
        query
    }
}

/// Raises the flag when the request is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Works on a question beside the executor; at most `limits.searches` at once, of one holder half of them. When its time is over, or the request is dropped, it is told
/// to end, and makes room for another as soon as it has.
///
/// # Errors
/// What `work` says; 503 when there were too many or it took too long.
pub(crate) async fn ask<T: Send + 'static>(
    server: &Arc<Server>,
    holder: Holder,
    question: Question,
    work: impl FnOnce(&Server, &Cancel) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let limit = server.config().time("limits.search_time");
    let started = Instant::now();
    let late = || {
        Problem::busy(format!("the question was not answered within {} ms", limit.as_millis()))
            .hint("narrow its time, or its terms")
    };
    let place = server.searches.of(holder).take(1, limit).await.ok_or_else(late)?;
    let shared = Arc::clone(server);
    let answer = within(limit.saturating_sub(started.elapsed()), move |cancel| {
        let answer = work(&shared, cancel);
        drop(place);
        answer
    })
    .await;
    let answer = answer
        .map_err(|_| late())?
        .map_err(|_| Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "store", "the question failed"))?;
    let by = ByQuestion { question };
    server.metrics.questions.get_or_create(&by).inc();
    server.metrics.question_seconds.get_or_create(&by).observe(started.elapsed().as_secs_f64());
    answer
}

/// Runs `work` beside the executor. When `limit` is over, or nobody waits for this, it is told to end.
async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce(&Cancel) -> T + Send + 'static,
) -> Result<Result<T, tokio::task::JoinError>, tokio::time::error::Elapsed> {
    let gone = Arc::new(AtomicBool::new(false));
    let _guard = Guard(Arc::clone(&gone));
    let cancel = Cancel(gone);
    tokio::time::timeout(limit, tokio::task::spawn_blocking(move || work(&cancel))).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use indelible::search::Filter;

    use super::*;

    /// Work that ends only when it is told to, by way of a query as the store sees it. Sends something when it begins and when it ends.
    fn endless(heard: mpsc::Sender<()>) -> impl FnOnce(&Cancel) + Send + 'static {
        move |cancel| {
            heard.send(()).unwrap();
            let told = cancel.on(Query::new(&Filter::All, 0).unwrap()).cancel.unwrap();
            while !(told.load(Ordering::Relaxed) && cancel.asked()) {
                std::thread::yield_now();
            }
            heard.send(()).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_ends_when_its_time_is_over() {
        let (heard, hears) = mpsc::channel();
        assert!(within(Duration::from_millis(1), endless(heard)).await.is_err());
        assert_eq!(hears.iter().count(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_ends_when_its_caller_has_left() {
        let (heard, hears) = mpsc::channel();
        let asked = tokio::spawn(within(Duration::from_secs(3_600), endless(heard)));
        hears.recv().unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(hears.iter().count(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_in_time_is_given_and_nobody_was_told_to_end() {
        assert!(!within(Duration::from_secs(3_600), Cancel::asked).await.unwrap().unwrap());
    }
}

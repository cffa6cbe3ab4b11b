//! Answers of whole segments, kept for when they are asked again. A segment never changes, so an answer about it is right for good.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indelible_format::Hash;
use parking_lot::Mutex;

/// The segment's file, and what was asked of it.
type Key = (Hash, Arc<str>);

/// How often an answer was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// Segments whose answer was known.
    pub hits: u64,
    /// Segments that were looked at because it was not.
    pub misses: u64,
    /// Bytes of the answers that are kept, about.
    pub bytes: u64,
}

/// Shared by the clones of a reader. The oldest answers go first.
pub(crate) struct Results {
    kept: Mutex<Kept>,
    bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<Key, Answer>,
    order: VecDeque<Key>,
    bytes: usize,
}

struct Answer {
    part: Arc<dyn Any + Send + Sync>,
    matched: u64,
    bytes: usize,
}

impl Results {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), bytes_max, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The answer to a question about a segment, with the number of its rows that match.
    pub(crate) fn get<T: Clone + 'static>(&self, segment: Hash, question: &Arc<str>) -> Option<(T, u64)> {
        let kept = self.kept.lock();
        let answer = kept.answers.get(&(segment, Arc::clone(question)));
        let found = answer.and_then(|answer| Some((answer.part.downcast_ref::<T>()?.clone(), answer.matched)));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps an answer of `bytes` bytes, if it is no larger than a sixteenth of what may be kept.
    pub(crate) fn put<T: Send + Sync + 'static>(&self, segment: Hash, question: &Arc<str>, part: T, matched: u64, bytes: usize) {
        let bytes = bytes + question.len() + 128;
        if bytes > self.bytes_max / 16 {
            return;
        }
        let key = (segment, Arc::clone(question));
        let mut kept = self.kept.lock();
        if let Some(known) = kept.answers.insert(key.clone(), Answer { part: Arc::new(part), matched, bytes }) {
            // Two asked the same at the same time.
            kept.bytes -= known.bytes;
        } else {
            kept.order.push_back(key);
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.answers.remove(&oldest).map_or(0, |answer| answer.bytes);
            kept.bytes -= gone;
        }
    }

    pub(crate) fn counts(&self) -> ResultCounts {
        ResultCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.kept.lock().bytes as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let results = Results::new(64 << 10);
        let question = |nth: u64| Arc::<str>::from(format!("question {nth}"));
        for nth in 0..1_000 {
            results.put(Hash([1; 32]), &question(nth), nth, nth * 2, 900);
            assert!(results.counts().bytes <= 64 << 10);
        }
        assert_eq!(results.get::<u64>(Hash([1; 32]), &question(999)), Some((999, 1_998)));
        assert_eq!(results.get::<u64>(Hash([1; 32]), &question(0)), None);
        // Another segment, and another kind of answer, are others.
        assert_eq!(results.get::<u64>(Hash([2; 32]), &question(999)), None);
        assert_eq!(results.get::<String>(Hash([1; 32]), &question(999)), None);
        assert_eq!((results.counts().hits, results.counts().misses), (1, 3));
        // Too large to be kept; and where nothing may be kept, nothing is.
        results.put(Hash([1; 32]), &question(7), 7u64, 7, 5_000);
        assert_eq!(results.get::<u64>(Hash([1; 32]), &question(7)), None);
        let none = Results::new(0);
        none.put(Hash([1; 32]), &question(7), 7u64, 7, 0);
        assert_eq!(none.get::<u64>(Hash([1; 32]), &question(7)), None);
    }
}

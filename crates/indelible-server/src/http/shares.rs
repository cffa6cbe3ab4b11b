//! What many want at once and nobody may have alone: places for questions and listeners, room for bodies.
//!
//! Each holder, a tenant or a token, has half of them at most and waits in a queue of its own. So one that holds all it can, for as long as
//! it can, leaves the other half to the others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who holds something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// All tokens of one tenant.
    Tenant(String),
    /// A token of several tenants, or of all: by its id.
    Token(String),
}

/// So many places, and who holds them.
#[derive(Debug, Clone)]
pub(crate) struct Shares(Arc<Places>);

#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    each: usize,
    /// Those who hold or want some.
    holders: Mutex<HashMap<Holder, Weak<Own>>>,
}

/// What one holder may have.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Own>);

#[derive(Debug)]
struct Own {
    of: Shares,
    holder: Holder,
    places: Arc<Semaphore>,
}

/// Places that are held until this is let go.
#[derive(Debug)]
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    _share: Share,
}

impl Shares {
    /// `most`: of all holders together.
    pub(crate) fn new(most: usize) -> Self {
        let all = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Places { all, each: most.div_ceil(2).min(Semaphore::MAX_PERMITS), holders: Mutex::default() }))
    }

    /// What this holder may have.
    pub(crate) fn of(&self, holder: Holder) -> Share {
        let mut holders = self.0.holders.lock();
        if let Some(known) = holders.get(&holder).and_then(Weak::upgrade) {
            return Share(known);
        }
        let own = Arc::new(Own { of: self.clone(), holder: holder.clone(), places: Arc::new(Semaphore::new(self.0.each)) });
        holders.insert(holder, Arc::downgrade(&own));
        Share(own)
    }
}

impl Share {
    /// How many it may have at once.
    pub(crate) fn most(&self) -> usize {
        self.0.of.0.each
    }

    /// Waits for so many. `None`: they did not become free in time.
    pub(crate) async fn take(&self, count: u32, patience: Duration) -> Option<Place> {
        let taken = async {
            // Its own first: who has all that it may have does not stand before others in the queue for the rest.
            let own = Arc::clone(&self.0.places).acquire_many_owned(count).await.ok()?;
            let all = Arc::clone(&self.0.of.0.all).acquire_many_owned(count).await.ok()?;
            Some(Place { _own: own, _all: all, _share: self.clone() })
        };
        tokio::time::timeout(patience, taken).await.ok().flatten()
    }

    /// So many, if they are free now.
    pub(crate) fn try_take(&self, count: u32) -> Option<Place> {
        let own = Arc::clone(&self.0.places).try_acquire_many_owned(count).ok()?;
        let all = Arc::clone(&self.0.of.0.all).try_acquire_many_owned(count).ok()?;
        Some(Place { _own: own, _all: all, _share: self.clone() })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut holders = self.of.0.holders.lock();
        // Somebody may have come back under this name meanwhile.
        if holders.get(&self.holder).is_some_and(|own| own.strong_count() == 0) {
            holders.remove(&self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn tenant(name: &str) -> Holder {
        Holder::Tenant(name.to_owned())
    }

    #[tokio::test]
    async fn who_holds_all_that_it_can_leaves_half_to_others() {
        let shares = Shares::new(5);
        let acme = shares.of(tenant("acme"));
        let mut held: Vec<_> = (0..3).map(|_| acme.try_take(1).unwrap()).collect();
        assert!(acme.try_take(1).is_none() && shares.of(tenant("acme")).take(1, SOON).await.is_none());
        // Nor do those that wait for more stand before others.
        let waiting: Vec<_> = (0..100).map(|_| acme.clone()).collect();
        let waiting: Vec<_> =
            waiting.into_iter().map(|acme| tokio::spawn(async move { acme.take(2, SOON * 10).await.is_some() })).collect();
        tokio::task::yield_now().await;
        let other = shares.of(Holder::Token("acme".into()));
        let others = [other.take(1, SOON).await.unwrap(), other.try_take(1).unwrap()];
        assert!(other.try_take(1).is_none(), "there are no more than there are");
        held.truncate(1);
        drop(others);
        for waits in waiting {
            assert!(waits.await.unwrap(), "what is let go is for those who wait");
        }
    }

    #[tokio::test]
    async fn nobody_is_remembered_who_holds_nothing() {
        let shares = Shares::new(1);
        let one = shares.of(tenant("acme")).try_take(1).unwrap();
        assert!(shares.of(tenant("acme")).try_take(1).is_none() && shares.of(tenant("umbrella")).try_take(1).is_none());
        drop(one);
        assert!(shares.0.holders.lock().is_empty());
        assert!(shares.of(tenant("umbrella")).try_take(1).is_some());
        assert!(Shares::new(0).of(tenant("acme")).try_take(1).is_none());
    }
}

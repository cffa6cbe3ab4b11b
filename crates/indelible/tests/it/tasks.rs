//! Tickets are futures that any executor can drive, and waking a task may run any code.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use indelible::world::World;
use indelible::{Config, LaneConfig, Overflow, Store};
use indelible_testkit::gate::Gate;

use crate::readers::event;

// An executor of twenty lines: nothing here knows tokio.

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(5)),
        }
        assert!(Instant::now() < patience, "the future is never woken");
    }
}

/// Drives all to their end in turns.
struct All<F: Future + Unpin>(Vec<(F, Option<F::Output>)>);

impl<F: Future + Unpin> Future for All<F>
where
    F::Output: Unpin,
{
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for (future, output) in self.0.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = Pin::new(future).poll(context) {
                *output = Some(ready);
            }
        }
        if self.0.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(self.0.drain(..).filter_map(|(_, output)| output).collect())
    }
}

#[test]
fn tickets_can_be_awaited_without_an_executor_of_our_choice() {
    for threads in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("store"));
        config.threads = threads;
        let store = Store::open(config).unwrap();
        let tickets = (0..200).map(|n| (store.emit(&event(n)).unwrap(), None)).collect();
        let mut seqs: Vec<u64> = block_on(All(tickets)).into_iter().map(|receipt| receipt.unwrap().seq.unwrap()).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn emit_async_yields_while_the_lane_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, world) = Gate::before(World::real());
    let mut config = Config::new(dir.path().join("store"));
    config.lanes.normal = LaneConfig { bytes: 2_000, overflow: Overflow::Block(Duration::from_secs(1)) };
    let store = Store::open_in(config, world).unwrap();
    gate.shut();
    let waker = Waker::noop();
    let mut context = Context::from_waker(waker);
    let mut sent = 0;
    let draft = event(0);
    let waiting = loop {
        let mut future = Box::pin(store.emit_async(&draft));
        match future.as_mut().poll(&mut context) {
            Poll::Ready(ticket) => drop(ticket.unwrap()),
            Poll::Pending => break future,
        }
        sent += 1;
        assert!(sent < 1_000, "the lane is never full");
    };
    gate.open();
    block_on(waiting).unwrap();
    store.flush().unwrap();
    assert_eq!(store.heads()[1].size, sent + 1);
}

/// Uses the store it waits for, or lets go of it, at the moment it is woken.
struct Meddler {
    store: Mutex<Option<Arc<Store>>>,
    lets_go: bool,
    done: Sender<()>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        let Some(store) = self.store.lock().unwrap().take() else { return };
        if self.lets_go {
            drop(store);
        } else {
            store.append(&event(1)).unwrap();
            store.flush().unwrap();
        }
        self.done.send(()).unwrap();
    }
}

#[test]
fn a_task_may_use_or_drop_the_store_while_it_is_woken() {
    for lets_go in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (gate, world) = Gate::before(World::real());
        let store = Arc::new(Store::open_in(Config::new(dir.path().join("store")), world).unwrap());
        let (done, woken) = channel();
        let mut ticket = store.emit(&event(0)).unwrap();
        gate.shut();
        // Durable already, by chance: the next one cannot be.
        let meddler = Waker::from(Arc::new(Meddler { store: Mutex::new(Some(Arc::clone(&store))), lets_go, done }));
        let mut context = Context::from_waker(&meddler);
        while Pin::new(&mut ticket).poll(&mut context).is_ready() {
            ticket = store.emit(&event(0)).unwrap();
        }
        // Only the waker holds the store now.
        drop(store);
        gate.open();
        woken.recv_timeout(Duration::from_secs(30)).expect("the store waits for itself");
    }
}

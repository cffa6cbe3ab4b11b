//! Tickets are futures that any executor can drive, and waking a task may run any code.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use indelible::world::World;
use indelible::{Config, Draft, Durability, ErrorKind, LaneConfig, Overflow, Reader, Store};
use indelible_testkit::SimWorld;
use indelible_testkit::gate::Gate;
use indelible_testkit::scenario::Scenario;

use crate::readers::event;

// An executor of twenty lines: nothing here knows tokio.

#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn wait(&self, patience: Duration) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            let (guard, timeout) = self.changed.wait_timeout(woken, patience).unwrap();
            woken = guard;
            assert!(!timeout.timed_out(), "the future is never woken");
        }
        *woken = false;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // Only who is woken polls again.
            Poll::Pending => woken.wait(Duration::from_secs(30)),
        }
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

#[derive(Clone, Copy, Debug)]
enum Mischief {
    Append,
    /// More than the lane has room for.
    Fill,
    Flush,
    Close,
    Drop,
}

/// Uses the store it waits for, or lets go of it, at the moment it is woken.
struct Meddler {
    store: Mutex<Option<Store>>,
    mischief: Mischief,
    done: Sender<()>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        let Some(store) = self.store.lock().unwrap().take() else { return };
        match self.mischief {
            Mischief::Append => drop(store.append(&event(1)).unwrap()),
            Mischief::Fill => (0..50).for_each(|n| assert!(!store.emit(&event(n)).unwrap().is_shed())),
            Mischief::Flush => store.flush().unwrap(),
            Mischief::Close => drop(store.close().unwrap()),
            Mischief::Drop => drop(store),
        }
        self.done.send(()).unwrap();
    }
}

#[test]
fn a_task_may_use_close_or_drop_the_store_while_it_is_woken() {
    let gathers = Durability::Batched { events: 1, interval: Duration::from_secs(3600) };
    for durability in [Durability::Immediate, gathers] {
        for mischief in [Mischief::Append, Mischief::Fill, Mischief::Flush, Mischief::Close, Mischief::Drop] {
            let dir = tempfile::tempdir().unwrap();
            let (gate, world) = Gate::before(World::real());
            let mut config = Config::new(dir.path().join("store"));
            config.durability = durability;
            config.lanes.normal = LaneConfig { bytes: 2_000, overflow: Overflow::Block(Duration::from_secs(60)) };
            let store = Store::open_in(config, world).unwrap();
            gate.shut();
            let (done, woken) = channel();
            let waker = Waker::from(Arc::new(Meddler { store: Mutex::new(Some(store.clone())), mischief, done }));
            let mut ticket = store.emit(&event(0)).unwrap();
            assert!(Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
            // Only the waker holds the store now.
            drop(store);
            gate.open();
            woken
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("{durability:?}: {mischief:?} waits for itself"));
        }
    }
}

#[test]
fn a_task_may_use_the_store_when_it_hears_that_the_disk_is_full() {
    for mischief in [Mischief::Append, Mischief::Flush, Mischief::Drop] {
        let machine = SimWorld::new(8);
        let mut config = Scenario::config();
        config.threads = true;
        let store = Store::open_in(config, machine.world()).unwrap();
        machine.disk.set_capacity_bytes(1);
        let large = "x".repeat(900_000);
        let draft = Draft::new("disk.fill").detail("large", &*large);
        // The first journal file is there; it takes a few of these.
        let mut ticket = loop {
            let ticket = store.emit(&draft).unwrap();
            if block_on(ticket).is_err() {
                break ticket;
            }
        };
        let (done, woken) = channel();
        let waker = Waker::from(Arc::new(Meddler { store: Mutex::new(Some(store.clone())), mischief, done }));
        let mut context = Context::from_waker(&waker);
        while Pin::new(&mut ticket).poll(&mut context).is_ready() {}
        // There is room again: the waker runs when the stalled batch is written, by whoever writes it.
        machine.disk.set_capacity_bytes(1 << 40);
        drop(store);
        woken.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{mischief:?} waits for itself"));
    }
}

/// However long events may gather: who waits for room gets it when there is some.
#[test]
fn emit_async_goes_on_when_a_gathering_lane_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.durability = Durability::Batched { events: 1 << 40, interval: Duration::from_secs(3600) };
    config.lanes.normal.bytes = 3 << 20;
    let store = Store::open(config).unwrap();
    let large = "x".repeat(70_000);
    let draft = Draft::new("disk.fill").detail("large", &*large);
    for _ in 0..400 {
        assert!(!block_on(store.emit_async(&draft)).unwrap().is_shed());
    }
    store.flush().unwrap();
    assert_eq!(store.stats().lanes[1].pushed, 400);
}

#[test]
fn who_waits_while_the_store_is_closed_is_served_or_told() {
    for durability in [Durability::Immediate, Durability::Batched { events: 64, interval: Duration::from_secs(3600) }] {
        for round in 0..40 {
            let dir = tempfile::tempdir().unwrap();
            let mut config = Config::new(dir.path().join("store"));
            config.durability = durability;
            let store = Store::open(config).unwrap();
            let (served, emitted) = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..3)
                    .map(|_| {
                        let store = store.clone();
                        scope.spawn(move || {
                            let (mut served, mut emitted) = (0, 0);
                            loop {
                                match store.emit(&event(1)) {
                                    Ok(_) => emitted += 1,
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::Closed);
                                        break (served, emitted);
                                    }
                                }
                                match store.append(&event(2)) {
                                    Ok(_) => served += 1,
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::Closed);
                                        break (served, emitted);
                                    }
                                }
                            }
                        })
                    })
                    .collect();
                std::thread::sleep(Duration::from_micros(200 * round));
                store.close().unwrap();
                let counts = writers.into_iter().map(|writer| writer.join().unwrap());
                counts.fold((0, 0), |(served, emitted), (a, b)| (served + a, emitted + b))
            });
            // What was let in is in the log, waited for or not.
            let heads = Reader::open(dir.path().join("store")).unwrap().heads().unwrap();
            let size = heads.iter().find(|head| head.log == 1).map_or(0, |head| head.size);
            assert_eq!(size, served + emitted, "{durability:?}");
        }
    }
}

//! What waits to be sent and what is on its way: bounded in bytes, critical events first.
//!
//! Invariants:
//! - An item is in a lane, or in flight, or settled; its bytes count until it is settled.
//! - Telemetry cannot fill the queue, nor normal events: there is always a part that only the next class can take.
//! - What is shed is told to the log, by an event of its own in the next batch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use indelible_adapters::write_draft;
use indelible_format::{Class, Draft, taxonomy};
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::error::ClientError;
use crate::ticket::{Settled, Slot, Ticket};

/// Memory of an item beside its line.
const ITEM_BYTES: usize = 224;

/// An event on its way.
#[derive(Debug)]
pub(crate) struct Item {
    /// One JSON object.
    pub(crate) line: Box<[u8]>,
    /// Whether it says its idempotency key itself.
    pub(crate) has_key: bool,
    /// The key of the first batch it was in, and its place there.
    pub(crate) key: OnceLock<(Arc<str>, usize)>,
    class: Class,
    since: Instant,
    generation: u64,
    pub(crate) slot: Arc<Slot>,
}

/// An event before it is let in.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) line: Box<[u8]>,
    pub(crate) has_key: bool,
    pub(crate) class: Class,
}

/// Why an event was not let in; it is given back.
#[derive(Debug)]
pub(crate) enum Refused {
    Full(Prepared, usize),
    Closed,
}

/// What happened since the client was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) emitted: u64,
    pub(crate) delivered: u64,
    pub(crate) refused: u64,
    pub(crate) shed: u64,
    pub(crate) last_error: Option<ClientError>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is something to send, or an end to it.
    work: Condvar,
    /// Something was settled.
    settled: Condvar,
    /// Everything was abandoned.
    abandoned: Condvar,
    bytes_max: usize,
    batch_age: Duration,
}

#[derive(Debug)]
struct State {
    /// Critical, normal, telemetry.
    lanes: [VecDeque<Arc<Item>>; 3],
    lane_bytes: usize,
    /// Of everything that is not settled.
    bytes: usize,
    in_flight: Vec<Vec<Arc<Item>>>,
    /// How much is not settled of what was emitted between two flushes.
    outstanding: BTreeMap<u64, usize>,
    generation: u64,
    batch_events: usize,
    batch_bytes: usize,
    /// Somebody waits for what is in the lanes: it need not gather.
    hurry: bool,
    closed: bool,
    abandoned: bool,
    /// Tasks that wait for room.
    wakers: Vec<Waker>,
    counts: Counts,
    /// How many of those shed the log has been told of.
    shed_told: u64,
}

impl Queue {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            state: Mutex::new(State {
                lanes: Default::default(),
                lane_bytes: 0,
                bytes: 0,
                in_flight: vec![Vec::new(); config.senders.max(1)],
                outstanding: BTreeMap::new(),
                generation: 0,
                batch_events: config.batch_events.max(1),
                batch_bytes: config.batch_bytes,
                hurry: false,
                closed: false,
                abandoned: false,
                wakers: Vec::new(),
                counts: Counts::default(),
                shed_told: 0,
            }),
            work: Condvar::new(),
            settled: Condvar::new(),
            abandoned: Condvar::new(),
            bytes_max: config.queue_bytes,
            batch_age: config.batch_age,
        }
    }

    /// Lets an event in if there is room now; otherwise `waker`, if there is one, is woken when something was settled.
    pub(crate) fn push(&self, event: Prepared, waker: Option<&Waker>) -> Result<Ticket, Refused> {
        let mut state = self.state.lock();
        self.push_locked(&mut state, event, waker)
    }

    /// As [`push`](Self::push), but waits for room until `deadline`.
    pub(crate) fn push_waiting(&self, mut event: Prepared, deadline: Instant) -> Result<Ticket, Refused> {
        let mut state = self.state.lock();
        loop {
            let full = match self.push_locked(&mut state, event, None) {
                Err(Refused::Full(back, bytes)) => (back, bytes),
                result => return result,
            };
            if self.settled.wait_until(&mut state, deadline).timed_out() {
                return Err(Refused::Full(full.0, full.1));
            }
            event = full.0;
        }
    }

    fn push_locked(&self, state: &mut State, event: Prepared, waker: Option<&Waker>) -> Result<Ticket, Refused> {
        if state.closed {
            return Err(Refused::Closed);
        }
        let room = match event.class {
            Class::Critical => self.bytes_max,
            Class::Normal => self.bytes_max / 8 * 7,
            Class::Telemetry => self.bytes_max / 2,
        };
        // An event that is larger than everything has to be alone.
        if state.bytes > 0 && state.bytes + event.line.len() + ITEM_BYTES > room {
            if let Some(waker) = waker.filter(|waker| !state.wakers.iter().any(|known| known.will_wake(waker))) {
                state.wakers.push(waker.clone());
            }
            return Err(Refused::Full(event, state.bytes));
        }
        state.counts.emitted += 1;
        let item = state.let_in(event);
        let ticket = Ticket::of(Arc::clone(&item.slot));
        state.lane_bytes += item.cost();
        let [critical, normal, telemetry] = &mut state.lanes;
        match item.class {
            Class::Critical => critical,
            Class::Normal => normal,
            Class::Telemetry => telemetry,
        }
        .push_back(item);
        self.work.notify_one();
        Ok(ticket)
    }

    /// Counts an event that is shed.
    pub(crate) fn shed(&self) {
        self.state.lock().counts.shed += 1;
    }

    /// Waits until a batch is due and takes it: critical events first, each class in the order it came. `None`: there will be no
    /// more.
    pub(crate) fn take(&self, sender: usize) -> Option<Vec<Arc<Item>>> {
        let mut state = self.state.lock();
        loop {
            if state.abandoned {
                return None;
            }
            let Some(oldest) = state.oldest() else {
                state.hurry = false;
                if state.closed {
                    return None;
                }
                self.work.wait(&mut state);
                continue;
            };
            let due = later(oldest, self.batch_age);
            if state.is_due() || Instant::now() >= due {
                break;
            }
            self.work.wait_until(&mut state, due);
        }
        let batch = state.take_batch();
        if let Some(place) = state.in_flight.get_mut(sender) {
            place.clone_from(&batch);
        }
        if state.oldest().is_some() {
            self.work.notify_one();
        }
        Some(batch)
    }

    /// Says what became of events that this sender had; what was settled before, by abandoning, stays as it is.
    pub(crate) fn settle(&self, sender: usize, settled: Vec<(Arc<Item>, Settled)>) {
        let mut woken = Vec::new();
        {
            let mut state = self.state.lock();
            if state.abandoned {
                return;
            }
            for (item, outcome) in &settled {
                match outcome {
                    Ok(_) => state.counts.delivered += 1,
                    Err(error) => {
                        state.counts.refused += 1;
                        state.counts.last_error = Some(error.clone());
                    }
                }
                state.release(item);
            }
            if let Some(place) = state.in_flight.get_mut(sender) {
                if settled.len() == place.len() {
                    place.clear();
                } else {
                    place.retain(|held| !settled.iter().any(|(item, _)| Arc::ptr_eq(item, held)));
                }
            }
            woken.append(&mut state.wakers);
        }
        // Before the waiting are woken, so that after a flush every ticket knows.
        for (item, outcome) in settled {
            item.slot.settle(outcome);
        }
        self.settled.notify_all();
        woken.into_iter().for_each(Waker::wake);
    }

    /// An attempt failed and is made again.
    pub(crate) fn note(&self, error: ClientError) {
        self.state.lock().counts.last_error = Some(error);
    }

    /// The server takes smaller batches only.
    pub(crate) fn shrink(&self, events: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.batch_events = state.batch_events.min(events.max(1));
        state.batch_bytes = state.batch_bytes.min(bytes.max(1));
    }

    /// Pauses; `false` if everything was abandoned meanwhile.
    pub(crate) fn pause(&self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        let mut state = self.state.lock();
        while !state.abandoned && !self.abandoned.wait_until(&mut state, until).timed_out() {}
        !state.abandoned
    }

    /// Waits until everything that was let in before is settled; how much is not, at the deadline.
    pub(crate) fn flush(&self, deadline: Instant) -> usize {
        let mut state = self.state.lock();
        let until = state.generation;
        state.generation += 1;
        loop {
            let left: usize = state.outstanding.range(..=until).map(|(_, count)| *count).sum();
            if left == 0 {
                return 0;
            }
            if state.abandoned {
                return left;
            }
            // Again each time: the lanes may have been empty in between.
            state.hurry = true;
            self.work.notify_all();
            if self.settled.wait_until(&mut state, deadline).timed_out() {
                return left;
            }
        }
    }

    /// Lets nothing in any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let woken = std::mem::take(&mut state.wakers);
        drop(state);
        self.work.notify_all();
        self.settled.notify_all();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Gives up on what is not settled: every item of it, in the order in which they would have been sent. Their slots are for
    /// the caller to settle.
    pub(crate) fn abandon(&self) -> Vec<Arc<Item>> {
        let mut state = self.state.lock();
        state.abandoned = true;
        let mut left: Vec<Arc<Item>> = state.in_flight.iter_mut().flat_map(std::mem::take).collect();
        left.extend(state.lanes.iter_mut().flat_map(std::mem::take));
        drop(state);
        for waiting in [&self.work, &self.settled, &self.abandoned] {
            waiting.notify_all();
        }
        left
    }

    /// Counts; events and bytes that are not settled.
    pub(crate) fn counts(&self) -> (Counts, u64, usize) {
        let state = self.state.lock();
        let waiting: usize = state.outstanding.values().sum();
        (state.counts.clone(), waiting as u64, state.bytes)
    }
}

impl State {
    fn let_in(&mut self, event: Prepared) -> Arc<Item> {
        let Prepared { line, has_key, class } = event;
        let (since, generation) = (Instant::now(), self.generation);
        let item = Item { line, has_key, key: OnceLock::new(), class, since, generation, slot: Arc::default() };
        self.bytes += item.cost();
        *self.outstanding.entry(self.generation).or_default() += 1;
        Arc::new(item)
    }

    fn release(&mut self, item: &Item) {
        self.bytes = self.bytes.saturating_sub(item.cost());
        if let Some(count) = self.outstanding.get_mut(&item.generation) {
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&item.generation);
            }
        }
    }

    fn oldest(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.front()).map(|item| item.since).min()
    }

    fn is_due(&self) -> bool {
        let [critical, ..] = &self.lanes;
        self.hurry
            || self.closed
            || !critical.is_empty()
            || self.lane_bytes >= self.batch_bytes
            || self.lanes.iter().map(VecDeque::len).sum::<usize>() >= self.batch_events
    }

    fn take_batch(&mut self) -> Vec<Arc<Item>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        if let Some(gap) = self.gap() {
            bytes += gap.line.len();
            batch.push(gap);
        }
        for lane in &mut self.lanes {
            while let Some(item) = lane.front() {
                let full = batch.len() >= self.batch_events || bytes + item.line.len() > self.batch_bytes;
                if full && !batch.is_empty() {
                    return batch;
                }
                bytes += item.line.len();
                self.lane_bytes -= item.cost();
                batch.extend(lane.pop_front());
            }
        }
        batch
    }

    /// What has been shed since the log was last told.
    fn gap(&mut self) -> Option<Arc<Item>> {
        let count = self.counts.shed - self.shed_told;
        if count == 0 {
            return None;
        }
        let draft = Draft::new(taxonomy::AUDIT_GAP).detail("class", Class::Telemetry.name()).detail("count", count);
        let mut line = Vec::new();
        let class = write_draft(&mut line, &draft.detail("reason", "shed"), &mut Vec::new()).ok()?;
        self.shed_told = self.counts.shed;
        Some(self.let_in(Prepared { line: line.into(), has_key: false, class }))
    }
}

/// A moment so far ahead that it does not matter, if there is none.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + Duration::from_secs(1 << 31))
}

impl Item {
    fn cost(&self) -> usize {
        self.line.len() + ITEM_BYTES
    }
}

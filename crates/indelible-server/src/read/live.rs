//! Live events: one tap of the store for all who listen.
//!
//! Listeners that ask the same are one *group*: an event is matched and written once for each group, however many listen. A group is fed through
//! a bounded channel; who does not keep up is told so, and reads what it missed from the store, where its position says where to go on. So
//! nothing is missed and nobody is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use indelible::search::{Filter, FilterError, Query, View};
use indelible::text::safe_json;
use indelible::{Committed, Identity, Store};
use indelible_adapters::write_event_without;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::masks;
use crate::access::Masks;
use crate::api::records::{AnswerForm, write_record};
use crate::http::Problem;
use crate::http::caller::Tenants;

/// How often the thread looks whether anybody is left.
const LOOK: Duration = Duration::from_millis(200);

/// What listeners of a group are told.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// An event that matches.
    Event(Event),
    /// Some were missed: read them from the store.
    Missed,
}

/// One event, written once.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) log: u32,
    pub(crate) seq: u64,
    /// As listeners are told it.
    pub(crate) data: Bytes,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Events in the tap.
    pub(crate) tap_events: usize,
    /// Messages in a group.
    pub(crate) group_messages: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { tap_events: 16_384, group_messages: 1_024 }
    }
}

/// What a group asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The filter with its tenants, compiled: `now+1h` means another moment for who comes later, and so another group.
    filter: String,
    times: (Option<i64>, Option<i64>),
    log: Option<u32>,
    identity_masked: bool,
    content_masked: bool,
    form: AnswerForm,
}

impl Key {
    /// Of what `query` was made of: the filter with its tenants, and the moment that relative times count from.
    ///
    /// # Errors
    /// A value that does not fit its field.
    pub(crate) fn of(filter: &Filter, now: i64, query: &Query, masks: Masks, form: AnswerForm) -> Result<Self, FilterError> {
        Ok(Self {
            filter: format!("{:?}", filter.compile(now)?),
            times: (query.since, query.until),
            log: query.log,
            identity_masked: masks.identity,
            content_masked: masks.content,
            form,
        })
    }
}

/// Those who ask the same.
struct Group {
    query: Query,
    /// Only events of these can match; `None`: of any.
    tenants: Option<Vec<String>>,
    masks: Masks,
    form: AnswerForm,
    sender: broadcast::Sender<Message>,
}

/// All who listen.
#[derive(Default)]
pub(crate) struct Live {
    capacity: Capacity,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    by_key: HashMap<Key, Arc<Group>>,
    /// Grows when a group is added.
    added: u64,
    is_running: bool,
}

/// A place in a group.
pub(crate) type Listening = broadcast::Receiver<Message>;

impl Live {
    #[cfg(test)]
    pub(crate) fn with(capacity: Capacity) -> Self {
        Self { capacity, groups: Mutex::default() }
    }

    /// Joins the group that asks this, or begins it. What becomes durable after this returns is told.
    ///
    /// # Errors
    /// The store is closed, or no thread can be started.
    pub(crate) fn listen(
        self: &Arc<Self>,
        store: &Store,
        key: Key,
        query: Query,
        tenants: &Tenants,
        masks: Masks,
    ) -> Result<Listening, Problem> {
        let mut groups = self.groups.lock();
        if !groups.is_running {
            let mut tap = store.subscribe(self.capacity.tap_events)?;
            let identity = store.identity()?.clone();
            let live = Arc::clone(self);
            let started = std::thread::Builder::new().name("indelible-live".into()).spawn(move || live.feed(&mut tap, &identity));
            started.map_err(|error| Problem::busy(format!("could not start a thread: {error}")))?;
            groups.is_running = true;
        }
        let known = groups.by_key.get(&key).map(|group| group.sender.subscribe());
        Ok(known.unwrap_or_else(|| {
            let tenants = if let Tenants::These(tenants) = tenants { Some(tenants.clone()) } else { None };
            let (sender, messages) = broadcast::channel(self.capacity.group_messages);
            let form = key.form;
            groups.by_key.insert(key, Arc::new(Group { query, tenants, masks, form, sender }));
            groups.added += 1;
            messages
        }))
    }

    /// The thread: until nobody listens.
    fn feed(&self, tap: &mut indelible::Tap, identity: &Identity) {
        let (mut missed, mut added) = (0, 0);
        let mut members: Vec<Arc<Group>> = Vec::new();
        let mut looked = Instant::now();
        loop {
            let event = tap.next_within(LOOK);
            {
                // Under the lock nobody can join a group that is just being let go.
                let mut groups = self.groups.lock();
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    groups.by_key.retain(|_, group| group.sender.receiver_count() > 0);
                    if groups.by_key.is_empty() {
                        groups.is_running = false;
                        return;
                    }
                    added = 0;
                }
                if added != groups.added {
                    added = groups.added;
                    members = groups.by_key.values().cloned().collect();
                }
            }
            if tap.missed() != missed {
                missed = tap.missed();
                members.iter().for_each(|group| group.tell(Message::Missed));
            }
            if let Some(event) = event {
                hand_on(&members, &event, identity);
            }
        }
    }
}

fn hand_on(groups: &[Arc<Group>], event: &Committed, identity: &Identity) {
    let Some(record) = event.record() else { return };
    let Some(head) = record.head() else { return };
    let view = View { log: event.log, seq: event.seq, record: &record, head: &head };
    for group in groups {
        if group.tenants.as_ref().is_some_and(|tenants| !tenants.iter().any(|tenant| tenant == head.tenant))
            || !group.query.matches(&view)
        {
            continue;
        }
        let data = told(&view, identity, group.masks, group.form).into();
        group.tell(Message::Event(Event { log: event.log, seq: event.seq, data }));
    }
}

/// An event as listeners are told it, in one line.
pub(crate) fn told(view: &View<'_>, identity: &Identity, masks: Masks, form: AnswerForm) -> Vec<u8> {
    let mut data = Vec::with_capacity(view.record.bytes().len() + 256);
    match form {
        AnswerForm::Json => {
            let log = identity.log_name(view.log);
            write_event_without(&mut data, log, view.seq, view.record, view.head, masks::hidden(masks));
            safe_json(data)
        }
        AnswerForm::Records => {
            write_record(&mut data, view, masks::hidden(masks));
            STANDARD.encode(data).into_bytes()
        }
    }
}

impl Group {
    fn tell(&self, message: Message) {
        // Nobody listens at this moment: no matter.
        let _ = self.sender.send(message);
    }
}

#[cfg(test)]
mod tests;

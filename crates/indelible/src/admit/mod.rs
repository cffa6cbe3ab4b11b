//! The door: a draft is validated, redacted, stamped and encoded on the caller's thread. No lock, no system call, and no
//! allocation once a thread's scratch has grown.

pub mod redact;
mod secrets;

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use indelible_format::{Class, Draft, Encoded, Producer, Stamp, encode};

use crate::admit::redact::RedactScratch;
use crate::buffer::{Full, Local, Shut};
use crate::commit::pipeline::{OPEN, Shared};
use crate::config::{Durability, Overflow};
use crate::error::{Error, ErrorKind};
use crate::identity::{LOG_MAIN, LOG_TELEMETRY};
use crate::world::fork;

/// Scratch buffers larger than this are given back after use.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

#[derive(Default)]
struct Scratch {
    record: Vec<u8>,
    redact: RedactScratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What became of a draft at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It waits in this lane at this position.
    Waiting(Class, u64),
    /// Its lane was full and sheds; the loss is counted and will be recorded.
    Shed(Class),
}

/// What a full lane tells the caller, besides the lane.
pub(crate) struct LaneFull {
    pub(crate) class: Class,
    pub(crate) full: Full,
}

/// Why a draft is not in a lane.
pub(crate) enum Refused {
    /// For good.
    Error(Error),
    /// The lane was full; the caller decides whether to wait.
    Full(LaneFull),
}

impl Shared {
    /// Encodes a draft and pushes it into its lane, once; the committer still has to be told.
    #[inline]
    pub(crate) fn admit(&self, draft: &Draft<'_>) -> std::result::Result<Admitted, Refused> {
        if self.state.load(Ordering::Relaxed) != OPEN || fork::generation() != self.forks {
            return Err(Refused::Error(self.why_closed()));
        }
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => self.admit_with(draft, &mut scratch),
            // Emitting from within the conversion of another event: rare, legal, and worth a fresh buffer.
            Err(_) => self.admit_with(draft, &mut Scratch::default()),
        })
    }

    fn admit_with(&self, draft: &Draft<'_>, scratch: &mut Scratch) -> std::result::Result<Admitted, Refused> {
        if draft.producer.is_some_and(|producer| self.is_own(&producer)) {
            let message = "the producer id and epoch are this store's own, which numbers its events itself";
            let error = Error::new(ErrorKind::Rejected, message).with_hint("leave the producer out, or give your own id");
            return Err(self.reject(error));
        }
        let encoded = match &self.config.redaction {
            None => self.encode(draft, &mut scratch.record).map_err(Error::from),
            Some(redaction) => match redaction.apply(draft, &mut scratch.redact) {
                Ok((redacted, count)) => {
                    self.counters.redacted.fetch_add(u64::from(count.total()), Ordering::Relaxed);
                    self.encode(&redacted, &mut scratch.record).map_err(Error::from)
                }
                Err(error) => Err(Error::rejected(error)),
            },
        };
        let Encoded { class, bytes } = encoded.map_err(|error| self.reject(error))?;
        let local = Local {
            producer_seq: &self.producer_seq,
            stamp_producer: draft.producer.is_none(),
            id_key: draft.id.is_none().then_some(self.id_key),
        };
        let lane = self.lane(class);
        let pushed = lane.push(scratch.record.get(..bytes).unwrap_or_default(), &local);
        if scratch.record.len() > SCRATCH_BYTES_MAX {
            scratch.record = Vec::new();
        }
        match pushed {
            Ok(position) => Ok(Admitted::Waiting(class, position)),
            Err(Shut::Closed) => Err(Refused::Error(self.why_closed())),
            Err(Shut::Full(full)) => {
                // However long events may gather: there is no room for more.
                self.committer.wake_now();
                if lane.overflow() == Overflow::Shed && draft.producer.is_none() {
                    let counted = lane.shed(&self.producer_seq);
                    return if counted { Ok(Admitted::Shed(class)) } else { Err(Refused::Error(self.why_closed())) };
                }
                Err(Refused::Full(LaneFull { class, full }))
            }
        }
    }

    /// Counts a draft that is refused for good.
    fn reject(&self, error: Error) -> Refused {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
        Refused::Error(error)
    }

    fn encode(&self, draft: &Draft<'_>, memory: &mut Vec<u8>) -> std::result::Result<Encoded, indelible_format::Rejection> {
        let received = self.world.clock.wall_ns();
        let mut uuid = [0; 16];
        if draft.id.is_none() {
            // RFC 9562 UUIDv7: 48 bits of milliseconds; the lane writes the random bits.
            let [f, e, d, c, b, a, ..] = (received.unsigned_abs() / 1_000_000).to_le_bytes();
            uuid[..6].copy_from_slice(&[a, b, c, d, e, f]);
        }
        let class = draft.effective_class();
        let stamp = Stamp {
            received,
            uuid,
            producer: Some(Producer { id: &self.producer.0, epoch: self.producer.1, seq: 0 }),
            tenant: &self.config.tenant,
            log: match &self.router {
                Some(router) => router.log(draft.tenant.unwrap_or(&self.config.tenant), class, draft.frameworks),
                None if class == Class::Telemetry => LOG_TELEMETRY,
                None => LOG_MAIN,
            },
        };
        encode(draft, &stamp, memory)
    }

    /// Whether a producer pretends to be this store in its present life, or in one to come. Its earlier lives have numbered their events, and
    /// may be told again.
    fn is_own(&self, producer: &Producer<'_>) -> bool {
        producer.id == self.producer.0 && producer.epoch >= self.producer.1
    }

    /// Lets the committer know. While there is traffic it looks by itself: only who waits for an event, or completes a batch, pays for
    /// waking it.
    #[inline]
    pub(crate) fn notify(&self, admitted: Admitted) {
        let Admitted::Waiting(class, _) = admitted else { return };
        let complete = |events| self.pending_records() as u64 >= events || self.lane(class).presses();
        let completes = match self.config.durability {
            Durability::Immediate => false,
            Durability::Batched { events, .. } => complete(events),
            Durability::Hybrid { events, .. } => class == Class::Critical || complete(events),
        };
        if completes { self.committer.wake_now() } else { self.committer.wake_if_parked() }
    }

    pub(crate) fn why_closed(&self) -> Error {
        if fork::generation() != self.forks {
            return Error::new(ErrorKind::Closed, "this process was forked from the one that opened the store")
                .with_hint("open the store after the fork, in the one process that is to write to it");
        }
        match self.state.load(Ordering::Acquire) {
            crate::commit::pipeline::DEAD => self.death(),
            _ => Error::new(ErrorKind::Closed, "the store is closed"),
        }
    }
}

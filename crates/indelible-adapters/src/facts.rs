//! What a format's module finds out about a record, before it becomes a draft.

use std::borrow::Cow;

use indelible_format::draft::Target;
use indelible_format::taxonomy::Action;
use indelible_format::{Class, Outcome, Severity, Trace};

use crate::adapter::Notes;
use crate::found::Found;
use crate::time::{self, Reading};

pub(crate) type Text<'a> = Option<Cow<'a, str>>;

/// Texts that are put together rather than found; kept from record to record so that nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The action; whatever is no action becomes the fallback.
    pub(crate) action: String,
    /// The source's own id of the event; empty for none.
    pub(crate) id: String,
}

/// The mapped fields of one record.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) outcome: Outcome,
    /// What the source says itself.
    pub(crate) severity: Option<Severity>,
    /// A known action whose class and severity this one shares.
    pub(crate) like: Option<Action<'static>>,
    pub(crate) time: Option<i64>,
    pub(crate) actor_id: Text<'a>,
    pub(crate) actor_kind: Text<'a>,
    pub(crate) actor_name: Text<'a>,
    pub(crate) actor_email: Text<'a>,
    pub(crate) session: Text<'a>,
    pub(crate) ip: Text<'a>,
    pub(crate) user_agent: Text<'a>,
    pub(crate) host: Text<'a>,
    pub(crate) trace: Option<Trace>,
    pub(crate) targets: Targets<'a>,
    pub(crate) notes: Notes,
}

impl<'a> Facts<'a> {
    pub(crate) fn new() -> Self {
        Self {
            outcome: Outcome::Unknown,
            severity: None,
            like: None,
            time: None,
            actor_id: None,
            actor_kind: None,
            actor_name: None,
            actor_email: None,
            session: None,
            ip: None,
            user_agent: None,
            host: None,
            trace: None,
            targets: Targets::default(),
            notes: Notes::default(),
        }
    }

    /// Takes `reading` as the time unless there is one already.
    pub(crate) fn offer_time(&mut self, reading: Reading) {
        match reading {
            _ if self.time.is_some() => {}
            Reading::At(time) => self.time = Some(time),
            Reading::Zoneless => self.notes.zoneless_time = true,
            Reading::Unreadable => self.notes.unreadable_time = true,
        }
    }

    /// Offers the fields `slots` in turn, as RFC 3339.
    pub(crate) fn offer_times(&mut self, found: &Found<'_>, slots: &[u8]) {
        for slot in slots {
            if self.time.is_none()
                && let Some(text) = found.text(*slot)
            {
                self.offer_time(time::rfc3339(&text));
            }
        }
    }

    /// An address is an IP address; what else stands in its place is a host's name.
    pub(crate) fn address(&mut self, address: Text<'a>) {
        let Some(address) = address else { return };
        if address.parse::<std::net::IpAddr>().is_ok() {
            self.ip = Some(address);
        } else if self.host.is_none() {
            self.host = Some(address);
        }
    }

    /// Class and severity for the draft, given its action: what the source says, then the action it is like, then nothing, so
    /// that the taxonomy decides.
    pub(crate) fn treatment(&self) -> (Option<Class>, Option<Severity>) {
        let (class, severity) = self.like.map(|action| action.defaults(self.outcome)).unzip();
        (class, self.severity.or(severity))
    }
}

const TARGETS_MAX: usize = 8;
/// Content has 64 KiB more than details may have; targets, quotes and keys must fit in there.
const TARGET_BYTES_MAX: usize = 48 * 1024;

/// The first few things it was done to.
#[derive(Debug, Default)]
pub(crate) struct Targets<'a> {
    list: [TargetText<'a>; TARGETS_MAX],
    count: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct TargetText<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    name: Text<'a>,
}

impl<'a> Targets<'a> {
    /// Adds a target by type and id, if there is an id. Those beyond the limit stay in details only.
    pub(crate) fn push(&mut self, kind: impl Into<Cow<'a, str>>, id: Text<'a>) {
        if id.is_some() {
            self.push_all(Some(kind.into()), id, None);
        }
    }

    /// Adds a target.
    pub(crate) fn push_all(&mut self, kind: Text<'a>, id: Text<'a>, name: Text<'a>) {
        let bytes: usize = [&kind, &id, &name].into_iter().flatten().map(|text| written_bytes(text)).sum();
        if id.is_none() && name.is_none() && kind.is_none() || self.bytes + bytes > TARGET_BYTES_MAX {
            return;
        }
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = TargetText { kind, id, name };
            self.count += 1;
            self.bytes += bytes;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Target<'_>> {
        self.list.iter().take(self.count).map(|target| Target {
            kind: target.kind.as_deref(),
            id: target.id.as_deref(),
            name: target.name.as_deref(),
        })
    }
}

/// How long `text` is as a JSON string.
fn written_bytes(text: &str) -> usize {
    let escaped: usize = text
        .bytes()
        .map(|byte| match byte {
            0..=0x1f => 6,
            b'"' | b'\\' => 2,
            _ => 1,
        })
        .sum();
    escaped + 2
}

//! A tenant's own copy of its events, with what proves that none is missing. Lines: docs/format/tenants.md.
//!
//! Of each log the copy is the whole tree, with the events of this tenant as they are, and whatever stands between two of them as the
//! roots of the largest complete subtrees there. Who hashes it from the left to the right comes to the root that log 0 names.

use std::io::Write;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::limits::GROUP_LEAVES;
use indelible_format::merkle::{GROUP_LEVEL, root_of, subtrees};
use indelible_format::record::Kind;
use indelible_format::tenants::{CountProof, Neighbour, Told};
use indelible_format::{Hash, Tag, leaf};

use crate::digest::checkpoints::SignedCheckpoint;
use crate::digest::stated::{self, Newest, Stated};
use crate::digest::tree_file;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LOG_CONTROL;
use crate::json_object::Object;
use crate::read::Reader;
use crate::read::prove::write_groups;
use crate::seal::expired;
use crate::search::{Filter, Query};

/// Positions looked up at a time.
const POSITIONS_MAX: usize = 1 << 14;

/// What was written of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantCopy {
    /// Events.
    pub events: u64,
    /// Position in log 0 of the entry that counts them.
    pub entry: u64,
}

impl Reader {
    /// [`Store::write_tenant`](crate::Store::write_tenant), with what was counted last and a checkpoint of log 0 that covers it.
    pub(crate) fn write_tenant(
        &self,
        counted: &Newest,
        checkpoint: &SignedCheckpoint,
        tenant: &str,
        withheld: &[Tag],
        out: &mut dyn Write,
    ) -> Result<TenantCopy> {
        let proof = self.prove_under(checkpoint, counted.entry, &[])?;
        let first = Object::new().text("format", "indelible-tenant/v1").text("heads", &proof.to_string()).text("tenant", tenant);
        line(out, &first.finish())?;
        let mut events = 0;
        for (stated, counts) in &counted.logs {
            let count = counts.get(tenant).copied().unwrap_or(0);
            let shown = stated::tree(&counted.seed, counts).prove(tenant, count);
            line(out, &write_count(Object::new().number("log", stated.log.into()), &shown).finish())?;
            if count > 0 {
                if let Some(before) = self.expired_line(checkpoint, stated.log, tenant)? {
                    line(out, &before)?;
                }
                events += self.write_log(stated, tenant, count, withheld, out)?;
            }
        }
        line(out, &Object::new().flag("complete", true).number("events", events).finish())?;
        Ok(TenantCopy { events, entry: counted.entry })
    }

    /// What log 0 shows of the tenant's events that have expired.
    fn expired_line(&self, checkpoint: &SignedCheckpoint, log: u32, tenant: &str) -> Result<Option<Vec<u8>>> {
        let manifest = self.manifest()?;
        let Some(info) = manifest.expired(log) else { return Ok(None) };
        let tenants = expired::read(self.world(), self.dir(), info)?.tenants;
        let entry = self.record(LOG_CONTROL, info.entry)?.and_then(|stored| stored.seed);
        let seed = entry.ok_or_else(|| wrong(format!("entry {} of log 0 is not there", info.entry)))?;
        let shown = stated::tree(&seed, &tenants).prove(tenant, tenants.get(tenant).copied().unwrap_or(0));
        let proof = self.prove_under(checkpoint, info.entry, &[])?.to_string();
        Ok(Some(write_count(Object::new().text("expired", &proof), &shown).finish()))
    }

    /// Writes a tenant's events of one log, and the hashes between them.
    fn write_log(&self, stated: &Stated, tenant: &str, count: u64, withheld: &[Tag], out: &mut dyn Write) -> Result<u64> {
        let (log, size) = (stated.log, stated.size);
        let mut copy = Copy { roots: self.groups_before(log, size)?, at: 0, between: Vec::new() };
        let mut query = Query::new(&Filter::field("tenant").is(tenant), 0)
            .map_err(|error| Error::new(ErrorKind::Rejected, format!("this cannot be a tenant: {error}")))?;
        query.log = Some(log);
        let below = self.manifest()?.below(log);
        let (mut from, mut written, mut last) = (below, 0, None);
        loop {
            let mut found = Vec::new();
            let searched = self.search_from(&query, &[(log, from)], &mut |view| {
                if view.seq < size && found.len() < POSITIONS_MAX {
                    found.push(view.seq);
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(())
            })?;
            if let Some(why) = searched.incomplete {
                return Err(wrong(format!("not every event of {tenant} in log {log} can be read: {why}")));
            }
            let Some(end) = found.last().copied() else { break };
            from = end + 1;
            for of_group in found.chunk_by(|a, b| a / GROUP_LEAVES == b / GROUP_LEAVES) {
                last = self.write_group(log, size, of_group, &mut copy, withheld, out)?.or(last);
            }
            written += found.len() as u64;
        }
        // Where nothing is left, everything must have expired.
        if last.map_or(below == 0, |last| last + 1 != count) {
            return Err(wrong(format!("log {log} has other events of {tenant} than were counted")));
        }
        copy.pass_groups(size);
        let leaves = self.leaves_of(log, copy.at, size)?;
        copy.pass_leaves(size, copy.at, &leaves);
        let end = Object::new().number("end", size);
        line(out, &copy.hashes(end).finish())?;
        Ok(written)
    }

    /// Writes the events at these positions of one group. Gives the tenant's number of the last one.
    fn write_group(
        &self,
        log: u32,
        size: u64,
        wanted: &[u64],
        copy: &mut Copy,
        withheld: &[Tag],
        out: &mut dyn Write,
    ) -> Result<Option<u64>> {
        let Some(first) = wanted.first().map(|seq| seq - seq % GROUP_LEAVES) else { return Ok(None) };
        let last = size.min(first + GROUP_LEAVES);
        let mut wanted = wanted.iter().copied().peekable();
        let (mut leaves, mut events, mut number) = (Vec::new(), Vec::new(), None);
        self.salted_all(log, first, last, &mut |seq, record, salts| {
            leaves.push(record.map_or(Hash::ZERO, |record| leaf::leaf(record, seq, salts)));
            let is_wanted = wanted.next_if_eq(&seq).is_some();
            if let Some(record) = record.filter(|record| is_wanted && record.kind() == Kind::Event) {
                let mut groups = Vec::new();
                write_groups(record, seq, salts, withheld, &mut groups);
                number = record.head().map(|head| head.tenant_seq).or(number);
                events.push((seq, groups));
            }
        })?;
        copy.pass_groups(first);
        for (seq, groups) in events {
            copy.pass_leaves(seq, first, &leaves);
            let event = Object::new().raw("groups", &groups);
            line(out, &copy.hashes(event).number("seq", seq).finish())?;
            copy.at = seq + 1;
        }
        copy.pass_leaves(last, first, &leaves);
        Ok(number)
    }

    /// Roots of the groups that are complete at `size`.
    fn groups_before(&self, log: u32, size: u64) -> Result<Vec<Hash>> {
        let groups = size / GROUP_LEAVES;
        let roots = tree_file::read(self.world(), self.dir(), log, 0, groups).unwrap_or_default();
        if roots.len() as u64 == groups { Ok(roots) } else { self.rebuild_tree(log, groups) }
    }
}

/// How far a log was written, and the hashes since the last event.
struct Copy {
    roots: Vec<Hash>,
    at: u64,
    between: Vec<Hash>,
}

impl Copy {
    /// Passes over whole groups, as far as they go before `to`.
    fn pass_groups(&mut self, to: u64) {
        for (level, index) in subtrees(self.at, to - to % GROUP_LEAVES) {
            let shift = u32::from(level.saturating_sub(GROUP_LEVEL));
            let place = |index: u64| usize::try_from(index << shift).unwrap_or(usize::MAX);
            self.between.push(root_of(self.roots.get(place(index)..place(index + 1)).unwrap_or_default()));
        }
        self.at = self.at.max(to - to % GROUP_LEAVES);
    }

    /// Passes over positions before `to`, of a group that begins at `first`, whose leaves these are.
    fn pass_leaves(&mut self, to: u64, first: u64, leaves: &[Hash]) {
        for (level, index) in subtrees(self.at, to) {
            let place = |index: u64| usize::try_from((index << level) - first).unwrap_or(usize::MAX);
            self.between.push(root_of(leaves.get(place(index)..place(index + 1)).unwrap_or_default()));
        }
        self.at = to;
    }

    /// Adds the hashes since the last event, and forgets them.
    fn hashes(&mut self, object: Object) -> Object {
        object.list("hashes", self.between.drain(..).map(|hash| STANDARD.encode(hash.0)))
    }
}

/// What log 0 shows of the tenant's count in a log.
fn write_count(object: Object, shown: &CountProof) -> Object {
    let told = match &shown.told {
        Told::Counted { count, index, path } => {
            let path = path.iter().map(|hash| STANDARD.encode(hash.0));
            Object::new().number("count", *count).number("index", *index).list("path", path)
        }
        Told::Uncounted { left, right } => {
            Object::new().raw("left", &neighbour(left.as_ref())).raw("right", &neighbour(right.as_ref()))
        }
    };
    object.text("salt", &STANDARD.encode(shown.salt)).raw("told", &told.finish())
}

fn neighbour(beside: Option<&Neighbour>) -> Vec<u8> {
    let Some(beside) = beside else { return b"null".to_vec() };
    Object::new()
        .text("commitment", &STANDARD.encode(beside.commitment.0))
        .text("id", &STANDARD.encode(beside.id.0))
        .number("index", beside.index)
        .list("path", beside.path.iter().map(|hash| STANDARD.encode(hash.0)))
        .finish()
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_hint("run `indelible verify` for all findings")
}

fn line(out: &mut dyn Write, json: &[u8]) -> Result<()> {
    out.write_all(json).and_then(|()| out.write_all(b"\n")).map_err(|error| Error::io("could not write the tenant's copy", error))
}

//! What a server tells as JSON, as the engine would have told it.

use indelible::search::{Explain, Group, Groups, Latest, Summary, Tally};
use indelible::{Hash, Identity, LogHead, Outcome, time};
use serde_json::Value;

use crate::failure::Failure;
use crate::source::Counted;

/// What is said when a server answers something that it should not.
pub(crate) fn odd(what: &str) -> Failure {
    Failure::new("protocol", format!("what the server answered is not {what}"))
        .hint("is it an Indelible server, of this version or a later one? /openapi.json tells what it can do")
}

/// `matched`, `scanned`, `complete`, `reason` and `logs`.
pub(crate) fn summary(told: &Value, identity: &Identity) -> Option<Summary> {
    let (incomplete, heads) = reach(told, identity)?;
    let number = |name: &str| told.get(name)?.as_u64();
    Some(Summary { matched: number("matched")?, scanned: number("scanned")?, incomplete, heads, explain: Explain::default() })
}

/// The end of a page of a search.
pub(crate) fn latest(told: &Value, identity: &Identity, shown: u64) -> Option<Latest> {
    let (incomplete, heads) = reach(told, identity)?;
    let next = match told.get("next")? {
        Value::Null => None,
        next => Some(next.as_str()?.parse().ok()?),
    };
    Some(Latest { shown, next, incomplete, heads, explain: explain(told.get("explain")?)? })
}

fn reach(told: &Value, identity: &Identity) -> Option<(Option<String>, Vec<LogHead>)> {
    let reason = told.get("reason").and_then(Value::as_str).unwrap_or("the server does not say why").to_owned();
    let incomplete = (!told.get("complete")?.as_bool()?).then_some(reason);
    let mut heads = Vec::new();
    for head in told.get("logs")?.as_array()? {
        // A log that was made since the store was asked for its logs has no name here.
        let Some(log) = identity.log_named(head.get("log")?.as_str()?) else { continue };
        heads.push(LogHead { log, size: head.get("size")?.as_u64()?, root: Hash::from_hex(head.get("root")?.as_str()?)? });
    }
    Some((incomplete, heads))
}

fn explain(told: &Value) -> Option<Explain> {
    let number = |name: &str| told.get(name)?.as_u64();
    Some(Explain {
        segments: number("segments")?,
        segments_by_time: number("segments_by_time")?,
        segments_by_result: number("segments_by_result")?,
        segments_not_needed: number("segments_not_needed")?,
        blocks: number("blocks")?,
        blocks_by_index: number("blocks_by_index")?,
        blocks_by_time: number("blocks_by_time")?,
        rows_sifted: number("rows_sifted")?,
        rows_read: number("rows_read")?,
        tail_records: number("tail_records")?,
        tail_records_by_index: number("tail_records_by_index")?,
        cache_hits: number("cache_hits")?,
        cache_misses: number("cache_misses")?,
        bytes_read: number("bytes_read")?,
    })
}

/// The groups of statistics by these fields.
pub(crate) fn groups(told: &Value, names: &[String]) -> Option<Counted> {
    let mut groups = Vec::new();
    for group in told.get("groups")?.as_array()? {
        let start = match group.get("start") {
            Some(start) => Some(time::parse(start.as_str()?)?),
            None => None,
        };
        let values = names.iter().map(|name| optional(group.get(name)?)).collect::<Option<_>>()?;
        groups.push(Group { start, values, tally: tally(group)? });
    }
    let all = match told.get("all") {
        Some(all) => Some(tally(all)?),
        None => None,
    };
    Some(Counted { groups: Groups { groups, all, ..others(told)? }, total: distinct(told)? })
}

/// The values of one field.
pub(crate) fn facet(told: &Value) -> Option<Counted> {
    let values = told.get("values")?.as_array()?.iter();
    let group = |value: &Value| Some(Group { start: None, values: vec![optional(value.get("value")?)?], tally: tally(value)? });
    let groups = values.map(group).collect::<Option<_>>()?;
    Some(Counted { groups: Groups { groups, ..others(told)? }, total: distinct(told)? })
}

fn others(told: &Value) -> Option<Groups> {
    Some(Groups { others: told.get("others")?.as_u64()?, ..Groups::default() })
}

fn distinct(told: &Value) -> Option<usize> {
    usize::try_from(told.get("distinct")?.as_u64()?).ok()
}

fn tally(told: &Value) -> Option<Tally> {
    let outcomes = told.get("outcomes")?;
    let mut counts = [0; Outcome::ALL.len()];
    for outcome in Outcome::ALL {
        *counts.get_mut(usize::from(outcome.byte()))? = outcomes.get(outcome.name())?.as_u64()?;
    }
    let moment = |name: &str| time::parse(told.get(name)?.as_str()?);
    Some(Tally::counted(counts, moment("first")?, moment("last")?))
}

/// A text, or none for `null`.
fn optional(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        value => Some(Some(value.as_str()?.to_owned())),
    }
}

/// Leaf, commitments, and how many more events have the id.
pub(crate) fn leaf(told: &Value) -> Option<(Hash, Vec<Hash>, u64)> {
    let hash = |value: &Value| Hash::from_hex(value.as_str()?);
    let commitments = told.get("commitments")?.as_array()?.iter().map(hash).collect::<Option<_>>()?;
    Some((hash(told.get("leaf")?)?, commitments, told.get("namesakes")?.as_u64()?))
}

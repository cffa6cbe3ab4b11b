//! One event as a JSON object: the shape of `search -o ndjson`, `show -o json` and `export -o ndjson`. docs/export.md tells it for users.
//!
//! What the event holds as canonical JSON is copied as it is; the two parts of a foreign record are merged into the record again.
//! Nothing is allocated for an event, except for a raw record that is no text.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::json::{walk, write_string};
use indelible_format::record::Body;
use indelible_format::{Field, Head, Id, Producer, Record, Tag, Trace};

use crate::split;

/// Appends the event at position `seq` of the log named `log` as one JSON object without white space.
///
/// **Cost**: one copy; one pass over the details of a foreign record, none over others.
pub fn write_event(out: &mut Vec<u8>, log: &str, seq: u64, record: &Record<'_>, head: &Head<'_>) {
    write_event_without(out, log, seq, record, head, &[]);
}

/// As [`write_event`], without some groups, which are named as `withheld`.
pub fn write_event_without(out: &mut Vec<u8>, log: &str, seq: u64, record: &Record<'_>, head: &Head<'_>, hidden: &[Tag]) {
    out.extend_from_slice(b"{\"log\":");
    write_string(out, log);
    number(out, "seq", seq);
    write_head(out, head);
    write_groups(out, record, hidden);
    out.push(b'}');
}

/// Appends the details of an event, the two parts merged again: what [`write_event`] calls `details`. `false`, and nothing appended, if it has
/// none, or its parts do not belong together.
pub fn write_details(out: &mut Vec<u8>, record: &Record<'_>) -> bool {
    let details = |tag, field| {
        let body = record.value(tag)?;
        let mut found = None;
        each_member(body, details_range(record, field), |member| {
            if member.key == b"details" {
                found = body.get(member.value);
            }
        });
        found
    };
    let (identity, content) = (details(Tag::IDENTITY, Field::IdentityDetails), details(Tag::CONTENT, Field::Details));
    (identity.is_some() || content.is_some()) && split::merge(identity, content.unwrap_or(b"{}"), out).is_ok()
}

fn write_head(out: &mut Vec<u8>, head: &Head<'_>) {
    key(out, "id");
    write_id(out, &head.id);
    time(out, "time", head.time);
    time(out, "received", head.received);
    text(out, "action", head.action);
    text(out, "outcome", head.outcome.name());
    text(out, "severity", head.severity.name());
    text(out, "class", head.class.name());
    text(out, "tenant", head.tenant);
    number(out, "tenant_seq", head.tenant_seq);
    if !head.source.is_empty() {
        text(out, "source", head.source);
    }
    write_counts(out, head.producer, head.trace);
    write_frameworks(out, "frameworks", head);
    if head.weight != 1 {
        number(out, "weight", head.weight);
    }
}

/// Who counted the event, and which trace it belongs to, if it says.
pub(crate) fn write_counts(out: &mut Vec<u8>, producer: Option<Producer<'_>>, trace: Option<Trace>) {
    if let Some(producer) = producer {
        key(out, "producer");
        out.extend_from_slice(b"{\"id\":");
        write_string(out, producer.id);
        number(out, "epoch", producer.epoch);
        number(out, "seq", producer.seq);
        out.push(b'}');
    }
    if let Some(trace) = trace {
        key(out, "trace");
        out.extend_from_slice(b"{\"trace_id\":\"");
        write_hex(out, &trace.trace_id);
        out.extend_from_slice(b"\",\"span_id\":\"");
        write_hex(out, &trace.span_id);
        out.extend_from_slice(b"\"}");
    }
}

/// The frameworks as a list of this name, if there are any.
pub(crate) fn write_frameworks(out: &mut Vec<u8>, name: &str, head: &Head<'_>) {
    let mut separator = b'[';
    for framework in head.frameworks() {
        if separator == b'[' {
            key(out, name);
        }
        out.push(separator);
        separator = b',';
        write_string(out, framework);
    }
    if separator == b',' {
        out.push(b']');
    }
}

/// Identity and content, flattened; details merged; the raw record; the names of what is withheld.
fn write_groups(out: &mut Vec<u8>, record: &Record<'_>, hidden: &[Tag]) {
    let shown = |tag| !hidden.contains(&tag);
    let group = |out: &mut Vec<u8>, tag, field| if shown(tag) { write_group(out, record, tag, field) } else { None };
    let identity = group(out, Tag::IDENTITY, Field::IdentityDetails);
    let content = group(out, Tag::CONTENT, Field::Details);
    if identity.is_some() || content.is_some() {
        let before = out.len();
        key(out, "details");
        if split::merge(identity, content.unwrap_or(b"{}"), out).is_err() {
            // Parts that do not belong together are shown apart.
            out.truncate(before);
            key(out, "identity_details");
            out.extend_from_slice(identity.unwrap_or(b"null"));
            key(out, "details");
            out.extend_from_slice(content.unwrap_or(b"null"));
        }
    }
    if let Some((media_type, bytes)) = raw_parts(record).filter(|_| shown(Tag::RAW)) {
        key(out, "raw");
        out.extend_from_slice(b"{\"media_type\":");
        write_string(out, &String::from_utf8_lossy(media_type));
        match std::str::from_utf8(bytes) {
            Ok(told) => text(out, "text", told),
            Err(_) => text(out, "base64", &STANDARD.encode(bytes)),
        }
        out.push(b'}');
    }
    let mut separator = b'[';
    for (tag, _) in record.groups().filter(|(tag, body)| matches!(body, Body::Withheld(_)) || !shown(*tag)) {
        if separator == b'[' {
            key(out, "withheld");
        }
        out.push(separator);
        separator = b',';
        write_string(out, tag.name());
    }
    if separator == b',' {
        out.push(b']');
    }
}

/// Copies the members of one group but its details, which are given back.
fn write_group<'r>(out: &mut Vec<u8>, record: &Record<'r>, tag: Tag, details_field: Field) -> Option<&'r [u8]> {
    let body = record.value(tag)?;
    let mut details = None;
    let mut unknown = false;
    each_member(body, details_range(record, details_field), |member| match member.key {
        b"details" => details = body.get(member.value),
        b"actor" | b"origin" | b"session" | b"targets" => {
            out.push(b',');
            out.extend_from_slice(body.get(member.with_key).unwrap_or_default());
        }
        _ => unknown = true,
    });
    if unknown {
        write_unknown(out, body, tag);
    }
    details
}

/// Members that a later version added are shown apart, so that they cannot pass for ours.
fn write_unknown(out: &mut Vec<u8>, body: &[u8], tag: Tag) {
    key(out, tag.name());
    let mut separator = b'{';
    each_member(body, None, |member| {
        if !matches!(member.key, b"details" | b"actor" | b"origin" | b"session" | b"targets") {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(body.get(member.with_key).unwrap_or_default());
        }
    });
    out.push(b'}');
}

struct Member<'b> {
    /// Still escaped.
    key: &'b [u8],
    value: Range<usize>,
    /// The value and the key before it.
    with_key: Range<usize>,
}

/// Shows `visit` the members of a group up to where it is malformed. `details`: where its details stand, so that they need not be
/// walked through; what is not so is walked.
fn each_member<'b>(body: &'b [u8], details: Option<Range<usize>>, mut visit: impl FnMut(Member<'b>)) {
    let mut at = 1;
    while body.get(at) == Some(&b'"') {
        let Ok((key_end, _)) = walk::skip_value(body, at) else { return };
        let Some(key) = body.get(at + 1..key_end.saturating_sub(1)) else { return };
        let start = key_end + 1;
        let known = details.as_ref().filter(|details| key == b"details" && details.start == start);
        // A span that was altered may point anywhere; it is believed only if a member can end there.
        let known = known.filter(|details| matches!(body.get(details.end), Some(b',' | b'}')));
        let end = match known {
            Some(details) => details.end,
            None => match walk::skip_value(body, start) {
                Ok((end, _)) => end,
                Err(_) => return,
            },
        };
        visit(Member { key, value: start..end, with_key: at..end });
        at = end + 1;
    }
}

fn details_range(record: &Record<'_>, field: Field) -> Option<Range<usize>> {
    let (_, offset, length) = record.span_offsets().find(|(found, ..)| *found == field)?;
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// Media type and bytes of the raw group.
pub(crate) fn raw_parts<'r>(record: &Record<'r>) -> Option<(&'r [u8], &'r [u8])> {
    let (length, rest) = record.value(Tag::RAW)?.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// A member's key, with the comma before it.
#[inline]
pub(crate) fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

#[inline]
pub(crate) fn text(out: &mut Vec<u8>, name: &str, text: &str) {
    key(out, name);
    write_string(out, text);
}

#[inline]
pub(crate) fn number(out: &mut Vec<u8>, name: &str, number: u64) {
    key(out, name);
    write_number(out, number);
}

#[inline]
pub(crate) fn time(out: &mut Vec<u8>, name: &str, ns: i64) {
    key(out, name);
    out.push(b'"');
    write_time(out, ns);
    out.push(b'"');
}

/// The id as a JSON string.
pub(crate) fn write_id(out: &mut Vec<u8>, id: &Id<'_>) {
    match id {
        Id::Text(text) => write_string(out, text),
        Id::Uuid(bytes) => {
            out.push(b'"');
            for (at, byte) in bytes.iter().enumerate() {
                if matches!(at, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                write_hex(out, &[*byte]);
            }
            out.push(b'"');
        }
    }
}

pub(crate) fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// RFC 3339 in UTC with nine fractional digits.
pub(crate) fn write_time(out: &mut Vec<u8>, ns: i64) {
    let (year, month, day) = civil(ns.div_euclid(DAY));
    let rest = ns.rem_euclid(DAY);
    let (seconds, fraction) = (rest / SECOND, rest % SECOND);
    let [century, year] = [year / 100, year % 100].map(pair);
    let [month, day, hour, minute, second] = [month, day, seconds / 3600, seconds / 60 % 60, seconds % 60].map(pair);
    let [a, b, c, d] = [fraction / 10_000_000, fraction / 100_000 % 100, fraction / 1_000 % 100, fraction / 10 % 100].map(pair);
    let last = pair(fraction % 10)[1];
    out.extend_from_slice(&[
        century[0], century[1], year[0], year[1], b'-', month[0], month[1], b'-', day[0], day[1], b'T', hour[0], hour[1], b':',
        minute[0], minute[1], b':', second[0], second[1], b'.', a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1], last, b'Z',
    ]);
}

/// The two digits of a number below 100.
const fn pair(number: i64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month and day of the day that is `days` after 1970-01-01. The algorithm is Howard Hinnant's `civil_from_days`: years begin in
/// March, so that the leap day is the last of its year.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn shown(ns: i64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, ns);
        String::from_utf8(out).unwrap()
    }

    fn twin(ns: i64) -> String {
        format!("{:.9}", Timestamp::from_nanosecond(i128::from(ns)).unwrap())
    }

    #[test]
    fn every_day_there_is_has_its_date() {
        for day in i64::MIN / DAY..=i64::MAX / DAY {
            assert_eq!(shown(day * DAY), twin(day * DAY));
        }
        for ns in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(shown(ns), twin(ns));
        }
    }

    proptest! {
        #[test]
        fn times_are_those_of_the_library(ns: i64) {
            prop_assert_eq!(shown(ns), twin(ns));
        }

        #[test]
        fn numbers_are_written_in_full(number: u64) {
            for number in [number, 0, 9, 10, u64::MAX, number >> 32] {
                let mut out = Vec::new();
                write_number(&mut out, number);
                prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            }
        }
    }
}

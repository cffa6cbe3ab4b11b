//! What several tests need: the real data, and a check that a draft says all its record said.

use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use indelible_adapters::{AdaptError, Adapted, Adapter, Format, ReadLimits, RecordError, Totals, for_each_record, split};
use indelible_format::draft::Details;
use indelible_format::json::{Limits, is_canonical};
use indelible_format::{Draft, Stamp, encode, limits};

/// A file's contents, decompressed by its name.
pub(crate) fn open(path: &Path) -> BufReader<Box<dyn Read>> {
    let file = std::fs::File::open(path).unwrap();
    let contents: Box<dyn Read> = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file).unwrap()),
        _ => Box::new(file),
    };
    BufReader::with_capacity(256 * 1024, contents)
}

/// The records and errors of a text, in the order they come.
pub(crate) fn read_all(text: &[u8], limits: ReadLimits) -> (Vec<Result<Vec<u8>, RecordError>>, Totals) {
    let mut all = Vec::new();
    // A tiny buffer puts a boundary everywhere.
    let mut input = BufReader::with_capacity(7, text);
    let totals = for_each_record(&mut input, limits, &mut |record| {
        all.push(record.map(|record| {
            let offset = usize::try_from(record.offset).unwrap();
            assert_eq!(&text[offset..offset + record.bytes.len()], record.bytes, "the offset is where it stands");
            let line = text[..offset].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert_eq!(record.line, line, "the line is where it stands");
            record.bytes.to_vec()
        }));
        ControlFlow::Continue(())
    })
    .unwrap();
    (all, totals)
}

/// Adapts `record` and checks that nothing of it is lost and that the engine will take it.
pub(crate) fn adapt_and_check<R>(
    adapter: &mut Adapter,
    record: &[u8],
    with: impl FnOnce(&Draft<'_>) -> R,
) -> Result<Adapted<R>, AdaptError> {
    adapter.adapt(record, |draft| {
        check(record, draft);
        with(draft)
    })
}

fn check(record: &[u8], draft: &Draft<'_>) {
    let stamp = Stamp { received: 1, uuid: [7; 16], producer: None, tenant: "test", log: 1 };
    let mut encoded = Vec::new();
    encode(draft, &stamp, &mut encoded).unwrap_or_else(|refusal| panic!("{refusal}: {}", text(record)));
    if let Some(raw) = draft.raw {
        assert_eq!(raw.bytes, record);
        return;
    }
    let Details::Json(content) = &draft.details else { panic!("details are one JSON value") };
    let identity = draft.identity_details.map(|identity| identity.bytes());
    let canonical = Limits { bytes_max: limits::RECORD_BYTES_MAX, ..Limits::default() };
    assert!(is_canonical(content.bytes(), &canonical) && identity.is_none_or(|identity| is_canonical(identity, &canonical)));
    let mut merged = Vec::new();
    split::merge(identity, content.bytes(), &mut merged).unwrap();
    assert!(is_canonical(&merged, &canonical));
    let was: serde_json::Value = serde_json::from_slice(record).unwrap();
    let is: serde_json::Value = serde_json::from_slice(&merged).unwrap();
    assert_eq!(is, was, "{}", text(record));
    no_identity_outside(draft, identity);
}

/// What is mapped into head and targets stands in the content part, so erasing the identity group leaves no copy behind.
fn no_identity_outside(draft: &Draft<'_>, identity: Option<&[u8]>) {
    let Details::Json(content) = &draft.details else { return };
    let content: serde_json::Value = serde_json::from_slice(content.bytes()).unwrap();
    let mut kept = Vec::new();
    scalars(&content, &mut kept);
    if identity.is_none() {
        return;
    }
    for target in draft.targets.iter() {
        for said in [target.id, target.name].into_iter().flatten() {
            assert!(kept.iter().any(|text| text == said), "target {said} is not in the content part");
        }
    }
}

fn scalars(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Number(number) => out.push(number.to_string()),
        serde_json::Value::Array(elements) => elements.iter().for_each(|element| scalars(element, out)),
        serde_json::Value::Object(members) => members.values().for_each(|member| scalars(member, out)),
        _ => {}
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(2000).collect()
}

/// The mapped fields as one line of text, for tests that compare them at a glance.
pub(crate) fn summary(format: Option<Format>, record: &str) -> String {
    let mut adapter = Adapter::new(format);
    let adapted = adapt_and_check(&mut adapter, record.as_bytes(), |draft| {
        let mut fields = vec![draft.action.name().to_owned(), draft.outcome.to_string()];
        let mut push = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                fields.push(format!("{name}={value}"));
            }
        };
        push("class", draft.class.map(|class| class.name()));
        push("severity", draft.severity.map(|severity| severity.name()));
        push("id", draft.id);
        push("time", draft.time.map(|time| time.to_string()).as_deref());
        push("actor.id", draft.actor.id);
        push("actor.type", draft.actor.kind);
        push("actor.name", draft.actor.name);
        push("actor.email", draft.actor.email);
        push("session", draft.session);
        push("ip", draft.origin.ip);
        push("user_agent", draft.origin.user_agent);
        push("host", draft.origin.host);
        for target in draft.targets.iter() {
            let parts = [target.kind, target.id, target.name].map(|part| part.unwrap_or("").to_owned());
            push("target", Some(parts.join(":").trim_end_matches(':')));
        }
        push("trace", draft.trace.map(|trace| format!("{:02x}…", trace.trace_id[0])).as_deref());
        fields.join(" ")
    })
    .unwrap();
    adapted.result
}

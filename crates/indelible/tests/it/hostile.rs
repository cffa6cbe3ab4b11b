//! Hostile input gets a clear error and a count and changes nothing, or it is stored exactly.

use indelible::format::limits;
use indelible::format::record::Kind;
use indelible::json::{self, Document, ErrorKind as Json, Limits};
use indelible::{Canonical, Draft, ErrorKind, Field, Record, Rejection, Store, Tag, Value};
use indelible_testkit::SimWorld;
use indelible_testkit::check::read_store;
use indelible_testkit::scenario::{Scenario, chain};

fn store() -> (SimWorld, Store) {
    let machine = SimWorld::new(1);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (machine, store)
}

/// Closes the store, verifies it, and hands out the records of its events.
fn stored(machine: &SimWorld, store: Store) -> Vec<Vec<u8>> {
    store.close().unwrap();
    let report = indelible::verify::verify_in(Scenario::dir(), Default::default(), &machine.world()).unwrap();
    assert!(report.findings.iter().all(|finding| finding.code.name() == "unanchored"), "{:?}", report.findings);
    let journal = read_store(&machine.world(), &Scenario::dir()).unwrap();
    journal
        .iter()
        .filter_map(|placed| placed.record().filter(|record| record.kind() == Kind::Event).map(|record| record.bytes().to_vec()))
        .collect()
}

#[test]
fn malformed_json_is_refused_by_name_and_place() {
    let nested = "[".repeat(100_000);
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let keyed = "{\"a\":".repeat(100_000);
    let cases: [(&[u8], Json); 16] = [
        (nested.as_bytes(), Json::DepthExceeded),
        (closed.as_bytes(), Json::DepthExceeded),
        (keyed.as_bytes(), Json::DepthExceeded),
        (br#"{"a":1,"a":2}"#, Json::DuplicateKey),
        (br#"{"a":1,"\u0061":2}"#, Json::DuplicateKey),
        (br#"{"x":{"a":1,"b":2,"a":3}}"#, Json::DuplicateKey),
        (br#"["\ud800"]"#, Json::LoneSurrogate),
        (br#"["\udc00\ud800"]"#, Json::LoneSurrogate),
        (b"[\"\xff\"]", Json::InvalidUtf8),
        (b"[\"\xed\xa0\x80\"]", Json::InvalidUtf8),
        (b"[\"\xc0\x80\"]", Json::InvalidUtf8),
        (b"[NaN]", Json::Syntax),
        (b"[-Infinity]", Json::Syntax),
        (b"[\"a\x00b\"]", Json::Syntax),
        (b"\xef\xbb\xbf[]", Json::ByteOrderMark),
        (b"", Json::Empty),
    ];
    for (input, expected) in cases {
        let mut out = b"untouched".to_vec();
        let error = json::canonicalize(input, &Limits::default(), &mut out).unwrap_err();
        let shown: String = String::from_utf8_lossy(input).chars().take(20).collect();
        assert_eq!(error.kind, expected, "{shown:?}: {error}");
        assert!(error.offset <= input.len());
        assert_eq!(out, b"untouched");
    }
}

#[test]
fn ten_million_keys_are_refused_in_bounded_memory() {
    let mut input = b"{".to_vec();
    for n in 0..10_000_000u32 {
        if n > 0 {
            input.push(b',');
        }
        input.extend_from_slice(format!("\"{n}\":0").as_bytes());
    }
    input.push(b'}');
    let mut document = Document::new();
    assert_eq!(document.parse(&input, &Limits::default()).unwrap_err().kind, Json::TooLarge);
    // Where so many bytes are allowed, so many values are not.
    let wide = Limits { bytes_max: 256 << 20, ..Limits::default() };
    assert_eq!(document.parse(&input, &wide).unwrap_err().kind, Json::TooManyNodes);
    assert!(document.heap_bytes() <= 128 << 20, "{} bytes for a refusal", document.heap_bytes());
}

#[test]
fn what_a_draft_may_not_say_is_refused_counted_and_changes_nothing() {
    let (machine, store) = store();
    let before = store.append(&Draft::new("widget.polish")).unwrap();
    let two_mib = "x".repeat(2 << 20);
    let quoted = format!("\"{two_mib}\"");
    let polish = || Draft::new("widget.polish");
    let drafts: Vec<(Draft<'_>, &str)> = vec![
        (polish().actor(&two_mib), "too_long"),
        (polish().tenant(&two_mib), "too_long"),
        (polish().id(&two_mib), "too_long"),
        (polish().session(&two_mib), "too_long"),
        (polish().detail("large", two_mib.as_str()), "too_long"),
        (polish().detail("large", Canonical::trusted(quoted.as_bytes())), "too_long"),
        (polish().idempotency_key(&two_mib), "too_long"),
        (polish().target("repo", &two_mib), "too_long"),
        (Draft::new(two_mib.as_str()), "action"),
        (polish().id(""), "empty"),
        (polish().tenant(""), "empty"),
        (Draft::new("polish"), "action"),
        (Draft::new("widget polish.now"), "action"),
        (Draft::new("widget.\u{202e}polish"), "action"),
        (polish().detail("x", f64::NAN), "not_finite"),
        (polish().detail("x", f64::INFINITY), "not_finite"),
        (polish().detail("x", 1).detail("x", 2), "duplicate_key"),
        (polish().weight(0), "weight"),
    ];
    let refused = drafts.len() as u64;
    for (draft, code) in &drafts {
        let error = store.emit(draft).map(drop).expect_err(code);
        assert_eq!(error.kind(), ErrorKind::Rejected, "{code}: {}", chain(&error));
        assert_eq!(error.rejection().map(|rejection| rejection.code()), Some(*code), "{}", chain(&error));
    }
    assert_eq!(store.stats().rejected, refused);
    assert_eq!(store.append(&polish()).unwrap().seq, before.seq.map(|seq| seq + 1));
    assert_eq!(stored(&machine, store).len(), 2);
}

#[test]
fn two_thousand_targets_are_refused() {
    let (_machine, store) = store();
    let draft = (0..2_000).fold(Draft::new("widget.polish"), |draft, _| draft.target("repo", "42"));
    let error = store.emit(&draft).map(drop).unwrap_err();
    assert!(matches!(error.rejection(), Some(Rejection::TooMany { count: 2_000, .. })), "{}", chain(&error));
}

#[test]
fn hostile_text_is_stored_exactly() {
    let (machine, store) = store();
    let texts = [
        "nul \u{0} in the middle",
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mred",
        "\u{202e}gpj.exe\u{202c}\u{2066}x\u{2069}",
        "line\r\nINFO forged entry\u{85}\u{2028}\u{2029}",
        "\u{feff}bom \u{fffe} \u{ffff} \u{10ffff}",
        "e\u{301} is not \u{e9}",
        "' OR 1=1; -- <script>alert(1)</script> ${jndi:ldap://x}",
        "",
    ];
    for text in texts {
        let actor = if text.is_empty() { "nobody" } else { text };
        store.append(&Draft::new("widget.polish").actor(actor).detail("text", text).detail(text, true)).unwrap();
    }
    let records = stored(&machine, store);
    assert_eq!(records.len(), texts.len());
    let mut document = Document::new();
    for (bytes, text) in records.iter().zip(texts) {
        let record = Record::parse(bytes).unwrap();
        let details = document.parse(record.field(Field::Details).unwrap(), &Limits::default()).unwrap();
        assert_eq!(details.get("text").unwrap().as_str().as_deref(), Some(text));
        assert_eq!(details.get(text).unwrap().as_bool(), Some(true));
        let actor = json::unescape(std::str::from_utf8(record.field(Field::ActorId).unwrap()).unwrap());
        assert_eq!(actor, if text.is_empty() { "nobody" } else { text });
    }
}

/// JCS would merge 2^53 and 2^53 + 1 and refuse 1e400; an audit log keeps what was said.
#[test]
fn numbers_are_stored_as_they_were_said() {
    let (machine, store) = store();
    let numbers = [
        "9007199254740993",
        "9007199254740992",
        "1e400",
        "-0",
        "-0.0",
        "1E+2",
        "0.1000",
        "123456789012345678901234567890",
        "5e-324",
    ];
    for number in numbers {
        let said = format!("{{ \"z\" : [ {number} ] , \"a\":{number}}}");
        let mut canonical = Vec::new();
        json::canonicalize(said.as_bytes(), &Limits::default(), &mut canonical).unwrap();
        assert_eq!(canonical, format!("{{\"a\":{number},\"z\":[{number}]}}").as_bytes());
        store.append(&Draft::new("widget.polish").details_json(Canonical::trusted(&canonical))).unwrap();
    }
    store
        .append(
            &Draft::new("widget.polish").detail("u", u64::MAX).detail("i", i64::MIN).detail("f", 1e300).detail("n", Value::Null),
        )
        .unwrap();
    let records = stored(&machine, store);
    for (bytes, number) in records.iter().zip(numbers) {
        let record = Record::parse(bytes).unwrap();
        assert_eq!(record.field(Field::Details).unwrap(), format!("{{\"a\":{number},\"z\":[{number}]}}").as_bytes());
    }
    let last = Record::parse(records.last().unwrap()).unwrap();
    let details = String::from_utf8_lossy(last.field(Field::Details).unwrap()).into_owned();
    assert!(details.contains("\"u\":18446744073709551615") && details.contains("\"i\":-9223372036854775808"), "{details}");
}

#[test]
fn a_foreign_record_of_any_bytes_is_stored_exactly() {
    let (machine, store) = store();
    let bytes: Vec<u8> = (0..=255u8).cycle().take(limits::RAW_BYTES_MAX).collect();
    let raw = |bytes| indelible::format::draft::Raw { media_type: "application/octet-stream", bytes };
    store.append(&Draft::new("record.opaque").raw(raw(&bytes))).unwrap();
    let too_large = vec![0; limits::RAW_BYTES_MAX + 1];
    assert_eq!(store.append(&Draft::new("record.opaque").raw(raw(&too_large))).unwrap_err().kind(), ErrorKind::Rejected);
    let records = stored(&machine, store);
    let record = Record::parse(&records[0]).unwrap();
    assert!(record.value(Tag::RAW).unwrap().ends_with(&bytes));
}

//! A file's records come out one by one, whatever the file's layout, and one bad record costs only itself.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use indelible_adapters::{ReadLimits, RecordErrorKind, Totals, for_each_record};
use proptest::prelude::*;

use crate::support::read_all;

/// Records as text; errors as `!` and their line.
fn read(text: &str) -> Vec<String> {
    let (all, totals) = read_all(text.as_bytes(), ReadLimits { record_bytes_max: 64 });
    assert_eq!(totals.bytes, text.len() as u64);
    assert_eq!(totals.records + totals.errors, all.len() as u64);
    all.into_iter()
        .map(|record| match record {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => format!("!{} {:?}", error.line, error.kind),
        })
        .collect()
}

#[test]
fn one_value_per_line() {
    assert_eq!(
        read("{\"a\":1}\n\n  {\"b\":\"\\n{\"} \r\n[3]\n4\nno\n{\"z\":"),
        [r#"{"a":1}"#, r#"{"b":"\n{"}"#, "[3]", "4", "no", r#"{"z":"#]
    );
    assert_eq!(read("{\"a\":1}"), [r#"{"a":1}"#]);
    assert_eq!(read("type=SYSCALL\ntype=CWD\n"), ["type=SYSCALL", "type=CWD"]);
    assert_eq!(read("\u{feff}{}\n{}\n"), ["{}", "{}"]);
    assert_eq!(read(" \n\t\n"), [""; 0]);
    assert_eq!(read(""), [""; 0]);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200));
    let too_long = "TooLong { limit: 64 }";
    assert_eq!(
        read(&format!("{{}}\n{long}\n[2]\n{long}")),
        ["{}".to_owned(), format!("!2 {too_long}"), "[2]".to_owned(), format!("!4 {too_long}")]
    );
    assert_eq!(read(&format!("{long}\n{{}}\n")), [format!("!1 {too_long}"), "{}".to_owned()]);
    assert_eq!(read(&format!("[{long},7]{{}}")), [format!("!1 {too_long}"), "7".to_owned(), "{}".to_owned()]);
    assert_eq!(read(&format!("{{}}{long}{{}}")), ["{}".to_owned(), format!("!1 {too_long}"), "{}".to_owned()]);
}

#[test]
fn values_one_after_another() {
    assert_eq!(read("{\"a\":{}}{\"b\":\"}\"}\n{}"), [r#"{"a":{}}"#, r#"{"b":"}"}"#, "{}"]);
    let pretty = "{\n  \"a\": [\n    1\n  ]\n}\n{\n  \"b\": 2\n}\n";
    assert_eq!(read(pretty), ["{\n  \"a\": [\n    1\n  ]\n}", "{\n  \"b\": 2\n}"]);
    // A string that a line end breaks ends there; the next line is read.
    assert_eq!(read("{}{\"a\":\"bro\nken\n{\"b\":1}\n"), ["{}", "{\"a\":\"bro\n", "ken", r#"{"b":1}"#]);
}

#[test]
fn a_first_line_that_was_cut_off_does_not_swallow_the_others() {
    assert_eq!(read("{\"a\":1\n{\"b\":2}\n{\"c\":3}\n"), [r#"{"a":1"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    assert_eq!(read("ut off\"}\n{\"b\":2}\n"), ["ut off\"}", r#"{"b":2}"#]);
}

#[test]
fn elements_of_arrays() {
    assert_eq!(read("[]"), [""; 0]);
    assert_eq!(read("[\n {\"a\":[1,\"]\"]} , 2,\"x\" ,null\n]\n[{}]"), [r#"{"a":[1,"]"]}"#, "2", "\"x\"", "null", "{}"]);
    assert_eq!(read("[{},{\"a\":"), ["{}", "!1 Truncated"]);
    assert_eq!(read("[{}},[]]"), ["{}", "!1 StrayBracket", "[]"]);
}

#[test]
fn envelopes() {
    assert_eq!(read(r#"{"Records":[{"a":1},{"b":2}]}"#), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(read("{ \"Records\" : [\n{\"a\":1}\n] }\n{\"Records\":[]}{\"Records\":[{}]}"), [r#"{"a":1}"#, "{}"]);
    let list = r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"x":[]},{}]}"#;
    assert_eq!(read(list), [r#"{"x":[]}"#, "{}"]);
    assert_eq!(read(r#"{"items":[{"auditID":"1"}],"kind":"EventList"}"#), [r#"{"auditID":"1"}"#]);
    assert_eq!(read(r#"{"Records":[{"a":1},"#), [r#"{"a":1}"#, "!1 Truncated"]);
    assert_eq!(read(r#"{"Records":[{"a":1}]"#), [r#"{"a":1}"#, "!1 Truncated"]);
}

#[test]
fn what_only_looks_like_an_envelope_is_a_record() {
    for text in [
        r#"{"Records":7}"#,
        r#"{"Records":["a","b"]}"#,
        r#"{"user":"a","Records":[{}]}"#,
        r#"{"items":[{"sku":1}],"total":3}"#,
        r#"{"kind":"Order","items":[{}]}"#,
        r#"{"Records""#,
        "{",
    ] {
        assert_eq!(read(text), [text]);
    }
}

#[test]
fn members_of_an_envelope_beside_its_records_are_counted() {
    let text = r#"{"kind":"List","note":1,"items":[{}],"more":1,"most":{"a":[]}}"#;
    let (all, totals) = read_all(text.as_bytes(), ReadLimits::default());
    assert_eq!(all.len(), 1);
    assert_eq!(totals, Totals { records: 1, errors: 0, bytes: text.len() as u64, envelope_members: 2 });
}

#[test]
fn reading_stops_when_told_to() {
    for text in ["{}\n{}\n{}\n", "{}{}{}", "[{},{},{}]", r#"{"Records":[{},{},{}]}"#] {
        let mut seen = 0;
        let totals = for_each_record(&mut text.as_bytes(), ReadLimits::default(), &mut |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!((seen, totals.records), (2, 2), "{text}");
    }
}

/// Repeats its text for a gigabyte, in pieces as large as asked for.
struct Endless {
    text: &'static [u8],
    at: usize,
    left: u64,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(into.len());
        into[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Endless {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(if self.left == 0 { &[] } else { &self.text[self.at..] })
    }

    fn consume(&mut self, count: usize) {
        self.at = (self.at + count) % self.text.len();
        self.left = self.left.saturating_sub(count as u64);
    }
}

#[test]
fn a_line_without_end_is_passed_over_in_bounded_memory() {
    static PIECE: [u8; 1 << 20] = [b'['; 1 << 20];
    let mut input = Endless { text: &PIECE, at: 0, left: 256 << 20 };
    let mut errors = Vec::new();
    // Brackets without end: an array whose first element never ends.
    let totals = for_each_record(&mut input, ReadLimits::default(), &mut |record| {
        errors.push(record.unwrap_err().kind);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(totals.bytes, 256 << 20);
    assert_eq!(errors, [RecordErrorKind::TooLong { limit: 4 << 20 }, RecordErrorKind::Truncated]);
}

/// An input that fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_of_its_own() {
    let mut input = io::BufReader::new(Broken);
    let error = for_each_record(&mut input, ReadLimits::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}

proptest! {
    #[test]
    fn reading_any_bytes_is_total(text in any::<Vec<u8>>()) {
        read_all(&text, ReadLimits { record_bytes_max: 16 });
    }

    #[test]
    fn reading_anything_that_looks_like_json_is_total(text in r#"([\[\]{},:" \n\\]|Records|items|1){0,60}"#) {
        read_all(text.as_bytes(), ReadLimits { record_bytes_max: 16 });
    }

    #[test]
    fn the_same_records_come_out_of_every_layout(values in prop::collection::vec("[a-z{}\\[\\], ]{0,20}", 1..6)) {
        let records: Vec<String> = values.iter().map(|value| serde_json::json!({"k": {"v": [value]}}).to_string()).collect();
        for text in [
            records.join("\n"),
            records.join("\r\n\r\n"),
            records.concat(),
            format!("[{}]", records.join(" ,\n")),
            format!("{{\"Records\":[{}]}}", records.join(",")),
            format!("{{\"kind\":\"EventList\",\"items\":[\n{}\n]}}\n", records.join(",\n")),
        ] {
            prop_assert_eq!(&read(&text), &records, "{}", text);
        }
    }
}

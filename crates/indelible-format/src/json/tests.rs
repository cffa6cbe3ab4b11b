//! One parser decides what is JSON, and one value has one canonical form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

mod canonical;
mod properties;

use properties::assert_total;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn canonical(input: &[u8]) -> Result<String, Error> {
    let mut out = b"before".to_vec();
    let result = canonicalize(input, &Limits::default(), &mut out);
    let written = out.strip_prefix(b"before").expect("only appends");
    assert!(result.is_ok() || written.is_empty());
    result.map(|()| String::from_utf8(written.to_vec()).unwrap())
}

fn refusal(input: impl AsRef<[u8]>) -> (ErrorKind, usize) {
    let error = canonical(input.as_ref()).expect_err("must be refused");
    (error.kind, error.offset)
}

#[test]
fn number_lexemes_stay_as_written() {
    for lexeme in ["9007199254740993", "1e400", "-0", "1.0", "1E+2", "0.10", "-0.0e-0", "123456789012345678901234567890"] {
        let text = format!("{{\"n\":{lexeme}}}");
        assert_eq!(canonical(text.as_bytes()).unwrap(), text);
        assert!(is_canonical(text.as_bytes(), &Limits::default()));
    }
    let mut document = Document::new();
    let mut number = |text: &'static str| {
        let node = document.parse(text.as_bytes(), &Limits::default()).unwrap();
        (node.as_i64(), node.as_u64())
    };
    assert_eq!(number("-9223372036854775808"), (Some(i64::MIN), None));
    assert_eq!(number("18446744073709551615"), (None, Some(u64::MAX)));
    assert_eq!(number("18446744073709551616"), (None, None));
    assert_eq!(number("1.0"), (None, None));
    assert_eq!(number("1e2"), (None, None));
    assert_eq!(number("-0"), (Some(0), None));
}

#[test]
fn each_refusal_names_its_kind_and_place() {
    use ErrorKind::*;
    let cases: &[(&[u8], ErrorKind, usize)] = &[
        (b"", Empty, 0),
        (b" \n\t", Empty, 3),
        (b"\xef\xbb\xbf{}", ByteOrderMark, 0),
        (b"[\xef\xbb\xbf]", Syntax, 1),
        (b"{} {}", TrailingData, 3),
        (b"1x", TrailingData, 1),
        (b"01", TrailingData, 1),
        (b"[1,]", Syntax, 3),
        (b"[,1]", Syntax, 1),
        (b"{\"a\":1,}", Syntax, 7),
        (b"{\"a\" 1}", Syntax, 5),
        (b"{a:1}", Syntax, 1),
        (b"[1}", Syntax, 2),
        (b"{\"a\":1]", Syntax, 6),
        (b"nulL", Syntax, 3),
        (b"nul", UnexpectedEnd, 3),
        (b"[1", UnexpectedEnd, 2),
        (b"-", UnexpectedEnd, 1),
        (b"1.", UnexpectedEnd, 2),
        (b"1.e", Syntax, 2),
        (b"1e+", UnexpectedEnd, 3),
        (b"+1", Syntax, 0),
        (b"\"abc", UnexpectedEnd, 4),
        (b"\"a\\", UnexpectedEnd, 3),
        (b"\"a\\u12", UnexpectedEnd, 6),
        (b"\"a\\u12g4\"", Syntax, 6),
        (b"\"a\\x\"", Syntax, 3),
        (b"\"a\nb\"", Syntax, 2),
        (b"\"a\0b\"", Syntax, 2),
        (b"\"\\ud800\"", LoneSurrogate, 1),
        (b"\"\\udc00\"", LoneSurrogate, 1),
        (b"\"\\ud800\\n\"", LoneSurrogate, 1),
        (b"\"\\ud800\\ud800\"", LoneSurrogate, 1),
        (b"\"x\\ud83d\\ude0", UnexpectedEnd, 13),
        (b"{\"\\ud800\":1}", LoneSurrogate, 2),
        (b"\"a\xffb\"", InvalidUtf8, 2),
        (b"\"\xed\xa0\x80\"", InvalidUtf8, 1),
        (b"\"\xc0\xaf\"", InvalidUtf8, 1),
        (b"\"\xf4\x90\x80\x80\"", InvalidUtf8, 1),
        (b"[\"\xc3\", nope]", InvalidUtf8, 2),
        (b"\xff", InvalidUtf8, 0),
        (b"{}\xff", InvalidUtf8, 2),
        (b"{\"a\":1,\"a\":2}", DuplicateKey, 7),
        (b"{\"a\":1,\"\\u0061\":2}", DuplicateKey, 7),
        (b"{\"\\u0061\":1,\"b\":{},\"a\":2}", DuplicateKey, 19),
        (b"{\"\":1,\"\":2}", DuplicateKey, 6),
        (b"{\"b\":1,\"a\":1,\"a\":1,\"b\":1}", DuplicateKey, 13),
    ];
    for (input, kind, offset) in cases {
        assert_eq!(refusal(input), (*kind, *offset), "{}", input.escape_ascii());
    }
    assert_eq!(Error { kind: DuplicateKey, offset: 7 }.to_string(), "an object key is repeated at byte 7");
    assert_eq!(DuplicateKey.code(), "duplicate_key");
}

#[test]
fn names_that_only_look_alike_are_different() {
    for text in [
        r#"{"a":1,"A":2}"#,
        "{\"a\":1,\"a\\u0000\":2}",
        "{\"\u{e9}\":1,\"e\u{301}\":2}",
        r#"{"x":{"a":1},"y":{"a":1},"a":[{"a":2}]}"#,
        r#"{"12345678":1,"123456789":2,"1234567":3,"12345670":4}"#,
    ] {
        assert!(canonical(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn keys_are_ordered_by_utf_16_at_every_level() {
    let input = "{\"\u{fb33}\":[{\"b\":1,\"a\":2}],\"\u{1f600}\":1,\"\\u20ac\":\"\\u00e9\\/\\u001F\",\"1\":{ }, \"\\r\":[ ],\"\u{80}\":null}";
    let expected = "{\"\\r\":[],\"1\":{},\"\u{80}\":null,\"€\":\"é/\\u001f\",\"\u{1f600}\":1,\"\u{fb33}\":[{\"a\":2,\"b\":1}]}";
    assert_eq!(canonical(input.as_bytes()).unwrap(), expected);
    assert!(is_canonical(expected.as_bytes(), &Limits::default()));
    for not_quite in [
        " {}",
        "{} ",
        "{\"b\":1,\"a\":2}",
        "[1, 2]",
        "\"\\/\"",
        "\"\\u001F\"",
        "\"\\u0061\"",
        "\"\\u000a\"",
        "[[{ }]]",
        "{\"a\\u0062\":1}",
    ] {
        assert!(!is_canonical(not_quite.as_bytes(), &Limits::default()), "{not_quite}");
    }
}

#[test]
fn depth_is_counted_and_never_recursed_into() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(canonical(&nested(128)).is_ok());
    assert_eq!(refusal(nested(129)), (ErrorKind::DepthExceeded, 128));
    assert_eq!(refusal(vec![b'['; 100_000]), (ErrorKind::DepthExceeded, 128));
    assert_eq!(refusal("{\"a\":".repeat(100_000)), (ErrorKind::DepthExceeded, 5 * 128));

    let scalars = Limits { depth_max: 0, ..Limits::default() };
    assert!(is_canonical(b"1", &scalars));
    assert!(!is_canonical(b"[]", &scalars));

    // No limit goes beyond the cap, and at the cap writing still fits a small stack.
    let boundless = Limits { depth_max: usize::MAX, ..Limits::default() };
    let mut document = Document::new();
    let error = document.parse(&nested(100_000), &boundless).expect_err("too deep");
    assert_eq!(error, Error { kind: ErrorKind::DepthExceeded, offset: DEPTH_CAP });
    let sloppy = [vec![b'['; DEPTH_CAP], vec![b' '], vec![b']'; DEPTH_CAP]].concat();
    let node = document.parse(&sloppy, &boundless).unwrap();
    let mut out = Vec::new();
    node.write_canonical(&mut out);
    assert_eq!(out, nested(DEPTH_CAP));

    // The walker counts; it has no limit and needs none.
    let deep = nested(100_000);
    assert_eq!(walk::skip_value(&deep, 0), Ok((deep.len(), Kind::Array)));
    assert_eq!(walk::elements(&deep).count(), 1);
    assert!(walk::skip_value(&deep[..150_000], 0).is_err());
}

#[test]
fn nodes_and_bytes_are_limited() {
    let small = Limits { nodes_max: 5, bytes_max: 30, ..Limits::default() };
    let mut document = Document::new();
    assert!(document.parse(b"[1,2,3,4]", &small).is_ok());
    let too_many = document.parse(b"[1,2,3,4,5]", &small).expect_err("six nodes");
    assert_eq!(too_many, Error { kind: ErrorKind::TooManyNodes, offset: 9 });
    assert!(document.parse(br#"{"a":1,"b":2}"#, &small).is_ok());
    let keys_count = document.parse(br#"{"a":1,"b":2,"c":3}"#, &small).expect_err("keys count too");
    assert_eq!(keys_count.kind, ErrorKind::TooManyNodes);
    let too_long = document.parse(&[b' '; 31], &small).expect_err("31 bytes");
    assert_eq!(too_long, Error { kind: ErrorKind::TooLarge, offset: 30 });

    let names: String = (0..10_000_000).map(|name| format!("\"{name}\":0,")).collect();
    let huge = format!("{{{names}\"last\":0}}");
    assert_eq!(refusal(&huge), (ErrorKind::TooLarge, 4 << 20));
    let roomy = Limits { bytes_max: usize::MAX, ..Limits::default() };
    assert_eq!(document.parse(huge.as_bytes(), &roomy).expect_err("too many").kind, ErrorKind::TooManyNodes);
    assert!(document.heap_bytes() < 64 << 20, "{}", document.heap_bytes());
    document.shrink_to(100);
    assert!(document.heap_bytes() < 1 << 16, "{}", document.heap_bytes());
}

/// Were the search for duplicates quadratic this would take hours.
#[test]
fn a_million_unsorted_names_are_sorted_once() {
    let limits = Limits { bytes_max: 1 << 26, nodes_max: 3_000_000, ..Limits::default() };
    let mut text = String::from("{");
    for name in (0..1_000_000u32).map(|name| name.wrapping_mul(2_654_435_769)) {
        text.push_str(&format!("\"shared prefix {name:010}\":0,"));
    }
    text.push_str("\"\":1}");
    let mut document = Document::new();
    let mut out = Vec::new();
    let node = document.parse(text.as_bytes(), &limits).unwrap();
    node.write_canonical(&mut out);
    assert_eq!(node.len(), 1_000_001);
    assert!(out.starts_with(b"{\"\":1,\"shared prefix 0000000000\":0,"));
    assert!(is_canonical(&out, &limits));
}

#[test]
fn a_warm_document_allocates_nothing() {
    let text = br#"{"z":[1,2,{"b":"\u0061","a":null}],"\u0061":true,"y":{"d":1,"c":2}}"#;
    let mut document = Document::new();
    document.parse(text, &Limits::default()).unwrap();
    let warm = (
        document.heap_bytes(),
        document.tape.as_ptr(),
        document.names.as_ptr(),
        document.decoded.as_ptr(),
        document.open.as_ptr(),
    );
    for _ in 0..10 {
        document.parse(text, &Limits::default()).unwrap();
        document.parse(b"[\"\\n\", {\"a\"", &Limits::default()).expect_err("cut short");
    }
    let after = (
        document.heap_bytes(),
        document.tape.as_ptr(),
        document.names.as_ptr(),
        document.decoded.as_ptr(),
        document.open.as_ptr(),
    );
    assert_eq!(warm, after);
}

#[test]
fn a_prefix_is_one_value_and_where_it_ends() {
    let limits = Limits { bytes_max: 10, ..Limits::default() };
    let mut document = Document::new();
    let stream = b" {\"a\":1}{}\n[2] 3\n\"x\"\"y\" null\n";
    let mut values = Vec::new();
    let mut at = 0;
    let last = loop {
        match document.parse_prefix(&stream[at..], &limits) {
            Ok((node, end)) => {
                values.push(node.raw().to_owned());
                at += end;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(values, ["{\"a\":1}", "{}", "[2]", "3", "\"x\"", "\"y\"", "null"]);
    assert_eq!(last.kind, ErrorKind::Empty);

    let mut refused = |text: &[u8]| document.parse_prefix(text, &limits).expect_err("refused");
    assert_eq!(refused(b"01"), ErrorKind::Syntax.at(1));
    assert_eq!(refused(b"nullnull"), ErrorKind::Syntax.at(4));
    assert_eq!(refused(b"1-2"), ErrorKind::Syntax.at(1));
    assert_eq!(refused(b"[1, [2"), ErrorKind::UnexpectedEnd.at(6));
    assert_eq!(refused(b"\"cut at \xc3"), ErrorKind::UnexpectedEnd.at(9));
    assert_eq!(refused(b"[\"0123456789\"]"), ErrorKind::TooLarge.at(10));
    assert_eq!(refused(b"1234567890123"), ErrorKind::TooLarge.at(10));
    assert_eq!(refused(b"            1"), ErrorKind::TooLarge.at(10));
    // What follows the value is not looked at, not even its UTF-8.
    assert_eq!(document.parse_prefix(b"{}\xff", &limits).unwrap().1, 2);
    assert_eq!(document.parse_prefix(b"1234567890 1", &limits).unwrap().1, 10);
}

#[test]
fn members_are_found_by_name_and_path() {
    let text = r#" {"user":{"n\u0061me":"A\"nn","tags":["x","\u00e9"]},"on":true,"off":false,"nothing":null} "#;
    let mut document = Document::new();
    let root = document.parse(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(root.span(), 1..text.len() - 1);
    assert_eq!(root.path(&["user", "name"]).unwrap().as_str().unwrap(), "A\"nn");
    assert_eq!(root.path(&["user", "name", "x"]).map(|node| node.kind()), None);
    assert_eq!(root.path(&[]).unwrap().raw(), root.raw());
    assert_eq!(root.get("on").unwrap().as_bool(), Some(true));
    assert_eq!(root.get("off").unwrap().as_bool(), Some(false));
    assert!(root.get("nothing").unwrap().is_null());
    assert!(root.get("missing").is_none());
    let tags: Vec<_> = root.path(&["user", "tags"]).unwrap().elements().map(|tag| tag.as_str().unwrap()).collect();
    assert!(matches!(&tags[..], [Cow::Borrowed("x"), Cow::Owned(e)] if e == "é"));
    let (key, _) = root.get("user").unwrap().entries().next().unwrap();
    assert_eq!((key.raw(), key.text()), ("n\\u0061me", Cow::from("name")));
    assert!(key == "name" && key != "n\\u0061me");
    assert_eq!(root.get("on").unwrap().as_str(), None);
    assert!(root.get("on").unwrap().is_empty());
}

#[test]
fn unescape_keeps_what_is_no_escape() {
    for (raw, text) in [
        ("plain", "plain"),
        ("a\\nb\\u00e9\\ud83d\\ude00\\/", "a\nbé😀/"),
        ("\\", "\\"),
        ("a\\xb", "a\\xb"),
        ("\\ud800!", "\\ud800!"),
        ("\\u12", "\\u12"),
        ("\\é\\n", "\\é\n"),
    ] {
        assert_eq!(unescape(raw), text);
    }
    assert!(matches!(unescape("plain"), Cow::Borrowed(_)));
}

#[test]
fn the_walker_refuses_what_has_no_bounds() {
    for broken in [
        "",
        "1",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\" :1}",
        "{\"a\":1}x",
        "{}x",
        "{\"a\":tru}",
        "{\"a\":\"b}",
        "{\"a\":\"b\\\"}",
        "{\"a\":[}",
        "{,}",
        "{1:2}",
        "[1]",
        " {}",
        "{ }",
        "{\"a\":x}",
    ] {
        let mut members = walk::members(broken.as_bytes());
        assert!(members.by_ref().any(|member| member.is_err()), "{broken}");
        assert!(members.next().is_none(), "{broken}");
    }
    assert_eq!(walk::members(b"{}").count(), 0);
    assert_eq!(walk::elements(b"[]").count(), 0);
    assert!(walk::members_at(b"{}", 7..9).all(|member| member.is_err()));
    let escaped = br#"{"a\\\"b":"\\\\","c":"\""}"#;
    let members: Vec<_> = walk::members(escaped).map(Result::unwrap).collect();
    assert_eq!(members[0].key, br#"a\\\"b"#);
    assert_eq!(&escaped[members[0].value.clone()], br#""\\\\""#);
    assert_eq!(members[1].key, b"c");
}

/// RFC 8785's own vectors. Numbers are where we differ on purpose, so there the expectation is the input's lexeme.
#[test]
fn the_jcs_vectors_hold_but_for_number_lexemes() {
    let Some(folder) = crate::corpus::folder("jcs-rfc8785") else { return };
    let outputs = files(&folder.join("output"));
    let lexemes = [
        ("333333333.3333333", "333333333.33333329"),
        ("1e+30", "1E30"),
        ("4.5,", "4.50,"),
        ("0.002", "2e-3"),
        ("1e-27", "0.000000000000000000000000001"),
        ("\\n\":56,", "\\n\":56.0,"),
    ];
    let mut differing = Vec::new();
    let inputs = files(&folder.join("input"));
    assert!(!inputs.is_empty());
    for (name, input) in inputs {
        let jcs = String::from_utf8(outputs[&name].clone()).unwrap();
        let ours = canonical(&input).unwrap();
        if ours != jcs {
            let verbatim = lexemes.iter().fold(jcs, |text, (jcs, ours)| text.replacen(jcs, ours, 1));
            assert_eq!(ours, verbatim, "{name}");
            differing.push(name.clone());
        }
        assert!(is_canonical(ours.as_bytes(), &Limits::default()), "{name}");
    }
    let known = ["structures.json", "values.json"];
    assert!(differing.iter().all(|name| known.contains(&name.as_str())), "{differing:?}");
}

/// JSONTestSuite: accept what must be accepted, but for what we refuse on purpose; refuse what must be refused.
#[test]
fn the_json_test_suite_holds_but_for_stricter_refusals() {
    let Some(folder) = crate::corpus::folder("json-nst") else { return };
    let stricter = BTreeMap::from([
        ("y_object_duplicated_key.json", ErrorKind::DuplicateKey),
        ("y_object_duplicated_key_and_value.json", ErrorKind::DuplicateKey),
    ]);
    let open = BTreeMap::from([
        ("i_number_double_huge_neg_exp.json", None),
        ("i_number_huge_exp.json", None),
        ("i_number_neg_int_huge_exp.json", None),
        ("i_number_pos_double_huge_exp.json", None),
        ("i_number_real_neg_overflow.json", None),
        ("i_number_real_pos_overflow.json", None),
        ("i_number_real_underflow.json", None),
        ("i_number_too_big_neg_int.json", None),
        ("i_number_too_big_pos_int.json", None),
        ("i_number_very_big_negative_int.json", None),
        ("i_object_key_lone_2nd_surrogate.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_1st_surrogate_but_2nd_missing.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_1st_valid_surrogate_2nd_invalid.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_incomplete_surrogate_and_escape_valid.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_incomplete_surrogate_pair.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_incomplete_surrogates_escape_valid.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_invalid_lonely_surrogate.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_invalid_surrogate.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_inverted_surrogates_U+1D11E.json", Some(ErrorKind::LoneSurrogate)),
        ("i_string_lone_second_surrogate.json", Some(ErrorKind::LoneSurrogate)),
        ("i_structure_500_nested_arrays.json", Some(ErrorKind::DepthExceeded)),
        ("i_structure_UTF-8_BOM_empty_object.json", Some(ErrorKind::ByteOrderMark)),
        // The rest are bytes that are no UTF-8, or UTF-16.
        ("i_string_utf16BE_no_BOM.json", Some(ErrorKind::Syntax)),
        ("i_string_utf16LE_no_BOM.json", Some(ErrorKind::Syntax)),
    ]);
    let mut seen = 0;
    for (name, input) in files(&folder.join("test_parsing")) {
        assert_total(&input);
        let result = canonical(&input).map_err(|error| error.kind);
        let expected = match name.split_once('_').unwrap().0 {
            "y" => stricter.get(name.as_str()).copied(),
            "n" => {
                assert!(result.is_err(), "{name} must be refused");
                seen += 1;
                continue;
            }
            _ => *open.get(name.as_str()).unwrap_or(&Some(ErrorKind::InvalidUtf8)),
        };
        assert_eq!(result.err(), expected, "{name}");
        seen += 1;
    }
    assert!(seen >= 100, "only {seen} files");
    // Half of the suite is in this corpus; the transformations only must not be accepted and changed silently.
    for input in files(&folder.join("test_transform")).into_values() {
        assert_total(&input);
    }
}

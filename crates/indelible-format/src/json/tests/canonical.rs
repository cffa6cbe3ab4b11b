//! The checker accepts exactly what the parser accepts and would write as it stands.

use proptest::prelude::*;

use super::super::canonical::{Checker, NotCanonical};
use super::super::*;
use super::files;
use super::properties::{Sloppy, any_value, twin};

/// What the tape says.
fn expected(bytes: &[u8]) -> bool {
    is_canonical(bytes, &Limits { bytes_max: usize::MAX, depth_max: 128, nodes_max: usize::MAX })
}

fn assert_same(checker: &mut Checker, bytes: &[u8]) {
    assert_eq!(checker.is_canonical(bytes), expected(bytes), "{}", bytes.escape_ascii());
}

fn refusal(bytes: &[u8]) -> Option<usize> {
    let mut checker = Checker::new();
    let mut cursor = checker.read(bytes).expect("not too long");
    let NotCanonical { offset } = cursor.value().and_then(|_| cursor.end()).err()?;
    assert!(!expected(bytes));
    Some(offset)
}

proptest! {
    #[test]
    fn it_agrees_with_the_tape(value in any_value(), choices in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut canonical = String::new();
        twin(&value, &mut canonical);
        let mut checker = Checker::new();
        prop_assert!(checker.is_canonical(canonical.as_bytes()));
        assert_same(&mut checker, serde_json::to_string(&value).unwrap().as_bytes());
        assert_same(&mut checker, Sloppy::write(&value, &choices).as_bytes());
    }

    #[test]
    fn it_agrees_with_the_tape_about_altered_bytes(value in any_value(), alterations in prop::collection::vec(any_alteration(), 1..6)) {
        let mut text = String::new();
        twin(&value, &mut text);
        let mut checker = Checker::new();
        let mut bytes = text.into_bytes();
        for alteration in alterations {
            alteration.apply(&mut bytes);
            assert_same(&mut checker, &bytes);
        }
    }

    #[test]
    fn it_agrees_with_the_tape_about_names(names in prop::collection::vec("(sharedpr|)(efix|)[ab\"\\\\/\n\u{0}\u{1f}é\u{d7ff}\u{e000}\u{ffff}😀]{0,3}", 2..5)) {
        let mut text = String::from("{");
        for (index, name) in names.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            let at = text.len();
            twin(&serde_json::Value::from(name.as_str()), &mut text);
            assert!(text.len() > at);
            text.push_str(":0");
        }
        text.push('}');
        let ascending = names.is_sorted_by(|a, b| a.encode_utf16().lt(b.encode_utf16()));
        prop_assert_eq!(Checker::new().is_canonical(text.as_bytes()), ascending);
        prop_assert_eq!(expected(text.as_bytes()), ascending);
    }

    #[test]
    fn it_agrees_with_the_tape_about_random_bytes(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b':'), Just(b'u'),
        Just(b'0'), Just(b'-'), Just(b'd'), Just(b' ')], 0..100)) {
        assert_same(&mut Checker::new(), &bytes);
    }

    #[test]
    fn it_agrees_with_the_tape_about_short_texts(text in "[\\[\\]{}:,\"\\\\ua0-9.eE+ \\-tflsn]{0,12}|-?[01]{0,2}[.]?[0-9]{0,2}[eE]?[-+]?[0-9]{0,2}") {
        assert_same(&mut Checker::new(), text.as_bytes());
    }
}

/// One way to spoil canonical bytes, or to leave them canonical by chance.
#[derive(Clone, Debug)]
enum Alteration {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index),
    /// Exchanges two of the pieces between commas.
    Swap(prop::sample::Index, prop::sample::Index),
    /// Replaces one occurrence of the first by the second.
    Respell(prop::sample::Index, &'static str, &'static str),
}

fn any_alteration() -> impl Strategy<Value = Alteration> {
    let place = any::<prop::sample::Index>;
    let insertions =
        [" ", "\n", "\t", ",", "\"", "\\", "0", "\u{0}", "\u{7f}", "é", "\\u00e9", "\\ud800", "\\ud83d\\ude00", "[]", "{"];
    let respellings = [
        ("a", "\\u0061"),
        ("/", "\\/"),
        ("\\n", "\\u000a"),
        ("\\u001f", "\\u001F"),
        ("\\u000", "\\U000"),
        ("\\b", "\\u0008"),
        ("\\\"", "\\u0022"),
        ("1", "01"),
        ("1", "1.0"),
        ("1", "1."),
        ("1", "+1"),
        ("1", "-1e5"),
        ("0", "-"),
        ("true", "True"),
        ("null", "nul"),
        ("}", ",}"),
        ("]", "}"),
        ("\"", ""),
        (":", ": "),
        ("b", "a"),
    ];
    prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Alteration::Flip(at, bit)),
        (place(), prop::sample::select(insertions.to_vec())).prop_map(|(at, text)| Alteration::Insert(at, text)),
        place().prop_map(Alteration::Remove),
        (place(), place()).prop_map(|(a, b)| Alteration::Swap(a, b)),
        (place(), prop::sample::select(respellings.to_vec())).prop_map(|(at, (from, to))| Alteration::Respell(at, from, to)),
    ]
}

impl Alteration {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Insert(at, text) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, text.bytes());
            }
            Self::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Swap(a, b) => {
                let mut pieces: Vec<_> = bytes.split(|byte| *byte == b',').collect();
                let (a, b) = (a.index(pieces.len()), b.index(pieces.len()));
                pieces.swap(a, b);
                *bytes = pieces.join(&b',');
            }
            Self::Respell(at, from, to) => {
                let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
                if !places.is_empty() {
                    let at = places[at.index(places.len())];
                    bytes.splice(at..at + from.len(), to.bytes());
                }
            }
        }
    }
}

#[test]
fn each_refusal_names_its_place() {
    let cases: &[(&[u8], usize)] = &[
        (b"", 0),
        (b" {}", 0),
        (b"{} ", 2),
        (b"{}{}", 2),
        (b"\xef\xbb\xbf{}", 0),
        (b"{ }", 1),
        (b"{\"a\" :1}", 4),
        (b"{\"a\": 1}", 5),
        (b"{\"a\":1 }", 6),
        (b"[1, 2]", 3),
        (b"[1,]", 3),
        (b"[1}", 2),
        (b"{\"a\":1]", 6),
        (b"{\"a\":1,}", 7),
        (b"{1:2}", 1),
        (b"01", 1),
        (b"-", 1),
        (b"1.", 2),
        (b"1e+", 3),
        (b"[1.e1]", 3),
        (b"+1", 0),
        (b"nul", 0),
        (b"nullnull", 4),
        (b"\"\\/\"", 1),
        (b"\"a\\u000a\"", 2),
        (b"\"\\u001F\"", 1),
        (b"\"\\u0061\"", 1),
        (b"\"\\u00e9\"", 1),
        (b"\"\\ud83d\\ude00\"", 1),
        (b"\"\\ud800\"", 1),
        (b"\"\\", 1),
        (b"\"abc", 4),
        (b"\"a\x1f\"", 2),
        (b"{\"b\":1,\"a\":2}", 7),
        (b"{\"a\":1,\"a\":2}", 7),
        (b"{\"\":1,\"\":2}", 6),
        (b"{\"12345678\":1,\"12345678\":2}", 14),
        (b"{\"\\n\":1,\"\\n\":2}", 8),
        (b"{\"a\":1,\"\\\"\":2}", 7),
        ("{\"\u{fb33}\":1,\"\u{1f600}\":2}".as_bytes(), 9),
        (b"\"a\xff\"", 2),
        (b"\"\xed\xa0\x80\"", 1),
        (b"[\"\\n\xc3\"]", 4),
        (b"{\"\xc0\xaf\":1}", 2),
        (b"\x80", 0),
    ];
    for (bytes, offset) in cases {
        assert_eq!(refusal(bytes), Some(*offset), "{}", bytes.escape_ascii());
    }
    assert_eq!(NotCanonical { offset: 7 }.to_string(), "not canonical JSON at byte 7");
    for fine in [
        "0",
        "-0.0e-0",
        "\"\\u001f\u{7f}/\u{2028}\"",
        "{}",
        "[[],{}]",
        "{\"\":0,\"\\n\":1,\"\\\"\":2,\"a\":3,\"\u{1f600}\":4,\"\u{fb33}\":5}",
    ] {
        assert_eq!(refusal(fine.as_bytes()), None, "{fine}");
    }
}

/// Strings and keys are found 64 bytes at a time: whatever stands at whichever place must not matter.
#[test]
fn no_place_is_special() {
    let mut checker = Checker::new();
    for length in 0..150 {
        for special in ["", "\"", "\\\"", "\\/", "\\u0000", "\u{0}", "\u{1f}", " ", "é", "\\", "😀"] {
            for shift in [0, 1, 40] {
                let (front, plain) = ("f".repeat(shift), "x".repeat(length));
                for text in [
                    format!("[\"{front}\",\"{plain}{special}\"]"),
                    format!("[\"{front}\",\"{plain}{special}yyyyyyyy\",0]"),
                    format!("{{\"{plain}{special}\":{{\"{front}\":\"\"}},\"{plain}{special}{front}\":0}}"),
                ] {
                    assert_same(&mut checker, text.as_bytes());
                    // Bytes that are no UTF-8 must be noticed in every block, and behind every escape.
                    let broken = text.replace(['x', 'é'], "\u{0}").into_bytes();
                    let broken: Vec<_> = broken.iter().map(|byte| if *byte == 0 { 0xff } else { *byte }).collect();
                    assert_same(&mut checker, &broken);
                }
            }
        }
    }
    // Behind an escape strings are read in another way, past blocks that are then not looked at.
    for length in (60..70).chain(190..200) {
        for place in 0..length {
            for (front, back) in [("\"", "\""), ("\"", "\\né\""), ("\"\\n", "\""), ("[\"\\n", "\",\"\"]"), ("{\"\\n", "\":0}")] {
                let mut bytes = [front.as_bytes(), &b"x".repeat(length), back.as_bytes()].concat();
                assert!(checker.is_canonical(&bytes));
                bytes[front.len() + place] = 0xff;
                assert!(!checker.is_canonical(&bytes));
            }
        }
    }
}

#[test]
fn depth_is_counted_and_never_recursed_into() {
    let mut checker = Checker::new();
    for (open, innermost, close) in
        [("[", "", "]"), ("[", "0", "]"), ("{\"a\":", "{}", "}"), ("{\"a\":[", "", "]}"), ("[{\"\":", "0", "}]")]
    {
        for depth in (60..66).chain(125..132) {
            let text = [&open.repeat(depth), innermost, &close.repeat(depth)].concat();
            assert_same(&mut checker, text.as_bytes());
        }
        let text = [&open.repeat(100_000), innermost, &close.repeat(100_000)].concat();
        assert!(!checker.is_canonical(text.as_bytes()));
        assert!(!checker.is_canonical(open.repeat(100_000).as_bytes()));
    }
    let deepest = ["[".repeat(128), "]".repeat(128)].concat();
    assert!(checker.is_canonical(deepest.as_bytes()));
    assert!(!checker.is_canonical(format!("[{deepest}]").as_bytes()));
    assert!(!checker.is_canonical(format!("{{\"a\":{deepest}}}").as_bytes()));

    // The levels a caller steps into count like those he does not.
    for (depth, fits) in [(127, true), (128, false)] {
        let text = format!("[[],{}{}]", "[".repeat(depth), "]".repeat(depth));
        let mut cursor = checker.read(text.as_bytes()).unwrap();
        assert!(cursor.first_element().unwrap());
        assert!(!cursor.first_element().unwrap());
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.value().is_ok(), fits);
        let mut cursor = checker.read(&text.as_bytes()[4..text.len() - 1]).unwrap();
        while cursor.first_element().unwrap() {}
        while cursor.kind().is_none() && cursor.next_element().is_ok_and(|more| !more) {}
        assert_eq!(cursor.end(), Ok(()));
    }
    let text = "[".repeat(200);
    let mut cursor = checker.read(text.as_bytes()).unwrap();
    let entered = (0..).take_while(|_| cursor.first_element().is_ok()).count();
    assert_eq!(entered, 128);
}

#[test]
fn a_cursor_that_is_led_astray_refuses() {
    let mut checker = Checker::new();
    let text = br#"{"a":[1],"b":2}"#;
    let mut cursor = checker.read(text).unwrap();
    let first = cursor.first_key().unwrap().unwrap();
    assert_eq!((cursor.raw(first), cursor.kind(), cursor.offset()), (&b"a"[..], Some(Kind::Array), 5));
    assert_eq!(cursor.next_key(first), Err(NotCanonical { offset: 5 }), "the value was not read");
    assert_eq!(cursor.first_key(), Err(NotCanonical { offset: 5 }), "it is no object");
    assert_eq!(cursor.value(), Ok((5..8, Kind::Array)));
    assert_eq!(cursor.next_element(), Ok(true), "only the brackets tell containers apart");
    assert!(cursor.end().is_err(), "the object has not ended");
    assert!(checker.read(text).unwrap().end().is_err(), "nothing was read");
    assert!(checker.read(b"").unwrap().end().is_err());
    // What an earlier check left behind does not matter.
    assert!(checker.is_canonical(text));
}

#[test]
fn the_corpora_agree() {
    let mut checker = Checker::new();
    for folder in ["json-nst/test_parsing", "json-nst/test_transform", "jcs-rfc8785/input", "jcs-rfc8785/output"] {
        let Some(folder) = crate::corpus::folder(folder) else { return };
        let files = files(&folder);
        assert!(!files.is_empty());
        for input in files.into_values() {
            assert_same(&mut checker, &input);
            let mut written = Vec::new();
            if canonicalize(&input, &Limits::default(), &mut written).is_ok() {
                assert!(checker.is_canonical(&written));
            }
        }
    }
}

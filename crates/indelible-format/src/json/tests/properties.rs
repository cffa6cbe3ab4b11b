//! What holds for every value and for every string of bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::super::*;
use super::{canonical, refusal};

proptest! {
    #[test]
    fn one_value_has_one_canonical_form(value in any_value(), choices in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut expected = String::new();
        twin(&value, &mut expected);
        for printed in [
            serde_json::to_string(&value).unwrap(),
            serde_json::to_string_pretty(&value).unwrap(),
            Sloppy::write(&value, &choices),
        ] {
            let written = canonical(printed.as_bytes()).unwrap();
            prop_assert_eq!(&written, &expected);
            prop_assert_eq!(is_canonical(printed.as_bytes(), &Limits::default()), printed == written);
            let mut document = Document::new();
            assert_same(document.parse(printed.as_bytes(), &Limits::default()).unwrap(), &value);
        }
        prop_assert_eq!(canonical(expected.as_bytes()).unwrap(), expected.as_str());
        prop_assert!(is_canonical(expected.as_bytes(), &Limits::default()));
        prop_assert_eq!(serde_json::from_str::<Value>(&expected).unwrap(), value);
    }

    #[test]
    fn the_walker_agrees_with_the_tape(value in any_value()) {
        let mut bytes = String::new();
        twin(&value, &mut bytes);
        let mut document = Document::new();
        assert_walks(document.parse(bytes.as_bytes(), &Limits::default()).unwrap(), bytes.as_bytes());
    }

    #[test]
    fn altered_bytes_never_panic(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        assert_total(&bytes);
        // A cut value is told from a wrong one, but a number cut short is a number.
        if cut && !value.is_number() {
            let (kind, _) = refusal(&bytes);
            prop_assert!(matches!(kind, ErrorKind::UnexpectedEnd | ErrorKind::Empty | ErrorKind::InvalidUtf8), "{:?}", kind);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b':'), Just(b'u'),
        Just(b'0'), Just(b'-'), Just(b'd'), Just(b' ')], 0..60)) {
        assert_total(&bytes);
    }

    #[test]
    fn what_we_accept_others_accept_too(text in "[\\[\\]{}:,\"\\\\ua0-9.eE+ \\-tflsn]{0,12}") {
        let ours = canonical(text.as_bytes());
        match (&ours, serde_json::from_str::<Value>(&text)) {
            (Ok(_), theirs) => prop_assert!(theirs.is_ok(), "only we accept {text:?}"),
            (Err(error), Ok(_)) => prop_assert_eq!(error.kind, ErrorKind::DuplicateKey),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let mut written = b"[".to_vec();
        write_string(&mut written, &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&written[1..]).unwrap(), text.as_str());
        let mut expected = String::from("[");
        twin_string(&text, &mut expected);
        prop_assert_eq!(std::str::from_utf8(&written).unwrap(), &expected);
        prop_assert_eq!(unescape(&expected[2..expected.len() - 1]), text.as_str());
        let mut inside = Vec::new();
        write_escaped(&mut inside, &text);
        prop_assert_eq!(&inside, &written[2..written.len() - 1]);
        // Total on text that was never inside a JSON string.
        let _ = unescape(&text);
    }

    #[test]
    fn repeated_names_are_found_wherever_they_stand(names in prop::collection::btree_set("[a-z\u{e000}😀\n]{1,12}", 2..60),
                                                    seed in any::<prop::sample::Index>(), escaped in any::<bool>()) {
        let names: Vec<_> = names.into_iter().collect();
        let repeated = &names[seed.index(names.len())];
        let mut text = String::from("[{");
        for name in names.iter().rev() {
            twin_string(name, &mut text);
            text.push_str(":{\"x\":1},");
        }
        let offset = text.len();
        if escaped {
            let spelled: String = repeated.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            text.push_str(&format!("\"{spelled}\""));
        } else {
            twin_string(repeated, &mut text);
        }
        text.push_str(":0}]");
        prop_assert_eq!(refusal(&text), (ErrorKind::DuplicateKey, offset));
    }
}

/// Every node agrees with the same value as another parser sees it.
fn assert_same(node: Node<'_, '_>, value: &Value) {
    match value {
        Value::Null => assert!(node.is_null()),
        Value::Bool(bool) => assert_eq!(node.as_bool(), Some(*bool)),
        Value::Number(number) => {
            assert_eq!(node.number_lexeme(), Some(number.to_string().as_str()));
            if node.number_lexeme() != Some("-0") {
                assert_eq!(node.as_i64(), number.as_i64());
                assert_eq!(node.as_u64(), number.as_u64());
            }
        }
        Value::String(text) => assert_eq!(node.as_str().as_deref(), Some(text.as_str())),
        Value::Array(elements) => {
            assert_eq!(node.kind(), Kind::Array);
            assert_eq!(node.len(), elements.len());
            assert_eq!(node.elements().len(), elements.len());
            assert_eq!(node.elements().count(), elements.len());
            assert_eq!(node.entries().count(), 0);
            for (node, value) in node.elements().zip(elements) {
                assert_same(node, value);
            }
        }
        Value::Object(members) => {
            assert_eq!(node.kind(), Kind::Object);
            assert_eq!(node.len(), members.len());
            assert_eq!(node.entries().count(), members.len());
            assert_eq!(node.elements().count(), 0);
            for (key, child) in node.entries() {
                assert_same(child, &members[&*key.text()]);
                assert_eq!(node.get(&key.text()).unwrap().span(), child.span());
            }
        }
    }
}

/// The walker finds in canonical bytes what the tape finds.
fn assert_walks(node: Node<'_, '_>, bytes: &[u8]) {
    let span = node.span();
    assert_eq!(walk::skip_value(bytes, span.start), Ok((span.end, node.kind())));
    match node.kind() {
        Kind::Object => {
            let members: Vec<_> = walk::members_at(bytes, span.clone()).map(Result::unwrap).collect();
            assert_eq!(members.len(), node.len());
            let relative: Vec<_> = walk::members(&bytes[span.clone()]).map(Result::unwrap).collect();
            assert_eq!(relative.len(), node.len());
            for (member, (key, child)) in members.iter().zip(node.entries()) {
                assert_eq!(member.key, key.raw().as_bytes());
                assert_eq!(member.value, child.span());
                assert_eq!(member.kind, child.kind());
                assert_walks(child, bytes);
            }
        }
        Kind::Array => {
            let elements: Vec<_> = walk::elements_at(bytes, span.clone()).map(Result::unwrap).collect();
            assert_eq!(elements.len(), node.len());
            assert_eq!(walk::elements(&bytes[span]).count(), node.len());
            for (element, child) in elements.iter().zip(node.elements()) {
                assert_eq!((element.value.clone(), element.kind), (child.span(), child.kind()));
                assert_walks(child, bytes);
            }
        }
        _ => {}
    }
}

/// Runs everything over bytes that may be anything.
pub(super) fn assert_total(bytes: &[u8]) {
    let limits = Limits::default();
    let mut document = Document::new();
    if let Ok(node) = document.parse(bytes, &limits) {
        assert!(serde_json::from_slice::<Value>(bytes).is_ok());
        let mut out = Vec::new();
        node.write_canonical(&mut out);
        assert!(is_canonical(&out, &limits));
        assert_eq!(node.is_canonical(), out == node.raw().as_bytes());
    }
    let mut at = 0;
    while let Ok((node, end)) = document.parse_prefix(&bytes[at..], &limits) {
        assert!(end > 0 && node.raw().len() <= end);
        at += end;
    }
    for member in walk::members(bytes).flatten() {
        assert!(member.value.end <= bytes.len() && !member.value.is_empty());
    }
    for element in walk::elements(bytes).flatten() {
        assert!(element.value.end <= bytes.len() && !element.value.is_empty());
    }
    for start in 0..bytes.len() {
        if let Ok((end, _)) = walk::skip_value(bytes, start) {
            assert!(end > start && end <= bytes.len());
        }
    }
}

/// The simple twin: an object becomes a map that is sorted by UTF-16, everything is written character by character.
pub(super) fn twin(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => twin_string(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                twin(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let sorted: BTreeMap<Vec<u16>, _> =
                members.iter().map(|(key, value)| (key.encode_utf16().collect(), (key, value))).collect();
            out.push('{');
            for (index, (key, value)) in sorted.values().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                twin_string(key, out);
                out.push(':');
                twin(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn twin_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Any JSON value, with the characters that matter for escapes and key order.
pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ab]{0,3}",
        "[a-z_]{1,20}",
        "[\"\\\\/\u{0}\u{1}\u{8}\t\n\u{c}\r\u{1f} \u{7f}aé\u{d7ff}\u{e000}\u{2028}\u{ffff}😀]{0,20}",
        any::<String>(),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
    ]
    .prop_map(|lexeme| serde_json::from_str(&lexeme).unwrap());
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), number, text.clone().prop_map(Value::String),];
    leaf.prop_recursive(5, 200, 30, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..30).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes `value` in one of the many ways JSON allows; `choices` decides about order, white space and escapes.
pub(super) struct Sloppy<'c> {
    choices: std::iter::Cycle<std::slice::Iter<'c, u8>>,
    out: String,
}

impl Sloppy<'_> {
    pub(super) fn write(value: &Value, choices: &[u8]) -> String {
        let mut sloppy = Sloppy { choices: choices.iter().cycle(), out: String::new() };
        sloppy.space();
        sloppy.value(value);
        sloppy.space();
        sloppy.out
    }

    fn choose(&mut self) -> u8 {
        self.choices.next().copied().unwrap_or_default()
    }

    fn space(&mut self) {
        match self.choose() {
            0..=9 => self.out.push(' '),
            10..=19 => self.out.push_str("\n\t \r\n"),
            _ => {}
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(elements) => {
                self.out.push('[');
                self.space();
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                        self.space();
                    }
                    self.value(element);
                    self.space();
                }
                self.out.push(']');
            }
            Value::Object(members) => {
                self.out.push('{');
                self.space();
                let mut members: Vec<_> = members.iter().collect();
                let turn = usize::from(self.choose());
                if !members.is_empty() {
                    let middle = turn % members.len();
                    members.rotate_left(middle);
                }
                for (index, (key, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                        self.space();
                    }
                    self.string(key);
                    self.space();
                    self.out.push(':');
                    self.space();
                    self.value(value);
                    self.space();
                }
                self.out.push('}');
            }
            scalar => self.out.push_str(&scalar.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let mut units = [0; 2];
            match self.choose() {
                0..=19 => {
                    for unit in character.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                20..=29 if character == '/' => self.out.push_str("\\/"),
                30..=39 if character < ' ' => {
                    self.out.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                _ => {
                    let mut one = String::new();
                    twin_string(&character.to_string(), &mut one);
                    self.out.push_str(&one[1..one.len() - 1]);
                }
            }
        }
        self.out.push('"');
    }
}

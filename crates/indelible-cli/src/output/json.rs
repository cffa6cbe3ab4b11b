//! JSON as we write it: member by member, strings through the one escaper, stored canonical bytes embedded as they are.

use std::fmt::Display;

use indelible::json::write_string;

/// A JSON object under construction.
#[derive(Debug)]
pub(crate) struct Object {
    out: Vec<u8>,
    empty: bool,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self { out: vec![b'{'], empty: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(&mut self.out, key);
        self.out.push(b':');
        &mut self.out
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) -> &mut Self {
        write_string(self.key(key), text);
        self
    }

    /// The text, or null.
    pub(crate) fn optional_text(&mut self, key: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(key, text),
            None => self.raw(key, b"null"),
        }
    }

    /// Anything whose `Display` is a JSON number.
    pub(crate) fn number(&mut self, key: &str, number: impl Display) -> &mut Self {
        self.raw(key, number.to_string().as_bytes())
    }

    /// The number, or null.
    pub(crate) fn optional_number(&mut self, key: &str, number: Option<impl Display>) -> &mut Self {
        match number {
            Some(number) => self.number(key, number),
            None => self.raw(key, b"null"),
        }
    }

    /// A measured number with three decimals at most.
    pub(crate) fn decimal(&mut self, key: &str, number: f64) -> &mut Self {
        self.number(key, if number.is_finite() { format!("{number:.3}") } else { "null".to_owned() })
    }

    pub(crate) fn boolean(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { b"true" } else { b"false" })
    }

    /// Bytes that are JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) -> &mut Self {
        self.key(key).extend_from_slice(json);
        self
    }

    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::new();
        fill(&mut inner);
        self.raw(key, &inner.finish())
    }

    pub(crate) fn texts<'t>(&mut self, key: &str, texts: impl IntoIterator<Item = &'t str>) -> &mut Self {
        self.array(key, texts, write_string)
    }

    pub(crate) fn objects<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, fill: impl Fn(&mut Self, T)) -> &mut Self {
        self.array(key, items, |out, item| {
            let mut inner = Self::new();
            fill(&mut inner, item);
            out.extend_from_slice(&inner.finish());
        })
    }

    fn array<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) -> &mut Self {
        let out = self.key(key);
        out.push(b'[');
        for (nth, item) in items.into_iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
        self
    }

    /// The end of a chain of members, where a statement is wanted.
    pub(crate) const fn end(&mut self) {}

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// `canonical` over several lines, for eyes. Values and number lexemes stay as they are.
pub(crate) fn indented(canonical: &[u8]) -> String {
    let mut out = Vec::with_capacity(canonical.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for (at, byte) in canonical.iter().copied().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let closes = |byte: Option<&u8>| matches!(byte, Some(b'}' | b']'));
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if !closes(canonical.get(at + 1)) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(at.checked_sub(1).and_then(|before| canonical.get(before)), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_valid_json_whatever_the_text() {
        let mut object = Object::new();
        object.text("a\"b", "line\nend\u{1b}").optional_text("none", None).number("n", 7).raw("raw", b"1.10");
        object.object("o", |inner| {
            inner.boolean("yes", true);
        });
        object.texts("t", ["x", "y"]).objects("l", [1, 2], |object, n| {
            object.number("n", n);
        });
        let bytes = object.finish();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["a\"b"], "line\nend\u{1b}");
        assert_eq!(value["raw"].to_string(), "1.10");
        assert_eq!(value["l"][1]["n"].to_string(), "2");
    }

    #[test]
    fn indentation_changes_white_space_only() {
        let canonical = br#"{"a":[1,{"b":"x,y:{\"\\"}],"c":{},"d":[],"e":1e400}"#;
        let shown = indented(canonical);
        assert!(shown.contains("\n  \"a\": [\n    1,\n    {\n      \"b\": \"x,y:{\\\"\\\\\"\n"), "{shown}");
        assert!(shown.contains("\"c\": {},\n  \"d\": [],\n  \"e\": 1e400\n}"), "{shown}");
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(value, serde_json::from_slice::<serde_json::Value>(canonical).unwrap());
    }
}

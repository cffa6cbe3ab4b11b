//! Whether a text is JSON by RFC 8259, where that is wider than our parser: repeated keys and lone surrogates are allowed.
//!
//! It only answers yes or no, for records that the parser has refused for one of those two reasons and that are to be kept
//! unread. One loop, no recursion, one bit per open container.

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or `]` right after `[`.
    ValueOrEnd,
    Key,
    /// A key, or `}` right after `{`.
    KeyOrEnd,
    /// `,` or the end of the container.
    Separator,
}

/// Whether `text` is one JSON value nested at most `depth_max` deep, in valid UTF-8, with white space around it at most.
pub(crate) fn is_json_text(text: &[u8], depth_max: usize) -> bool {
    std::str::from_utf8(text).is_ok() && read(text, depth_max).is_some()
}

fn read(text: &[u8], depth_max: usize) -> Option<()> {
    // One entry per open container: whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    let mut expect = Expect::Value;
    let mut at = space_end(text, 0);
    loop {
        let byte = *text.get(at)?;
        match (expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                if open.len() == depth_max {
                    return None;
                }
                open.push(byte == b'{');
                expect = if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                at += 1;
            }
            (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => {
                open.pop();
                expect = Expect::Separator;
                at += 1;
            }
            (Expect::Value | Expect::ValueOrEnd, _) => {
                at = scalar_end(text, at)?;
                expect = Expect::Separator;
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => {
                at = space_end(text, string_end(text, at)?);
                if text.get(at) != Some(&b':') {
                    return None;
                }
                at += 1;
                expect = Expect::Value;
            }
            (Expect::Separator, b',') => {
                expect = if *open.last()? { Expect::Key } else { Expect::Value };
                at += 1;
            }
            (Expect::Separator, b'}' | b']') => {
                if open.pop()? != (byte == b'}') {
                    return None;
                }
                at += 1;
            }
            _ => return None,
        }
        at = space_end(text, at);
        if open.is_empty() && expect == Expect::Separator {
            return (at == text.len()).then_some(());
        }
    }
}

fn space_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn scalar_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    match rest.first()? {
        b'"' => string_end(text, at),
        b'-' | b'0'..=b'9' => number_end(text, at),
        _ => [&b"true"[..], b"false", b"null"].iter().find(|word| rest.starts_with(word)).map(|word| at + word.len()),
    }
}

fn string_end(text: &[u8], quote: usize) -> Option<usize> {
    let mut at = quote + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'u' => {
                    let digits = text.get(at + 2..at + 6)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = text.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let signed = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(signed))?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_grammar_allows_is_json_and_nothing_else() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"["\ud800",{"":[]}]"#,
            "\"\\udc00\\ud800\"",
            " [ ] ",
            "{ }",
            "-0.5e+7",
            "true",
            "\"é\"",
            r#"{"a":{"b":[1,2,{"c":null}]},"d":"\u0000"}"#,
        ] {
            assert!(is_json_text(text.as_bytes(), 10), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "[1}",
            r#"{"a":1]"#,
            "01",
            "1.",
            "1e",
            "-",
            "nul",
            "truex",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            "1 2",
            "{}{}",
            "[1 2]",
            "]",
            "NaN",
            r#"{1:2}"#,
            "\u{feff}{}",
            "+1",
        ] {
            assert!(!is_json_text(text.as_bytes(), 10), "{text}");
        }
        assert!(!is_json_text(b"\"\xff\"", 10));
        assert!(!is_json_text("[".repeat(100_000).as_bytes(), 10));
        assert!(is_json_text(b"[[[]]]", 3) && !is_json_text(b"[[[]]]", 2));
    }
}

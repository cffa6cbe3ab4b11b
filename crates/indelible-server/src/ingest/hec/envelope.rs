//! Envelopes: an event, and what is said of it besides.

use std::borrow::Cow;

use indelible::format::draft::Canonical;
use indelible::json::{Kind, Node, write_string};
use indelible_adapters::split;

/// What an envelope says besides its event, as far as the event has fields for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) time: Option<i64>,
    pub(super) host: Option<String>,
    /// From where it came, as it stands in the record: `{"_hec":{"host":…}}`. It is of the identity, and hidden with it.
    from: Vec<u8>,
}

impl Told {
    /// The identity part of the record, with what the envelope says of it.
    pub(super) fn identity<'m>(&self, part: Option<Canonical<'_>>, memory: &'m mut Vec<u8>) -> Option<Canonical<'m>> {
        memory.clear();
        match part {
            // Nothing of `_hec` is in the part already: no format's identity is there.
            Some(part) if !self.from.is_empty() => split::merge(Some(&self.from), part.bytes(), memory).ok()?,
            Some(part) => memory.extend_from_slice(part.bytes()),
            None => memory.extend_from_slice(&self.from),
        }
        (!memory.is_empty()).then(|| Canonical::trusted(memory))
    }
}

/// The event with the rest of its envelope beside it, without its host.
pub(super) fn joined(envelope: Node<'_, '_>, event: Node<'_, '_>) -> (Vec<u8>, Told) {
    let host = envelope.get("host");
    let mut told = Told {
        time: envelope
            .get("time")
            .and_then(|time| seconds(time.number_lexeme().map_or_else(|| time.as_str(), |text| Some(text.into()))?.as_ref())),
        host: host.and_then(|host| host.as_str()).map(Cow::into_owned),
        from: Vec::new(),
    };
    if let Some(host) = host {
        told.from.extend_from_slice(b"{\"_hec\":{\"host\":");
        host.write_canonical(&mut told.from);
        told.from.extend_from_slice(b"}}");
    }
    let mut out = b"{\"_hec\":{".to_vec();
    let mut first = true;
    for (key, value) in envelope.entries().filter(|(key, _)| key != "event" && key != "host") {
        if !first {
            out.push(b',');
        }
        first = false;
        write_string(&mut out, &key.text());
        out.push(b':');
        out.extend_from_slice(value.raw().as_bytes());
    }
    out.push(b'}');
    if event.kind() == Kind::Object && event.get("_hec").is_none() {
        for (key, value) in event.entries() {
            out.push(b',');
            write_string(&mut out, &key.text());
            out.push(b':');
            out.extend_from_slice(value.raw().as_bytes());
        }
    } else {
        out.extend_from_slice(b",\"event\":");
        out.extend_from_slice(event.raw().as_bytes());
    }
    out.push(b'}');
    (out, told)
}

/// Seconds since 1970 with a fraction, as ns.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

/// Envelopes follow each other without anything between them; each ends where its braces do.
pub(super) fn envelopes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    // A list of envelopes is what some clients send.
    let listed = rest.starts_with('[');
    if listed {
        rest = rest.get(1..).unwrap_or_default();
    }
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|sign: char| sign.is_ascii_whitespace() || (listed && matches!(sign, ',' | ']')));
        if rest.is_empty() {
            return None;
        }
        let (one, more) = rest.split_at_checked(end(rest)).unwrap_or((rest, ""));
        rest = more;
        Some(one)
    })
}

/// Where the value that `text` begins with ends, by its brackets.
fn end(text: &str) -> usize {
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => depth += 1,
            b'}' | b']' if !inside => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use indelible::json::{Document, Limits};

    use super::*;

    #[test]
    fn envelopes_follow_each_other_with_and_without_anything_between() {
        let text = "{\"event\":\"a}\\\"{\"}{\"event\":{\"b\":[1]}}\r\n {\"event\":3}";
        assert_eq!(envelopes(text).collect::<Vec<_>>(), ["{\"event\":\"a}\\\"{\"}", "{\"event\":{\"b\":[1]}}", "{\"event\":3}"]);
        assert_eq!(envelopes("[{\"event\":1},{\"event\":2}]").count(), 2);
        assert_eq!(envelopes(" \n").count(), 0);
        assert_eq!(envelopes("{\"event\":").count(), 1, "what does not end is one, and is refused");
    }

    #[test]
    fn an_envelope_comes_along_with_its_event() {
        let mut document = Document::new();
        let text =
            r#"{"time":1769860800.25,"host":"web","source":"app","event":{"action":"user.login","user":"al"},"fields":{"k":1}}"#;
        let node = document.parse(text.as_bytes(), &Limits::default()).unwrap();
        let (record, told) = joined(node, node.get("event").unwrap());
        let content = r#"{"_hec":{"time":1769860800.25,"source":"app","fields":{"k":1}},"action":"user.login","user":"al"}"#;
        assert_eq!(String::from_utf8(record).unwrap(), content);
        let from = br#"{"_hec":{"host":"web"}}"#.to_vec();
        assert_eq!(told, Told { time: Some(1_769_860_800_250_000_000), host: Some("web".into()), from });
        let mut memory = Vec::new();
        let mut identity = |told: &Told, part: Option<&[u8]>| {
            told.identity(part.map(Canonical::trusted), &mut memory).map(|part| String::from_utf8(part.bytes().to_vec()).unwrap())
        };
        assert_eq!(identity(&told, Some(br#"{"user":"al"}"#)).as_deref(), Some(r#"{"_hec":{"host":"web"},"user":"al"}"#));
        assert_eq!(identity(&told, None).as_deref(), Some(r#"{"_hec":{"host":"web"}}"#));
        assert_eq!(identity(&Told::default(), Some(br#"{"user":"al"}"#)).as_deref(), Some(r#"{"user":"al"}"#));
        assert_eq!(identity(&Told::default(), None), None);
        assert_eq!(
            (seconds("1.5"), seconds("x"), seconds("1"), seconds("9999999999999")),
            (Some(1_500_000_000), None, Some(1_000_000_000), None)
        );
    }
}

//! String escapes, read and written.
//!
//! Written form (RFC 8785 §3.2.2.2): `\b \t \n \f \r \" \\`, other characters below U+0020 as `\u00` and two lower-case hex
//! digits, everything else as itself (so `/`, DEL and U+2028 are not escaped).

use std::borrow::Cow;

use super::scan;

/// Appends `s` as a JSON string in canonical form, quotes included.
///
/// # Cost
/// Clean stretches are copied whole; grows `out` at most once for text without escapes.
#[inline]
pub fn write_string(out: &mut Vec<u8>, s: &str) {
    out.reserve(s.len() + 2);
    out.push(b'"');
    write_escaped(out, s);
    out.push(b'"');
}

/// Whether `s` stands in a JSON string as it is.
#[inline]
pub(crate) fn is_plain(s: &str) -> bool {
    scan::plain_length(s.as_bytes()) == s.len()
}

/// Appends `s` escaped as inside a JSON string, without the quotes.
#[inline]
pub fn write_escaped(out: &mut Vec<u8>, s: &str) {
    let mut rest = s.as_bytes();
    loop {
        let (clean, tail) = split(rest, scan::plain_length(rest));
        out.extend_from_slice(clean);
        let Some((special, tail)) = tail.split_first() else {
            return;
        };
        out.extend_from_slice(escape_of(*special).unwrap_or_default().as_bytes());
        rest = tail;
    }
}

/// The text that `raw`, the inside of a valid JSON string, stands for. Borrowed when there is nothing to unescape.
///
/// It is total: what is no valid escape is kept as it stands, so text from a damaged file can still be shown.
#[must_use]
pub fn unescape(raw: &str) -> Cow<'_, str> {
    let Some((clean, _)) = raw.split_once('\\') else {
        return Cow::Borrowed(raw);
    };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut at = clean.len();
    loop {
        let (clean, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        text.push_str(clean);
        if tail.is_empty() {
            return Cow::Owned(text);
        }
        let length = match read_escape(tail.as_bytes(), 0) {
            Ok((character, length)) => {
                text.push(character);
                length
            }
            Err(_) => {
                text.push('\\');
                1
            }
        };
        rest = tail.get(length..).unwrap_or_default();
        at = rest.find('\\').unwrap_or(rest.len());
    }
}

/// Appends the text of `raw`, the inside of a string the parser accepted, as bytes.
pub(super) fn unescape_into(out: &mut Vec<u8>, raw: &[u8]) {
    let mut rest = raw;
    loop {
        let (clean, tail) = split(rest, scan::plain_end(rest, 0));
        out.extend_from_slice(clean);
        if tail.is_empty() {
            return;
        }
        let length = match read_escape(tail, 0) {
            Ok((character, length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
            Err(_) => {
                out.extend_from_slice(tail.get(..1).unwrap_or_default());
                1
            }
        };
        rest = split(tail, length).1;
    }
}

/// Appends `raw`, the inside of a string the parser accepted, with every escape in its canonical form.
pub(super) fn rewrite(out: &mut Vec<u8>, raw: &str) {
    let mut rest = raw.as_bytes();
    loop {
        let (clean, tail) = split(rest, scan::plain_end(rest, 0));
        out.extend_from_slice(clean);
        let Ok((character, length)) = read_escape(tail, 0) else {
            // The parser let no other escape through; `tail` is empty.
            out.extend_from_slice(tail);
            return;
        };
        write_escaped(out, character.encode_utf8(&mut [0; 4]));
        rest = split(tail, length).1;
    }
}

/// Whether `escape`, which stands for `character`, is how the canonical form writes it.
pub(super) fn is_canonical(escape: &[u8], character: char) -> bool {
    u8::try_from(character).ok().and_then(escape_of).is_some_and(|canonical| canonical.as_bytes() == escape)
}

/// Why a sequence that begins with a backslash is no escape. The offset is where it goes wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadEscape {
    /// The bytes end inside it.
    Cut,
    /// No such escape.
    Unknown(usize),
    /// Half a surrogate pair.
    Lone,
}

/// Reads the escape whose backslash is at `at`: the character and how many bytes spell it.
pub(super) fn read_escape(bytes: &[u8], at: usize) -> Result<(char, usize), BadEscape> {
    let character = match bytes.get(at + 1).ok_or(BadEscape::Cut)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return read_unicode_escape(bytes, at),
        _ => return Err(BadEscape::Unknown(at + 1)),
    };
    Ok((character, 2))
}

fn read_unicode_escape(bytes: &[u8], at: usize) -> Result<(char, usize), BadEscape> {
    let unit = read_hex4(bytes, at + 2)?;
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, 6));
    }
    if !(0xd800..0xdc00).contains(&unit) {
        return Err(BadEscape::Lone);
    }
    for (offset, expected) in [(6, b'\\'), (7, b'u')] {
        if *bytes.get(at + offset).ok_or(BadEscape::Cut)? != expected {
            return Err(BadEscape::Lone);
        }
    }
    let low = read_hex4(bytes, at + 8)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err(BadEscape::Lone);
    }
    let point = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(point).map(|character| (character, 12)).ok_or(BadEscape::Lone)
}

fn read_hex4(bytes: &[u8], at: usize) -> Result<u32, BadEscape> {
    (at..at + 4).try_fold(0, |unit, place| {
        let byte = *bytes.get(place).ok_or(BadEscape::Cut)?;
        let digit = char::from(byte).to_digit(16).ok_or(BadEscape::Unknown(place))?;
        Ok(unit << 4 | digit)
    })
}

/// The canonical escape of a byte that needs one.
fn escape_of(byte: u8) -> Option<&'static str> {
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        _ => CONTROL_ESCAPES.get(usize::from(byte)).copied(),
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

const CONTROL_ESCAPES: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t", "\\n", "\\u000b",
    "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
    "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

//! Values that a name declares secret: `password=…`, `"secret": "…"`, `--token …`, `Authorization: Bearer …`.

use std::ops::Range;

use super::{at, begins_word, run};
use crate::admit::redact::MASK;

/// How much a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Whatever follows is hidden.
    Sure,
    /// Prose uses the word too ("token: expired"): what follows must also look like a secret.
    Likely,
}

/// The value of the name that stands at `name`: behind `=`, `:`, `=>`, `:=` or, for a command's option, a space; within its
/// quotes if it has them, as plain or as escaped by the text around (`\"`).
pub(super) fn find_value(text: &[u8], name: Range<usize>, strength: Strength) -> Option<Range<usize>> {
    let separator = find_separator(text, &name)?;
    // `arn:aws:secretsmanager:eu-west-1:1:secret:name`: a word in a path of colons is no name.
    let between_colons =
        separator.tight && at(text, separator.from) == b':' && name.start > 0 && at(text, name.start - 1) == b':';
    let value = value_at(text, separator.to, separator.percent);
    let bytes = text.get(value.clone())?;
    let secret = match strength {
        Strength::Sure => {
            // sudo and shells write the working directory so.
            let directory = at(text, name.start).eq_ignore_ascii_case(&b'p') && name.len() == 3 && bytes.starts_with(b"/");
            !directory
        }
        Strength::Likely => {
            let digit = bytes.iter().any(u8::is_ascii_digit);
            let long =
                if separator.tight && at(text, separator.from) != b':' { bytes.len() >= 6 } else { digit && bytes.len() >= 8 };
            long && !between_colons && !bytes.starts_with(b"arn:")
        }
    };
    (secret && !is_placeholder(bytes)).then_some(value)
}

/// What follows `Authorization:`, without the scheme that says how to read it.
pub(super) fn find_authorization(text: &[u8], name: Range<usize>) -> Option<Range<usize>> {
    let separator = find_separator(text, &name)?;
    let value = value_at(text, separator.to, separator.percent);
    let scheme = text.get(value.clone())?;
    let spaces = run(text, value.end, |byte| byte == b' ', SPACES_MOST);
    let behind = value.end + spaces;
    if TOKEN_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes())) && spaces > 0 {
        let credentials = value_at(text, behind, separator.percent);
        return (!is_placeholder(text.get(credentials.clone())?)).then_some(credentials);
    }
    // Schemes with parameters: the rest of the line.
    if LINE_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes())) && spaces > 0 {
        return Some(behind..behind + run(text, behind, |byte| !matches!(byte, b'\r' | b'\n'), usize::MAX));
    }
    // Within quotes the scheme and the credentials came as one.
    if let Some(space) = scheme.iter().position(|byte| *byte == b' ') {
        let known = scheme.get(..space).is_some_and(|word| {
            TOKEN_SCHEMES.iter().chain(&LINE_SCHEMES).any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
        });
        return known.then_some(value.start + space + 1..value.end);
    }
    let digit = scheme.iter().any(u8::is_ascii_digit);
    (digit && scheme.len() >= 8 && !is_placeholder(scheme)).then_some(value)
}

/// A token behind `Bearer ` that stands by itself.
pub(super) fn find_bearer(text: &[u8], word: Range<usize>) -> Option<Range<usize>> {
    if !begins_word(text, word.start) {
        return None;
    }
    let length = run(text, word.end, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte), usize::MAX);
    let token = text.get(word.end..word.end + length)?;
    (length >= 16 && token.iter().any(u8::is_ascii_digit)).then_some(word.end..word.end + length)
}

/// Whether a member of details with this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    if name.len() > NAME_MOST {
        return false;
    }
    let mut plain = [0u8; NAME_MOST];
    let mut length = 0;
    for (slot, byte) in plain.iter_mut().zip(name.bytes().filter(|byte| !matches!(byte, b'_' | b'-'))) {
        *slot = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = plain.get(..length).unwrap_or_default();
    SECRET_NAMES.iter().any(|name| plain.ends_with(name.as_bytes()))
        || SECRET_NAMES_WHOLE.iter().any(|name| plain == name.as_bytes())
}

/// Whether `value` hides or denies a secret instead of being one.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    value.is_empty()
        || value == MASK.as_bytes()
        || value.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'[' | b'{' | b'('))
        || PLACEHOLDERS.iter().any(|known| value.eq_ignore_ascii_case(known.as_bytes()))
}

/// What stands between a name and its value.
struct Separator {
    from: usize,
    to: usize,
    /// No space around it.
    tight: bool,
    /// It was `%3D`, so the value ends at `%26`.
    percent: bool,
}

fn find_separator(text: &[u8], name: &Range<usize>) -> Option<Separator> {
    let mut from = name.end;
    // The end of a quoted or bracketed name: `"password":`, `\"password\":`, `user[password]=`.
    from += run(text, from, |byte| byte == b'\\', 4);
    from += run(text, from, |byte| matches!(byte, b'"' | b'\''), 1);
    from += run(text, from, |byte| byte == b']', 1);
    let spaces = run(text, from, |byte| matches!(byte, b' ' | b'\t'), SPACES_MOST);
    let sign = from + spaces;
    if text.get(sign..).is_some_and(|rest| rest.len() > 3 && rest.get(..3).is_some_and(|sign| sign.eq_ignore_ascii_case(b"%3d")))
    {
        return Some(Separator { from: sign, to: sign + 3, tight: spaces == 0, percent: true });
    }
    let signs = run(text, sign, |byte| matches!(byte, b'=' | b':'), 2);
    if signs > 0 {
        let to = sign + signs + run(text, sign + signs, |byte| byte == b'>', 1);
        let after = run(text, to, |byte| matches!(byte, b' ' | b'\t'), SPACES_MOST);
        return Some(Separator { from: sign, to: to + after, tight: spaces + after == 0, percent: false });
    }
    // `--password hunter2`, `-Token abc`: an option whose value is the next word.
    let option = spaces > 0 && from == name.end && is_option(text, name.start) && at(text, sign) != b'-';
    option.then_some(Separator { from, to: sign, tight: false, percent: false })
}

/// Whether the word that reaches `start` begins with a dash behind a space, a quote, a comma or nothing.
fn is_option(text: &[u8], start: usize) -> bool {
    let before = text.get(start.saturating_sub(OPTION_MOST)..start).unwrap_or_default();
    let word = before.iter().rev().take_while(|byte| super::is_base64url(**byte)).count();
    let first = start - word;
    at(text, first) == b'-' && (first == 0 || matches!(at(text, first - 1), b' ' | b'\t' | b'\n' | b'"' | b'\'' | b','))
}

/// The value that begins at `from`.
fn value_at(text: &[u8], from: usize, percent: bool) -> Range<usize> {
    let escapes = run(text, from, |byte| byte == b'\\', 4);
    let quote = at(text, from + escapes);
    if matches!(quote, b'"' | b'\'' | b'`') {
        let start = from + escapes + 1;
        if let Some(end) = closing_quote(text, start, quote, escapes) {
            return start..end;
        }
        return start..start + plain_value(text, start, percent);
    }
    from..from + plain_value(text, from, percent)
}

/// Where the quoted value ends. Quotes that text around it escapes end it; otherwise quotes it escapes itself do not.
fn closing_quote(text: &[u8], start: usize, quote: u8, escapes: usize) -> Option<usize> {
    let mut from = start;
    loop {
        let found = from + memchr::memchr(quote, text.get(from..)?)?;
        let inside = text.get(start..found)?;
        let before = inside.iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes > 0 && before <= escapes {
            return Some(found - before);
        }
        if escapes == 0 && before % 2 == 0 {
            return Some(found);
        }
        from = found + 1;
    }
}

fn plain_value(text: &[u8], from: usize, percent: bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let ends = |(index, byte): (usize, &u8)| match *byte {
        0..=b' ' | 0x7f | b'"' | b'\'' | b',' | b';' | b'&' | b'<' | b'>' | b')' | b']' | b'}' | b'`' | b'|' => true,
        // A line's end or a quote, as text inside of text writes it.
        b'\\' => matches!(at(rest, index + 1), b'n' | b'r' | b't' | b'"' | b'\''),
        b'%' if percent => at(rest, index + 1) == b'2' && at(rest, index + 2) == b'6',
        _ => false,
    };
    // A mask is no value's end, though it has a bracket.
    let mask = if rest.starts_with(MASK.as_bytes()) { MASK.len() } else { 0 };
    rest.iter().enumerate().skip(mask).find(|byte| ends(*byte)).map_or(rest.len(), |(index, _)| index)
}

/// Authorization schemes followed by one token.
const TOKEN_SCHEMES: [&str; 6] = ["bearer", "basic", "token", "negotiate", "apikey", "ntlm"];
/// Authorization schemes followed by parameters.
const LINE_SCHEMES: [&str; 3] = ["digest", "aws4-hmac-sha256", "hawk"];
const PLACEHOLDERS: [&str; 10] =
    ["[filtered]", "null", "none", "nil", "true", "false", "undefined", "(null)", "HIDDEN_DUE_TO_SECURITY_REASONS", "%s"];
/// Names that end so, without `_`, `-` and case. Each holds an anchor of the detector's table.
pub(super) const SECRET_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secretaccesskey",
    "secretkey",
    "privatekey",
    "clientsecret",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "securitytoken",
    "idtoken",
    "authtoken",
    "bearertoken",
    "personalaccesstoken",
];
/// Names that must be so as a whole.
pub(super) const SECRET_NAMES_WHOLE: [&str; 5] = ["pwd", "secret", "token", "authorization", "proxyauthorization"];
const NAME_MOST: usize = 128;
const OPTION_MOST: usize = 32;
const SPACES_MOST: usize = 8;

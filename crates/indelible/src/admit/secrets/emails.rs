//! E-mail addresses as people write them: ASCII, dotted domain, also with `%40` for `@` as in URLs.

use std::ops::Range;

use super::{at, run};

/// Whether there is an `@` at all.
pub(super) fn may_find(bytes: &[u8]) -> bool {
    memchr::memchr(b'@', bytes).is_some() || memchr::memmem::find(bytes, ENCODED).is_some()
}

/// Appends every address in `text`.
pub(super) fn find_all(text: &[u8], hits: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some((sign, behind)) = next_sign(text, from) {
        let earliest = hits.last().map_or(0, |hit| hit.end);
        let hit = address(text, earliest, sign, behind);
        from = hit.as_ref().map_or(behind, |hit| hit.end);
        hits.extend(hit);
    }
}

/// The next `@` or `%40`, and where it ends.
fn next_sign(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let found = from + memchr::memchr2(b'@', b'%', text.get(from..)?)?;
        if at(text, found) == b'@' {
            return Some((found, found + 1));
        }
        if text.get(found..)?.starts_with(ENCODED) {
            return Some((found, found + ENCODED.len()));
        }
        from = found + 1;
    }
}

fn address(text: &[u8], earliest: usize, sign: usize, behind: usize) -> Option<Range<usize>> {
    let before = text.get(earliest.max(sign.saturating_sub(LOCAL_MOST))..sign)?;
    let local = before.iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = sign - local;
    // What ends an escape (`\n`, `%3D`) is no part of the name, and a name begins with no dot.
    if start > 0 && at(text, start - 1) == b'\\' && matches!(at(text, start), b'n' | b'r' | b't') && local > 1 {
        start += 1;
    }
    start += run(text, start, |byte| matches!(byte, b'.' | b'\''), usize::MAX).min(sign - start);
    if start == sign {
        return None;
    }
    let domain = run(text, behind, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'), DOMAIN_MOST);
    let mut domain = text.get(behind..behind + domain)?;
    while let Some((b'.' | b'-', rest)) = domain.split_last() {
        domain = rest;
    }
    let dot = memchr::memrchr(b'.', domain)?;
    let (host, top) = (domain.get(..dot)?, domain.get(dot + 1..)?);
    let spelled = top.len() >= 2 && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"));
    // `package@1.2.tgz` and `image@2x.png` are files.
    let file = FILE_ENDINGS.iter().any(|ending| top.eq_ignore_ascii_case(ending.as_bytes()));
    // `chacha20-poly1305@openssh.com` names an algorithm (RFC 4251, section 6).
    let algorithm = ALGORITHM_DOMAINS.iter().any(|known| domain.eq_ignore_ascii_case(known.as_bytes()));
    let labels = host.split(|byte| *byte == b'.').all(|label| !label.is_empty());
    (spelled && !file && !algorithm && labels).then_some(start..behind + domain.len())
}

const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

const ENCODED: &[u8] = b"%40";
const LOCAL_MOST: usize = 64;
const DOMAIN_MOST: usize = 253;
const ALGORITHM_DOMAINS: [&str; 2] = ["openssh.com", "libssh.org"];
const FILE_ENDINGS: [&str; 16] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "tgz", "gz", "js", "ts", "css", "json", "yaml", "yml", "service", "socket"];

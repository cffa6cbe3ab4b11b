//! Finds secrets, card numbers and e-mail addresses in text.
//!
//! Each detector names the bytes to hide, as little of the text as will do: the value and not its name, the password and not
//! the URL. All work on bytes and look for ASCII only, so they are safe on any encoding and useful on those that contain
//! ASCII (UTF-8, Latin-1; not UTF-16 or EBCDIC). Every hit begins and ends between two characters of UTF-8 text.
//!
//! A detector errs towards hiding where a name says that a secret follows (`password: hunter2`), and towards keeping where
//! only the shape of a value speaks: tokens are known by prefix *and* alphabet *and* length, cards by issuer *and* length *and*
//! check digit, and neither may be part of a longer word. So UUIDs, hashes, ARNs and identifiers stay as they are.
//!
//! Invariants: no allocation but for hits; time linear in the text, whatever the text (each byte is looked at by at most a
//! constant number of attempts, or lies in a hit and is skipped).

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

mod assignments;
mod cards;
mod emails;
#[cfg(test)]
mod tests;

use assignments::Strength;

/// Something that is found wherever it stands in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detector {
    /// Credentials: AWS access key ids, tokens of GitHub, GitLab and Slack, Google and Stripe keys, JSON Web Tokens, PEM
    /// private keys, passwords in URLs (`://user:password@`), what follows `password=`, `secret:`, `--token`,
    /// `Authorization: Bearer` and their like, and members of details named so (`password`, `client_secret`, `apiKey`…).
    Secrets,
    /// Payment card numbers: 13 to 19 digits, also in groups, of a known issuer and with a right check digit; also as numbers.
    CardNumbers,
    /// E-mail addresses.
    Emails,
}

impl Detector {
    /// All of them, in the order of `index`.
    pub const ALL: [Self; 3] = [Self::Secrets, Self::CardNumbers, Self::Emails];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Secrets => 0,
            Self::CardNumbers => 1,
            Self::Emails => 2,
        }
    }

    /// Whether `bytes`, text or JSON that escapes only what it must, may hold anything this detector finds. One quick pass.
    pub(super) fn may_find(self, bytes: &[u8]) -> bool {
        match self {
            Self::Secrets => ANCHORS.is_match(bytes),
            Self::CardNumbers => cards::find(bytes, 0).is_some(),
            Self::Emails => emails::may_find(bytes),
        }
    }

    /// Appends what is found in `text`, left to right and without overlaps among themselves.
    pub(super) fn find(self, text: &[u8], hits: &mut Vec<Range<usize>>) {
        match self {
            Self::Secrets => find_secrets(text, hits),
            Self::CardNumbers => cards::find_all(text, hits),
            Self::Emails => emails::find_all(text, hits),
        }
    }
}

/// Whether a member of this name holds a secret as its value. `accessToken`, `access_token` and `Access-Token` are one name.
pub(super) fn is_secret_name(name: &str) -> bool {
    ANCHORS.is_match(name) && assignments::is_secret_name(name)
}

/// Whether a value under a secret's name is none: empty, `null`, `****`, masked already.
pub(super) fn is_placeholder(value: &str) -> bool {
    assignments::is_placeholder(value.as_bytes())
}

/// Whether the number written as `lexeme` is a card's.
pub(super) fn is_card_number(lexeme: &[u8]) -> bool {
    cards::find(lexeme, 0).is_some_and(|hit| hit.start == 0)
}

/// What a piece of text may be the beginning of.
#[derive(Clone, Copy)]
enum Anchor {
    /// A token: its exact prefix, its alphabet, and how many characters follow.
    Token { prefix: &'static str, alphabet: fn(u8) -> bool, least: usize, most: usize },
    /// `eyJ`: base64url of `{"`.
    Jwt,
    /// `-----BEGIN `
    Pem,
    /// `://`
    Url,
    /// A name whose value is a secret.
    Name(Strength),
    /// `authorization`
    Authorization,
    /// `bearer `
    Bearer,
}

const fn token(prefix: &'static str, alphabet: fn(u8) -> bool, least: usize, most: usize) -> (&'static str, Anchor) {
    (prefix, Anchor::Token { prefix, alphabet, least, most })
}

const fn name(name: &'static str, strength: Strength) -> (&'static str, Anchor) {
    (name, Anchor::Name(strength))
}

/// Found whatever their case; tokens then insist on theirs.
const TABLE: &[(&str, Anchor)] = &[
    token("AKIA", is_upper_or_digit, 16, 16),
    token("ASIA", is_upper_or_digit, 16, 16),
    token("ghp_", is_alphanumeric, 36, 255),
    token("gho_", is_alphanumeric, 36, 255),
    token("ghu_", is_alphanumeric, 36, 255),
    token("ghs_", is_alphanumeric, 36, 255),
    token("ghr_", is_alphanumeric, 36, 255),
    token("github_pat_", is_word, 22, 255),
    token("glpat-", is_base64url, 20, 255),
    token("xoxa-", is_dashed, 10, 255),
    token("xoxb-", is_dashed, 10, 255),
    token("xoxe-", is_dashed, 10, 255),
    token("xoxp-", is_dashed, 10, 255),
    token("xoxr-", is_dashed, 10, 255),
    token("xoxs-", is_dashed, 10, 255),
    token("xapp-", is_dashed, 10, 255),
    token("AIza", is_base64url, 35, 35),
    token("sk_live_", is_alphanumeric, 16, 255),
    token("rk_live_", is_alphanumeric, 16, 255),
    ("eyJ", Anchor::Jwt),
    ("-----BEGIN ", Anchor::Pem),
    ("://", Anchor::Url),
    name("password", Strength::Sure),
    name("passwd", Strength::Sure),
    name("passphrase", Strength::Sure),
    name("pwd", Strength::Sure),
    name("secret_access_key", Strength::Sure),
    name("secret-access-key", Strength::Sure),
    name("secretaccesskey", Strength::Sure),
    name("private_key", Strength::Sure),
    name("private-key", Strength::Sure),
    name("privatekey", Strength::Sure),
    name("secret", Strength::Likely),
    name("secret_key", Strength::Likely),
    name("secret-key", Strength::Likely),
    name("secretkey", Strength::Likely),
    name("token", Strength::Likely),
    name("api_key", Strength::Likely),
    name("api-key", Strength::Likely),
    name("apikey", Strength::Likely),
    name("access_key", Strength::Likely),
    name("access-key", Strength::Likely),
    name("accesskey", Strength::Likely),
    ("authorization", Anchor::Authorization),
    ("bearer ", Anchor::Bearer),
];

static ANCHORS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .build(TABLE.iter().map(|(text, _)| text))
        .expect("a table of constants compiles always or never, and a test says always")
});

fn find_secrets(text: &[u8], hits: &mut Vec<Range<usize>>) {
    let (mut covered, mut no_jwt_before) = (0, 0);
    // Overlapping matches, so that no name hides another: `secretoken=` is a token.
    for found in ANCHORS.find_overlapping_iter(text) {
        let Some((_, anchor)) = TABLE.get(found.pattern().as_usize()) else { continue };
        if found.start() < covered {
            continue;
        }
        let hit = match anchor {
            Anchor::Token { prefix, alphabet, least, most } => find_token(text, found.start(), prefix, *alphabet, *least..=*most),
            Anchor::Jwt if found.start() < no_jwt_before => None,
            Anchor::Jwt => {
                let (hit, looked) = find_jwt(text, found.start());
                no_jwt_before = looked;
                hit
            }
            Anchor::Pem => find_pem(text, found.start()),
            Anchor::Url => find_url_password(text, found.end()),
            Anchor::Name(strength) => assignments::find_value(text, found.range(), *strength),
            Anchor::Authorization => assignments::find_authorization(text, found.range()),
            Anchor::Bearer => assignments::find_bearer(text, found.range()),
        };
        if let Some(hit) = hit.filter(|hit| !hit.is_empty()) {
            covered = hit.end;
            // A name found later may begin earlier and reach over what is known already.
            match hits.last_mut() {
                Some(last) if hit.start < last.end => *last = last.start.min(hit.start)..last.end.max(hit.end),
                _ => hits.push(hit),
            }
        }
    }
}

fn find_token(
    text: &[u8],
    start: usize,
    prefix: &str,
    alphabet: fn(u8) -> bool,
    lengths: std::ops::RangeInclusive<usize>,
) -> Option<Range<usize>> {
    if !text.get(start..)?.starts_with(prefix.as_bytes()) || !begins_word(text, start) {
        return None;
    }
    let from = start + prefix.len();
    let length = run(text, from, alphabet, lengths.end() + 1);
    lengths.contains(&length).then_some(start..from + length)
}

/// Header and payload, and a signature that may be empty; then whatever more parts there are. Also how far no other can begin.
fn find_jwt(text: &[u8], start: usize) -> (Option<Range<usize>>, usize) {
    if !text.get(start..).unwrap_or_default().starts_with(b"eyJ") || !begins_word(text, start) {
        return (None, start);
    }
    let header = start + run(text, start, is_base64url, usize::MAX);
    if header - start < JWT_HEADER_LEAST || at(text, header) != b'.' {
        // Whatever else begins in this run ends with it and fails the same way.
        return (None, header);
    }
    let payload = header + 1 + run(text, header + 1, is_base64url, usize::MAX);
    if payload - header < JWT_PAYLOAD_LEAST || at(text, payload) != b'.' {
        return (None, header);
    }
    let rest = run(text, payload, |byte| is_base64url(byte) || byte == b'.', usize::MAX);
    (Some(start..payload + rest), payload + rest)
}

/// A private key with its armour; to the end of the text when the armour does not end.
fn find_pem(text: &[u8], start: usize) -> Option<Range<usize>> {
    let label_at = start + PEM_BEGIN.len();
    let label_end = label_at + run(text, label_at, |byte| is_upper_or_digit(byte) || byte == b' ', PEM_LABEL_MOST);
    let label = text.get(label_at..label_end)?;
    if !(label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK"))
        || !text.get(label_end..)?.starts_with(b"-----")
    {
        return None;
    }
    let end = memchr::memmem::find(text.get(label_end..)?, PEM_END).map(|end| label_end + end + PEM_END.len());
    let Some(end) = end else { return Some(start..text.len()) };
    let end = end + run(text, end, |byte| is_upper_or_digit(byte) || byte == b' ', PEM_LABEL_MOST);
    Some(start..end + run(text, end, |byte| byte == b'-', 5))
}

/// The password of `://user:password@host`.
fn find_url_password(text: &[u8], start: usize) -> Option<Range<usize>> {
    let ends = |byte: u8| byte <= b' ' || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`' | 0x7f);
    let authority = text.get(start..start + run(text, start, |byte| !ends(byte), AUTHORITY_MOST))?;
    // The last @: a password may hold one, a host may not.
    let user = authority.get(..memchr::memrchr(b'@', authority)?)?;
    let colon = memchr::memchr(b':', user)?;
    let password = user.get(colon + 1..)?;
    (!assignments::is_placeholder(password)).then_some(start + colon + 1..start + user.len())
}

/// The byte at `index`; behind the text a byte that belongs to nothing.
fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

/// How many bytes from `from` on are of `class`, counting to `most`.
fn run(text: &[u8], from: usize, class: impl Fn(u8) -> bool, most: usize) -> usize {
    text.get(from..).unwrap_or_default().iter().take(most).take_while(|byte| class(**byte)).count()
}

/// Whether no letter or digit stands before `start`. The end of an escape (`\n`, `%3D`), which text inside of text keeps, is none.
fn begins_word(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else { return true };
    let byte = at(text, before);
    if !byte.is_ascii_alphanumeric() {
        return true;
    }
    let earlier = |count: usize| before.checked_sub(count).map_or(0, |index| at(text, index));
    (matches!(byte, b'b' | b'f' | b'n' | b'r' | b't') && earlier(1) == b'\\')
        || (byte.is_ascii_hexdigit() && earlier(1).is_ascii_hexdigit() && earlier(2) == b'%')
}

const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

const fn is_upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn is_dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// `eyJhbGc…` of the smallest header that names an algorithm.
const JWT_HEADER_LEAST: usize = 10;
const JWT_PAYLOAD_LEAST: usize = 3;
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";
const PEM_LABEL_MOST: usize = 64;
/// User, password, host and port of a URL.
const AUTHORITY_MOST: usize = 1024;

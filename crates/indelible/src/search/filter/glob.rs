//! Patterns over text as it is stored: without unescaping it, without allocating.
//!
//! Text comes in two forms: plain UTF-8 (head, raw record), and the inside of a canonical JSON string. Canonical form writes each
//! character in exactly one way, so a literal is escaped once, when the pattern is compiled, and then compared byte for byte.
//! What is found in the middle of escaped text counts only if it begins where a character begins: the `n` of the escape `\n` is no
//! letter. Everything here is total: bytes that are no UTF-8 or end inside an escape are characters of one byte.

use indelible_format::json;
use memchr::{memchr2_iter, memmem};

use super::{Pattern, Piece};

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// As the inside of a canonical JSON string.
    Escaped,
}

/// A pattern ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// What stands between the `*`s.
    runs: Vec<Run>,
    /// The first run begins where the text does.
    from_start: bool,
    /// The last run ends where the text does.
    to_end: bool,
}

/// Literals and `?`s in a row.
#[derive(Debug, Clone, Default)]
struct Run(Vec<Unit>);

#[derive(Debug, Clone)]
enum Unit {
    Literal(Box<Literal>),
    One,
}

#[derive(Debug, Clone)]
struct Literal {
    plain: Needle,
    escaped: Needle,
}

impl Glob {
    /// The whole text must fit, case included.
    pub(crate) fn exact(pattern: &Pattern) -> Self {
        let pieces = pattern.pieces();
        Self {
            from_start: pieces.first() != Some(&Piece::Any),
            to_end: pieces.last() != Some(&Piece::Any),
            runs: runs(pieces, Needle::exact),
        }
    }

    /// Some stretch of the text must fit, in any case.
    pub(crate) fn within(pattern: &Pattern) -> Self {
        Self { runs: runs(pattern.pieces(), Needle::folded), from_start: false, to_end: false }
    }

    /// The one text that fits, if there is only one.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        let [Run(units)] = self.runs.as_slice() else { return None };
        match units.as_slice() {
            [Unit::Literal(literal)] if self.from_start && self.to_end => match &literal.plain {
                Needle { search: Search::Exact(_), bytes } => Some(bytes),
                Needle { .. } => None,
            },
            _ => None,
        }
    }

    /// Whether `text` fits.
    #[inline]
    pub(crate) fn matches(&self, text: &[u8], form: Form) -> bool {
        let mut runs = self.runs.as_slice();
        let mut at = 0;
        if self.from_start {
            let Some((first, rest)) = runs.split_first() else { return text.is_empty() };
            let Some(end) = first.end_at(text, 0, form) else { return false };
            if self.to_end && rest.is_empty() {
                return end == text.len();
            }
            (runs, at) = (rest, end);
        }
        let last = if self.to_end { runs.split_last() } else { None };
        let middle = last.map_or(runs, |(_, middle)| middle);
        // Leftmost is enough: what fits behind a later place fits behind an earlier one.
        for run in middle {
            let Some(end) = run.find(text, at, form) else { return false };
            at = end;
        }
        last.is_none_or(|(run, _)| run.ends(text, at, form))
    }

    /// False only if no string inside the canonical JSON `json` can fit. One pass at memory speed per literal.
    pub(crate) fn may_occur(&self, json: &[u8]) -> bool {
        self.runs.iter().flat_map(|run| &run.0).all(|unit| match unit {
            Unit::Literal(literal) => literal.escaped.find(json, 0).is_some(),
            Unit::One => true,
        })
    }
}

fn runs(pieces: &[Piece], needle: fn(&[u8]) -> Needle) -> Vec<Run> {
    if pieces.is_empty() {
        return Vec::new();
    }
    let runs = pieces.split(|piece| *piece == Piece::Any).filter(|run| !run.is_empty());
    runs.map(|run| Run(run.iter().map(|piece| unit(piece, needle)).collect())).collect()
}

fn unit(piece: &Piece, needle: fn(&[u8]) -> Needle) -> Unit {
    match piece {
        Piece::Literal(text) => {
            let mut escaped = Vec::new();
            json::write_escaped(&mut escaped, text);
            Unit::Literal(Box::new(Literal { plain: needle(text.as_bytes()), escaped: needle(&escaped) }))
        }
        Piece::One | Piece::Any => Unit::One,
    }
}

impl Literal {
    const fn needle(&self, form: Form) -> &Needle {
        match form {
            Form::Plain => &self.plain,
            Form::Escaped => &self.escaped,
        }
    }
}

impl Run {
    /// Where it ends if it begins at `at`.
    #[inline]
    fn end_at(&self, text: &[u8], mut at: usize, form: Form) -> Option<usize> {
        for unit in &self.0 {
            at = match unit {
                Unit::Literal(literal) => literal.needle(form).end_at(text, at)?,
                Unit::One if at < text.len() => at + character_bytes(text, at, form),
                Unit::One => return None,
            };
        }
        Some(at)
    }

    /// Where it ends if it begins at the first possible place from `at` on.
    fn find(&self, text: &[u8], mut at: usize, form: Form) -> Option<usize> {
        if let Some(Unit::Literal(first)) = self.0.first() {
            let needle = first.needle(form);
            loop {
                let start = needle.find(text, at)?;
                if (form == Form::Plain || begins_character(text, start))
                    && let Some(end) = self.end_at(text, start, form)
                {
                    return Some(end);
                }
                at = start + 1;
            }
        }
        while at < text.len() {
            if let Some(end) = self.end_at(text, at, form) {
                return Some(end);
            }
            at += character_bytes(text, at, form);
        }
        None
    }

    /// Whether it can begin at or behind `at` and end with the text.
    fn ends(&self, text: &[u8], mut at: usize, form: Form) -> bool {
        if let [Unit::Literal(only)] = self.0.as_slice()
            && let Needle { search: Search::Exact(_), bytes } = only.needle(form)
        {
            let Some(start) = text.len().checked_sub(bytes.len()) else { return false };
            return start >= at && text.ends_with(bytes) && (form == Form::Plain || begins_character(text, start));
        }
        while at < text.len() {
            if self.end_at(text, at, form) == Some(text.len()) {
                return true;
            }
            at += character_bytes(text, at, form);
        }
        false
    }
}

/// A literal in one form, and how to look for it.
#[derive(Debug, Clone)]
struct Needle {
    /// In lower case if case is ignored.
    bytes: Box<[u8]>,
    search: Search,
}

#[derive(Debug, Clone)]
enum Search {
    /// Case included.
    Exact(Box<memmem::Finder<'static>>),
    /// ASCII, case ignored: look for its least common byte in both cases, then compare.
    Ascii { place: usize, lower: u8, upper: u8 },
    /// Case ignored, with characters beyond ASCII: compared character by character.
    Unicode,
}

impl Needle {
    fn exact(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), search: Search::Exact(Box::new(memmem::Finder::new(bytes).into_owned())) }
    }

    fn folded(bytes: &[u8]) -> Self {
        if !bytes.is_ascii() {
            let text: String = String::from_utf8_lossy(bytes).chars().map(fold).collect();
            return Self { bytes: text.into_bytes().into(), search: Search::Unicode };
        }
        let bytes = bytes.to_ascii_lowercase();
        let (place, lower) = bytes.iter().copied().enumerate().min_by_key(|(_, byte)| commonness(*byte)).unwrap_or((0, b' '));
        Self { bytes: bytes.into(), search: Search::Ascii { place, lower, upper: lower.to_ascii_uppercase() } }
    }

    /// Where it ends if it stands at `at`.
    #[inline]
    fn end_at(&self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self.search {
            Search::Exact(_) => rest.starts_with(&self.bytes).then_some(at + self.bytes.len()),
            Search::Ascii { .. } => {
                rest.get(..self.bytes.len())?.eq_ignore_ascii_case(&self.bytes).then_some(at + self.bytes.len())
            }
            Search::Unicode => {
                let mut end = at;
                let wanted = std::str::from_utf8(&self.bytes).ok()?;
                for character in wanted.chars() {
                    let (found, length) = character_at(text, end)?;
                    if fold(found) != character {
                        return None;
                    }
                    end += length;
                }
                Some(end)
            }
        }
    }

    /// Where it first stands from `from` on.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        match &self.search {
            Search::Exact(finder) => finder.find(rest).map(|place| from + place),
            Search::Ascii { place, lower, upper } => {
                let candidates = memchr2_iter(*lower, *upper, rest.get(*place..)?);
                candidates.map(|candidate| from + candidate).find(|start| self.end_at(text, *start).is_some())
            }
            Search::Unicode => (from..text.len()).find(|start| self.end_at(text, *start).is_some()),
        }
    }
}

/// Lower case, one character for one. ASCII and the rest stay apart (the Kelvin sign is no `k`), so that ASCII can be compared as bytes.
pub(super) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) if !lower.is_ascii() => lower,
        _ => character,
    }
}

/// A rough order of how often bytes stand in JSON and logs, rarest first.
const fn commonness(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 4,
        b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'/' | b',' | b' ' | b'l' | b'c' | b'd' | b'u' => 3,
        b'm' | b'p' | b'g' | b'h' | b'f' | b'y' | b'b' => 2,
        b'a'..=b'z' => 1,
        _ => 0,
    }
}

/// The character at `at`, if valid UTF-8 stands there.
fn character_at(text: &[u8], at: usize) -> Option<(char, usize)> {
    let length = utf8_bytes(*text.get(at)?);
    let character = std::str::from_utf8(text.get(at..at + length)?).ok()?.chars().next()?;
    Some((character, length))
}

/// Bytes of the character at `at`, which lies inside `text`; never past its end.
fn character_bytes(text: &[u8], at: usize, form: Form) -> usize {
    let bytes = match (form, text.get(at), text.get(at + 1)) {
        (Form::Escaped, Some(b'\\'), Some(b'u')) => 6,
        (Form::Escaped, Some(b'\\'), _) => 2,
        (_, Some(byte), _) if byte.is_ascii() => 1,
        _ => character_at(text, at).map_or(1, |(_, length)| length),
    };
    bytes.min(text.len().saturating_sub(at)).max(1)
}

const fn utf8_bytes(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        _ => 1,
    }
}

/// Whether a character of the escaped `text` begins at `at`, or `at` is inside an escape.
fn begins_character(text: &[u8], at: usize) -> bool {
    let backslashes = |end: usize| text.get(..end).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'\\').count();
    if backslashes(at) % 2 == 1 {
        return false;
    }
    // Inside the four digits of \u001f: its backslash stands two to five bytes before.
    !(2..=5).any(|back| {
        at.checked_sub(back).is_some_and(|start| text.get(start..start + 2) == Some(b"\\u") && backslashes(start) % 2 == 0)
    })
}

#[cfg(test)]
mod tests {
    //! Patterns over stored bytes find what a plain reading of the text finds.

    use super::super::tests::fits;
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        json::write_escaped(&mut out, text);
        out
    }

    #[test]
    fn letters_of_escapes_are_no_text() {
        for (pattern, text, expected) in [
            ("n", "\n", false),
            ("*n", "\n", false),
            ("*n*", "a\nb", false),
            ("*n*", "a\\nb", true),
            ("*1f", "\u{1f}", false),
            ("*0*", "\u{1f}", false),
            ("*u*", "\u{1f}", false),
            ("?", "\u{1f}", true),
            ("??", "\u{1f}", false),
            ("?\\\\", "\n\\", true),
            ("*\\\\", "a\\", true),
            ("C:\\\\*\\\\cmd.exe", "C:\\Windows\\System32\\cmd.exe", true),
            ("*\\\\n*", "x\\\ny", false),
            ("*\\\\n*", "x\\\\ny", true),
        ] {
            let glob = Glob::exact(&Pattern::wild(pattern));
            assert_eq!(glob.matches(&escaped(text), Form::Escaped), expected, "{pattern} in {text:?} escaped");
            assert_eq!(glob.matches(text.as_bytes(), Form::Plain), expected, "{pattern} in {text:?} plain");
        }
    }

    #[test]
    fn case_is_ignored_within_text_only() {
        let within = |pattern: &str, text: &str| Glob::within(&Pattern::wild(pattern)).matches(text.as_bytes(), Form::Plain);
        assert!(within("ADMIN", "domain-admins"));
        assert!(within("müller", "Herr MÜLLER"));
        assert!(within("mi?i*z", "xMimikaTz"));
        assert!(within("ß", "STRAẞE"));
        assert!(!within("k", "\u{212a}"));
        assert!(!within("admin", "adm in"));
        assert!(!Glob::exact(&Pattern::literal("Alice")).matches(b"alice", Form::Plain));
    }

    #[test]
    fn bytes_that_are_no_text_are_searched_all_the_same() {
        assert!(Glob::within(&Pattern::literal("abc")).matches(b"\xff\xfeABC\x80", Form::Plain));
        assert!(Glob::within(&Pattern::literal("é")).matches(b"\xff\xc3\xc3\xa9", Form::Plain));
        assert!(Glob::exact(&Pattern::wild("?a?")).matches(b"\xffa\xc3", Form::Plain));
    }

    proptest! {
        #[test]
        fn globs_agree_with_backtracking(pattern in "[ab\\\\n\u{1f}\né*?]{0,7}", text in "[ab\\\\n1u\u{1f}\né🦀]{0,9}") {
            let pattern = Pattern::wild(&pattern);
            let characters: Vec<char> = text.chars().collect();
            let expected = fits(pattern.pieces(), &characters);
            let glob = Glob::exact(&pattern);
            prop_assert_eq!(glob.matches(text.as_bytes(), Form::Plain), expected);
            prop_assert_eq!(glob.matches(&escaped(&text), Form::Escaped), expected);
            prop_assert!(!expected || glob.may_occur(&escaped(&text)));
        }

        #[test]
        fn stretches_agree_with_backtracking(pattern in "[aBn\\\\\nÉé*?]{0,6}", text in "[AbnN\\\\u1\u{1f}\nÉé]{0,9}") {
            let pattern = Pattern::wild(&pattern);
            let folded = |text: &str| text.chars().map(fold).collect::<Vec<char>>();
            let mut pieces = vec![Piece::Any];
            pieces.extend(pattern.pieces().iter().map(|piece| match piece {
                Piece::Literal(text) => Piece::Literal(folded(text).into_iter().collect()),
                other => other.clone(),
            }));
            pieces.push(Piece::Any);
            let expected = fits(&pieces, &folded(&text));
            let glob = Glob::within(&pattern);
            prop_assert_eq!(glob.matches(text.as_bytes(), Form::Plain), expected);
            prop_assert_eq!(glob.matches(&escaped(&text), Form::Escaped), expected);
            prop_assert!(!expected || glob.may_occur(&escaped(&text)));
        }

        #[test]
        fn any_bytes_are_survived(pattern in "[a\\\\u0é*?\n]{0,6}", text in prop::collection::vec(prop::sample::select(b"a\\u0\"\n\xc3\xa9\xff\xf0".to_vec()), 0..12)) {
            for form in [Form::Plain, Form::Escaped] {
                Glob::exact(&Pattern::wild(&pattern)).matches(&text, form);
                Glob::within(&Pattern::wild(&pattern)).matches(&text, form);
            }
        }
    }
}

//! Paths into canonical JSON: `details.a.*.b`, followed without a tape and without allocating.
//!
//! Arrays are looked through: a step into an array is a step into each of its elements. A key that contains dots is also found by
//! the plain path (`details.http.method` finds `{"http":{"method":…}}` and `{"http.method":…}`). Bytes that are not canonical JSON
//! end the walk where they are noticed; recursion is bounded whatever the nesting.

use indelible_format::json::{self, Kind, walk};
use indelible_format::limits;
use memchr::memmem;

use super::fields::Step;

/// Levels a walk goes down; a group has no more.
const LEVELS_MAX: usize = limits::DEPTH_MAX + 2;

/// A path ready to follow.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    steps: Vec<Hop>,
    /// Finds the longest key, which must stand in any JSON that has the path.
    rarest: Option<Box<memmem::Finder<'static>>>,
}

#[derive(Debug, Clone)]
enum Hop {
    /// This key, escaped as canonical JSON escapes it.
    Key(Box<[u8]>),
    Any,
}

impl Path {
    pub(crate) fn new(steps: &[Step]) -> Self {
        let steps: Vec<Hop> = steps
            .iter()
            .map(|step| match step {
                Step::Any => Hop::Any,
                Step::Key(key) => {
                    let mut escaped = Vec::new();
                    json::write_escaped(&mut escaped, key);
                    Hop::Key(escaped.into())
                }
            })
            .collect();
        let keys = steps.iter().filter_map(|hop| if let Hop::Key(key) = hop { Some(key) } else { None });
        let longest = keys.max_by_key(|key| key.len()).filter(|key| !key.is_empty());
        let rarest = longest.map(|key| Box::new(memmem::Finder::new(&**key).into_owned()));
        Self { steps, rarest }
    }

    /// False only if `json` has no such path. One pass at memory speed.
    pub(crate) fn may_occur(&self, json: &[u8]) -> bool {
        self.rarest.as_ref().is_none_or(|finder| finder.find(json).is_some())
    }

    /// Whether anything stands at the end of the path, null and empty arrays included.
    pub(crate) fn exists(&self, json: &[u8]) -> bool {
        Walk { json, into_arrays: false, found: false, visit: &mut |_, _| true }.run(&self.steps)
    }

    /// Shows `visit` every value at the end of the path, the elements of arrays one by one, until it says true. Strings come
    /// without their quotes, still escaped. Returns whether it did.
    pub(crate) fn find<'b>(&self, json: &'b [u8], visit: &mut dyn FnMut(Kind, &'b [u8]) -> bool) -> bool {
        Walk { json, into_arrays: true, found: false, visit }.run(&self.steps)
    }
}

/// One pass from the front: what is on the path is entered, what is not is skipped, nothing is read twice.
struct Walk<'b, 'v> {
    json: &'b [u8],
    into_arrays: bool,
    found: bool,
    visit: &'v mut dyn FnMut(Kind, &'b [u8]) -> bool,
}

impl Walk<'_, '_> {
    fn run(mut self, steps: &[Hop]) -> bool {
        self.value(0, steps, 0);
        self.found
    }

    /// Where the value at `at` ends; `None` ends the walk, because the answer is known or because this is not canonical JSON.
    fn value(&mut self, at: usize, steps: &[Hop], level: usize) -> Option<usize> {
        if level > LEVELS_MAX {
            return None;
        }
        match self.json.get(at)? {
            b'[' if self.into_arrays || !steps.is_empty() => self.items(at, b']', |walk, at| walk.value(at, steps, level + 1)),
            b'{' if !steps.is_empty() => self.items(at, b'}', |walk, at| walk.member(at, steps, level)),
            _ => self.leaf(at, steps.is_empty()),
        }
    }

    /// Goes through what stands between the bracket at `at` and the one that closes it.
    fn items(&mut self, at: usize, close: u8, mut item: impl FnMut(&mut Self, usize) -> Option<usize>) -> Option<usize> {
        let mut at = at + 1;
        if *self.json.get(at)? == close {
            return Some(at + 1);
        }
        loop {
            at = item(self, at)?;
            match *self.json.get(at)? {
                b',' => at += 1,
                byte if byte == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn member(&mut self, at: usize, steps: &[Hop], level: usize) -> Option<usize> {
        let (end, Kind::String) = walk::skip_value(self.json, at).ok()? else { return None };
        let key = self.json.get(at + 1..end.saturating_sub(1))?;
        if self.json.get(end) != Some(&b':') {
            return None;
        }
        match behind(key, steps) {
            Some(rest) => self.value(end + 1, rest, level + 1),
            None => self.leaf(end + 1, false),
        }
    }

    /// Steps over the value at `at`, shown if it is the end of the path.
    fn leaf(&mut self, at: usize, shown: bool) -> Option<usize> {
        let (end, kind) = walk::skip_value(self.json, at).ok()?;
        if shown {
            let inside = if kind == Kind::String { at + 1..end.saturating_sub(1) } else { at..end };
            self.found = (self.visit)(kind, self.json.get(inside)?);
        }
        if self.found { None } else { Some(end) }
    }
}

/// The steps that are left behind a member of this key; `None` if the key is not on the path.
fn behind<'s>(key: &[u8], steps: &'s [Hop]) -> Option<&'s [Hop]> {
    let (first, mut rest) = steps.split_first()?;
    let Hop::Key(wanted) = first else { return Some(rest) };
    let mut key = key.strip_prefix(&**wanted)?;
    while !key.is_empty() {
        let (Hop::Key(wanted), later) = rest.split_first()? else { return None };
        key = key.strip_prefix(b".")?.strip_prefix(&**wanted)?;
        rest = later;
    }
    Some(rest)
}

/// Shows `visit` every string (without its quotes, still escaped) and every number in canonical `json` until it says true; keys are
/// left out. Returns whether it did.
pub(crate) fn any_text<'b>(json: &'b [u8], visit: &mut dyn FnMut(Kind, &'b [u8]) -> bool) -> bool {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        if !matches!(byte, b'"' | b'-' | b'0'..=b'9') {
            at += 1;
            continue;
        }
        let Ok((end, kind)) = walk::skip_value(json, at) else { return false };
        // In canonical form a colon right behind a string makes it a key.
        let key = json.get(end) == Some(&b':');
        let inside = if kind == Kind::String { at + 1..end.saturating_sub(1) } else { at..end };
        if !key && json.get(inside).is_some_and(|text| visit(kind, text)) {
            return true;
        }
        at = end.max(at + 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &[Step], json: &str) -> Vec<String> {
        let mut values = Vec::new();
        Path::new(path).find(json.as_bytes(), &mut |_, text| {
            values.push(String::from_utf8_lossy(text).into_owned());
            false
        });
        values
    }

    fn steps(path: &str) -> Vec<Step> {
        path.split('.').map(|key| if key == "*" { Step::Any } else { Step::Key(key.to_owned()) }).collect()
    }

    #[test]
    fn paths_look_through_arrays_and_dotted_keys() {
        let json = r#"{"a":[{"b":1},{"b":[2,[3]]},4],"a.b":5,"c":{"d.e":{"f":"x\ny"}},"empty":[],"null":null}"#;
        assert_eq!(found(&steps("a.b"), json), ["1", "2", "3", "5"]);
        assert_eq!(found(&steps("c.d.e.f"), json), ["x\\ny"]);
        assert_eq!(found(&steps("c.*.f"), json), ["x\\ny"]);
        assert_eq!(found(&steps("*.d.e.f"), json), ["x\\ny"]);
        assert_eq!(found(&[Step::Key("a.b".to_owned())], json), ["5"]);
        assert_eq!(found(&steps("c"), json), [r#"{"d.e":{"f":"x\ny"}}"#]);
        assert_eq!(found(&steps("a.b.c"), json), Vec::<String>::new());
        assert_eq!(found(&[], "[1,\"two\"]"), ["1", "two"]);
    }

    #[test]
    fn a_path_exists_even_if_nothing_is_in_it() {
        let json = br#"{"empty":[],"null":null,"deep":[[{"x":{}}]]}"#;
        for (path, expected) in
            [("empty", true), ("null", true), ("deep.x", true), ("deep.y", false), ("x", false), ("empty.x", false)]
        {
            assert_eq!(Path::new(&steps(path)).exists(json), expected, "{path}");
        }
        assert!(Path::new(&[]).exists(b"null"));
        assert!(!Path::new(&[]).exists(b""));
    }

    #[test]
    fn texts_are_strings_and_numbers_but_not_keys() {
        let mut texts = Vec::new();
        any_text(br#"{"key":"va:l","n":-1.5e3,"list":["a\"b",true,null,7],"o":{"k":""}}"#, &mut |_, text| {
            texts.push(String::from_utf8_lossy(text).into_owned());
            false
        });
        assert_eq!(texts, ["va:l", "-1.5e3", "a\\\"b", "7", ""]);
    }

    #[test]
    fn nesting_deeper_than_any_event_ends_the_walk() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(found(&[], &deep).is_empty());
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert!(found(&vec![Step::Key("a".to_owned()); 4000], &deep).is_empty());
    }
}

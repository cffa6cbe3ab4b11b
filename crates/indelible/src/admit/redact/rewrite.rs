//! One pass over a draft: finds what the rules fit and lays down what takes its place.
//!
//! JSON is rewritten from front to back into the scratch; if nothing changed it is cut off again and the draft keeps its own.
//! States of path rules lie on one stack, each level above its parent's.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use indelible_format::draft::{Canonical, Raw, Value};
use indelible_format::json::{self, Kind, walk};
use indelible_format::{Draft, limits};

use super::path::Place;
use super::{MASK, Redact, RedactError, RedactScratch, Redaction, RedactionCount};
use crate::admit::secrets::{self, Detector};

/// Where in the draft something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Fixed(Place),
    Target(usize, Place),
    IdentityDetails,
    Details,
    Pair(usize),
    PairKey(usize),
    Raw,
}

/// What takes its place, as ranges of the scratch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum New {
    Nothing,
    Text(Range<usize>),
    Json(Range<usize>),
}

#[derive(Debug)]
pub(super) struct Edit {
    pub(super) spot: Spot,
    pub(super) new: New,
}

/// A part of a text to replace.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    range: Range<usize>,
    how: Redact,
}

pub(super) struct Pass<'p> {
    rules: &'p Redaction,
    scratch: &'p mut RedactScratch,
    count: RedactionCount,
}

/// One JSON value on its way.
#[derive(Clone, Copy)]
struct Source<'j> {
    field: &'static str,
    bytes: &'j [u8],
    /// Whether detectors may find anything in it.
    detect: bool,
}

/// What became of a member.
#[derive(PartialEq, Eq)]
enum Became {
    Itself,
    Other,
    Nothing,
}

impl<'p> Pass<'p> {
    pub(super) fn new(rules: &'p Redaction, scratch: &'p mut RedactScratch) -> Self {
        Self { rules, scratch, count: RedactionCount::default() }
    }

    pub(super) const fn count(&self) -> RedactionCount {
        self.count
    }

    /// Actor, session, origin, targets.
    pub(super) fn texts(&mut self, draft: &Draft<'_>) -> Result<(), RedactError> {
        for (place, text) in Place::texts(draft) {
            if let Some(text) = text {
                self.member(Spot::Fixed(place), place, text)?;
            }
        }
        for (nth, target) in draft.targets.iter().enumerate() {
            for (place, text) in Place::TARGET.into_iter().zip([target.id, target.kind, target.name]) {
                if let Some(text) = text {
                    self.member(Spot::Target(nth, place), place, text)?;
                }
            }
        }
        Ok(())
    }

    fn member(&mut self, spot: Spot, place: Place, text: &str) -> Result<(), RedactError> {
        let new = match self.fixed(place) {
            Some(how) => {
                self.count.paths += 1;
                self.replacement(how, text.as_bytes())?
            }
            None => match self.detect(text)? {
                Some(text) => New::Text(self.lay(&text)),
                None => return Ok(()),
            },
        };
        self.scratch.edits.push(Edit { spot, new });
        Ok(())
    }

    fn fixed(&self, place: Place) -> Option<Redact> {
        self.rules.fixed.get(place.index()).copied().flatten()
    }

    /// What takes the place of a whole value.
    fn replacement(&mut self, how: Redact, value: &[u8]) -> Result<New, RedactError> {
        let from = self.scratch.text.len();
        match how {
            Redact::Remove => return Ok(New::Nothing),
            Redact::Mask => self.scratch.text.push_str(MASK),
            Redact::Pseudonym => self.rules.write_pseudonym(value, &mut self.scratch.text)?,
        }
        Ok(New::Text(from..self.scratch.text.len()))
    }

    fn lay(&mut self, text: &str) -> Range<usize> {
        let from = self.scratch.text.len();
        self.scratch.text.push_str(text);
        from..self.scratch.text.len()
    }

    /// A foreign record goes as a whole.
    pub(super) fn raw(&mut self, raw: &Raw<'_>) -> Result<(), RedactError> {
        let how = match self.fixed(Place::Raw) {
            Some(how) => {
                self.count.paths += 1;
                how
            }
            None => {
                self.collect(raw.bytes);
                match self.scratch.hits.iter().map(|hit| hit.how).max() {
                    Some(how) => how,
                    None => return Ok(()),
                }
            }
        };
        let new = self.replacement(how, raw.bytes)?;
        self.scratch.edits.push(Edit { spot: Spot::Raw, new });
        Ok(())
    }

    pub(super) fn pairs(&mut self, pairs: &[(&str, Value<'_>)]) -> Result<(), RedactError> {
        if pairs.is_empty() {
            return Ok(());
        }
        self.scratch.states.clear();
        if let Some(how) = self.rules.details.start(&mut self.scratch.states) {
            return self.whole_pairs(pairs, how);
        }
        let level = self.scratch.states.len();
        let mut names = Names::default();
        for (nth, (key, value)) in pairs.iter().enumerate() {
            self.scratch.states.truncate(level);
            if let Some(how) = self.rules.details.step(&mut self.scratch.states, 0, level, key) {
                self.whole_pair(nth, value, how)?;
            } else if let Some(how) = self.named_secret(key, value) {
                self.count.secrets += 1;
                let new = match value {
                    Value::Text(text) => self.replacement(how, text.as_bytes())?,
                    number => self.replacement(how, lexeme(number).as_bytes())?,
                };
                self.scratch.edits.push(Edit { spot: Spot::Pair(nth), new });
            } else {
                self.pair_value(nth, value, level)?;
            }
            if let Some(text) = self.detect(key)? {
                let keys = || pairs.iter().map(|(key, _)| (*key).to_owned()).collect();
                let range = self.lay(&names.unique(text, keys));
                self.scratch.edits.push(Edit { spot: Spot::PairKey(nth), new: New::Text(range) });
            }
        }
        Ok(())
    }

    /// All of `details`. Pseudonyms are made of each value, since pairs have no text of their own.
    fn whole_pairs(&mut self, pairs: &[(&str, Value<'_>)], how: Redact) -> Result<(), RedactError> {
        if how == Redact::Pseudonym {
            return pairs.iter().enumerate().try_for_each(|(nth, (_, value))| self.whole_pair(nth, value, how));
        }
        self.count.paths += 1;
        self.whole_json(Spot::Details, how, b"")
    }

    /// One JSON string, or nothing, in place of all the JSON at `spot`.
    fn whole_json(&mut self, spot: Spot, how: Redact, value: &[u8]) -> Result<(), RedactError> {
        let from = self.scratch.json.len();
        let new = match self.put(how, value, &mut false)? {
            Became::Nothing => New::Nothing,
            _ => New::Json(from..self.scratch.json.len()),
        };
        self.scratch.edits.push(Edit { spot, new });
        Ok(())
    }

    /// A pair that a rule fits.
    fn whole_pair(&mut self, nth: usize, value: &Value<'_>, how: Redact) -> Result<(), RedactError> {
        let null = match value {
            Value::Json(json) => json.bytes() == b"null",
            value => matches!(value, Value::Null),
        };
        if null && how != Redact::Remove {
            return Ok(());
        }
        self.count.paths += 1;
        let new = match value {
            Value::Text(text) => self.replacement(how, text.as_bytes())?,
            Value::Json(json) => {
                let text = json_text(json.bytes()).ok_or(RedactError::Malformed { field: "details", offset: 0 })?;
                self.replacement(how, text.as_bytes())?
            }
            other => self.replacement(how, lexeme(other).as_bytes())?,
        };
        self.scratch.edits.push(Edit { spot: Spot::Pair(nth), new });
        Ok(())
    }

    /// How a pair is redacted whose name says that it is a secret.
    fn named_secret(&self, key: &str, value: &Value<'_>) -> Option<Redact> {
        let how = self.detector(Detector::Secrets)?;
        let secret = match value {
            Value::Text(text) => !secrets::is_placeholder(text),
            Value::Signed(_) | Value::Unsigned(_) | Value::Float(_) => true,
            Value::Json(json) => match json_text(json.bytes()) {
                Some(text) => {
                    !matches!(json.bytes().first(), Some(b'{' | b'[' | b'n' | b't' | b'f')) && !secrets::is_placeholder(&text)
                }
                None => false,
            },
            Value::Bool(_) | Value::Null => false,
        };
        (secret && secrets::is_secret_name(key)).then_some(how)
    }

    fn pair_value(&mut self, nth: usize, value: &Value<'_>, level: usize) -> Result<(), RedactError> {
        let new = match value {
            Value::Text(text) => match self.detect(text)? {
                Some(text) => New::Text(self.lay(&text)),
                None => return Ok(()),
            },
            Value::Signed(_) | Value::Unsigned(_) | Value::Float(_) => {
                let lexeme = lexeme(value);
                match self.card_number(lexeme.as_bytes()) {
                    Some(how) => self.replacement(how, lexeme.as_bytes())?,
                    None => return Ok(()),
                }
            }
            Value::Json(json) => {
                let to = self.scratch.states.len();
                match self.rewrite("details", json.bytes(), level..to)? {
                    Some(range) => New::Json(range),
                    None => return Ok(()),
                }
            }
            Value::Bool(_) | Value::Null => return Ok(()),
        };
        self.scratch.edits.push(Edit { spot: Spot::Pair(nth), new });
        Ok(())
    }

    /// `details` or a foreign record's identity part as one JSON value.
    pub(super) fn json(&mut self, spot: Spot, field: &'static str, json: Canonical<'_>) -> Result<(), RedactError> {
        self.scratch.states.clear();
        if let Some(how) = self.rules.details.start(&mut self.scratch.states) {
            if json.bytes() == b"null" && how != Redact::Remove {
                return Ok(());
            }
            self.count.paths += 1;
            let text = json_text(json.bytes()).ok_or(RedactError::Malformed { field, offset: 0 })?;
            return self.whole_json(spot, how, text.as_bytes());
        }
        let to = self.scratch.states.len();
        if let Some(range) = self.rewrite(field, json.bytes(), 0..to)? {
            self.scratch.edits.push(Edit { spot, new: New::Json(range) });
        }
        Ok(())
    }

    /// Rewrites one JSON value; `None` if it may stay as it is.
    fn rewrite(&mut self, field: &'static str, bytes: &[u8], states: Range<usize>) -> Result<Option<Range<usize>>, RedactError> {
        let detect = self.may_detect(bytes);
        if !detect && states.is_empty() {
            return Ok(None);
        }
        let source = Source { field, bytes, detect };
        let (end, kind) = walk::skip_value(bytes, 0).map_err(|error| source.malformed(error))?;
        if end != bytes.len() {
            return Err(RedactError::Malformed { field, offset: end });
        }
        let from = self.scratch.json.len();
        let (mut changed, mut renamed) = (false, false);
        let became = self.value(source, 0..end, kind, states, 0, &mut changed, &mut renamed)?;
        if became == Became::Itself && !changed {
            self.scratch.json.truncate(from);
            return Ok(None);
        }
        if renamed {
            // New names stand where the old ones did: put them in order.
            let written = self.scratch.json.split_off(from);
            let limits = json::Limits { bytes_max: usize::MAX, depth_max: limits::DEPTH_MAX, nodes_max: json::NODES_CAP };
            json::canonicalize(&written, &limits, &mut self.scratch.json)
                .map_err(|error| RedactError::Malformed { field, offset: error.offset })?;
        }
        Ok(Some(from..self.scratch.json.len()))
    }

    /// Writes the value at `range`, redacted. `changed` tells whether anything inside it did.
    #[expect(clippy::too_many_arguments, reason = "one recursive step; a struct of these would be built anew at every level")]
    fn value(
        &mut self,
        source: Source<'_>,
        range: Range<usize>,
        kind: Kind,
        states: Range<usize>,
        depth: usize,
        changed: &mut bool,
        renamed: &mut bool,
    ) -> Result<Became, RedactError> {
        let bytes = source.bytes.get(range.clone()).unwrap_or_default();
        if !source.detect && states.is_empty() || !matches!(kind, Kind::Object | Kind::Array | Kind::String | Kind::Number) {
            self.scratch.json.extend_from_slice(bytes);
            return Ok(Became::Itself);
        }
        match kind {
            Kind::Object | Kind::Array if depth >= limits::DEPTH_MAX => Err(RedactError::TooDeep { field: source.field }),
            Kind::Object => self.object(source, range, states, depth, changed, renamed).map(|()| Became::Itself),
            Kind::Array => self.array(source, range, states, depth, changed, renamed).map(|()| Became::Itself),
            Kind::String if source.detect => {
                let text = source.text(range.start + 1..range.end.saturating_sub(1))?;
                match self.detect(&text)? {
                    Some(text) => {
                        json::write_string(&mut self.scratch.json, &text);
                        *changed = true;
                        Ok(Became::Other)
                    }
                    None => {
                        self.scratch.json.extend_from_slice(bytes);
                        Ok(Became::Itself)
                    }
                }
            }
            Kind::Number if source.detect => match self.card_number(bytes) {
                Some(how) => self.put(how, bytes, changed),
                None => {
                    self.scratch.json.extend_from_slice(bytes);
                    Ok(Became::Itself)
                }
            },
            _ => {
                self.scratch.json.extend_from_slice(bytes);
                Ok(Became::Itself)
            }
        }
    }

    fn object(
        &mut self,
        source: Source<'_>,
        range: Range<usize>,
        states: Range<usize>,
        depth: usize,
        changed: &mut bool,
        renamed: &mut bool,
    ) -> Result<(), RedactError> {
        let top = self.scratch.states.len();
        let mut names = Names::default();
        let mut separator = b'{';
        for member in walk::members_at(source.bytes, range.clone()) {
            let member = member.map_err(|error| source.malformed(error))?;
            let key_at = self.scratch.json.len();
            let raw_key = std::str::from_utf8(member.key).map_err(|_| source.broken(member.value.start))?;
            let key = json::unescape(raw_key);
            self.scratch.json.push(separator);
            match if source.detect { self.detect(&key)? } else { None } {
                Some(new) => {
                    let name = names.unique(new, || source.keys(range.clone()));
                    json::write_string(&mut self.scratch.json, &name);
                    (*changed, *renamed) = (true, true);
                }
                None => {
                    self.scratch.json.push(b'"');
                    self.scratch.json.extend_from_slice(member.key);
                    self.scratch.json.push(b'"');
                }
            }
            self.scratch.json.push(b':');
            self.scratch.states.truncate(top);
            let ruled = self.rules.details.step(&mut self.scratch.states, states.start, states.end, &key);
            let became = if let Some(how) = ruled {
                self.whole(source, member.value, member.kind, how, changed)?
            } else if source.detect
                && let Some(how) = self.named_member(source, &key, &member.value, member.kind)?
            {
                self.count.secrets += 1;
                let text = source.value_text(member.value)?;
                self.put(how, text.as_bytes(), changed)?
            } else {
                let below = top..self.scratch.states.len();
                self.value(source, member.value, member.kind, below, depth + 1, changed, renamed)?
            };
            if became == Became::Nothing {
                self.scratch.json.truncate(key_at);
            } else {
                separator = b',';
            }
        }
        self.scratch.states.truncate(top);
        self.scratch.json.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
        Ok(())
    }

    fn array(
        &mut self,
        source: Source<'_>,
        range: Range<usize>,
        states: Range<usize>,
        depth: usize,
        changed: &mut bool,
        renamed: &mut bool,
    ) -> Result<(), RedactError> {
        let top = self.scratch.states.len();
        let mut separator = b'[';
        for (index, element) in walk::elements_at(source.bytes, range).enumerate() {
            let element = element.map_err(|error| source.malformed(error))?;
            let element_at = self.scratch.json.len();
            self.scratch.json.push(separator);
            self.scratch.states.truncate(top);
            let ruled = self.rules.details.step_element(&mut self.scratch.states, states.start, states.end, index);
            let became = match ruled {
                Some(how) => self.whole(source, element.value, element.kind, how, changed)?,
                None => {
                    let below = top..self.scratch.states.len();
                    self.value(source, element.value, element.kind, below, depth + 1, changed, renamed)?
                }
            };
            if became == Became::Nothing {
                self.scratch.json.truncate(element_at);
            } else {
                separator = b',';
            }
        }
        self.scratch.states.truncate(top);
        self.scratch.json.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
        Ok(())
    }

    /// A value that a rule fits.
    fn whole(
        &mut self,
        source: Source<'_>,
        range: Range<usize>,
        kind: Kind,
        how: Redact,
        changed: &mut bool,
    ) -> Result<Became, RedactError> {
        if kind == Kind::Null && how != Redact::Remove {
            self.scratch.json.extend_from_slice(b"null");
            return Ok(Became::Itself);
        }
        self.count.paths += 1;
        let text = source.value_text(range)?;
        self.put(how, text.as_bytes(), changed)
    }

    /// Writes what takes the place of `value` as a JSON string.
    fn put(&mut self, how: Redact, value: &[u8], changed: &mut bool) -> Result<Became, RedactError> {
        *changed = true;
        match how {
            Redact::Remove => return Ok(Became::Nothing),
            Redact::Mask => json::write_string(&mut self.scratch.json, MASK),
            Redact::Pseudonym => {
                let mut text = String::new();
                self.rules.write_pseudonym(value, &mut text)?;
                json::write_string(&mut self.scratch.json, &text);
            }
        }
        Ok(Became::Other)
    }

    fn named_member(
        &self,
        source: Source<'_>,
        key: &str,
        range: &Range<usize>,
        kind: Kind,
    ) -> Result<Option<Redact>, RedactError> {
        let Some(how) = self.detector(Detector::Secrets) else { return Ok(None) };
        if !matches!(kind, Kind::String | Kind::Number) || !secrets::is_secret_name(key) {
            return Ok(None);
        }
        let text = source.value_text(range.clone())?;
        Ok((!secrets::is_placeholder(&text)).then_some(how))
    }

    fn detector(&self, detector: Detector) -> Option<Redact> {
        self.rules.detectors.get(detector.index()).copied().flatten()
    }

    /// Whether detectors may find anything in JSON. Escapes that canonical form has no need for might hide something.
    fn may_detect(&self, bytes: &[u8]) -> bool {
        let mut enabled = Detector::ALL.into_iter().filter(|detector| self.detector(*detector).is_some()).peekable();
        if enabled.peek().is_none() {
            return false;
        }
        enabled.any(|detector| detector.may_find(bytes))
            || memchr::memchr_iter(b'\\', bytes).any(|at| matches!(bytes.get(at + 1), Some(b'u' | b'/')))
    }

    /// How to redact the number `lexeme` if it is a card's.
    fn card_number(&mut self, lexeme: &[u8]) -> Option<Redact> {
        let how = self.detector(Detector::CardNumbers)?;
        secrets::is_card_number(lexeme).then(|| {
            self.count.card_numbers += 1;
            how
        })
    }

    /// Collects and counts what the detectors find, from left to right, parts that overlap made one.
    fn collect(&mut self, text: &[u8]) {
        let RedactScratch { hits, found, .. } = &mut *self.scratch;
        hits.clear();
        for detector in Detector::ALL {
            let Some(how) = self.rules.detectors.get(detector.index()).copied().flatten() else { continue };
            if !detector.may_find(text) {
                continue;
            }
            found.clear();
            detector.find(text, found);
            let count = match detector {
                Detector::Secrets => &mut self.count.secrets,
                Detector::CardNumbers => &mut self.count.card_numbers,
                Detector::Emails => &mut self.count.emails,
            };
            *count = count.saturating_add(u32::try_from(found.len()).unwrap_or(u32::MAX));
            hits.extend(found.drain(..).map(|range| Hit { range, how }));
        }
        hits.sort_unstable_by_key(|hit| hit.range.start);
        hits.dedup_by(|next, first| {
            let overlap = next.range.start < first.range.end;
            if overlap {
                first.range.end = first.range.end.max(next.range.end);
                first.how = first.how.max(next.how);
            }
            overlap
        });
    }

    /// `text` without what the detectors find; `None` if they find nothing.
    fn detect(&mut self, text: &str) -> Result<Option<String>, RedactError> {
        self.collect(text.as_bytes());
        if self.scratch.hits.is_empty() {
            return Ok(None);
        }
        let mut new = String::with_capacity(text.len());
        let mut from = 0;
        for hit in &self.scratch.hits {
            // Hits begin and end between ASCII characters, so the pieces are text.
            new.push_str(text.get(from..hit.range.start).unwrap_or_default());
            match hit.how {
                Redact::Remove => {}
                Redact::Mask => new.push_str(MASK),
                Redact::Pseudonym => {
                    self.rules.write_pseudonym(text.as_bytes().get(hit.range.clone()).unwrap_or_default(), &mut new)?;
                }
            }
            from = hit.range.end;
        }
        new.push_str(text.get(from..).unwrap_or_default());
        Ok(Some(new))
    }
}

impl<'j> Source<'j> {
    const fn malformed(&self, error: walk::Malformed) -> RedactError {
        self.broken(error.offset)
    }

    const fn broken(&self, offset: usize) -> RedactError {
        RedactError::Malformed { field: self.field, offset }
    }

    /// The text of the string whose inside is `range`.
    fn text(&self, range: Range<usize>) -> Result<Cow<'j, str>, RedactError> {
        let offset = range.start;
        let raw = self.bytes.get(range).and_then(|raw| std::str::from_utf8(raw).ok()).ok_or(self.broken(offset))?;
        Ok(json::unescape(raw))
    }

    /// The keys of the object at `range`.
    fn keys(&self, range: Range<usize>) -> HashSet<String> {
        let members = walk::members_at(self.bytes, range).flatten();
        members.filter_map(|member| Some(json::unescape(std::str::from_utf8(member.key).ok()?).into_owned())).collect()
    }

    /// The text of a string, the JSON of everything else.
    fn value_text(&self, range: Range<usize>) -> Result<Cow<'j, str>, RedactError> {
        let offset = range.start;
        self.bytes.get(range).and_then(json_text).ok_or(self.broken(offset))
    }
}

/// The text of a string, the JSON of everything else; `None` if it is no text at all.
fn json_text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inside) => Some(json::unescape(inside)),
        None => Some(Cow::Borrowed(text)),
    }
}

/// A value that is no text as JSON writes it.
fn lexeme(value: &Value<'_>) -> String {
    match value {
        Value::Signed(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        // As the encoder writes it.
        Value::Float(number) => format!("{number:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
        Value::Text(text) => (*text).to_owned(),
        Value::Json(json) => String::from_utf8_lossy(json.bytes()).into_owned(),
    }
}

/// The names that redacted keys of one object get: `[redacted]`, `[redacted]-2`… and none that is there already.
#[derive(Default)]
struct Names {
    taken: Option<HashSet<String>>,
    used: HashMap<String, u32>,
}

impl Names {
    /// `name`, with a number if it must be. `keys` are those of the object, asked for once.
    fn unique(&mut self, name: String, keys: impl FnOnce() -> HashSet<String>) -> String {
        let taken = self.taken.get_or_insert_with(keys);
        let used = self.used.entry(name.clone()).or_insert(0);
        loop {
            *used += 1;
            let candidate = if *used == 1 { name.clone() } else { format!("{name}-{used}") };
            if taken.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

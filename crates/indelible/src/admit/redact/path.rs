//! Places of a draft by name, and which rules are alive on the way down into `details`.

use indelible_format::draft::Target as DraftTarget;
use indelible_format::{Draft, Field};

use super::Redact;

/// Why a path is no place of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot redact {path:?}: {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

/// A text (or the raw bytes) that every draft has its own member for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    ActorId,
    ActorType,
    ActorName,
    ActorEmail,
    OriginIp,
    OriginUserAgent,
    OriginHost,
    Session,
    TargetId,
    TargetType,
    TargetName,
    Raw,
}

impl Place {
    const ALL: [Self; Self::COUNT] = [
        Self::ActorId,
        Self::ActorType,
        Self::ActorName,
        Self::ActorEmail,
        Self::OriginIp,
        Self::OriginUserAgent,
        Self::OriginHost,
        Self::Session,
        Self::TargetId,
        Self::TargetType,
        Self::TargetName,
        Self::Raw,
    ];
    pub(super) const COUNT: usize = 12;
    pub(super) const TARGET: [Self; 3] = [Self::TargetId, Self::TargetType, Self::TargetName];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ActorId => Field::ActorId.name(),
            Self::ActorType => Field::ActorType.name(),
            Self::ActorName => Field::ActorName.name(),
            Self::ActorEmail => Field::ActorEmail.name(),
            Self::OriginIp => Field::OriginIp.name(),
            Self::OriginUserAgent => Field::OriginUserAgent.name(),
            Self::OriginHost => Field::OriginHost.name(),
            Self::Session => Field::Session.name(),
            Self::TargetId => Field::TargetId.name(),
            Self::TargetType => Field::TargetType.name(),
            Self::TargetName => Field::TargetName.name(),
            Self::Raw => "raw",
        }
    }

    /// The texts of a draft that are its own members.
    pub(super) fn texts<'a>(draft: &Draft<'a>) -> [(Self, Option<&'a str>); 8] {
        [
            (Self::ActorId, draft.actor.id),
            (Self::ActorType, draft.actor.kind),
            (Self::ActorName, draft.actor.name),
            (Self::ActorEmail, draft.actor.email),
            (Self::OriginIp, draft.origin.ip),
            (Self::OriginUserAgent, draft.origin.user_agent),
            (Self::OriginHost, draft.origin.host),
            (Self::Session, draft.session),
        ]
    }

    pub(super) fn slot<'d, 'a>(self, draft: &'d mut Draft<'a>) -> Option<&'d mut Option<&'a str>> {
        match self {
            Self::ActorId => Some(&mut draft.actor.id),
            Self::ActorType => Some(&mut draft.actor.kind),
            Self::ActorName => Some(&mut draft.actor.name),
            Self::ActorEmail => Some(&mut draft.actor.email),
            Self::OriginIp => Some(&mut draft.origin.ip),
            Self::OriginUserAgent => Some(&mut draft.origin.user_agent),
            Self::OriginHost => Some(&mut draft.origin.host),
            Self::Session => Some(&mut draft.session),
            Self::TargetId | Self::TargetType | Self::TargetName | Self::Raw => None,
        }
    }

    pub(super) fn target_slot<'t, 'a>(self, target: &'t mut DraftTarget<'a>) -> Option<&'t mut Option<&'a str>> {
        match self {
            Self::TargetId => Some(&mut target.id),
            Self::TargetType => Some(&mut target.kind),
            Self::TargetName => Some(&mut target.name),
            _ => None,
        }
    }
}

/// What a path names.
pub(super) enum Target {
    Fixed(Vec<Place>),
    Details(Vec<Segment>),
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This key or index.
    Key(Box<str>),
    /// Any one key or index.
    Any,
    /// Any number of keys and indexes.
    Deep,
}

pub(super) fn parse(path: &str) -> Result<Target, PathError> {
    let refuse = |reason| PathError { path: path.to_owned(), reason };
    let (root, below) = path.split_once('.').map_or((path, None), |(root, below)| (root, Some(below)));
    if root == "details" {
        let segments = below.map_or(Ok(Vec::new()), segments).map_err(refuse)?;
        return Ok(Target::Details(segments));
    }
    let all = below == Some("*");
    let names =
        |place: &Place| place.name() == path || all && place.name().split_once('.').is_some_and(|(known, _)| known == root);
    let places: Vec<Place> = Place::ALL.into_iter().filter(names).collect();
    if !places.is_empty() {
        return Ok(Target::Fixed(places));
    }
    Err(refuse(if HEAD.contains(&root) {
        "it is part of the head, which is structure and cannot be redacted; keep personal data out of it"
    } else {
        "no such place; use actor.…, origin.…, session, target.…, raw or details.…"
    }))
}

fn segments(text: &str) -> Result<Vec<Segment>, &'static str> {
    let mut segments = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (segment, behind) = if let Some(quoted) = text.strip_prefix('"') {
            let (key, behind) = quoted.split_once('"').ok_or("a quote is not closed")?;
            (Segment::Key(key.into()), behind)
        } else {
            let end = text.find('.').unwrap_or(text.len());
            let (word, behind) = text.split_at(end);
            let segment = match word {
                "*" => Segment::Any,
                "**" => Segment::Deep,
                "" => return Err("a segment is empty"),
                _ if word.contains(['*', '"']) => {
                    return Err("a star stands for a whole segment; put a key that has one in quotes");
                }
                _ => Segment::Key(word.into()),
            };
            (segment, behind)
        };
        rest = match behind.strip_prefix('.') {
            Some(behind) => Some(behind),
            None if behind.is_empty() => None,
            None => return Err("a dot must follow a quoted key"),
        };
        segments.push(segment);
    }
    if segments.len() > SEGMENTS_MAX { Err("it has more than 64 segments") } else { Ok(segments) }
}

/// All rules for `details`, in the order they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules(Vec<(Vec<Segment>, Redact)>);

/// A rule that may still fit below, and how many of its segments are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    rule: u16,
    at: u16,
}

impl Rules {
    pub(super) fn add(&mut self, path: &str, segments: Vec<Segment>, how: Redact) -> Result<(), PathError> {
        if self.0.len() >= RULES_MAX {
            return Err(PathError { path: path.to_owned(), reason: "there are more than 1024 rules for details already" });
        }
        self.0.push((segments, how));
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn make_pseudonyms(&self) -> bool {
        self.0.iter().any(|(_, how)| *how == Redact::Pseudonym)
    }

    /// Appends the states at `details` itself; what is done if a rule fits it whole.
    pub(super) fn start(&self, states: &mut Vec<State>) -> Option<Redact> {
        let from = states.len();
        for rule in (0..).take(self.0.len()) {
            push(states, from, State { rule, at: 0 });
        }
        self.decision(states, from)
    }

    /// Appends the states behind `key`, seen from those at `from..to`; what is done if a rule fits there.
    pub(super) fn step(&self, states: &mut Vec<State>, from: usize, to: usize, key: &str) -> Option<Redact> {
        let out = states.len();
        self.walk(states, from..to, out, key);
        let mut decision = self.decision(states, out);
        if decision.is_none() && key.contains('.') && key.len() <= NESTED_KEY_MOST {
            // The same key as nested keys: each part seen from what the part before it left, and only that is kept.
            let own = states.len();
            let mut parts = key.split('.');
            self.walk(states, from..to, own, parts.next().unwrap_or_default());
            decision = self.decision(states, own);
            for part in parts {
                let next = states.len();
                if decision.is_some() || next == own {
                    break;
                }
                self.walk(states, own..next, next, part);
                decision = self.decision(states, next);
                states.drain(own..next);
            }
        }
        decision
    }

    /// Appends the states of an array's element: by its index, and as if the array were not there.
    pub(super) fn step_element(&self, states: &mut Vec<State>, from: usize, to: usize, index: usize) -> Option<Redact> {
        let mut digits = [0; 20];
        let out = states.len();
        let decision = self.step(states, from, to, decimal(index, &mut digits));
        for at in from..to {
            if let Some(state) = states.get(at).copied() {
                push(states, out, state);
            }
        }
        decision
    }

    fn walk(&self, states: &mut Vec<State>, from: std::ops::Range<usize>, out: usize, key: &str) {
        for at in from {
            let Some(mut state) = states.get(at).copied() else { continue };
            let Some((segments, _)) = self.0.get(usize::from(state.rule)) else { continue };
            // `**` may stand for nothing, so what follows it is tried as well.
            while let Some(segment) = segments.get(usize::from(state.at)) {
                match segment {
                    Segment::Key(name) if name.eq_ignore_ascii_case(key) => {
                        push(states, out, State { at: state.at + 1, ..state })
                    }
                    Segment::Key(_) => {}
                    Segment::Any => push(states, out, State { at: state.at + 1, ..state }),
                    Segment::Deep => {
                        push(states, out, state);
                        state.at += 1;
                        continue;
                    }
                }
                break;
            }
        }
    }

    /// The earliest rule that fits: nothing but `**` is left of it.
    fn decision(&self, states: &[State], from: usize) -> Option<Redact> {
        let fits = states.get(from..)?.iter().filter_map(|state| {
            let (segments, how) = self.0.get(usize::from(state.rule))?;
            let rest = segments.get(usize::from(state.at)..)?;
            rest.iter().all(|segment| *segment == Segment::Deep).then_some((state.rule, *how))
        });
        fits.min_by_key(|(rule, _)| *rule).map(|(_, how)| how)
    }
}

fn push(states: &mut Vec<State>, out: usize, state: State) {
    if !states.get(out..).unwrap_or_default().contains(&state) {
        states.push(state);
    }
}

fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &str {
    let mut first = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
}

const HEAD: [&str; 16] = [
    "id",
    "time",
    "received",
    "tenant",
    "tenant_seq",
    "action",
    "outcome",
    "severity",
    "class",
    "source",
    "producer",
    "trace",
    "frameworks",
    "weight",
    "seq",
    "log",
];
const RULES_MAX: usize = 1024;
const SEGMENTS_MAX: usize = 64;
/// Keys longer than this are not read as nested ones.
const NESTED_KEY_MOST: usize = 1024;

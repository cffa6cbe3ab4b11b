//! Seeded events: every event is a pure function of (seed, stream, number), so whoever finds one in a log can say what it
//! must have been, without having been there when it was emitted.

use fastrand::Rng;
use indelible::{Class, Draft, Field, Outcome, Record, Severity, json, taxonomy};

/// One event as it was asked for. Owns its text; [`draft`](Self::draft) borrows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Seed of the run.
    pub seed: u64,
    /// Which writer, or which part of the run.
    pub stream: u64,
    /// Number within the stream.
    pub number: u64,
    /// The caller's id: `<seed>-<stream>-<number>`, so that it names the event.
    pub id: String,
    /// What was done.
    pub action: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Class, where it is not left to the taxonomy.
    pub class: Option<Class>,
    /// Severity, where it is not left to the taxonomy.
    pub severity: Option<Severity>,
    /// Tenant, where it is not left to the store.
    pub tenant: Option<&'static str>,
    /// Who.
    pub actor: String,
    /// A member of the details that is sometimes hostile.
    pub text: &'static str,
    /// Length of another member.
    pub pad_bytes: usize,
    pad: String,
    key: Option<String>,
}

impl Spec {
    /// The event of that place; about 300 bytes in the journal.
    #[must_use]
    pub fn of(seed: u64, stream: u64, number: u64) -> Self {
        // Neighbouring numbers must not give similar draws: the generator is seeded with all three, scattered.
        let mut rng = Rng::with_seed(
            seed.rotate_left(40)
                ^ stream.rotate_left(20).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ^ number.wrapping_mul(0xD134_2543_DE82_EF95),
        );
        let (action, outcome) = *pick(&mut rng, &ACTIONS);
        let class =
            if rng.u8(..) < 16 { Some(*pick(&mut rng, &[Class::Critical, Class::Normal, Class::Telemetry])) } else { None };
        let pad_bytes = rng.usize(0..160);
        let id = format!("{seed}-{stream}-{number}");
        Self {
            seed,
            stream,
            number,
            key: Some(format!("key of {id}")),
            id,
            action,
            outcome,
            class,
            severity: (rng.u8(..) < 16).then_some(Severity::High),
            tenant: *pick(&mut rng, &[None, None, Some("acme"), Some("globex")]),
            actor: format!("user-{}", rng.u32(0..50)),
            text: *pick::<&str>(&mut rng, &TEXTS),
            pad_bytes,
            pad: "x".repeat(pad_bytes),
        }
    }

    /// The same event with this class.
    #[must_use]
    pub fn with_class(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same event with so many bytes of padding in its details.
    #[must_use]
    pub fn with_pad(self, pad_bytes: usize) -> Self {
        Self { pad_bytes, pad: "x".repeat(pad_bytes), ..self }
    }

    /// The same event without an idempotency key.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Whether it can be sent again without being recorded twice.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What is handed to the engine.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        let draft = Draft::new(self.action).id(&self.id).actor(&self.actor).outcome(self.outcome).target("repo", "42");
        let draft = draft.detail("n", self.number).detail("text", self.text).detail("pad", self.pad.as_str());
        Draft { class: self.class, severity: self.severity, tenant: self.tenant, idempotency_key: self.key.as_deref(), ..draft }
    }

    /// The class it has.
    #[must_use]
    pub fn effective_class(&self) -> Class {
        self.draft().effective_class()
    }

    /// What of `record` is not as it was asked for; `None` when all is.
    #[must_use]
    pub fn difference(&self, record: &Record<'_>) -> Option<String> {
        let Some(head) = record.head() else { return Some("it has no head".into()) };
        let mut details = format!("{{\"n\":{},\"pad\":\"{}\",\"text\":", self.number, self.pad).into_bytes();
        json::write_string(&mut details, self.text);
        details.push(b'}');
        let field = |field| record.field(field).unwrap_or_default();
        let checks = [
            ("id", head.id.to_string() == self.id),
            ("action", head.action == self.action),
            ("outcome", head.outcome == self.outcome),
            ("class", head.class == self.effective_class()),
            ("severity", self.severity.is_none_or(|severity| head.severity == severity)),
            ("tenant", self.tenant.is_none_or(|tenant| head.tenant == tenant)),
            ("actor", field(Field::ActorId) == self.actor.as_bytes()),
            ("target", field(Field::TargetId) == b"42"),
            ("details", field(Field::Details) == details),
        ];
        let wrong: Vec<&str> = checks.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
        (!wrong.is_empty()).then(|| format!("{} differ", wrong.join(", ")))
    }
}

/// Takes an id of [`Spec::of`] apart: (seed, stream, number).
#[must_use]
pub fn parse_id(id: &str) -> Option<(u64, u64, u64)> {
    let mut parts = id.split('-').map(|part| part.parse().ok());
    let found = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(found)
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    rng.choice(choices).unwrap_or_else(|| unreachable!("no list here is empty"))
}

/// All three lanes, both logs of events, known and free actions.
const ACTIONS: [(&str, Outcome); 8] = [
    ("user.login", Outcome::Failure),
    ("user.login", Outcome::Success),
    ("data.read", Outcome::Success),
    ("data.delete", Outcome::Denied),
    ("widget.polish", Outcome::Unknown),
    ("performance.measure", Outcome::Success),
    ("privilege.escalate", Outcome::Success),
    (taxonomy::FILE_WRITE.name(), Outcome::Success),
];

/// Stored exactly, shown escaped.
const TEXTS: [&str; 6] = [
    "",
    "plain",
    "a \"quoted\" \\ line\nand\ttab",
    "\u{1b}[31mred\u{1b}[0m\u{7}",
    "\u{202e}txt.exe\u{202c} \u{0}",
    "ä€𝄞 \u{fffd}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_id() {
        for number in 0..200 {
            let spec = Spec::of(7, 3, number);
            assert_eq!(parse_id(&spec.id), Some((7, 3, number)));
            assert_eq!(Spec::of(7, 3, number), spec);
        }
        assert_eq!(parse_id("1-2"), None);
        assert_eq!(parse_id("1-2-3-4"), None);
    }

    #[test]
    fn every_lane_is_drawn() {
        for class in Class::ALL {
            assert!((0..200).any(|number| Spec::of(1, 0, number).effective_class() == *class));
        }
    }
}

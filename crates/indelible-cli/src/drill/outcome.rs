//! What became of an attack: what each verifier saw, compared with what the threat table promises.

use indelible::verify::{Code, Level};

use super::{Attack, Expected};

/// One attack and what became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) attack: &'static Attack,
    /// What is expected to be found first, and where.
    pub(crate) at: At,
    pub(crate) views: Vec<View>,
    pub(crate) verdict: Verdict,
    /// What is not as it should be.
    pub(crate) complaint: Option<String>,
}

impl Outcome {
    /// The code that named the attack.
    pub(crate) fn code(&self) -> Option<&'static str> {
        let (promised, _) = self.attack.promise();
        let Expected::AlarmOr(code, other) = self.attack.expected else { return promised };
        let found =
            self.views.iter().flat_map(|view| &view.findings).any(|seen| seen.code == code.name() && self.at.fits(seen.at));
        Some(if found { code.name() } else { other.name() })
    }
}

/// How an attack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was named as the table says.
    Caught,
    /// No attack, and no alarm.
    Quiet,
    /// Nothing can notice it, as the table says; nothing that is proved depends on it.
    Unbound,
    /// This log, or this copy of it, has no place for the attack.
    Skipped,
    /// It was not named, or an alarm was false.
    Missed,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Quiet => "quiet",
            Self::Unbound => "not bound",
            Self::Skipped => "skipped",
            Self::Missed => "MISSED",
        }
    }
}

/// What a verifier has besides the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    Nothing,
    Key,
    State,
    Checkpoint,
}

impl Evidence {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Key, Self::State, Self::Checkpoint];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Key => "key",
            Self::State => "state",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What a verifier with this evidence sees.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) evidence: Evidence,
    pub(crate) ok: bool,
    pub(crate) findings: Vec<Seen>,
}

/// A finding, or the refusal of a proof, without its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: &'static str,
    pub(crate) level: &'static str,
    pub(crate) at: At,
}

/// Where: a position of a log, or a frame when no log is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub(crate) log: Option<u32>,
    pub(crate) at: Option<u64>,
}

impl At {
    pub(crate) const fn position(log: u32, seq: u64) -> Self {
        Self { log: Some(log), at: Some(seq) }
    }

    pub(crate) const fn frame(lsn: u64) -> Self {
        Self { log: None, at: Some(lsn) }
    }

    pub(crate) const fn log(log: u32) -> Self {
        Self { log: Some(log), at: None }
    }

    /// Whether a finding stands here; a place that was left open fits any.
    fn fits(self, found: Self) -> bool {
        self == Self::default() || self == found
    }
}

/// Compares what was seen with what the table promises; `Some` says what is missing.
pub(super) fn judge(attack: &Attack, at: At, views: &[View], baseline: &[View]) -> Option<String> {
    let fails = |view: &View, code: &str| {
        let named = view.findings.iter().any(|seen| seen.code == code && seen.level == Level::Fail.name() && at.fits(seen.at));
        (view.ok || !named)
            .then(|| format!("with {}, {code} at {} is not found: {}", view.evidence.name(), place_text(at), view.text()))
    };
    let passes = |view: &View| {
        let said = view.findings.iter().any(|seen| seen.code == Code::Unanchored.name());
        (!view.ok || !said)
            .then(|| format!("with {}, it should look intact and be called unanchored: {}", view.evidence.name(), view.text()))
    };
    let same = |view: &View| {
        let before = baseline.iter().find(|before| before.evidence == view.evidence)?;
        let codes = |view: &View| view.findings.iter().map(|seen| (seen.code, seen.level)).collect::<Vec<_>>();
        (!view.ok || codes(before) != codes(view))
            .then(|| format!("with {}, more is said than about the untouched copy: {}", view.evidence.name(), view.text()))
    };
    match attack.expected {
        Expected::Alarm(code) => views.iter().find_map(|view| fails(view, code.name())),
        Expected::AlarmOr(code, other) => {
            views.iter().find_map(|view| fails(view, other.name()).and_then(|_| fails(view, code.name())))
        }
        Expected::Outside { key, state, checkpoint } => views.iter().find_map(|view| {
            let expected = match view.evidence {
                Evidence::Nothing => None,
                Evidence::Key => key,
                Evidence::State => state,
                Evidence::Checkpoint => checkpoint,
            };
            expected.map_or_else(|| passes(view), |code| fails(view, code.name()))
        }),
        Expected::Said(code, level) => views.iter().find(|view| view.evidence == Evidence::Nothing).and_then(|view| {
            let said =
                view.findings.iter().any(|seen| (seen.code, seen.level) == (code.name(), level.name()) && at.fits(seen.at));
            (!view.ok || !said)
                .then(|| format!("{} ({}) at {} is not said: {}", code.name(), level.name(), place_text(at), view.text()))
        }),
        Expected::Quiet | Expected::Unbound => views.iter().find_map(same),
        Expected::Refused => views.iter().find(|view| view.ok).map(|_| "the proof is accepted".into()),
        Expected::Accepted => views.iter().find(|view| !view.ok).map(|_| "the proof is refused".into()),
    }
}

impl View {
    pub(super) fn text(&self) -> String {
        let found: Vec<String> =
            self.findings.iter().take(6).map(|seen| format!("{} at {}", seen.code, place_text(seen.at))).collect();
        format!(
            "{}{}",
            if self.ok { "ok, " } else { "" },
            if found.is_empty() { "nothing found".into() } else { found.join(", ") }
        )
    }
}

/// A place in words.
pub(crate) fn place_text(at: At) -> String {
    match (at.log, at.at) {
        (Some(log), Some(seq)) => format!("{log}:{seq}"),
        (Some(log), None) => format!("log {log}"),
        (None, Some(lsn)) => format!("frame {lsn}"),
        (None, None) => "-".into(),
    }
}

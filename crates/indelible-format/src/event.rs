//! The small vocabularies of an event: outcome, severity, class, group tags, spanned fields.
//!
//! Numbers are part of the format (docs/format/event.md); names are the words of the API, the CLI and the search language.

use std::fmt;

/// Declares an enum with its byte on disk and its name everywhere else.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $byte:literal, $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $byte,)+ }

        impl $name {
            /// Every value, in the order of its byte.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The byte on disk.
            #[must_use]
            pub const fn byte(self) -> u8 { self as u8 }

            /// From the byte on disk.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)+ _ => None }
            }

            /// The word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.name()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, choices: &[$($word,)+] }),
                }
            }
        }
    };
}

/// A word that is not in one of the vocabularies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}; use one of: {}", choices.join(", "))]
pub struct UnknownWord {
    /// What was expected: "an outcome"…
    pub what: &'static str,
    /// The words there are.
    pub choices: &'static [&'static str],
}

vocabulary! {
    /// How the action ended.
    Outcome, "an outcome" {
        /// Not told.
        Unknown = 0, "unknown";
        /// It was done.
        Success = 1, "success";
        /// It was tried and did not succeed.
        Failure = 2, "failure";
        /// It was refused by policy.
        Denied = 3, "denied";
        /// The system itself failed.
        Error = 4, "error";
    }
}

vocabulary! {
    /// How bad it is; the numbers are OCSF's `severity_id`.
    Severity, "a severity" {
        /// Informational.
        Info = 1, "info";
        /// Low.
        Low = 2, "low";
        /// Medium.
        Medium = 3, "medium";
        /// High.
        High = 4, "high";
        /// Critical.
        Critical = 5, "critical";
        /// Fatal.
        Fatal = 6, "fatal";
    }
}

vocabulary! {
    /// How an event is treated on its way: which lane it takes.
    Class, "a class" {
        /// Never dropped, never sampled, drained first.
        Critical = 1, "critical";
        /// Follows the overflow policy of the normal lane (block by default).
        Normal = 2, "normal";
        /// May be sampled or shed; whatever is, is counted and recorded.
        Telemetry = 3, "telemetry";
    }
}

/// Tag of a group of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u8);

impl Tag {
    /// The structural head.
    pub const HEAD: Self = Self(1);
    /// Who: actor, session, origin.
    pub const IDENTITY: Self = Self(2);
    /// What: targets and details.
    pub const CONTENT: Self = Self(3);
    /// A foreign record that is not JSON.
    pub const RAW: Self = Self(4);

    /// Its name, or `reserved`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HEAD => "head",
            Self::IDENTITY => "identity",
            Self::CONTENT => "content",
            Self::RAW => "raw",
            _ => "reserved",
        }
    }
}

vocabulary! {
    /// A member of identity or content that a span points to. Fields below 16 lie in identity, the others in content.
    Field, "a field" {
        /// `identity.actor.email`
        ActorEmail = 1, "actor.email";
        /// `identity.actor.id`
        ActorId = 2, "actor.id";
        /// `identity.actor.name`
        ActorName = 3, "actor.name";
        /// `identity.actor.type`
        ActorType = 4, "actor.type";
        /// `identity.details`, any JSON
        IdentityDetails = 5, "identity.details";
        /// `identity.origin.host`
        OriginHost = 6, "origin.host";
        /// `identity.origin.ip`
        OriginIp = 7, "origin.ip";
        /// `identity.origin.user_agent`
        OriginUserAgent = 8, "origin.user_agent";
        /// `identity.session`
        Session = 9, "session";
        /// `content.details`, any JSON
        Details = 16, "details";
        /// One element of `content.targets`
        Target = 17, "target";
        /// Its `id`
        TargetId = 18, "target.id";
        /// Its `name`
        TargetName = 19, "target.name";
        /// Its `type`
        TargetType = 20, "target.type";
    }
}

impl Field {
    /// Which group's body the span's offset counts from.
    #[must_use]
    pub const fn tag(self) -> Tag {
        if self.byte() < 16 { Tag::IDENTITY } else { Tag::CONTENT }
    }
}

/// What became of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotence {
    /// The event had no key.
    NoKey,
    /// The key was never used in this log.
    New,
    /// The key was not used by any of the newest events that are remembered; older keys of this log are forgotten.
    NewWithinWindow,
    /// The same event was recorded under this key before; the receipt is that event's.
    Duplicate,
    /// The producer delivered this sequence number before; it is recorded, but where is not remembered.
    Repeated,
}

impl Idempotence {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::New => "new",
            Self::NewWithinWindow => "new-within-window",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
        }
    }

    /// From the word for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NoKey, Self::New, Self::NewWithinWindow, Self::Duplicate, Self::Repeated]
            .into_iter()
            .find(|known| known.name() == name)
    }
}

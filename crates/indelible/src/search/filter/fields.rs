//! The names a query can use: every field of an event, in one table that help, completion and compiler share.

use super::error::{FilterError, FilterErrorKind, cut, nearest};
use super::lexer::{self, Glyph, Token};

/// What a field holds, and so which values it can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// Text; exact or with wildcards.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, which have an order, lowest first.
    Rank(&'static [&'static str]),
    /// A whole number from 0; exact, compared or in a range.
    Number,
    /// A time; a day, a range, or relative to now.
    Time,
    /// An IP address; exact, with wildcards, or a network such as `10.0.0.0/8`.
    Address,
    /// `type:id` of a target, or its id; exact or with wildcards.
    Target,
    /// Bytes in which text is looked for, ignoring case.
    Bytes,
    /// Any JSON value; what it can be compared with depends on what it is.
    Json,
}

/// One line of [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name in queries, tables and documentation.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: FieldKind,
    /// What it is, in one line.
    pub about: &'static str,
}

/// Declares the fields and their table so that the two cannot disagree.
macro_rules! fields {
    ($($variant:ident = $name:literal $aliases:tt $kind:ident $(($words:ident))?, $about:literal;)+) => {
        /// A field every event may have; see [`FIELDS`] for what each is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum KnownField { $(#[doc = concat!("`", $name, "`: ", $about)] $variant,)+ }

        impl KnownField {
            /// Every one, in the order of [`FIELDS`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its line in the table.
            #[must_use]
            pub const fn info(self) -> &'static FieldInfo {
                match self {
                    $(Self::$variant => &FieldInfo { name: $name, aliases: &$aliases, kind: FieldKind::$kind $(($words))?, about: $about },)+
                }
            }
        }

        /// Every field of the search language. The last one, `details`, stands for all paths below it: `details.PATH`.
        pub static FIELDS: &[FieldInfo] = &[$(*KnownField::$variant.info(),)+ DETAILS];
    };
}

const OUTCOMES: &[&str] = &["unknown", "success", "failure", "denied", "error"];
const SEVERITIES: &[&str] = &["info", "low", "medium", "high", "critical", "fatal"];
const CLASSES: &[&str] = &["critical", "normal", "telemetry"];

fields! {
    Action = "action" [] Text, "what was done, as noun.verb";
    Outcome = "outcome" [] Word(OUTCOMES), "how it ended";
    Severity = "severity" [] Rank(SEVERITIES), "how bad it is";
    Class = "class" [] Word(CLASSES), "the lane it took: critical events are never dropped or sampled";
    Time = "time" [] Time, "when it happened";
    Received = "received" [] Time, "when it was admitted";
    ActorId = "actor.id" ["actor"] Text, "who did it: stable id";
    ActorName = "actor.name" [] Text, "who did it: display name";
    ActorType = "actor.type" [] Text, "who did it: user, service, role…";
    ActorEmail = "actor.email" ["email"] Text, "who did it: e-mail address";
    Session = "session" [] Text, "the session it was done in";
    OriginIp = "origin.ip" ["ip"] Address, "the address it was done from";
    OriginHost = "origin.host" ["host"] Text, "the host it was done on or from";
    OriginUserAgent = "origin.user_agent" ["user_agent"] Text, "the program it was done with";
    Target = "target" [] Target, "what it was done to: type:id of one target, or its id";
    TargetType = "target.type" [] Text, "what it was done to: repo, user, bucket…";
    TargetId = "target.id" [] Text, "what it was done to: stable id";
    TargetName = "target.name" [] Text, "what it was done to: display name";
    Id = "id" [] Text, "the event's own id";
    Tenant = "tenant" [] Text, "whose event it is";
    TenantSeq = "tenant_seq" [] Number, "its position among its tenant's events";
    Log = "log" [] Number, "the log it is in: 0 control, 1 main, 2 telemetry";
    Seq = "seq" [] Number, "its position in its log";
    Source = "source" [] Text, "the format it came from; events made by the API have none";
    Framework = "framework" ["frameworks"] Text, "a compliance framework it is marked with";
    Producer = "producer" ["producer.id"] Text, "the producer that counted it";
    ProducerEpoch = "producer.epoch" [] Number, "the producer's epoch";
    ProducerSeq = "producer.seq" [] Number, "the producer's own count";
    Trace = "trace" ["trace_id"] Text, "W3C trace id: 32 hexadecimal digits";
    Span = "span" ["span_id"] Text, "W3C span id: 16 hexadecimal digits";
    Weight = "weight" [] Number, "how many events it stands for";
    Raw = "raw" [] Bytes, "the foreign record as it came, when that was not JSON";
    RawMediaType = "raw.media_type" [] Text, "media type of the foreign record";
}

const DETAILS: FieldInfo = FieldInfo {
    name: "details",
    aliases: &[],
    kind: FieldKind::Json,
    about: "anything else that was said: details.PATH, for example details.request.bucket",
};

/// What other tools call our fields; used for hints only.
const FOREIGN_WORDS: &[(&str, &str)] = &[
    ("user", "actor.id"),
    ("username", "actor.name"),
    ("principal", "actor.id"),
    ("src_ip", "ip"),
    ("source_ip", "ip"),
    ("sourceip", "ip"),
    ("client_ip", "ip"),
    ("useragent", "user_agent"),
    ("hostname", "host"),
    ("event", "action"),
    ("verb", "action"),
    ("operation", "action"),
    ("eventname", "action"),
    ("level", "severity"),
    ("status", "outcome"),
    ("result", "outcome"),
    ("timestamp", "time"),
    ("@timestamp", "time"),
    ("date", "time"),
    ("resource", "target"),
    ("object", "target"),
    ("sequence", "seq"),
    ("identity", "actor.id, session or ip"),
    ("message", "a word without a field"),
];

impl KnownField {
    /// The field of this name or alias.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.info().name == name || field.info().aliases.contains(&name))
    }
}

/// One step of a path into `details`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The member of this key.
    Key(String),
    /// `*`: any member.
    Any,
}

/// What a term looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A field of [`FIELDS`].
    Field(KnownField),
    /// A path into `details`; empty: `details` itself.
    Details(Vec<Step>),
    /// No field of ours; compiling the filter says so.
    Unknown(String),
}

impl Name {
    /// Reads a name as it stands before the colon of a query: `actor.id`, `details.a.*.b`, `details."key with spaces"`.
    ///
    /// A name that cannot be read is [`Unknown`](Self::Unknown): the error comes when the filter is compiled.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self::Unknown(text.to_owned()))
    }

    /// As [`new`](Self::new), with the error at once.
    ///
    /// # Errors
    /// What is wrong with the name, with near names as a hint.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        match lexer::lex(text)?.as_slice() {
            [lexed] => match &lexed.token {
                Token::Word(glyphs) => Self::from_glyphs(glyphs),
                _ => Err(Self::unknown(text)),
            },
            _ => Err(Self::unknown(text)),
        }
    }

    pub(super) fn from_glyphs(glyphs: &[Glyph]) -> Result<Self, FilterError> {
        let at = glyphs.first().map_or(0, |glyph| glyph.at);
        let mut steps = Vec::new();
        for part in glyphs.split(|glyph| glyph.is('.')) {
            let wild = part.iter().find(|glyph| glyph.is('*') || glyph.is('?'));
            match (part, wild) {
                ([], _) => {
                    let message = "a field's name has an empty part";
                    return Err(FilterError::syntax(at, message).hint("write names as details.a.b; an empty key is written \"\""));
                }
                ([only], Some(_)) if only.is('*') => steps.push(Step::Any),
                (_, Some(wild)) => {
                    let message = "in a field's name a wildcard stands for one whole key";
                    return Err(
                        FilterError::syntax(wild.at, message).hint("write details.*.b; a * that is part of a key is written \\*")
                    );
                }
                (part, None) => steps.push(Step::Key(lexer::text_of(part))),
            }
        }
        if let Some((Step::Key(first), rest)) = steps.split_first()
            && first == DETAILS.name
        {
            return Ok(Self::Details(rest.to_vec()));
        }
        let name = lexer::text_of(glyphs);
        KnownField::named(&name).map(Self::Field).ok_or_else(|| Self::unknown(&name).at(at))
    }

    /// The error for a name that no field has.
    pub(super) fn unknown(name: &str) -> FilterError {
        let names = || FIELDS.iter().flat_map(|field| std::iter::once(field.name).chain(field.aliases.iter().copied()));
        let lower = name.to_lowercase();
        let mut near = nearest(name, names());
        near.extend(names().filter(|known| known.rsplit_once('.').is_some_and(|(_, last)| last == lower)));
        near.extend(FOREIGN_WORDS.iter().filter(|(word, _)| *word == lower).map(|(_, ours)| *ours));
        let quote = format!("to look for the text itself, put it in quotes: \"{}:…\"", cut(name));
        let own = format!("members of details are written details.{}", cut(name));
        let hint = if near.is_empty() { format!("{own}; {quote}") } else { format!("did you mean {}? {own}", list(&near)) };
        FilterError::new(FilterErrorKind::UnknownField, format!("there is no field \"{}\"", cut(name))).hint(hint)
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    //! The table is whole and unambiguous.

    use super::*;
    use indelible_format::{Class, Outcome, Severity};

    #[test]
    fn no_name_or_alias_is_used_twice() {
        let mut names: Vec<&str> =
            FIELDS.iter().flat_map(|field| std::iter::once(&field.name).chain(field.aliases)).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(FIELDS.iter().all(|field| !field.about.is_empty()));
        assert_eq!(FIELDS.len(), KnownField::ALL.len() + 1);
    }

    #[test]
    fn the_words_are_those_of_the_format() {
        assert!(Outcome::ALL.iter().map(|word| word.name()).eq(OUTCOMES.iter().copied()));
        assert!(Severity::ALL.iter().map(|word| word.name()).eq(SEVERITIES.iter().copied()));
        assert!(Class::ALL.iter().map(|word| word.name()).eq(CLASSES.iter().copied()));
    }

    #[test]
    fn names_and_aliases_resolve_to_one_field() {
        assert_eq!(Name::new("actor"), Name::Field(KnownField::ActorId));
        assert_eq!(Name::new("actor.id"), Name::Field(KnownField::ActorId));
        assert_eq!(Name::new("details"), Name::Details(vec![]));
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(Name::new("details.a.*.b"), Name::Details(vec![key("a"), Step::Any, key("b")]));
        assert_eq!(Name::new(r#"details."a.b"."".\*"#), Name::Details(vec![key("a.b"), key(""), key("*")]));
        for bad in ["", "a b", "nonsense", "details..x", "details.a*", "details.", "(", "\""] {
            assert!(matches!(Name::new(bad), Name::Unknown(_)), "{bad}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        for (typed, expected) in [
            ("sevrity", "severity"),
            ("Severity", "severity"),
            ("user", "actor.id"),
            ("actor.nmae", "actor.name"),
            ("media_type", "raw.media_type"),
            ("@timestamp", "time"),
            ("requestParameters.bucketName", "details.requestParameters.bucketName"),
        ] {
            let error = Name::parse(typed).unwrap_err();
            assert_eq!(error.kind, FilterErrorKind::UnknownField, "{typed}");
            let hint = error.hint.unwrap();
            assert!(hint.contains(expected), "{typed}: {hint}");
        }
    }
}

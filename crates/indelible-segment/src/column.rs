//! The columns of a segment, under the names that the search language, the API and the command use.

/// How the values of a column are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// UTF-8.
    Text,
    /// Bytes of any length.
    Bytes,
    /// This many bytes.
    Fixed(u8),
    /// 64 bits, signed: nanoseconds.
    Time,
    /// 64 bits, unsigned.
    Number,
    /// 32 bits, unsigned.
    Small,
}

/// How the writer encodes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// A dictionary while it pays, else plain.
    Words,
    /// DELTA_BINARY_PACKED.
    Delta,
    /// DELTA_BYTE_ARRAY.
    Ids,
    /// PLAIN.
    Plain,
}

/// Where a column stands in the tree of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A row has it, always.
    Required,
    /// A row may have it.
    Optional,
    /// A group that a row may have may have it.
    Member,
    /// A text of a list.
    Element,
    /// A member of an element of a list.
    ElementMember,
}

impl Place {
    /// The definition level of a value that is there.
    pub(crate) const fn level_max(self) -> u8 {
        match self {
            Self::Required => 0,
            Self::Optional => 1,
            Self::Member => 2,
            Self::Element => 3,
            Self::ElementMember => 4,
        }
    }

    /// The lowest definition level of an entry that is an element of a list.
    pub(crate) const fn element_level(self) -> u8 {
        if self.is_list() { 2 } else { 0 }
    }

    pub(crate) const fn is_list(self) -> bool {
        matches!(self, Self::Element | Self::ElementMember)
    }

    /// Bits of a definition level.
    pub(crate) const fn level_width(self) -> u32 {
        match self {
            Self::Required => 0,
            Self::Optional => 1,
            Self::Member | Self::Element => 2,
            Self::ElementMember => 3,
        }
    }
}

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident $name:literal $path:expr, $kind:expr, $place:ident, $coding:ident;)+) => {
        /// A column of a segment that has values: a column of its own, or the member of a group or of a list's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Column { $($(#[$doc])* $column,)+ }

        impl Column {
            /// Every column, in the order of the file.
            pub const ALL: &'static [Self] = &[$(Self::$column,)+];

            /// Its name in the search language.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$column => $name,)+ }
            }

            /// Its path in the file.
            pub(crate) const fn path(self) -> &'static [&'static str] {
                match self { $(Self::$column => &$path,)+ }
            }

            pub(crate) const fn kind(self) -> Kind {
                match self { $(Self::$column => $kind,)+ }
            }

            pub(crate) const fn place(self) -> Place {
                match self { $(Self::$column => Place::$place,)+ }
            }

            pub(crate) const fn coding(self) -> Coding {
                match self { $(Self::$column => Coding::$coding,)+ }
            }
        }
    };
}

columns! {
    /// Position in the log.
    Seq "seq" ["seq"], Kind::Number, Required, Delta;
    /// Number of the log.
    Log "log" ["log"], Kind::Small, Required, Words;
    /// `event`, `control` or `leaf`.
    Kind "kind" ["kind"], Kind::Text, Required, Words;
    /// The id, if it is a UUID.
    Id "id" ["id"], Kind::Fixed(16), Optional, Ids;
    /// The id, if it is another text.
    IdText "id_text" ["id_text"], Kind::Text, Optional, Words;
    /// When it happened.
    Time "time" ["time"], Kind::Time, Optional, Delta;
    /// When it was admitted.
    Received "received" ["received"], Kind::Time, Optional, Delta;
    /// Whose event.
    Tenant "tenant" ["tenant"], Kind::Text, Optional, Words;
    /// Its number among the tenant's.
    TenantSeq "tenant_seq" ["tenant_seq"], Kind::Number, Optional, Delta;
    /// What was done.
    Action "action" ["action"], Kind::Text, Optional, Words;
    /// How it ended.
    Outcome "outcome" ["outcome"], Kind::Text, Optional, Words;
    /// How bad it is.
    Severity "severity" ["severity"], Kind::Text, Optional, Words;
    /// Its lane.
    Class "class" ["class"], Kind::Text, Optional, Words;
    /// Format it came from.
    Source "source" ["source"], Kind::Text, Optional, Words;
    /// How many events it stands for.
    Weight "weight" ["weight"], Kind::Number, Optional, Words;
    /// Who counts `producer.seq`.
    ProducerId "producer.id" ["producer", "id"], Kind::Text, Member, Words;
    /// Which of its counts.
    ProducerEpoch "producer.epoch" ["producer", "epoch"], Kind::Number, Member, Words;
    /// The producer's own count.
    ProducerSeq "producer.seq" ["producer", "seq"], Kind::Number, Member, Delta;
    /// Trace id.
    TraceId "trace.trace_id" ["trace", "trace_id"], Kind::Fixed(16), Member, Words;
    /// Span id.
    SpanId "trace.span_id" ["trace", "span_id"], Kind::Fixed(8), Member, Words;
    /// Compliance frameworks; a list.
    Frameworks "frameworks" ["frameworks", "list", "element"], Kind::Text, Element, Words;
    /// Who.
    ActorId "actor.id" ["actor", "id"], Kind::Text, Member, Words;
    /// `user`, `service`…
    ActorType "actor.type" ["actor", "type"], Kind::Text, Member, Words;
    /// Display name.
    ActorName "actor.name" ["actor", "name"], Kind::Text, Member, Words;
    /// E-mail address.
    ActorEmail "actor.email" ["actor", "email"], Kind::Text, Member, Words;
    /// Session.
    Session "session" ["session"], Kind::Text, Optional, Words;
    /// From where.
    OriginIp "origin.ip" ["origin", "ip"], Kind::Text, Member, Words;
    /// With what.
    OriginUserAgent "origin.user_agent" ["origin", "user_agent"], Kind::Text, Member, Words;
    /// On or from which host.
    OriginHost "origin.host" ["origin", "host"], Kind::Text, Member, Words;
    /// The identity's details, JSON.
    IdentityDetails "identity_details" ["identity_details"], Kind::Text, Optional, Plain;
    /// Types of the targets; a list.
    TargetType "targets.type" ["targets", "list", "element", "type"], Kind::Text, ElementMember, Words;
    /// Ids of the targets; a list.
    TargetId "targets.id" ["targets", "list", "element", "id"], Kind::Text, ElementMember, Words;
    /// Names of the targets; a list.
    TargetName "targets.name" ["targets", "list", "element", "name"], Kind::Text, ElementMember, Words;
    /// The content's details, JSON.
    Details "details" ["details"], Kind::Text, Optional, Plain;
    /// Media type of a foreign record that is no JSON.
    RawMediaType "raw.media_type" ["raw", "media_type"], Kind::Text, Member, Words;
    /// Its bytes.
    RawBytes "raw.bytes" ["raw", "bytes"], Kind::Bytes, Member, Plain;
    /// Digest of the idempotency key.
    IdempotencyKey "idempotency.key" ["idempotency", "key"], Kind::Fixed(16), Member, Plain;
    /// Digest of the caller's statement.
    IdempotencyStatement "idempotency.statement" ["idempotency", "statement"], Kind::Fixed(16), Member, Plain;
    /// JSON of a control entry.
    Control "control" ["control"], Kind::Text, Optional, Plain;
    /// Hash of a leaf row.
    Leaf "leaf" ["leaf"], Kind::Fixed(32), Optional, Plain;
    /// The whole record, if the other columns do not give it back exactly.
    Record "record" ["record"], Kind::Bytes, Optional, Plain;
}

/// Number of columns.
pub(crate) const COLUMNS: usize = Column::ALL.len();

impl Column {
    /// Its number, by which tables of columns are indexed.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Whether a row holds a list of values, not one at most.
    #[must_use]
    pub const fn is_list(self) -> bool {
        self.place().is_list()
    }

    /// Whether its values are numbers: `seq`, the times, the counts.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self.kind(), Kind::Time | Kind::Number | Kind::Small)
    }

    /// Whether its numbers are without sign; they are then given as the signed number of the same 64 bits.
    #[must_use]
    pub const fn is_unsigned(self) -> bool {
        matches!(self.kind(), Kind::Number | Kind::Small)
    }

    /// The column of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|column| column.name() == name)
    }

    /// Bytes of a value of fixed length.
    pub(crate) const fn fixed_bytes(self) -> Option<usize> {
        match self.kind() {
            Kind::Fixed(bytes) => Some(bytes as usize),
            Kind::Time | Kind::Number => Some(8),
            Kind::Small => Some(4),
            Kind::Text | Kind::Bytes => None,
        }
    }
}

impl Column {
    /// The columns of a name: one, or all of a group such as `actor`. Empty: there is none.
    #[must_use]
    pub fn all_named(name: &str) -> Vec<Self> {
        let is = |column: &Self| column.name() == name || column.path().first() == Some(&name);
        Self::ALL.iter().copied().filter(is).collect()
    }
}

/// A table with one entry for each column.
#[derive(Debug, Clone)]
pub(crate) struct PerColumn<T>(Box<[T]>);

impl<T> PerColumn<T> {
    pub(crate) fn new(entry: impl FnMut(Column) -> T) -> Self {
        Self(Column::ALL.iter().copied().map(entry).collect())
    }

    /// Of one entry per column, in their order.
    pub(crate) fn from_entries(entries: Vec<T>) -> Option<Self> {
        (entries.len() == COLUMNS).then(|| Self(entries.into()))
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "every constructor makes an entry for every column")]
    pub(crate) fn of(&self, column: Column) -> &T {
        &self.0[column as usize]
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "every constructor makes an entry for every column")]
    pub(crate) fn of_mut(&mut self, column: Column) -> &mut T {
        &mut self.0[column as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Column, &T)> {
        Column::ALL.iter().copied().zip(self.0.iter())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Column, &mut T)> {
        Column::ALL.iter().copied().zip(self.0.iter_mut())
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Column, T)> {
        Column::ALL.iter().copied().zip(self.0.into_vec())
    }
}

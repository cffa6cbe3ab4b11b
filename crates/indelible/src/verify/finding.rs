//! Findings: what verification has to say, each with a stable code. The independent verifier in `tools/` uses the same codes.

use std::fmt;

/// Declares the codes with their words.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)+) => {
        /// What was found; stable across versions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

codes! {
    /// `store.json` contradicts the log, or itself.
    StoreIdentity = "store-identity";
    /// A journal file's header is wrong.
    FileHeader = "file-header";
    /// A frame fails its checksum.
    FrameCrc = "frame-crc";
    /// A frame does not name the one before it.
    FrameChain = "frame-chain";
    /// Frames are missing or malformed.
    JournalCorrupt = "journal-corrupt";
    /// The manifest cannot be read, or leaves positions out.
    Manifest = "manifest";
    /// A segment cannot be read, is not the one that the manifest describes, or its rows are not records.
    SegmentDamaged = "segment-damaged";
    /// What a segment carries to prove its rows is not what they give.
    SegmentProof = "segment-proof";
    /// What a segment carries to find its rows is not what they give.
    SegmentIndex = "segment-index";
    /// The state kept for opening the store is not the one that its segments lead to.
    SealedState = "sealed-state";
    /// A record is malformed.
    RecordMalformed = "record-malformed";
    /// JSON of an event or control entry is not in canonical form.
    NotCanonical = "not-canonical";
    /// The spans of an event are not those of its values.
    SpanMismatch = "span-mismatch";
    /// The seed of a group is missing, or two differ.
    SeedMissing = "seed-missing";
    /// A log's numbering does not go on.
    Sequence = "sequence";
    /// The recomputed root is not the frame's.
    RootMismatch = "root-mismatch";
    /// A tenant's numbering does not go on.
    TenantSequence = "tenant-sequence";
    /// An entry of log 0 states other numbers of tenants' events than the log gives.
    TenantCounts = "tenant-counts";
    /// A producer's number is there twice.
    ProducerDuplicate = "producer-duplicate";
    /// Numbers of a producer are missing and no gap was recorded.
    ProducerGap = "producer-gap";
    /// A checkpoint's signature does not hold.
    CheckpointSignature = "checkpoint-signature";
    /// A checkpoint holds another root than the log.
    CheckpointMismatch = "checkpoint-mismatch";
    /// The log is shorter than a checkpoint that was signed.
    CheckpointAhead = "checkpoint-ahead";
    /// An outside checkpoint holds another root than the log.
    AnchorMismatch = "anchor-mismatch";
    /// The log is shorter than an outside checkpoint.
    AnchorAhead = "anchor-ahead";
    /// The store's key is not the one given from outside.
    KeyMismatch = "key-mismatch";
    /// A `heads` entry names a head that its log never had.
    HeadsMismatch = "heads-mismatch";
    /// Records belong to a log that was never created.
    LogUnknown = "log-unknown";
    /// What was taken over from a backup is not what `store.json`, the entry of log 0 and the predecessor's log say.
    RestoredMismatch = "restored-mismatch";
    /// A predecessor's checkpoint is over more entries than the backup had: they were lost.
    RestoredShort = "restored-short";
    /// The store was restored and not opened since; its first own entry is still to come.
    RestoreUnfinished = "restore-unfinished";
    /// Values are withheld: only their commitments are there, and no entry of the log says by whose authority.
    Withheld = "withheld";
    /// Events have expired, and an entry of log 0 says by which policy; or a checkpoint is about a size of which nothing was kept.
    Expired = "expired";
    /// Events are said to have expired, and log 0 does not say so, or otherwise; or what was to stay of them is not there.
    ExpiredMismatch = "expired-mismatch";
    /// Frames repeat records of earlier ones; no root binds such copies, and no reader shows them.
    CarryUnchecked = "carry-unchecked";
    /// The newest entries are not covered by a checkpoint yet.
    UnsignedTail = "unsigned-tail";
    /// There was nothing outside the store to compare with.
    Unanchored = "unanchored";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Note,
    /// Should be looked at; the proofs hold.
    Warn,
    /// The store is not what it claims to be.
    Fail,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad.
    pub level: Level,
    /// In which log, if in one.
    pub log: Option<u32>,
    /// Where: sequence number when a log is named, else the frame's number.
    pub at: Option<u64>,
    /// In words: evidence, not guilt.
    pub message: String,
}

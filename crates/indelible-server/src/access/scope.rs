//! What a token is for, and what it does not get to see.

/// One thing a token may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Record events.
    Emit,
    /// Search, show, count, follow and export events of its tenants.
    Read,
    /// Checkpoints, tiles and proofs, and the verification of everything.
    Audit,
    /// Tokens, tenants and configuration, and reading what the server records of itself.
    Admin,
}

/// Some scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

/// Which groups of events are not shown: identity (who, from where) and content (on what, and details).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Masks {
    /// Actor, session, origin, and the identity part of a foreign record.
    pub identity: bool,
    /// Targets and details.
    pub content: bool,
}

impl Scope {
    /// All there are.
    pub const ALL: &'static [Self] = &[Self::Emit, Self::Read, Self::Audit, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emit => "emit",
            Self::Read => "read",
            Self::Audit => "audit",
            Self::Admin => "admin",
        }
    }
}

impl Scopes {
    /// Reads words.
    ///
    /// # Errors
    /// The word that is no scope.
    pub fn read<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, String> {
        words.into_iter().try_fold(Self::default(), |scopes, word| {
            let word = word.as_ref();
            let scope = Scope::ALL.iter().find(|scope| scope.name() == word);
            scope.map(|scope| scopes.with(*scope)).ok_or_else(|| word.to_owned())
        })
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// Their words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.iter().filter(|scope| self.has(**scope)).map(|scope| scope.name()).collect()
    }
}

impl Masks {
    /// Reads `identity` and `content`.
    ///
    /// # Errors
    /// The word that is neither.
    pub fn read<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, String> {
        let mut masks = Self::default();
        for word in words {
            match word.as_ref() {
                "identity" => masks.identity = true,
                "content" => masks.content = true,
                other => return Err(other.to_owned()),
            }
        }
        Ok(masks)
    }

    /// Whether anything is masked.
    #[must_use]
    pub const fn any(self) -> bool {
        self.identity || self.content
    }

    /// Its words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [(self.identity, "identity"), (self.content, "content")].iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect()
    }
}

//! How the command ends, as a number that scripts can rely on.

use std::process::ExitCode;

/// The exit codes; part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok,
    /// It could not.
    Error,
    /// The command line or the query cannot be understood.
    Usage,
    /// The log is not what was signed: look at the findings and keep the evidence.
    Unverified,
    /// It did what it could, but not all: the answer or the import has gaps, named on stderr.
    Incomplete,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Unverified => 3,
            Self::Incomplete => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

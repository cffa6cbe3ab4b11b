//! The options by which events are redacted before anything of them is hashed or stored.

use clap::{Args, ValueEnum};
use indelible::Draft;
use indelible::redact::{Detector, Redact, RedactError, RedactScratch, Redaction};

use crate::failure::{Failure, Result};

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RedactionArgs {
    /// Mask what looks like one of these, wherever it stands
    ///
    /// It is replaced by `[redacted]` before anything is hashed or stored, so it cannot be had back. May be given again, or as a list.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', help_heading = "Redaction")]
    redact: Vec<Findable>,

    /// Replace the value at this place by a keyed pseudonym, such as actor.email or details.**.user
    ///
    /// Equal values stay recognisable as equal; the key is pseudonym.key in the data directory. May be given again.
    #[arg(long, value_name = "PATH", help_heading = "Redaction")]
    pseudonymise: Vec<String>,

    /// Mask the value at this place; may be given again
    #[arg(long, value_name = "PATH", help_heading = "Redaction")]
    mask: Vec<String>,
}

/// What can be found by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Findable {
    /// Keys, tokens, passwords
    Secrets,
    /// Payment card numbers
    Cards,
    /// E-mail addresses
    Emails,
}

impl RedactionArgs {
    /// The rules, if any were given.
    pub(crate) fn redaction(&self) -> Result<Option<Redaction>> {
        let mut redaction = Redaction::new();
        for what in &self.redact {
            let detector = match what {
                Findable::Secrets => Detector::Secrets,
                Findable::Cards => Detector::CardNumbers,
                Findable::Emails => Detector::Emails,
            };
            redaction = redaction.detect(detector, Redact::Mask);
        }
        for (paths, how) in [(&self.mask, Redact::Mask), (&self.pseudonymise, Redact::Pseudonym)] {
            for path in paths {
                redaction = redaction.path(path, how).map_err(|error| {
                    Failure::usage(error.to_string())
                        .hint("name a place such as actor.email, origin.ip, session, target.name or details.**.password")
                })?;
            }
        }
        Ok((!redaction.is_empty()).then_some(redaction))
    }

    /// The rules, followed here, before an event is sent to a server.
    pub(crate) fn here(&self) -> Result<Redactor> {
        let redaction = self.redaction()?;
        if redaction.as_ref().is_some_and(Redaction::needs_pseudonym_key) {
            return Err(Failure::usage("--pseudonymise needs the key of the data directory, which no server gives away")
                .hint("use --mask here, or redaction where the server runs"));
        }
        Ok(Redactor { redaction, scratch: RedactScratch::default() })
    }

    /// A text that is different when the rules are: what is stored under other rules is another event.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}

/// Redacts what is sent elsewhere.
#[derive(Debug)]
pub(crate) struct Redactor {
    redaction: Option<Redaction>,
    scratch: RedactScratch,
}

impl Redactor {
    /// Calls `with` with the draft as it may be sent.
    pub(crate) fn with<R>(&mut self, draft: &Draft<'_>, with: impl FnOnce(&Draft<'_>) -> R) -> Result<R, RedactError> {
        match &self.redaction {
            Some(redaction) => redaction.with_redacted(draft, &mut self.scratch, with),
            None => Ok(with(draft)),
        }
    }
}

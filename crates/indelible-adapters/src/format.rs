//! The formats there are, by name.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::facts::{Facts, Words};
use crate::found::Found;
use crate::plan::Plan;
use crate::{cloudtrail, generic, kubernetes, ocsf, opentelemetry, windows};

/// Whose format a record is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// AWS CloudTrail.
    CloudTrail,
    /// Kubernetes `audit.k8s.io`.
    Kubernetes,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// Windows event log: nxlog, winlogbeat, EVTX-as-JSON or Splunk shape.
    Windows,
    /// OpenTelemetry log records, attributes as members.
    OpenTelemetry,
    /// Any other JSON.
    Json,
}

impl Format {
    /// Every format, the most particular first.
    pub const ALL: &'static [Self] =
        &[Self::CloudTrail, Self::Kubernetes, Self::Ocsf, Self::Windows, Self::OpenTelemetry, Self::Json];

    /// The word for it on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudTrail => "cloudtrail",
            Self::Kubernetes => "kubernetes",
            Self::Ocsf => "ocsf",
            Self::Windows => "windows",
            Self::OpenTelemetry => "otlp",
            Self::Json => "json",
        }
    }

    /// What an event made from it has as `source`.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::CloudTrail => "cloudtrail",
            Self::Kubernetes => "kubernetes-audit",
            Self::Ocsf => "ocsf",
            Self::Windows => "windows-event",
            Self::OpenTelemetry => "otlp",
            Self::Json => "json",
        }
    }

    /// The paths by which its records are split, and the fields that are mapped.
    ///
    /// # Cost
    /// Built once per format, on first use.
    #[must_use]
    pub fn plan(self) -> &'static Plan {
        static CLOUDTRAIL: LazyLock<Plan> = LazyLock::new(cloudtrail::plan);
        static KUBERNETES: LazyLock<Plan> = LazyLock::new(kubernetes::plan);
        static OCSF: LazyLock<Plan> = LazyLock::new(ocsf::plan);
        static WINDOWS: LazyLock<Plan> = LazyLock::new(windows::plan);
        static OPENTELEMETRY: LazyLock<Plan> = LazyLock::new(opentelemetry::plan);
        static JSON: LazyLock<Plan> = LazyLock::new(generic::plan);
        match self {
            Self::CloudTrail => &CLOUDTRAIL,
            Self::Kubernetes => &KUBERNETES,
            Self::Ocsf => &OCSF,
            Self::Windows => &WINDOWS,
            Self::OpenTelemetry => &OPENTELEMETRY,
            Self::Json => &JSON,
        }
    }

    /// Reads the facts of a record of this format.
    pub(crate) fn map<'a>(self, found: &Found<'a>, words: &mut Words, facts: &mut Facts<'a>) {
        match self {
            Self::CloudTrail => cloudtrail::map(found, words, facts),
            Self::Kubernetes => kubernetes::map(found, words, facts),
            Self::Ocsf => ocsf::map(found, words, facts),
            Self::Windows => windows::map(found, words, facts),
            Self::OpenTelemetry => opentelemetry::map(found, words, facts),
            Self::Json => generic::map(found, words, facts),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a format; use one of: cloudtrail, kubernetes, ocsf, windows, otlp, json")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().copied().find(|format| format.name() == word).ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_the_error_names_them_all() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(*format));
            assert!(UnknownFormat.to_string().contains(format.name()));
        }
        assert_eq!("syslog".parse::<Format>(), Err(UnknownFormat));
    }
}

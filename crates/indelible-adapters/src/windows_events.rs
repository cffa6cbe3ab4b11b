//! Windows events that mean the same as a known action. Facts of Microsoft's event reference.

use indelible_format::taxonomy::{self as known, Action};
use indelible_format::{Outcome, Severity};

/// Which log an event id counts in; the same number means something else in another log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Security,
    System,
    Sysmon,
    Other,
}

/// Whose account the event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The `Subject…` fields: who asked for it.
    Subject,
    /// The `Target…` fields: in events about logons the subject is the service that let them in.
    Target,
}

/// What an event means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning {
    /// The action it is recorded as.
    pub(crate) action: Option<Action<'static>>,
    /// Only its class and severity.
    pub(crate) like: Option<Action<'static>>,
    /// Told by the id alone.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) who: Who,
}

const UNKNOWN: Meaning = Meaning { action: None, like: None, outcome: None, who: Who::Subject };

const fn same_as(action: Action<'static>) -> Meaning {
    Meaning { action: Some(action), ..UNKNOWN }
}

const fn like(action: Action<'static>) -> Meaning {
    Meaning { like: Some(action), ..UNKNOWN }
}

const fn logon(action: Action<'static>, outcome: Option<Outcome>) -> Meaning {
    Meaning { action: Some(action), outcome, who: Who::Target, ..UNKNOWN }
}

/// What event `id` of `log` means.
pub(crate) const fn meaning(log: Log, id: i64) -> Meaning {
    match log {
        Log::Security => security(id),
        Log::System => match id {
            // The System log was cleared.
            104 => like(known::AUDIT_GAP),
            // A service was installed.
            7045 => same_as(known::CONFIG_CHANGE),
            _ => UNKNOWN,
        },
        Log::Sysmon => match id {
            1 => same_as(known::PROCESS_START),
            3 => same_as(known::NETWORK_CONNECT),
            5 => same_as(known::PROCESS_STOP),
            11 => same_as(known::FILE_CREATE),
            23 | 26 => same_as(known::FILE_DELETE),
            // Sysmon's own configuration was changed.
            16 => same_as(known::CONFIG_CHANGE),
            _ => UNKNOWN,
        },
        Log::Other => UNKNOWN,
    }
}

const fn security(id: i64) -> Meaning {
    match id {
        // The audit log was cleared: what it held is gone, but not from here, so it is like a gap and none.
        1102 => like(known::AUDIT_GAP),
        4624 => logon(known::USER_LOGIN, Some(Outcome::Success)),
        4625 | 4771 => logon(known::USER_LOGIN, Some(Outcome::Failure)),
        4776 => logon(known::USER_LOGIN, None),
        4634 | 4647 => logon(known::USER_LOGOUT, Some(Outcome::Success)),
        // A logon was tried with explicit credentials: the subject does it.
        4648 => same_as(known::USER_LOGIN),
        // Special privileges were given to a new logon.
        4672 => same_as(known::ACCESS_GRANT),
        4768..=4770 => logon(known::TOKEN_ISSUE, None),
        4778 => same_as(known::SESSION_START),
        4779 => same_as(known::SESSION_END),
        4688 => same_as(known::PROCESS_START),
        4689 => same_as(known::PROCESS_STOP),
        // A service was installed; a scheduled task was made, deleted, enabled, disabled, changed.
        4697..=4702 => same_as(known::CONFIG_CHANGE),
        4704 | 4717 => same_as(known::ROLE_ASSIGN),
        4705 | 4718 => same_as(known::ROLE_REVOKE),
        4719 | 4739 => same_as(known::POLICY_CHANGE),
        4720 | 4741 => same_as(known::ACCOUNT_CREATE),
        4722 | 4725 | 4738 | 4742 | 4767 | 4781 => same_as(known::ACCOUNT_UPDATE),
        4723 | 4724 => same_as(known::USER_PASSWORD_CHANGE),
        4726 | 4743 => same_as(known::ACCOUNT_DELETE),
        4740 => same_as(known::ACCOUNT_LOCK),
        4727..=4735 | 4737 | 4754..=4758 | 4764 => same_as(known::GROUP_UPDATE),
        4656 | 4663 | 5140 | 5145 => same_as(known::RESOURCE_ACCESS),
        4660 => same_as(known::RESOURCE_DELETE),
        5156 => same_as(known::NETWORK_CONNECT),
        5152 | 5157 => Meaning { outcome: Some(Outcome::Denied), ..same_as(known::NETWORK_CONNECT) },
        _ => UNKNOWN,
    }
}

/// `Level` of the event, where it says more than "information".
pub(crate) const fn severity_of_level(level: i64) -> Option<Severity> {
    match level {
        1 => Some(Severity::Critical),
        2 => Some(Severity::Medium),
        3 => Some(Severity::Low),
        _ => None,
    }
}

/// nxlog's `SeverityValue`.
pub(crate) const fn severity_of_nxlog(value: i64) -> Option<Severity> {
    match value {
        5 => Some(Severity::Critical),
        4 => Some(Severity::Medium),
        3 => Some(Severity::Low),
        _ => None,
    }
}

//! The taxonomy: known actions with their default class and severity, version 1.
//!
//! Any action of the right shape may be recorded; one that is not listed is `normal` and `info`. An action's class may depend on
//! its outcome: a login that failed is critical, one that succeeded is not.

use crate::event::{Class, Outcome, Severity};

/// Version of the list below. It grows; an entry's meaning never changes.
pub const VERSION: u32 = 1;

/// What was done, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action<'a> {
    name: &'a str,
    known: Option<&'static Known>,
}

/// One line of the taxonomy.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// `noun.verb`.
    pub name: &'static str,
    /// Class and severity when it succeeded, or the outcome is not known.
    pub usual: (Class, Severity),
    /// Class and severity when it failed, was denied, or ended in an error.
    pub failed: (Class, Severity),
    /// What it stands for.
    pub about: &'static str,
}

impl<'a> Action<'a> {
    /// Looks `name` up in the taxonomy. Cost: a binary search, no allocation.
    #[must_use]
    pub fn named(name: &'a str) -> Self {
        let known = ACTIONS.binary_search_by(|entry| entry.name.cmp(name)).ok().and_then(|at| ACTIONS.get(at));
        Self { name, known }
    }

    /// `noun.verb`.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Its line in the taxonomy, if it has one.
    #[must_use]
    pub const fn known(&self) -> Option<&'static Known> {
        self.known
    }

    /// Class and severity when the caller names none.
    #[must_use]
    pub fn defaults(&self, outcome: Outcome) -> (Class, Severity) {
        self.known.map_or((Class::Normal, Severity::Info), |known| match outcome {
            Outcome::Unknown | Outcome::Success => known.usual,
            Outcome::Failure | Outcome::Denied | Outcome::Error => known.failed,
        })
    }
}

impl<'a> From<&'a str> for Action<'a> {
    fn from(name: &'a str) -> Self {
        Self::named(name)
    }
}

impl<'a> From<&'a String> for Action<'a> {
    fn from(name: &'a String) -> Self {
        Self::named(name)
    }
}

use Class::{Critical as C, Normal as N, Telemetry as T};
use Severity::{Critical, High, Info, Low, Medium};

/// Declares the table and a constant for every line, so that a typo in typed code does not compile.
macro_rules! taxonomy {
    ($($constant:ident = $name:literal, $uc:ident $us:ident, $fc:ident $fs:ident, $about:literal;)+) => {
        /// Every known action, sorted by name.
        pub static ACTIONS: &[Known] = &[
            $(Known { name: $name, usual: ($uc, $us), failed: ($fc, $fs), about: $about },)+
        ];

        taxonomy!(@constants 0usize; $($constant $name $about;)+);
    };
    (@constants $at:expr; $constant:ident $name:literal $about:literal; $($rest:tt)*) => {
        #[doc = concat!("`", $name, "`: ", $about)]
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        pub const $constant: Action<'static> = Action { name: $name, known: Some(&ACTIONS[$at]) };
        taxonomy!(@constants $at + 1; $($rest)*);
    };
    (@constants $at:expr;) => {};
}

// Sorted by name; a test holds it so.
taxonomy! {
    ACCESS_DENY = "access.deny", C Medium, C Medium, "access was refused";
    ACCESS_GRANT = "access.grant", N Info, C Medium, "access was given";
    ACCOUNT_CREATE = "account.create", C Medium, C Medium, "an account was made";
    ACCOUNT_DELETE = "account.delete", C Medium, C Medium, "an account was removed";
    ACCOUNT_LOCK = "account.lock", C Medium, C Medium, "an account was locked";
    ACCOUNT_UPDATE = "account.update", C Low, C Medium, "an account was changed";
    AUDIT_GAP = "audit.gap", C High, C High, "events are known to be missing";
    AUDIT_READ = "audit.read", N Info, C Medium, "the audit log itself was read";
    COMPLIANCE_CHECK = "compliance.check", C Info, C High, "a compliance rule was evaluated";
    COMPLIANCE_VIOLATION = "compliance.violation", C High, C High, "a compliance rule was broken";
    CONFIG_CHANGE = "config.change", C Low, C Medium, "a configuration was changed";
    CONSENT_UPDATE = "consent.update", C Info, C Medium, "a person's consent changed";
    DATA_ACCESS = "data.access", N Info, C Medium, "data were looked at";
    DATA_CREATE = "data.create", N Info, N Low, "data were made";
    DATA_DELETE = "data.delete", N Low, C Medium, "data were deleted";
    DATA_ERASE = "data.erase", C Medium, C High, "personal data were erased on request";
    DATA_EXPORT = "data.export", N Low, C Medium, "data left the system";
    DATA_IMPORT = "data.import", N Info, N Low, "data entered the system";
    DATA_READ = "data.read", N Info, C Low, "data were read";
    DATA_UPDATE = "data.update", N Info, N Low, "data were changed";
    ERROR_OCCUR = "error.occur", N Medium, N Medium, "something went wrong";
    FILE_CREATE = "file.create", N Info, N Low, "a file was made";
    FILE_DELETE = "file.delete", N Low, N Low, "a file was deleted";
    FILE_READ = "file.read", N Info, C Low, "a file was read";
    FILE_WRITE = "file.write", N Info, N Low, "a file was written";
    GROUP_UPDATE = "group.update", C Medium, C Medium, "a group's members changed";
    INTEGRITY_VERIFY = "integrity.verify", C Info, C Critical, "integrity was checked";
    KEY_CREATE = "key.create", C Medium, C Medium, "a key was made";
    KEY_ROTATE = "key.rotate", C Medium, C High, "a key was replaced";
    KEY_USE = "key.use", N Info, C Medium, "a key was used";
    LINEAGE_RECORD = "lineage.record", N Info, N Low, "where data came from and went";
    LOG_SEAL = "log.seal", C Info, C High, "events were sealed";
    LOG_VERIFY = "log.verify", C Info, C Critical, "the log was verified";
    NETWORK_CONNECT = "network.connect", N Info, N Low, "a connection was made";
    PACKAGE_INSTALL = "package.install", N Low, C Medium, "a package was installed";
    PACKAGE_REMOVE = "package.remove", N Low, N Low, "a package was removed";
    PACKAGE_UPDATE = "package.update", N Low, C Medium, "a package was updated";
    PACKAGE_VERIFY = "package.verify", C Info, C High, "a package's integrity was checked";
    PERFORMANCE_MEASURE = "performance.measure", T Info, T Low, "a performance figure";
    POLICY_CHANGE = "policy.change", C High, C High, "a policy was changed";
    PRIVILEGE_ESCALATE = "privilege.escalate", C High, C High, "privileges were raised";
    PROCESS_START = "process.start", N Info, N Low, "a process was started";
    PROCESS_STOP = "process.stop", N Info, N Low, "a process ended";
    RECORD_OPAQUE = "record.opaque", N Info, N Info, "a foreign record kept as it came";
    RECORD_PARSE = "record.parse", N Info, N Low, "a record was parsed";
    RECORD_TRANSFORM = "record.transform", N Info, N Low, "a record was transformed";
    RECORD_VALIDATE = "record.validate", N Info, N Medium, "a record was validated";
    RESOURCE_ACCESS = "resource.access", N Info, C Medium, "a resource was used";
    RESOURCE_CREATE = "resource.create", N Info, N Low, "a resource was made";
    RESOURCE_DELETE = "resource.delete", N Low, C Medium, "a resource was deleted";
    RESOURCE_UPDATE = "resource.update", N Info, N Low, "a resource was changed";
    ROLE_ASSIGN = "role.assign", C Medium, C Medium, "a role was given";
    ROLE_REVOKE = "role.revoke", C Medium, C Medium, "a role was taken away";
    RUNTIME_PROTECT = "runtime.protect", C High, C High, "runtime protection acted";
    SANDBOX_RUN = "sandbox.run", N Info, C High, "code ran in a sandbox";
    SECURITY_ALERT = "security.alert", C High, C High, "a security alert was raised";
    SERVICE_START = "service.start", N Info, C Medium, "a service started";
    SERVICE_STOP = "service.stop", N Info, C Medium, "a service stopped";
    SESSION_END = "session.end", N Info, N Low, "a session ended";
    SESSION_START = "session.start", N Info, C Medium, "a session began";
    TOKEN_ISSUE = "token.issue", N Info, C Medium, "a token was issued";
    TOKEN_REVOKE = "token.revoke", C Low, C Medium, "a token was revoked";
    USER_LOGIN = "user.login", N Info, C Medium, "a user logged in";
    USER_LOGOUT = "user.logout", N Info, N Low, "a user logged out";
    USER_MFA = "user.mfa", N Info, C Medium, "a second factor was asked for";
    USER_PASSWORD_CHANGE = "user.password_change", C Low, C Medium, "a password was changed";
    VULNERABILITY_SCAN = "vulnerability.scan", N Info, C High, "a scan for vulnerabilities ran";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_sorted_and_well_formed() {
        assert!(ACTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ACTIONS.iter().all(|known| crate::head::is_action(known.name)));
    }

    #[test]
    fn constants_point_to_their_own_line() {
        assert_eq!(USER_LOGIN, Action::named("user.login"));
        assert_eq!(VULNERABILITY_SCAN, Action::named("vulnerability.scan"));
        assert_eq!(ACCESS_DENY, Action::named("access.deny"));
    }

    #[test]
    fn a_failed_login_is_critical_and_a_good_one_is_not() {
        assert_eq!(USER_LOGIN.defaults(Outcome::Failure).0, Class::Critical);
        assert_eq!(USER_LOGIN.defaults(Outcome::Success).0, Class::Normal);
        assert_eq!(Action::named("widget.polish").defaults(Outcome::Failure), (Class::Normal, Severity::Info));
    }
}

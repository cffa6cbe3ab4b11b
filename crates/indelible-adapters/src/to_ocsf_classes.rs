//! Which OCSF class and activity an action is. Facts of the OCSF schema 1.x.

use crate::to_ocsf::{OTHER, Part};

/// The classes that events are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Base,
    FileSystemActivity,
    ProcessActivity,
    DetectionFinding,
    AccountChange,
    Authentication,
    EntityManagement,
    UserAccess,
    GroupManagement,
    NetworkActivity,
    ApplicationLifecycle,
    ApiActivity,
}

use Class::{
    AccountChange, ApiActivity, ApplicationLifecycle, Authentication, Base, DetectionFinding, EntityManagement,
    FileSystemActivity, GroupManagement, NetworkActivity, ProcessActivity, UserAccess,
};

/// What an action is in OCSF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) class: Class,
    pub(crate) activity: u8,
    /// The name of an activity that has no number.
    pub(crate) verb: &'a str,
}

// Sorted by action; a test holds it so.
const KNOWN: &[(&str, Class, u8)] = &[
    ("account.create", AccountChange, 1),
    ("account.delete", AccountChange, 6),
    ("account.lock", AccountChange, 9),
    ("account.update", AccountChange, OTHER),
    ("config.change", EntityManagement, 3),
    ("consent.update", EntityManagement, 3),
    ("file.create", FileSystemActivity, 1),
    ("file.delete", FileSystemActivity, 4),
    ("file.read", FileSystemActivity, 2),
    ("file.write", FileSystemActivity, 3),
    ("group.update", GroupManagement, OTHER),
    ("key.create", EntityManagement, 1),
    ("key.rotate", EntityManagement, 3),
    ("network.connect", NetworkActivity, 1),
    ("package.install", ApplicationLifecycle, 1),
    ("package.remove", ApplicationLifecycle, 2),
    ("package.update", ApplicationLifecycle, 8),
    ("policy.change", EntityManagement, 3),
    ("privilege.escalate", UserAccess, 1),
    ("process.start", ProcessActivity, 1),
    ("process.stop", ProcessActivity, 2),
    ("role.assign", UserAccess, 3),
    ("role.revoke", UserAccess, 4),
    ("runtime.protect", DetectionFinding, 1),
    ("security.alert", DetectionFinding, 1),
    ("service.start", ApplicationLifecycle, 3),
    ("service.stop", ApplicationLifecycle, 4),
    ("session.end", Authentication, 2),
    ("session.start", Authentication, 1),
    ("signin.ConsoleLogin", Authentication, 1),
    ("token.issue", Authentication, OTHER),
    ("token.revoke", Authentication, OTHER),
    ("user.login", Authentication, 1),
    ("user.logout", Authentication, 2),
    ("user.mfa", Authentication, OTHER),
    ("user.password_change", AccountChange, 3),
];

/// Nouns of what a program says about itself and what a host's log says: no class fits better than the one without a meaning.
const BASE_NOUNS: &[&str] =
    &["audit", "compliance", "error", "integrity", "lineage", "log", "performance", "record", "sandbox", "vulnerability"];

/// First words of operations, and the activity of API Activity that they are.
const VERBS: &[(u8, &[&str])] = &[
    (1, &["create", "add", "insert", "put", "post", "run", "start", "import", "register", "generate", "new"]),
    (
        2,
        &[
            "get", "list", "describe", "read", "head", "search", "lookup", "view", "access", "query", "scan", "watch", "export",
            "download", "decrypt",
        ],
    ),
    (
        3,
        &[
            "update",
            "modify",
            "set",
            "change",
            "edit",
            "patch",
            "attach",
            "detach",
            "enable",
            "disable",
            "associate",
            "write",
            "rename",
        ],
    ),
    (4, &["delete", "remove", "terminate", "destroy", "deregister", "erase", "purge", "drop"]),
];

impl<'a> Shape<'a> {
    /// Of any action.
    pub(crate) fn of(action: &'a str) -> Self {
        let (noun, _) = action.split_once('.').unwrap_or((action, ""));
        let verb = action.rsplit('.').next().unwrap_or(action);
        if let Ok(at) = KNOWN.binary_search_by(|known| known.0.cmp(action))
            && let Some((_, class, activity)) = KNOWN.get(at)
        {
            return Self { class: *class, activity: *activity, verb };
        }
        if BASE_NOUNS.contains(&noun) || noun.starts_with("windows-") {
            return Self { class: Base, activity: OTHER, verb };
        }
        let word = first_word(verb);
        let is_word = |known: &str| known.eq_ignore_ascii_case(word);
        let known = VERBS.iter().find(|(_, words)| words.iter().any(|known| is_word(known)));
        Self { class: ApiActivity, activity: known.map_or(OTHER, |(activity, _)| *activity), verb }
    }
}

/// `Get` of `GetUser`, `delete` of `delete_all`, `delete` of `delete`.
fn first_word(verb: &str) -> &str {
    let ends = |(at, character): (usize, char)| at > 0 && !character.is_ascii_lowercase();
    let end = verb.char_indices().find(|place| ends(*place)).map_or(verb.len(), |(at, _)| at);
    verb.get(..end).unwrap_or(verb)
}

impl Class {
    pub(crate) const fn uid(self) -> u16 {
        match self {
            Base => 0,
            FileSystemActivity => 1001,
            ProcessActivity => 1007,
            DetectionFinding => 2004,
            AccountChange => 3001,
            Authentication => 3002,
            EntityManagement => 3004,
            UserAccess => 3005,
            GroupManagement => 3006,
            NetworkActivity => 4001,
            ApplicationLifecycle => 6002,
            ApiActivity => 6003,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Base => "Base Event",
            FileSystemActivity => "File System Activity",
            ProcessActivity => "Process Activity",
            DetectionFinding => "Detection Finding",
            AccountChange => "Account Change",
            Authentication => "Authentication",
            EntityManagement => "Entity Management",
            UserAccess => "User Access Management",
            GroupManagement => "Group Management",
            NetworkActivity => "Network Activity",
            ApplicationLifecycle => "Application Lifecycle",
            ApiActivity => "API Activity",
        }
    }

    pub(crate) const fn category(self) -> &'static str {
        match self.uid() / 1000 {
            1 => "System Activity",
            2 => "Findings",
            3 => "Identity & Access Management",
            4 => "Network Activity",
            6 => "Application Activity",
            _ => "Uncategorized",
        }
    }

    /// Whether the class itself has an actor; others have it through the profile `host`.
    pub(crate) const fn has_actor(self) -> bool {
        !matches!(self, Base | DetectionFinding | NetworkActivity | ApplicationLifecycle)
    }

    /// Whether it came from an endpoint; else it was on a device.
    pub(crate) const fn has_endpoint(self) -> bool {
        matches!(self.uid() / 1000, 3 | 4) || matches!(self, ApiActivity)
    }

    /// Whether it can be a request.
    pub(crate) const fn has_request(self) -> bool {
        self.uid() / 1000 == 3 || matches!(self, ApiActivity)
    }

    /// Whether it has a list of what it was done to.
    pub(crate) const fn has_resources(self) -> bool {
        matches!(self, DetectionFinding | UserAccess | GroupManagement | ApiActivity)
    }

    /// The attribute for what it was done to first, and its members.
    pub(crate) const fn first_target(self) -> Option<(&'static str, &'static [(&'static str, Part)])> {
        match self {
            FileSystemActivity => Some(("file", &[("name", Part::NameOrId), ("path", Part::Id)])),
            ProcessActivity => Some(("process", &[("uid", Part::Id), ("name", Part::Name)])),
            AccountChange | UserAccess => Some(("user", &[("uid", Part::Id), ("name", Part::Name)])),
            EntityManagement => Some(("entity", &[("uid", Part::Id), ("name", Part::Name), ("type", Part::Kind)])),
            GroupManagement => Some(("group", &[("uid", Part::Id), ("name", Part::Name)])),
            NetworkActivity => Some(("dst_endpoint", &[("uid", Part::Id), ("hostname", Part::Name)])),
            ApplicationLifecycle => Some(("app", &[("name", Part::NameOrId), ("uid", Part::Id)])),
            Base | DetectionFinding | Authentication | ApiActivity => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use indelible_format::taxonomy::ACTIONS;

    use super::*;
    use crate::ocsf_names::{activity_name, class_name};

    #[test]
    fn known_actions_are_sorted_and_have_activities_that_exist() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (action, class, activity) in KNOWN {
            let uid = i64::from(class.uid());
            assert!(class_name(uid).is_some() && activity_name(uid, i64::from(*activity)).is_some(), "{action}");
        }
    }

    #[test]
    fn every_action_of_the_taxonomy_and_any_other_has_a_class() {
        let shape = |action: &str| (Shape::of(action).class.uid(), Shape::of(action).activity);
        for known in ACTIONS {
            shape(known.name);
        }
        for (action, expected) in [
            ("data.read", (6003, 2)),
            ("iam.CreateUser", (6003, 1)),
            ("ec2.DescribeRouteTables", (6003, 2)),
            ("ssm.PutParameter", (6003, 1)),
            ("pods.delete", (6003, 4)),
            ("widget.polish", (6003, 99)),
            ("windows-security.4658", (0, 99)),
            ("record.opaque", (0, 99)),
            ("noverb", (6003, 99)),
        ] {
            assert_eq!(shape(action), expected, "{action}");
        }
    }
}

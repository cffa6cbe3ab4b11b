//! Names of OCSF classes and activities, for records that carry only their numbers. Facts of the OCSF schema 1.x.

/// Activities with the same number in many classes.
const CREATE_READ_UPDATE_DELETE: &[&str] = &["create", "read", "update", "delete"];
const FINDING: &[&str] = &["create", "update", "close"];
const NETWORK: &[&str] = &["open", "close", "reset", "fail", "refuse", "traffic", "listen"];

/// A class: its number, its name, its activities from 1 upwards.
type Class = (i64, &'static str, &'static [&'static str]);

// Sorted by number; a test holds it so.
const CLASSES: &[Class] = &[
    (
        1001,
        "file_system_activity",
        &[
            "create",
            "read",
            "update",
            "delete",
            "rename",
            "set_attributes",
            "set_security",
            "get_attributes",
            "get_security",
            "encrypt",
            "decrypt",
            "mount",
            "unmount",
            "open",
        ],
    ),
    (1002, "kernel_extension_activity", &["load", "unload"]),
    (1003, "kernel_activity", &["create", "read", "delete", "invoke"]),
    (
        1004,
        "memory_activity",
        &[
            "allocate_page",
            "modify_page",
            "delete_page",
            "buffer_overflow",
            "disable_dep",
            "enable_dep",
            "read",
            "write",
            "map_view",
        ],
    ),
    (1005, "module_activity", &["load", "unload", "invoke"]),
    (1006, "scheduled_job_activity", &["create", "update", "delete", "enable", "disable", "start"]),
    (1007, "process_activity", &["launch", "terminate", "open", "inject", "set_user_id"]),
    (
        1008,
        "event_log_activity",
        &["clear", "delete", "export", "archive", "rotate", "start", "stop", "restart", "enable", "disable"],
    ),
    (1009, "script_activity", &["execute"]),
    (2001, "security_finding", FINDING),
    (2002, "vulnerability_finding", FINDING),
    (2003, "compliance_finding", FINDING),
    (2004, "detection_finding", FINDING),
    (2005, "incident_finding", FINDING),
    (2006, "data_security_finding", FINDING),
    (2007, "application_security_posture_finding", FINDING),
    (2008, "iam_analysis_finding", FINDING),
    (
        3001,
        "account_change",
        &[
            "create",
            "enable",
            "password_change",
            "password_reset",
            "disable",
            "delete",
            "attach_policy",
            "detach_policy",
            "lock",
            "mfa_factor_enable",
            "mfa_factor_disable",
            "unlock",
        ],
    ),
    (
        3002,
        "authentication",
        &[
            "logon",
            "logoff",
            "authentication_ticket",
            "service_ticket_request",
            "service_ticket_renew",
            "preauth",
            "account_switch",
        ],
    ),
    (3003, "authorize_session", &["assign_privileges", "assign_groups", "assign_roles"]),
    (3004, "entity_management", CREATE_READ_UPDATE_DELETE),
    (3005, "user_access_management", &["assign_privileges", "revoke_privileges", "assign_role", "remove_role"]),
    (
        3006,
        "group_management",
        &[
            "assign_privileges",
            "revoke_privileges",
            "add_user",
            "remove_user",
            "delete",
            "create",
            "add_subgroup",
            "remove_subgroup",
        ],
    ),
    (4001, "network_activity", NETWORK),
    (4002, "http_activity", &["connect", "delete", "get", "head", "options", "post", "put", "trace", "patch"]),
    (4003, "dns_activity", &["query", "response"]),
    (4004, "dhcp_activity", &["discover", "offer", "request", "decline", "ack", "nak", "release", "inform", "expire"]),
    (
        4005,
        "rdp_activity",
        &[
            "initial_request",
            "initial_response",
            "connect_request",
            "connect_response",
            "tls_handshake",
            "traffic",
            "disconnect",
            "reconnect",
        ],
    ),
    (
        4006,
        "smb_activity",
        &["file_supersede", "file_open", "file_create", "file_open_if", "file_overwrite", "file_overwrite_if"],
    ),
    (4007, "ssh_activity", NETWORK),
    (4008, "ftp_activity", &["put", "get", "poll", "delete", "rename", "list"]),
    (4009, "email_activity", &["send", "receive", "scan", "trace", "mta_relay"]),
    (5001, "device_inventory_info", &["log", "collect"]),
    (5002, "device_config_state", &["log", "collect"]),
    (5003, "user_inventory_info", &["log", "collect"]),
    (6001, "web_resources_activity", &["create", "read", "update", "delete", "search", "import", "export", "share"]),
    (6002, "application_lifecycle", &["install", "remove", "start", "stop", "restart", "enable", "disable", "update"]),
    (6003, "api_activity", CREATE_READ_UPDATE_DELETE),
    (6004, "web_resource_access_activity", &["access_grant", "access_deny", "access_revoke", "access_error"]),
    (
        6005,
        "datastore_activity",
        &["read", "update", "connect", "query", "write", "create", "delete", "list", "encrypt", "decrypt"],
    ),
    (
        6006,
        "file_hosting_activity",
        &[
            "upload",
            "download",
            "update",
            "delete",
            "rename",
            "copy",
            "move",
            "restore",
            "preview",
            "lock",
            "unlock",
            "share",
            "unshare",
            "open",
            "sync",
            "unsync",
            "access_check",
        ],
    ),
    (6007, "scan_activity", &["started", "completed", "cancelled"]),
];

fn class(uid: i64) -> Option<&'static Class> {
    CLASSES.binary_search_by_key(&uid, |class| class.0).ok().and_then(|at| CLASSES.get(at))
}

/// The name of a class, in lower case with underscores.
pub(crate) fn class_name(uid: i64) -> Option<&'static str> {
    class(uid).map(|class| class.1)
}

/// The name of an activity of a class.
pub(crate) fn activity_name(class_uid: i64, activity: i64) -> Option<&'static str> {
    match activity {
        0 => Some("unknown"),
        99 => Some("other"),
        _ => {
            let at = usize::try_from(activity).ok()?.checked_sub(1)?;
            class(class_uid)?.2.get(at).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_sorted_and_found() {
        assert!(CLASSES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(class_name(3002), Some("authentication"));
        assert_eq!(activity_name(3002, 2), Some("logoff"));
        assert_eq!(activity_name(1007, 99), Some("other"));
        assert_eq!(activity_name(1007, -1), None);
        assert_eq!(activity_name(9999, 1), None);
    }
}

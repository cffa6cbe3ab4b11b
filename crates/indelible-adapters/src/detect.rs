//! Which format a record is in, told by its top-level keys.

use indelible_format::json::Node;

use crate::format::Format;

/// Tells the format of one parsed record; what nothing else claims is [`Format::Json`].
///
/// # Cost
/// Looks at every top-level key once; no allocation.
#[must_use]
pub fn detect(record: Node<'_, '_>) -> Format {
    let mut seen = Seen::default();
    for (key, value) in record.entries() {
        match key.raw() {
            "eventSource" => seen.aws_source = true,
            "eventName" => seen.aws_name = true,
            "userIdentity" | "awsRegion" | "eventVersion" => seen.aws_other = true,
            "apiVersion" => seen.audit_api |= value.raw().starts_with("\"audit.k8s.io/"),
            "auditID" => seen.audit_id = true,
            "stage" | "verb" | "requestURI" => seen.audit_other = true,
            "class_uid" => seen.ocsf_class = true,
            "category_uid" | "type_uid" | "activity_id" | "metadata" => seen.ocsf_other = true,
            "EventID" | "EventCode" => seen.windows_id = true,
            "Channel" | "LogName" | "ProviderGuid" | "Provider" | "SourceName" | "EventRecordID" | "Computer"
            | "ComputerName" | "Hostname" => seen.windows_other = true,
            "winlog" => seen.windows = true,
            "timeUnixNano" | "observedTimeUnixNano" => seen.otlp_time = true,
            "severityNumber" | "resource" | "scope" => seen.otlp_other = true,
            "Event" => seen.windows |= value.path(&["System", "EventID"]).is_some(),
            _ => {}
        }
    }
    seen.format()
}

/// The tell-tale keys of each format.
#[derive(Default)]
struct Seen {
    aws_source: bool,
    aws_name: bool,
    aws_other: bool,
    audit_api: bool,
    audit_id: bool,
    audit_other: bool,
    ocsf_class: bool,
    ocsf_other: bool,
    windows: bool,
    windows_id: bool,
    windows_other: bool,
    otlp_time: bool,
    otlp_other: bool,
}

impl Seen {
    const fn format(&self) -> Format {
        if self.aws_source && self.aws_name && self.aws_other {
            Format::CloudTrail
        } else if (self.audit_api || self.audit_other) && self.audit_id {
            Format::Kubernetes
        } else if self.ocsf_class && self.ocsf_other {
            Format::Ocsf
        } else if self.windows || self.windows_id && self.windows_other {
            Format::Windows
        } else if self.otlp_time && self.otlp_other {
            Format::OpenTelemetry
        } else {
            Format::Json
        }
    }
}

#[cfg(test)]
mod tests {
    use indelible_format::json::{Document, Limits};

    use super::*;

    #[test]
    fn each_format_is_told_by_its_keys() {
        for (record, format) in [
            (r#"{"eventVersion":"1.08","eventSource":"iam.amazonaws.com","eventName":"CreateUser"}"#, Format::CloudTrail),
            (r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"1"}"#, Format::Kubernetes),
            (r#"{"kind":"Event","auditID":"1","verb":"get"}"#, Format::Kubernetes),
            (r#"{"kind":"Pod","apiVersion":"v1","metadata":{}}"#, Format::Json),
            (r#"{"class_uid":3002,"activity_id":1}"#, Format::Ocsf),
            (r#"{"EventID":4624,"Channel":"Security"}"#, Format::Windows),
            (r#"{"winlog":{}}"#, Format::Windows),
            (r#"{"Event":{"System":{"EventID":1}}}"#, Format::Windows),
            (r#"{"Event":{"name":"party"}}"#, Format::Json),
            (r#"{"eventName":"x"}"#, Format::Json),
            ("[1]", Format::Json),
            ("7", Format::Json),
        ] {
            let mut document = Document::new();
            let node = document.parse(record.as_bytes(), &Limits::default()).unwrap();
            assert_eq!(detect(node), format, "{record}");
        }
    }
}

//! One message as an event.

use std::net::IpAddr;

use chrono::{Datelike as _, FixedOffset, Offset as _, TimeZone as _, Utc};
use indelible::format::draft::{Canonical, Raw};
use indelible::json::{Limits, canonicalize, write_string};
use indelible::{Draft, Severity};
use syslog_loose::{IncompleteDate, Message, SyslogSeverity, Variant};

/// An offset as the configuration writes it: UTC for what is no other.
pub(super) fn zone(text: &str) -> FixedOffset {
    text.parse().unwrap_or_else(|_| Utc.fix())
}

/// Calls `with` with the draft of a message. RFC 3164 times have neither year nor zone: the zone is `zone`, the year the one in which the time is
/// nearest to `now`.
pub(super) fn with_draft<R>(bytes: &[u8], peer: IpAddr, zone: FixedOffset, now: i64, with: impl FnOnce(Draft<'_>) -> R) -> R {
    let text = String::from_utf8_lossy(bytes);
    let year = |date: IncompleteDate| nearest_year(date, zone, now);
    let message = syslog_loose::parse_message_with_year_tz(&text, year, Some(zone), Variant::Either);
    let facility = message.facility.map_or("unknown", |facility| facility.as_str());
    let action = format!("syslog.{facility}");
    let (mut content, mut identity) = (Vec::new(), Vec::new());
    let said = canonicalize(&details(&message), &Limits::default(), &mut content).is_ok();
    if let Some(host) = message.hostname {
        // Who has no part in the identity does not read it among the details either.
        identity.extend_from_slice(b"{\"hostname\":");
        write_string(&mut identity, host);
        identity.push(b'}');
    }
    let peer = peer.to_canonical().to_string();
    let mut draft = Draft::new(action.as_str()).source("syslog").ip(&peer);
    draft.raw = Some(Raw { media_type: "application/syslog", bytes });
    draft.severity = message.severity.map(severity);
    draft.time = message.timestamp.and_then(|time| time.timestamp_nanos_opt());
    draft.origin.host = message.hostname.filter(|host| !host.is_empty());
    if let Some(name) = message.appname.filter(|name| !name.is_empty()) {
        draft = draft.target("program", name);
    }
    if said {
        draft = draft.details_json(Canonical::trusted(&content));
        draft.identity_details = (!identity.is_empty()).then(|| Canonical::trusted(&identity));
    }
    with(draft)
}

const fn severity(severity: SyslogSeverity) -> Severity {
    match severity {
        SyslogSeverity::SEV_EMERG => Severity::Fatal,
        SyslogSeverity::SEV_ALERT | SyslogSeverity::SEV_CRIT => Severity::Critical,
        SyslogSeverity::SEV_ERR => Severity::Medium,
        SyslogSeverity::SEV_WARNING => Severity::Low,
        SyslogSeverity::SEV_NOTICE | SyslogSeverity::SEV_INFO | SyslogSeverity::SEV_DEBUG => Severity::Info,
    }
}

/// The id of an element of structured data, and its parameters with all their values.
type Element<'m> = (&'m str, Vec<(&'m str, Vec<String>)>);

/// What it says of itself but for its host, as JSON. A parameter that comes twice keeps all its values.
fn details(message: &Message<&str>) -> Vec<u8> {
    let mut out = b"{\"message\":".to_vec();
    write_string(&mut out, message.msg);
    let mut text = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            write_string(&mut out, value);
        }
    };
    text("facility", message.facility.map(|facility| facility.as_str()));
    text("severity", message.severity.map(|severity| severity.as_str()));
    text("program", message.appname);
    let process = message.procid.as_ref().map(ToString::to_string);
    text("process", process.as_deref());
    text("msgid", message.msgid);
    let mut elements: Vec<Element<'_>> = Vec::new();
    for element in &message.structured_data {
        let at = elements.iter().position(|(id, _)| *id == element.id).unwrap_or_else(|| {
            elements.push((element.id, Vec::new()));
            elements.len() - 1
        });
        let Some((_, params)) = elements.get_mut(at) else { continue };
        for (name, value) in element.params() {
            match params.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => params.push((name, vec![value])),
            }
        }
    }
    if !elements.is_empty() {
        out.extend_from_slice(b",\"structured\":{");
        for (nth, (id, params)) in elements.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            write_string(&mut out, id);
            out.extend_from_slice(b":{");
            for (nth, (name, values)) in params.iter().enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                write_string(&mut out, name);
                out.push(b':');
                write_values(&mut out, values);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b'}');
    out
}

fn write_values(out: &mut Vec<u8>, values: &[String]) {
    if let [one] = values {
        return write_string(out, one);
    }
    for (nth, value) in values.iter().enumerate() {
        out.push(if nth == 0 { b'[' } else { b',' });
        write_string(out, value);
    }
    out.push(b']');
}

/// A sender whose clock is a little ahead on New Year's Eve means the year that begins.
fn nearest_year((month, day, hour, minute, second): IncompleteDate, zone: FixedOffset, now: i64) -> i32 {
    let now = zone.timestamp_nanos(now);
    let distance = |year: &i32| {
        let time = zone.with_ymd_and_hms(*year, month, day, hour, minute, second).earliest();
        time.map_or(i64::MAX, |time| (time - now).num_seconds().abs())
    };
    let year = now.year();
    [year, year - 1, year + 1].into_iter().min_by_key(distance).unwrap_or(year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible::format::draft::Details;

    /// 2026-01-01T00:00:10Z
    const NOW: i64 = 1_767_225_610_000_000_000;

    fn told(bytes: &[u8]) -> (String, Option<Severity>, Option<i64>, Option<String>, String) {
        with_draft(bytes, [192, 0, 2, 1].into(), zone("+02:00"), NOW, |draft| {
            assert_eq!(draft.raw.map(|raw| raw.bytes), Some(bytes), "kept as it came");
            assert_eq!(draft.origin.ip, Some("192.0.2.1"));
            let Details::Json(details) = &draft.details else { panic!("there are details") };
            let details = String::from_utf8(details.bytes().to_vec()).unwrap();
            let hosts = draft.origin.host.map(|host| format!("{{\"hostname\":\"{host}\"}}"));
            assert_eq!(draft.identity_details.map(|part| part.bytes()), hosts.as_deref().map(str::as_bytes));
            assert!(!details.contains("hostname"), "{details}");
            (draft.action.name().to_owned(), draft.severity, draft.time, draft.origin.host.map(str::to_owned), details)
        })
    }

    #[test]
    fn rfc_5424_is_read_with_its_structured_data() {
        let bytes = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [ex@1 iut=\"3\" ip=\"1\" ip=\"2\"][b@2 q=\"a\\\"b\"] An event";
        let (action, severity, time, host, details) = told(bytes);
        assert_eq!(
            (action.as_str(), severity, host.as_deref()),
            ("syslog.local4", Some(Severity::Info), Some("mymachine.example.com"))
        );
        assert_eq!(time, Some(1_065_910_455_003_000_000));
        assert!(details.contains(r#""structured":{"b@2":{"q":"a\"b"},"ex@1":{"ip":["1","2"],"iut":"3"}}"#), "{details}");
        assert!(details.contains(r#""message":"An event""#) && details.contains(r#""msgid":"ID47""#), "{details}");
    }

    #[test]
    fn rfc_3164_gets_the_zone_and_the_year_it_can_mean() {
        let (action, severity, time, host, _) =
            told(b"<34>Jan  1 01:00:00 mymachine su: 'su root' failed for lonvick on /dev/pts/8");
        assert_eq!((action.as_str(), severity, host.as_deref()), ("syslog.auth", Some(Severity::Critical), Some("mymachine")));
        // 01:00 at +02:00 is 23:00 of the year before.
        assert_eq!(time, Some(1_767_222_000_000_000_000));
        let (.., time, _, _) = told(b"<34>Dec 31 23:59:59 mymachine su: late");
        assert_eq!(time, Some(1_767_218_399_000_000_000), "a little while ago, not in a year");
    }

    #[test]
    fn what_is_no_syslog_is_kept_all_the_same() {
        for bytes in [&b"hello"[..], b"<999>x", b"\xff\xfe\x00", b"<34>1 nonsense", "<13>\u{1b}[31mred".as_bytes()] {
            let (action, ..) = told(bytes);
            assert!(action.starts_with("syslog."), "{action}");
        }
    }
}

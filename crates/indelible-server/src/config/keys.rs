//! Every key of the configuration, told once: the file that `config init` writes, the names of environment variables, the schema, the
//! documentation and what a value may be all come from this table.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text, or nothing (the empty text).
    Optional,
    /// `true` or `false`.
    Switch,
    /// A whole number, least and greatest.
    Number(u64, u64),
    /// A number of bytes: `65536`, `"64KiB"`, `"16MiB"`, `"1GiB"`; least and greatest.
    Bytes(u64, u64),
    /// A time: `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"`; least and greatest in milliseconds.
    Time(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `table.key`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The default, as it would be written.
    pub default: &'static str,
    /// Whether a reload takes it up; what does not is taken up by the next start.
    pub reloads: bool,
    /// One sentence.
    pub about: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, reloads: false, about }
}

const fn live(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, reloads: true, about }
}

const MIB: u64 = 1 << 20;
const DAY: u64 = 86_400_000;

/// The keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("store.data", Kind::Optional, "", "Data directory; empty: $INDELIBLE_DATA, else $XDG_DATA_HOME/indelible"),
    key("store.state", Kind::Optional, "", "Directory of the trusted state, outside the data directory"),
    key(
        "store.profile",
        Kind::Word(&["balanced", "high-traffic", "low-latency", "storage"]),
        "balanced",
        "What the store is tuned for",
    ),
    key("store.tenant", Kind::Text, "default", "Tenant of events whose token belongs to all tenants and that name none"),
    key("store.prefix", Kind::Text, "localhost", "First part of the origins of a new store, such as example.com/audit"),
    key(
        "store.search_cache",
        Kind::Bytes(MIB, 1 << 40),
        "64MiB",
        "Memory kept for searching: for open segments, answers, what is not sealed yet, and decoded pages in what these leave",
    ),
    key(
        "store.disk_reserve",
        Kind::Bytes(0, 1 << 50),
        "64MiB",
        "Bytes to leave free on the disk; below, events are refused with 507",
    ),
    key(
        "store.tenant_counts",
        Kind::Time(1_000, DAY),
        "60s",
        "Longest time between entries of log 0 that count each tenant's events, while events come",
    ),
    key("listen.http", Kind::Text, "127.0.0.1:8410", "Address and port of HTTP, gRPC and the rest that shares them"),
    key("listen.syslog_udp", Kind::Optional, "", "Address and port for syslog over UDP; empty: none"),
    key("listen.syslog_tcp", Kind::Optional, "", "Address and port for syslog over TCP; empty: none"),
    key("listen.syslog_tls", Kind::Optional, "", "Address and port for syslog over TLS; empty: none"),
    key("tls.certificate", Kind::Optional, "", "PEM file with the certificate chain; empty: plain HTTP"),
    key("tls.key", Kind::Optional, "", "PEM file with the private key"),
    key(
        "tls.syslog_clients",
        Kind::Optional,
        "",
        "PEM file of authorities that must have signed a syslog sender's certificate; empty: any sender",
    ),
    live("syslog.tenant", Kind::Text, "default", "Tenant of events that come by syslog"),
    live("syslog.zone", Kind::Text, "UTC", "Offset of RFC 3164 times, which say none: UTC, or +02:00"),
    key(
        "limits.connections",
        Kind::Number(1, 1_000_000),
        "12000",
        "Connections at once; more are refused. Fewer where the limit on open files is low",
    ),
    key(
        "limits.header_time",
        Kind::Time(100, DAY),
        "30s",
        "Time for a connection's first request, and on HTTP/1 for the head of each, the wait for it included",
    ),
    key(
        "limits.body_time",
        Kind::Time(100, DAY),
        "30s",
        "Time between two pieces of a request's body, in which it has to bring 1 KiB for each second; ten times that for all of it; and for all \
         of a syslog message",
    ),
    key(
        "limits.idle_time",
        Kind::Time(100, DAY),
        "5m",
        "Silence after which an HTTP/2 connection is probed, and a syslog sender let go",
    ),
    live("limits.body", Kind::Bytes(1024, 1 << 32), "16MiB", "Bytes of a request's body as it comes"),
    live("limits.decompressed", Kind::Bytes(1024, 1 << 32), "64MiB", "Bytes of a request's body once decompressed"),
    live("limits.batch_events", Kind::Number(1, 1_000_000), "50000", "Events of one request"),
    key(
        "limits.bodies",
        Kind::Bytes(MIB, 1 << 40),
        "160MiB",
        "Bytes of all bodies in memory at once, and of one tenant half of them; more requests wait. What limits.body and \
         limits.decompressed together are beyond half of it cannot come",
    ),
    key("limits.emit_time", Kind::Time(10, DAY), "10s", "Time that a request waits for room and for the sync before it gets 503"),
    live("limits.search_time", Kind::Time(10, DAY), "30s", "Time that a question may take"),
    key(
        "limits.searches",
        Kind::Number(1, 1024),
        "4",
        "Questions that are worked on at once, half of them of one tenant; more wait",
    ),
    key(
        "limits.exports",
        Kind::Number(1, 1024),
        "4",
        "Exports at once, half of them of one tenant; more wait. Their readers have limits.body_time for each piece",
    ),
    live("limits.search_events", Kind::Number(1, 1_000_000), "10000", "Events of one page of a search"),
    key("limits.tails", Kind::Number(0, 1_000_000), "2000", "Live tails at once, half of them of one tenant"),
    live("rate.token_events", Kind::Number(0, u32::MAX as u64), "0", "Events a second for each token; 0: no limit"),
    live("rate.token_requests", Kind::Number(0, u32::MAX as u64), "0", "Requests a second for each token; 0: no limit"),
    live("rate.tenant_events", Kind::Number(0, u32::MAX as u64), "0", "Events a second for each tenant; 0: no limit"),
    live(
        "rate.failed_logins",
        Kind::Number(1, u32::MAX as u64),
        "10",
        "Failed logins a second for each address; more get 429 unseen",
    ),
    live("rate.burst_seconds", Kind::Number(1, 3600), "2", "What may come at once, in seconds of a limit"),
    key("drain.time", Kind::Time(0, DAY), "20s", "Time that requests have to end when the server is stopped"),
];

/// The key of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The name that is most like `name`, if one is like it.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let distance = |key: &&Key| edits(name, key.name).min(edits(name, key.name.split_once('.').map_or("", |(_, last)| last)));
    let best = KEYS.iter().min_by_key(distance)?;
    (distance(&best) <= name.len().div_ceil(3)).then_some(best.name)
}

/// How many characters have to be put in, left out or exchanged (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (nth, a) in one.chars().enumerate() {
        let mut before = nth;
        if let Some(first) = row.first_mut() {
            *first = nth + 1;
        }
        for (at, b) in other.iter().enumerate() {
            let left = row.get(at).copied().unwrap_or_default();
            let Some(slot) = row.get_mut(at + 1) else { break };
            let exchanged = before + usize::from(a != *b);
            before = *slot;
            *slot = exchanged.min(before + 1).min(left + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

impl Key {
    /// Table and key.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("INDELIBLE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The default as TOML.
    #[must_use]
    pub fn default_toml(&self) -> String {
        match self.kind {
            Kind::Switch | Kind::Number(..) => self.default.to_owned(),
            _ => format!("\"{}\"", self.default),
        }
    }
}

impl Kind {
    /// What may be written, for people.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Optional => "text, or \"\" for none".into(),
            Self::Switch => "true or false".into(),
            Self::Number(least, greatest) => format!("a whole number from {least} to {greatest}"),
            Self::Bytes(least, greatest) => format!("bytes, such as \"16MiB\", from {least} to {greatest}"),
            Self::Time(least, greatest) => format!("a time, such as \"30s\" or \"250ms\", from {least}ms to {greatest}ms"),
            Self::Word(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Whether `text` is such a value; gives numbers, bytes and milliseconds as a number.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<u64> {
        match self {
            Self::Text => (!text.is_empty()).then_some(0),
            Self::Optional => Some(0),
            Self::Switch => text.parse::<bool>().ok().map(u64::from),
            Self::Number(least, greatest) => text.parse().ok().filter(|number| (least..=greatest).contains(&number)),
            Self::Bytes(least, greatest) => {
                let unit = [("KiB", 1 << 10), ("MiB", MIB), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1), ("", 1)];
                scaled(text, &unit).filter(|bytes| (least..=greatest).contains(&bytes))
            }
            Self::Time(least, greatest) => {
                let unit = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY)];
                scaled(text, &unit).filter(|time| (least..=greatest).contains(&time))
            }
            Self::Word(words) => words.iter().position(|word| *word == text).map(|nth| nth as u64),
        }
    }
}

/// A whole number with a unit behind it.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            assert!(key.kind.read(key.default).is_some(), "{}", key.name);
            assert!(key.name.contains('.') && key.about.len() > 10, "{}", key.name);
        }
    }

    #[test]
    fn values_have_units_and_bounds() {
        for (kind, text, value) in [
            (Kind::Bytes(0, u64::MAX), "16MiB", Some(16 << 20)),
            (Kind::Bytes(0, u64::MAX), "100", Some(100)),
            (Kind::Bytes(0, u64::MAX), "1.5MiB", None),
            (Kind::Bytes(0, u64::MAX), "99999999999TiB", None),
            (Kind::Time(0, DAY), "250ms", Some(250)),
            (Kind::Time(0, DAY), "5m", Some(300_000)),
            (Kind::Time(0, DAY), "5", None),
            (Kind::Time(0, DAY), "2d", None),
            (Kind::Number(1, 9), "0", None),
            (Kind::Number(1, 9), "-1", None),
            (Kind::Text, "", None),
            (Kind::Word(&["a", "b"]), "b", Some(1)),
        ] {
            assert_eq!(kind.read(text), value, "{text}");
        }
    }

    #[test]
    fn a_slip_is_told_what_was_meant() {
        assert_eq!(nearest("limits.bodytime"), Some("limits.body_time"));
        assert_eq!(nearest("body_tim"), Some("limits.body_time"));
        assert_eq!(nearest("listen.htpp"), Some("listen.http"));
        assert_eq!(nearest("zzz"), None);
    }
}

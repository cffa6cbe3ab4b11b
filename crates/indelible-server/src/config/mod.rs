//! The server's configuration: flags over `INDELIBLE_*` over the file over the defaults; each value knows where it came from.
//!
//! A file that has anything wrong in it is refused whole, with line and suggestion; a running server then keeps what it has.

pub mod keys;
mod parse;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use indelible::Profile;

pub use keys::{KEYS, Key, Kind};
pub use parse::ConfigError;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As it was written.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
}

/// All settings, each checked against its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    settings: BTreeMap<&'static str, Setting>,
}

/// What may be said besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// `table.key=value` from the command line.
    pub flags: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        let setting = |key: &Key| (key.name, Setting { text: key.default.to_owned(), origin: Origin::Default });
        Self { settings: KEYS.iter().map(setting).collect() }
    }
}

impl Config {
    /// Reads everything there is: the file, the environment as `variable` gives it, the flags.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn load(sources: &Sources, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut error = ConfigError::default();
        if let Some(path) = &sources.file {
            match std::fs::read_to_string(path) {
                Ok(text) => config.read_toml(path, &text, &mut error),
                Err(cause) => error.add(format!("could not read {}: {cause}", path.display())),
            }
        }
        for key in KEYS {
            let name = key.variable();
            if let Some(text) = variable(&name) {
                config.set(key, text, Origin::Variable(name.clone()), &format!("${name}"), &mut error);
            }
        }
        for (name, text) in &sources.flags {
            match keys::find(name) {
                Some(key) => config.set(key, text.clone(), Origin::Flag, &format!("--set {name}"), &mut error),
                None => error.add(parse::unknown(name, "--set")),
            }
        }
        config.check_together(&mut error);
        error.or(config)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn from_toml(path: &std::path::Path, text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut error = ConfigError::default();
        config.read_toml(path, text, &mut error);
        config.check_together(&mut error);
        error.or(config)
    }

    fn set(&mut self, key: &Key, text: String, origin: Origin, place: &str, error: &mut ConfigError) {
        if key.kind.read(&text).is_none() {
            error.add(format!("{place}: {} is {}, not {text:?}", key.name, key.kind.expected()));
            return;
        }
        self.settings.insert(key.name, Setting { text, origin });
    }

    /// What only makes sense together.
    fn check_together(&self, error: &mut ConfigError) {
        if self.text("tls.certificate").is_empty() != self.text("tls.key").is_empty() {
            error.add("tls.certificate and tls.key go together: give both, or neither");
        }
        if !self.text("listen.syslog_tls").is_empty() && self.text("tls.certificate").is_empty() {
            error.add("listen.syslog_tls needs tls.certificate and tls.key");
        }
        for name in ["listen.http", "listen.syslog_udp", "listen.syslog_tcp", "listen.syslog_tls"] {
            let text = self.text(name);
            if !text.is_empty() && text.parse::<std::net::SocketAddr>().is_err() {
                error.add(format!("{name} is an address with a port, such as 127.0.0.1:8410 or [::]:8410, not {text:?}"));
            }
        }
        let zone = self.text("syslog.zone");
        if zone != "UTC" && zone.parse::<chrono::FixedOffset>().is_err() {
            error.add(format!("syslog.zone is UTC or an offset such as +02:00, not {zone:?}"));
        }
        if self.number("limits.body").saturating_mul(2) > self.number("limits.bodies") {
            error.add(
                "limits.bodies is for all bodies at once, and of one sender half of it: it has to be twice limits.body at least",
            );
        }
        let tenants = ["store.tenant", "syslog.tenant"].map(|name| (name, self.text(name)));
        for (name, tenant) in tenants.iter().filter(|(_, tenant)| !crate::access::is_tenant_name(tenant)) {
            error.add(format!("{name}: {tenant:?} is no name of a tenant: {}", crate::access::TENANT_NAMES));
        }
    }

    /// Every key with its setting, in the order of the table.
    pub fn settings(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        KEYS.iter().filter_map(|key| Some((key, self.settings.get(key.name)?)))
    }

    /// A text; empty for none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        debug_assert!(keys::find(name).is_some(), "{name}");
        self.settings.get(name).map_or("", |setting| &setting.text)
    }

    /// A number, a size in bytes, or a time in milliseconds.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        keys::find(name).and_then(|key| key.kind.read(self.text(name))).unwrap_or_default()
    }

    /// A number that counts things in memory.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    /// A time.
    #[must_use]
    pub fn time(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// What the store is tuned for.
    #[must_use]
    pub fn profile(&self) -> Profile {
        match self.text("store.profile") {
            "high-traffic" => Profile::HighTraffic,
            "low-latency" => Profile::LowLatency,
            "storage" => Profile::Storage,
            _ => Profile::Balanced,
        }
    }

    /// Takes up what a reload may change; names what has to wait for the next start.
    #[must_use]
    pub fn reloaded(&self, newer: &Self) -> (Self, Vec<&'static str>) {
        let mut config = self.clone();
        let mut waiting = Vec::new();
        for (key, setting) in newer.settings() {
            if key.reloads {
                config.settings.insert(key.name, setting.clone());
            } else if self.text(key.name) != setting.text {
                waiting.push(key.name);
            }
        }
        (config, waiting)
    }
}

/// A file with every key, its default and what it is for, all commented out.
#[must_use]
pub fn template() -> String {
    let mut out = String::from(
        "# Configuration of `indelible serve`. Every key is optional; what stands here are the defaults.\n\
         # Command line over environment over this file: listen.http is also --set listen.http=… and INDELIBLE_LISTEN_HTTP.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (now, name) = key.parts();
        if now != table {
            table = now;
            let _ = write!(out, "\n[{table}]\n");
        }
        let reload = if key.reloads { "; taken up by a reload" } else { "" };
        let _ = write!(out, "# {} ({}{reload})\n# {name} = {}\n", key.about, key.kind.expected(), key.default_toml());
    }
    out
}

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    use serde_json::{Map, Value, json};
    let mut tables: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for key in KEYS {
        let (table, name) = key.parts();
        let mut value = match key.kind {
            Kind::Switch => json!({"type": "boolean"}),
            Kind::Number(least, greatest) => json!({"type": "integer", "minimum": least, "maximum": greatest}),
            Kind::Bytes(..) => json!({"type": ["integer", "string"], "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$"}),
            Kind::Time(..) => json!({"type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h|d)$"}),
            Kind::Word(words) => json!({"enum": words}),
            Kind::Text => json!({"type": "string", "minLength": 1}),
            Kind::Optional => json!({"type": "string"}),
        };
        if let Some(value) = value.as_object_mut() {
            value.insert("description".into(), key.about.into());
            value.insert("default".into(), toml_to_json(key));
        }
        tables.entry(table).or_default().insert(name.to_owned(), value);
    }
    let object =
        |properties: Map<String, Value>| json!({"type": "object", "additionalProperties": false, "properties": properties});
    let tables: Map<String, Value> = tables.into_iter().map(|(name, keys)| (name.to_owned(), object(keys))).collect();
    let mut schema = object(tables);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".into(), "Configuration of indelible serve".into());
    }
    schema
}

fn toml_to_json(key: &Key) -> serde_json::Value {
    match key.kind {
        Kind::Switch => (key.default == "true").into(),
        Kind::Number(..) => key.default.parse::<u64>().unwrap_or_default().into(),
        _ => key.default.into(),
    }
}

#[cfg(test)]
mod tests;

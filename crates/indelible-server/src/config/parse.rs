//! A TOML file against the table of keys.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, Origin, keys};

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl ConfigError {
    /// One sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// One thing that is wrong.
    pub(crate) fn of(problem: String) -> Self {
        Self { problems: vec![problem] }
    }

    pub(super) fn add(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn or(self, config: Config) -> Result<Config, Self> {
        if self.problems.is_empty() { Ok(config) } else { Err(self) }
    }
}

pub(super) fn unknown(name: &str, place: &str) -> String {
    match keys::nearest(name) {
        Some(near) => format!("{place}: there is no key {name}; did you mean {near}?"),
        None => format!("{place}: there is no key {name}; `indelible config init` writes all there are"),
    }
}

impl Config {
    pub(super) fn read_toml(&mut self, path: &Path, text: &str, error: &mut ConfigError) {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(wrong) => {
                let line = wrong.span().map_or(1, |span| line_of(text, span.start));
                error.add(format!("{}:{line}: {}", path.display(), wrong.message()));
                return;
            }
        };
        for (name, value) in table.get_ref() {
            let DeValue::Table(keys) = value.get_ref() else {
                let place = format!("{}:{}", path.display(), line_of(text, name.span().start));
                error.add(unknown(name.get_ref(), &place));
                continue;
            };
            for (key, value) in keys {
                self.read_key(path, text, &format!("{}.{}", name.get_ref(), key.get_ref()), key.span().start, value, error);
            }
        }
    }

    fn read_key(
        &mut self,
        path: &Path,
        text: &str,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        error: &mut ConfigError,
    ) {
        let line = line_of(text, at);
        let place = format!("{}:{line}", path.display());
        let Some(key) = keys::find(name) else {
            error.add(unknown(name, &place));
            return;
        };
        let written = match value.get_ref() {
            DeValue::String(text) if !matches!(key.kind, super::Kind::Number(..) | super::Kind::Switch) => Some(text.to_string()),
            DeValue::Integer(number) if matches!(key.kind, super::Kind::Number(..) | super::Kind::Bytes(..)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
            }
            DeValue::Boolean(switch) if key.kind == super::Kind::Switch => Some(switch.to_string()),
            _ => None,
        };
        match written {
            Some(written) => self.set(key, written, Origin::File(path.to_owned(), line), &place, error),
            None => error.add(format!("{place}: {name} is {}", key.kind.expected())),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

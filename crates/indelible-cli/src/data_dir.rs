//! Where the store and the trusted state are: options, then the environment, then the XDG directories.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use indelible::{Config, LaneConfig, Overflow, Reader};

use crate::failure::{Failure, Result};
use crate::output::talk;
use crate::remote::{Remote, ServerArgs};
use crate::source::Source;

/// The global options that say which store is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Data directory of the store
    ///
    /// Default: $INDELIBLE_DATA, then $XDG_DATA_HOME/indelible, then ~/.local/share/indelible.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    data: Option<PathBuf>,

    /// Directory of the trusted state, outside the data directory
    ///
    /// It holds the newest checkpoint of each store that was seen here. A store that is shorter than it, or contradicts it, was
    /// rolled back or rewritten, and is refused. Default: $INDELIBLE_STATE, then $XDG_STATE_HOME/indelible, then
    /// ~/.local/state/indelible.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    state: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArgs,
}

impl Place {
    /// The server that is meant, and its address; none: it is a data directory.
    pub(crate) fn server(&self) -> Option<(&ServerArgs, String)> {
        let url = self.server.url().filter(|_| self.data.is_none())?;
        Some((&self.server, url))
    }

    /// Refuses what does not go together. `asks`: whether the verb can ask a server; `verb` is its name.
    pub(crate) fn check(&self, verb: &str, asks: bool) -> Result<()> {
        if self.server.is_named() && self.data.is_some() {
            return Err(Failure::usage("--url names a server, --data a directory: give one of them"));
        }
        if self.server.is_named() && !asks {
            return Err(Failure::usage(format!("`indelible {verb}` works on a data directory, not on a server"))
                .hint("run it where the data directory is, without --url"));
        }
        match self.server.first_option() {
            Some(option) if !asks || self.server().is_none() => {
                Err(Failure::usage(format!("{option} is for a server, and none is named")).hint("give --url URL"))
            }
            _ => Ok(()),
        }
    }

    /// What answers questions: the server that is meant, or else the store.
    pub(crate) fn source(&self) -> Result<Source> {
        let Some((server, url)) = self.server() else { return Ok(Source::Store(Box::new(self.reader()?))) };
        let remote = Remote::open(server.connect(&url)?)?;
        if !remote.masked().is_empty() {
            talk(&format!("masked for this token: {}", remote.masked().join(", ")));
        }
        Ok(Source::Server(Box::new(remote)))
    }

    /// Whether the command line itself names a data directory.
    pub(crate) const fn names_data(&self) -> bool {
        self.data.is_some()
    }

    /// The data directory that the command line names.
    pub(crate) fn named_data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The directory of the trusted state that the command line names.
    pub(crate) fn named_state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        choose(self.data.as_deref(), "INDELIBLE_DATA", "XDG_DATA_HOME", ".local/share")
            .ok_or_else(|| Failure::usage("no data directory is named, and there is no home directory").hint("give --data DIR"))
    }

    /// The directory of the trusted state.
    pub(crate) fn state(&self) -> Result<PathBuf> {
        choose(self.state.as_deref(), "INDELIBLE_STATE", "XDG_STATE_HOME", ".local/state")
            .ok_or_else(|| Failure::usage("no state directory is named, and there is no home directory").hint("give --state DIR"))
    }

    /// How this command opens the store for writing. Nothing is made unless the caller says so.
    pub(crate) fn config(&self, verb: &str) -> Result<Config> {
        let mut config = Config::new(self.data()?);
        config.create = false;
        config.trusted_state_dir = Some(self.state()?);
        // Not the whole command line: it may hold what nobody else should read.
        config.command = format!("indelible {verb}");
        // A command that records what it is given has no reason to drop any of it.
        config.lanes.telemetry = LaneConfig { overflow: Overflow::Block(LANE_PATIENCE), ..config.lanes.telemetry };
        config.lanes.normal.overflow = Overflow::Block(LANE_PATIENCE);
        config.lanes.critical.overflow = Overflow::Block(LANE_PATIENCE);
        Ok(config)
    }

    /// The store, for reading.
    pub(crate) fn reader(&self) -> Result<Reader> {
        Ok(Reader::open(self.data()?)?)
    }
}

/// How long a full lane is waited for before the disk counts as stuck.
const LANE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn choose(option: Option<&Path>, variable: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
    choose_from(option, variable, xdg, below_home, &|name| std::env::var_os(name))
}

fn choose_from(
    option: Option<&Path>,
    variable: &str,
    xdg: &str,
    below_home: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let named = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification has relative paths ignored.
    let absolute = |name: &str| named(name).filter(|path| path.is_absolute());
    option
        .map(Path::to_owned)
        .or_else(|| named(variable))
        .or_else(|| absolute(xdg).map(|dir| dir.join("indelible")))
        .or_else(|| absolute("HOME").map(|home| home.join(below_home).join("indelible")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(option: Option<&str>, environment: &[(&str, &str)]) -> Option<PathBuf> {
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        choose_from(option.map(Path::new), "INDELIBLE_DATA", "XDG_DATA_HOME", ".local/share", &lookup)
    }

    #[test]
    fn the_nearest_word_wins() {
        let all = [("INDELIBLE_DATA", "mine"), ("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/a")];
        assert_eq!(chosen(Some("here"), &all), Some("here".into()));
        assert_eq!(chosen(None, &all), Some("mine".into()));
        assert_eq!(chosen(None, &all[1..]), Some("/xdg/indelible".into()));
        assert_eq!(chosen(None, &all[2..]), Some("/home/a/.local/share/indelible".into()));
        assert_eq!(chosen(None, &[]), None);
    }

    #[test]
    fn empty_and_relative_words_do_not_count() {
        let odd = [("INDELIBLE_DATA", ""), ("XDG_DATA_HOME", "relative"), ("HOME", "/home/a")];
        assert_eq!(chosen(None, &odd), Some("/home/a/.local/share/indelible".into()));
    }
}

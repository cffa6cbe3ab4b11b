//! What this machine has seen of a server: the keys of its logs and their newest heads, kept in the directory of the trusted state. A server
//! that shows other keys, or a log that does not go on from its head, is not the one that was seen.
//!
//! `servers/<first 16 digits of the address' SHA-256>.json`:
//! `{"format":1,"url":…,"logs":[{"log":…,"verifier_key":…,"checkpoint":…}]}`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use indelible::format::sha256;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;

/// One log of a server, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) log: String,
    pub(crate) verifier_key: String,
    /// The signed note; checked when it was seen.
    pub(crate) checkpoint: String,
}

/// All that was seen of one server.
#[derive(Debug)]
pub(crate) struct Pins {
    path: PathBuf,
    url: String,
    pub(crate) logs: Vec<Pin>,
}

impl Pins {
    /// What was seen of the server at `url`; nothing, if it was never looked at.
    pub(crate) fn read(state: &Path, url: &str) -> Result<Self> {
        let name = sha256::sha256(url.as_bytes()).to_string();
        let path = state.join("servers").join(format!("{}.json", name.get(..16).unwrap_or(&name)));
        let logs = match std::fs::read(&path) {
            Ok(bytes) => parse(&bytes, url).ok_or_else(|| {
                Failure::new("corrupt", format!("{} is malformed", path.display()))
                    .exit(Exit::Unverified)
                    .hint("restore it from a backup; only if you trust the server as it is now, remove it")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        Ok(Self { path, url: url.to_owned(), logs })
    }

    /// Keeps these instead, durably.
    pub(crate) fn replace(&self, logs: &[Pin]) -> Result<()> {
        let mut object = Object::new();
        object.number("format", 1).text("url", &self.url);
        object.objects("logs", logs, |object, pin| {
            object.text("log", &pin.log).text("verifier_key", &pin.verifier_key).text("checkpoint", &pin.checkpoint);
        });
        let failed = |error| Failure::file("write", &self.path, &error);
        let dir = self.path.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(&object.finish()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

fn parse(bytes: &[u8], url: &str) -> Option<Vec<Pin>> {
    let root: Value = serde_json::from_slice(bytes).ok()?;
    (root.get("format")?.as_u64()? == 1 && root.get("url")?.as_str()? == url).then_some(())?;
    let pin = |log: &Value| {
        let text = |name: &str| log.get(name)?.as_str().map(str::to_owned);
        Some(Pin { log: text("log")?, verifier_key: text("verifier_key")?, checkpoint: text("checkpoint")? })
    };
    root.get("logs")?.as_array()?.iter().map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_again_and_damage_is_no_first_sight() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let pins = Pins::read(&state, "http://a").unwrap();
        assert!(pins.logs.is_empty());
        let seen =
            [Pin { log: "main".to_owned(), verifier_key: "a/b+1+c".to_owned(), checkpoint: "a\n1\nx\n\n— s\n".to_owned() }];
        pins.replace(&seen).unwrap();
        assert_eq!(Pins::read(&state, "http://a").unwrap().logs, seen);
        assert!(Pins::read(&state, "http://b").unwrap().logs.is_empty(), "another server");
        std::fs::write(&pins.path, b"{\"format\":1}").unwrap();
        assert!(Pins::read(&state, "http://a").is_err());
    }
}

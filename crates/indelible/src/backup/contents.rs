//! `backup.json`: what a backup holds. Bytes: docs/format/backup.md.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible_format::Hash;
use indelible_format::frame::StoreId;
use indelible_format::json::{self, Document, Node};

use crate::commit::journal::file_number;
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{hex, unhex, write_list};
use crate::json_object::Object;
use crate::seal::files;
use crate::time;
use crate::world::World;

const FORMAT: u64 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) store: StoreId,
    /// When the backup was made, ns since 1970 UTC.
    pub(super) made: i64,
    /// Where each log ends.
    pub(super) heads: Vec<LogHead>,
    /// The newest signed checkpoints.
    pub(super) checkpoints: Vec<(u32, String)>,
    /// By name.
    pub(super) files: Vec<Entry>,
}

/// One file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name in the store's directory.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) digest: Hash,
    /// Of a journal file: number of the frame behind it, and hash of its last frame.
    pub(super) end: Option<(u64, Hash)>,
}

pub(super) fn path(backup: &Path) -> PathBuf {
    backup.join("backup.json")
}

impl Contents {
    /// What is in the backup; `None`: there is none here yet.
    pub(super) fn read(world: &World, backup: &Path) -> Result<Option<Self>> {
        let path = path(backup);
        if !world.disk.exists(&path) {
            return Ok(None);
        }
        let bytes = world.read_file(&path).map_err(|error| Error::io(format!("could not read {}", path.display()), error))?;
        Self::from_json(&bytes).map(Some)
    }

    /// Makes this what the backup holds; durable when it returns.
    pub(super) fn replace(&self, world: &World, backup: &Path) -> Result<()> {
        let path = path(backup);
        world
            .replace_file(&path, &self.to_json())
            .map_err(|error| Error::io(format!("could not write {}", path.display()), error))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new();
        write_list(object.key("checkpoints"), &self.checkpoints, |(log, note)| {
            Object::new().number("log", u64::from(*log)).text("note", note).finish()
        });
        write_list(object.key("files"), &self.files, Entry::to_json);
        object = object.number("format", FORMAT);
        write_list(object.key("heads"), &self.heads, |head| {
            let root = STANDARD.encode(head.root.0);
            Object::new().number("log", u64::from(head.log)).text("root", &root).number("size", head.size).finish()
        });
        object.text("made", &time::format(self.made)).text("store", &hex(&self.store)).finish()
    }

    fn from_json(bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("backup.json {what}"))
                .with_hint("use another backup; keep this one as evidence")
        };
        let mut document = Document::new();
        let limits = json::Limits { bytes_max: 16 << 20, depth_max: 8, nodes_max: 4_000_000 };
        let root = document.parse(bytes, &limits).map_err(|error| corrupt(&format!("is not JSON: {error}")))?;
        match root.get("format").and_then(|node| node.as_u64()) {
            Some(FORMAT) => {}
            Some(later) if later > FORMAT => {
                return Err(Error::new(ErrorKind::Unsupported, format!("the backup is of version {later}"))
                    .with_hint("use a newer version of indelible"));
            }
            _ => return Err(corrupt("names no format")),
        }
        let contents = Self::members(&root).ok_or_else(|| corrupt("lacks a member, or has one that cannot be"))?;
        if !contents.files.iter().zip(contents.files.iter().skip(1)).all(|(one, next)| one.name < next.name) {
            return Err(corrupt("names a file twice, or files out of order"));
        }
        Ok(contents)
    }

    fn members(root: &Node<'_, '_>) -> Option<Self> {
        let files: Option<Vec<Entry>> = root.get("files")?.elements().map(|node| Entry::from_json(&node)).collect();
        let heads: Option<Vec<LogHead>> = root
            .get("heads")?
            .elements()
            .map(|node| Some(LogHead { log: log(&node)?, size: node.get("size")?.as_u64()?, root: hash(&node, "root")? }))
            .collect();
        let checkpoints: Option<Vec<(u32, String)>> = root
            .get("checkpoints")?
            .elements()
            .map(|node| Some((log(&node)?, node.get("note")?.as_str()?.into_owned())))
            .collect();
        Some(Self {
            store: unhex(&root.get("store")?.as_str()?)?,
            made: time::parse(&root.get("made")?.as_str()?)?,
            heads: heads?,
            checkpoints: checkpoints?,
            files: files?,
        })
    }
}

impl Entry {
    fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new().number("bytes", self.bytes);
        if let Some((next, hash)) = &self.end {
            let end = Object::new().text("hash", &STANDARD.encode(hash.0)).number("next", *next).finish();
            object.key("end").extend_from_slice(&end);
        }
        object.text("file", &self.name).text("sha256", &hex(&self.digest.0)).finish()
    }

    fn from_json(node: &Node<'_, '_>) -> Option<Self> {
        let name = node.get("file")?.as_str()?.into_owned();
        is_ours(&name).then_some(())?;
        let end = match node.get("end") {
            Some(end) => Some((end.get("next")?.as_u64()?, hash(&end, "hash")?)),
            None => None,
        };
        let digest = Hash(unhex(&node.get("sha256")?.as_str()?)?);
        Some(Self { name, bytes: node.get("bytes")?.as_u64()?, digest, end })
    }
}

/// Whether a backup may hold a file of this name: whoever wrote `backup.json` does not choose where a restoration writes.
fn is_ours(name: &str) -> bool {
    match name.split_once('/') {
        None => matches!(name, "store.json" | "manifest"),
        Some(("segments", name)) => files::is_segment(name) || files::is_state(name) || files::is_expired(name),
        Some(("journal", name)) => file_number(name).is_some(),
        Some(_) => false,
    }
}

fn hash(node: &Node<'_, '_>, key: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(node.get(key)?.as_str()?.as_bytes()).ok()?)
}

fn log(node: &Node<'_, '_>) -> Option<u32> {
    u32::try_from(node.get("log")?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Contents {
        let entry = |name: &str, end| Entry { name: name.into(), bytes: 7, digest: Hash([9; 32]), end };
        Contents {
            store: [1; 16],
            made: 1_700_000_000_000_000_000,
            heads: vec![LogHead { log: 0, size: 3, root: Hash([2; 32]) }],
            checkpoints: vec![(0, "a note\n".into())],
            files: vec![
                entry("journal/00000002.wal", Some((12, Hash([3; 32])))),
                entry("manifest", None),
                entry("segments/00000001.state", None),
                entry("segments/1-000000000000-00000001.parquet", None),
                entry("store.json", None),
            ],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Contents::from_json(&example().to_json()).unwrap(), example());
    }

    #[test]
    fn a_backup_cannot_name_files_that_are_not_a_stores() {
        for name in ["../key", "key", "pseudonym.key", "journal/../../x", "/etc/passwd", "segments/x.parquet", "journal/1.wal"] {
            let mut contents = example();
            contents.files[0].name = name.into();
            assert_eq!(Contents::from_json(&contents.to_json()).unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
        }
        let mut twice = example();
        twice.files[1] = twice.files[0].clone();
        assert!(Contents::from_json(&twice.to_json()).is_err());
    }
}

//! Checking a backup: first that each file is the one that was copied, then that the files are a store whose every hash and signature holds.

use std::path::Path;

use indelible_format::note::VerifierKey;

use super::contents::{Contents, Entry};
use super::view::View;
use super::{lock, object};
use crate::digest::LogHead;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::Identity;
use crate::seal::files;
use crate::verify::{self, Report};
use crate::world::{Open, World};

/// What a backup is compared with, besides itself.
#[derive(Default)]
pub struct CheckOptions<'o> {
    /// Signed checkpoints kept elsewhere.
    pub against: Vec<String>,
    /// The verifier key of the store that was backed up, from elsewhere.
    pub key: Option<VerifierKey>,
    /// Called now and then with the bytes read and the bytes there are; each file is read twice.
    pub progress: Option<&'o mut dyn FnMut(u64, u64)>,
}

impl std::fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckOptions").field("against", &self.against).field("key", &self.key).finish_non_exhaustive()
    }
}

/// A file of a backup that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its name in the store.
    pub file: String,
    /// Its name in the backup's folder `files`.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What is known of a backup after it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Id of the store that was backed up, in hex.
    pub store: String,
    /// When the backup was made, ns since 1970 UTC.
    pub made: i64,
    /// Files that it names.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that are not what they were: then nothing else was looked at.
    pub damage: Vec<Damage>,
    /// What the verification of the store in it found.
    pub report: Option<Report>,
    /// Where `backup.json` and the logs disagree on how far they reach.
    pub misstated: Vec<String>,
}

impl Checked {
    /// Whether the backup can be restored.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.damage.is_empty() && self.misstated.is_empty() && self.report.as_ref().is_some_and(|report| report.ok)
    }
}

/// Reads every file of the backup in `dir` and verifies the store that they are, where they lie. Nothing is written.
///
/// **Cost**: reads everything twice, once for its digests and once as [`verify`](verify::verify) does.
///
/// # Errors
/// `NotFound`: there is no backup. `Locked`: one is being made. `Corrupt`: `backup.json` itself is damaged. `Io`, `Unsupported`. What is
/// wrong with the files is in the answer.
pub fn check(dir: impl AsRef<Path>, options: CheckOptions<'_>) -> Result<Checked> {
    check_in(dir, options, &World::real())
}

/// [`check`] in a given world.
///
/// # Errors
/// As `check`.
pub fn check_in(dir: impl AsRef<Path>, options: CheckOptions<'_>, world: &World) -> Result<Checked> {
    let _lock = lock(world, dir.as_ref())?;
    let contents = read(world, dir.as_ref())?;
    examine(world, dir.as_ref(), &contents, options)
}

/// What the backup says that it holds.
pub(super) fn read(world: &World, dir: &Path) -> Result<Contents> {
    Contents::read(world, dir)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("there is no backup in {}", dir.display()))
            .with_hint("name a directory that `indelible backup` finished at least once")
    })
}

pub(super) fn examine(world: &World, dir: &Path, contents: &Contents, options: CheckOptions<'_>) -> Result<Checked> {
    let mut checked = Checked {
        store: crate::identity::hex(&contents.store),
        made: contents.made,
        files: contents.files.len() as u64,
        bytes: contents.bytes(),
        damage: Vec::new(),
        report: None,
        misstated: Vec::new(),
    };
    let CheckOptions { against, key, mut progress } = options;
    let (total, mut done) = (checked.bytes, 0);
    for entry in &contents.files {
        if let Some(what) = difference(world, dir, entry)? {
            let object = crate::identity::hex(&entry.digest.0);
            checked.damage.push(Damage { file: entry.name.clone(), object, what });
        }
        done += entry.bytes;
        if let Some(progress) = &mut progress {
            progress(done, total * 2);
        }
    }
    if contents.find("store.json").is_none() {
        checked.misstated.push("it holds no store.json".into());
    }
    if !checked.damage.is_empty() || !checked.misstated.is_empty() {
        return Ok(checked);
    }
    let view = View::world(world, dir, contents);
    let identity = Identity::read(&view, dir)?;
    if identity.store != contents.store {
        checked.misstated.push(format!("its store.json is of the store {}", identity.store_hex()));
        return Ok(checked);
    }
    let mut each = |read: u64, _: u64| {
        if let Some(progress) = &mut progress {
            progress((total + read).min(total * 2), total * 2);
        }
    };
    let report =
        verify::verify_in(dir, verify::Options { against, key, progress: Some(&mut each), trusted_state_dir: None }, &view)?;
    let found: Vec<LogHead> = report
        .logs
        .iter()
        .filter(|log| log.size > 0)
        .map(|log| LogHead { log: log.log, size: log.size, root: log.root })
        .collect();
    if found != contents.heads {
        checked.misstated.push("backup.json states other sizes or roots of the logs than the files give".into());
    }
    checked.report = Some(report);
    Ok(checked)
}

/// How a file differs from the one that was copied.
fn difference(world: &World, dir: &Path, entry: &Entry) -> Result<Option<String>> {
    let path = object(dir, &entry.digest);
    let failed = |error| Error::io(format!("could not read {}", path.display()), error);
    let file = match world.disk.open(&path, Open::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some("it is not there".into())),
        opened => opened.map_err(failed)?,
    };
    let bytes = file.len().map_err(failed)?;
    if bytes != entry.bytes {
        return Ok(Some(format!("it has {bytes} bytes, {} were copied", entry.bytes)));
    }
    let digest = files::digest_of(&*file).map_err(failed)?;
    Ok((digest != entry.digest).then(|| "its bytes are not those that were copied".into()))
}

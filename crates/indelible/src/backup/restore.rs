//! Restoring: a new store, with a new key, that holds what the backup holds and says whom it goes on from.
//!
//! Two stores that were one and went on apart must never share an origin: a third party would hold two signed histories of one log. So a
//! restored store signs as somebody new. Its trees go on: entry for entry and leaf for leaf it begins with what was backed up, and the
//! first entry of its own, `store.restored`, names the predecessor with size, root and newest checkpoint of every log.
//!
//! Order of writes: the new identity, under a name that says that it is not finished; segments and journal as they were; the journal
//! sealed, since its frames carry the predecessor's id; the manifest under the new identity; the key; and at last the identity gets its
//! own name, which makes the directory a store.

use std::path::{Path, PathBuf};

use super::check::{self, CheckOptions, Checked};
use super::contents::Contents;
use super::directory::make_path;
use super::take::copy;
use super::view::View;
use super::{lock, object};
use crate::commit::journal::{file_name, file_number};
use crate::config::Config;
use crate::digest::LogHead;
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, Predecessor, TakenOver, write_key};
use crate::read::frames;
use crate::seal::Manifest;
use crate::seal::files::{self, FileWriter};
use crate::seal::sealer::{Boundary, Sealer};
use crate::world::{Open, World};

/// The identity of a store whose restoration is not finished.
pub(crate) const UNFINISHED: &str = "store.json.restoring";

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// What is known of the backup.
    pub checked: Checked,
    /// The new store; `None`: the backup is not good, and nothing was written.
    pub restored: Option<Restored>,
}

/// A store that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Who it is; its last predecessor is the store that was backed up.
    pub identity: Identity,
    /// Where each log ends now, the entry that tells of the restoration included.
    pub heads: Vec<LogHead>,
}

/// Checks the backup in `backup` as [`check`](super::check()) does and, if nothing is wrong with it, makes a new store of it in
/// `config.dir`, which must be empty or hold a restoration that was interrupted. The new store is opened once as `config` says.
///
/// **Durability**: when it returns, the new store is on disk, `store.restored` included. Interrupted, it leaves no store; the next call
/// begins anew. **Cost**: reads the backup three times and writes it once; seals what was not sealed.
///
/// # Errors
/// `Rejected`: the directory is not empty. As `check`; `Io` while writing. A backup that is not good is no error: the answer says what is
/// wrong with it.
pub fn restore(backup: impl AsRef<Path>, config: Config, options: CheckOptions<'_>) -> Result<Restoring> {
    restore_in(backup, config, options, World::real())
}

/// [`restore`] in a given world.
///
/// # Errors
/// As `restore`.
pub fn restore_in(backup: impl AsRef<Path>, config: Config, options: CheckOptions<'_>, world: World) -> Result<Restoring> {
    let (backup, dir) = (backup.as_ref(), config.dir.clone());
    crate::seal::sealer::available()?;
    refuse_occupied(&world, backup, &dir)?;
    let _lock = lock(&world, backup)?;
    let contents = check::read(&world, backup)?;
    let checked = check::examine(&world, backup, &contents, options)?;
    if !checked.is_good() {
        return Ok(Restoring { checked, restored: None });
    }
    make_path(&world, &dir).map_err(|error| Error::io(format!("could not make {}", dir.display()), error))?;
    let making = Making { world: &world, backup, dir: &dir, contents: &contents };
    making.clear()?;
    making.make(&config)?;
    let store = Store::open_in(Config { create: false, ..config }, world)?;
    let identity = store.identity()?.clone();
    let heads = store.close()?.heads;
    Ok(Restoring { checked, restored: Some(Restored { identity, heads }) })
}

/// Only into an empty directory, or one where this was tried before.
fn refuse_occupied(world: &World, backup: &Path, dir: &Path) -> Result<()> {
    let rejected = |what: String| Err(Error::new(ErrorKind::Rejected, what).with_hint("choose an empty directory for --data"));
    if dir.starts_with(backup) || backup.starts_with(dir) {
        return rejected(format!("{} and the backup are one within the other", dir.display()));
    }
    if !world.disk.exists(dir) {
        return Ok(());
    }
    if world.disk.exists(&dir.join("store.json")) {
        return rejected(format!("there is a store in {} already; a backup is never restored over one", dir.display()));
    }
    let names = world.disk.list(dir).map_err(|error| Error::io(format!("could not list {}", dir.display()), error))?;
    if names.is_empty() || names.iter().any(|name| name == UNFINISHED || *name == fresh()) {
        return Ok(());
    }
    rejected(format!("{} is not empty", dir.display()))
}

/// What the files of a backup go into.
const FOLDERS: [&str; 2] = ["segments", "journal"];

/// What one of them is called for a moment, while it gets its name anew.
fn aside(name: &str) -> String {
    format!("{name}.new")
}

fn fresh() -> String {
    format!("{UNFINISHED}.new")
}

/// A store in the making.
struct Making<'m> {
    world: &'m World,
    backup: &'m Path,
    dir: &'m Path,
    contents: &'m Contents,
}

impl Making<'_> {
    fn failed(&self, what: &str) -> impl Fn(std::io::Error) -> Error {
        let what = format!("could not {what} in {}", self.dir.display());
        move |error| Error::io(what.clone(), error)
    }

    /// Removes what an interrupted restoration left, all but the file that says so.
    fn clear(&self) -> Result<()> {
        let disk = &self.world.disk;
        let failed = self.failed("remove what an interrupted restoration left");
        let ours = |path: PathBuf, is_ours: &dyn Fn(&str) -> bool| -> Result<()> {
            if !disk.exists(&path) {
                return Ok(());
            }
            let mut changed = false;
            for name in disk.list(&path).map_err(&failed)?.iter().filter(|name| is_ours(name)) {
                disk.remove(&path.join(name)).map_err(&failed)?;
                changed = true;
            }
            if changed { disk.sync_dir(&path).map_err(&failed) } else { Ok(()) }
        };
        for name in FOLDERS.iter().filter(|name| disk.exists(&self.dir.join(aside(name)))) {
            disk.rename(&self.dir.join(aside(name)), &self.dir.join(name)).map_err(&failed)?;
        }
        let base = |name: &str| name.trim_end_matches(".new").trim_end_matches(".old").to_owned();
        ours(files::folder(self.dir), &|name| {
            files::is_segment(&base(name)) || files::is_state(&base(name)) || files::is_expired(&base(name))
        })?;
        ours(self.dir.join("journal"), &|name| file_number(&base(name)).is_some())?;
        ours(self.dir.to_owned(), &|name| matches!(name, "manifest" | "manifest.new" | "key" | "key.new"))
    }

    fn make(&self, config: &Config) -> Result<()> {
        let (world, dir) = (self.world, self.dir);
        let view = View::world(world, self.backup, self.contents);
        let before = Identity::read(&view, self.backup)?;
        let (identity, key) = Identity::succeed(world, self.predecessor(&before), before.predecessors.clone())?;
        // From here on the directory says what it is.
        let unfinished = dir.join(UNFINISHED);
        world.replace_file(&unfinished, &identity.to_json()).map_err(self.failed("write the new identity"))?;
        for name in FOLDERS {
            let (path, aside) = (dir.join(name), dir.join(aside(name)));
            let made = if world.disk.exists(&path) {
                // By an attempt of which perhaps the sync failed: then a later one saves only what has changed since, so the name has to.
                world.disk.rename(&path, &aside).and_then(|()| world.disk.rename(&aside, &path))
            } else {
                world.disk.create_dir(&path)
            };
            made.map_err(self.failed("make a directory"))?;
        }
        world.disk.sync_dir(dir).map_err(self.failed("make directories durable"))?;
        for entry in self.contents.files.iter().filter(|entry| entry.name.contains('/')) {
            self.bring(entry)?;
        }
        for name in FOLDERS {
            world.disk.sync_dir(&dir.join(name)).map_err(self.failed("make files durable"))?;
        }
        let manifest = Manifest::read(&view, self.backup, &before)?;
        if manifest.generation > 0 {
            manifest.write(world, dir, &before)?;
        }
        self.seal(&before, config)?;
        // What was written for the predecessor's eyes is now the new store's.
        Manifest::read(world, dir, &before)?.write(world, dir, &identity)?;
        write_key(&key, world, dir)?;
        world.disk.rename(&unfinished, &dir.join("store.json")).map_err(self.failed("write store.json"))?;
        world.disk.sync_dir(dir).map_err(self.failed("write store.json"))
    }

    fn predecessor(&self, before: &Identity) -> Predecessor {
        let taken = |head: &LogHead| {
            let note = self.contents.checkpoints.iter().find(|(log, _)| *log == head.log);
            TakenOver { head: *head, checkpoint: note.map(|(_, note)| note.clone()) }
        };
        Predecessor {
            identity: Identity { predecessors: Vec::new(), ..before.clone() },
            until: self.contents.made,
            logs: self.contents.heads.iter().map(taken).collect(),
        }
    }

    /// Copies one file to its name in the store and compares its digest once more.
    fn bring(&self, entry: &super::contents::Entry) -> Result<()> {
        let from = object(self.backup, &entry.digest);
        let failed = |error| Error::io(format!("could not read {}", from.display()), error);
        let file = self.world.disk.open(&from, Open::Read).map_err(failed)?;
        let mut writer =
            FileWriter::create(self.world, &self.dir.join(&entry.name)).map_err(self.failed(&format!("write {}", entry.name)))?;
        copy(&*file, None, &mut writer, &entry.name, &mut |_| {})?;
        let (_, bytes, digest) = writer.finish().map_err(self.failed(&format!("write {}", entry.name)))?;
        if (bytes, digest) != (entry.bytes, entry.digest) {
            return Err(Error::new(ErrorKind::Corrupt, format!("{} changed while it was restored", from.display()))
                .with_hint("restore again; if this repeats, the medium is failing"));
        }
        Ok(())
    }

    /// Makes segments of all that is in the journal: its frames belong to the predecessor.
    fn seal(&self, before: &Identity, config: &Config) -> Result<()> {
        let last = self.contents.files.iter().filter_map(|entry| Some((&entry.name, entry.end?))).next_back();
        let Some((_, (lsn, _))) = last else { return Ok(()) };
        let mut sealer = Sealer::open(self.world, self.dir, before)?;
        let file = frames::numbers(self.world, self.dir)?.last().map_or(1, |number| number + 1);
        let boundary = Boundary { file, lsn, heads: self.contents.heads.clone() };
        sealer.seal(&boundary, &config.sealing.shape(), &|| false)?;
        // The sealer removes files as well as it can, and leaves the rest to the next opening. Here they are another store's.
        let journal = self.dir.join("journal");
        for number in frames::numbers(self.world, self.dir)? {
            self.world.disk.remove(&journal.join(file_name(number))).map_err(self.failed("remove what was sealed"))?;
        }
        self.world.disk.sync_dir(&journal).map_err(self.failed("remove what was sealed"))
    }
}

//! A file that appears under its name when it is whole, and can be gone on with until then.
//!
//! | file | is |
//! |---|---|
//! | `FILE.part` | what is written so far; locked while somebody writes |
//! | `FILE.part.state` | two lines of JSON: what was asked, and how far that got; then, in base64, a line for each row group of a table |
//! | `FILE` | the whole export |
//!
//! The state is replaced only after the bytes it speaks of are synced. What stands in `FILE.part` behind them is cut off when the
//! export goes on, so a crash at any moment costs work, never bytes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::json::{Document, Limits};

use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::question::now_ns;

/// How far an export got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// What relative times count from, ns since 1970 UTC: the beginning of the first run.
    pub(super) now: i64,
    pub(super) bytes: u64,
    pub(super) count: u64,
    /// Of each log, the first position that was not looked at.
    next: Vec<(u32, u64)>,
}

impl Reached {
    pub(super) const fn beginning(now: i64) -> Self {
        Self { now, bytes: 0, count: 0, next: Vec::new() }
    }

    /// Counts the event at this position; `false` if it was counted before. Positions of one log come in ascending order.
    pub(super) fn advance(&mut self, log: u32, seq: u64) -> bool {
        match self.next.iter_mut().find(|(known, _)| *known == log) {
            Some((_, next)) if seq < *next => return false,
            Some((_, next)) => *next = seq + 1,
            None => self.next.push((log, seq + 1)),
        }
        self.count += 1;
        true
    }

    /// As far as `other`, which knows nothing of bytes, and `bytes` more than this.
    pub(super) fn on_to(&self, other: Self, bytes: usize) -> Self {
        Self { bytes: self.bytes + bytes as u64, ..other }
    }

    /// Of each log, the first position that was not looked at.
    pub(super) fn next(&self) -> &[(u32, u64)] {
        &self.next
    }

    /// Positions of all logs that lie behind.
    pub(super) fn positions(&self) -> u64 {
        self.next.iter().map(|(_, next)| next).sum()
    }

    fn json(&self) -> Vec<u8> {
        let mut object = Object::new();
        object.number("now", self.now).number("bytes", self.bytes).number("count", self.count);
        object.objects("next", &self.next, |object, (log, seq)| object.number("log", log).number("seq", seq).end());
        object.finish()
    }

    fn parse(json: &[u8]) -> Option<Self> {
        let mut document = Document::new();
        let node = document.parse(json, &Limits::default()).ok()?;
        let number = |key: &str| node.get(key)?.as_u64();
        let next = node.get("next")?.elements();
        let next = next.map(|place| Some((u32::try_from(place.get("log")?.as_u64()?).ok()?, place.get("seq")?.as_u64()?)));
        let next = next.collect::<Option<Vec<_>>>()?;
        Some(Self { now: node.get("now")?.as_i64()?, bytes: number("bytes")?, count: number("count")?, next })
    }
}

/// The file on its way.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    part: PathBuf,
    state: PathBuf,
    file: File,
    request: Vec<u8>,
    saved: Reached,
    /// What the end of the file is to say of its row groups, as an earlier run saved it.
    groups: Vec<Vec<u8>>,
}

impl Part {
    /// Opens the part of `path`, behind what an earlier run of the same request wrote.
    pub(super) fn open(path: &Path, overwrite: bool, request: Vec<u8>) -> Result<Self> {
        if !overwrite && path.symlink_metadata().is_ok() {
            return Err(Failure::new("exists", format!("{} is there already", path.display()))
                .hint("choose another name, or replace it with --overwrite"));
        }
        let (part, state) = (beside(path, ".part"), beside(path, ".part.state"));
        // Without it, a state was left behind by an export that had come to its end.
        let goes_on = part.symlink_metadata().is_ok();
        let file = ours().read(true).truncate(false).open(&part);
        let file = file.map_err(|error| Failure::file("write", &part, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new("locked", format!("another export is writing to {}", part.display()))
                    .hint("wait until it is done, or choose another name"));
            }
            Err(TryLockError::Error(error)) => return Err(Failure::file("lock", &part, &error)),
        }
        let (saved, groups) = match std::fs::read(&state) {
            Ok(bytes) if goes_on => resume(&bytes, &request, &file, &part)?,
            Ok(_) => (Reached::beginning(now_ns()), Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Reached::beginning(now_ns()), Vec::new()),
            Err(error) => return Err(Failure::file("read", &state, &error)),
        };
        let mut opened = Self { path: path.to_owned(), part, state, file, request, saved, groups };
        opened.cut()?;
        // So that a run that is interrupted early leaves word of what was asked.
        let (saved, groups) = (opened.saved.clone(), opened.groups.clone());
        opened.save(&saved, &groups)?;
        Ok(opened)
    }

    /// Takes away what no state speaks of.
    fn cut(&mut self) -> Result<()> {
        let failed = |error| Failure::file("write", &self.part, &error);
        self.file.set_len(self.saved.bytes).map_err(failed)?;
        self.file.seek(SeekFrom::Start(self.saved.bytes)).map_err(failed)?;
        Ok(())
    }

    /// How far it got when that was last saved.
    pub(super) const fn reached(&self) -> &Reached {
        &self.saved
    }

    /// What an earlier run saved of row groups.
    pub(super) fn groups(&self) -> &[Vec<u8>] {
        &self.groups
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Failure::file("write", &self.part, &error))
    }

    /// Makes what was written durable, then notes that it is.
    pub(super) fn save(&mut self, reached: &Reached, groups: &[Vec<u8>]) -> Result<()> {
        self.file.sync_data().map_err(|error| Failure::file("sync", &self.part, &error))?;
        let mut state = [&*self.request, b"\n", &*reached.json(), b"\n"].concat();
        for group in groups {
            state.extend_from_slice(STANDARD.encode(group).as_bytes());
            state.push(b'\n');
        }
        replace(&self.state, &state)?;
        self.saved = reached.clone();
        Ok(())
    }

    /// The file is whole: it gets its name, after the `trailer` that is to stand beside it.
    pub(super) fn finish(&mut self, trailer: Option<&[u8]>) -> Result<()> {
        self.file.sync_all().map_err(|error| Failure::file("sync", &self.part, &error))?;
        if let Some(trailer) = trailer {
            replace(&beside(&self.path, ".trailer.json"), trailer)?;
        }
        std::fs::rename(&self.part, &self.path).map_err(|error| Failure::file("write", &self.path, &error))?;
        sync_directory_of(&self.path)?;
        std::fs::remove_file(&self.state).map_err(|error| Failure::file("remove", &self.state, &error))
    }
}

/// How far the run got that `state` speaks of, and its row groups.
fn resume(state: &[u8], request: &[u8], file: &File, part: &Path) -> Result<(Reached, Vec<Vec<u8>>)> {
    let mut lines = state.split(|byte| *byte == b'\n');
    let (asked, reached) = (lines.next().unwrap_or_default(), lines.next().and_then(Reached::parse));
    let groups = lines.filter(|line| !line.is_empty()).map(|line| STANDARD.decode(line).ok()).collect::<Option<_>>();
    let length = file.metadata().map_err(|error| Failure::file("read", part, &error))?.len();
    let begin_anew = "remove it together with its .state to begin anew, or choose another name";
    match reached.zip(groups) {
        Some((reached, groups)) if asked == request && reached.bytes <= length => Ok((reached, groups)),
        Some(_) if asked != request => {
            let words = |json: &[u8]| String::from_utf8_lossy(json).into_owned();
            Err(Failure::new("conflict", format!("{} is the beginning of another export", part.display()))
                .cause(format!("it was asked for {}", words(asked)))
                .cause(format!("this one is {}", words(request)))
                .hint(begin_anew))
        }
        _ => Err(Failure::new("conflict", format!("{} is not what its .state says", part.display())).hint(begin_anew)),
    }
}

/// `path` with something behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// How our files are opened: for their owner only, and never through a link that somebody else put there.
fn ours() -> OpenOptions {
    let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600).custom_flags(no_link);
    options
}

/// Puts `contents` in place of a file, whole or not at all.
fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let new = beside(path, ".new");
    let failed = |error| Failure::file("write", &new, &error);
    let mut file = ours().truncate(true).open(&new).map_err(failed)?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, path).map_err(|error| Failure::file("write", path, &error))?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|open| open.sync_all()).map_err(|error| Failure::file("sync", directory, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, request: &[u8]) -> Result<Part> {
        Part::open(path, false, request.to_vec())
    }

    #[test]
    fn what_no_state_speaks_of_is_cut_off_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut part = open(&path, b"{}").unwrap();
        part.write(b"kept").unwrap();
        let mut reached = Reached { bytes: 4, ..part.reached().clone() };
        assert!(reached.advance(1, 7) && reached.advance(2, 0) && !reached.advance(1, 7) && reached.advance(1, 9));
        let groups = [b"one\n".to_vec(), b"two".to_vec()];
        part.save(&reached, &groups).unwrap();
        part.write(b"lost").unwrap();
        drop(part);
        let mut part = open(&path, b"{}").unwrap();
        assert_eq!((part.reached(), part.groups()), (&reached, &groups[..]));
        part.write(b" whole").unwrap();
        part.finish(Some(b"{}")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kept whole");
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["f", "f.trailer.json"]);
        assert!(open(&path, b"{}").is_err(), "what is there is left alone");
    }

    #[test]
    fn another_request_a_damaged_state_and_a_second_writer_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let first = open(&path, b"{\"a\":1}").unwrap();
        assert!(open(&path, b"{\"a\":1}").is_err(), "it is locked");
        drop(first);
        assert!(open(&path, b"{\"a\":2}").is_err());
        let state = dir.path().join("f.part.state");
        for damaged in [&b""[..], b"{\"a\":1}", b"{\"a\":1}\n{\"now\":1,\"bytes\":99,\"count\":1,\"next\":[]}\n", b"\xff\n\xff\n"]
        {
            std::fs::write(&state, damaged).unwrap();
            assert!(open(&path, b"{\"a\":1}").is_err(), "{damaged:?}");
        }
        std::fs::remove_file(&state).unwrap();
        assert!(open(&path, b"{\"a\":1}").is_ok());
    }
}

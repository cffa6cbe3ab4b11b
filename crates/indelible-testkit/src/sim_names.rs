//! The directory tree of a simulated disk: the names the process sees, those the disk holds, and the changes between.
//!
//! Rule, stricter than most file systems: a name made, replaced or removed is durable only after a sync of its directory.
//! A rename is one change: both of its names or neither; the directory of the new name makes it durable. A sync of a file
//! makes no name durable. Changes of one node or one name land in their order, others in any.
//!
//! Invariants: `pending` is in the order the changes were made; a node lives as long as a name, a pending change or an open
//! file refers to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::fault::{errno, os};
use crate::sim_file::{Landing, SimFile, Stamp};

pub(crate) type NodeId = u64;

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    pending: Vec<Change>,
    last_id: NodeId,
}

#[derive(Debug, Clone)]
enum Node {
    Directory(Directory),
    File(Box<SimFile>),
}

#[derive(Debug, Clone, Default)]
struct Directory {
    seen: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

/// A name in a directory.
type Place = (NodeId, String);

/// `node` gives up one place, takes another, or both at once.
#[derive(Debug, Clone)]
struct Change {
    stamp: Stamp,
    node: NodeId,
    from: Option<Place>,
    to: Option<Place>,
}

impl Change {
    /// The directory whose sync makes the change durable.
    fn home(&self) -> Option<NodeId> {
        self.to.as_ref().or(self.from.as_ref()).map(|(directory, _)| *directory)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.from.iter().chain(&self.to)
    }
}

impl Tree {
    pub(crate) fn new() -> Self {
        let root = Node::Directory(Directory::default());
        Self { nodes: BTreeMap::from([(ROOT, root)]), pending: Vec::new(), last_id: ROOT }
    }

    pub(crate) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names(path)? {
            node = *self.directory(node)?.seen.get(&name).ok_or_else(|| os(errno::ENOENT))?;
        }
        Ok(node)
    }

    pub(crate) fn file(&self, node: NodeId) -> io::Result<&SimFile> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(os(errno::EISDIR)),
            None => Err(os(errno::ENOENT)),
        }
    }

    pub(crate) fn file_mut(&mut self, node: NodeId) -> io::Result<&mut SimFile> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(os(errno::EISDIR)),
            None => Err(os(errno::ENOENT)),
        }
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.directory(self.find(path)?)?.seen.keys().cloned().collect())
    }

    /// Makes an empty file and its name.
    pub(crate) fn create_file(&mut self, path: &Path, stamps: &mut Stamp) -> io::Result<NodeId> {
        self.create(path, Node::File(Box::default()), stamps)
    }

    /// Makes an empty directory; fine if it is there.
    pub(crate) fn create_dir(&mut self, path: &Path, stamps: &mut Stamp) -> io::Result<()> {
        if let Ok(node) = self.find(path) {
            return self.directory(node).map(drop).map_err(|_| os(errno::EEXIST));
        }
        self.create(path, Node::Directory(Directory::default()), stamps).map(drop)
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path, stamps: &mut Stamp) -> io::Result<()> {
        let node = self.find(from)?;
        let (from_names, to_names) = (names(from)?, names(to)?);
        if from_names == to_names {
            return Ok(());
        }
        if to_names.starts_with(&from_names) || from_names.is_empty() {
            return Err(os(errno::EINVAL));
        }
        if let Ok(replaced) = self.find(to) {
            match (self.directory(node), self.directory(replaced)) {
                (Err(_), Err(_)) => {}
                (Ok(_), Ok(replaced)) if replaced.seen.is_empty() => {}
                (Ok(_), Ok(_)) => return Err(os(errno::ENOTEMPTY)),
                (Ok(_), Err(_)) => return Err(os(errno::ENOTDIR)),
                (Err(_), Ok(_)) => return Err(os(errno::EISDIR)),
            }
        }
        let (from, to) = (self.place(from)?, self.place(to)?);
        self.change(node, Some(from), Some(to), stamps)
    }

    pub(crate) fn remove(&mut self, path: &Path, stamps: &mut Stamp) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?;
        let from = self.place(path)?;
        self.change(node, Some(from), None, stamps)
    }

    /// Makes the names in `directory` durable, and whatever that presupposes elsewhere.
    pub(crate) fn sync_dir(&mut self, directory: NodeId) -> io::Result<()> {
        self.directory(directory)?;
        self.land(|change| change.home() == Some(directory));
        Ok(())
    }

    /// A sync of `directory` has failed: what it should have saved will not be saved by a later one either.
    pub(crate) fn lose_dir(&mut self, directory: NodeId) -> io::Result<()> {
        self.directory(directory)?;
        self.pending.retain(|change| change.home() != Some(directory));
        Ok(())
    }

    /// Makes the last change durable, with all that its directory needs for it.
    pub(crate) fn sync_last(&mut self) -> io::Result<()> {
        match self.pending.last().and_then(Change::home) {
            Some(directory) => self.sync_dir(directory),
            None => Ok(()),
        }
    }

    /// After a crash: what `landing` chooses of names and contents is there, the rest is gone.
    pub(crate) fn crash(&mut self, landing: &mut Landing<'_>) {
        self.land(|change| landing.choose(&[(change.stamp, ())]) == 1);
        self.pending.clear();
        for node in self.nodes.values_mut() {
            match node {
                Node::Directory(directory) => directory.seen = directory.durable.clone(),
                Node::File(file) => {
                    file.settle(landing);
                    file.reload();
                }
            }
        }
    }

    /// The places in the order of writes where a crash may cut.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        let mut stamps: Vec<Stamp> = self.pending.iter().map(|change| change.stamp).collect();
        stamps.extend(self.files().flat_map(|(_, file)| file.stamps()));
        stamps.sort_unstable();
        stamps.dedup();
        stamps
    }

    /// Forgets nodes that neither a name nor a pending change nor one of the `open` files refers to.
    pub(crate) fn forget_unreachable(&mut self, open: impl Iterator<Item = NodeId>) {
        let roots: Vec<NodeId> = open.chain(self.pending.iter().map(|change| change.node)).collect();
        let live = self.reachable(roots, |directory| directory.seen.values().chain(directory.durable.values()));
        self.nodes.retain(|node, _| live.contains(node));
    }

    /// Bytes taken by files that have a name or are open, in blocks of 4 KiB.
    pub(crate) fn used(&self, open: impl Iterator<Item = NodeId>) -> u64 {
        let live = self.reachable(open, |directory| directory.seen.values());
        let files = self.files().filter(|(node, _)| live.contains(node));
        files.map(|(_, file)| file.allocated.next_multiple_of(BLOCK_BYTES)).sum()
    }

    fn reachable<'a, I: Iterator<Item = &'a NodeId>>(
        &'a self,
        roots: impl IntoIterator<Item = NodeId>,
        names: impl Fn(&'a Directory) -> I,
    ) -> BTreeSet<NodeId> {
        let mut live = BTreeSet::new();
        let mut next: Vec<NodeId> = roots.into_iter().chain([ROOT]).collect();
        while let Some(node) = next.pop() {
            if live.insert(node)
                && let Some(Node::Directory(directory)) = self.nodes.get(&node)
            {
                next.extend(names(directory).copied());
            }
        }
        live
    }

    fn files(&self) -> impl Iterator<Item = (NodeId, &SimFile)> {
        self.nodes.iter().filter_map(|(id, node)| match node {
            Node::File(file) => Some((*id, &**file)),
            Node::Directory(_) => None,
        })
    }

    fn directory(&self, node: NodeId) -> io::Result<&Directory> {
        match self.nodes.get(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(os(errno::ENOTDIR)),
            None => Err(os(errno::ENOENT)),
        }
    }

    fn directory_mut(&mut self, node: NodeId) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(os(errno::ENOTDIR)),
            None => Err(os(errno::ENOENT)),
        }
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = names(path)?;
        let name = names.pop().ok_or_else(|| os(errno::EEXIST))?;
        let directory = self.find(&names.iter().collect::<PathBuf>())?;
        self.directory(directory)?;
        Ok((directory, name))
    }

    fn create(&mut self, path: &Path, node: Node, stamps: &mut Stamp) -> io::Result<NodeId> {
        let place = self.place(path)?;
        self.last_id += 1;
        self.nodes.insert(self.last_id, node);
        self.change(self.last_id, None, Some(place), stamps)?;
        Ok(self.last_id)
    }

    fn change(&mut self, node: NodeId, from: Option<Place>, to: Option<Place>, stamps: &mut Stamp) -> io::Result<()> {
        if let Some((directory, name)) = &from {
            self.directory_mut(*directory)?.seen.remove(name);
        }
        if let Some((directory, name)) = &to {
            self.directory_mut(*directory)?.seen.insert(name.clone(), node);
        }
        *stamps += 1;
        self.pending.push(Change { stamp: *stamps, node, from, to });
        Ok(())
    }

    /// Brings to the disk the `chosen` changes and all earlier ones of the same names, which includes those of the same node:
    /// each begins where the one before ended. No file system keeps a new name where it has not recorded that the old one
    /// moved away: that would lose a file nobody removed.
    fn land(&mut self, mut chosen: impl FnMut(&Change) -> bool) {
        let mut places = BTreeSet::new();
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for change in self.pending.drain(..).rev() {
            let presupposed = change.places().any(|place| places.contains(place));
            if chosen(&change) || presupposed {
                places.extend(change.places().cloned());
                taken.push(change);
            } else {
                left.push(change);
            }
        }
        left.reverse();
        self.pending = left;
        for change in taken.into_iter().rev() {
            self.record(change);
        }
    }

    fn record(&mut self, change: Change) {
        if let Some((directory, name)) = change.from
            && let Ok(directory) = self.directory_mut(directory)
            && directory.durable.get(&name) == Some(&change.node)
        {
            directory.durable.remove(&name);
        }
        if let Some((directory, name)) = change.to
            && let Ok(directory) = self.directory_mut(directory)
        {
            directory.durable.insert(name, change.node);
        }
    }
}

/// The names of `path` from the root down. Relative paths start at the root too.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| os(errno::EINVAL))?.to_owned()),
            Component::ParentDir | Component::Prefix(_) => return Err(os(errno::EINVAL)),
        }
    }
    Ok(names)
}

const ROOT: NodeId = 0;
const BLOCK_BYTES: u64 = 4096;

//! The simulated world keeps its own promises: what it may lose it loses, what it may not it keeps.

use std::io::{self, IoSlice};
use std::path::Path;

use indelible::world::{Clock, Disk, DiskFile, Entropy, Open};

use crate::SimDisk;

mod crash;
mod faults;
mod names;
mod real;
mod replay;
mod world;

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn put(file: &dyn DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_at(&[IoSlice::new(bytes)], offset)
}

fn get(file: &dyn DiskFile) -> Vec<u8> {
    let mut buf = vec![0xEE; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), buf.len());
    buf
}

/// A file that holds `bytes`, name and contents durable.
fn durable(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.open(p(path), Open::Create).unwrap();
    put(&*file, 0, bytes).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(p("/")).unwrap();
    file
}

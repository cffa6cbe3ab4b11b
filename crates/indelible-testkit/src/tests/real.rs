//! The simulated disk answers as the real one does.

use std::path::PathBuf;

use fastrand::Rng;
use indelible::world::RealDisk;

use super::*;
use crate::{SeedGuard, seeds};

/// A real directory that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> Self {
        let path = std::env::temp_dir().join(format!("indelible-testkit-{}-{seed}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One step of the same story on either disk; the answer as text.
fn step(disk: &dyn Disk, root: &Path, files: &mut Vec<Option<Box<dyn DiskFile>>>, mut rng: Rng) -> String {
    let path = |rng: &mut Rng| root.join(*rng.choice(["a", "b", "d", "d/a", "d/e", "d/e/a", "a/x"].iter()).unwrap());
    let kind = |result: io::Result<String>| match result {
        Ok(answer) => answer,
        Err(error) => format!("{:?}", error.kind()),
    };
    let dull = |result: io::Result<()>| result.map(|()| "ok".to_owned());
    let slot = rng.usize(0..4);
    files.resize_with(4, || None);
    let at = rng.u64(0..3000);
    match rng.u32(0..16) {
        0..=2 => {
            let how = [Open::Read, Open::ReadWrite, Open::CreateNew, Open::Create][rng.usize(0..4)];
            let opened = disk.open(&path(&mut rng), how);
            kind(opened.map(|file| {
                files[slot] = Some(file);
                format!("{how:?}")
            }))
        }
        3 => kind(dull(disk.create_dir(&path(&mut rng)))),
        4 | 5 => {
            let (from, to) = (path(&mut rng), path(&mut rng));
            // Which of several true complaints comes first is nobody's promise.
            disk.rename(&from, &to).map_or_else(|_| "refused".to_owned(), |()| "ok".to_owned())
        }
        6 => kind(dull(disk.remove(&path(&mut rng)))),
        7 => kind(disk.list(&path(&mut rng)).map(|names| names.join(" "))),
        8 => disk.exists(&path(&mut rng)).to_string(),
        9 => kind(dull(disk.sync_dir(&path(&mut rng)))),
        action => {
            let Some(file) = &files[slot] else { return "not open".to_owned() };
            kind(match action {
                10 => {
                    let bytes: Vec<u8> = (0..rng.usize(0..2000)).map(|_| rng.u8(1..)).collect();
                    let (left, right) = bytes.split_at(bytes.len() / 3);
                    dull(file.write_at(&[IoSlice::new(left), IoSlice::new(right)], at))
                }
                11 => {
                    let mut buf = vec![0xEE; rng.usize(0..4000)];
                    file.read_at(&mut buf, at).map(|count| format!("{count} {buf:?}"))
                }
                12 => dull(file.sync_data()),
                13 => dull(file.set_len(at)),
                14 => dull(file.allocate(at)),
                _ => file.len().map(|len| len.to_string()),
            })
        }
    }
}

#[test]
fn a_random_story_reads_the_same_on_both_disks() {
    let mut answers = std::collections::BTreeSet::new();
    for seed in seeds(20) {
        let _guard = SeedGuard::new(seed);
        let folder = Folder::new(seed);
        let sim = SimDisk::new(seed);
        let (mut sim_files, mut real_files) = (Vec::new(), Vec::new());
        let mut rng = Rng::with_seed(seed);
        for count in 0..400 {
            let story = rng.fork();
            let told = step(&sim, p("/"), &mut sim_files, story.clone());
            let happened = step(&RealDisk, &folder.0, &mut real_files, story);
            assert_eq!(told, happened, "step {count}");
            answers.insert(told);
        }
    }
    for answer in ["ok", "NotFound", "AlreadyExists", "NotADirectory", "IsADirectory", "InvalidInput", "Create", "true"] {
        assert!(answers.contains(answer), "the stories never came to {answer}");
    }
}

//! What a crash leaves of names, and what directories and the lock do.

use super::*;
use crate::{CrashPolicy, Fault, OpKind, What, errno};

#[test]
fn a_name_is_lost_unless_its_directory_was_synced_even_if_the_file_was() {
    let disk = SimDisk::new(1);
    let file = disk.open(p("/a"), Open::CreateNew).unwrap();
    put(&*file, 0, b"synced").unwrap();
    file.sync_data().unwrap();
    let all = disk.crashed_copy(CrashPolicy::All, 1);
    assert_eq!(all.contents(p("/a")).unwrap(), b"synced");
    disk.crash(CrashPolicy::None);
    assert!(!disk.exists(p("/a")));
}

#[test]
fn a_removed_name_comes_back_unless_its_directory_was_synced() {
    let disk = SimDisk::new(1);
    durable(&disk, "/a", b"still");
    disk.remove(p("/a")).unwrap();
    assert!(!disk.exists(p("/a")));
    let back = disk.crashed_copy(CrashPolicy::None, 1);
    assert_eq!(back.contents(p("/a")).unwrap(), b"still");
    disk.sync_dir(p("/")).unwrap();
    disk.crash(CrashPolicy::All);
    assert!(!disk.exists(p("/a")));
}

#[test]
fn a_directory_needs_its_parent_to_be_synced() {
    let disk = SimDisk::new(1);
    disk.create_dir(p("/d")).unwrap();
    disk.open(p("/d/a"), Open::CreateNew).unwrap();
    disk.sync_dir(p("/d")).unwrap();
    let lost = disk.crashed_copy(CrashPolicy::None, 1);
    assert!(!lost.exists(p("/d")));
    disk.sync_dir(p("/")).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.list(p("/d")).unwrap(), ["a"]);
}

#[test]
fn a_rename_replaces_all_or_nothing() {
    let mut found = std::collections::BTreeSet::new();
    for policy in CrashPolicy::ALL {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            durable(&disk, "/a", b"old");
            durable(&disk, "/a.new", b"new");
            disk.rename(p("/a.new"), p("/a")).unwrap();
            assert_eq!(disk.contents(p("/a")).unwrap(), b"new");
            let synced = disk.crashed_copy(policy, seed);
            let contents = synced.contents(p("/a")).unwrap();
            assert_eq!(synced.exists(p("/a.new")), contents == b"old");
            found.insert((format!("{policy:?}"), contents));
            disk.sync_dir(p("/")).unwrap();
            disk.crash(policy);
            assert_eq!(disk.contents(p("/a")).unwrap(), b"new");
            assert!(!disk.exists(p("/a.new")));
        }
    }
    let outcomes: Vec<_> = found.iter().map(|(policy, contents)| (policy.as_str(), contents.as_slice())).collect();
    let (old, new) = (b"old".as_slice(), b"new".as_slice());
    let expected = [("All", new), ("None", old), ("Prefix", new), ("Prefix", old), ("Random", new), ("Random", old)];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_file_moved_between_directories_is_in_exactly_one_of_them() {
    for policy in CrashPolicy::ALL {
        for seed in 0..50 {
            for born_synced in [false, true] {
                let disk = SimDisk::new(seed);
                disk.create_dir(p("/1")).unwrap();
                disk.create_dir(p("/2")).unwrap();
                disk.sync_dir(p("/")).unwrap();
                disk.open(p("/1/a"), Open::CreateNew).unwrap();
                if born_synced {
                    disk.sync_dir(p("/1")).unwrap();
                }
                disk.rename(p("/1/a"), p("/2/a")).unwrap();
                let unsynced = disk.crashed_copy(policy, seed);
                let copies = u32::from(unsynced.exists(p("/1/a"))) + u32::from(unsynced.exists(p("/2/a")));
                assert!(copies == 1 || (copies == 0 && !born_synced), "{copies} copies, {policy:?} {seed}");
                disk.sync_dir(p("/2")).unwrap();
                disk.crash(policy);
                assert!(disk.exists(p("/2/a")) && !disk.exists(p("/1/a")), "{policy:?} {seed}");
            }
        }
    }
}

#[test]
fn a_name_given_away_and_taken_again_never_loses_the_first_file() {
    let mut outcomes = std::collections::BTreeSet::new();
    for policy in CrashPolicy::ALL {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            disk.create_dir(p("/old")).unwrap();
            durable(&disk, "/a", b"first");
            disk.rename(p("/a"), p("/old/a")).unwrap();
            let second = disk.open(p("/a"), Open::CreateNew).unwrap();
            put(&*second, 0, b"second").unwrap();
            second.sync_data().unwrap();
            let check = |disk: SimDisk| {
                let at_a = disk.contents(p("/a")).ok();
                let kept = disk.contents(p("/old/a")).ok().or_else(|| at_a.clone());
                assert_eq!(kept.as_deref(), Some(b"first".as_slice()), "{policy:?} {seed}");
                at_a
            };
            outcomes.insert(check(disk.crashed_copy(policy, seed)));
            disk.sync_dir(p("/")).unwrap();
            disk.crash(policy);
            assert_eq!(check(disk).as_deref(), Some(b"second".as_slice()));
        }
    }
    assert_eq!(outcomes.len(), 3, "gone, first and second all happen");
}

#[test]
fn a_file_whose_arrival_was_lost_takes_nothing_with_it_when_it_leaves() {
    let disk = SimDisk::new(1);
    disk.create_dir(p("/e")).unwrap();
    durable(&disk, "/a", b"old");
    durable(&disk, "/a.new", b"new");
    disk.rename(p("/a.new"), p("/a")).unwrap();
    disk.fault(Fault::nth(OpKind::SyncDir, 0, What::Error(errno::EIO)));
    disk.sync_dir(p("/")).unwrap_err();
    disk.rename(p("/a"), p("/e/a")).unwrap();
    disk.sync_dir(p("/e")).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/e/a")).unwrap(), b"new");
    assert_eq!(disk.contents(p("/a")).unwrap(), b"old", "the disk never heard that it was replaced");
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", b"here");
    disk.remove(p("/a")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(get(&*file), b"here");
    assert!(disk.free_bytes(p("/")).unwrap() < 1 << 40);
    drop(file);
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 1 << 40);
}

#[test]
fn the_lock_is_given_once_and_again_after_it_is_dropped() {
    let disk = SimDisk::new(1);
    assert_eq!(disk.lock(p("/a")).err().unwrap().kind(), io::ErrorKind::NotFound);
    durable(&disk, "/a", b"");
    durable(&disk, "/b", b"");
    let held = disk.lock(p("/a")).unwrap();
    assert_eq!(disk.lock(p("/a")).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    disk.lock(p("/b")).unwrap();
    drop(held);
    disk.lock(p("/a")).unwrap();
}

//! Planned failures strike where they were planned and do what they say.

use super::*;
use crate::{CrashPolicy, Fault, Op, OpKind, SeedGuard, What, errno, is_crash, seeds};

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn every_call_is_listed_with_its_place() {
    let disk = SimDisk::new(1);
    let file = disk.open(p("/a"), Open::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(b"12"), IoSlice::new(b"345")], 7).unwrap();
    file.sync_data().unwrap();
    file.read_at(&mut [0; 4], 3).unwrap();
    file.set_len(9).unwrap();
    file.allocate(20).unwrap();
    disk.rename(p("/a"), p("/b")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    disk.remove(p("/none")).unwrap_err();
    let op = |kind, path: &str, offset, len| Op { kind, path: p(path).into(), offset, len };
    let expected = [
        op(OpKind::Open, "/a", 0, 0),
        op(OpKind::Write, "/a", 7, 5),
        op(OpKind::Sync, "/a", 0, 0),
        op(OpKind::Read, "/a", 3, 4),
        op(OpKind::SetLen, "/a", 0, 9),
        op(OpKind::Allocate, "/a", 0, 20),
        op(OpKind::Rename, "/a", 0, 0),
        op(OpKind::SyncDir, "/", 0, 0),
        op(OpKind::Remove, "/none", 0, 0),
    ];
    assert_eq!(disk.ops(), expected);
    assert_eq!(disk.op_count(), expected.len());
    disk.clear_ops();
    assert_eq!(disk.ops(), []);
}

#[test]
fn a_fault_strikes_the_call_it_names_and_no_other() {
    let disk = SimDisk::new(1);
    let (a, b) = (durable(&disk, "/a", b""), durable(&disk, "/b", b""));
    disk.fault(Fault::nth(OpKind::Write, 1, What::Error(errno::EIO)).on("/b"));
    let results = [put(&*a, 0, b"x"), put(&*b, 0, b"x"), put(&*a, 0, b"x"), put(&*b, 1, b"y"), put(&*b, 2, b"z")];
    assert_eq!(results.map(code), [None, None, None, Some(errno::EIO), None]);
    assert_eq!(get(&*b), b"x\0z");

    disk.fault(Fault::at(2, What::Error(errno::EROFS)));
    assert_eq!([code(put(&*a, 0, b"x")), code(a.sync_data()), code(b.sync_data())], [None, None, Some(errno::EROFS)]);

    disk.fault(Fault::nth(OpKind::Open, 0, What::Error(errno::EMFILE)).lasting());
    assert_eq!(code(disk.open(p("/a"), Open::Read)), Some(errno::EMFILE));
    assert_eq!(code(disk.open(p("/c"), Open::CreateNew)), Some(errno::EMFILE));
    assert!(!disk.exists(p("/c")));
    disk.heal();
    disk.open(p("/a"), Open::Read).unwrap();
}

type Call = fn(&SimDisk, &dyn DiskFile) -> io::Result<()>;

#[test]
fn every_kind_of_call_can_fail_without_effect_and_works_afterwards() {
    let calls: [(OpKind, Call); 12] = [
        (OpKind::Open, |disk, _| disk.open(p("/new"), Open::CreateNew).map(drop)),
        (OpKind::Read, |_, file| file.read_at(&mut [0], 0).map(drop)),
        (OpKind::Write, |_, file| put(file, 1, b"x")),
        (OpKind::SetLen, |_, file| file.set_len(1)),
        (OpKind::Allocate, |_, file| file.allocate(10)),
        (OpKind::CreateDir, |disk, _| disk.create_dir(p("/new"))),
        (OpKind::Rename, |disk, _| disk.rename(p("/a"), p("/new"))),
        (OpKind::Remove, |disk, _| disk.remove(p("/a"))),
        (OpKind::List, |disk, _| disk.list(p("/")).map(drop)),
        (OpKind::FreeBytes, |disk, _| disk.free_bytes(p("/")).map(drop)),
        (OpKind::Lock, |disk, _| disk.lock(p("/a")).map(drop)),
        (OpKind::SyncDir, |disk, _| disk.sync_dir(p("/"))),
    ];
    for (kind, call) in calls {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "/a", b"old");
        disk.fault(Fault::nth(kind, 0, What::Error(errno::EROFS)));
        assert_eq!(code(call(&disk, &*file)), Some(errno::EROFS), "{kind:?}");
        let after = disk.crashed_copy(CrashPolicy::All, 1);
        assert_eq!((after.list(p("/")).unwrap(), get(&*file)), (vec!["a".to_owned()], b"old".to_vec()), "{kind:?}");
        call(&disk, &*file).unwrap();
        let changed = disk.crashed_copy(CrashPolicy::All, 1);
        let same = changed.list(p("/")).unwrap() == ["a"] && changed.contents(p("/a")).unwrap() == b"old";
        assert_eq!(same, !kind.changes_disk() || kind == OpKind::SyncDir, "{kind:?} does something when it works");
    }
}

#[test]
fn a_short_write_stores_only_its_beginning() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", b"");
        disk.fault(Fault::nth(OpKind::Write, 0, What::ShortWrite));
        assert_eq!(put(&*file, 0, b"12345678").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let stored = get(&*file);
        assert!(b"1234567".starts_with(&stored), "{stored:?}");
        lengths.insert(stored.len());
    }
    assert_eq!(lengths, (0..8).collect());
}

#[test]
fn what_landed_but_failed_is_done_and_durable() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", b"old");
    durable(&disk, "/gone", b"");
    durable(&disk, "/from", b"moved");
    let strike = |kind| disk.fault(Fault::nth(kind, 0, What::LandedButFailed));
    strike(OpKind::Write);
    assert_eq!(code(put(&*file, 3, b" and new")), Some(errno::EIO));
    strike(OpKind::Open);
    assert_eq!(code(disk.open(p("/made"), Open::CreateNew)), Some(errno::EIO));
    strike(OpKind::CreateDir);
    assert_eq!(code(disk.create_dir(p("/d"))), Some(errno::EIO));
    strike(OpKind::Remove);
    assert_eq!(code(disk.remove(p("/gone"))), Some(errno::EIO));
    strike(OpKind::Rename);
    assert_eq!(code(disk.rename(p("/from"), p("/to"))), Some(errno::EIO));
    strike(OpKind::Lock);
    assert_eq!(code(disk.lock(p("/a"))), Some(errno::EIO));
    disk.lock(p("/a")).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), b"old and new");
    assert_eq!(disk.contents(p("/to")).unwrap(), b"moved");
    assert_eq!(disk.list(p("/")).unwrap(), ["a", "d", "made", "to"]);
}

#[test]
fn a_failed_directory_sync_is_not_mended_by_a_later_one() {
    let disk = SimDisk::new(1);
    disk.open(p("/a"), Open::CreateNew).unwrap();
    disk.fault(Fault::nth(OpKind::SyncDir, 0, What::Error(errno::EIO)));
    assert_eq!(code(disk.sync_dir(p("/"))), Some(errno::EIO));
    disk.sync_dir(p("/")).unwrap();
    assert!(disk.exists(p("/a")));
    disk.crash(CrashPolicy::All);
    assert!(!disk.exists(p("/a")));
}

#[test]
fn after_a_planned_crash_nothing_works_until_the_restart() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", b"old");
    disk.fault(Fault::nth(OpKind::Write, 0, What::Crash));
    assert!(!disk.is_stopped());
    let ops = disk.op_count();
    assert!(is_crash(&put(&*file, 0, b"new").unwrap_err()));
    assert!(disk.is_stopped());
    assert!(is_crash(&file.sync_data().unwrap_err()));
    assert!(is_crash(&disk.open(p("/a"), Open::Read).err().unwrap()));
    assert!(is_crash(&disk.sync_dir(p("/")).unwrap_err()));
    assert!(is_crash(&file.len().unwrap_err()));
    assert_eq!(disk.op_count(), ops + 1, "only the call that was struck is listed");
    assert!(!is_crash(&io::Error::other("something else")));
    disk.crash(CrashPolicy::All);
    assert!(!disk.is_stopped());
    assert_eq!(get(&*disk.open(p("/a"), Open::Read).unwrap()), b"old");
}

#[test]
fn a_full_disk_refuses_room_and_says_how_much_is_left() {
    let disk = SimDisk::new(1);
    disk.set_capacity_bytes(5 * 4096 + 100);
    let file = durable(&disk, "/a", b"");
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 5 * 4096);
    file.allocate(3 * 4096).unwrap();
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 2 * 4096);
    assert_eq!(file.allocate(6 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 3 * 4096);
    let other = durable(&disk, "/b", &[1; 2 * 4096]);
    put(&*file, 0, &[1; 3 * 4096]).unwrap();
    assert_eq!(put(&*other, 4096, &[2; 8192]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(other.len().unwrap(), 2 * 4096, "the beginning fits");
    disk.remove(p("/a")).unwrap();
    drop(file);
    put(&*other, 4096, &[2; 8192]).unwrap();
    disk.set_reported_free_bytes(Some(7));
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 7);
    assert_eq!(code(other.set_len(u64::MAX)), Some(errno::EFBIG));
    assert_eq!(code(put(&*other, u64::MAX, b"12")), Some(errno::EFBIG));
}

/// The protocol every careful program replaces a file by, with the steps it must not forget.
fn replace(disk: &SimDisk, bytes: &[u8], sync_file: bool, sync_dir: bool) -> io::Result<()> {
    let file = disk.open(p("/a.new"), Open::Create)?;
    file.set_len(0)?;
    put(&*file, 0, bytes)?;
    if sync_file {
        file.sync_data()?;
    }
    disk.rename(p("/a.new"), p("/a"))?;
    if sync_dir {
        disk.sync_dir(p("/"))?;
    }
    Ok(())
}

/// Crashes `replace` before each of its calls, under each policy, and says in how many runs the promise was broken.
fn broken_promises(sync_file: bool, sync_dir: bool, lying: bool) -> u32 {
    let (old, new) = ([b'o'; 1500], [b'n'; 2500]);
    let mut broken = 0;
    for seed in seeds(20) {
        let _guard = SeedGuard::new(seed);
        for policy in CrashPolicy::ALL {
            for at in 0.. {
                let disk = SimDisk::new(seed);
                durable(&disk, "/a", &old);
                disk.set_lying_sync(lying);
                disk.fault(Fault::at(at, What::Crash));
                let replaced = replace(&disk, &new, sync_file, sync_dir);
                let finished = !disk.is_stopped();
                disk.crash(policy);
                let found = disk.contents(p("/a")).unwrap();
                let kept = if replaced.is_ok() { found == new } else { found == old || found == new };
                broken += u32::from(!kept);
                if finished {
                    break;
                }
            }
        }
    }
    broken
}

#[test]
fn a_careful_replacement_survives_a_crash_at_every_call_and_careless_ones_are_caught() {
    assert_eq!(broken_promises(true, true, false), 0);
    assert!(broken_promises(false, true, false) > 0, "contents not synced before the rename");
    assert!(broken_promises(true, false, false) > 0, "name not synced before the answer");
    assert!(broken_promises(true, true, true) > 0, "a disk that lies");
}

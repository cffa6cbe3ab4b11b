//! What a crash leaves of file contents.

use super::*;
use crate::{CrashPolicy, Fault, OpKind, What, errno, is_crash};

const SECTOR: usize = 512;
const OLD: [u8; SECTOR * 8] = [b'o'; SECTOR * 8];
const NEW: [u8; SECTOR * 8] = [b'n'; SECTOR * 8];

/// For each 512-byte sector whether it is new. Panics when one is a mixture.
fn landed(bytes: &[u8]) -> Vec<bool> {
    bytes
        .chunks(SECTOR)
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            assert!(matches!(sector[0], b'o' | b'n'));
            sector[0] == b'n'
        })
        .collect()
}

#[test]
fn what_was_synced_survives_every_policy() {
    for policy in CrashPolicy::ALL {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            durable(&disk, "/a", b"kept");
            disk.crash(policy);
            assert_eq!(disk.contents(p("/a")).unwrap(), b"kept", "{policy:?}");
        }
    }
}

#[test]
fn unsynced_writes_are_seen_at_once_and_dropped_by_a_crash() {
    for (policy, expected) in [(CrashPolicy::None, OLD), (CrashPolicy::All, NEW)] {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "/a", &OLD);
        put(&*file, 0, &NEW).unwrap();
        assert_eq!(get(&*file), NEW);
        disk.crash(policy);
        assert_eq!(disk.contents(p("/a")).unwrap(), expected, "{policy:?}");
    }
}

#[test]
fn a_random_crash_tears_a_write_between_sectors_and_nowhere_else() {
    let (mut torn, mut holes) = (0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", &OLD);
        put(&*file, 0, &NEW).unwrap();
        disk.crash(CrashPolicy::Random);
        let landed = landed(&disk.contents(p("/a")).unwrap());
        torn += u32::from(landed.contains(&true) && landed.contains(&false));
        holes += u32::from(landed.windows(2).any(|pair| pair == [false, true]));
    }
    assert!(torn > 150 && holes > 100, "torn {torn}, later sectors without earlier ones {holes}, of 200");
}

#[test]
fn a_prefix_crash_keeps_the_order_of_writes() {
    let (mut torn, mut first_only) = (0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let (first, second) = (durable(&disk, "/1", &OLD), durable(&disk, "/2", &OLD));
        put(&*first, 0, &NEW).unwrap();
        put(&*second, 0, &NEW).unwrap();
        disk.crash(CrashPolicy::Prefix);
        let mut both = landed(&disk.contents(p("/1")).unwrap());
        both.extend(landed(&disk.contents(p("/2")).unwrap()));
        assert!(both.is_sorted_by(|earlier, later| earlier >= later), "{both:?}");
        let count = both.iter().filter(|new| **new).count();
        torn += u32::from(count % 8 != 0);
        first_only += u32::from(count == 8);
    }
    assert!(torn > 100 && first_only > 0, "torn {torn}, first without second {first_only}, of 200");
}

#[test]
fn a_sector_may_land_in_any_state_it_was_in() {
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", b"....");
        for (offset, byte) in [b'1', b'2', b'3'].into_iter().enumerate() {
            put(&*file, offset as u64, &[byte]).unwrap();
        }
        disk.crash(CrashPolicy::Random);
        found.insert(String::from_utf8(disk.contents(p("/a")).unwrap()).unwrap());
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["....", "1...", "12..", "123."]);
}

#[test]
fn an_append_may_be_cut_or_read_as_zeros_but_never_as_anything_else() {
    let (mut cut, mut zeros) = (0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", &OLD[..700]);
        put(&*file, 700, &NEW[..2000]).unwrap();
        disk.crash(CrashPolicy::Random);
        let bytes = disk.contents(p("/a")).unwrap();
        assert_eq!(bytes[..700], OLD[..700]);
        assert!(bytes.len() == 700 || bytes.len() == 2700 || bytes.len().is_multiple_of(SECTOR), "{}", bytes.len());
        assert!(bytes[700..].iter().all(|byte| matches!(byte, 0 | b'n')));
        // What landed beyond the end that landed does not come back when the file grows again.
        disk.open(p("/a"), Open::ReadWrite).unwrap().set_len(2700).unwrap();
        assert!(disk.contents(p("/a")).unwrap()[bytes.len()..].iter().all(|byte| *byte == 0));
        cut += u32::from(bytes.len() < 2700);
        zeros += u32::from(bytes.contains(&0));
    }
    assert!(cut > 100 && zeros > 50, "cut {cut}, zeros {zeros}, of 200");
}

#[test]
fn a_file_cut_and_grown_again_does_not_bring_old_bytes_back() {
    for policy in CrashPolicy::ALL {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let file = durable(&disk, "/a", &OLD);
            file.set_len(100).unwrap();
            file.allocate(4096).unwrap();
            let mut expected = vec![0; 4096];
            expected[..100].copy_from_slice(&OLD[..100]);
            assert_eq!(get(&*file), expected);
            let unsynced = disk.crashed_copy(CrashPolicy::None, seed);
            assert_eq!(unsynced.contents(p("/a")).unwrap(), OLD, "the cut was not synced");
            file.sync_data().unwrap();
            disk.crash(policy);
            assert_eq!(disk.contents(p("/a")).unwrap(), expected, "{policy:?}");
        }
    }
}

#[test]
fn after_a_failed_sync_a_later_success_saves_nothing_of_what_was_lost() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    put(&*file, 0, &NEW).unwrap();
    disk.fault(Fault::nth(OpKind::Sync, 0, What::Error(errno::EIO)));
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(errno::EIO));
    file.sync_data().unwrap();
    assert_eq!(get(&*file), NEW, "the process goes on seeing what is lost");
    let crashed = disk.crashed_copy(CrashPolicy::All, 1);
    assert_eq!(crashed.contents(p("/a")).unwrap(), OLD);

    // Only writing it again makes it dirty again.
    put(&*file, 0, &NEW).unwrap();
    file.sync_data().unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), NEW);
}

#[test]
fn a_half_failed_sync_saves_some_sectors_for_good_and_loses_the_others() {
    let mut mixed = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", &OLD);
        put(&*file, 0, &NEW).unwrap();
        disk.fault(Fault::nth(OpKind::Sync, 0, What::ShortWrite));
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        let (none, all) = (disk.crashed_copy(CrashPolicy::None, 1), disk.crashed_copy(CrashPolicy::All, 1));
        let bytes = none.contents(p("/a")).unwrap();
        assert_eq!(bytes, all.contents(p("/a")).unwrap());
        let landed = landed(&bytes);
        mixed += u32::from(landed.contains(&true) && landed.contains(&false));
    }
    assert!(mixed > 40, "{mixed} of 50");
}

#[test]
fn a_sync_that_landed_but_failed_has_saved_everything() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    put(&*file, 0, &NEW).unwrap();
    disk.fault(Fault::nth(OpKind::Sync, 0, What::LandedButFailed));
    file.sync_data().unwrap_err();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), NEW);
}

#[test]
fn a_lying_sync_saves_nothing() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    disk.set_lying_sync(true);
    put(&*file, 0, &NEW).unwrap();
    file.sync_data().unwrap();
    disk.open(p("/b"), Open::CreateNew).unwrap();
    disk.sync_dir(p("/")).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), OLD);
    assert!(!disk.exists(p("/b")));
}

#[test]
fn handles_and_locks_die_with_the_machine() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", b"old");
    let lock = disk.lock(p("/a")).unwrap();
    disk.crash(CrashPolicy::All);
    assert!(is_crash(&put(&*file, 0, b"new").unwrap_err()));
    assert!(is_crash(&file.sync_data().unwrap_err()));
    assert!(is_crash(&file.read_at(&mut [0], 0).unwrap_err()));
    assert!(is_crash(&file.len().unwrap_err()));
    let again = disk.lock(p("/a")).unwrap();
    // What is left of the dead process may not free what the living one holds.
    drop((lock, file));
    assert_eq!(disk.lock(p("/a")).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    drop(again);
    assert_eq!(get(&*disk.open(p("/a"), Open::Read).unwrap()), b"old");
}

#[test]
fn a_killed_process_leaves_its_writes_to_be_seen_but_not_safe() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    let _lock = disk.lock(p("/a")).unwrap();
    put(&*file, 0, &NEW).unwrap();
    disk.kill();
    assert!(is_crash(&file.sync_data().unwrap_err()));
    assert_eq!(get(&*disk.open(p("/a"), Open::Read).unwrap()), NEW);
    disk.lock(p("/a")).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), OLD);
}

#[test]
fn a_crashed_copy_leaves_the_original_alone() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    put(&*file, 0, &NEW).unwrap();
    let copy = disk.crashed_copy(CrashPolicy::None, 1);
    durable(&copy, "/a", b"elsewhere");
    assert_eq!(get(&*file), NEW);
    file.sync_data().unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), NEW);
}

#[test]
fn tampering_is_durable_and_seen() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "/a", &OLD);
    disk.tamper(p("/a"), b"forged").unwrap();
    assert_eq!(get(&*file), b"forged");
    disk.crash(CrashPolicy::None);
    assert_eq!(disk.contents(p("/a")).unwrap(), b"forged");
    assert!(disk.tamper(p("/none"), b"").is_err());
}

//! The real machine keeps what the traits promise.
#![expect(unsafe_code, reason = "forks and changes the umask to see that neither breaks a promise")]

use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::disk::{PARTS_MAX, write_all, write_zeros};
use super::*;

fn write(file: &dyn DiskFile, bytes: &[u8], offset: u64) {
    file.write_at(&[IoSlice::new(bytes)], offset).unwrap();
}

fn read(file: &dyn DiskFile, bytes: usize, offset: u64) -> Vec<u8> {
    let mut buf = vec![0xEE; bytes];
    let count = file.read_at(&mut buf, offset).unwrap();
    buf.truncate(count);
    buf
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Forks, runs `child` in the copy, and returns its exit code.
fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child runs only `child`, which the callers keep to loads, system calls and frees, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        // SAFETY: `_exit` only ends the process.
        0 => unsafe { libc::_exit(if child() { 0 } else { 1 }) },
        pid => exit_code(pid),
    }
}

fn exit_code(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `pid` is our own child and `status` lives until the call returns.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child was killed: {status}");
    libc::WEXITSTATUS(status)
}

#[test]
fn opening_refuses_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link, dangling) = (dir.path().join("target"), dir.path().join("link"), dir.path().join("dangling"));
    fs::write(&target, b"secret").unwrap();
    symlink(&target, &link).unwrap();
    symlink(dir.path().join("nowhere"), &dangling).unwrap();
    for path in [&link, &dangling] {
        for how in [Open::Read, Open::ReadWrite, Open::Create] {
            let error = RealDisk.open(path, how).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{path:?} {how:?}");
        }
        assert_eq!(RealDisk.open(path, Open::CreateNew).err().unwrap().kind(), ErrorKind::AlreadyExists);
        assert_eq!(RealDisk.lock(path).err().unwrap().raw_os_error(), Some(libc::ELOOP));
        assert!(RealDisk.exists(path));
    }
    assert!(!RealDisk.exists(&dir.path().join("nowhere")));
}

#[test]
fn opening_refuses_a_pipe_without_waiting_for_its_other_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    for how in [Open::Read, Open::ReadWrite, Open::Create] {
        assert_eq!(RealDisk.open(&pipe, how).err().unwrap().kind(), ErrorKind::InvalidInput, "{how:?}");
    }
    for how in [Open::Read, Open::ReadWrite, Open::Create] {
        assert_eq!(RealDisk.open(dir.path(), how).err().unwrap().kind(), ErrorKind::IsADirectory, "{how:?}");
    }
}

#[test]
fn files_and_directories_are_private_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    for umask in [0o000, 0o022, 0o077] {
        // SAFETY: sets a number of the process and returns the old one.
        let before = unsafe { libc::umask(umask) };
        let (new, also, sub) = (
            dir.path().join(format!("new{umask}")),
            dir.path().join(format!("also{umask}")),
            dir.path().join(format!("sub{umask}")),
        );
        let made = (RealDisk.open(&new, Open::CreateNew), RealDisk.open(&also, Open::Create), RealDisk.create_dir(&sub));
        // SAFETY: as above.
        unsafe { libc::umask(before) };
        assert!(made.0.is_ok() && made.1.is_ok() && made.2.is_ok());
        assert_eq!((mode(&new), mode(&also), mode(&sub)), (0o600, 0o600, 0o700), "umask {umask:o}");
    }
}

#[test]
fn each_way_of_opening_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for how in [Open::Read, Open::ReadWrite] {
        assert_eq!(RealDisk.open(&path, how).err().unwrap().kind(), ErrorKind::NotFound);
    }
    write(&*RealDisk.open(&path, Open::CreateNew).unwrap(), b"kept", 0);
    assert_eq!(RealDisk.open(&path, Open::CreateNew).err().unwrap().kind(), ErrorKind::AlreadyExists);
    let file = RealDisk.open(&path, Open::Create).unwrap();
    assert_eq!(read(&*file, 10, 0), b"kept");
    let read_only = RealDisk.open(&path, Open::Read).unwrap();
    assert_eq!(read_only.write_at(&[IoSlice::new(b"x")], 0).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn what_is_written_is_read_at_every_offset() {
    let dir = tempfile::tempdir().unwrap();
    let file = RealDisk.open(&dir.path().join("file"), Open::CreateNew).unwrap();
    // More parts than one system call takes, empty ones among them and in a row.
    let bytes: Vec<u8> = (0..=250).cycle().take(PARTS_MAX * 3).collect();
    let parts: Vec<IoSlice<'_>> =
        bytes.chunks(1).flat_map(|part| [IoSlice::new(&[]), IoSlice::new(part), IoSlice::new(&[])]).collect();
    file.write_at(&parts, 5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 5 + bytes.len() as u64);
    assert_eq!(read(&*file, 5, 0), [0; 5]);
    assert_eq!(read(&*file, bytes.len() + 100, 5), bytes);
    assert_eq!(read(&*file, 10, bytes.len() as u64), bytes[bytes.len() - 5..]);
    assert_eq!(read(&*file, 10, 1 << 40), b"");
    file.write_at(&[], 1 << 40).unwrap();
    file.set_len(7).unwrap();
    assert_eq!(read(&*file, 10, 5), bytes[..2]);
    assert!(file.write_at(&[IoSlice::new(b"x")], u64::MAX).is_err());
}

#[test]
fn a_short_write_is_continued_where_it_stopped() {
    let bytes: Vec<u8> = (0..=255).collect();
    let parts: Vec<IoSlice<'_>> = [&bytes[..1], &[], &bytes[1..100], &bytes[100..107], &bytes[107..]].map(IoSlice::new).to_vec();
    for step in 1..=bytes.len() {
        let mut out = vec![0; bytes.len()];
        let mut calls = 0;
        write_all(&parts, 0, |parts, at| {
            calls += 1;
            if calls % 3 == 0 {
                return Err(ErrorKind::Interrupted.into());
            }
            let flat: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(step).collect();
            let at = usize::try_from(at).unwrap();
            out[at..at + flat.len()].copy_from_slice(&flat);
            Ok(flat.len())
        })
        .unwrap();
        assert_eq!(out, bytes, "at most {step} bytes a call");
    }
}

#[test]
fn no_call_gets_more_parts_than_it_takes() {
    let mut counts = Vec::new();
    write_all(&vec![IoSlice::new(&[1]); PARTS_MAX * 2 + 5], 0, |parts, _| {
        counts.push(parts.len());
        Ok(parts.len())
    })
    .unwrap();
    assert_eq!(counts, [PARTS_MAX, PARTS_MAX, 5]);
}

#[test]
fn a_write_that_makes_no_progress_is_an_error() {
    let mut room = 10;
    let stuck = write_all(&[IoSlice::new(&[1; 30])], 0, |_, _| Ok(std::mem::take(&mut room)));
    assert_eq!(stuck.unwrap_err().kind(), ErrorKind::WriteZero);
    let full = write_all(&[IoSlice::new(&[1; 30])], 0, |_, _| Err(ErrorKind::StorageFull.into()));
    assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn allocating_makes_room_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealDisk.open(&path, Open::CreateNew).unwrap();
    write(&*file, b"first", 0);
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 5);
    file.allocate(1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20);
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512 >= 1 << 20, "blocks are reserved");
    assert_eq!(read(&*file, 8, 0), b"first\0\0\0");
    file.allocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20, "allocating less cuts nothing");
}

#[test]
fn without_reservations_room_is_made_by_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealDisk.open(&path, Open::CreateNew).unwrap();
    write(&*file, b"first", 0);
    write_zeros(&*file, 200_001).unwrap();
    let mut expected = vec![0; 200_001];
    expected[..5].copy_from_slice(b"first");
    assert_eq!(fs::read(&path).unwrap(), expected);
    write_zeros(&*file, 3).unwrap();
    assert_eq!(file.len().unwrap(), 200_001);
}

#[test]
fn more_room_than_the_disk_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let free = RealDisk.free_bytes(dir.path()).unwrap();
    assert!(free > 0);
    let file = RealDisk.open(&dir.path().join("file"), Open::CreateNew).unwrap();
    // Far beyond the disk and beyond what most file systems let one file be: refused at once, before blocks are taken.
    let error = file.allocate(1 << 62).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge), "{error}");
}

#[test]
fn names_are_listed_in_order_and_change_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["b", "a", "c"] {
        write(&*RealDisk.open(&at(name), Open::CreateNew).unwrap(), name.as_bytes(), 0);
    }
    RealDisk.create_dir(&at("d")).unwrap();
    RealDisk.create_dir(&at("d")).unwrap();
    symlink(at("d"), at("e")).unwrap();
    RealDisk.create_dir(&at("e")).unwrap();
    assert_eq!(RealDisk.create_dir(&at("a")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    RealDisk.rename(&at("c"), &at("a")).unwrap();
    RealDisk.remove(&at("b")).unwrap();
    RealDisk.sync_dir(dir.path()).unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["a", "d", "e"]);
    assert_eq!(fs::read(at("a")).unwrap(), b"c");
    assert_eq!(RealDisk.sync_dir(&at("a")).unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(RealDisk.list(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_lock_is_given_once_and_again_after_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert_eq!(RealDisk.lock(&path).err().unwrap().kind(), ErrorKind::NotFound);
    RealDisk.open(&path, Open::CreateNew).unwrap();
    let held = RealDisk.lock(&path).unwrap();
    assert_eq!(RealDisk.lock(&path).err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(held);
    RealDisk.lock(&path).unwrap();
}

#[test]
fn a_forked_child_can_neither_free_the_lock_nor_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    RealDisk.open(&path, Open::CreateNew).unwrap();
    let mut held = Some(RealDisk.lock(&path).unwrap());
    assert_eq!(in_child(|| held.take().is_some()), 0);
    assert_eq!(RealDisk.lock(&path).err().unwrap().kind(), ErrorKind::WouldBlock, "the child dropped its copy");

    // A child that lives on with the lock's descriptor open, until we close the pipe it reads from.
    let mut ends = [0; 2];
    // SAFETY: room for the two descriptors the call writes.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the child only makes system calls and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let mut byte = 0_u8;
        // SAFETY: the child's own descriptors, and one byte of room.
        unsafe {
            libc::close(ends[1]);
            libc::read(ends[0], (&raw mut byte).cast(), 1);
            libc::_exit(0);
        }
    }
    drop(held.take());
    let again = RealDisk.lock(&path);
    // SAFETY: our own descriptors, closed once.
    unsafe {
        libc::close(ends[0]);
        libc::close(ends[1]);
    }
    assert_eq!(exit_code(pid), 0);
    assert!(again.is_ok(), "the child kept the lock of a parent that let go");
}

#[test]
fn a_forked_child_sees_another_generation_and_its_parent_does_not() {
    let before = fork::watch().unwrap();
    assert_eq!(fork::watch().unwrap(), before);
    let grandchild = || in_child(|| fork::generation() == before + 2) == 0;
    assert_eq!(in_child(|| fork::generation() == before + 1 && grandchild()), 0);
    assert_eq!(fork::generation(), before);
}

#[test]
fn clocks_run_forward_and_entropy_differs() {
    let clock = RealClock::new();
    let (wall, monotonic) = (clock.wall_ns(), clock.monotonic_ns());
    assert!(wall > 1_700_000_000_000_000_000, "the wall clock counts nanoseconds since 1970");
    assert!(clock.monotonic_ns() >= monotonic);
    assert!(monotonic < 60_000_000_000, "monotonic time starts with the clock");
    let (mut one, mut two) = ([0; 32], [0; 32]);
    RealEntropy.fill(&mut one).unwrap();
    RealEntropy.fill(&mut two).unwrap();
    assert_ne!(one, two);
    assert_ne!(one, [0; 32]);
}

#[test]
fn the_parent_of_a_bare_name_can_be_synced() {
    for (path, expected) in [("a", "."), ("a/b", "a"), ("/a", "/"), ("/", "/"), ("", "."), ("./a", ".")] {
        assert_eq!(parent(Path::new(path)), Path::new(expected), "{path}");
    }
    RealDisk.sync_dir(&parent(Path::new("name"))).unwrap();
}

#[test]
fn what_is_written_past_the_cache_is_read_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealDisk.open(&path, Open::CreateNew).unwrap();
    file.allocate(4 << 20).unwrap();
    write(&*file, &[7; 64 << 10], 0);
    file.sync_data().unwrap();
    file.pass_by_cache();
    let reader = RealDisk.open(&path, Open::Read).unwrap();
    let mut twin = vec![0; 4 << 20];
    twin[..64 << 10].fill(7);
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..60u8 {
        // A reader that looked at the very page must see what comes later.
        let bytes = 512 * rng.usize(1..=if round % 10 == 0 { 1_500 } else { 20 });
        let offset = 512 * rng.usize(..(twin.len() - bytes) / 512);
        assert_eq!(read(&*reader, bytes + 100, offset as u64), &twin[offset..(offset + bytes + 100).min(twin.len())]);
        let contents: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect();
        let (a, b) = contents.split_at(rng.usize(..=bytes));
        file.write_durably(&[IoSlice::new(a), IoSlice::new(&[]), IoSlice::new(b)], offset as u64).unwrap();
        twin[offset..offset + bytes].copy_from_slice(&contents);
        assert_eq!(read(&*reader, bytes, offset as u64), contents);
    }
    // What is not whole sectors is refused by the device; then it goes through the cache, and so does what follows.
    for (offset, bytes) in [(100, 512), (1024, 33), (2048, 512)] {
        file.write_durably(&[IoSlice::new(&vec![3; bytes])], offset).unwrap();
        twin[usize::try_from(offset).unwrap()..][..bytes].fill(3);
    }
    assert!(read(&*reader, twin.len(), 0) == twin);
    let read_only = RealDisk.open(&path, Open::Read).unwrap();
    read_only.pass_by_cache();
    assert!(read_only.write_durably(&[IoSlice::new(&[1; 512])], 0).is_err());
    assert!(read(&*reader, twin.len(), 0) == twin, "a write that failed changed nothing");
}

#[test]
fn what_is_read_past_the_cache_is_what_was_written_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut rng = fastrand::Rng::with_seed(2);
    let twin: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take((1 << 20) + 700).collect();
    // Not synced: what is only in the page cache counts, too.
    write(&*RealDisk.open(&path, Open::CreateNew).unwrap(), &twin, 0);
    let file = RealDisk.open(&path, Open::Read).unwrap();
    file.pass_by_cache();
    let mut memory = vec![0; (1 << 20) + 2 * 4096];
    let start = memory.as_ptr().align_offset(4096);
    let pages = &mut memory[start..start + (1 << 20) + 4096];
    // Whole pages, then to the end and beyond, then what is in no sector's bounds.
    for (offset, bytes) in [(0, 64 << 10), (512, 4096), (1 << 20, 4096), (4096, pages.len()), (100, 1000), (512, 4096)] {
        let read = file.read_at(&mut pages[..bytes], offset as u64).unwrap();
        assert_eq!(read, bytes.min(twin.len() - offset));
        assert!(pages[..read] == twin[offset..offset + read], "{bytes} bytes at {offset}");
    }
}

#[test]
fn what_was_reserved_and_never_written_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = World::real().disk.open(&dir.path().join("file"), Open::CreateNew).unwrap();
    let bytes = 8 << 20;
    file.allocate(bytes).unwrap();
    write(&*file, b"x", 5 << 20);
    file.sync_data().unwrap();
    // A file system may know less, never more: what it leaves out is zero.
    let holds = |ranges: &[Range<u64>], byte: u64| ranges.iter().any(|range| range.contains(&byte));
    assert!(holds(&file.data(0).unwrap(), 5 << 20));
    assert!(holds(&file.data(5 << 20).unwrap(), 5 << 20));
    assert!(file.data((5 << 20) + 1).unwrap().iter().all(|range| range.start > 5 << 20 && range.end <= bytes));
    assert!(file.data(bytes).unwrap().iter().all(Range::is_empty));
    let all = read(&*file, usize::try_from(bytes).unwrap(), 0);
    let ranges = file.data(0).unwrap();
    assert!((0..bytes).zip(&all).all(|(at, byte)| *byte == 0 || holds(&ranges, at)));
}

//! What is told, word for word, and that signs of life stop with life.

use std::ffi::OsString;
use std::time::Instant;

use indelible::world::World;
use indelible::{Config, Draft, Store};
use indelible_testkit::gate::Gate;
use indelible_testkit::{Fault, OpKind, SimWorld, What, errno};

use super::*;

/// A manager's end of the socket, and the server's.
fn managed(variables: &[(&str, &str)]) -> (UnixDatagram, Manager, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let variable = |name: &str| match name {
        "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
        _ => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)),
    };
    let manager = Manager::of(&variable).unwrap();
    (socket, manager, dir)
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a datagram");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_status_is_one_line_and_no_variable_of_its_own() {
    let (socket, manager, _dir) = managed(&[]);
    manager.ready("two\nMAINPID=1");
    assert_eq!(heard(&socket), "READY=1\nSTATUS=two MAINPID=1");
    manager.status(&"ü".repeat(5_000));
    assert_eq!(heard(&socket), format!("STATUS={}", "ü".repeat(STATUS_CHARACTERS_MAX)));
    manager.stopping(Duration::from_millis(1_500));
    assert_eq!(heard(&socket), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nSTATUS=letting requests end");
    manager.reloading();
    let told = heard(&socket);
    let usec = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.split_once('\n')).unwrap().0;
    assert!(usec.parse::<u64>().unwrap() > 0, "{told}");
}

#[test]
fn nobody_is_told_where_nobody_listens_and_a_bad_name_is_an_error() {
    let nobody = Manager::of(&|_| None).unwrap();
    nobody.ready("unheard");
    assert_eq!(nobody.limit(), None);
    for name in ["relative", "vsock:2:1", "@"] {
        let named = Manager::of(&|variable| (variable == "NOTIFY_SOCKET").then(|| name.into()));
        assert!(named.is_err() || name == "@", "{name}");
    }
    // A socket that is gone again is no reason to stop.
    let gone = Manager::of(&|variable| (variable == "NOTIFY_SOCKET").then(|| "/nonexistent/notify".into())).unwrap();
    gone.ready("unheard");
}

#[test]
fn the_limit_is_ours_only_if_the_manager_means_us() {
    let own = std::process::id().to_string();
    for (variables, limit) in [
        (&[("WATCHDOG_USEC", "3000000")][..], Some(3)),
        (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", own.as_str())], Some(3)),
        (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")], None),
        (&[("WATCHDOG_USEC", "0")], None),
        (&[("WATCHDOG_USEC", "soon")], None),
        (&[], None),
    ] {
        assert_eq!(managed(variables).1.limit(), limit.map(Duration::from_secs), "{variables:?}");
    }
}

#[test]
fn a_disk_that_hangs_ends_the_signs_of_life_until_it_goes_on() {
    let (socket, manager, dir) = managed(&[("WATCHDOG_USEC", "200000")]);
    let (gate, world) = Gate::before(World::real());
    let store = Store::open_in(Config::new(dir.path().join("store")), world).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let keeping = runtime.spawn(keep_alive(manager, store.clone()));
    assert_eq!(heard(&socket), "WATCHDOG=1");
    assert_eq!(heard(&socket), "WATCHDOG=1");
    gate.shut();
    let ticket = store.emit(&Draft::new("a.b")).unwrap();
    // What was on its way when the disk stopped is told; then only that it has.
    let started = Instant::now();
    while heard(&socket) == "WATCHDOG=1" {
        assert!(started.elapsed() < Duration::from_secs(20), "signs of life of a store that hangs");
    }
    gate.open();
    assert_eq!(heard(&socket), "STATUS=the store answers again");
    assert_eq!(heard(&socket), "WATCHDOG=1");
    ticket.wait().unwrap();
    keeping.abort();
    let _ = runtime.block_on(keeping);
    store.close().unwrap();
}

#[test]
fn a_store_that_has_stopped_is_not_alive_and_one_without_room_is() {
    for (errno, is_alive) in [(errno::EIO, false), (errno::ENOSPC, true)] {
        let (socket, manager, _dir) = managed(&[("WATCHDOG_USEC", "200000")]);
        let machine = SimWorld::new(1);
        // Only the disk is made up: its threads and its time are this machine's.
        let world = World { disk: Arc::new(machine.disk.clone()), ..World::real() };
        let store = Store::open_in(Config::new("/store"), world).unwrap();
        // A journal that cannot grow waits; one that could not be synced is given up.
        let kind = if is_alive { OpKind::Allocate } else { OpKind::Sync };
        machine.disk.fault(Fault::nth(kind, 0, What::Error(errno)).on("journal").lasting());
        let text = "x".repeat(60_000);
        let events = std::iter::repeat_with(|| store.emit(&Draft::new("a.b").detail("text", &text)).and_then(|_| store.flush()));
        assert!(events.take(10_000).any(|done| done.is_err()));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        let keeping = runtime.spawn(keep_alive(manager, store));
        let told = heard(&socket);
        if is_alive {
            assert_eq!(told, "WATCHDOG=1");
        } else {
            assert!(told.starts_with("STATUS=the store has stopped"), "{told}");
        }
        keeping.abort();
    }
}

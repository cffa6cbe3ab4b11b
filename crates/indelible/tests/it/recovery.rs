//! Recovery can itself be cut short, any number of times, at any write.

use indelible::Store;
use indelible_testkit::scenario::{OnError, Scenario, chain, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, SimDisk, SimWorld, What, seeds};

use crate::durability::{crash_points, long, run_until};

/// Opens the store on a copy of `disk` and stops the machine before its call `at`; `None`: the opening made fewer calls.
fn crash_while_opening(disk: &SimDisk, at: u64, seed: u64) -> Option<SimDisk> {
    // After a crash all there is is durable, so this is an exact copy.
    let machine = SimWorld { disk: disk.crashed_copy(CrashPolicy::All, seed), ..SimWorld::new(seed) };
    machine.disk.fault(Fault::at(at, What::Crash));
    let opened = Store::open_in(Scenario::config(), machine.world());
    if !machine.disk.is_stopped() {
        // What follows would be the closing, which is not recovery.
        machine.disk.kill();
        return None;
    }
    assert!(opened.is_err(), "the machine stopped, and the store says it is open");
    Some(machine.disk.clone())
}

#[test]
fn a_second_crash_at_any_write_of_recovery_changes_nothing() {
    for seed in seeds(1) {
        let scenario = Scenario::small(seed);
        let every = if long() { 2 } else { 41 };
        let mut checked = 0;
        for (nth, at) in crash_points(&scenario).into_iter().enumerate().skip(7).step_by(every) {
            let policy = CrashPolicy::ALL[nth % 4];
            let (machine, outcome) = run_until(&scenario, at, false);
            let first = machine.disk.crashed_copy(policy, at);
            for second in 0u64.. {
                let Some(stopped) = crash_while_opening(&first, second, at) else { break };
                if stopped.ops().last().is_none_or(|op| !op.kind.changes_disk()) {
                    continue;
                }
                let policy = CrashPolicy::ALL[(nth + usize::try_from(second).unwrap()) % 4];
                if let Err(problem) = restart_and_check(stopped.crashed_copy(policy, second), second, &outcome.ledger) {
                    panic!("seed {seed}: crash before call {at}, again before call {second} of recovery, {policy:?}: {problem}");
                }
                checked += 1;
            }
        }
        eprintln!("{checked} second crashes survived");
        assert!(checked > 100);
    }
}

/// A process that dies again and again while it recovers must get on, not pile up files.
#[test]
fn ten_deaths_while_opening_leave_no_debris() {
    let scenario = Scenario::small(3);
    let machine = scenario.machine();
    let outcome = scenario.run(&machine, OnError::Stop);
    let disk = machine.disk.crashed_copy(CrashPolicy::All, 3);
    let machine = SimWorld { disk, ..SimWorld::new(4) };
    for at in 0..10 {
        machine.disk.fault(Fault::at(20 + 3 * at, What::Crash));
        assert!(Store::open_in(Scenario::config(), machine.world()).is_err());
        machine.disk.crash(CrashPolicy::All);
        machine.disk.heal();
    }
    restart_and_check(machine.disk.clone(), 4, &outcome.ledger).unwrap();
    let names = machine.world().disk.list(&Scenario::dir().join("journal")).unwrap();
    assert!(names.iter().all(|name| name.ends_with(".wal")) && names.len() <= 2, "{names:?}");
}

/// A torn frame was never acknowledged; it is dropped, and its size is told.
#[test]
fn a_torn_tail_is_dropped_and_told() {
    let scenario = Scenario { events: 5, pad_bytes: 100_000, seal_every: 0, sessions: 1, seed: 5 };
    let mut torn = 0;
    for at in crash_points(&scenario) {
        let (machine, outcome) = run_until(&scenario, at, false);
        let disk = machine.disk.crashed_copy(CrashPolicy::Prefix, at);
        let copy = SimWorld { disk: disk.crashed_copy(CrashPolicy::All, at), ..SimWorld::new(at) };
        let store = Store::open_in(Scenario::config(), copy.world()).unwrap_or_else(|error| panic!("{}", chain(&error)));
        torn += u64::from(store.stats().recovery.torn_bytes > 0);
        drop(store);
        restart_and_check(disk, at, &outcome.ledger).unwrap();
    }
    assert!(torn > 0, "no crash tore a frame");
}

//! An acknowledged event survives a crash at any write, and nothing is ever there twice.

use indelible_testkit::scenario::{OnError, Outcome, Scenario, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, SimWorld, What, seeds};

/// Places in the list of calls where a crash makes a difference.
fn crash_points(scenario: &Scenario) -> Vec<u64> {
    let machine = scenario.machine();
    let outcome = scenario.run(&machine, OnError::Stop);
    assert!(outcome.failed.is_empty() && outcome.contradictions.is_empty(), "{outcome:?}");
    assert_eq!(outcome.ledger.unknown().count(), 0);
    (0u64..).zip(machine.disk.ops()).filter(|(_, op)| op.kind.changes_disk()).map(|(at, _)| at).collect()
}

/// Runs until the machine stops before call `at`.
fn run_until(scenario: &Scenario, at: u64, lying: bool) -> (SimWorld, Outcome) {
    let machine = scenario.machine();
    machine.disk.set_lying_sync(lying);
    machine.disk.fault(Fault::at(at, What::Crash));
    let outcome = scenario.run(&machine, OnError::Stop);
    (machine, outcome)
}

fn crash_everywhere(scenario: &Scenario) {
    let points = crash_points(scenario);
    let mut checked = 0u64;
    for at in points.iter().copied() {
        let (machine, outcome) = run_until(scenario, at, false);
        assert!(machine.disk.is_stopped(), "the work did not reach call {at}");
        assert!(outcome.contradictions.is_empty(), "{:?}", outcome.contradictions);
        for policy in CrashPolicy::ALL {
            let disk = machine.disk.crashed_copy(policy, scenario.seed ^ at);
            if let Err(problem) = restart_and_check(disk, scenario.seed, &outcome.ledger) {
                panic!("seed {}: crash before call {at} ({:?}), {policy:?}: {problem}", scenario.seed, machine.disk.ops().last());
            }
            checked += 1;
        }
    }
    eprintln!("{checked} crashes survived at {} places", points.len());
    assert!(checked >= 4 * points.len() as u64);
}

#[test]
fn acked_events_survive_a_crash_at_every_write_and_sync() {
    for seed in seeds(1) {
        crash_everywhere(&Scenario::small(seed));
    }
}

#[test]
fn acked_events_survive_a_crash_while_the_journal_goes_over_to_its_next_file() {
    for seed in seeds(1) {
        crash_everywhere(&Scenario::rotating(seed));
    }
}

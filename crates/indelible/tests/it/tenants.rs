//! A tenant that shares its logs with others can be shown that it has all of its own events, and learns nothing of the others; whoever
//! states other counts than the log gives is found by `verify`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indelible::format::note::VerifierKey;
use indelible::verify::{self, Code, Level, Options, Report, TenantReport, verify_tenant};
use indelible::{Class, Config, Draft, ErrorKind, ExpireOptions, PlanOptions, Retention, Store, Tag};
use indelible_testkit::SimWorld;
use indelible_testkit::scenario::Scenario;

use crate::backup::{carried, restore, take};

const DAY: Duration = Duration::from_secs(86_400);
const SHARES: [(&str, u64); 4] = [("acme", 1), ("globex", 5), ("initech", 13), ("umbrella", 600)];

fn dir() -> PathBuf {
    Scenario::dir()
}

fn config() -> Config {
    let mut config = Scenario::config();
    config.sealing.background = false;
    config.sealing.rows_max = 1_024;
    config
}

/// Events `from..to`: number n is of every tenant whose share divides it, or of "rest"; each seventeenth is telemetry.
fn record(store: &Store, from: u64, to: u64) {
    for n in from..to {
        let tenant = SHARES.iter().rev().find(|(_, share)| n.is_multiple_of(*share)).map_or("rest", |(tenant, _)| tenant);
        let class = if n % 17 == 0 { Class::Telemetry } else { Class::Normal };
        store.emit(&Draft::new("door.open").actor("alice").tenant(tenant).class(class).detail("n", n)).unwrap();
    }
    store.flush().unwrap();
}

fn machine() -> (SimWorld, Store) {
    let machine = Scenario::sealing(4).machine();
    let store = Store::open_in(config(), machine.world()).unwrap();
    (machine, store)
}

fn key_of(store: &Store) -> VerifierKey {
    store.identity().unwrap().verifier_key(0).unwrap()
}

fn copy_of(store: &Store, tenant: &str) -> String {
    let mut copy = Vec::new();
    store.write_tenant(tenant, &[], Duration::ZERO, &mut copy).unwrap();
    String::from_utf8(copy).unwrap()
}

fn check(copy: &str, key: &VerifierKey) -> indelible::Result<(TenantReport, Vec<u64>)> {
    let mut numbers = Vec::new();
    let report = verify_tenant(copy.as_bytes(), key, &mut |event| {
        let content = event.groups.iter().find(|group| group.tag == Tag::CONTENT).and_then(|group| group.value.as_deref());
        let digits: Vec<u8> = content.unwrap_or_default().iter().copied().filter(u8::is_ascii_digit).collect();
        numbers.push(String::from_utf8(digits).unwrap().parse().unwrap_or(0));
        Ok(())
    })?;
    numbers.sort_unstable();
    Ok((report, numbers))
}

fn numbers_of(tenant: &str, below: u64) -> Vec<u64> {
    let owner = |n: u64| SHARES.iter().rev().find(|(_, share)| n.is_multiple_of(*share)).map_or("rest", |(tenant, _)| tenant);
    (0..below).filter(|n| owner(*n) == tenant).collect()
}

fn verify_of(machine: &SimWorld) -> Report {
    verify::verify_in(dir(), Options::default(), &machine.world()).unwrap()
}

fn fails(report: &Report) -> Vec<Code> {
    report.findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.code).collect()
}

#[test]
fn every_tenant_has_all_of_its_events_and_none_of_anothers() {
    let (machine, store) = machine();
    let key = key_of(&store);
    // In the journal; half of it sealed; all of it sealed, with more behind.
    for (from, to, seal) in [(0, 700, false), (700, 1_900, true), (1_900, 3_001, true), (3_001, 3_002, false)] {
        record(&store, from, to);
        for (tenant, _) in SHARES {
            let copy = copy_of(&store, tenant);
            let (report, numbers) = check(&copy, &key).unwrap();
            assert_eq!(numbers, numbers_of(tenant, to), "{tenant} of {to}");
            assert_eq!(report.logs.iter().map(|log| log.count).sum::<u64>(), numbers.len() as u64);
            assert!(report.logs.iter().all(|log| (log.first, log.below, log.withheld) == (0, 0, 0)));
            for (other, _) in SHARES.iter().filter(|(other, _)| *other != tenant) {
                assert!(!copy.contains(other) && !copy.contains(&STANDARD.encode(other)), "{tenant} learns of {other}");
            }
        }
        // Who never recorded anything is shown that.
        let (report, numbers) = check(&copy_of(&store, "nobody"), &key).unwrap();
        assert!(numbers.is_empty() && !report.shows_all());
        if seal {
            store.seal().unwrap();
        }
    }
    store.close().unwrap();
    let report = verify_of(&machine);
    assert!(report.ok, "{:?}", report.findings);
}

/// Whatever is changed in a copy, it does not verify; and it takes no event out of it unnoticed.
#[test]
fn a_copy_that_was_changed_does_not_hold() {
    let (_machine, store) = machine();
    let key = key_of(&store);
    record(&store, 0, 700);
    let copy = copy_of(&store, "globex");
    let lines: Vec<&str> = copy.lines().collect();
    assert!(lines.len() > 100);
    let refused = |lines: Vec<&str>, what: &str| {
        let error = check(&(lines.join("\n") + "\n"), &key).expect_err(what);
        assert!(matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Rejected), "{what}: {error}");
    };
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        refused(without, &format!("line {at} left out"));
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        refused(twice, &format!("line {at} twice"));
    }
    for cut in [0, 1, copy.len() / 2, copy.len() - 1] {
        assert!(check(&copy[..cut], &key).is_err(), "cut at {cut}");
    }
    // Every 31st character, another one.
    for at in (0..copy.len()).step_by(31) {
        let mut bytes = copy.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        assert!(check(&String::from_utf8_lossy(&bytes), &key).is_err(), "byte {at}");
    }
    // A copy of the events so far does not pass for one of later.
    record(&store, 700, 800);
    let later = copy_of(&store, "globex");
    let (first, rest) = later.split_once('\n').unwrap();
    assert!(check(&format!("{first}\n{}", copy.split_once('\n').unwrap().1), &key).is_err());
    assert!(check(&format!("{first}\n{rest}"), &key).is_ok());
    // Events of a log cannot be hidden by showing that log under another salt.
    let salted: String =
        copy.lines().map(|line| if line.starts_with("{\"log\":2") { swap_salt(line) } else { line.to_owned() } + "\n").collect();
    let error = check(&salted, &key).unwrap_err();
    assert!(error.to_string().contains("another salt"), "{error}");
    // Nor does one tenant's copy pass for another's, or under another key.
    assert!(check(&copy.replace("\"globex\"", "\"acme\""), &key).is_err());
    let (_other_machine, other) = {
        let machine = Scenario::sealing(5).machine();
        let store = Store::open_in(config(), machine.world()).unwrap();
        (machine, store)
    };
    assert!(check(&copy, &key_of(&other)).is_err());
    assert!(check(&copy, &store.identity().unwrap().verifier_key(1).unwrap()).is_err());
}

fn swap_salt(line: &str) -> String {
    let at = line.find("\"salt\":\"").unwrap() + 8;
    let end = at + line[at..].find('"').unwrap();
    format!("{}{}{}", &line[..at], STANDARD.encode([0; 16]), &line[end..])
}

#[test]
fn withheld_groups_leave_the_proof_whole() {
    let (_machine, store) = machine();
    record(&store, 0, 300);
    let mut copy = Vec::new();
    store.write_tenant("globex", &[Tag::IDENTITY], Duration::ZERO, &mut copy).unwrap();
    let copy = String::from_utf8(copy).unwrap();
    let (report, numbers) = check(&copy, &key_of(&store)).unwrap();
    assert_eq!(numbers, numbers_of("globex", 300));
    assert_eq!(report.logs.iter().map(|log| log.withheld).sum::<u64>(), numbers.len() as u64);
    assert!(!copy.contains(&STANDARD.encode("{\"actor\":{\"id\":\"alice\"}}")));
}

/// What has expired is accounted for: how many events went is stated where it is said that they went.
#[test]
fn what_expired_is_counted_and_the_rest_is_whole() {
    let machine = Scenario::sealing(6).machine();
    let mut config = config();
    config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 10).keep("telemetry", 3));
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    for day in 0..14 {
        record(&store, day * 700, (day + 1) * 700);
        store.record_tenants().unwrap();
        store.seal().unwrap();
        machine.clock.advance(DAY);
    }
    let expired = store.expire(&ExpireOptions::default()).unwrap().expired;
    assert_eq!(expired.len(), 2);
    record(&store, 9_800, 9_900);
    let key = key_of(&store);
    for (tenant, _) in SHARES {
        let copy = copy_of(&store, tenant);
        let (report, numbers) = check(&copy, &key).unwrap();
        let all = numbers_of(tenant, 9_900);
        let gone: u64 = report.logs.iter().map(|log| log.first).sum();
        assert!(gone > 0 || tenant == "umbrella");
        assert_eq!(numbers.len() as u64 + gone, all.len() as u64, "{tenant}");
        assert!(numbers.iter().all(|n| all.contains(n)));
        // Without that entry the first events that are there could be any.
        let lines: Vec<&str> = copy.lines().filter(|line| !line.starts_with("{\"expired\"")).collect();
        assert!(check(&(lines.join("\n") + "\n"), &key).is_err());
    }
    store.close().unwrap();
    let report = verify_of(&machine);
    assert!(report.ok, "{:?}", report.findings);
    // A second expiry leaves the statements about what is still there as they are.
    machine.clock.advance(3 * DAY);
    let store = Store::open_in(config, machine.world()).unwrap();
    let options = ExpireOptions { plan: PlanOptions { trust_clock: true }, ..ExpireOptions::default() };
    assert!(!store.expire(&options).unwrap().expired.is_empty());
    assert!(check(&copy_of(&store, "globex"), &key).is_ok());
    store.close().unwrap();
    let report = verify_of(&machine);
    assert!(report.ok, "{:?}", report.findings);
}

/// The store states the counts by itself where it is told to, and only when there is something new.
#[test]
fn counts_are_stated_at_intervals_and_at_the_end() {
    let machine = Scenario::sealing(9).machine();
    let mut config = config();
    config.tenant_counts_interval = Some(Duration::from_secs(3_600));
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    record(&store, 0, 100);
    store.close().unwrap();
    let store = Store::open_in(config, machine.world()).unwrap();
    let entries = |store: &Store| {
        let mut found = 0;
        let reader = store.reader().unwrap();
        reader
            .records(&mut |position| {
                let is_one = position.record.control().is_some_and(|entry| entry.ends_with(b"\"type\":\"tenants\"}"));
                found += usize::from(is_one);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        found
    };
    assert_eq!(entries(&store), 1);
    let first = store.record_tenants().unwrap();
    assert_eq!(store.record_tenants().unwrap(), first);
    assert_eq!(entries(&store), 2);
    record(&store, 100, 101);
    assert!(store.record_tenants().unwrap() > first);
    store.close().unwrap();
    assert!(verify_of(&machine).ok);
}

/// A restored store goes on with the counts of the one before.
#[test]
fn a_restored_store_shows_the_same_events() {
    let (machine, store) = machine();
    record(&store, 0, 900);
    store.record_tenants().unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    take(&machine).unwrap();
    let machine = carried(&machine, 11);
    restore(&machine).unwrap();
    let store = Store::open_in(config(), machine.world()).unwrap();
    record(&store, 900, 950);
    let (_, numbers) = check(&copy_of(&store, "globex"), &key_of(&store)).unwrap();
    assert_eq!(numbers, numbers_of("globex", 950));
    store.close().unwrap();
    let report = verify_of(&machine);
    assert!(fails(&report).is_empty(), "{:?}", report.findings);
}

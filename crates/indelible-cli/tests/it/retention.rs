//! Retention and holds as operators have them.

use std::sync::Arc;
use std::time::Duration;

use indelible::world::World;
use indelible::{Config, Draft, Store};
use indelible_testkit::SimClock;

use crate::{Home, text};

/// A store whose events came over the first twenty days of 2026, 300 a day.
fn aged(home: &Home) {
    let clock = SimClock::new();
    let world = World { clock: Arc::new(clock.clone()), ..World::real() };
    let mut config = Config::new(home.data());
    config.trusted_state_dir = Some(home.path("state"));
    let store = Store::open_in(config, world).unwrap();
    for n in 0..6_000u64 {
        let actor = format!("u{}", n % 50);
        assert!(store.emit(&Draft::new("door.open").actor(&actor).detail("n", n)).is_ok());
        if n % 300 == 299 {
            store.flush().unwrap();
            clock.advance(Duration::from_secs(86_400));
        }
    }
    store.close().unwrap();
}

fn matched(home: &Home, query: &str) -> String {
    text(&home.run(["search", query, "--count", "-o", "json"]).ok().json()["matched"])
}

#[test]
fn a_policy_is_set_planned_and_applied_and_a_hold_keeps_what_it_matches() {
    let home = Home::new();
    aged(&home);
    let none = home.run(["retention", "plan"]).exits(1);
    assert!(none.stderr.contains("no retention policy") && none.stderr.contains("indelible retention set"), "{}", none.stderr);
    let wrong = home.write("wrong.toml", "[keep]\nmain = \"10 days\"\n");
    let refused = home.run(["retention".as_ref(), "set".as_ref(), wrong.as_os_str()]).exits(2);
    assert!(refused.stderr.contains("keep.main"), "{}", refused.stderr);
    let policy =
        home.write("policy.toml", "[keep]\nmain = \"10d\"\n\n[minimum]\nhipaa = \"0d\"\npci-dss = \"0d\"\nsox = \"0d\"\n");
    home.run(["retention".as_ref(), "set".as_ref(), policy.as_os_str()]).ok();
    // What it prints is what it takes.
    let shown = home.run(["retention", "show"]).ok().stdout;
    let again = home.write("again.toml", &shown);
    home.run(["retention".as_ref(), "set".as_ref(), again.as_os_str()]).ok();
    assert_eq!(home.run(["retention", "show"]).ok().stdout, shown);
    assert_eq!(text(&home.run(["retention", "show", "-o", "json"]).ok().json()["keep"][0]["days"]), "10");

    // Months later nothing leads up to today.
    let plan = home.run(["retention", "plan", "-o", "json"]).ok().json();
    assert!(plan["doubted"].is_string(), "{plan}");
    assert!(home.run(["retention", "plan"]).ok().stderr.contains("--trust-clock"));
    let plan = home.run(["retention", "plan", "--trust-clock", "-o", "json"]).ok().json();
    assert_eq!((text(&plan["logs"][0]["log"]), text(&plan["logs"][0]["below"])), ("main".into(), "5888".into()));

    home.run(["hold", "create", "case 7", "actor.id:u7", "--reason", "a court asks"]).ok();
    assert!(home.run(["hold", "create", "case 7", "*"]).exits(1).stderr.contains("already"));
    assert!(home.run(["hold", "list"]).ok().stdout.contains("a court asks"));
    let anchor = home.write("anchor", home.run(["checkpoint"]).ok().stdout);
    let applied = home
        .run([
            "retention".as_ref(),
            "apply".as_ref(),
            "--trust-clock".as_ref(),
            "--anchor".as_ref(),
            anchor.as_os_str(),
            "-o".as_ref(),
            "json".as_ref(),
        ])
        .ok()
        .json();
    assert_eq!(text(&applied["expired"][0]["below"]), "5888", "{applied}");
    assert_eq!(text(&applied["expired"][0]["held"]), "118", "{applied}");
    assert_eq!(matched(&home, "actor.id:u7"), "120");
    assert_eq!(matched(&home, "actor.id:u8"), "2");
    let gone = home.run(["show", "8"]).exits(1);
    assert!(gone.stderr.contains("PRUNED") && gone.stderr.contains("show control:"), "{}", gone.stderr);
    let entry = text(&applied["expired"][0]["entry"]);
    assert!(home.run(["show", &format!("control:{entry}")]).ok().stdout.contains("expired"));
    home.run(["show", "7"]).ok();
    home.run(["prove", "7", "-o", "seven.proof"]).ok();
    let verified = home.run(["verify", "--against", anchor.to_str().unwrap()]).ok();
    assert!((verified.stdout.clone() + &verified.stderr).contains("PRUNED"), "{}{}", verified.stdout, verified.stderr);
    // A table for eyes, too; and nothing is left to do.
    assert!(home.run(["retention", "plan", "--trust-clock"]).ok().stdout.contains("10 days"));
    assert!(home.run(["retention", "apply", "--trust-clock"]).ok().stdout.contains("nothing has expired"));
    home.run(["hold", "release", "case 7", "--reason", "settled"]).ok();
    home.run(["retention", "apply", "--trust-clock"]).ok();
    assert_eq!(matched(&home, "actor.id:u7"), "2");
    home.run(["verify", "--against", anchor.to_str().unwrap()]).ok();
}

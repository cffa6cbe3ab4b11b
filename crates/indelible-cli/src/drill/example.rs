//! A small made-up log for the drill: what a store looks like that was opened, used and closed a few times.

use std::path::Path;

use indelible::{Class, Config, Draft, Identity, LaneConfig, Outcome, Overflow, Store};

use crate::failure::Result;

/// Times the store is opened and closed.
const SESSIONS: u64 = 4;
/// Frames of each session; one sync each.
const BATCHES: u64 = 6;
/// Events of each frame.
const EVENTS: u64 = 20;

/// Makes a store in `dir`.
pub(super) fn make(dir: &Path) -> Result<Identity> {
    for session in 0..SESSIONS {
        let mut config = Config::new(dir);
        // The caller does all the work, so that frames and checkpoints are where they are expected.
        config.threads = false;
        config.command = "indelible drill".into();
        config.lanes.telemetry =
            LaneConfig { overflow: Overflow::Block(std::time::Duration::from_secs(10)), ..config.lanes.telemetry };
        let store = Store::open(config)?;
        for batch in 0..BATCHES {
            for n in 0..EVENTS {
                let number = (session * BATCHES + batch) * EVENTS + n;
                emit(&store, number)?;
            }
            store.flush()?;
        }
        store.close()?;
    }
    Ok(indelible::Reader::open(dir)?.identity().clone())
}

fn emit(store: &Store, number: u64) -> Result<()> {
    let people = ["ada", "grace", "edsger", "barbara", "tony"];
    let person = people.iter().cycle().nth(usize::try_from(number % 5).unwrap_or_default()).copied().unwrap_or_default();
    let (account, request) = (format!("account-{}", number % 7), format!("request-{number}"));
    let mut draft = match number % 6 {
        0 => Draft::new("user.login").outcome(Outcome::Failure).detail("reason", "bad_password").detail("attempt", number % 3),
        1 => Draft::new("account.transfer").outcome(Outcome::Success).target("account", &account).detail("amount", number * 100),
        2 => Draft::new("report.export").outcome(Outcome::Success).target("report", "payroll").detail("rows", number * 3),
        3 => Draft::new("role.grant").outcome(Outcome::Denied).target("role", "admin").detail("by", "console"),
        4 => Draft::new("page.view").class(Class::Telemetry).detail("path", "/").detail("ms", number % 90),
        _ => Draft::new("account.read").outcome(Outcome::Success).target("account", &account).detail("fields", "all"),
    };
    if number % 4 == 1 {
        draft = draft.idempotency_key(&request);
    }
    let tenant = if number.is_multiple_of(3) { "east" } else { "west" };
    store.emit(&draft.actor(person).ip("192.0.2.7").session(&request).tenant(tenant))?;
    Ok(())
}

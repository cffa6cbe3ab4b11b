//! An audit log inside a program. The README shows the marked lines; the gate runs them and compares the two.

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::ops::ControlFlow;

use indelible::search::{Filter, Query, View};
use indelible::verify::verify;
use indelible::{Config, Draft, Outcome, Store, event, taxonomy};

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::temp_dir().join(format!("indelible-example-{}", std::process::id()));
    let result = record_search_verify(&parent.join("audit"));
    std::fs::remove_dir_all(&parent)?;
    result
}

fn record_search_verify(dir: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // In the README from here …
    let log = Store::open(Config::new(dir))?; // a directory; made if it is not there
    std::thread::scope(|threads| {
        for worker in ["anna", "ben", "carla"] {
            let log = &log;
            threads.spawn(move || event!(log, "invoice.approve", actor: worker, "amount" => 1250).is_ok());
        }
    });
    let login = Draft::new(taxonomy::USER_LOGIN).actor("alice").ip("203.0.113.9").outcome(Outcome::Failure);
    let receipt = log.append(&login)?; // returns once it survives power loss: log, seq, leaf hash
    log.flush()?; // and so does everything emitted before
    let failed = Query::new(&Filter::parse("actor:alice NOT outcome:success")?, 0)?;
    let answer = log.reader()?.search(&failed, &mut show)?; // what is durable is found at once
    log.close()?; // signs the last checkpoint
    let report = verify(dir, Default::default())?; // every hash from the values, every signature
    // … to here.
    assert!(report.ok, "an intact log must verify: {report:#?}");
    assert_eq!(report.events, 4);
    assert_eq!((answer.matched, answer.scanned, answer.incomplete), (1, 4, None));
    assert!(receipt.seq.is_some_and(|seq| seq < 4) && receipt.leaf.is_some());
    Ok(())
}

fn show(found: &View<'_>) -> ControlFlow<()> {
    println!("{} {} at {}", found.seq, found.head.action, indelible::time::format(found.head.time));
    ControlFlow::Continue(())
}

//! A store on the real disk whose beginning has expired: what is two weeks old today, by a clock of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indelible::world::World;
use indelible::{Class, Config, Draft, ExpireOptions, Producer, Retention, SignedCheckpoint, Store};

use crate::SimClock;

const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u64 = 14;
/// Of a day: 130 go to `main`, 30 to `telemetry`.
const EVENTS_A_DAY: u64 = 160;
/// A producer's number that never arrived, of an event that would have expired.
const LOST: u64 = 7;
/// The day whose checkpoint is named as an anchor when events expire.
const ANCHORED: usize = 4;

/// What came of it. `main` has expired below 1,024: groups 1 and 3 hold an event each that is held, of 0 and 2 the roots stay, and nodes
/// of one anchor. `telemetry` has expired below 256. Behind the border are a segment, and a journal.
#[derive(Debug, Clone)]
pub struct ExpiredStore {
    /// The data directory.
    pub dir: PathBuf,
    /// A checkpoint of `main` of each day, oldest first: of 130, 260, 390 … events.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// Which of them was named as an anchor.
    pub anchored: usize,
}

/// Makes the store in `folder/audit`, and writes each checkpoint to `folder/checkpoint-<day>`.
///
/// # Errors
/// Those of the engine, and of writing the checkpoints.
pub fn store(folder: &Path) -> Result<ExpiredStore, Box<dyn std::error::Error>> {
    let dir = folder.join("audit");
    let clock = SimClock::new();
    let world = World { clock: Arc::new(clock.clone()), ..World::real() };
    let mut config = Config::new(&dir);
    config.threads = false;
    config.trusted_state_dir = None;
    config.sealing.background = false;
    config.sealing.rows_max = 512;
    config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 6).keep("telemetry", 4));
    let store = Store::open_in(config, world)?;
    // Positions 300 and 800 of `main`; 600 too, until that hold is released.
    store.hold("case 7", "details.n:300", "a court asks")?;
    store.hold("case 8", "details.n:800", "another")?;
    store.hold("case 9", "details.n:600", "a third, soon settled")?;
    let mut checkpoints = Vec::new();
    let (mut main, mut telemetry) = (0, 0);
    for day in 0..DAYS {
        for nth in 0..EVENTS_A_DAY {
            let is_main = nth < 130;
            let (n, class) = if is_main { (main, Class::Normal) } else { (10_000 + telemetry, Class::Telemetry) };
            let (actor, tenant, id) = (format!("u{}", n % 20), format!("t{}", n % 3), format!("event {n}"));
            let mut draft = Draft::new("door.open").actor(&actor).tenant(&tenant).class(class).detail("n", n);
            let seq = (day * EVENTS_A_DAY + nth) / 5;
            if n % 5 == 0 && seq != LOST {
                draft = draft.id(&id).producer(Producer { id: "gate", epoch: 1, seq });
            }
            store.emit(&draft)?;
            *(if is_main { &mut main } else { &mut telemetry }) += 1;
        }
        store.flush()?;
        checkpoints.push(store.checkpoint(1)?);
        // About what expires later, and about what stays.
        if day == 5 {
            store.record_tenants()?;
        }
        clock.advance(DAY);
    }
    store.release("case 9", "settled")?;
    let anchors = checkpoints.get(ANCHORED).map(|checkpoint| checkpoint.note.clone()).into_iter().collect();
    store.expire(&ExpireOptions { anchors, ..ExpireOptions::default() })?;
    for n in main..main + 20 {
        store.emit(&Draft::new("door.open").tenant("t0").detail("n", n))?;
    }
    store.record_tenants()?;
    store.close()?;
    for (day, checkpoint) in checkpoints.iter().enumerate() {
        fs::write(folder.join(format!("checkpoint-{day:02}")), &checkpoint.note)?;
    }
    Ok(ExpiredStore { dir, checkpoints, anchored: ANCHORED })
}

//! `kill -9` at any moment of a command that changes a store, a backup, or what is restored from one: nothing is lost, nothing is
//! there twice, and whoever opens the store next leaves nothing lying about.
//!
//! The simulation ends at every single call, by seed. Here it is a process of the machine that ends, with its threads wherever
//! each of them was. Half of the kills are spread over the time that the command takes; the other half come as soon as names have
//! changed so many times: renames and removals are short, and there a crash would hurt.

mod backup;
mod expiry;
mod restore;
mod seal;
mod store;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::{Ended, Home};

/// Commands that run at once. They wait for the disk most of the time.
const AT_ONCE: usize = 4;

/// A home before the command that is to be killed. Every kill meets a copy of it.
struct Scene {
    home: Home,
    command: &'static [&'static str],
    /// Folders in which names change while it runs.
    watched: &'static [&'static str],
}

/// How long the command takes, and how often names change meanwhile.
#[derive(Debug)]
struct Pace {
    took: Duration,
    changes: u32,
}

/// When the kill comes.
#[derive(Debug)]
enum Moment {
    /// So long after the start.
    At(Duration),
    /// So long after this change of names.
    Change(u32, Duration),
}

/// A command that was killed, and what it left.
struct Killed {
    home: Home,
    /// Which one, when, and how it ended: for whoever reads of a failure.
    story: String,
    nth: u32,
}

impl Scene {
    fn copy(&self) -> Home {
        let home = Home::new();
        copy_folder(self.home.dir.path(), home.dir.path());
        home
    }

    /// Lets the command end by itself. Gives what is then there, what it said, and its pace.
    fn whole(&self) -> (Home, Ended, Pace) {
        let home = self.copy();
        let started = Instant::now();
        let ended = home.run(self.command).ok();
        let took = started.elapsed();
        let watched = self.copy();
        let mut child = self.start(&watched);
        let changes = self.watch(&watched, &mut child, u32::MAX);
        assert!(child.wait().unwrap().success());
        (home, ended, Pace { took, changes })
    }

    /// Kills the command at so many moments, and hands out what each kill left. Gives what `check` says of it, of those kills
    /// that came before the command was done: if they are few, nothing was tested.
    fn kill<S: Send>(&self, pace: &Pace, kills: u32, check: impl Fn(&Killed) -> S + Sync) -> Vec<S> {
        let kills = if std::env::var_os("INDELIBLE_LONG").is_some() { kills * 10 } else { kills };
        let next = AtomicU32::new(0);
        let one_by_one = || {
            let mut stages = Vec::new();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= kills {
                    return stages;
                }
                let (home, moment) = (self.copy(), pace.moment(nth, kills));
                let status = self.strike(&home, &moment);
                let landed = status.signal() == Some(9);
                assert!(landed || status.success(), "{moment:?}: {status}");
                let stage = check(&Killed { home, story: format!("kill {nth}, {moment:?} of {pace:?}, {status}"), nth });
                stages.extend(landed.then_some(stage));
            }
        };
        let stages: Vec<S> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_by_one)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(stages.len() * 3 > kills as usize, "{} of {kills} kills met the command at work: {pace:?}", stages.len());
        stages
    }

    /// Starts the command and kills it at this moment.
    fn strike(&self, home: &Home, moment: &Moment) -> ExitStatus {
        let mut child = self.start(home);
        match moment {
            Moment::At(after) => std::thread::sleep(*after),
            Moment::Change(nth, after) => {
                self.watch(home, &mut child, *nth);
                std::thread::sleep(*after);
            }
        }
        // It may be done already: then this does nothing.
        let _ = child.kill();
        child.wait().unwrap()
    }

    fn start(&self, home: &Home) -> Child {
        home.command(self.command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Looks until names have changed so many times, or the command is done. Gives how often they have.
    fn watch(&self, home: &Home, child: &mut Child, changes: u32) -> u32 {
        let names = || -> Vec<BTreeSet<String>> { self.watched.iter().map(|folder| names(&home.path(folder))).collect() };
        let (mut seen, mut count) = (names(), 0);
        while count < changes && child.try_wait().unwrap().is_none() {
            let now = names();
            if now != seen {
                (seen, count) = (now, count + 1);
            }
            // Between two changes there is a sync; whoever looks all the time takes the time of the command.
            std::thread::sleep(Duration::from_micros(100));
        }
        count
    }
}

impl Pace {
    /// One moment in each of as many equal parts, so that no stretch is left out.
    fn moment(&self, nth: u32, of: u32) -> Moment {
        let mut rng = Rng::with_seed(u64::from(nth));
        let part = (f64::from(nth / 2) + rng.f64()) / f64::from(of.div_ceil(2));
        if nth.is_multiple_of(2) {
            return Moment::At(self.took.mul_f64(part));
        }
        let change = (1..=self.changes).find(|change| f64::from(*change) >= f64::from(self.changes) * part);
        // At once, or while what follows the change goes on.
        let after = if rng.bool() { Duration::ZERO } else { Duration::from_micros(rng.u64(100..2_000)) };
        Moment::Change(change.unwrap_or(1), after)
    }
}

/// Names in a folder; none if it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    // One that goes away meanwhile is not there.
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

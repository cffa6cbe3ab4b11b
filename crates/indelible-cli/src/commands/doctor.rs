//! `indelible doctor`: looks for what could go wrong here.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Instant;

use clap::Args;
use indelible::format::note::SigningKey;
use indelible::format::sha256;
use indelible::identity::{Identity, LOG_CONTROL};
use indelible::search::time::show;
use indelible::world::World;
use indelible::{Reader, trusted_state_path};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::Result;
use crate::machine;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption, Tone};
use crate::question::{bytes_text, grouped, now_ns};

/// Look for what could go wrong here.
///
/// Checks permissions, key, disk space, who writes, how long a sync takes, the clock, limits and the trusted state. Nothing is
/// changed; the sync is measured in a file that is removed again. What is recorded is not looked at: `indelible verify` does that.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    shape: ShapeOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

struct Check {
    name: &'static str,
    status: Status,
    text: String,
    next: Option<String>,
}

fn ok(name: &'static str, text: impl Into<String>) -> Check {
    Check { name, status: Status::Ok, text: text.into(), next: None }
}

fn warn(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
    Check { name, status: Status::Warn, text: text.into(), next: Some(next.into()) }
}

fn fail(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
    Check { status: Status::Fail, ..warn(name, text, next) }
}

/// Fewer open files than this are soon used up by a program that embeds the log.
const OPEN_FILES_MIN: u64 = 1024;
/// Less free space than this beyond the reserve is worth a warning.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Slower syncs make every waiting writer slow.
const SYNC_NS_MAX: u64 = 50_000_000;
/// No disk is faster: somebody says "done" too early, or there is no disk.
const SYNC_NS_MIN: u64 = 3_000;
const SYNCS: usize = 32;
/// Before this programme was written: a clock that says so was never set.
const TIME_MIN_NS: i64 = 1_735_689_600_000_000_000;

pub(crate) fn run(place: &Place, args: &DoctorArgs) -> Result<Exit> {
    let (data, state) = (place.data()?, place.state()?);
    let mut checks = Vec::new();
    let world = World::real();
    match Identity::read(&world, &data) {
        Ok(identity) => {
            checks.push(ok("store", format!("{} in {}", identity.store_hex(), data.display())));
            checks.push(modes(&data));
            checks.push(key(&data, &identity));
            checks.push(writer(&world, &data));
            checks.push(checkpoints(&data));
            checks.push(trusted_state(&state, &data, &identity));
            checks.push(clock(&data, Some(&identity)));
        }
        Err(error) => {
            let next = error.hint().unwrap_or("restore it from a backup").to_owned();
            checks.push(fail("store", error.to_string(), next));
            checks.push(clock(&data, None));
        }
    }
    checks.push(space(&world, &data, place)?);
    checks.push(sync(&data));
    checks.push(limits());
    checks.push(ok("processor", format!("{}, SHA-256 by {}", machine::processor(), sha256::backend())));

    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let (warned, failed) = (count(Status::Warn), count(Status::Fail));
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.boolean("ok", failed == 0).text("data", &data.to_string_lossy()).text("state", &state.to_string_lossy());
        object.objects("checks", &checks, |object, check| {
            object.text("name", check.name).text("status", &check.status.name().to_ascii_lowercase()).text("text", &check.text);
            object.optional_text("next", check.next.as_deref());
        });
        out.json_line(&object.finish())?;
    } else {
        let mut table = Table::new(["status", "check", "finding"]);
        for check in &checks {
            table.row([check.status.name(), check.name, &check.text]);
            if let Some(next) = &check.next {
                table.row(["", "", &format!("→ {next}")]);
            }
        }
        out.table(table, &[])?;
        let (tone, word) = match (failed, warned) {
            (0, 0) => (Tone::Good, "all is well".to_owned()),
            (0, warned) => (Tone::Careful, format!("{warned} to look at")),
            (failed, _) => (Tone::Bad, format!("{failed} to repair")),
        };
        let word = out.painted(tone, &word);
        out.line(&format!("\n{word}"))?;
    }
    out.flush()?;
    Ok(if failed > 0 { Exit::Error } else { Exit::Ok })
}

/// Everything belongs to one user and to nobody else.
fn modes(data: &Path) -> Check {
    const NAME: &str = "permissions";
    let mut open = Vec::new();
    let mut owners = Vec::new();
    let names = ["", "store.json", "key", "pseudonym.key", "lock", "status", "journal", "checkpoint", "tree", "dedupe"];
    for name in names {
        let path = if name.is_empty() { data.to_owned() } else { data.join(name) };
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let mode = found.mode() & 0o777;
        if mode & 0o077 != 0 {
            open.push(format!("{} is {mode:03o}", path.display()));
        }
        if !owners.contains(&found.uid()) {
            owners.push(found.uid());
        }
    }
    if owners.len() > 1 {
        return fail(NAME, format!("files belong to different users: {owners:?}"), format!("chown -R USER {}", data.display()));
    }
    let next = format!("chmod -R go= {}", data.display());
    match open.iter().find(|text| text.contains("key is ")) {
        Some(key) => fail(NAME, format!("others can read secrets: {key}"), next),
        None if !open.is_empty() => warn(NAME, format!("open to others: {}", open.join(", ")), next),
        None => ok(NAME, "directories and files are open to their owner only"),
    }
}

fn key(data: &Path, identity: &Identity) -> Check {
    const NAME: &str = "signing key";
    let path = data.join("key");
    let restore = "restore `key` from its backup; without it the log can be read and verified, not written";
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return fail(NAME, format!("{} cannot be read: {error}", path.display()), restore),
    };
    match SigningKey::parse(text.trim_end()) {
        Ok(key)
            if *key.verifier().public_key() == identity.public_key
                && Some(key.name()) == identity.origin(LOG_CONTROL).as_deref() =>
        {
            ok(NAME, "is readable and belongs to this store; is it backed up elsewhere?")
        }
        Ok(_) => fail(NAME, "is the key of another store", "restore `key` and `store.json` from the same backup"),
        Err(error) => fail(NAME, format!("is damaged: {error}"), restore),
    }
}

fn writer(world: &World, data: &Path) -> Check {
    const NAME: &str = "writer";
    let path = data.join("lock");
    if !path.exists() {
        return ok(NAME, "nobody has written yet");
    }
    match world.disk.lock(&path) {
        Ok(_) => ok(NAME, "nobody writes now"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            ok(NAME, format!("held by {}", fs::read_to_string(&path).unwrap_or_default()))
        }
        Err(error) => fail(NAME, format!("the lock cannot be tried: {error}"), "check the permissions of the file `lock`"),
    }
}

fn checkpoints(data: &Path) -> Check {
    const NAME: &str = "checkpoints";
    let reader = match Reader::open(data) {
        Ok(reader) => reader,
        Err(error) => return fail(NAME, error.to_string(), "run `indelible verify`"),
    };
    let mut texts = Vec::new();
    for log in &reader.identity().logs {
        match reader.checkpoint(log.id) {
            Ok(Some(checkpoint)) => texts.push(format!("{} {}", log.name, grouped(checkpoint.size))),
            Ok(None) => {}
            Err(error) => return fail(NAME, error.to_string(), "run `indelible verify`, and keep a copy of the directory"),
        }
    }
    if texts.is_empty() {
        return warn(NAME, "none yet", "record an event");
    }
    ok(NAME, format!("signatures hold; signed up to: {}", texts.join(", ")))
}

fn trusted_state(state: &Path, data: &Path, identity: &Identity) -> Check {
    const NAME: &str = "trusted state";
    let path = trusted_state_path(state, identity);
    if machine::existing(state).starts_with(machine::existing(data)) && data.exists() {
        return warn(
            NAME,
            format!("{} is inside the data directory", state.display()),
            "name a directory outside with --state: a roll-back takes both",
        );
    }
    match fs::metadata(&path) {
        Ok(_) => ok(NAME, format!("{}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => warn(
            NAME,
            format!("there is none in {}, so a roll-back of the whole store would not be noticed here", state.display()),
            "the next writer makes it; or keep checkpoints elsewhere and use `indelible verify --against`",
        ),
        Err(error) => fail(NAME, format!("{} cannot be read: {error}", path.display()), "check its permissions"),
    }
}

fn clock(data: &Path, identity: Option<&Identity>) -> Check {
    const NAME: &str = "clock";
    let now = now_ns();
    let next = "set the clock, and keep it with NTP or chrony";
    if now < TIME_MIN_NS {
        return fail(NAME, format!("says {}: it was never set", show(now)), next);
    }
    if let Some(created) = identity.map(|identity| identity.created).filter(|created| *created > now) {
        return fail(NAME, format!("says {}, before the store was made ({})", show(now), show(created)), next);
    }
    let written = fs::metadata(data.join("status")).and_then(|status| status.modified()).ok();
    if written.is_some_and(|written| written > std::time::SystemTime::now() + std::time::Duration::from_secs(2)) {
        return warn(NAME, format!("says {}, before the last write to the store", show(now)), next);
    }
    ok(NAME, show(now))
}

fn space(world: &World, data: &Path, place: &Place) -> Result<Check> {
    const NAME: &str = "disk space";
    let reserve = place.config("doctor")?.disk_reserve_bytes;
    let at = machine::existing(data);
    Ok(match world.disk.free_bytes(&at) {
        Ok(free) => {
            let text =
                format!("{} free, {} kept in reserve; {}", bytes_text(free), bytes_text(reserve), machine::file_system(&at));
            if free <= reserve {
                fail(NAME, text, "free space: nothing more can be recorded")
            } else if free - reserve < FREE_BYTES_MIN {
                warn(NAME, text, "free space before it runs out")
            } else {
                ok(NAME, text)
            }
        }
        Err(error) => fail(NAME, format!("cannot be told: {error}"), "check that the file system is mounted"),
    })
}

/// How long it takes until a write is on disk.
fn sync(data: &Path) -> Check {
    const NAME: &str = "sync";
    let dir = machine::existing(data);
    let times = match sync_times(&dir) {
        Ok(times) => times,
        Err(error) => {
            return fail(
                NAME,
                format!("a file in {} cannot be written and synced: {error}", dir.display()),
                "check permissions, space and mount options",
            );
        }
    };
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    let (median, slow) = (at(50), at(95));
    let text = format!("write and fdatasync of 4 KiB: median {}, 95 % within {}", nanoseconds(median), nanoseconds(slow));
    let volatile = machine::file_system(&dir).starts_with("tmpfs");
    if volatile {
        warn(NAME, format!("{text}; tmpfs is memory"), "choose a data directory on a disk: nothing here survives power loss")
    } else if median < SYNC_NS_MIN {
        warn(NAME, format!("{text}; no disk is that fast"), "check whether the file system or the disk ignores flushes")
    } else if slow > SYNC_NS_MAX {
        warn(NAME, text, "every acknowledgement waits that long: choose a faster disk, or let events gather (durability batched)")
    } else {
        ok(NAME, text)
    }
}

fn sync_times(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut named = tempfile::Builder::new().prefix(".indelible-doctor-").tempfile_in(dir)?;
    let block = [0x5a; 4096];
    for _ in 0..SYNCS {
        named.write_all(&block)?;
    }
    let file: &File = named.as_file();
    file.sync_all()?;
    let mut times = Vec::new();
    for nth in 0..SYNCS as u64 {
        let started = Instant::now();
        file.write_all_at(&block, nth * block.len() as u64)?;
        file.sync_data()?;
        times.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Ok(times)
}

/// A duration for people.
pub(crate) fn nanoseconds(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

fn limits() -> Check {
    const NAME: &str = "open files";
    match machine::open_files_max() {
        Some(limit) if limit < OPEN_FILES_MIN => warn(NAME, format!("at most {limit}"), "ulimit -n 4096"),
        Some(limit) => ok(NAME, format!("at most {}", grouped(limit))),
        None => ok(NAME, "without limit"),
    }
}

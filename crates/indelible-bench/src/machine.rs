//! What a figure depends on besides our code: date, commit, processor, kernel, disk, command.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use indelible::format::sha256;
use serde_json::{Map, Value};

use crate::place::Mount;

/// Facts about the machine and the build, in the order in which they are shown.
pub(crate) struct Machine {
    facts: Vec<(&'static str, String)>,
}

impl Machine {
    /// Looks around. `data` is the directory that is written to.
    pub(crate) fn look(data: &Path, mount: &Mount) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = line_of(&cpuinfo, "model name").or_else(|| line_of(&cpuinfo, "CPU part")).unwrap_or("unknown");
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let kernel = ["/proc/sys/kernel/osrelease", "/proc/sys/kernel/version"]
            .map(|path| fs::read_to_string(path).unwrap_or_default().trim().to_owned())
            .join(" ");
        let command: Vec<String> = std::env::args().collect();
        let facts = vec![
            ("date", indelible::time::format(now_ns())),
            ("commit", commit()),
            ("command", command.join(" ")),
            ("build", build()),
            ("cpu", format!("{cpu}, {cores} cores ({})", features(&cpuinfo))),
            ("sha256", sha256::backend().to_owned()),
            ("kernel", kernel),
            (
                "data",
                format!("{} on {} ({}), {:.1} GB free", data.display(), mount.kind, mount.device, mount.free_bytes as f64 / 1e9),
            ),
        ];
        Self { facts }
    }

    pub(crate) fn as_text(&self) -> String {
        self.facts.iter().map(|(name, fact)| format!("{name:<8} {fact}\n")).collect()
    }

    pub(crate) fn as_json(&self) -> Value {
        let members: Map<String, Value> =
            self.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.as_str().into())).collect();
        Value::Object(members)
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The commit of the checkout this runs in, and whether it has changes.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(head), Some(changes)) if changes.is_empty() => head,
        (Some(head), _) => format!("{head} with uncommitted changes"),
        (None, _) => "unknown (not run in a checkout)".into(),
    }
}

fn build() -> String {
    let mut build = String::from(if cfg!(debug_assertions) { "with debug assertions: FIGURES MEAN NOTHING" } else { "release" });
    if cfg!(feature = "peers") {
        build.push_str(", peers");
    }
    if cfg!(feature = "rocksdb") {
        build.push_str(", rocksdb");
    }
    build
}

/// The instruction sets that our code and the peers' may use.
fn features(cpuinfo: &str) -> String {
    const ASKED: &[&str] = &["sha_ni", "avx2", "avx512f", "vaes", "sse4_2", "sha2", "crc32", "asimd"];
    let flags = line_of(cpuinfo, "flags").or_else(|| line_of(cpuinfo, "Features")).unwrap_or_default();
    let found: Vec<&str> = flags.split_whitespace().filter(|flag| ASKED.contains(flag)).collect();
    found.join(" ")
}

/// Value of the first `name : value` line.
fn line_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

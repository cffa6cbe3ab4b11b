//! Which seeds a test runs, and how a failure names its own.

use std::ops::Range;
use std::process::Command;

/// The seeds to run: 0, 1, 2, … `default_count` of them, so that the gate repeats itself.
///
/// `INDELIBLE_RUNS=n` asks for n of them, `INDELIBLE_SEED=s` for s alone, both for the n seeds from s on. A seed may be
/// written in decimal or as `0x…`.
///
/// # Panics
/// When either variable holds something else: a mistyped replay must not pass for a successful one.
pub fn seeds(default_count: u64) -> impl Iterator<Item = u64> {
    let seed = std::env::var("INDELIBLE_SEED").ok();
    let runs = std::env::var("INDELIBLE_RUNS").ok();
    match range(seed.as_deref(), runs.as_deref(), default_count) {
        Ok(range) => range,
        Err(problem) => panic!("{problem}"),
    }
}

/// Prints how to replay the run when the test panics while it is held.
///
/// ```
/// for seed in indelible_testkit::seeds(3) {
///     let _guard = indelible_testkit::SeedGuard::new(seed);
///     // … a run that depends on `seed` only
/// }
/// ```
#[derive(Debug)]
pub struct SeedGuard {
    seed: u64,
}

impl SeedGuard {
    /// Watches over the run of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl Drop for SeedGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", replay_line(self.seed, &commit()));
        }
    }
}

pub(crate) fn replay_line(seed: u64, commit: &str) -> String {
    format!("seed={seed} commit={commit} (replay: INDELIBLE_SEED={seed})")
}

pub(crate) fn range(seed: Option<&str>, runs: Option<&str>, default_count: u64) -> Result<Range<u64>, String> {
    let seed = seed.map(|text| number("INDELIBLE_SEED", text)).transpose()?;
    let runs = runs.map(|text| number("INDELIBLE_RUNS", text)).transpose()?;
    let (first, count) = match (seed, runs) {
        (Some(seed), runs) => (seed, runs.unwrap_or(1)),
        (None, runs) => (0, runs.unwrap_or(default_count)),
    };
    if runs == Some(0) {
        return Err("INDELIBLE_RUNS is 0: nothing would be tested".to_owned());
    }
    let end = first.checked_add(count).ok_or_else(|| "INDELIBLE_SEED + INDELIBLE_RUNS is beyond 2^64".to_owned())?;
    Ok(first..end)
}

fn number(variable: &str, text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{variable}={text:?} is not a number: {error}"))
}

/// The commit under test: what the build or the environment says, else what git says, else `unknown`.
fn commit() -> String {
    if let Some(commit) = option_env!("INDELIBLE_COMMIT") {
        return commit.to_owned();
    }
    if let Ok(commit) = std::env::var("INDELIBLE_COMMIT") {
        return commit;
    }
    match Command::new("git").args(["rev-parse", "HEAD"]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

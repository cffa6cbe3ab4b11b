//! `cargo xtask fuzz`: libFuzzer with the address sanitizer on the decoders of `fuzz/`.
//!
//! The instrumentation is behind unstable compiler flags; RUSTC_BOOTSTRAP lets the pinned stable compiler take them, so that no
//! second toolchain is needed.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::process::{cargo, is_installed, root, run as run_command, say, target_dir};

const CARGO_FUZZ_VERSION: &str = "0.13.2";
const SECONDS: u64 = 60;

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let seconds = arguments.take_number("--seconds")?.unwrap_or(SECONDS);
    let wanted = arguments.take_word();
    arguments.finish()?;
    let known = targets()?;
    let chosen = match wanted {
        None => known,
        Some(name) if known.contains(&name) => vec![name],
        Some(name) => return Err(format!("there is no target `{name}`; there are {}", known.join(", "))),
    };
    let tools = cargo_fuzz()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path)))
        .map_err(|error| format!("PATH cannot be extended: {error}"))?;
    // Well-formed inputs to start from: random bytes alone rarely get past a checksum or a magic number.
    run_command(
        cargo(&["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--bin", "seeds", "--", "fuzz/corpus"])
            .env("CARGO_TARGET_DIR", target_dir()),
    )?;
    for target in &chosen {
        say(&format!("==> {target}, {seconds} s"));
        let limit = format!("-max_total_time={seconds}");
        let mut fuzz =
            cargo(&["fuzz", "run", "--fuzz-dir", "fuzz", "--features", "libfuzzer", target, "--", &limit, "-max_len=65536"]);
        // A target directory of its own: instrumented code must not mix with the rest.
        fuzz.env("PATH", &path).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", target_dir().join("fuzz"));
        run_command(&mut fuzz)?;
    }
    say(&format!("{} targets, {seconds} s each, nothing found", chosen.len()));
    Ok(ExitCode::SUCCESS)
}

/// Names of the targets, in order.
fn targets() -> Result<Vec<String>, String> {
    let entries =
        fs::read_dir(root().join("fuzz/fuzz_targets")).map_err(|error| format!("could not list the fuzz targets: {error}"))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".rs").map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// Where cargo-fuzz is, if it is not on the path anyway; installs it if it is nowhere.
fn cargo_fuzz() -> Result<PathBuf, String> {
    let tools = target_dir().join("tools");
    if !is_installed("cargo-fuzz") && !tools.join("bin/cargo-fuzz").is_file() {
        say("installing cargo-fuzz");
        let place = tools.to_string_lossy().into_owned();
        run_command(&mut cargo(&["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION, "--root", &place]))
            .map_err(|error| format!("cargo-fuzz is missing and cannot be installed: {error}"))?;
    }
    if !is_installed("c++") && !is_installed("g++") && !is_installed("clang++") {
        return Err("libFuzzer needs a C++ compiler: install the package g++".into());
    }
    Ok(tools)
}

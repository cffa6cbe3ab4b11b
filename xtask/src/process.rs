//! Running other programs in the workspace, and where the workspace is.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Prints one line of data to stdout.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when stdout is gone; the exit code still speaks.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    // Asked at run time: a workspace that was moved does not remember where it was built.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = manifest.and_then(|dir| dir.parent().map(PathBuf::from));
    root.or_else(|| std::env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("."))
}

/// Where builds go.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// Whether this is a run in which nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// A command that will run in the workspace's root.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that runs us.
///
/// Without incremental compilation: a gate builds once, and must not depend on what earlier builds left behind.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
    cargo.env("CARGO_INCREMENTAL", "0");
    cargo
}

/// How a command reads, for messages.
pub(crate) fn spelled(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().fold(program, |text, argument| format!("{text} {}", argument.to_string_lossy()))
}

/// Runs a command, showing what it says.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("could not run `{}`: {error}", spelled(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", spelled(command))) }
}

/// Runs a command for what it prints; what it complains about is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("could not run `{}`: {error}", spelled(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` ended with {}: {}", spelled(command), output.status, said.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed something that is not UTF-8", spelled(command)))
}

/// Whether a program of this name can be run.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // System programs are not on every user's path.
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

//! `cargo xtask package`: what is given to those who run the server.

mod container;
mod deb;
mod elf;
mod notices;
mod tried;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::gate::Gate;
use crate::process::{cargo, root, run as run_command, say, target_dir};

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let kind = arguments.take_word();
    let binary = arguments.take_text("--binary")?.map(PathBuf::from);
    arguments.finish()?;
    match kind.as_deref() {
        Some("deb") => {
            let package = match binary {
                Some(binary) => deb::build(&binary, deb::Effort::Little)?,
                None => {
                    run_command(&mut cargo(&["build", "--release", "--locked", "-p", "indelible-cli"]))?;
                    deb::build(&target_dir().join("release").join("indelible"), deb::Effort::Much)?
                }
            };
            say(&package.display().to_string());
            Ok(ExitCode::SUCCESS)
        }
        Some("try") => {
            let mut gate = Gate::default();
            tries(&mut gate, &binary.unwrap_or_else(|| target_dir().join("debug").join("indelible")));
            Ok(gate.close())
        }
        _ => Err("say what to do: `cargo xtask package deb`, or `cargo xtask package try`".into()),
    }
}

/// The gate's look at all that is packaged, with this program in it.
pub(crate) fn tries(gate: &mut Gate, binary: &Path) {
    gate.step("systemd unit", tried::unit);
    gate.step("Debian package", || tried::deb(binary));
    gate.step("container file", || container::container(binary));
}

/// A folder in which files stand as they will on the machine that gets them.
struct Stage {
    dir: PathBuf,
}

impl Stage {
    /// An empty one.
    fn make(dir: &Path) -> Result<Self, String> {
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(|error| format!("could not empty {}: {error}", dir.display()))?;
        }
        let stage = Self { dir: dir.to_owned() };
        stage.folder("")?;
        Ok(stage)
    }

    /// A folder, and those above it: for everybody to look into, whatever the umask.
    fn folder(&self, path: &str) -> Result<PathBuf, String> {
        let mut folder = self.dir.clone();
        for part in ["."].into_iter().chain(path.split('/')).filter(|part| !part.is_empty()) {
            folder = if part == "." { folder } else { folder.join(part) };
            fs::create_dir_all(&folder)
                .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)))
                .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        }
        Ok(folder)
    }

    /// A file.
    fn write(&self, path: &str, contents: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf, String> {
        self.folder(path.rsplit_once('/').map_or("", |(folder, _)| folder))?;
        let file = self.dir.join(path);
        fs::write(&file, contents)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("could not write {}: {error}", file.display()))?;
        Ok(file)
    }

    /// A file of the workspace.
    fn copy(&self, from: &str, to: &str, mode: u32) -> Result<PathBuf, String> {
        self.write(to, read(from)?, mode)
    }
}

/// A file of the workspace.
fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("could not read {path}: {error}"))
}

/// All files below `folder`, and their paths from there, in order.
fn files_below(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).map_err(|error| format!("could not read {}: {error}", next.display()))?;
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(folder) {
                found.push((inside.to_string_lossy().into_owned(), path.clone()));
            }
        }
    }
    found.sort();
    Ok(found)
}

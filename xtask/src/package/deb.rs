//! A Debian package: a staging folder, which `dpkg-deb` makes a package of. Everything else that is needed is on every Debian system.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Stage, elf, files_below, notices, read};
use crate::process::{command, output, run, target_dir};

/// How long the compressor may think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// For trying out.
    Little,
    /// For giving away.
    Much,
}

/// Where the configuration will be.
pub(super) const CONFIGURATION: &str = "etc/indelible/indelible.toml";
const SHELLS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/indelible"),
    ("zsh", "usr/share/zsh/vendor-completions/_indelible"),
    ("fish", "usr/share/fish/vendor_completions.d/indelible.fish"),
];
const DOCUMENTS: &str = "usr/share/doc/indelible";

/// Makes the package of a built program; gives its path.
pub(super) fn build(binary: &Path, effort: Effort) -> Result<PathBuf, String> {
    let folder = target_dir().join("package");
    let stage = Stage::make(&folder.join("deb"))?;
    fill(&stage, binary)?;
    control(&stage)?;
    let package = folder.join(format!("indelible_{}_{}.deb", version()?, architecture()?));
    let level = match effort {
        Effort::Little => ["-Zgzip", "-z1"],
        Effort::Much => ["-Zxz", "-z9"],
    };
    let mut build = command("dpkg-deb", &level);
    build.args(["--root-owner-group", "--build"]).args([&stage.dir, &package]);
    // The same files make the same package.
    build.env("SOURCE_DATE_EPOCH", output(&mut command("git", &["log", "-1", "--format=%ct"])).unwrap_or_default().trim());
    output(&mut build)?;
    Ok(package)
}

/// The files that are installed.
fn fill(stage: &Stage, binary: &Path) -> Result<(), String> {
    let program = stage.folder("usr/bin")?.join("indelible");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    run(&mut command("strip", &["--strip-unneeded", "-o", &text(&program), &text(binary)]))?;
    run(&mut command("chmod", &["0755", &text(&program)]))?;
    let says = |arguments: &[&str]| output(&mut command(&program, arguments));

    stage.write(CONFIGURATION, says(&["config", "init"])?, 0o644)?;
    stage.copy("packaging/systemd/indelible.service", "usr/lib/systemd/system/indelible.service", 0o644)?;
    stage.copy("packaging/systemd/indelible.sysusers", "usr/lib/sysusers.d/indelible.conf", 0o644)?;
    for (shell, path) in SHELLS {
        stage.write(path, says(&["completions", shell])?, 0o644)?;
    }
    let pages = stage.folder("usr/share/man/man1")?;
    output(&mut command(&program, &["man", &text(&pages)]))?;
    for (_, page) in files_below(&pages)? {
        gzip(&page)?;
    }
    let mit = read("LICENSE-MIT")?;
    let mit = mit.lines().map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") });
    let copyright = read("packaging/debian/copyright.in")?.replace("@REPOSITORY@", &manifest("repository")?);
    stage.write(&format!("{DOCUMENTS}/copyright"), copyright + &mit.collect::<String>(), 0o644)?;
    gzip(&stage.write(&format!("{DOCUMENTS}/THIRD-PARTY"), notices::third_party()?, 0o644)?)?;
    gzip(&stage.copy("CHANGELOG.md", &format!("{DOCUMENTS}/changelog"), 0o644)?)
}

/// What `dpkg` is told of them.
fn control(stage: &Stage) -> Result<(), String> {
    let program =
        fs::read(stage.dir.join("usr/bin/indelible")).map_err(|error| format!("could not read the program: {error}"))?;
    let mut depends = elf::depends(&program);
    depends.push("systemd | systemd-sysusers".to_owned());
    let files = files_below(&stage.dir)?;
    let bytes: u64 = files.iter().filter_map(|(_, path)| path.metadata().ok()).map(|file| file.len().div_ceil(1024)).sum();
    let mut sums = String::new();
    for (name, _) in files.iter().filter(|(name, _)| !name.starts_with("etc/")) {
        let sum = output(command("md5sum", &[name]).current_dir(&stage.dir))?;
        sums.push_str(&sum);
    }
    let mut control = String::new();
    for (field, value) in [
        ("Package", "indelible".to_owned()),
        ("Version", version()?),
        ("Architecture", architecture()?),
        ("Maintainer", "The Indelible contributors <indelible@localhost>".to_owned()),
        ("Installed-Size", bytes.to_string()),
        ("Depends", depends.join(", ")),
        ("Section", "admin".to_owned()),
        ("Priority", "optional".to_owned()),
        ("Homepage", manifest("repository")?),
        ("Description", DESCRIPTION.to_owned()),
    ] {
        let _ = writeln!(control, "{field}: {value}");
    }
    stage.write("DEBIAN/control", control, 0o644)?;
    stage.write("DEBIAN/conffiles", format!("/{CONFIGURATION}\n"), 0o644)?;
    stage.write("DEBIAN/md5sums", sums, 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        stage.copy(&format!("packaging/debian/{script}"), &format!("DEBIAN/{script}"), 0o755)?;
    }
    Ok(())
}

const DESCRIPTION: &str = "audit log that can prove itself
 Indelible records who did what, durably, finds it again, and proves that
 nothing of it was changed or left out. It serves an HTTP API and takes what
 OpenTelemetry, syslog, Elasticsearch, Splunk and Kubernetes clients send.";

/// Replaces a file by what `gzip` makes of it, the same each time, for everybody to read, whatever the umask.
fn gzip(path: &Path) -> Result<(), String> {
    let path = path.to_string_lossy();
    run(&mut command("gzip", &["-9", "-n", "--force", &path]))?;
    run(&mut command("chmod", &["0644", &format!("{path}.gz")]))
}

/// `~` sorts before everything: a preview before its release.
fn version() -> Result<String, String> {
    Ok(manifest("version")?.replace('-', "~"))
}

pub(super) fn architecture() -> Result<String, String> {
    Ok(output(&mut command("dpkg", &["--print-architecture"]))?.trim().to_owned())
}

/// What the workspace's manifest says first under this key.
fn manifest(key: &str) -> Result<String, String> {
    let text = read("Cargo.toml")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    value.map(|value| value.trim().trim_matches('"').to_owned()).ok_or_else(|| format!("Cargo.toml says no {key}"))
}

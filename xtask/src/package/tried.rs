//! The gate's look at what is packaged: the unit as systemd reads it, the package as `dpkg` does, and the program that comes out of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Stage, deb, files_below, read};
use crate::gate::Outcome;
use crate::process::{command, in_ci, is_installed, output, target_dir};

/// What `systemd-analyze security` may say at most, in tenths: 0 is a service that can do nothing at all.
const EXPOSURE_MAX: &str = "12";
/// What has to be in the package, among others.
const CONTENTS: &[&str] = &[
    "./usr/bin/indelible",
    "./etc/indelible/indelible.toml",
    "./usr/lib/systemd/system/indelible.service",
    "./usr/lib/sysusers.d/indelible.conf",
    "./usr/share/man/man1/indelible-serve.1.gz",
    "./usr/share/bash-completion/completions/indelible",
    "./usr/share/doc/indelible/copyright",
    "./usr/share/doc/indelible/THIRD-PARTY.gz",
];

/// The unit can be loaded, and what it may do is as little as it was.
pub(super) fn unit() -> Outcome {
    if let Some(skipped) = missing("systemd-analyze", "systemd")? {
        return Ok(skipped);
    }
    let stage = Stage::make(&target_dir().join("package").join("unit"))?;
    let unit = read("packaging/systemd/indelible.service")?;
    // The program need not be installed here; whether there is one is looked at, too.
    let here = unit.replace("ExecStart=/usr/bin/indelible", "ExecStart=/bin/true");
    if here == unit {
        return Err("the unit does not start /usr/bin/indelible".into());
    }
    let path = stage.write("indelible.service", here, 0o644)?.to_string_lossy().into_owned();
    let mut verify = command("systemd-analyze", &["verify", "--man=no", &path]);
    let verified = verify.output().map_err(|error| format!("could not run systemd-analyze: {error}"))?;
    let said = String::from_utf8_lossy(&verified.stderr);
    // What it does not know it ignores, and says so: that is a fault, too.
    if !verified.status.success() || said.contains(&path) {
        return Err(format!("systemd does not take the unit: {}", said.trim()));
    }
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let judged = output(&mut command("systemd-analyze", &["security", "--offline=true", "--no-pager", &threshold, &path]))?;
    Ok(judged.lines().last().unwrap_or_default().trim_start_matches(['→', ' ']).to_owned())
}

/// A package of this program can be made and unpacked, and what comes out of it serves.
pub(super) fn deb(binary: &Path) -> Outcome {
    if let Some(skipped) = missing("dpkg-deb", "dpkg")? {
        return Ok(skipped);
    }
    let package = deb::build(binary, deb::Effort::Little)?;
    let package = package.to_string_lossy();
    let control = output(&mut command("dpkg-deb", &["--info", &package]))?;
    for line in ["Package: indelible", "Depends: libc6 (>= "] {
        if !control.contains(line) {
            return Err(format!("the package does not say `{line}`:\n{control}"));
        }
    }
    let contents = output(&mut command("dpkg-deb", &["--contents", &package]))?;
    for file in CONTENTS {
        if !contents.lines().any(|line| line.ends_with(&format!(" {file}"))) {
            return Err(format!("{file} is not in the package"));
        }
    }
    if let Some(line) = contents.lines().find(|line| !line.contains(" root/root ")) {
        return Err(format!("not everything belongs to root: {line}"));
    }
    for script in ["postinst", "prerm", "postrm"] {
        output(&mut command("sh", &["-n", &format!("packaging/debian/{script}")]))?;
    }
    let unpacked = Stage::make(&target_dir().join("package").join("unpacked"))?;
    output(&mut command("dpkg", &["-x", &package, &unpacked.dir.to_string_lossy()]))?;
    serves(&unpacked.dir)?;
    let bytes = fs::metadata(&*package).map_or(0, |file| file.len());
    Ok(format!("{} files, {:.1} MB; what was unpacked serves", files_below(&unpacked.dir)?.len(), bytes as f64 / 1e6))
}

/// Why it is not looked at. In CI that is an error.
fn missing(program: &str, package: &str) -> Result<Option<String>, String> {
    match (is_installed(program), in_ci()) {
        (true, _) => Ok(None),
        (false, true) => Err(format!("{program} (package {package}) is missing")),
        (false, false) => Ok(Some(format!("skipped: {program} (package {package}) is missing"))),
    }
}

/// Starts the unpacked program with the unpacked configuration, and stops it once it is ready.
fn serves(unpacked: &Path) -> Result<(), String> {
    let (data, configuration) = (unpacked.join("var"), unpacked.join(deb::CONFIGURATION));
    let mut serve = command(unpacked.join("usr/bin/indelible"), &["serve", "-o", "json", "--set", "listen.http=127.0.0.1:0"]);
    serve.arg("--config").arg(configuration).env("INDELIBLE_DATA", data.join("store")).env("INDELIBLE_STATE", data.join("state"));
    let (served, address) = Served::start(&mut serve)?;
    let answer = get(&address, "/readyz")?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(format!("it is not ready: {answer}"));
    }
    served.stop()
}

/// A server that was started here; whatever happens, it does not go on behind our back.
pub(super) struct Served(Child);

impl Served {
    /// Starts it, and waits until it says where it listens.
    pub(super) fn start(serve: &mut Command) -> Result<(Self, String), String> {
        let child = serve.stdout(Stdio::piped()).spawn().map_err(|error| format!("could not start it: {error}"))?;
        let mut served = Self(child);
        let mut line = String::new();
        let mut stdout = BufReader::new(served.0.stdout.take().ok_or("it has no stdout")?);
        stdout.read_line(&mut line).map_err(|error| format!("it says nothing: {error}"))?;
        let address =
            line.split_once("http://").and_then(|(_, rest)| rest.split_once('"')).map(|(address, _)| address.to_owned());
        Ok((served, address.ok_or_else(|| format!("it does not say where it listens: {line}"))?))
    }

    /// Tells it to stop as an operator does; it has to end well.
    pub(super) fn stop(mut self) -> Result<(), String> {
        output(&mut command("kill", &["-TERM", &self.0.id().to_string()]))?;
        let started = Instant::now();
        loop {
            match self.0.try_wait().map_err(|error| format!("could not wait for it: {error}"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("it ended with {status}")),
                None if started.elapsed() > Duration::from_secs(60) => return Err("it does not stop".into()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, path: &str) -> Result<String, String> {
    let asked = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    asked().map_err(|error| format!("{path} cannot be asked for: {error}"))
}

//! What the gate needs from the machine: toolchain parts, system packages, Python oracles, real events.
//!
//! What is missing is installed where that is possible; where it is not, the message says what to do by hand.

use std::fs;
use std::path::PathBuf;

use crate::gate::Outcome;
use crate::process::{command, in_ci, is_installed, output, root, run, say, target_dir};

/// A program some test runs, and the Debian package it comes from.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("python3", "python3", "the independent verifier"),
    ("mkfs.ext4", "e2fsprogs", "power cuts on a loop-mounted ext4"),
    ("losetup", "mount", "power cuts on a loop-mounted ext4"),
    ("umount", "mount", "power cuts on a loop-mounted ext4"),
    ("curl", "curl", "clients of the server"),
    ("openssl", "openssl", "clients of the server"),
    ("logger", "bsdutils", "clients of the server"),
    ("rsyslogd", "rsyslog", "clients of the server"),
    ("/usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so", "rsyslog-elasticsearch", "clients of the server"),
    ("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so", "rsyslog-gnutls", "clients of the server"),
    ("systemd-analyze", "systemd", "the unit of the server"),
    ("dpkg-deb", "dpkg", "the Debian package"),
    ("strip", "binutils", "the Debian package"),
];

/// rustfmt and clippy.
pub(crate) fn toolchain() -> Outcome {
    let mut installed = Vec::new();
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if !is_installed(program) || output(&mut command(program, &["--version"])).is_err() {
            run(&mut command("rustup", &["component", "add", component]))
                .map_err(|error| format!("{component} is missing and cannot be installed: {error}"))?;
            installed.push(component);
        }
    }
    let version = output(&mut command("rustc", &["--version"]))?;
    Ok(with_installed(version.trim(), &installed))
}

/// System packages.
pub(crate) fn packages() -> Outcome {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, ..)| !is_installed(program)).map(|(_, package, _)| *package).collect();
    if let Err(error) = install(&missing) {
        let uses: Vec<String> = PROGRAMS
            .iter()
            .filter(|(_, package, _)| missing.contains(package))
            .map(|(program, package, what)| format!("{program} (package {package}, for {what})"))
            .collect();
        let message = format!("missing: {}; {error}", uses.join(", "));
        return if in_ci() { Err(message) } else { Ok(format!("{message}; the tests that need them will say that they skip")) };
    }
    let mut note = with_installed("", &missing);
    if !is_root() {
        note.push_str(" not root: the power-cut tests cannot mount their image");
    }
    Ok(note.trim().to_owned())
}

/// What the virtual environment gets: the verifier's packages, and clients of the server.
const REQUIREMENTS: &[&str] = &["requirements.txt", "clients.txt"];

/// A virtual environment with the packages of these files in `tools`; returns its Python.
pub(crate) fn python() -> Result<PathBuf, String> {
    if output(&mut command("python3", &["-c", "import ensurepip, venv"])).is_err() {
        install(&["python3", "python3-venv"]).map_err(|error| format!("Python cannot make virtual environments: {error}"))?;
    }
    let venv = target_dir().join("venv");
    let python = venv.join("bin").join("python");
    let mut wanted = output(&mut command("python3", &["--version"]))?;
    let mut install =
        vec!["-m".to_owned(), "pip".into(), "install".into(), "--quiet".into(), "--disable-pip-version-check".into()];
    for name in REQUIREMENTS {
        let path = root().join("tools").join(name);
        wanted += &fs::read_to_string(&path).map_err(|error| format!("could not read tools/{name}: {error}"))?;
        install.extend(["-r".into(), path.to_string_lossy().into_owned()]);
    }
    let stamp = venv.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.is_file() {
        return Ok(python);
    }
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    run(&mut command("python3", &["-m", "venv", "--clear", &text(&venv)]))?;
    run(&mut command(&python, &install.iter().map(String::as_str).collect::<Vec<_>>()))
        .map_err(|error| format!("the Python packages could not be installed: {error}"))?;
    fs::write(&stamp, wanted).map_err(|error| format!("could not write {}: {error}", stamp.display()))?;
    Ok(python)
}

/// The folder with real events; `None` when there is none and that is allowed.
pub(crate) fn corpus() -> Result<Option<PathBuf>, String> {
    if let Some(named) = std::env::var_os("INDELIBLE_CORPUS") {
        let path = std::path::absolute(&named).map_err(|error| format!("INDELIBLE_CORPUS: {error}"))?;
        return if path.is_dir() {
            Ok(Some(path))
        } else {
            Err(format!("INDELIBLE_CORPUS names {}, which is no folder", path.display()))
        };
    }
    let beside = root().join("../shared/data");
    match fs::canonicalize(&beside) {
        Ok(path) => Ok(Some(path)),
        Err(_) if in_ci() => {
            Err("CI is set, and there are no real events: set INDELIBLE_CORPUS, or put them into ../shared/data".into())
        }
        Err(_) => Ok(None),
    }
}

fn with_installed(note: &str, installed: &[&str]) -> String {
    if installed.is_empty() { note.to_owned() } else { format!("{note} (installed {})", installed.join(", ")) }
}

/// Whether this process is the superuser.
pub(crate) fn is_root() -> bool {
    // The owner of our own entry in /proc is who we are.
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Installs Debian packages.
fn install(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install by hand: {}", packages.join(" "));
    if !is_installed("apt-get") {
        return Err(format!("this is not a Debian system; {by_hand}"));
    }
    let elevated: &[&str] = match (is_root(), is_installed("sudo")) {
        (true, _) => &[],
        (false, true) => &["sudo", "-n"],
        (false, false) => return Err(format!("installing needs root; {by_hand}")),
    };
    let apt = |arguments: &[&str]| {
        let words = [elevated, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"], arguments].concat();
        let (program, arguments) = words.split_first().ok_or_else(|| "nothing to run".to_owned())?;
        run(&mut command(program, arguments))
    };
    say(&format!("installing {}", packages.join(", ")));
    let wanted = [&["install", "--no-install-recommends"], packages].concat();
    // The package lists of a bare machine are empty or old; they are fetched only if needed.
    apt(&wanted).or_else(|_| apt(&["update"]).and_then(|()| apt(&wanted))).map_err(|error| format!("{error}; {by_hand}"))
}

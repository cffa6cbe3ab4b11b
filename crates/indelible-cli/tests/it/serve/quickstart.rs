//! The README's way from a clean machine to a first verified event, word for word, within a minute.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Ended, Home};

const README: &str = include_str!("../../../../../README.md");
/// Where the README says it is.
const ADDRESS: &str = "localhost:8410";

/// The lines that one types: an indented block whose first line starts the server.
fn typed() -> Vec<&'static str> {
    let lines = README.lines().skip_while(|line| !line.starts_with("    indelible serve"));
    lines.map_while(|line| line.strip_prefix("    ")).collect()
}

/// Runs a line as a shell does for somebody whose home this is.
fn shell(home: &Home, line: &str) -> Command {
    let mut command = Command::new("sh");
    let ours = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    command.args(["-c", line]).current_dir(home.dir.path()).stdin(Stdio::null());
    command.env_clear().env("HOME", home.dir.path()).env("PATH", path);
    command
}

#[test]
fn the_readmes_commands_lead_from_nothing_to_a_verified_event_within_a_minute() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no curl");
        println!("skipped: there is no curl");
        return;
    }
    let typed = typed();
    let [serve, export, rest @ ..] = typed.as_slice() else { panic!("{typed:?}") };
    assert!(
        rest.iter().any(|line| line.starts_with("curl ")) && rest.last().unwrap().starts_with("indelible verify"),
        "{rest:?}"
    );

    let started = Instant::now();
    let home = Home::new();
    // Any free port instead of the one that the README names; everything else is as on a new machine.
    let mut server = shell(&home, &format!("exec {serve}"));
    let mut server = server.env("INDELIBLE_LISTEN_HTTP", "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = said.find_map(|line| Some(line.split_once(" at http://")?.1.to_owned())).unwrap();
    let token = said.find_map(|line| Some(line.trim().to_owned()).filter(|line| line.starts_with("indl_"))).unwrap();
    assert_eq!(*export, "export TOKEN=indl_…                              # what it printed, once");
    let outputs: Vec<Ended> = rest
        .iter()
        .map(|line| {
            let line = line.replace(ADDRESS, &address);
            Ended::of(shell(&home, &line).env("TOKEN", &token).output().unwrap()).ok()
        })
        .collect();
    let [receipt, found, verified] = outputs.as_slice() else { panic!("{rest:?}") };
    let receipt: serde_json::Value = serde_json::from_str(&receipt.stdout).unwrap();
    assert_eq!(receipt["durable"], true, "{receipt}");
    assert!(found.stdout.contains("user.login") && found.stdout.contains("alice"), "{}", found.stdout);
    assert!(verified.stdout.contains("VERIFIED"), "{}", verified.stdout);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}: it is promised in a minute", started.elapsed());
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

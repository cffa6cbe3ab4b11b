//! Processes come and go: readers beside a writer, a refused second writer, signals, pipes that close.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Ended, Home, text};

const LINE: &[u8] = b"{\"action\":\"file.read\",\"user\":\"u\"}\n";

/// An import that waits for more on its stdin.
fn importing(home: &Home) -> (Child, ChildStdin) {
    let mut child = home
        .command(["import", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

fn recorded(home: &Home) -> u64 {
    text(&home.run(["search", "--count", "-o", "json"]).ok().json()["matched"]).parse().unwrap()
}

/// Polls until `done`; a test that waits for ever helps nobody.
#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_drains_and_keeps_what_was_read() {
    let home = Home::with_store();
    let (child, mut stdin) = importing(&home);
    stdin.write_all(&LINE.repeat(5000)).unwrap();
    stdin.flush().unwrap();
    // Readers see what is durable while the writer is at work.
    wait_until("5,000 events", || recorded(&home) == 5000);

    let second = home.run(["emit", "a.b"]).exits(1);
    assert!(second.stderr.contains("indelible import") && second.stderr.contains(&child.id().to_string()), "{}", second.stderr);
    let note = home.run(["checkpoint"]).ok();
    assert!(note.stderr.contains("newest on disk"), "{}", note.stderr);

    // stdin stays open: only the signal can end it.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap()).exits(4);
    drop(stdin);
    let done = ended.json();
    assert_eq!((&done["interrupted"], text(&done["recorded"])), (&true.into(), "5000".into()));
    assert_eq!(recorded(&home), 5000);
    home.run(["verify"]).ok();
    home.run(["emit", "a.b"]).ok();
}

#[test]
fn sigterm_in_full_flow_loses_nothing_that_was_counted() {
    let home = Home::with_store();
    let (child, mut stdin) = importing(&home);
    let feeder = std::thread::spawn(move || {
        let chunk = LINE.repeat(1000);
        // Until nobody reads any more.
        while stdin.write_all(&chunk).is_ok() {}
    });
    wait_until("the first events", || recorded(&home) > 1000);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let done = Ended::of(child.wait_with_output().unwrap()).exits(4).json();
    feeder.join().unwrap();
    assert_eq!(text(&done["recorded"]), recorded(&home).to_string());
    assert_eq!(text(&done["rejected"]), "0", "what was cut off was not counted: {done}");
    home.run(["verify"]).ok();
}

#[test]
fn tail_follows_and_ends_in_order() {
    let home = Home::with_store();
    home.run(["emit", "a.before"]).ok();
    home.run(["emit", "a.last"]).ok();
    let mut child =
        home.command(["tail", "--follow", "-n", "1", "-o", "ndjson", "action:a.*"]).stdout(Stdio::piped()).spawn().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let next = || {
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("the event did not come");
        text(&serde_json::from_str::<serde_json::Value>(&line).unwrap()["action"])
    };
    assert_eq!(next(), "a.last");
    home.run(["emit", "b.other"]).ok();
    home.run(["emit", "a.new"]).ok();
    assert_eq!(next(), "a.new");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = Home::with_store();
    home.write("many.ndjson", LINE.repeat(20_000));
    home.run(["import", "many.ndjson"]).ok();
    let mut child = home.command(["search", "-o", "ndjson"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

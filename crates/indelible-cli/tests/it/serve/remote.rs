//! The same verbs against a server and its directory: the same answers, in the same words; and a server is not believed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::Served;
use crate::{Ended, Home, text};

/// What the server records of itself grows with every question, so questions are about the events of a tenant.
const OURS: &str = "tenant:default";

const LINES: &[&str] = &[
    r#"{"action":"user.login","time":"2021-01-30T23:59:59Z","user":"ann","outcome":"failure","ip":"203.0.113.9"}"#,
    r#"{"action":"user.login","time":"2021-01-31T00:00:00Z","user":"ann","outcome":"failure"}"#,
    r#"{"action":"user.login","time":"2021-01-31T01:30:00Z","user":"bob","outcome":"success","big":9007199254740993}"#,
    r#"{"action":"file.read","time":"2021-01-31T09:00:00Z","tags":["x","y","x"],"request":{"bucket":"b-1"}}"#,
    r#"{"action":"file.read","time":"2021-01-31T09:10:00Z","user":"=cmd()","tags":["x"]}"#,
];

impl Served {
    fn command(&self, token: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.home.command([&["--url", &self.url], arguments].concat());
        command.env("INDELIBLE_TOKEN", token);
        command
    }

    /// Runs a verb against the server.
    fn ask(&self, token: &str, arguments: &[&str]) -> Ended {
        Ended::of(self.command(token, arguments).output().unwrap())
    }
}

/// A server with five imported events, and one that was emitted; the receipt of that one.
fn served() -> (Served, Value) {
    let served = Served::start();
    served.home.write("in.ndjson", LINES.join("\n"));
    let done = served.ask(&served.admin, &["import", "in.ndjson", "-o", "json"]).ok().json();
    assert_eq!((text(&done["recorded"]), &done["complete"]), ("5".to_owned(), &true.into()), "{done}");
    let emit = ["emit", "invoice.approve", "--actor", "zoë", "--target", "invoice:17", "--detail", "amount=1e400", "--id", "e-1"];
    let receipt = served.ask(&served.admin, &[&emit[..], &["-o", "json"]].concat()).ok().json();
    (served, receipt)
}

/// Without what has to differ: how far the logs reached, and how much there was to look through.
fn without_reach(output: &str) -> String {
    let strip = |line: &str| {
        let Ok(mut value) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
        let inner = value.get_mut("indelible_export").map(Value::take);
        let mut value = inner.unwrap_or(value);
        if let Some(object) = value.as_object_mut() {
            ["logs", "scanned", "micros"].iter().for_each(|name| drop(object.remove(*name)));
        }
        value.to_string()
    };
    // `search -o json` is one value over several lines.
    match serde_json::from_str::<Value>(output) {
        Ok(_) => strip(output),
        Err(_) => output.lines().map(strip).collect::<Vec<_>>().join("\n"),
    }
}

/// `5 of 17 events match · complete · …` → `5`, `complete`.
fn summary(stderr: &str) -> Option<(String, String)> {
    let line = stderr.lines().find(|line| line.contains(" events match · "))?;
    let (matched, rest) = line.split_once(" of ")?;
    Some((matched.to_owned(), rest.split(" · ").nth(1)?.to_owned()))
}

#[test]
fn a_server_answers_as_its_directory_does() {
    let (served, receipt) = served();
    let place = text(&receipt["seq"]);
    let id = "e-1";
    let questions: &[&[&str]] = &[
        &["search", OURS],
        &["search", OURS, "-o", "json"],
        &["search", OURS, "-o", "ndjson"],
        &["search", OURS, "-o", "csv", "--newest"],
        &["search", OURS, "--oldest", "-n", "2"],
        &["search", OURS, "-o", "ndjson", "-n", "3"],
        &["search", OURS, "--newest", "-n", "3"],
        &["search", OURS, "--count"],
        &["search", OURS, "--count", "-o", "json"],
        &["search", OURS, "--fields", "seq,time,actor,details.request.bucket,details.big"],
        &["search", OURS, "--fields", "actor.id,details.tags", "-o", "json"],
        &["search", "tenant:default outcome:failure", "--since", "2021-01-31"],
        &["search", OURS, "--log", "telemetry"],
        &["tail", OURS, "-n", "3"],
        &["tail", OURS, "-o", "csv"],
        &["show", &place],
        &["show", id],
        &["show", id, "-o", "json"],
        &["stats", OURS, "--by", "action,outcome"],
        &["stats", OURS, "--by", "details.tags", "-o", "json"],
        &["stats", OURS, "--by", "actor.id", "-n", "1", "-o", "csv"],
        &["stats", OURS, "--interval", "1h"],
        &["stats", OURS, "--interval", "1d", "--by", "action", "-n", "1", "-o", "json"],
        &["facets", "action,actor.id,details.tags", OURS],
        &["facets", "action,actor.id", OURS, "-n", "1"],
        &["facets", "action,actor.id", OURS, "-o", "csv"],
        &["facets", "action,actor.id", OURS, "-o", "json"],
        &["facets", "details.tags", OURS, "-o", "ndjson"],
        &["export", OURS],
        &["export", OURS, "-o", "csv"],
        &["export", OURS, "-o", "ocsf"],
        &["export", OURS, "--fields", "time,action,actor"],
    ];
    for question in questions {
        let here = served.home.run(question.iter()).ok();
        let there = served.ask(&served.admin, question).ok();
        assert_eq!(without_reach(&here.stdout), without_reach(&there.stdout), "{question:?}\n{}", there.stderr);
        assert_eq!(summary(&here.stderr), summary(&there.stderr), "{question:?}");
        let is_empty = question.contains(&"telemetry") || question[0] == "show";
        assert!(is_empty || there.stdout.lines().count() > 0, "{question:?}");
    }
    let overview = served.ask(&served.admin, &["stats", OURS, "-o", "json"]).ok().json();
    let here = served.home.run(["stats", OURS, "-o", "json"]).ok().json();
    assert_eq!((&overview["failure"], &overview["store"]), (&here["failure"], &here["store"]));
    assert_eq!(
        (&overview["heads"][1]["events"], &overview["heads"][1]["first"]),
        (&here["heads"][1]["events"], &here["heads"][1]["first"])
    );
    assert!(overview["journal_bytes"].is_null() && !here["journal_bytes"].is_null());
    let explained = served.ask(&served.admin, &["search", OURS, "--explain", "-o", "json"]).ok().json();
    assert_eq!(text(&explained["shown"]), "6");
    let pages = served.ask(&served.admin, &["search", OURS, "-n", "4"]).ok();
    let page = pages.stderr.lines().find_map(|line| line.split_once("--before ")).unwrap().1.to_owned();
    assert_eq!(served.ask(&served.admin, &["search", OURS, "--before", &page, "-o", "ndjson"]).ok().stdout.lines().count(), 2);
}

#[test]
fn a_file_of_events_comes_from_a_server_as_from_its_directory() {
    let (served, _) = served();
    served.ask(&served.admin, &["export", OURS, "-o", "parquet", "--out", "there.parquet"]).ok();
    let bytes = std::fs::read(served.home.path("there.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let told = String::from_utf8_lossy(&bytes);
    assert!(told.contains("\"count\":6,\"complete\":true"), "the trailer is in the footer");
    // Masked groups have no place in it.
    let masked = served.token(&["read"], &["default"], &["identity"]);
    served.ask(&masked, &["export", "-o", "parquet", "--out", "masked.parquet"]).exits(2);
    let lines = served.ask(&masked, &["export"]).ok();
    assert!(!lines.stdout.contains("zoë") && lines.stdout.contains("\"withheld\":[\"identity\"]"), "{}", lines.stdout);
    assert!(lines.stderr.contains("masked for this token: identity"));
    let shown = served.ask(&masked, &["show", "e-1", "-o", "json"]).ok().json();
    let whole = served.ask(&served.admin, &["show", "e-1", "-o", "json"]).ok().json();
    assert_eq!(shown["leaf"], whole["leaf"], "what is withheld is committed to");
    let commitments =
        |event: &Value| event["groups"].as_array().unwrap().iter().map(|group| text(&group["commitment"])).collect::<Vec<_>>();
    assert_eq!(commitments(&shown), commitments(&whole));
    assert!(shown["groups"].as_array().unwrap().iter().any(|group| group["form"] == "withheld"));
}

#[test]
fn what_is_sent_twice_is_recorded_once_and_what_is_wrong_is_named() {
    let served = Served::start();
    served.home.write("in.ndjson", LINES.join("\n"));
    let import = |arguments: &[&str]| served.ask(&served.admin, &[&["import", "-o", "json"], arguments].concat());
    let first = import(&["in.ndjson", "--once"]).ok().json();
    let again = import(&["in.ndjson", "--once"]).ok().json();
    let counts = |done: &Value| (text(&done["recorded"]), text(&done["duplicates"]));
    assert_eq!(counts(&first), ("5".to_owned(), "0".to_owned()), "{first}");
    assert_eq!(counts(&again), ("0".to_owned(), "5".to_owned()), "{again}");
    assert_eq!(served.count(&served.admin, OURS), 5);

    let long = format!(r#"{{"action":"file.read","user":"{}"}}"#, "u".repeat(300));
    served.home.write("mixed.ndjson", [LINES[0], "no JSON", r#"{"a":1,"a":2}"#, &long, LINES[1]].join("\n"));
    let there = import(&["mixed.ndjson"]).exits(4).json();
    let directory = Home::with_store();
    directory.write("mixed.ndjson", [LINES[0], "no JSON", r#"{"a":1,"a":2}"#, &long, LINES[1]].join("\n"));
    let here = directory.run(["import", "-o", "json", "mixed.ndjson"]).exits(4).json();
    for name in ["records", "recorded", "rejected", "rejections", "opaque", "long_texts", "formats", "complete", "bytes"] {
        assert_eq!(there[name], here[name], "{name}\n{there}");
    }
    // More than one batch, from several threads.
    let many: String = (0..2_500).map(|nth| format!("{{\"action\":\"file.read\",\"n\":{nth}}}\n")).collect();
    served.home.write("many/a.ndjson", &many);
    served.home.write("many/b.ndjson", &many);
    assert_eq!(text(&import(&["many", "--jobs", "2"]).ok().json()["recorded"]), "5000");

    let emit = ["emit", "user.login", "--key", "k-1", "--redact", "emails", "--detail", "mail=ann@example.org", "-o", "json"];
    let (one, two) = (served.ask(&served.admin, &emit).ok().json(), served.ask(&served.admin, &emit).ok().json());
    assert_eq!((&one["seq"], &two["idempotence"]), (&two["seq"], &"duplicate".into()));
    let event = served.ask(&served.admin, &["show", &text(&one["seq"]), "-o", "json"]).ok().json();
    assert_eq!(event["event"]["details"]["mail"], "[redacted]", "before it left");
    served.ask(&served.admin, &["emit", "user.login", "--pseudonymise", "actor.id"]).exits(2);
    let refused = served.ask(&served.admin, &["emit", "noverb", "-o", "json"]).exits(1).error();
    assert_eq!(refused["kind"], "rejected");
    assert!(refused["causes"][0].as_str().unwrap().contains("noun.verb"), "{refused}");
}

#[test]
fn who_may_not_is_told_so_and_what_makes_no_sense_is_refused() {
    let (served, _) = served();
    let acme = served.token(&["read"], &["acme"], &[]);
    let kind = |ended: Ended, code: i32| text(&ended.exits(code).error()["kind"]);
    assert_eq!(kind(served.ask("", &["search", "-o", "json"]), 1), "denied");
    assert_eq!(kind(served.ask("indl_0000", &["search", "-o", "json"]), 1), "denied");
    assert_eq!(kind(served.ask(&acme, &["emit", "user.login", "-o", "json"]), 1), "denied");
    assert_eq!(kind(served.ask(&acme, &["show", "e-1", "-o", "json"]), 1), "not_found", "another tenant's");
    assert_eq!(served.ask(&acme, &["search", "-o", "ndjson"]).ok().stdout, "");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = served.home.run(["--url", &format!("http://{gone}"), "search", "-o", "json"]);
    assert_eq!(kind(gone, 1), "unreachable");
    for case in [
        &["init"][..],
        &["seal"],
        &["backup", "b"],
        &["token", "list"],
        &["config", "validate"],
        &["verify", "--proof", "p", "--key", "k"],
        &["search", "--data", "d"],
        &["search", "nosuchfield:1"],
        &["search", "--log", "nolog"],
    ] {
        let ended = served.ask(&served.admin, case).exits(2);
        assert!(ended.stdout.is_empty() && ended.stderr.starts_with("error: "), "{case:?}: {}", ended.stderr);
    }
    for case in [
        &["search", "--token-file", "t"][..],
        &["search", "--insecure"],
        &["verify", "--events"],
        &["config", "reload"],
        &["--url", "ftp://x", "search"],
    ] {
        let ended = served.home.run(case.iter()).exits(2);
        assert!(ended.stderr.starts_with("error: "), "{case:?}: {}", ended.stderr);
    }
    // A token for another machine does not go there in the clear.
    let clear = served.home.command(["--url", "http://192.0.2.1", "search"]).env("INDELIBLE_TOKEN", "indl_x").output().unwrap();
    assert!(Ended::of(clear).exits(2).stderr.contains("not https"));
    served.home.write("token", format!("{}\n", served.admin));
    served.home.run(["--url", &served.url, "--token-file", "token", "search"]).ok();
    let reloaded = served.ask(&served.admin, &["config", "reload", "-o", "json"]).ok().json();
    assert!(reloaded["waiting"].as_array().unwrap().is_empty());
}

#[test]
fn hostile_text_of_a_server_is_as_harmless_as_that_of_a_directory() {
    const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nforged line\u{202e}gnp\u{9b}31m\u{7f}";
    let served = Served::start();
    served.ask(&served.admin, &["emit", "file.read", "--actor", HOSTILE, "--target", &format!("file:{HOSTILE}")]).ok();
    for case in
        [&["search", OURS][..], &["tail", OURS], &["show", "0"], &["stats", "--by", "actor.id"], &["facets", "actor.id,target"]]
    {
        let shown = served.ask(&served.admin, case).ok();
        let acts = |text: &str| text.chars().any(|one| (one.is_control() && one != '\n') || one == '\u{202e}');
        assert!(!acts(&shown.stdout) && !acts(&shown.stderr), "{case:?}: {:?}", shown.stdout);
    }
    let event = served.ask(&served.admin, &["search", OURS, "-o", "json"]).ok().json()["events"][0].clone();
    assert_eq!(text(&event["actor"]["id"]), HOSTILE, "programs get it exactly");
    let refused = served.ask(&served.admin, &["show", HOSTILE]).exits(1);
    assert!(!refused.stderr.contains('\u{1b}'), "{:?}", refused.stderr);
    // An error as JSON goes to the same terminal; parsed, it is the same text.
    let quoted = "acti\u{202e}on\u{9b}31m:x\u{7f}";
    for arguments in [["show", quoted, "-o", "json"], ["search", quoted, "-o", "json"]] {
        let refused = Ended::of(served.command(&served.admin, &arguments).output().unwrap());
        assert!(!refused.stderr.contains(['\u{202e}', '\u{9b}', '\u{7f}']), "{:?}", refused.stderr);
        let told: Value = serde_json::from_str(&refused.stderr).unwrap();
        let message = text(&told["error"]["message"]);
        assert!(message.contains('\u{202e}') && message.contains('\u{9b}'), "{message:?}");
    }
}

#[test]
fn a_live_tail_goes_on_when_the_server_comes_back() {
    let mut served = Served::start();
    let emit =
        |served: &Served, nth: u32| drop(served.ask(&served.admin, &["emit", "a.b", "--detail", &format!("n={nth}")]).ok());
    (0..3).for_each(|nth| emit(&served, nth));
    let admin = served.admin.clone();
    let mut child = served
        .command(&admin, &["tail", "--follow", "-n", "2", "-o", "ndjson", "action:a.b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, told) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = || {
        let line = told.recv_timeout(Duration::from_secs(20)).expect("an event");
        text(&serde_json::from_str::<Value>(&line).unwrap()["details"]["n"])
    };
    assert_eq!((next(), next()), ("1".to_owned(), "2".to_owned()), "first the newest that there are");
    emit(&served, 3);
    assert_eq!(next(), "3");
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    served.kill_and_start(&[&format!("listen.http={address}")]);
    (4..7).for_each(|nth| emit(&served, nth));
    assert_eq!(
        (next(), next(), next()),
        ("4".to_owned(), "5".to_owned(), "6".to_owned()),
        "nothing is missed, nothing comes twice"
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_proof_from_a_server_is_verified_without_it() {
    let (served, receipt) = served();
    let key = text(&served.ask(&served.admin, &["checkpoint", "-o", "json"]).ok().json()["verifier_key"]);
    let told = served.ask(&served.admin, &["prove", "e-1", "-o", "e-1.proof", "--format", "json"]).ok().json();
    assert_eq!((&told["seq"], &told["log"], text(&told["verifier_key"])), (&receipt["seq"], &receipt["log"], key.clone()));
    let home = served.stop();
    let proven = home.run(["verify", "--proof", "e-1.proof", "--key", &key, "-o", "json"]).ok().json();
    assert_eq!((&proven["leaf"], &proven["action"]), (&receipt["leaf"], &"invoice.approve".into()));
    home.run(["prove", "e-1", "-o", "here.proof"]).ok();
    let extra =
        |name: &str| std::fs::read_to_string(home.path(name)).unwrap().lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(extra("here.proof"), extra("e-1.proof"), "the same event, told in the same way");
}

/// Stands between the command and a server, and changes what the server says.
struct Between {
    url: String,
    /// The server behind.
    behind: Arc<Mutex<String>>,
    /// Answers under this path get this byte changed.
    change: Arc<Mutex<Option<(String, usize)>>>,
}

impl Between {
    fn of(served: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (behind, change) = (Arc::new(Mutex::new(served.url.clone())), Arc::new(Mutex::new(None)));
        let between = Self { url, behind: Arc::clone(&behind), change: Arc::clone(&change) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut path, mut token) = (String::new(), String::new());
                for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                    if line.is_empty() {
                        break;
                    }
                    if let Some(rest) = line.strip_prefix("GET ") {
                        rest.split(' ').next().unwrap().clone_into(&mut path);
                    }
                    if let Some((name, value)) = line.split_once(": ")
                        && name.eq_ignore_ascii_case("authorization")
                    {
                        value.clone_into(&mut token);
                    }
                }
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let place = format!("{}{path}", behind.lock().unwrap());
                let mut response = agent.get(place).header("authorization", token).call().unwrap();
                let mut body = Vec::new();
                response.body_mut().as_reader().read_to_end(&mut body).unwrap();
                if let Some((wanted, at)) = &*change.lock().unwrap()
                    && path.starts_with(wanted)
                {
                    body[*at] ^= 1;
                }
                let kind = response.headers().get("content-type").map_or("text/plain", |kind| kind.to_str().unwrap());
                let status = response.status().as_u16();
                let head = format!(
                    "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        between
    }

    fn verify(&self, home: &Home, token: &str, arguments: &[&str]) -> Ended {
        let arguments = [&["--url", &self.url, "verify", "-o", "json"], arguments].concat();
        Ended::of(home.command(arguments).env("INDELIBLE_TOKEN", token).output().unwrap())
    }

    fn change(&self, path: &str, at: usize) {
        *self.change.lock().unwrap() = Some((path.to_owned(), at));
    }

    fn change_nothing(&self) {
        *self.change.lock().unwrap() = None;
    }
}

#[test]
fn a_server_is_verified_without_being_believed() {
    let served = Served::start();
    let lines: String = (0..700).map(|nth| format!("{{\"action\":\"a.b\",\"details\":{nth}}}\n")).collect();
    served.post_lines(&served.admin, &[], &lines).is(201);
    let auditor = Home::new();
    let between = Between::of(&served);
    let admin = served.admin.as_str();
    let audit = served.token(&["audit"], &[], &[]);

    let first = between.verify(&auditor, &audit, &[]).ok().json();
    assert_eq!((&first["ok"], &first["anchored"]), (&true.into(), &false.into()), "never seen before: {first}");
    let second = between.verify(&auditor, &audit, &[]).ok().json();
    assert_eq!((&second["ok"], &second["anchored"]), (&true.into(), &true.into()), "{second}");
    assert_eq!(text(&second["logs"][1]["leaves"]), "0");
    served.post_lines(admin, &[], &lines).is(201);
    let whole = between.verify(&auditor, admin, &["--events"]).ok().json();
    let main = &whole["logs"][1];
    assert_eq!(
        (&main["leaves"], &main["events"], text(&main["unseen"])),
        (&main["size"], &main["size"], "0".to_owned()),
        "{whole}"
    );
    assert!(text(&main["size"]).parse::<u64>().unwrap() >= 1_400);
    let commitments = between.verify(&auditor, &audit, &["--events"]).ok().json();
    let main = &commitments["logs"][1];
    assert_eq!((&main["entries"], text(&main["events"])), (&main["size"], "0".to_owned()), "{commitments}");
    let shown = served.ask(&audit, &["verify"]).ok().stdout;
    assert!(shown.contains("not verified:") && shown.contains("VERIFIED"), "{shown}");
    // A tenant's own events, and leaves of the others'.
    let acme = served.token(&["audit", "read"], &["acme"], &["content"]);
    let acme_emits = served.token(&["emit"], &["acme"], &[]);
    served.ask(&acme_emits, &["emit", "user.login", "--actor", "alice"]).ok();
    let own = between.verify(&auditor, &acme, &["--events"]).ok().json();
    assert_eq!(text(&own["logs"][1]["events"]), "1", "{own}");
    assert_eq!(text(&own["logs"][1]["masked"]), "0");

    for (path, at, named) in [
        ("/log/1/tile/0/001", 40, "tile/0/001"),
        ("/log/1/tile/1/000", 0, "tile/1/000"),
        ("/log/1/tile/1/000.p/", 64, "tile/1/000.p/"),
        ("/log/1/events/2", 300, "event"),
        ("/log/1/checkpoint", 4, "checkpoint-signature"),
    ] {
        between.change(path, at);
        let failed = between.verify(&auditor, admin, &["--events"]);
        // A frame that cannot be read any more is no answer at all.
        if path.starts_with("/log/1/events") && failed.code == 1 {
            continue;
        }
        let failed = failed.exits(3).json();
        let told = failed["findings"].to_string();
        assert!(told.contains(named), "{path}: {told}");
    }
    between.change("/log/1/tile/0/", 0);
    between.verify(&auditor, &audit, &["--events"]).exits(3);
    between.change_nothing();
    between.verify(&auditor, &audit, &[]).ok();

    // The head kept elsewhere; another's; and one of a longer log.
    let kept = served.ask(&audit, &["checkpoint"]).ok().stdout;
    auditor.write("kept", &kept);
    let against = between.verify(&auditor, &audit, &["--no-state", "--against", "kept"]).ok().json();
    assert_eq!(against["anchored"], true);
    let other = Served::start();
    let foreign = other.ask(&other.admin, &["checkpoint", "-o", "json"]).ok().json();
    auditor.write("foreign", text(&foreign["note"]));
    let told = between.verify(&auditor, &audit, &["--against", "foreign"]).exits(3).json();
    assert_eq!(told["findings"][0]["code"], "checkpoint-origin");
    let key = text(&foreign["verifier_key"]);
    let told = between.verify(&auditor, &audit, &["--no-state", "--key", &key]).exits(3).json();
    assert_eq!(told["findings"][0]["code"], "key");

    // Another store answers under the address.
    other.url.clone_into(&mut between.behind.lock().unwrap());
    let told = between.verify(&auditor, &other.admin, &[]).exits(3).json();
    assert_eq!(told["findings"][0]["code"], "key", "{told}");
}

#[test]
fn a_log_that_was_cut_off_is_told_from_the_one_that_was_seen() {
    let served = Served::start();
    let emit = |served: &Served, token: &str| drop(served.ask(token, &["emit", "a.b"]).ok());
    (0..5).for_each(|_| emit(&served, &served.admin));
    let admin = served.admin.clone();
    let auditor = Home::new();
    let between = Between::of(&served);
    let home = served.stop();
    // A copy of the store as it is now, to come back to.
    let copy = Home::new();
    let copied = std::process::Command::new("cp").arg("-a").arg(home.data()).arg(copy.data()).status().unwrap();
    assert!(copied.success());
    let grown = Served::start_with(home, &[]);
    (0..5).for_each(|_| emit(&grown, &admin));
    grown.url.clone_into(&mut between.behind.lock().unwrap());
    between.verify(&auditor, &admin, &[]).ok();
    drop(grown);
    let back = Served::start_with(copy, &[]);
    back.url.clone_into(&mut between.behind.lock().unwrap());
    let told = between.verify(&auditor, &admin, &[]).exits(3).json();
    let codes = told["findings"].to_string();
    assert!(codes.contains("rolled-back") || codes.contains("rewritten"), "{codes}");
}

//! What cannot be understood is refused with code 2, what cannot be done with code 1, and both say what to do next.

use crate::Home;

#[test]
fn command_lines_that_mean_nothing_exit_with_2() {
    let home = Home::with_store();
    let cases: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["search", "--bogus"],
        &["search", "nosuchfield:1"],
        &["search", "(action:a"],
        &["search", "--since", "whenever"],
        &["search", "--log", "nolog"],
        &["search", "--before", "yesterday"],
        &["search", "-o", "xml"],
        &["stats", "--by", "nosuchfield"],
        &["stats", "--by", "action,actor,action"],
        &["stats", "--interval", "0s"],
        &["facets"],
        &["export", "-o", "xml"],
        &["export", "nosuchfield:1", "--out", "f"],
        &["export", "-o", "ocsf", "--fields", "action"],
        &["export", "--overwrite"],
        &["export", "--out", "f", "--save-every", "lots"],
        &["facets", "action,nosuchfield"],
        &["emit", "a.b", "--outcome", "sideways"],
        &["emit", "a.b", "--detail", "novalue"],
        &["emit", "a.b", "--detail", "k:={"],
        &["emit", "a.b", "--details-json", "[1,"],
        &["emit", "a.b", "--target", "noid"],
        &["emit", "a.b", "--time", "soon"],
        &["emit", "a.b", "--trace", "zz"],
        &["emit", "a.b", "--pseudonymise", "nowhere"],
        &["import"],
        &["import", "x", "--format", "syslog"],
        &["import", "x", "--max-decompressed", "lots"],
        &["tail", "--follow", "-o", "json"],
        &["verify", "--proof", "p"],
        &["verify", "--key", "a+b+c"],
        &["completions", "cmd.exe"],
        &["bench", "--seconds", "0"],
    ];
    for case in cases {
        let ended = home.run(case.iter()).exits(2);
        assert!(ended.stdout.is_empty(), "{case:?} wrote to stdout: {}", ended.stdout);
        assert!(
            ended.stderr.contains("hint") || ended.stderr.contains("--help") || ended.stderr.contains("Usage:"),
            "{case:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn what_cannot_be_done_exits_with_1_and_names_the_next_step() {
    let home = Home::new();
    home.write("full/other.txt", "x");
    let cases: &[(&[&str], &str)] = &[
        (&["search"], "indelible init"),
        (&["emit", "a.b"], "indelible init"),
        (&["import", "missing"], "check the path"),
        (&["verify", "--against", "missing"], "check the path"),
        (&["init", "--data", "full"], "empty directory"),
        (&["init", "--origin-prefix", "with space"], "without spaces"),
    ];
    for (case, next) in cases {
        let ended = home.run(case.iter()).exits(1);
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("hint: "), "{case:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(next), "{case:?}: {}", ended.stderr);
    }
    home.run(["init"]).ok();
    home.run(["init"]).exits(1);
    for case in [&["show", "7"][..], &["show", "no-such-id"], &["prove", "7"], &["emit", "noverb"]] {
        let ended = home.run(case).exits(1);
        assert!(ended.stderr.contains("hint: "), "{case:?}: {}", ended.stderr);
    }
}

#[test]
fn with_json_the_errors_are_json_too() {
    let home = Home::new();
    let missing = home.run(["search", "-o", "json"]).exits(1).error();
    assert_eq!((&missing["kind"], missing["exit"].to_string()), (&"not_found".into(), "1".to_owned()));
    assert!(missing["hint"].as_str().unwrap().contains("indelible init"));
    assert_eq!(home.run(["search", "--bogus", "-o", "json"]).exits(2).error()["kind"], "usage");
    home.run(["init"]).ok();
    let refused = home.run(["emit", "noverb", "-ojson"]).exits(1).error();
    assert_eq!(refused["kind"], "rejected");
    assert!(refused["causes"][0].as_str().unwrap().contains("noun.verb"));
    assert_eq!(home.run(["search", "x:", "--output=json"]).exits(2).error()["kind"], "query");
}

#[test]
fn help_is_there_for_every_verb_and_goes_to_stdout() {
    let home = Home::new();
    let help = home.run(["--help"]).ok().stdout;
    assert!(help.contains("Exit codes:"), "{help}");
    for verb in [
        "init",
        "emit",
        "import",
        "search",
        "tail",
        "show",
        "stats",
        "facets",
        "export",
        "prove",
        "verify",
        "checkpoint",
        "doctor",
        "bench",
        "demo",
        "completions",
        "man",
    ] {
        assert!(help.contains(verb), "{verb}");
        let short = home.run([verb, "-h"]).ok().stdout;
        let long = home.run([verb, "--help"]).ok().stdout;
        assert!(short.contains("Usage:") && long.len() > short.len(), "{verb}");
    }
    assert!(home.run(["search", "--help"]).ok().stdout.contains("origin.user_agent"));
    assert!(home.run(["completions", "bash"]).ok().stdout.contains("_indelible"));
    assert!(home.run(["man"]).ok().stdout.contains(".TH indelible 1"));
    home.run(["man", "pages"]).ok();
    assert!(home.path("pages/indelible-search.1").exists());
}

#[test]
fn the_data_directory_is_found_as_documented() {
    let home = Home::new();
    let mut command = home.command(["init", "-o", "json"]);
    command.env_remove("INDELIBLE_DATA").env_remove("INDELIBLE_STATE");
    assert!(command.status().unwrap().success());
    assert!(home.path(".local/share/indelible/store.json").exists());
    assert_eq!(std::fs::read_dir(home.path(".local/state/indelible")).unwrap().count(), 1);
    let mut command = home.command(["init"]);
    command.env_remove("INDELIBLE_DATA").env("XDG_DATA_HOME", home.path("xdg"));
    assert!(command.status().unwrap().success());
    assert!(home.path("xdg/indelible/store.json").exists());
    home.run(["init", "--data", "here"]).ok();
    assert!(home.path("here/store.json").exists() && !home.data().exists());
}

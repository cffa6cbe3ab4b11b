//! What is wrong in a file is told by line, with a suggestion; the nearest word wins; a reload takes up what it may.

use std::path::Path;

use super::*;

fn wrong(text: &str) -> Vec<String> {
    Config::from_toml(Path::new("a.toml"), text).unwrap_err().problems().to_vec()
}

#[test]
fn the_file_that_init_writes_is_the_defaults() {
    let template = template();
    let config = Config::from_toml(Path::new("a.toml"), &template).unwrap();
    assert_eq!(config, Config::default());
    // Without the comment signs, too, but for where it comes from.
    let text: String = template
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line)))
        .collect();
    let config = Config::from_toml(Path::new("a.toml"), &text).unwrap();
    for (key, setting) in config.settings() {
        assert_eq!((key.name, setting.text.as_str()), (key.name, key.default));
        assert!(matches!(setting.origin, Origin::File(..)), "{}", key.name);
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_line() {
    let problems = wrong("[listen]\nhttp = 8410\n\n[limits]\nbody_tme = \"3s\"\nbody = \"3 apples\"\n[lisen]\nhttp = \"x\"\n");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(
        problems[0].starts_with("a.toml:2: listen.http is text")
            || problems.iter().any(|p| p.starts_with("a.toml:2: listen.http is text"))
    );
    assert!(
        problems.iter().any(|p| p == "a.toml:5: there is no key limits.body_tme; did you mean limits.body_time?"),
        "{problems:?}"
    );
    assert!(problems.iter().any(|p| p.starts_with("a.toml:6: limits.body is bytes")), "{problems:?}");
    assert!(
        problems.iter().any(|p| p.starts_with("a.toml:8: there is no key lisen.http; did you mean listen.http?")),
        "{problems:?}"
    );
    assert!(wrong("[tls]\ncertificate = \"x.pem\"\n")[0].contains("go together"));
    assert!(wrong("= 3")[0].starts_with("a.toml:1: "));
    assert!(wrong("[store]\ntenant = \"../etc\"\n")[0].contains("no name of a tenant"));
}

#[test]
fn the_nearest_word_wins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    std::fs::write(&file, "[listen]\nhttp = \"127.0.0.1:1\"\n[limits]\nbatch_events = 7\nsearches = 3\n").unwrap();
    let sources = Sources { file: Some(file), flags: vec![("limits.searches".into(), "5".into())] };
    let variable = |name: &str| (name == "INDELIBLE_LISTEN_HTTP").then(|| "127.0.0.1:2".to_owned());
    let config = Config::load(&sources, &variable).unwrap();
    assert_eq!(
        (config.text("listen.http"), config.number("limits.batch_events"), config.size("limits.searches")),
        ("127.0.0.1:2", 7, 5)
    );
    let origins: Vec<String> =
        config.settings().filter(|(_, s)| s.origin != Origin::Default).map(|(_, s)| s.origin.to_string()).collect();
    assert!(
        origins.contains(&"$INDELIBLE_LISTEN_HTTP".to_owned()) && origins.contains(&"command line".to_owned()),
        "{origins:?}"
    );
    assert!(origins.iter().any(|origin| origin.ends_with("a.toml:4")), "{origins:?}");
}

#[test]
fn a_reload_changes_what_it_may_and_names_the_rest() {
    let running = Config::default();
    let text = "[limits]\nbatch_events = 7\nsearches = 3\n";
    let (config, waiting) = running.reloaded(&Config::from_toml(Path::new("a.toml"), text).unwrap());
    assert_eq!((config.number("limits.batch_events"), config.number("limits.searches")), (7, 4));
    assert_eq!(waiting, ["limits.searches"]);
}

#[test]
fn the_schema_knows_every_key() {
    let schema = schema();
    for key in KEYS {
        let (table, name) = key.parts();
        assert!(schema["properties"][table]["properties"][name]["description"].is_string(), "{}", key.name);
    }
}

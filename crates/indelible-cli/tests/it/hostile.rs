//! Text from the log cannot act on whoever reads it, and comes back exactly where programs read it.

use crate::{Home, text};

const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nforged line\u{202e}gnp\u{9b}31m\u{200b}\u{7f}";

fn is_harmless(text: &str) -> bool {
    !text.chars().any(|character| {
        (character.is_control() && character != '\n')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}

fn home() -> Home {
    let home = Home::with_store();
    let detail = format!("note={HOSTILE}");
    let target = format!("file:{HOSTILE}");
    home.run(["emit", "file.read", "--actor", HOSTILE, "--user-agent", HOSTILE, "--target", &target, "--detail", &detail]).ok();
    home
}

#[test]
fn tables_and_errors_show_escapes_instead_of_obeying_them() {
    let home = home();
    for case in [
        &["search"][..],
        &["search", "--fields", "actor,user_agent,target,details.note"],
        &["tail"],
        &["show", "0"],
        &["stats", "--by", "actor,details.note", "--interval", "1h"],
        &["facets", "actor,target"],
        &["verify"],
    ] {
        let shown = home.run(case).ok();
        assert!(is_harmless(&shown.stdout) && is_harmless(&shown.stderr), "{case:?}: {:?}", shown.stdout);
    }
    assert!(home.run(["search"]).ok().stdout.contains("\\u{1b}[2J"));
    assert_eq!(home.run(["search"]).ok().stdout.lines().count(), 2, "no line was forged");

    let refused = home.run(["show", HOSTILE]).exits(1);
    assert!(is_harmless(&refused.stderr) && refused.stderr.contains("\\u{1b}"), "{:?}", refused.stderr);
    let refused = home.run(["import", HOSTILE]).exits(1);
    assert!(is_harmless(&refused.stderr), "{:?}", refused.stderr);
}

#[test]
fn programs_get_the_text_exactly() {
    let home = home();
    let event = home.run(["search", "-o", "json"]).ok().json()["events"][0].clone();
    assert_eq!(text(&event["actor"]["id"]), HOSTILE);
    assert_eq!(text(&event["details"]["note"]), HOSTILE);
    assert_eq!(home.run(["search", "-o", "ndjson"]).ok().stdout.lines().count(), 1);
}

#[test]
fn spreadsheets_get_no_formulas() {
    let home = Home::with_store();
    home.run(["emit", "file.read", "--actor", "=HYPERLINK(\"http://evil\",\"x\")"]).ok();
    let csv = home.run(["search", "-o", "csv", "--fields", "actor"]).ok().stdout;
    assert_eq!(csv, "actor.id\r\n\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\"\r\n".replace("actor.id", "actor"));
}

#[test]
fn numbers_come_back_as_they_were_written() {
    let home = Home::with_store();
    let lexemes = ["9007199254740993", "1.10", "1e400", "-0", "0.1e-7"];
    let details = format!("{{\"n\":[{}]}}", lexemes.join(","));
    home.run(["emit", "file.read", "--details-json", &details]).ok();
    let shown = home.run(["search", "-o", "ndjson"]).ok().stdout;
    assert!(shown.contains(&format!("\"details\":{details}")), "{shown}");
    assert_eq!(text(&home.run(["search", "--count", "details.n:9007199254740993", "-o", "json"]).ok().json()["matched"]), "1");
    assert_eq!(text(&home.run(["search", "--count", "details.n:9007199254740992", "-o", "json"]).ok().json()["matched"]), "0");
}

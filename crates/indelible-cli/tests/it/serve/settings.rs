//! What the commands say of the server's configuration and of its tenants.

use serde_json::Value;

use crate::Home;

#[test]
fn config_show_says_what_is_in_force_and_where_it_comes_from() {
    let home = Home::new();
    home.write("server.toml", "[limits]\nsearches = 3\nbatch_events = 7\n\n[listen]\nhttp = \"127.0.0.1:1\"\n");
    let show = |more: &[&str]| {
        let words = [&["config", "show", "--config", "server.toml", "--set", "limits.searches=5"], more].concat();
        crate::Ended::of(home.command(words).env("INDELIBLE_LISTEN_HTTP", "127.0.0.1:2").output().unwrap()).ok()
    };
    let expected = [
        ("limits.searches", "5", "command line".to_owned()),
        ("limits.batch_events", "7", format!("{}:3", home.path("server.toml").display())),
        ("listen.http", "127.0.0.1:2", "$INDELIBLE_LISTEN_HTTP".to_owned()),
        ("limits.tails", "", "default".to_owned()),
    ];
    let (json, table, plain) = (show(&["-o", "json"]).json(), show(&["--origin"]).stdout, show(&[]).stdout);
    let settings = json["settings"].as_array().unwrap();
    let line = |text: &str, key: &str| -> String {
        text.lines()
            .find(|line| line.split_whitespace().next() == Some(key))
            .unwrap_or_else(|| panic!("{key} is not in\n{text}"))
            .to_owned()
    };
    for (key, value, origin) in &expected {
        let setting = settings.iter().find(|setting| setting["key"] == *key).unwrap();
        assert_eq!(setting["origin"].as_str(), Some(&**origin), "{setting}");
        let told = setting["value"].as_str().unwrap();
        assert!(value.is_empty() || told == *value, "{setting}");
        assert!(line(&table, key).contains(told) && line(&table, key).contains(&**origin), "{table}");
        assert!(line(&plain, key).contains(told) && !line(&plain, key).contains(&**origin), "{plain}");
    }
}

#[test]
fn config_schema_knows_every_key_that_config_init_writes_and_no_other() {
    let home = Home::new();
    let schema = home.run(["config", "schema"]).ok().json();
    assert_eq!(schema["additionalProperties"], false);
    let mut known = Vec::new();
    for (table, keys) in schema["properties"].as_object().unwrap() {
        assert_eq!(keys["additionalProperties"], false, "{table}");
        for (key, about) in keys["properties"].as_object().unwrap() {
            assert!(about["description"].is_string() && about.get("default").is_some(), "{table}.{key}: {about}");
            known.push(format!("{table}.{key}"));
        }
    }
    let mut written = Vec::new();
    let mut table = String::new();
    for line in home.run(["config", "init"]).ok().stdout.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut table);
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            written.push(format!("{table}.{key}"));
        }
    }
    known.sort();
    written.sort();
    assert!(known.len() > 20, "{known:?}");
    assert_eq!(known, written);
    assert_eq!(schema["properties"]["limits"]["properties"]["batch_events"]["type"], "integer");
}

#[test]
fn tenant_list_shows_those_that_were_made() {
    let home = Home::with_store();
    let names = |listed: &Value| -> Vec<String> {
        let tenants = listed["tenants"].as_array().unwrap().iter();
        tenants.map(|tenant| tenant["name"].as_str().unwrap().to_owned()).filter(|name| name != "default").collect()
    };
    let list = || home.run(["tenant", "list", "-o", "json"]).ok().json();
    assert!(names(&list()).is_empty());
    for tenant in ["umbrella", "acme"] {
        home.run(["tenant", "create", tenant]).ok();
    }
    let listed = list();
    assert_eq!(names(&listed), ["acme", "umbrella"]);
    let made = listed["tenants"][0]["created"].as_str().unwrap();
    assert!(made.starts_with("20") && made.ends_with('Z'), "{made}");
    let table = home.run(["tenant", "list"]).ok().stdout;
    assert!(table.contains("acme") && table.contains("umbrella") && table.contains(made), "{table}");
}

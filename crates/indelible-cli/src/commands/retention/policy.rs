//! The retention policy as a TOML file: read with errors that name the place, written so that it can be read again.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use indelible::{Class, Keep, Minimum, Retention, Rule};
use toml::{Table, Value};

use crate::failure::{Failure, Result};
use crate::output::json::Object;

/// So that nobody's year comes up short.
const DAYS_OF_YEAR: u32 = 366;

pub(super) fn read(path: &Path) -> Result<Retention> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|found| text = found)
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    parse(&text).map_err(|what| {
        Failure::usage(format!("{}: {what}", path.display())).hint("`indelible retention set --help` describes the file")
    })
}

fn parse(text: &str) -> Result<Retention, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    known(&table, "the file", &["keep", "minimum", "rule"])?;
    let mut policy = Retention::default();
    for (log, value) in section(&table, "keep")? {
        policy.keep.push(Keep { log: log.clone(), days: days(value, &format!("keep.{log}"))? });
    }
    for (framework, value) in section(&table, "minimum")? {
        let days = days(value, &format!("minimum.{framework}"))?;
        policy.minima.retain(|minimum| !minimum.framework.eq_ignore_ascii_case(framework));
        if days > 0 {
            policy.minima.push(Minimum { framework: framework.clone(), days });
        }
    }
    policy.minima.sort_by(|one, two| one.framework.cmp(&two.framework));
    let rules = match table.get("rule") {
        None => &Vec::new(),
        Some(Value::Array(rules)) => rules,
        Some(_) => return Err("rules are written as [[rule]]".into()),
    };
    for (nth, rule) in rules.iter().enumerate() {
        let place = format!("rule {}", nth + 1);
        let rule = rule.as_table().ok_or_else(|| format!("{place} is no table: write [[rule]]"))?;
        known(rule, &place, &["class", "framework", "log", "tenant"])?;
        let text = |key: &str| match rule.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{place}: `{key}` is not a text")),
        };
        let class = text("class")?.map(|word| word.parse::<Class>().map_err(|error| format!("{place}: `{word}` is {error}")));
        let log = text("log")?.ok_or_else(|| format!("{place} names no `log`"))?;
        policy.rules.push(Rule { tenant: text("tenant")?, class: class.transpose()?, framework: text("framework")?, log });
    }
    policy.check().map_err(|error| error.to_string())?;
    Ok(policy)
}

fn known(table: &Table, place: &str, keys: &[&str]) -> Result<(), String> {
    let stranger = table.keys().find(|key| !keys.contains(&key.as_str()));
    stranger.map_or(Ok(()), |key| Err(format!("{place} has `{key}`; it may have {}", keys.join(", "))))
}

fn section<'t>(table: &'t Table, key: &str) -> Result<impl Iterator<Item = (&'t String, &'t Value)>, String> {
    match table.get(key) {
        None => Ok(None.into_iter().flatten()),
        Some(Value::Table(section)) => Ok(Some(section).into_iter().flatten()),
        Some(_) => Err(format!("`{key}` is a section: write [{key}]")),
    }
}

fn days(value: &Value, place: &str) -> Result<u32, String> {
    let wrong = || format!("{place} is to be a time such as \"90d\", \"26w\" or \"7y\"");
    let text = value.as_str().ok_or_else(wrong)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "d" => 1,
        "w" => 7,
        "y" => DAYS_OF_YEAR,
        _ => return Err(wrong()),
    };
    digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// A file that [`read`] reads as this policy.
pub(super) fn to_toml(policy: &Retention) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut out = String::from("[keep]\n");
    for keep in &policy.keep {
        let _ = writeln!(out, "{} = \"{}d\"", keep.log, keep.days);
    }
    out.push_str("\n[minimum]\n");
    let defaults = Retention::default().minima.into_iter();
    let dropped = defaults.filter(|one| policy.minima.iter().all(|minimum| minimum.framework != one.framework));
    for minimum in policy.minima.iter().cloned().chain(dropped.map(|minimum| Minimum { days: 0, ..minimum })) {
        let _ = writeln!(out, "{} = \"{}d\"", quoted(&minimum.framework), minimum.days);
    }
    for rule in &policy.rules {
        out.push_str("\n[[rule]]\n");
        let class = rule.class.map(|class| class.name().to_owned());
        for (key, value) in [("tenant", &rule.tenant), ("class", &class), ("framework", &rule.framework)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {}", quoted(value));
            }
        }
        let _ = writeln!(out, "log = {}", quoted(&rule.log));
    }
    out
}

pub(super) fn to_json(entry: u64, policy: &Retention) -> Vec<u8> {
    let mut object = Object::new();
    object.number("entry", entry);
    object.objects("keep", &policy.keep, |object, keep| {
        object.text("log", &keep.log).number("days", keep.days);
    });
    object.objects("minima", &policy.minima, |object, minimum| {
        object.text("framework", &minimum.framework).number("days", minimum.days);
    });
    object.objects("rules", &policy.rules, |object, rule| {
        object.optional_text("tenant", rule.tenant.as_deref()).optional_text("class", rule.class.map(Class::name));
        object.optional_text("framework", rule.framework.as_deref()).text("log", &rule.log);
    });
    object.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [keep]
        main = "7y"
        acme = "26w"

        [minimum]
        hipaa = "0d"
        "iso 27001" = "90d"

        [[rule]]
        tenant = "acme \"one\""
        log = "acme"

        [[rule]]
        class = "telemetry"
        framework = "gdpr"
        log = "main"
    "#;

    #[test]
    fn a_file_is_read_and_written_again() {
        let policy = parse(FILE).unwrap();
        assert_eq!(policy.keep.iter().map(|keep| keep.days).collect::<Vec<_>>(), [182, 2_562]);
        assert_eq!(policy.minima.iter().map(|one| one.framework.as_str()).collect::<Vec<_>>(), ["iso 27001", "pci-dss", "sox"]);
        assert_eq!(policy.rules[0].tenant.as_deref(), Some("acme \"one\""));
        assert_eq!(parse(&to_toml(&policy)).unwrap(), policy);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let why = |text: &str| parse(text).unwrap_err();
        assert!(why("kep = 1").contains("has `kep`; it may have keep"));
        assert!(why("[keep]\nmain = 7").contains("keep.main is to be a time"));
        assert!(why("[keep]\nmain = \"7 years\"").contains("keep.main"));
        assert!(why("[keep]\nmain = \"99999999999y\"").contains("keep.main"));
        assert!(why("[[rule]]\nlog = \"main\"\ntenat = \"x\"").contains("rule 1 has `tenat`"));
        assert!(why("[[rule]]\ntenant = \"x\"").contains("names no `log`"));
        assert!(why("[[rule]]\nlog = \"main\"\nclass = \"urgent\"").contains("critical, normal, telemetry"));
        assert!(why("[[rule]]\nlog = \"short\"").contains("does not say how long"));
        assert!(why("[keep\n").contains("line 1"), "{}", why("[keep\n"));
    }
}

//! The retention policy: rules that lead an event to its log, and how long each log keeps what it has.

use indelible_format::Class;
use indelible_format::json::Node;

use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Identity, LOG_CONTROL, LOG_MAIN, LOG_TELEMETRY};
use crate::json_object::Object;

/// Logs of a store at most.
const LOGS_MAX: usize = 64;
const RULES_MAX: usize = 4_096;

/// How long events are kept. Nothing expires without one, and nothing expires by itself: `Store::expire` does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// How long a log keeps its events. A log that is not named here keeps them for good; one that is not there yet is made.
    pub keep: Vec<Keep>,
    /// Where an event goes: the first rule that fits. If none does: telemetry to `telemetry`, everything else to `main`.
    pub rules: Vec<Rule>,
    /// What a framework asks at least. An event that is marked with it goes to a log that keeps it as long, whatever the rules say; one that is in
    /// a log that does not, because it was there before, stays by itself until its time is over.
    pub minima: Vec<Minimum>,
}

/// How long one log keeps its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Name of the log.
    pub log: String,
    /// Days of 24 hours since an event was received.
    pub days: u32,
}

/// Which events go to a log. What is `None` fits every event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this class.
    pub class: Option<Class>,
    /// Marked with this framework, in any case.
    pub framework: Option<String>,
    /// Name of the log that they go to.
    pub log: String,
}

/// What a framework asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minimum {
    /// As events are marked with it, in any case.
    pub framework: String,
    /// Days that its events are kept at least.
    pub days: u32,
}

impl Default for Retention {
    /// No log forgets anything. SOX: seven years (17 CFR 210.2-06); HIPAA: six (45 CFR 164.316(b)(2)(i)); PCI DSS: one (requirement 10.5.1).
    fn default() -> Self {
        let minimum = |framework: &str, days| Minimum { framework: framework.into(), days };
        let minima = vec![minimum("hipaa", 2_192), minimum("pci-dss", 366), minimum("sox", 2_557)];
        Self { keep: Vec::new(), rules: Vec::new(), minima }
    }
}

impl Retention {
    /// Sets how long a log keeps its events.
    #[must_use]
    pub fn keep(mut self, log: impl Into<String>, days: u32) -> Self {
        self.keep.push(Keep { log: log.into(), days });
        self
    }

    /// Leads a tenant's events to a log.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>, log: impl Into<String>) -> Self {
        self.rules.push(Rule { tenant: Some(tenant.into()), class: None, framework: None, log: log.into() });
        self
    }

    /// Days that a log keeps its events; `None`: for good.
    #[must_use]
    pub fn days(&self, log: &str) -> Option<u32> {
        self.keep.iter().find(|keep| keep.log == log).map(|keep| keep.days)
    }

    /// Whether this can be the policy of a store.
    ///
    /// # Errors
    /// `Rejected`, with what is wrong.
    pub fn check(&self) -> Result<()> {
        let rejected = |what: String| Error::new(ErrorKind::Rejected, format!("the retention policy {what}"));
        for (nth, keep) in self.keep.iter().enumerate() {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if keep.log.is_empty() || keep.log.len() > 32 || !keep.log.bytes().all(fits) || keep.log.parse::<u64>().is_ok() {
                return Err(rejected(format!("names a log `{}`", keep.log.escape_debug()))
                    .with_hint("up to 32 of a-z, 0-9 and -, and not a number"));
            }
            if keep.log == "control" {
                return Err(rejected("gives the control log a time to keep; it keeps everything for good".into()));
            }
            if self.keep.iter().take(nth).any(|other| other.log == keep.log) {
                return Err(rejected(format!("says twice how long `{}` keeps its events", keep.log)));
            }
            if keep.days == 0 {
                return Err(rejected(format!("lets `{}` keep its events for no time", keep.log)));
            }
        }
        if self.keep.len() > LOGS_MAX || self.rules.len() > RULES_MAX {
            return Err(rejected(format!("has more than {LOGS_MAX} logs or {RULES_MAX} rules")));
        }
        let known = |log: &str| log == "main" || log == "telemetry" || self.keep.iter().any(|keep| keep.log == log);
        if let Some(rule) = self.rules.iter().find(|rule| !known(&rule.log)) {
            return Err(rejected(format!("leads events to `{}`, of which it does not say how long it keeps them", rule.log)));
        }
        let longest = ["main", "telemetry"].iter().map(|log| self.days(log)).chain(self.keep.iter().map(|keep| Some(keep.days)));
        let longest = longest.map(|days| days.unwrap_or(u32::MAX)).max().unwrap_or(u32::MAX);
        if let Some(minimum) = self.minima.iter().find(|minimum| minimum.days > longest) {
            return Err(rejected(format!(
                "has no log that keeps events for the {} days that {} asks",
                minimum.days, minimum.framework
            ))
            .with_hint("let a log keep them as long, or change the minimum of that framework"));
        }
        Ok(())
    }

    /// Appends the members that describe it to a JSON object, in the order of their keys among `at`, `entry` and `type`.
    pub(crate) fn write(&self, mut object: Object, between: impl FnOnce(Object) -> Object) -> Object {
        list(object.key("keep"), &self.keep, |keep| Object::new().number("days", u64::from(keep.days)).text("log", &keep.log));
        list(object.key("minima"), &self.minima, |minimum| {
            Object::new().number("days", u64::from(minimum.days)).text("framework", &minimum.framework)
        });
        list(object.key("rules"), &self.rules, |rule| {
            let mut object = Object::new();
            if let Some(class) = rule.class {
                object = object.text("class", class.name());
            }
            if let Some(framework) = &rule.framework {
                object = object.text("framework", framework);
            }
            object = object.text("log", &rule.log);
            match &rule.tenant {
                Some(tenant) => object.text("tenant", tenant),
                None => object,
            }
        });
        between(object)
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(node: &Node<'_, '_>) -> Option<Self> {
        let text = |node: &Node<'_, '_>, key: &str| node.get(key).and_then(|node| node.as_str()).map(String::from);
        let days = |node: &Node<'_, '_>| u32::try_from(node.get("days")?.as_u64()?).ok();
        let keep: Option<_> =
            node.get("keep")?.elements().map(|node| Some(Keep { log: text(&node, "log")?, days: days(&node)? })).collect();
        let minima = node.get("minima")?.elements();
        let minima: Option<_> =
            minima.map(|node| Some(Minimum { framework: text(&node, "framework")?, days: days(&node)? })).collect();
        let rules = node.get("rules")?.elements().map(|node| {
            let class = text(&node, "class").map(|word| word.parse().ok());
            let class = if class == Some(None) { None } else { Some(class.flatten()) };
            Some(Rule {
                tenant: text(&node, "tenant"),
                class: class?,
                framework: text(&node, "framework"),
                log: text(&node, "log")?,
            })
        });
        Some(Self { keep: keep?, minima: minima?, rules: rules.collect::<Option<_>>()? })
    }
}

fn list<T>(out: &mut Vec<u8>, items: &[T], describe: impl Fn(&T) -> Object) {
    out.push(b'[');
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&describe(item).finish());
    }
    out.push(b']');
}

/// Days that an event must be kept at least, by the frameworks that it is marked with; 0: none of them asks for any.
pub(super) fn asked(minima: &[Minimum], marked: impl Fn(&str) -> bool) -> u32 {
    minima.iter().filter(|minimum| marked(&minimum.framework)).map(|minimum| minimum.days).max().unwrap_or(0)
}

/// A policy, ready to be asked for every event.
#[derive(Debug, Default)]
pub(crate) struct Router {
    rules: Vec<(Rule, u32)>,
    minima: Vec<Minimum>,
    /// Days that each log keeps its events, shortest first; `u32::MAX`: for good.
    logs: Vec<(u32, u32)>,
}

impl Router {
    pub(crate) fn new(identity: &Identity, policy: &Retention) -> Self {
        let number = |log: &str| identity.logs.iter().find(|known| known.name == log).map(|known| known.id);
        let rules = policy.rules.iter().filter_map(|rule| Some((rule.clone(), number(&rule.log)?))).collect();
        let logs = identity.logs.iter().filter(|log| log.id != LOG_CONTROL);
        let mut logs: Vec<_> = logs.map(|log| (policy.days(&log.name).unwrap_or(u32::MAX), log.id)).collect();
        logs.sort_unstable();
        Self { rules, minima: policy.minima.clone(), logs }
    }

    /// The log that an event goes to.
    pub(crate) fn log(&self, tenant: &str, class: Class, frameworks: &[&str]) -> u32 {
        let marked = |wanted: &str| frameworks.iter().any(|framework| framework.eq_ignore_ascii_case(wanted));
        let fits = |rule: &Rule| {
            rule.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
                && rule.class.is_none_or(|wanted| wanted == class)
                && rule.framework.as_deref().is_none_or(marked)
        };
        let ruled = self.rules.iter().find(|(rule, _)| fits(rule)).map(|(_, log)| *log);
        let log = ruled.unwrap_or(if class == Class::Telemetry { LOG_TELEMETRY } else { LOG_MAIN });
        if frameworks.is_empty() {
            return log;
        }
        let asked = asked(&self.minima, marked);
        let kept = self.logs.iter().find(|(_, known)| *known == log).map_or(u32::MAX, |(days, _)| *days);
        if kept >= asked {
            return log;
        }
        // `check` saw to it that there is one.
        self.logs.iter().find(|(days, _)| *days >= asked).map_or(log, |(_, log)| *log)
    }
}

#[cfg(test)]
mod tests {
    use indelible_format::json::{Document, Limits};

    use super::*;

    fn example() -> Retention {
        let mut policy = Retention::default().keep("main", 2_557).keep("telemetry", 90).keep("short", 30).tenant("acme", "short");
        policy.rules.push(Rule {
            tenant: None,
            class: Some(Class::Critical),
            framework: Some("GDPR".into()),
            log: "short".into(),
        });
        policy
    }

    fn router() -> Router {
        let world = crate::world::World::real();
        let (mut identity, _) = Identity::generate(&world, "example.com").unwrap();
        identity.add_logs(&world, &example()).unwrap();
        Router::new(&identity, &example())
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_a_framework_overrules_it() {
        let router = router();
        let log = |tenant, class, frameworks: &[&str]| router.log(tenant, class, frameworks);
        assert_eq!(log("other", Class::Normal, &[]), LOG_MAIN);
        assert_eq!(log("other", Class::Telemetry, &[]), LOG_TELEMETRY);
        assert_eq!(log("acme", Class::Normal, &[]), 3);
        assert_eq!(log("acme", Class::Telemetry, &["soc2"]), 3);
        assert_eq!(log("other", Class::Critical, &["gdpr"]), 3);
        assert_eq!(log("other", Class::Normal, &["gdpr"]), LOG_MAIN);
        // A month or three are not the year that it asks; of those that are enough the shortest.
        assert_eq!(log("acme", Class::Normal, &["PCI-DSS"]), LOG_MAIN);
        assert_eq!(log("other", Class::Telemetry, &["sox", "gdpr"]), LOG_MAIN);
    }

    #[test]
    fn a_policy_comes_back_as_it_was_written() {
        let bytes = example().write(Object::new(), |object| object.text("type", "retention")).finish();
        let mut document = Document::new();
        let root = document.parse(&bytes, &Limits::default()).unwrap();
        assert!(root.is_canonical());
        assert_eq!(Retention::read(&root).unwrap(), example());
    }

    #[test]
    fn what_cannot_be_a_policy_is_refused() {
        let why = |policy: Retention| policy.check().unwrap_err().to_string();
        let policy = Retention::default();
        assert!(policy.check().is_ok() && example().check().is_ok());
        assert!(why(policy.clone().keep("control", 1)).contains("control log"));
        assert!(why(policy.clone().keep("Main", 1)).contains("names a log"));
        assert!(why(policy.clone().keep("7", 1)).contains("names a log"));
        assert!(why(policy.clone().keep("a", 1).keep("a", 2)).contains("twice"));
        assert!(why(policy.clone().keep("a", 0)).contains("no time"));
        assert!(why(policy.clone().tenant("t", "a")).contains("does not say how long"));
        assert!(why(policy.keep("main", 400).keep("telemetry", 400)).contains("hipaa"));
    }
}

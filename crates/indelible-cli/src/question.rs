//! Which events are meant: a query with its times and log, or one position.

use std::ops::ControlFlow;

use clap::Args;
use indelible::identity::{Identity, LOG_MAIN};
use indelible::search::time;
use indelible::search::{Filter, Query, Summary, View};
use indelible::text::escape_terminal;
use indelible::{Head, LogHead, Reader, Record};

use crate::failure::{Failure, Result};
use crate::output::json::Object;

/// A query on the command line.
#[derive(Debug, Clone, Args)]
pub(crate) struct QuestionArgs {
    /// What to look for; all events if left out
    ///
    /// Terms such as action:iam.* outcome:failure NOT actor.id:root, joined by AND unless OR or NOT stands between them; words
    /// without a field are looked for everywhere. Quote the whole query, so that the shell leaves it alone.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,

    /// Only events of this time and later
    ///
    /// 2021-01-31, 2021-01-31T12:00:00Z, now-15m, or 2h for two hours ago; compared with the event's own time.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only events of this log: main, telemetry, or its number
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
}

impl QuestionArgs {
    /// Makes it ready to be asked.
    pub(crate) fn compile(&self, identity: &Identity) -> Result<Question> {
        self.compile_at(identity, now_ns())
    }

    /// The words as they were given.
    pub(crate) fn describe(&self, object: &mut Object) {
        object.text("query", &self.query.join(" ")).optional_text("since", self.since.as_deref());
        object.optional_text("until", self.until.as_deref()).optional_text("log", self.log.as_deref());
    }

    /// Makes it ready to be asked; relative times count from `now`.
    pub(crate) fn compile_at(&self, identity: &Identity, now: i64) -> Result<Question> {
        let text = self.query.join(" ");
        let filter = Filter::parse(&text)?;
        let moment = |text: &Option<String>| text.as_deref().map(|text| time::parse(text, now)).transpose();
        let mut query = Query::new(&filter, now)?;
        query.since = moment(&self.since)?;
        query.until = moment(&self.until)?;
        query.log = self.log.as_deref().map(|name| log_named(identity, name)).transpose()?;
        Ok(Question { text, filter, query, now })
    }
}

/// A query, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The filter, as it was given.
    pub(crate) text: String,
    pub(crate) filter: Filter,
    pub(crate) query: Query,
    /// What relative times count from, ns since 1970 UTC.
    pub(crate) now: i64,
}

impl Question {
    /// This query text, in all logs and times.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (filter, now) = (Filter::parse(text)?, now_ns());
        let query = Query::new(&filter, now)?;
        Ok(Self { text: text.to_owned(), filter, query, now })
    }

    /// Shows `each` the events it fits, log by log and each log in its order, until it breaks off.
    pub(crate) fn ask(&self, reader: &Reader, each: &mut dyn FnMut(&View<'_>) -> ControlFlow<()>) -> Result<Summary> {
        Ok(reader.search(&self.query, each)?)
    }
}

/// What asking found out, in one line for stderr.
pub(crate) fn summary_line(summary: &Summary, identity: &Identity) -> String {
    let logs: Vec<String> =
        summary.heads.iter().map(|head| format!("{} {}", identity.log_name(head.log), grouped(head.size))).collect();
    let verdict = summary.incomplete.as_ref().map_or("complete".to_owned(), |why| format!("INCOMPLETE: {why}"));
    let line = format!(
        "{} of {} events match · {verdict} · tree sizes: {}",
        grouped(summary.matched),
        grouped(summary.scanned),
        logs.join(", ")
    );
    // Reasons and names may be those of a server.
    escape_terminal(&line).into_owned()
}

/// The same as members of a JSON object.
pub(crate) fn describe_summary(summary: &Summary, identity: &Identity, object: &mut Object) {
    object
        .number("matched", summary.matched)
        .number("scanned", summary.scanned)
        .boolean("complete", summary.incomplete.is_none());
    object.optional_text("reason", summary.incomplete.as_deref());
    describe_heads(identity, &summary.heads, object);
}

/// Size and root of each log as the member `logs`.
pub(crate) fn describe_heads(identity: &Identity, heads: &[LogHead], object: &mut Object) {
    object.objects("logs", heads, |object, head| {
        object.text("log", identity.log_name(head.log)).number("size", head.size).text("root", &head.root.to_string());
    });
}

/// Calls `with` with the event at a position; `None` when there is no event, or its head cannot be read.
pub(crate) fn with_view<R>(log: u32, seq: u64, record: &Record<'_>, with: impl FnOnce(&View<'_>) -> R) -> Option<R> {
    let head: Head<'_> = record.head()?;
    Some(with(&View { log, seq, record, head: &head }))
}

/// One position, as the user named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) log: u32,
    pub(crate) seq: u64,
    /// How many more events have the id that was given.
    pub(crate) namesakes: u64,
}

/// Finds `1234`, `telemetry:7`, or an event's own id.
pub(crate) fn locate(reader: &Reader, text: &str) -> Result<Located> {
    let at = |log, seq| Located { log, seq, namesakes: 0 };
    if let Ok(seq) = text.parse() {
        return Ok(at(LOG_MAIN, seq));
    }
    if let Some((name, seq)) = text.rsplit_once(':')
        && let (Some(log), Ok(seq)) = (reader.identity().log_named(name), seq.parse())
    {
        return Ok(at(log, seq));
    }
    // By its index: of what is sealed only the blocks that may have it are read.
    let filter = Filter::field("id").is(text.strip_prefix("id:").unwrap_or(text));
    let mut found: Option<Located> = None;
    let answer = reader.search(&Query::new(&filter, now_ns())?, &mut |view| {
        match &mut found {
            Some(first) => first.namesakes += 1,
            None => found = Some(at(view.log, view.seq)),
        }
        ControlFlow::Continue(())
    })?;
    found.ok_or_else(|| {
        let but = if answer.incomplete.is_none() { "" } else { ", but not the whole journal could be read" };
        Failure::new("not_found", format!("no event has the id {text}{but}"))
            .hint("name a position (1234), one of another log (telemetry:7), or an id that `indelible search` shows")
    })
}

/// The log of this name or number.
pub(crate) fn log_named(identity: &Identity, name: &str) -> Result<u32> {
    identity.log_named(name).ok_or_else(|| {
        let names: Vec<&str> = identity.logs.iter().map(|log| log.name.as_str()).collect();
        Failure::usage(format!("there is no log {name}")).hint(format!("the logs are {}", names.join(", ")))
    })
}

/// How a position is written, so that `show` and `prove` take it.
pub(crate) fn place_text(identity: &Identity, log: u32, seq: u64) -> String {
    if log == LOG_MAIN { seq.to_string() } else { format!("{}:{seq}", identity.log_name(log)) }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    group(&number.to_string())
}

/// A rate in whole numbers, grouped.
pub(crate) fn grouped_rate(per_second: f64) -> String {
    group(&format!("{:.0}", per_second.max(0.0)))
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

pub(crate) fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (65_537, "65,537"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_a_server_gives_as_a_reason_does_not_act_on_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let store = indelible::Store::open(indelible::Config::new(dir.path().join("audit"))).unwrap();
        let incomplete = Some("\u{1b}[2Jall is well\u{9b}1A\u{202e}".to_owned());
        let summary = Summary { matched: 1, scanned: 2, incomplete, heads: Vec::new(), explain: Default::default() };
        let line = summary_line(&summary, store.identity().unwrap());
        assert!(line.contains("INCOMPLETE") && line.contains("all is well"), "{line}");
        assert!(!line.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{line:?}");
    }
}

//! What became of the files and records of an import.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use indelible::identity::Identity;
use indelible::{LogHead, Stats};
use indelible_adapters::{Format, Notes};

use crate::failure::Result;
use crate::output::Out;
use crate::output::json::Object;
use crate::output::table::Table;
use crate::question::{bytes_text, describe_heads, grouped, grouped_rate};

/// Counts, and the first examples of everything that went wrong.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) files: u64,
    /// Files in directories that hold no events.
    pub(crate) skipped: u64,
    skipped_names: Vec<String>,
    failed: u64,
    failures: Vec<(String, String)>,
    pub(crate) records: u64,
    pub(crate) recorded: u64,
    /// Recorded by an earlier run.
    pub(crate) duplicates: u64,
    /// Kept byte for byte, unread.
    pub(crate) opaque: u64,
    zoneless_times: u64,
    unreadable_times: u64,
    long_texts: u64,
    formats: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<Cow<'static, str>, Rejected>,
    pub(crate) decompressed_bytes: u64,
    pub(crate) envelope_members: u64,
}

/// Records refused for one reason.
#[derive(Debug, Default)]
struct Rejected {
    count: u64,
    examples: Vec<Example>,
}

#[derive(Debug)]
struct Example {
    file: String,
    line: u64,
    message: String,
}

const EXAMPLES: usize = 3;
const NAMES: usize = 20;
/// As many of them are said on stderr.
const NAMES_SAID: usize = 5;

impl Tally {
    pub(crate) fn file_skipped(&mut self, path: &Path) {
        self.skipped += 1;
        if self.skipped_names.len() < NAMES {
            self.skipped_names.push(path.display().to_string());
        }
    }

    pub(crate) fn file_failed(&mut self, path: &Path, why: &str) {
        self.failed += 1;
        if self.failures.len() < NAMES {
            self.failures.push((path.display().to_string(), why.to_owned()));
        }
    }

    pub(crate) fn reject(&mut self, code: impl Into<Cow<'static, str>>, path: &Path, line: u64, message: &str) {
        let rejected = self.rejected.entry(code.into()).or_default();
        rejected.count += 1;
        if rejected.examples.len() < EXAMPLES {
            rejected.examples.push(Example { file: path.display().to_string(), line, message: message.to_owned() });
        }
    }

    pub(crate) fn note(&mut self, format: Format, notes: Notes) {
        *self.formats.entry(format.name()).or_default() += 1;
        self.opaque += u64::from(notes.opaque.is_some());
        self.zoneless_times += u64::from(notes.zoneless_time);
        self.unreadable_times += u64::from(notes.unreadable_time);
        self.long_texts += u64::from(notes.text_too_long);
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.records += other.records;
        self.recorded += other.recorded;
        self.duplicates += other.duplicates;
        self.opaque += other.opaque;
        self.zoneless_times += other.zoneless_times;
        self.unreadable_times += other.unreadable_times;
        self.long_texts += other.long_texts;
        self.decompressed_bytes += other.decompressed_bytes;
        self.envelope_members += other.envelope_members;
        self.skipped_names.extend(other.skipped_names);
        self.skipped_names.truncate(NAMES);
        self.failures.extend(other.failures);
        self.failures.truncate(NAMES);
        for (format, count) in other.formats {
            *self.formats.entry(format).or_default() += count;
        }
        for (code, more) in other.rejected {
            let rejected = self.rejected.entry(code).or_default();
            rejected.count += more.count;
            rejected.examples.extend(more.examples);
            rejected.examples.truncate(EXAMPLES);
        }
    }

    fn rejected_count(&self) -> u64 {
        self.rejected.values().map(|rejected| rejected.count).sum()
    }

    /// Whether every record of every file is in the log.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed == 0 && self.rejected_count() == 0
    }
}

/// A finished import.
pub(crate) struct Summary<'s> {
    pub(crate) tally: &'s Tally,
    pub(crate) seconds: f64,
    /// Of the store, if this process has it.
    pub(crate) stats: Option<&'s Stats>,
    pub(crate) heads: &'s [LogHead],
    pub(crate) identity: &'s Identity,
    pub(crate) interrupted: bool,
}

impl Summary<'_> {
    fn rate(&self) -> f64 {
        self.tally.recorded as f64 / self.seconds.max(0.001)
    }

    pub(crate) fn table(&self, out: &mut Out) -> Result<()> {
        let tally = self.tally;
        let mut table = Table::pairs();
        table.pair("files", grouped(tally.files)).pair("records", grouped(tally.records));
        table.pair("recorded", grouped(tally.recorded));
        for (name, count) in self.particulars() {
            if count > 0 {
                table.pair(name, grouped(count));
            }
        }
        let formats: Vec<String> = tally.formats.iter().map(|(format, count)| format!("{format} {}", grouped(*count))).collect();
        table.pair("formats", formats.join(", "));
        table.pair("read", format!("{} decompressed", bytes_text(tally.decompressed_bytes)));
        table.pair("time", format!("{:.2} s, {} events/s, durable", self.seconds, grouped_rate(self.rate())));
        let seconds = |ns: u64| ns as f64 / 1e9;
        if let Some(stats) = self.stats {
            let (build, write) = (seconds(stats.build_ns), seconds(stats.write_ns));
            table.pair("of which the log", format!("{build:.2} s hashing, {write:.2} s writing and syncing, beside the reading"));
        }
        for head in self.heads {
            table.pair(&format!("log {}", self.identity.log_name(head.log)), format!("{} entries", grouped(head.size)));
        }
        out.table(table, &[])?;
        if !tally.rejected.is_empty() {
            out.line("")?;
            let mut rejected = Table::new(["rejected", "records", "for example"]);
            for (code, reason) in &tally.rejected {
                for (nth, example) in reason.examples.iter().enumerate() {
                    let count = grouped(reason.count);
                    let place = format!("{}:{}: {}", example.file, example.line, example.message);
                    rejected.row(if nth == 0 { [&**code, &count, &place] } else { ["", "", &place] });
                }
            }
            out.table(rejected, &[1])?;
        }
        if !tally.failures.is_empty() {
            out.line("")?;
            let mut failed = Table::new(["failed file", "why"]);
            for (file, why) in &tally.failures {
                failed.row([file, why]);
            }
            out.table(failed, &[])?;
        }
        out.flush()?;
        self.talk();
        Ok(())
    }

    fn talk(&self) {
        let tally = self.tally;
        let shown = |text: &str| indelible::text::escape_terminal(text).into_owned();
        if !tally.skipped_names.is_empty() {
            let names: Vec<&str> = tally.skipped_names.iter().take(NAMES_SAID).map(String::as_str).collect();
            let more = tally.skipped - names.len() as u64;
            let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
            eprintln!("skipped, not JSON: {}{more}", shown(&names.join(", ")));
        }
        if tally.envelope_members > 0 {
            eprintln!("{} members of envelopes beside their records were not imported", grouped(tally.envelope_members));
        }
        if self.interrupted {
            eprintln!(
                "interrupted: what is counted as recorded is durable; the rest was not read (--once lets you run it again)"
            );
        }
        if !tally.is_complete() {
            eprintln!(
                "INCOMPLETE: {} records and {} files are not in the log",
                grouped(tally.rejected_count()),
                grouped(tally.failed)
            );
        }
    }

    fn particulars(&self) -> [(&'static str, u64); 8] {
        let tally = self.tally;
        [
            ("recorded before", tally.duplicates),
            ("rejected", tally.rejected_count()),
            ("kept unread", tally.opaque),
            ("time without zone", tally.zoneless_times),
            ("time unreadable", tally.unreadable_times),
            ("text too long to map", tally.long_texts),
            ("files skipped", tally.skipped),
            ("files failed", tally.failed),
        ]
    }

    pub(crate) fn json(&self, out: &mut Out) -> Result<()> {
        let tally = self.tally;
        let mut object = Object::new();
        object.number("files", tally.files).number("records", tally.records).number("recorded", tally.recorded);
        object.number("duplicates", tally.duplicates).number("rejected", tally.rejected_count()).number("opaque", tally.opaque);
        object.number("zoneless_times", tally.zoneless_times).number("unreadable_times", tally.unreadable_times);
        object.number("long_texts", tally.long_texts).number("envelope_members", tally.envelope_members);
        object.object("formats", |object| {
            tally.formats.iter().for_each(|(format, count)| object.number(format, count).end());
        });
        object.objects("rejections", &tally.rejected, |object, (code, rejected)| {
            object.text("code", code).number("count", rejected.count);
            object.objects("examples", &rejected.examples, |object, example| {
                object.text("file", &example.file).number("line", example.line).text("message", &example.message);
            });
        });
        object.number("files_skipped", tally.skipped).texts("skipped", tally.skipped_names.iter().map(String::as_str));
        object.number("files_failed", tally.failed);
        object.objects("failures", &tally.failures, |object, (file, why)| {
            object.text("file", file).text("error", why);
        });
        object
            .number("bytes", tally.decompressed_bytes)
            .decimal("seconds", self.seconds)
            .decimal("events_per_second", self.rate());
        let seconds = |ns: fn(&Stats) -> u64| self.stats.map_or(f64::NAN, |stats| ns(stats) as f64 / 1e9);
        object
            .decimal("hashing_seconds", seconds(|stats| stats.build_ns))
            .decimal("writing_seconds", seconds(|stats| stats.write_ns));
        object.boolean("complete", tally.is_complete() && !self.interrupted).boolean("interrupted", self.interrupted);
        describe_heads(self.identity, self.heads, &mut object);
        out.json_line(&object.finish())
    }
}

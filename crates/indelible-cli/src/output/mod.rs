//! What goes to stdout, and in which form.
//!
//! stdout is data, stderr is talk. Foreign text reaches a terminal only after `escape_terminal`; tables escape always, JSON keeps
//! its text exactly and on a terminal escapes it the JSON way, so that it stays equal.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use clap::{Args, ValueEnum};
use indelible::text::{csv_field, escape_terminal, safe_json};

use crate::failure::{Failure, Result};

pub(crate) mod json;
pub(crate) mod table;

use table::Table;

/// The form of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// For eyes
    Table,
    /// One JSON object
    Json,
}

/// The form of a list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    /// For eyes
    Table,
    /// One JSON object with the events and a summary
    Json,
    /// One JSON object per line and event
    Ndjson,
    /// For spreadsheets: RFC 4180, formulas disarmed
    Csv,
}

/// `-o table|json`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ShapeOption {
    /// Form of the output
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Shape,
}

impl ShapeOption {
    pub(crate) fn is_json(self) -> bool {
        self.output == Shape::Json
    }
}

/// `-o table|json|ndjson|csv`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ListingOption {
    /// Form of the output
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Listing,
}

/// Whether the command line asks for JSON, told without parsing it: errors of parsing are to be JSON too.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<&str> = arguments.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str()).collect();
    let is_json = |word: &str| matches!(word, "json" | "ndjson");
    let beside = words.windows(2).any(|pair| matches!(pair, ["-o" | "--output" | "--format", form] if is_json(form)));
    let joined =
        |word: &&str| ["--output=", "--format=", "-o=", "-o"].iter().any(|option| word.strip_prefix(option).is_some_and(is_json));
    beside || words.iter().any(joined)
}

/// stdout.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Out {
    pub(crate) fn open() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { writer: BufWriter::with_capacity(64 << 10, stdout.lock()), terminal }
    }

    /// Foreign text as it may be shown here.
    pub(crate) fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.terminal { escape_terminal(text) } else { Cow::Borrowed(text) }
    }

    /// Bytes as they are: what other programs read and verify.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| Failure::stdout(&error))
    }

    /// A line of our own words.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Lines for eyes that hold foreign text; our line ends stay, everything else that acts is escaped, terminal or not.
    pub(crate) fn lines(&mut self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.line(&escape_terminal(line)))
    }

    /// JSON without an end of line.
    pub(crate) fn json(&mut self, json: &[u8]) -> Result<()> {
        if self.terminal { self.bytes(&safe_json(json.to_vec())) } else { self.bytes(json) }
    }

    /// JSON on a line of its own.
    pub(crate) fn json_line(&mut self, json: &[u8]) -> Result<()> {
        self.json(json)?;
        self.bytes(b"\n")
    }

    /// One CSV record.
    pub(crate) fn csv<S: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = S>) -> Result<()> {
        let mut line = String::new();
        for (nth, field) in fields.into_iter().enumerate() {
            if nth > 0 {
                line.push(',');
            }
            csv_field(&self.shown(field.as_ref()), &mut line);
        }
        // RFC 4180 ends records with CR LF.
        line.push_str("\r\n");
        self.bytes(line.as_bytes())
    }

    pub(crate) fn table(&mut self, table: Table, numbers: &[usize]) -> Result<()> {
        let text = table.show(self.width(), numbers);
        self.bytes(text.as_bytes())
    }

    fn width(&self) -> Option<u16> {
        if !self.terminal {
            return None;
        }
        rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
    }

    /// A word of ours, bold green, yellow or red where colours are wanted and seen.
    pub(crate) fn painted(&self, tone: Tone, word: &str) -> String {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !self.terminal || !wanted || dumb {
            return word.to_owned();
        }
        format!("\x1b[1;{}m{word}\x1b[0m", tone.code())
    }

    /// Hands what was written to whoever reads it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| Failure::stdout(&error))
    }
}

/// One line on stderr, in which nothing that others have chosen acts on a terminal.
pub(crate) fn talk(line: &str) {
    eprintln!("{}", escape_terminal(line));
}

/// A bar for `count`, where `most` has the longest.
pub(crate) fn bar(count: u64, most: u64) -> String {
    let eighths = u128::from(count) * u128::from(BAR_COLUMNS) * 8 / u128::from(most.max(1));
    // Something is never shown as nothing.
    let eighths = usize::try_from(eighths).unwrap_or_default().max(usize::from(count > 0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + rest
}

const BAR_COLUMNS: u32 = 24;

/// What a word means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Careful,
    Bad,
}

impl Tone {
    const fn code(self) -> u8 {
        match self {
            Self::Good => 32,
            Self::Careful => 33,
            Self::Bad => 31,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_counts() {
        for (count, length) in
            [(0, ""), (1, "▏"), (250, "█"), (3000, "████████████"), (3001, "████████████"), (3040, "████████████▏")]
        {
            assert_eq!(bar(count, 6000), length, "{count}");
        }
        assert_eq!(bar(u64::MAX, u64::MAX).chars().count(), 24);
    }

    #[test]
    fn a_wish_for_json_is_heard_however_it_is_spelt() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["i search x -o json", "i search -ojson", "i search --output=ndjson", "i prove 1 --format json", "i x --output json"]
        {
            assert!(wants(line), "{line}");
        }
        for line in ["i search json", "i search -o table", "i prove 1 -o json.txt", "i search -- -o json"] {
            assert!(!wants(line), "{line}");
        }
    }
}

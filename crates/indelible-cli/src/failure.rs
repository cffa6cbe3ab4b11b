//! Why a command could not do what was asked, and what to do next.

use std::error::Error as _;
use std::io;
use std::path::Path;

use indelible::search::time::TimeError;
use indelible::search::{FilterError, FilterErrorKind};
use indelible::text::{escape_terminal, safe_json};
use indelible::{Error, ErrorKind};
use indelible_client::{self as client, ClientError};

use crate::exit::Exit;
use crate::output::json::Object;

/// The result of a command or of a part of it.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// One error, ready to be shown: message, causes, next step.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A stable word for programs.
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// Whoever read our output has left; there is nothing to tell and nobody to tell it to.
    silent: bool,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, kind, message: message.into(), causes: Vec::new(), hint: None, silent: false }
    }

    /// The command line cannot be understood.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let message = message.into();
        let message = message.strip_prefix("error: ").map_or(message.clone(), str::to_owned);
        Self { exit: Exit::Usage, ..Self::new("usage", message) }
    }

    /// The operating system refused, while this was being done.
    pub(crate) fn io(context: impl Into<String>, error: &io::Error) -> Self {
        Self { causes: vec![error.to_string()], hint: io_hint(error), ..Self::new("io", context) }
    }

    /// A file could not be read or written.
    pub(crate) fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::io(format!("could not {what} {}", path.display()), error)
    }

    /// stdout could not be written. A reader who has left, as `head` does, is no error.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::io("could not write to stdout", error) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Says it on stderr and how the command is to end.
    pub(crate) fn report(&self, json: bool) -> Exit {
        if self.silent {
            return Exit::Ok;
        }
        if json {
            // Whoever reads stderr is mostly a terminal; programs get the same value.
            eprintln!("{}", String::from_utf8_lossy(&safe_json(self.to_json())));
            return self.exit;
        }
        // Messages quote file names and log text, which others have chosen. Our own line ends stay.
        let say = |what: &str, text: &str| {
            for (nth, line) in text.lines().enumerate() {
                eprintln!("{}{}", if nth == 0 { what } else { "" }, escape_terminal(line));
            }
        };
        say("error: ", &self.message);
        self.causes.iter().for_each(|cause| say("cause: ", cause));
        if let Some(hint) = &self.hint {
            say("hint: ", hint);
        }
        self.exit
    }

    fn to_json(&self) -> Vec<u8> {
        let mut outer = Object::new();
        outer.object("error", |error| {
            error.text("kind", self.kind).text("message", &self.message).texts("causes", self.causes.iter().map(String::as_str));
            error.optional_text("hint", self.hint.as_deref()).number("exit", self.exit.code());
        });
        outer.finish()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let (kind, exit, next) = match error.kind() {
            ErrorKind::Rejected => ("rejected", Exit::Error, "change what the message names; nothing was recorded"),
            ErrorKind::Busy => {
                ("busy", Exit::Error, "try again when the disk has room and less to do; `indelible doctor` measures it")
            }
            ErrorKind::Io => ("io", Exit::Error, "run `indelible doctor`"),
            ErrorKind::Poisoned => {
                ("poisoned", Exit::Error, "run the command again: opening the store anew recovers what was acknowledged")
            }
            ErrorKind::Corrupt => {
                ("corrupt", Exit::Unverified, "run `indelible verify` for all findings, and keep a copy of the directory")
            }
            ErrorKind::Mismatch => {
                ("mismatch", Exit::Unverified, "run `indelible verify` for all findings, and keep a copy of the directory")
            }
            ErrorKind::Unsupported => ("unsupported", Exit::Error, "use the version of indelible that wrote it, or a later one"),
            ErrorKind::Closed => ("closed", Exit::Error, "open the store again"),
            ErrorKind::NotFound => ("not_found", Exit::Error, "check --data; `indelible init` makes a store"),
            ErrorKind::Expired => ("expired", Exit::Error, "`indelible retention show` shows the policy"),
            ErrorKind::Locked => ("locked", Exit::Error, "wait until the other process is done, or stop it"),
            _ => ("error", Exit::Error, "run `indelible doctor`"),
        };
        let hint = error.hint().unwrap_or(next).to_owned();
        Self { exit, kind, message: error.to_string(), causes, hint: Some(hint), silent: false }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let faults = error.problem().map(|problem| problem.faults.as_slice()).unwrap_or_default();
        causes.extend(faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)));
        let (kind, exit, next) = match error.kind() {
            client::ErrorKind::Rejected => ("rejected", Exit::Error, "change what the message names; nothing was recorded"),
            client::ErrorKind::Denied => {
                ("denied", Exit::Error, "give a token that may do this, in INDELIBLE_TOKEN or with --token-file FILE")
            }
            client::ErrorKind::NotFound => {
                ("not_found", Exit::Error, "name a position (1234) or an id that `indelible search` shows")
            }
            client::ErrorKind::Busy => ("busy", Exit::Error, "try again later"),
            client::ErrorKind::Unreachable => ("unreachable", Exit::Error, "check the address, and whether the server runs"),
            client::ErrorKind::Config => ("usage", Exit::Usage, "check --url, --ca and the token"),
            client::ErrorKind::Protocol => ("protocol", Exit::Error, "check the address: is it an Indelible server?"),
            _ => ("server", Exit::Error, "look at the server's own messages, and try again"),
        };
        let hint = error.hint().unwrap_or(next).to_owned();
        Self { exit, kind, message: error.to_string(), causes, hint: Some(hint), silent: false }
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        let message = match error.offset {
            Some(offset) => format!("the query cannot be understood at byte {offset}: {}", error.message),
            None => format!("the query cannot be understood: {}", error.message),
        };
        let next = match error.kind {
            FilterErrorKind::UnknownField => "`indelible search --help` lists the fields",
            _ => "write terms such as action:user.login outcome:failure NOT actor.id:root; quote the whole query for the shell",
        };
        Self { exit: Exit::Usage, hint: Some(error.hint.unwrap_or_else(|| next.to_owned())), ..Self::new("query", message) }
    }
}

impl From<TimeError> for Failure {
    fn from(error: TimeError) -> Self {
        Self { exit: Exit::Usage, hint: Some(error.hint), ..Self::new("usage", error.message) }
    }
}

fn io_hint(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "check the permissions, or run it as the user the file belongs to",
        io::ErrorKind::StorageFull => "free disk space and try again",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only: choose another place",
        io::ErrorKind::AlreadyExists => "choose another name, or remove it first",
        io::ErrorKind::IsADirectory => "name a file, not a directory",
        _ => "check the path and the disk; `indelible doctor` helps with the data directory",
    };
    Some(hint.to_owned())
}

//! `indelible config`: the server's configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indelible_server::config::{schema, template};

use crate::commands::serve::SourcesArgs;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::remote::Remote;

/// Write, check and show the server's configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a file with every key, its default and what it is for
    Init {
        /// The file; stdout if left out
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Say everything that is wrong with a configuration
    Validate {
        #[command(flatten)]
        sources: SourcesArgs,
    },
    /// Show every key as it would be in force
    Show {
        #[command(flatten)]
        sources: SourcesArgs,
        /// Also say where each value comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Print the JSON Schema of the file
    Schema,
    /// Have a running server read its configuration again
    ///
    /// What is wrong with it changes nothing, and is said. Takes --url and a token with scope admin.
    Reload {
        #[command(flatten)]
        shape: ShapeOption,
    },
}

impl ConfigArgs {
    /// Whether a server is asked.
    pub(crate) const fn asks(&self) -> bool {
        matches!(self.verb, Verb::Reload { .. })
    }
}

pub(crate) fn run(place: &Place, args: &ConfigArgs) -> Result<Exit> {
    let mut out = Out::open();
    match &args.verb {
        Verb::Init { file: None } => out.bytes(template().as_bytes())?,
        Verb::Init { file: Some(path) } => {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let written = file.and_then(|mut file| file.write_all(template().as_bytes()).and_then(|()| file.sync_all()));
            written.map_err(|error| Failure::file("write", path, &error))?;
            eprintln!("wrote {}; start with `indelible serve --config {0}`", path.display());
        }
        Verb::Validate { sources } => {
            sources.load(place)?;
            out.line("the configuration can be used")?;
        }
        Verb::Show { sources, origin, shape } => show(&sources.load(place)?.1, *origin, *shape, &mut out)?,
        Verb::Schema => {
            out.bytes(serde_json::to_string_pretty(&schema()).unwrap_or_default().as_bytes())?;
            out.line("")?;
        }
        Verb::Reload { shape } => reload(place, *shape, &mut out)?,
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn reload(place: &Place, shape: ShapeOption, out: &mut Out) -> Result<()> {
    let (server, url) = place.server().ok_or_else(|| {
        Failure::usage("which server is to read its configuration again?").hint("give --url URL, or send the server SIGHUP")
    })?;
    let waiting = Remote::reload(&server.connect(&url)?)?;
    if shape.is_json() {
        let mut object = Object::new();
        object.texts("waiting", waiting.iter().map(String::as_str));
        return out.json_line(&object.finish());
    }
    out.line("the configuration was read again and is in force")?;
    waiting.iter().try_for_each(|key| out.lines(&format!("{key} waits for the next start")))
}

fn show(config: &indelible_server::config::Config, origin: bool, shape: ShapeOption, out: &mut Out) -> Result<()> {
    if shape.is_json() {
        let mut object = Object::new();
        let settings: Vec<_> = config.settings().collect();
        object.objects("settings", &settings, |object, (key, setting)| {
            object.text("key", key.name).text("value", &setting.text);
            object.text("origin", &setting.origin.to_string()).boolean("reloads", key.reloads);
        });
        return out.json_line(&object.finish());
    }
    let mut table = if origin { Table::new(["key", "value", "origin", "about"]) } else { Table::new(["key", "value", "about"]) };
    for (key, setting) in config.settings() {
        let mut row = vec![key.name.to_owned(), setting.text.clone()];
        if origin {
            row.push(setting.origin.to_string());
        }
        row.push(key.about.to_owned());
        table.row(row);
    }
    out.table(table, &[])
}

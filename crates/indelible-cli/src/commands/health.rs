//! `indelible health`: whether the server of this machine records.

use std::time::Duration;

use clap::Args;
use indelible::text::escape_terminal;
use indelible_server::probe::probe;

use crate::commands::serve::SourcesArgs;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::{Out, ShapeOption};

/// Ask the server of this machine whether it records.
///
/// Reads the configuration that the server was started with, to know where it listens and which certificate it shows. For health checks of
/// containers, which need no curl for it. Exit code 0: it does.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    sources: SourcesArgs,

    /// Ask only whether the process answers, not whether it records
    #[arg(long)]
    live: bool,

    #[command(flatten)]
    shape: ShapeOption,
}

/// A server that needs longer than this for an answer is not well.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn run(place: &Place, args: &HealthArgs) -> Result<Exit> {
    let (_, config) = args.sources.load(place)?;
    let path = if args.live { "/livez" } else { "/readyz" };
    let answer = probe(&config, path, LIMIT).map_err(|error| {
        Failure::new("health", format!("the server at {} does not answer", config.text("listen.http"))).cause(error.to_string())
    })?;
    let is_well = answer.status == 200;
    let mut out = Out::open();
    if args.shape.is_json() {
        let mut object = Object::new();
        object.boolean("ok", is_well).number("status", answer.status).text("answer", &answer.body);
        out.json_line(&object.finish())?;
    } else {
        out.line(&escape_terminal(&format!("{} {}", answer.status, answer.body)))?;
    }
    out.flush()?;
    Ok(if is_well { Exit::Ok } else { Exit::Error })
}

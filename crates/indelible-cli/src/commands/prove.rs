//! `indelible prove`: the proof of one event, in a file that stands for itself.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::commands::init::verifier_key;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, Shape};
use crate::question::{grouped, place_text};

/// Write the proof of one event to a file.
///
/// The file (C2SP tlog-proof) holds the event, the path from its leaf to the root, and the log's signed checkpoint. Whoever has the
/// log's verifier key can check it without this store: `indelible verify --proof FILE --key KEY`. It holds what the event says.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// A position (1234), a position of another log (telemetry:7), or the event's own id
    #[arg(value_name = "SEQ|LOG:SEQ|ID")]
    event: String,

    /// Write the proof to this file; stdout if left out or -
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,

    /// How to tell what was written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Shape,
}

pub(crate) fn run(place: &Place, args: &ProveArgs) -> Result<Exit> {
    let source = place.source()?;
    let (located, proof) = source.prove(&args.event)?;
    if located.namesakes > 0 {
        eprintln!("{} more events have this id; this proof is of the first", located.namesakes);
    }
    let text = proof.to_string();
    let mut out = Out::open();
    let Some(path) = args.output.as_deref().filter(|path| *path != Path::new("-")) else {
        out.bytes(text.as_bytes())?;
        out.flush()?;
        return Ok(Exit::Ok);
    };
    write(path, text.as_bytes(), args.force)?;

    let identity = source.identity();
    let key = verifier_key(identity, located.log);
    let size = proof.checkpoint.lines().nth(1).and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
    if args.format == Shape::Json {
        let mut object = Object::new();
        object.text("file", &path.to_string_lossy()).number("bytes", text.len()).text("log", identity.log_name(located.log));
        object.number("seq", located.seq).number("tree_size", size).number("hashes", proof.hashes.len());
        object.text("checkpoint", &proof.checkpoint).text("verifier_key", &key);
        out.json_line(&object.finish())?;
    } else {
        let mut table = Table::pairs();
        table.pair("proof", path.to_string_lossy());
        table.pair(
            "event",
            format!("{} of log {}", place_text(identity, located.log, located.seq), identity.log_name(located.log)),
        );
        table.pair("in a tree of", format!("{} leaves, {} hashes", grouped(size), proof.hashes.len()));
        out.table(table, &[])?;
    }
    out.flush()?;
    drop(out);
    eprintln!("check it anywhere: indelible verify --proof {} --key '{key}'", path.display());
    Ok(Exit::Ok)
}

/// Readable by its owner only: a proof holds what the event says.
fn write(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file: File = options.open(path).map_err(|error| {
        let failure = Failure::file("write", path, &error);
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failure.hint("choose another name, or add --force to replace it")
        } else {
            failure
        }
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| Failure::file("write", path, &error))
}

//! `indelible verify`: recomputes everything, believes nothing.

mod server;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indelible::format::note::VerifierKey;
use indelible::format::tlog_proof::PROOF_BYTES_MAX;
use indelible::json::Document;
use indelible::verify::{Finding, Level, Options, ProofReport, Report, verify, verify_proof};
use indelible::{ErrorKind, Head, Tag, time};

use crate::commands::tenant;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::{Object, indented};
use crate::output::table::Table;
use crate::output::{Out, ShapeOption, Tone};
use crate::progress::Progress;
use crate::question::{bytes_text, grouped};
use crate::remote::Remote;

/// Recompute every hash and check every signature.
///
/// Streams the whole store in constant memory and reports everything it finds, not the first thing. An intact log that was rolled
/// back or signed anew as a whole looks intact from inside; so it is compared with checkpoints kept outside: those given with
/// --against, and the trusted state of this machine. Without either the verdict is "unanchored".
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Compare with this checkpoint, kept outside the store; may be given again
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    against: Vec<PathBuf>,

    /// The verifier key of any log of the store, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Verify the proof of one event instead, without any store
    #[arg(long, value_name = "FILE", requires = "key")]
    proof: Option<PathBuf>,

    /// Verify a tenant's copy instead, without any store: its events, and that none is missing
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["proof", "against"])]
    tenant: Option<PathBuf>,

    /// Do not compare with the trusted state of this machine, nor with what was seen of the server
    #[arg(long, conflicts_with_all = ["proof", "tenant"])]
    no_state: bool,

    /// Of a server, also read all events and compute every leaf from them
    ///
    /// Without it, signatures are checked, and that each log goes on from the head that was seen here last. A directory is always read
    /// whole.
    #[arg(long, conflicts_with = "proof")]
    events: bool,

    #[command(flatten)]
    shape: ShapeOption,
}

impl VerifyArgs {
    /// Whether neither a store nor a server is needed.
    pub(crate) const fn is_offline(&self) -> bool {
        self.proof.is_some() || self.tenant.is_some()
    }
}

/// No note or key is larger.
pub(crate) const NOTE_FILE_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(place: &Place, args: &VerifyArgs) -> Result<Exit> {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let mut out = Out::open();
    let exit = match (&args.proof, &args.tenant, key) {
        (Some(path), _, Some(key)) => one_event(path, &key, args.shape, &mut out)?,
        (None, Some(path), Some(key)) => tenant::verify_copy(path, &key, args.shape, &mut out)?,
        (_, _, key) => {
            if let Some((options, url)) = place.server() {
                let remote = Remote::open(options.connect(&url)?)?;
                let state = if args.no_state { None } else { Some(place.state()?) };
                let exit = server::run(&remote, args, state.as_deref(), key.as_ref(), &mut out)?;
                out.flush()?;
                return Ok(exit);
            }
            if args.events {
                return Err(Failure::usage("--events is for servers: a directory is always read whole"));
            }
            let report = check(place, args, key)?;
            if args.shape.is_json() {
                report_json(&report, &mut out)?
            } else {
                report_text(&report, &mut out)?
            }
            if report.ok { Exit::Ok } else { Exit::Unverified }
        }
    };
    out.flush()?;
    Ok(exit)
}

fn check(place: &Place, args: &VerifyArgs, key: Option<VerifierKey>) -> Result<Report> {
    let against = args.against.iter().map(|path| read_text(path, NOTE_FILE_BYTES_MAX)).collect::<Result<Vec<_>>>()?;
    let bar = Progress::bytes(0, "verifying");
    let mut progress = |done, total| {
        bar.total(total);
        bar.at(done);
    };
    let state = if args.no_state { None } else { Some(place.state()?) };
    let options = Options { against, key, trusted_state_dir: state, progress: Some(&mut progress) };
    Ok(verify(place.data()?, options)?)
}

/// A verifier key, or a file that holds one.
pub(crate) fn read_key(text: &str) -> Result<VerifierKey> {
    let from_file = if text.contains('+') { None } else { Some(read_text(Path::new(text), NOTE_FILE_BYTES_MAX)?) };
    let key = from_file.as_deref().unwrap_or(text).trim();
    VerifierKey::parse(key).map_err(|error| {
        Failure::usage(format!("this is no verifier key: {error}"))
            .hint("`indelible init` and `indelible checkpoint` print it: name+8 hex digits+base64")
    })
}

pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String> {
    String::from_utf8(read_bytes(path, bytes_max)?).map_err(|_| {
        Failure::new("rejected", format!("{} is not text", path.display()))
            .hint("name a file that `indelible checkpoint` or `prove` wrote")
    })
}

fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let failed = |error| Failure::file("read", path, &error);
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::new("rejected", format!("{} is larger than {}", path.display(), bytes_text(bytes_max)))
            .hint("name a file that `indelible checkpoint` or `prove` wrote"));
    }
    Ok(bytes)
}

fn one_event(path: &Path, key: &VerifierKey, shape: ShapeOption, out: &mut Out) -> Result<Exit> {
    let proof = read_bytes(path, PROOF_BYTES_MAX as u64)?;
    let report = verify_proof(&proof, key).map_err(|error| {
        // Here a file that is no proof is a proof that does not hold: bytes of it may have been changed.
        let failed = matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Mismatch);
        let failure = Failure::from(error);
        if failed {
            failure.exit(Exit::Unverified).hint("ask for the proof again, and check that the key is that of the log")
        } else {
            failure
        }
    })?;
    if shape.is_json() {
        proof_json(&report, out)?
    } else {
        proof_text(&report, out)?
    }
    Ok(Exit::Ok)
}

fn proof_json(report: &ProofReport, out: &mut Out) -> Result<()> {
    let mut object = Object::new();
    object.boolean("ok", true).text("origin", &report.origin).number("seq", report.seq).number("tree_size", report.size);
    object.text("leaf", &report.leaf.to_string());
    if let Some(head) = head_of(report) {
        object.text("id", &head.id.to_string()).text("time", &time::format(head.time)).text("action", head.action);
        object.text("outcome", head.outcome.name()).text("tenant", head.tenant);
    }
    for (tag, name) in [(Tag::IDENTITY, "identity"), (Tag::CONTENT, "content")] {
        if let Some(json) = json_of(report, tag) {
            object.raw(name, json);
        }
    }
    if let Some(control) = &report.control {
        object.raw("control", control);
    }
    out.json_line(&object.finish())
}

fn proof_text(report: &ProofReport, out: &mut Out) -> Result<()> {
    let verdict = out.painted(Tone::Good, "VERIFIED");
    out.line(&format!("{verdict}: the event is entry {} of {} in this log", report.seq, grouped(report.size)))?;
    let mut table = Table::pairs();
    table.pair("log", &report.origin).pair("leaf", report.leaf.to_string());
    if let Some(head) = head_of(report) {
        table.pair("id", head.id.to_string()).pair("time", time::format(head.time));
        table.pair("action", head.action).pair("outcome", head.outcome.name()).pair("tenant", head.tenant);
    }
    for group in report.groups.iter().filter(|group| group.value.is_none()) {
        table.pair(group.tag.name(), "withheld; only its commitment is in the proof");
    }
    out.table(table, &[])?;
    for (tag, name) in [(Tag::IDENTITY, "identity"), (Tag::CONTENT, "content")] {
        if let Some(json) = json_of(report, tag) {
            out.line(&format!("\n{name}"))?;
            out.lines(&indented(json))?;
        }
    }
    if let Some(control) = &report.control {
        out.line("\ncontrol entry")?;
        out.lines(&indented(control))?;
    }
    Ok(())
}

fn value_of(report: &ProofReport, tag: Tag) -> Option<&[u8]> {
    report.groups.iter().find(|group| group.tag == tag)?.value.as_deref()
}

fn head_of(report: &ProofReport) -> Option<Head<'_>> {
    Head::parse(value_of(report, Tag::HEAD)?)
}

/// The group's value, if it is the JSON it should be: a log can prove that it holds something else.
fn json_of(report: &ProofReport, tag: Tag) -> Option<&[u8]> {
    let value = value_of(report, tag)?;
    let limits = indelible::json::Limits::default();
    Document::new().parse(value, &limits).is_ok().then_some(value)
}

fn report_json(report: &Report, out: &mut Out) -> Result<()> {
    let mut object = Object::new();
    report_members(report, &mut object);
    out.json_line(&object.finish())
}

pub(crate) fn report_members(report: &Report, object: &mut Object) {
    object
        .boolean("ok", report.ok)
        .boolean("anchored", report.anchored)
        .number("events", report.events)
        .number("frames", report.frames);
    object.number("torn_tail_bytes", report.torn_tail_bytes);
    object.objects("logs", &report.logs, |object, log| {
        object.text("log", &log.name).number("size", log.size).text("root", &log.root.to_string());
        object.number("signed", log.signed).number("anchored", log.anchored);
    });
    object.objects("findings", &report.findings, |object, finding| {
        object.text("code", finding.code.name()).text("level", finding.level.name()).optional_number("log", finding.log);
        object.optional_number("at", finding.at).text("message", &finding.message);
    });
}

pub(crate) fn report_text(report: &Report, out: &mut Out) -> Result<()> {
    let mut logs = Table::new(["log", "entries", "signed up to", "anchored up to", "root"]);
    for log in &report.logs {
        let up_to = |size: u64| if size == 0 { "-".to_owned() } else { grouped(size) };
        logs.row([log.name.as_str(), &grouped(log.size), &up_to(log.signed), &up_to(log.anchored), &log.root.to_string()]);
    }
    out.table(logs, &[1, 2, 3])?;
    if !report.findings.is_empty() {
        out.line("")?;
        let mut findings = Table::new(["level", "code", "where", "finding"]);
        for finding in &report.findings {
            findings.row([finding.level.name(), finding.code.name(), &where_text(report, finding), &finding.message]);
        }
        out.table(findings, &[])?;
    }
    if report.torn_tail_bytes > 0 {
        out.line(&format!(
            "\n{} of a write that was never acknowledged lie behind the last frame",
            bytes_text(report.torn_tail_bytes)
        ))?;
    }
    let fails = report.findings.iter().filter(|finding| finding.level == Level::Fail).count();
    let read = format!("{} events in {} frames", grouped(report.events), grouped(report.frames));
    let (tone, word, rest) = match (report.ok, report.anchored) {
        (true, true) => (Tone::Good, "VERIFIED", format!("{read}; agrees with what is kept outside the store")),
        (true, false) => (
            Tone::Careful,
            "VERIFIED, UNANCHORED",
            format!(
                "{read} agree with each other; nothing outside the store to compare with, so a roll-back or new signing of all of it is not excluded"
            ),
        ),
        (false, _) => {
            (Tone::Bad, "FAILED", format!("{fails} findings; {read}. Keep a copy of the directory before anything else"))
        }
    };
    let word = out.painted(tone, word);
    out.line(&format!("\n{word}: {rest}"))?;
    if !report.anchored {
        out.line("hint: keep the output of `indelible checkpoint` elsewhere, and give it to `indelible verify --against FILE`")?;
    }
    Ok(())
}

fn where_text(report: &Report, finding: &Finding) -> String {
    let name =
        |log: u32| report.logs.iter().find(|known| known.log == log).map_or_else(|| log.to_string(), |known| known.name.clone());
    match (finding.log, finding.at) {
        (Some(log), Some(at)) => format!("{}:{at}", name(log)),
        (Some(log), None) => name(log),
        (None, Some(at)) => format!("frame {at}"),
        (None, None) => "-".to_owned(),
    }
}

//! `indelible emit`: records one event.

use clap::Args;
use indelible::format::json;
use indelible::search::time;
use indelible::{Canonical, Class, Draft, Identity, Outcome, Receipt, Severity, Trace};
use serde_json::Value;

use crate::commands::redaction::RedactionArgs;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::now_ns;
use crate::remote::{ServerArgs, odd, record};
use crate::shown::unhex;

/// Record one event and print its receipt.
///
/// When it returns, the event survives power loss. Keep the receipt's leaf hash: with a later proof it shows that the log still
/// holds this very event.
#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// What was done: noun.verb, such as user.login
    ///
    /// Known actions have a class and severity of their own; any other action of this form may be used.
    #[arg(value_name = "ACTION")]
    action: String,

    /// Who did it: a stable id
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// What the actor is: user, service, role…
    #[arg(long, value_name = "TYPE")]
    actor_type: Option<String>,

    /// The actor's display name
    #[arg(long, value_name = "NAME")]
    actor_name: Option<String>,

    /// The actor's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    actor_email: Option<String>,

    /// What it was done to, as TYPE:ID; may be given again
    #[arg(long, value_name = "TYPE:ID")]
    target: Vec<String>,

    /// How it ended: success, failure, denied, error or unknown
    #[arg(long, value_name = "OUTCOME", default_value = "unknown")]
    outcome: Outcome,

    /// How bad it is, instead of the action's own: info, low, medium, high, critical or fatal
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,

    /// Which lane it takes, instead of the action's own: critical, normal or telemetry
    #[arg(long, value_name = "CLASS")]
    class: Option<Class>,

    /// Whose event it is
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// The session it was done in
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,

    /// The address it was done from
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,

    /// The program it was done with
    #[arg(long, value_name = "TEXT")]
    user_agent: Option<String>,

    /// The host it was done on or from
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Anything else, as key=value; may be given again
    ///
    /// A value that is a JSON number, true, false or null is stored as such, any other as text; key:=JSON takes any JSON as it is.
    #[arg(long, value_name = "KEY=VALUE")]
    detail: Vec<String>,

    /// All details as one JSON value
    #[arg(long, value_name = "JSON", conflicts_with = "detail")]
    details_json: Option<String>,

    /// The event's own id, instead of a new UUIDv7
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// When it happened, instead of now: 2021-01-31T12:00:00Z, 15m ago…
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Repeating the same event under the same key records it once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// W3C trace context: a traceparent, or TRACE_ID-SPAN_ID in hexadecimal
    #[arg(long, value_name = "TRACEPARENT")]
    trace: Option<String>,

    #[command(flatten)]
    redaction: RedactionArgs,

    #[command(flatten)]
    shape: ShapeOption,
}

/// What a detail's value was understood as, before it is borrowed by the draft.
enum Said {
    Text(String),
    Json(Vec<u8>),
}

pub(crate) fn run(place: &Place, args: &EmitArgs) -> Result<Exit> {
    let details: Vec<(&str, Said)> = args.detail.iter().map(|text| detail(text)).collect::<Result<_>>()?;
    let all = args.details_json.as_deref().map(|text| canonical(text, "--details-json")).transpose()?;
    let targets: Vec<(&str, &str)> = args.target.iter().map(|text| target(text)).collect::<Result<_>>()?;

    let mut draft = Draft::new(args.action.as_str()).outcome(args.outcome);
    draft.severity = args.severity;
    draft.class = args.class;
    draft.actor.id = args.actor.as_deref();
    draft.actor.kind = args.actor_type.as_deref();
    draft.actor.name = args.actor_name.as_deref();
    draft.actor.email = args.actor_email.as_deref();
    draft.tenant = args.tenant.as_deref();
    draft.session = args.session.as_deref();
    draft.origin.ip = args.ip.as_deref();
    draft.origin.user_agent = args.user_agent.as_deref();
    draft.origin.host = args.host.as_deref();
    draft.id = args.id.as_deref();
    draft.time = args.time.as_deref().map(|text| time::parse(text, now_ns())).transpose()?;
    draft.trace = args.trace.as_deref().map(trace).transpose()?;
    draft.idempotency_key = args.key.as_deref();
    for (kind, id) in targets {
        draft = draft.target(kind, id);
    }
    for (key, said) in &details {
        draft = match said {
            Said::Text(text) => draft.detail(key, text),
            Said::Json(json) => draft.detail(key, Canonical::trusted(json)),
        };
    }
    if let Some(json) = &all {
        draft = draft.details_json(Canonical::trusted(json));
    }

    let receipt = match place.server() {
        Some((server, url)) => sent(server, &url, &args.redaction, &draft)?,
        None => {
            let mut config = place.config("emit")?;
            config.redaction = args.redaction.redaction()?;
            let store = indelible::Store::open(config)?;
            let receipt = Recorded::of(&store.append(&draft)?, store.identity()?);
            store.close()?;
            receipt
        }
    };
    let mut out = Out::open();
    if args.shape.is_json() {
        out.json_line(&receipt.json())?;
    } else {
        out.table(receipt.table(), &[])?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Has a server record it.
fn sent(server: &ServerArgs, url: &str, redaction: &RedactionArgs, draft: &Draft<'_>) -> Result<Recorded> {
    let connection = server.connect(url)?;
    let mut redactor = redaction.here()?;
    let told = redactor.with(draft, |draft| record(&connection, draft)).map_err(|error| {
        Failure::new("rejected", "the event was refused").cause(error.to_string()).hint("nothing was recorded")
    })??;
    Recorded::told(&told).ok_or_else(|| odd("a receipt"))
}

/// A receipt, whoever gave it.
struct Recorded {
    origin: String,
    log: String,
    /// Position and leaf; none where it is not remembered.
    place: Option<(u64, String)>,
    tenant_seq: Option<u64>,
    idempotence: String,
}

impl Recorded {
    fn of(receipt: &Receipt, identity: &Identity) -> Self {
        Self {
            origin: receipt.origin.to_string(),
            log: identity.log_name(receipt.log).to_owned(),
            place: receipt.seq.zip(receipt.leaf.map(|leaf| leaf.to_string())),
            tenant_seq: receipt.tenant_seq,
            idempotence: receipt.idempotence.name().to_owned(),
        }
    }

    /// As a server told it: none of an event that is not durable.
    fn told(told: &Value) -> Option<Self> {
        let text = |name: &str| told.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| told.get(name)?.as_u64();
        told.get("durable")?.as_bool()?.then_some(())?;
        Some(Self {
            origin: text("origin")?,
            log: text("log")?,
            place: number("seq").zip(text("leaf")),
            tenant_seq: number("tenant_seq"),
            idempotence: text("idempotence")?,
        })
    }

    fn json(&self) -> Vec<u8> {
        let mut object = Object::new();
        let (seq, leaf) = self.place.as_ref().map_or((None, None), |(seq, leaf)| (Some(seq), Some(leaf.as_str())));
        object.text("origin", &self.origin).text("log", &self.log).optional_number("seq", seq).optional_text("leaf", leaf);
        object.optional_number("tenant_seq", self.tenant_seq).text("idempotence", &self.idempotence).boolean("durable", true);
        object.finish()
    }

    fn table(&self) -> Table {
        let mut table = Table::pairs();
        table.pair("log", &self.log);
        if let (Some((seq, leaf)), Some(tenant_seq)) = (&self.place, self.tenant_seq) {
            table.pair("seq", seq.to_string()).pair("leaf", leaf).pair("tenant seq", tenant_seq.to_string());
        }
        table.pair("origin", &self.origin).pair("idempotence", &self.idempotence).pair("durable", "yes, synced to disk");
        table
    }
}

fn target(text: &str) -> Result<(&str, &str)> {
    text.split_once(':')
        .filter(|(kind, id)| !kind.is_empty() && !id.is_empty())
        .ok_or_else(|| Failure::usage(format!("--target {text} is not of the form TYPE:ID")).hint("for example --target repo:42"))
}

fn detail(text: &str) -> Result<(&str, Said)> {
    let refused = || {
        Failure::usage(format!("--detail {text} is not of the form KEY=VALUE")).hint("for example --detail reason=bad_password")
    };
    let (key, value) = text.split_once('=').ok_or_else(refused)?;
    if let Some(key) = key.strip_suffix(':') {
        return if key.is_empty() {
            Err(refused())
        } else {
            Ok((key, Said::Json(canonical(value, &format!("--detail {key}:="))?)))
        };
    }
    if key.is_empty() {
        return Err(refused());
    }
    // Strings, objects and arrays would need quotes or brackets, which are more likely to be meant as they are.
    let literal =
        matches!(value, "true" | "false" | "null") || value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let said = match literal.then(|| canonical(value, "")) {
        Some(Ok(json)) if json == value.as_bytes() => Said::Json(json),
        _ => Said::Text(value.to_owned()),
    };
    Ok((key, said))
}

fn canonical(text: &str, what: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    json::canonicalize(text.as_bytes(), &json::Limits::default(), &mut out).map_err(|error| {
        Failure::usage(format!("{what} is not JSON: {error}")).hint("quote it for the shell: '{\"attempt\":3}'")
    })?;
    Ok(out)
}

fn trace(text: &str) -> Result<Trace> {
    let refused = || {
        Failure::usage(format!("--trace {text} is no trace context"))
            .hint("give a traceparent such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    };
    let parts: Vec<&str> = text.split('-').collect();
    let (trace_id, span_id) = match parts.as_slice() {
        [trace_id, span_id] | ["00", trace_id, span_id, _] => (unhex(trace_id), unhex(span_id)),
        _ => return Err(refused()),
    };
    match (trace_id, span_id) {
        (Some(trace_id), Some(span_id)) => Ok(Trace { trace_id, span_id }),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> (String, String) {
        let (key, said) = detail(text).unwrap();
        let shown = match said {
            Said::Text(text) => format!("text {text}"),
            Said::Json(json) => format!("json {}", String::from_utf8(json).unwrap()),
        };
        (key.to_owned(), shown)
    }

    #[test]
    fn details_are_typed_by_how_they_look() {
        for (text, key, shown) in [
            ("reason=bad_password", "reason", "text bad_password"),
            ("n=3", "n", "json 3"),
            ("n=-1.50e2", "n", "json -1.50e2"),
            ("n=9007199254740993", "n", "json 9007199254740993"),
            ("n=007", "n", "text 007"),
            ("when=2021-01-31", "when", "text 2021-01-31"),
            ("n=1 ", "n", "text 1 "),
            ("yes=true", "yes", "json true"),
            ("none=null", "none", "json null"),
            ("empty=", "empty", "text "),
            ("list=[1]", "list", "text [1]"),
            ("list:=[1, 2]", "list", "json [1,2]"),
            ("url=a=b", "url", "text a=b"),
        ] {
            assert_eq!(said(text), (key.to_owned(), shown.to_owned()), "{text}");
        }
        for text in ["novalue", "=x", ":=1", "k:={"] {
            assert!(detail(text).is_err(), "{text}");
        }
    }

    #[test]
    fn trace_contexts_are_read_and_nothing_else() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace(&format!("00-{id}-00f067aa0ba902b7-01")).unwrap().span_id[1], 0xf0);
        assert_eq!(trace(&format!("{id}-00f067aa0ba902b7")).unwrap().trace_id[0], 0x4b);
        for text in ["", "00", id, "zz-00", &format!("01-{id}-00f067aa0ba902b7-01"), &format!("{id}-00f067aa0ba902b")] {
            assert!(trace(text).is_err(), "{text}");
        }
    }
}

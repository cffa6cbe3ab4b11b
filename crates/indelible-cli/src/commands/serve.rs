//! `indelible serve`: the store as a server.

use std::path::PathBuf;

use clap::Args;
use indelible::{Config as StoreConfig, LaneConfig, Overflow, Store};
use indelible_server::config::{Config, Sources};
use indelible_server::{Ready, serve};

use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::{Out, ShapeOption};

/// Serve the store: HTTP API, other people's protocols, C2SP logs.
///
/// Without a configuration it listens on 127.0.0.1:8410, makes the store if there is none, and prints a token for everything the first time it is
/// started. SIGTERM lets requests end and closes the store; SIGHUP reads the configuration again.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) sources: SourcesArgs,

    #[command(flatten)]
    shape: ShapeOption,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourcesArgs {
    /// Configuration file; `indelible config init` writes one
    #[arg(long, value_name = "FILE", env = "INDELIBLE_CONFIG")]
    config: Option<PathBuf>,

    /// Set one key, such as listen.http=0.0.0.0:8410; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SourcesArgs {
    /// What the server reads, now and when it is told to read it again. `--data` and `--state` are flags like others.
    pub(crate) fn sources(&self, place: &Place) -> Result<Sources> {
        let mut flags = Vec::new();
        for text in &self.set {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--set {text} is not of the form KEY=VALUE"))
                    .hint("for example --set listen.http=0.0.0.0:8410")
            })?;
            flags.push((key.to_owned(), value.to_owned()));
        }
        for (key, path) in [("store.data", place.named_data()), ("store.state", place.named_state())] {
            if let Some(path) = path {
                flags.push((key.to_owned(), path.to_string_lossy().into_owned()));
            }
        }
        // Relative paths mean the same after a reload, whatever happens to the working directory.
        let file = self.config.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        Ok(Sources { file, flags })
    }

    /// The configuration as it is now.
    pub(crate) fn load(&self, place: &Place) -> Result<(Sources, Config)> {
        let sources = self.sources(place)?;
        let config = Config::load(&sources, &|name| std::env::var(name).ok());
        let config = config.map_err(|error| {
            Failure::usage(format!("the configuration cannot be used:\n{error}"))
                .hint("`indelible config init` writes every key with its default")
        })?;
        Ok((sources, config))
    }
}

pub(crate) fn run(place: &Place, args: &ServeArgs) -> Result<Exit> {
    let (sources, config) = args.sources.load(place)?;
    let store = Store::open(store_config(place, &config)?)?;
    let json = args.shape.is_json();
    let mut told = Ok(());
    let served = serve(store, sources, config, |ready| told = tell(&ready, json));
    told?;
    served.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let failure = Failure::new("serve", error.to_string());
        match cause {
            Some(cause) => {
                failure.cause(cause).hint("is another server running there? choose another address with --set listen.http=…")
            }
            None => failure,
        }
    })?;
    Ok(Exit::Ok)
}

/// How the server opens its store.
pub(crate) fn store_config(place: &Place, config: &Config) -> Result<StoreConfig> {
    let mut store = place.config("serve")?.profile(config.profile());
    let named = |name: &str, path: &mut PathBuf| {
        if !config.text(name).is_empty() {
            *path = config.text(name).into();
        }
    };
    named("store.data", &mut store.dir);
    let mut state = store.trusted_state_dir.take().unwrap_or_default();
    named("store.state", &mut state);
    store.trusted_state_dir = Some(state);
    store.create = true;
    store.prefix = config.text("store.prefix").to_owned();
    store.tenant = config.text("store.tenant").to_owned();
    store.search_cache_bytes = config.size("store.search_cache");
    store.disk_reserve_bytes = config.number("store.disk_reserve");
    store.tenant_counts_interval = Some(config.time("store.tenant_counts"));
    store.receipts_remembered = RECEIPTS;
    // A request says 503 when there is no room for so long.
    let wait = Overflow::Block(config.time("limits.emit_time"));
    for lane in [&mut store.lanes.critical, &mut store.lanes.normal, &mut store.lanes.telemetry] {
        *lane = LaneConfig { overflow: wait, ..*lane };
    }
    Ok(store)
}

/// Receipts whose leaf is at hand when a batch asks for it: more than all connections have on their way.
const RECEIPTS: usize = 131_072;

fn tell(ready: &Ready, json: bool) -> Result<()> {
    let url = format!("{}://{}", if ready.tls { "https" } else { "http" }, ready.address);
    let mut out = Out::open();
    if json {
        let mut object = Object::new();
        object.text("url", &url).text("data", &ready.data.to_string_lossy()).optional_text("token", ready.token.as_deref());
        out.json_line(&object.finish())?;
        return out.flush();
    }
    out.line(&format!("Indelible serves {} at {url}", ready.data.display()))?;
    if let Some(token) = &ready.token {
        out.line("")?;
        out.line("A token for everything, shown this once:")?;
        out.line(&format!("  {token}"))?;
        out.line("")?;
        out.line("Record the first event:")?;
        out.line(&format!("  curl {url}/api/v1/events -H 'authorization: Bearer {token}' -d '{{\"action\":\"user.login\",\"actor\":{{\"id\":\"alice\"}}}}'"))?;
    }
    out.flush()
}

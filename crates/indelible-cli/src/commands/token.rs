//! `indelible token` and `indelible tenant`: who may use a server, straight in its data directory while no server runs.

use clap::{Args, Subcommand};
use indelible::search::time::parse;
use indelible::{Draft, Outcome, Store, taxonomy, time};
use indelible_server::access::{Access, Masks, SYSTEM_TENANT, Scopes, Token, TokenSpec};

use crate::commands::tenant;
use crate::data_dir::Place;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json::Object;
use crate::output::table::Table;
use crate::output::{Out, ShapeOption};
use crate::question::now_ns;

/// Make, list and revoke tokens.
///
/// Works on the data directory, so the server must not run; of a running server ask its API. Every change is an event of the tenant _system.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token and print its secret, this once
    Create {
        /// What people call it
        #[arg(value_name = "NAME")]
        name: String,
        /// What it is for, separated by commas: emit, read, audit, admin
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
        scope: Vec<String>,
        /// Its tenants, separated by commas; all if left out
        #[arg(long, value_name = "TENANTS", value_delimiter = ',')]
        tenant: Vec<String>,
        /// What it does not get to see, separated by commas: identity, content
        #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
        mask: Vec<String>,
        /// Until when it holds: now+90d, 2027-01-31
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Events a second, instead of what is configured
        #[arg(long, value_name = "N")]
        events_per_second: Option<u32>,
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Show all tokens, without their secrets
    List {
        #[command(flatten)]
        shape: ShapeOption,
    },
    /// Let a token hold no more
    Revoke {
        /// Its id, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Make and list tenants.
#[derive(Debug, Args)]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    verb: TenantVerb,
}

#[derive(Debug, Subcommand)]
enum TenantVerb {
    /// Make a tenant
    Create {
        /// 1 to 64 of a-z, 0-9, dot, - and _, beginning and ending with a letter or digit
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Write all events of a tenant with what proves that none is missing: for `indelible verify --tenant`
    Export(tenant::ExportArgs),
    /// Show all tenants
    List {
        #[command(flatten)]
        shape: ShapeOption,
    },
}

pub(crate) fn run(place: &Place, args: &TokenArgs) -> Result<Exit> {
    let mut out = Out::open();
    match &args.verb {
        TokenVerb::Create { name, scope, tenant, mask, expires, events_per_second, shape } => {
            let word = |word: String| {
                Failure::usage(format!("there is no {word:?}"))
                    .hint("scopes are emit, read, audit, admin; masks identity, content")
            };
            let spec = TokenSpec {
                name: name.clone(),
                scopes: Scopes::read(scope).map_err(word)?,
                tenants: (!tenant.is_empty()).then(|| tenant.clone()),
                masks: Masks::read(mask).map_err(word)?,
                expires: expires.as_deref().map(|text| parse(text, now_ns())).transpose()?,
                events_per_second: *events_per_second,
            };
            let new = changed(place, |access, store| {
                let new = access.create_token(spec, now_ns()).map_err(refused)?;
                let scopes = new.token.scopes.names().join(" ");
                let draft = Draft::new(taxonomy::TOKEN_ISSUE).target("token", &new.token.id).detail("name", &new.token.name);
                record(store, draft.detail("scopes", &scopes))?;
                Ok(new)
            })?;
            if shape.is_json() {
                let mut object = Object::new();
                describe(&new.token, &mut object);
                object.text("token", new.secret.reveal());
                out.json_line(&object.finish())?;
            } else {
                out.line(new.secret.reveal())?;
                eprintln!("token {} ({}); it is shown this once", new.token.id, new.token.scopes.names().join(", "));
            }
        }
        TokenVerb::List { shape } => {
            let access = Access::open(&place.data()?).map_err(refused)?;
            list(&access.tokens(), *shape, &mut out)?;
        }
        TokenVerb::Revoke { id } => {
            let token = changed(place, |access, store| {
                let token = access.revoke_token(id, now_ns()).map_err(refused)?;
                let token = token.ok_or_else(|| {
                    Failure::new("not_found", format!("there is no token {id}")).hint("`indelible token list` shows all")
                })?;
                record(store, Draft::new(taxonomy::TOKEN_REVOKE).target("token", &token.id))?;
                Ok(token)
            })?;
            out.line(&format!("token {} holds no more", token.id))?;
        }
    }
    out.flush()?;
    Ok(Exit::Ok)
}

pub(crate) fn run_tenant(place: &Place, args: &TenantArgs) -> Result<Exit> {
    let mut out = Out::open();
    match &args.verb {
        TenantVerb::Create { name } => {
            let is_new = changed(place, |access, store| {
                let is_new = access.create_tenant(name, now_ns()).map_err(refused)?;
                if is_new {
                    record(store, Draft::new(taxonomy::CONFIG_CHANGE).target("tenant", name).detail("what", "tenant made"))?;
                }
                Ok(is_new)
            })?;
            out.line(&format!("tenant {name} {}", if is_new { "is made" } else { "was there" }))?;
        }
        TenantVerb::Export(args) => tenant::export(place, args, &mut out)?,
        TenantVerb::List { shape } => {
            let tenants = Access::open(&place.data()?).map_err(refused)?.tenants();
            if shape.is_json() {
                let mut object = Object::new();
                object.objects("tenants", &tenants, |object, tenant| {
                    object.text("name", &tenant.name).text("created", &time::format(tenant.created));
                });
                out.json_line(&object.finish())?;
            } else {
                let mut table = Table::new(["tenant", "created"]);
                for tenant in &tenants {
                    table.row([tenant.name.clone(), time::format(tenant.created)]);
                }
                out.table(table, &[])?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Changes who may do what, while nobody else writes to the store.
fn changed<T>(place: &Place, change: impl FnOnce(&Access, &Store) -> Result<T>) -> Result<T> {
    let mut config = place.config("token")?;
    config.sealing.background = false;
    let dir = config.dir.clone();
    let store = Store::open(config).map_err(|error| {
        let locked = error.kind() == indelible::ErrorKind::Locked;
        let failure = Failure::from(error);
        if locked {
            failure.hint("a running server makes tokens and tenants itself: POST /api/v1/tokens and /api/v1/tenants")
        } else {
            failure
        }
    })?;
    let access = Access::open(&dir).map_err(refused)?;
    let result = change(&access, &store);
    store.close()?;
    result
}

fn record(store: &Store, draft: Draft<'_>) -> Result<()> {
    let user = std::env::var("USER").unwrap_or_default();
    let mut draft = draft.outcome(Outcome::Success).tenant(SYSTEM_TENANT).source("indelible-cli");
    draft.actor.name = (!user.is_empty()).then_some(user.as_str());
    store.append(&draft)?;
    Ok(())
}

fn refused(error: indelible_server::access::AccessError) -> Failure {
    Failure::new("rejected", error.to_string())
}

fn describe(token: &Token, object: &mut Object) {
    object.text("id", &token.id).text("name", &token.name).texts("scopes", token.scopes.names());
    object.texts("tenants", token.tenants.iter().flatten().map(String::as_str)).boolean("all_tenants", token.tenants.is_none());
    object.texts("mask", token.masks.names()).text("created", &time::format(token.created));
    object.optional_text("expires", token.expires.map(time::format).as_deref());
    object.optional_text("revoked", token.revoked.map(time::format).as_deref());
}

fn list(tokens: &[std::sync::Arc<Token>], shape: ShapeOption, out: &mut Out) -> Result<()> {
    if shape.is_json() {
        let mut object = Object::new();
        object.objects("tokens", tokens, |object, token| describe(token, object));
        return out.json_line(&object.finish());
    }
    let mut table = Table::new(["id", "name", "scopes", "tenants", "masked", "until"]);
    for token in tokens {
        let until = match (token.revoked, token.expires) {
            (Some(revoked), _) => format!("revoked {}", time::format(revoked)),
            (None, Some(expires)) => time::format(expires),
            (None, None) => String::new(),
        };
        let tenants = token.tenants.as_ref().map_or_else(|| "all".to_owned(), |tenants| tenants.join(" "));
        table.row([
            token.id.clone(),
            token.name.clone(),
            token.scopes.names().join(" "),
            tenants,
            token.masks.names().join(" "),
            until,
        ]);
    }
    out.table(table, &[])
}

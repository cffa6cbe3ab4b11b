//! Records of other people's protocols: each is taken or refused by itself, and kept losslessly.

use indelible::format::limits;
use indelible::format::sha256::sha256;
use indelible::{Draft, Receipt};
use indelible_adapters::{Adapter, Format};

use super::{Intake, Recorded};
use crate::http::Problem;
use crate::http::caller::Caller;
use crate::metrics::{ByProtocol, Protocol};
use crate::server::Server;

/// The name that a record has by all of these together; no others have the same.
pub(crate) fn named(protocol: &str, parts: &[&str]) -> String {
    let mut name = protocol.to_owned();
    for part in parts {
        // Whatever stands in a part: its length says where it ends.
        name.push_str(&format!("/{}:{part}", part.len()));
    }
    name
}

/// The key under which a record of this name is recorded once: each token and tenant has its own. Neither has a slash in it.
fn key(token: &str, tenant: &str, name: &str) -> String {
    let key = format!("{token}/{tenant}/{name}");
    // What is longer than a key may be is told apart by its digest.
    if key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX { key } else { format!("{token}/{tenant}/{}", sha256(name.as_bytes())) }
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is durable; where, if that is remembered.
    Recorded(Option<Receipt>),
    /// It cannot be recorded: a stable word, and why.
    Refused(&'static str, String),
}

/// Records of one request, on their way.
pub(crate) struct Foreign<'s> {
    server: &'s Server,
    protocol: Protocol,
    tenant: &'s str,
    token: &'s str,
    adapter: Adapter,
    intake: Intake<'s>,
    /// By record: why it was refused, if it was.
    refusals: Vec<Option<(&'static str, String)>>,
}

impl<'s> Foreign<'s> {
    /// For records of `format`, or of whatever each is recognised as; all for one tenant of the caller's.
    ///
    /// # Errors
    /// The tenant is not the caller's; more than `limits.batch_events`; beyond its rate.
    pub(crate) fn new(
        server: &'s Server,
        caller: &'s Caller,
        tenant: Option<&'s str>,
        protocol: Protocol,
        format: Option<Format>,
        records: usize,
    ) -> Result<Self, Problem> {
        let tenant = caller.tenant(server, tenant)?;
        super::counted(server, super::few_enough(records, server.config().size("limits.batch_events")))?;
        super::admit(server, caller, tenant, records)?;
        let intake = Intake::new(server, protocol, records);
        let (token, adapter) = (caller.token.id.as_str(), Adapter::new(format));
        Ok(Self { server, protocol, tenant, token, adapter, intake, refusals: Vec::with_capacity(records) })
    }

    /// Takes a JSON record. `name`: what its sender would send again with it, see [`named`]. `dress` adds what the protocol says besides the record.
    ///
    /// # Errors
    /// The store takes nothing now: the request has failed.
    pub(crate) fn take(
        &mut self,
        record: &[u8],
        name: Option<&str>,
        dress: impl for<'d> FnOnce(Draft<'d>, &mut dyn FnMut(Draft<'_>) -> Result<(), Problem>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let key = name.map(|name| key(self.token, self.tenant, name));
        let (intake, tenant) = (&mut self.intake, self.tenant);
        let mut emit = |draft: Draft<'_>| intake.emit(&Draft { tenant: Some(tenant), idempotency_key: key.as_deref(), ..draft });
        let adapted = self.adapter.adapt(record, |draft| dress(draft.clone(), &mut emit));
        match adapted {
            Err(error) => self.refuse(error.code(), error.to_string()),
            Ok(adapted) => self.note(adapted.result)?,
        }
        Ok(())
    }

    /// Takes a draft that the protocol's own module made.
    ///
    /// # Errors
    /// As `take`.
    pub(crate) fn take_draft(&mut self, draft: Draft<'_>) -> Result<(), Problem> {
        let draft = Draft { tenant: Some(self.tenant), ..draft };
        let result = self.intake.emit(&draft);
        self.note(result)
    }

    /// Counts a record that cannot be taken.
    pub(crate) fn refuse(&mut self, code: &'static str, message: String) {
        self.refusals.push(Some((code, message)));
    }

    fn note(&mut self, result: Result<(), Problem>) -> Result<(), Problem> {
        match result {
            Ok(()) => self.refusals.push(None),
            Err(problem) if problem.code == "rejected" => self.refuse(problem.code, problem.detail),
            Err(problem) => return Err(problem),
        }
        Ok(())
    }

    /// Waits until all that was taken is durable; gives the fate of each record, in their order.
    ///
    /// # Errors
    /// As [`Intake::receipts`].
    pub(crate) async fn fates(self) -> Result<Vec<Fate>, Problem> {
        let Self { server, protocol, intake, refusals, .. } = self;
        let mut receipts = intake.receipts().await?.into_iter();
        let fates: Vec<Fate> = refusals
            .into_iter()
            .map(|refusal| match refusal {
                Some((code, message)) => Fate::Refused(code, message),
                None => match receipts.next() {
                    Some(Recorded::Durable(receipt)) => Fate::Recorded(Some(receipt)),
                    Some(Recorded::Refused(why)) => Fate::Refused("conflict", why),
                    // Nothing is shed that somebody waits for.
                    Some(Recorded::Somewhere | Recorded::Shed) | None => Fate::Recorded(None),
                },
            })
            .collect();
        let refused = fates.iter().filter(|fate| matches!(fate, Fate::Refused(..))).count() as u64;
        if refused > 0 {
            server.metrics.refused.get_or_create(&ByProtocol { protocol }).inc_by(refused);
        }
        Ok(fates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_different_parts_differ_and_no_key_is_too_long() {
        let parts = [["/x", "1/2"], ["/x/1", "2"], ["/x/1/2", ""], ["", "/x/1/2"], ["2:/x", "1"], ["2", ":/x/1"]];
        let names: std::collections::HashSet<String> = parts.iter().map(|parts| named("p", parts)).collect();
        assert_eq!(names.len(), parts.len());
        let (long, longer) = ("x".repeat(5_000), "x".repeat(5_001));
        let keys = [key("t", "a", &long), key("t", "a", &longer), key("t", "b", &long), key("u", "a", &long)];
        assert!(keys.iter().all(|key| key.len() < 100));
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
    }
}

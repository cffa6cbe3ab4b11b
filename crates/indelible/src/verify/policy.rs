//! The retention policy: `store.json` must say what log 0 says. Nothing signs that file, and it is what expiry goes by.

use indelible_format::json::Node;

use super::expired::Expiry;
use super::finding::{Code, Finding, Level};
use super::stream::{Details, Verifier};
use crate::identity::{Identity, LOG_CONTROL};
use crate::retain::Retention;

impl Details {
    /// Keeps what an entry of log 0 says about policies, holds and expiry.
    pub(super) fn of_retention(&mut self, kind: &str, seq: u64, entry: &Node<'_, '_>, findings: &mut Vec<Finding>) {
        if self.keep(kind, seq, entry).is_none() {
            let message = format!("a control entry `{kind}` lacks what such an entry says");
            let (code, level) = (Code::RecordMalformed, Level::Fail);
            findings.push(Finding { code, level, log: Some(LOG_CONTROL), at: Some(seq), message });
        }
    }

    fn keep(&mut self, kind: &str, seq: u64, entry: &Node<'_, '_>) -> Option<()> {
        let text = |key: &str| entry.get(key)?.as_str().map(drop);
        match kind {
            "expired" => drop(self.expiries.insert(seq, Expiry::read(entry)?)),
            "retention" => drop(self.policies.insert(seq, Retention::read(entry)?)),
            "hold.created" => text("name").and(text("query")).and(text("reason"))?,
            _ => text("name").and(text("reason"))?,
        }
        Some(())
    }
}

impl Verifier<'_> {
    /// The policy of `store.json` must be the one of the entry that it names, and that the newest.
    pub(super) fn check_policy(&mut self) {
        let policies = std::mem::take(&mut self.details.policies);
        let stated = self.identity.retention.clone();
        if let Some((entry, policy)) = &stated
            && policies.get(entry) != Some(policy)
        {
            let message = format!("the retention policy of store.json is not that of entry {entry} of log 0");
            self.fail(Code::StoreIdentity, Some(LOG_CONTROL), Some(*entry), message);
        }
        let Some((newest, _)) = policies.last_key_value() else { return };
        let lags = |stated: &Option<(u64, Retention)>| stated.as_ref().is_none_or(|(entry, _)| entry < newest);
        // A writer that is just taking one up says so in the log first.
        let now = || Identity::read(self.reader.world(), self.reader.dir()).map(|identity| identity.retention);
        if lags(&stated) && now().map_or(true, |now| lags(&now)) {
            let message = format!(
                "entry {newest} of log 0 announced another retention policy than that of store.json, and it was not taken up"
            );
            self.find(Code::StoreIdentity, Level::Warn, Some(LOG_CONTROL), Some(*newest), message);
        }
    }
}

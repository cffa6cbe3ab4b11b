//! What is said about an export as a whole: what was asked before it, and what came of it behind it.

use indelible::identity::Identity;
use indelible::search::Summary;
use indelible::time;

use super::ExportArgs;
use super::form::Form;
use crate::output::json::Object;
use crate::question::{Question, describe_heads};

/// The one key of the trailer. No event has it: those begin with `log`, or in OCSF with `metadata`.
const KEY: &str = "indelible_export";
const VERSION: u32 = 1;

/// What was asked, as the words on the command line: an interrupted export goes on only for the same.
pub(super) fn request(args: &ExportArgs, identity: &Identity) -> Vec<u8> {
    let mut object = Object::new();
    object.number("version", VERSION).text("store", &identity.store_hex()).text("format", args.form.name());
    object.texts("fields", args.fields.iter().map(String::as_str));
    if args.form == Form::Parquet {
        object.number("row_group", args.row_group);
    }
    args.question.describe(&mut object);
    object.finish()
}

/// Everything the trailer is made of, but the number of events.
pub(super) struct Trailer<'t> {
    pub(super) args: &'t ExportArgs,
    pub(super) question: &'t Question,
    pub(super) answer: &'t Summary,
    pub(super) identity: &'t Identity,
}

impl Trailer<'_> {
    /// The trailer. It holds nothing of this run, so that an export that was interrupted ends like one that was not.
    pub(super) fn json(&self, count: u64) -> Vec<u8> {
        let query = &self.question.query;
        let mut outer = Object::new();
        outer.object(KEY, |object| {
            object.number("version", VERSION).text("format", self.args.form.name()).text("store", &self.identity.store_hex());
            object.text("query", &self.question.filter.to_string());
            object.optional_text("since", query.since.map(time::format).as_deref());
            object.optional_text("until", query.until.map(time::format).as_deref());
            object.optional_text("log", query.log.map(|log| self.identity.log_name(log)));
            if !self.args.fields.is_empty() {
                object.texts("fields", self.args.fields.iter().map(String::as_str));
            }
            object.number("count", count).boolean("complete", self.answer.incomplete.is_none());
            object.optional_text("reason", self.answer.incomplete.as_deref());
            describe_heads(self.identity, &self.answer.heads, object);
        });
        outer.finish()
    }
}

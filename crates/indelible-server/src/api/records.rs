//! Answers for other programs of ours: the records themselves ([`indelible_adapters::RecordsReader`] reads them), without what is masked.

use axum::response::Response;
use indelible::format::disclose::disclose;
use indelible::format::record::Body;
use indelible::search::View;
use indelible::{Hash, Tag};
use indelible_adapters::{RECORDS_MEDIA_TYPE, write_end, write_seq};
use serde::Deserialize;
use utoipa::ToSchema;

/// Form of an answer with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnswerForm {
    /// One JSON object.
    #[default]
    Json,
    /// The records as they are stored, then the same object without them.
    Records,
}

/// Appends an event as a frame. A masked group is said to be withheld; the commitment to it is not told here, where no seed is at hand.
pub(crate) fn write_record(out: &mut Vec<u8>, view: &View<'_>, hidden: &[Tag]) {
    let before = out.len();
    write_seq(out, view.seq);
    let shown = disclose(view.record, out, |tag, body| if hidden.contains(&tag) { Body::Withheld(Hash::ZERO) } else { body });
    // It was a record before, and is no longer now.
    if shown.is_none() {
        out.truncate(before);
    }
}

/// The answer whose frames these are, with the members `said` (`,"name":value…`) as its end.
pub(crate) fn response(mut frames: Vec<u8>, said: &[u8]) -> Response {
    let end = [b"{", said.strip_prefix(b",").unwrap_or(said), b"}"].concat();
    write_end(&mut frames, &end);
    super::unkept(RECORDS_MEDIA_TYPE, frames)
}

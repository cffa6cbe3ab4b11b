//! Search: one `field:value` language over what is stored. docs/search.md describes it for users.
//!
//! Sealed events are found by index, by the bounds of pages, then by their columns; a record is put together only to be shown, where columns
//! do not tell, or to be counted by what they do not count. Behind them comes the journal, in which spans answer for well-known fields, so that no JSON is parsed for them.
//! Every answer says whether it is complete and how far each log reached.

mod aggregate;
mod explain;
mod facet;
mod fetch;
mod filter;
mod gather;
mod latest;
mod results;
mod scan;
mod sealed;
pub mod time;
mod view;

pub use aggregate::{
    Aggregate, Aggregator, COMBINATIONS_MAX, GROUPS_MAX, Group, Grouping, Groups, Interval, KEY_BYTES_MAX, Tally,
};
pub use explain::Explain;
pub use facet::Facet;
pub(crate) use filter::mask::Mask;
pub use filter::{
    DEPTH_MAX, FIELDS, FieldInfo, FieldKind, FieldTerm, Filter, FilterError, FilterErrorKind, KnownField, Limit, Matcher, Name,
    Pattern, Piece, QUERY_BYTES_MAX, Step, TERMS_MAX, Test, WILDCARDS_MAX,
};
pub use latest::{Latest, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PageEnd};
pub use results::ResultCounts;
pub(crate) use results::Results;
pub use scan::{Query, Summary};
pub use view::{Selector, View, select};

//! Search: one `field:value` language over what is stored. docs/search.md describes it for users.
//!
//! A search reads what is durable when it begins, by a scan over the journal in which spans answer for well-known fields, so that no
//! JSON is parsed for them. Every answer says whether it is complete and how far each log reached.

mod aggregate;
mod filter;
mod scan;
pub mod time;
mod view;

pub use aggregate::{
    Aggregate, Aggregator, COMBINATIONS_MAX, GROUPS_MAX, Group, Grouping, Groups, Interval, KEY_BYTES_MAX, Tally, Visit,
};
pub use filter::{
    DEPTH_MAX, FIELDS, FieldInfo, FieldKind, FieldTerm, Filter, FilterError, FilterErrorKind, KnownField, Limit, Matcher, Name,
    Pattern, Piece, QUERY_BYTES_MAX, Step, TERMS_MAX, Test, WILDCARDS_MAX,
};
pub use scan::{Query, Summary};
pub use view::{Selector, View, select};

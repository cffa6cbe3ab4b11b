//! Other people's audit events as Indelible drafts.
//!
//! The way of a record: [`for_each_record`] cuts a file into records → [`Adapter::adapt`] parses one record, finds its [`Format`],
//! splits it by path into an identity and a content part, maps the well-known fields and hands out a [`Draft`].
//!
//! Invariants:
//! - **Nothing is lost.** The two parts merged ([`split::merge`]) are the record again, every value and number lexeme equal.
//!   A record that readers could disagree about (a repeated key, half a surrogate pair) is kept byte for byte instead.
//! - **Who stays with who.** What is mapped into the head or into targets never comes from the identity part, so erasing an
//!   event's identity group erases every copy of it that a path can name. Free text that a source renders from its own fields
//!   (`Message`, `errorMessage`) is content; whoever must erase names from it erases the content group too.
//! - No input panics, and memory is bounded by [`ReadLimits`] and the limits of one record, whatever the file's size.
//!
//! The way back is [`write_event`], an event as JSON, the two parts merged again, which [`read_event`] reads as it was posted; and
//! [`write_ocsf`], an event as OCSF. Between our own programs
//! records travel as they are: [`RecordsReader`].
//!
//! This crate does not know journals, segments or keys.
//!
//! [`Draft`]: indelible_format::Draft

mod action;
mod adapter;
mod cloudtrail;
mod detect;
mod facts;
mod format;
mod found;
mod from_draft;
mod from_json;
mod generic;
mod hexadecimal;
mod kubernetes;
#[cfg(any(feature = "tracing", feature = "tower"))]
mod layer;
mod ocsf;
mod ocsf_names;
mod opaque;
mod opentelemetry;
pub mod plan;
mod reader;
pub mod split;
mod stream;
mod time;
mod to_csv;
mod to_json;
mod to_ocsf;
mod to_ocsf_classes;
#[cfg(feature = "tower")]
mod tower_layer;
#[cfg(feature = "tracing")]
mod tracing_layer;
mod windows;
mod windows_events;
mod wire;

pub use adapter::{AdaptError, Adapted, Adapter, Notes};
pub use detect::detect;
pub use format::{Format, UnknownFormat};
pub use from_draft::{DraftError, write_draft};
pub use from_json::{EventError, PostedEvent, read_event, read_events};
#[cfg(any(feature = "tracing", feature = "tower"))]
pub use layer::LayerCounts;
pub use reader::{ReadLimits, RecordError, RecordErrorKind, RecordSlice, Totals, for_each_record};
pub use to_csv::{CSV_COLUMNS, write_csv};
pub use to_json::{write_details, write_event, write_event_without};
pub use to_ocsf::write_ocsf;
#[cfg(feature = "tower")]
pub use tower_layer::{Asked, AskedBy, Audited, AuditedFuture, TowerLayer};
#[cfg(feature = "tracing")]
pub use tracing_layer::TracingLayer;
pub use wire::{RECORDS_MEDIA_TYPE, Received, RecordsReader, write_end, write_seq};

//! One event as people and programs get it: columns of a list, a JSON object.

use std::borrow::Cow;

use indelible::identity::Identity;
use indelible::search::{Selector, View};
use indelible_adapters::{CSV_COLUMNS, write_event};

use crate::failure::Result;
use crate::output::json::Object;
use crate::question::place_text;

/// A column of a list of events.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The position, as `show` takes it.
    Place,
    /// The first of these that the event has.
    Fields(Vec<Selector>),
}

impl Column {
    fn of(title: &str, names: &[&str]) -> Result<Self> {
        let selectors = names.iter().map(|name| Selector::new(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { title: title.to_owned(), source: Source::Fields(selectors) })
    }

    /// The columns that `--fields` names.
    pub(crate) fn named(names: &[String]) -> Result<Vec<Self>> {
        names.iter().map(|name| Self::of(name.trim(), &[name.trim()])).collect()
    }

    /// What a table shows when nobody says otherwise.
    pub(crate) fn for_eyes() -> Result<Vec<Self>> {
        Ok(vec![
            Self { title: "seq".to_owned(), source: Source::Place },
            Self::of("time", &["time"])?,
            Self::of("action", &["action"])?,
            Self::of("outcome", &["outcome"])?,
            Self::of("actor", &["actor.id", "actor.name", "actor.email"])?,
            Self::of("ip", &["origin.ip"])?,
            Self::of("target", &["target"])?,
        ])
    }

    /// What a spreadsheet gets when nobody says otherwise.
    pub(crate) fn for_spreadsheets() -> Result<Vec<Self>> {
        CSV_COLUMNS.iter().map(|name| Self::of(name, &[name])).collect()
    }

    /// What stands in it for this event.
    pub(crate) fn text<'v>(&self, view: &View<'v>, identity: &Identity) -> Option<Cow<'v, str>> {
        match &self.source {
            Source::Place => Some(Cow::Owned(place_text(identity, view.log, view.seq))),
            Source::Fields(selectors) => selectors.iter().find_map(|selector| selector.text(view)),
        }
    }
}

/// The event as a JSON object: what was said, under the names of the search language; stored JSON as it was stored.
pub(crate) fn event_json(view: &View<'_>, identity: &Identity) -> Vec<u8> {
    let mut json = Vec::with_capacity(view.record.bytes().len() + 512);
    write_event(&mut json, identity.log_name(view.log), view.seq, view.record, view.head);
    json
}

/// Only these columns.
pub(crate) fn columns_json(view: &View<'_>, identity: &Identity, columns: &[Column]) -> Vec<u8> {
    let mut object = Object::new();
    for column in columns {
        object.optional_text(&column.title, column.text(view, identity).as_deref());
    }
    object.finish()
}

/// Media type and bytes of a raw group.
pub(crate) fn raw_parts(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// From hexadecimal digits, exactly as many as are wanted.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

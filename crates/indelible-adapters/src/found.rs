//! What a walk along a plan found in one record: where the values of its well-known fields stand.

use std::borrow::Cow;
use std::cell::Cell;

use indelible_format::json::{self, Kind, walk};
use indelible_format::limits;

use crate::plan::SLOTS_MAX;

/// The fields found in one record. Values borrow from the record's canonical bytes.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    bytes: &'a [u8],
    slots: [Option<Place>; SLOTS_MAX],
    /// A text was longer than a mapped field may be.
    too_long: Cell<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
    rank: u16,
    kind: Kind,
}

/// One value of the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: Kind,
}

impl<'a> Found<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, slots: [None; SLOTS_MAX], too_long: Cell::new(false) }
    }

    /// Notes that the field `slot` stands at `range`, unless a better path already had it.
    pub(crate) fn note(&mut self, (slot, rank): (u8, u16), range: &std::ops::Range<usize>, kind: Kind) {
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return };
        if place.is_some_and(|better| better.rank < rank) || kind == Kind::Null {
            return;
        }
        if let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end)) {
            *place = Some(Place { start, end, rank, kind });
        }
    }

    /// The value of a field; null counts as absent.
    pub(crate) fn value(&self, slot: u8) -> Option<Value<'a>> {
        let place = (*self.slots.get(usize::from(slot))?)?;
        let bytes = self.bytes.get(place.start as usize..place.end as usize)?;
        Some(Value { bytes, kind: place.kind })
    }

    /// The field as text to map: a string or number, neither empty nor longer than a mapped field may be.
    pub(crate) fn text(&self, slot: u8) -> Option<Cow<'a, str>> {
        let value = self.value(slot)?;
        if value.bytes.len() > limits::STRING_BYTES_MAX {
            self.too_long.set(true);
            return None;
        }
        value.text()
    }

    /// The first of `slots` that has text.
    pub(crate) fn first_text(&self, slots: &[u8]) -> Option<Cow<'a, str>> {
        slots.iter().find_map(|slot| self.text(*slot))
    }

    /// The field as an integer: a number without point or exponent, or a string of one.
    pub(crate) fn integer(&self, slot: u8) -> Option<i64> {
        self.value(slot)?.integer()
    }

    /// The elements of an array; the value itself if it is none.
    pub(crate) fn elements(&self, slot: u8) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let value = self.value(slot);
        let single = value.filter(|value| value.kind != Kind::Array);
        let array = value.filter(|value| value.kind == Kind::Array);
        single.into_iter().chain(array.into_iter().flat_map(|array| {
            walk::elements(array.bytes)
                .map_while(Result::ok)
                .filter_map(move |element| Some(Value { bytes: array.bytes.get(element.value)?, kind: element.kind }))
        }))
    }

    pub(crate) fn any_too_long(&self) -> bool {
        self.too_long.get()
    }
}

impl<'a> Value<'a> {
    /// A non-empty string or a number, within what a mapped field may have.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        if self.bytes.len() > limits::STRING_BYTES_MAX {
            return None;
        }
        let inside = match self.kind {
            Kind::String => self.bytes.get(1..self.bytes.len().saturating_sub(1))?,
            Kind::Number => self.bytes,
            _ => return None,
        };
        let text = std::str::from_utf8(inside).ok().filter(|text| !text.is_empty())?;
        Some(if self.kind == Kind::String { json::unescape(text) } else { Cow::Borrowed(text) })
    }

    pub(crate) fn integer(self) -> Option<i64> {
        self.text()?.parse().ok()
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match (self.kind, self.bytes) {
            (Kind::Bool, bytes) => Some(bytes == b"true"),
            (Kind::String, b"\"true\"" | b"\"True\"" | b"\"TRUE\"") => Some(true),
            (Kind::String, b"\"false\"" | b"\"False\"" | b"\"FALSE\"") => Some(false),
            _ => None,
        }
    }

    /// A member of an object. Keys asked for have nothing to escape.
    pub(crate) fn member(self, key: &str) -> Option<Self> {
        if self.kind != Kind::Object {
            return None;
        }
        let member = walk::members(self.bytes).map_while(Result::ok).find(|member| member.key == key.as_bytes())?;
        Some(Self { bytes: self.bytes.get(member.value)?, kind: member.kind })
    }

    /// The first of `keys` that is text.
    pub(crate) fn first_member(self, keys: &[&str]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| self.member(key)?.text())
    }
}

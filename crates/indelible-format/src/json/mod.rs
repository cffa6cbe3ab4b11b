//! JSON at the door: the one parser that decides what is JSON, and the canonical form that is hashed.
//!
//! Strict RFC 8259 over bytes, and stricter where two readers could disagree: a repeated object key, a lone surrogate, a byte
//! order mark and bytes that are no UTF-8 are refused. Numbers are never interpreted: their lexemes (`1e400`, `-0`, `1.0`,
//! 2^53+1) stay as they were written.
//!
//! Canonical form (normative: docs/format/event.md): no white space; keys in UTF-16 code unit order (RFC 8785 §3.2.3); the
//! string escapes of RFC 8785 §3.2.2.2; number lexemes verbatim.
//!
//! - [`Document`] holds a flat tape and is reused from parse to parse; [`Node`] is a cheap view of one value in it.
//! - [`canonical`] checks bytes that claim to be canonical in one pass and without a tape.
//! - [`walk`] steps through bytes that are already canonical without a tape.
//! - [`write_string`] and friends are the only place that writes a JSON string.
//!
//! Invariants: nothing here recurses over input deeper than [`DEPTH_CAP`]; memory is bounded by the input and by
//! [`Limits::nodes_max`]; no input panics.

pub mod canonical;
mod error;
mod escape;
mod keys;
mod node;
mod parse;
mod scan;
mod tape;
pub mod walk;

#[cfg(test)]
mod tests;

pub use error::{Error, ErrorKind};
pub(crate) use escape::is_plain;
pub use escape::{unescape, write_escaped, write_string};
pub use keys::compare_keys;
pub use node::{Elements, Entries, Key, Node};
pub use tape::{Document, Kind};

/// The most bytes any limit can allow: offsets on the tape are `u32`.
pub const BYTES_CAP: usize = u32::MAX as usize;
/// The most nested arrays and objects any limit can allow: writing recurses once per level.
pub const DEPTH_CAP: usize = 1024;
/// The most nodes any limit can allow: the tape counts members in 27 bits.
pub const NODES_CAP: usize = (1 << 27) - 1;

/// What one parse may cost. A limit above its cap counts as the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of input, white space included; at most [`BYTES_CAP`].
    pub bytes_max: usize,
    /// Arrays and objects inside one another; 0 allows scalars only. At most [`DEPTH_CAP`].
    pub depth_max: usize,
    /// Values and object keys, each 16 bytes of tape (a key takes 24 more until its object closes). At most [`NODES_CAP`].
    pub nodes_max: usize,
}

impl Default for Limits {
    /// 4 MiB of input, 128 levels, one million nodes: at most 16 MiB of tape.
    fn default() -> Self {
        Self { bytes_max: 4 << 20, depth_max: 128, nodes_max: 1_000_000 }
    }
}

/// Appends the canonical form of `input` to `out`.
///
/// # Errors
/// The first thing wrong with `input`; `out` is then as it was.
///
/// # Cost
/// One parse and one copy. Allocates a tape: keep a [`Document`] and use [`Node::write_canonical`] where that matters.
pub fn canonicalize(input: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Result<(), Error> {
    Document::new().parse(input, limits)?.write_canonical(out);
    Ok(())
}

/// Whether `input` is JSON within `limits` and already its own canonical form.
///
/// # Cost
/// One parse, no output. Allocates a tape: keep a [`Document`] and ask [`Node::is_canonical`] where that matters.
#[must_use]
pub fn is_canonical(input: &[u8], limits: &Limits) -> bool {
    Document::new().parse(input, limits).is_ok_and(|node| node.is_canonical() && node.raw().len() == input.len())
}

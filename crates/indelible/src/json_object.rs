//! Writing small canonical JSON objects: control entries, the manifest.

use indelible_format::json;

/// Writes one canonical JSON object; the caller gives the members in the order of their keys.
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn new() -> Self {
        Self(b"{".to_vec())
    }

    /// Begins a member; its value is to be appended.
    pub(crate) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        json::write_string(&mut self.0, key);
        self.0.push(b':');
        &mut self.0
    }

    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        json::write_string(self.key(key), value);
        self
    }

    pub(crate) fn number(mut self, key: &str, value: u64) -> Self {
        self.key(key).extend_from_slice(value.to_string().as_bytes());
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

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

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { b"true" } else { b"false" })
    }

    /// A member whose value is canonical JSON already.
    pub(crate) fn raw(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key).extend_from_slice(json);
        self
    }

    /// A member that is a list of texts.
    pub(crate) fn list(mut self, key: &str, texts: impl Iterator<Item = String>) -> Self {
        let out = self.key(key);
        out.push(b'[');
        for (nth, text) in texts.enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            json::write_string(out, &text);
        }
        out.push(b']');
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

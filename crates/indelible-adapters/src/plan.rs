//! Plans: which paths of a record are identity, and where its well-known fields are.
//!
//! A plan is a trie over object keys, walked in step with the record. Children are sorted as canonical JSON sorts keys, so that
//! one pass over an object's members with one cursor over the children finds every path; nothing is looked up by hash or
//! search. That holds while the plan's own keys are ASCII, which sorts alike as bytes and as UTF-16; other keys are compared
//! one by one.

use indelible_format::json;

/// How many distinct fields one plan can find.
pub(crate) const SLOTS_MAX: usize = 64;

/// A set of paths, ready to be walked.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    root: Node,
    /// Paths with a slot so far.
    ranks: u16,
}

/// One key of a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    children: Vec<(Box<str>, Self)>,
    /// All children's keys are ASCII.
    ascii: bool,
    /// The value at this path moves to the identity part, whole.
    pub(crate) identity: bool,
    /// Some path below this one moves.
    pub(crate) moves_below: bool,
    /// The field this path holds, and how good a source of it the path is (less is better).
    pub(crate) slot: Option<(u8, u16)>,
}

impl Plan {
    /// A plan that moves the values at `paths` to the identity part. Of two paths, one of which is the beginning of the other,
    /// the shorter decides; an empty path is ignored, since a record is never moved whole.
    ///
    /// ```
    /// use indelible_adapters::{plan::Plan, split};
    /// let plan = Plan::new([vec!["user"], vec!["request", "ip"]]);
    /// let (mut identity, mut content) = (Vec::new(), Vec::new());
    /// split::split(br#"{"request":{"ip":"::1","verb":"get"},"user":"a"}"#, &plan, &mut identity, &mut content)?;
    /// assert_eq!(identity, br#"{"request":{"ip":"::1"},"user":"a"}"#);
    /// assert_eq!(content, br#"{"request":{"verb":"get"}}"#);
    /// # Ok::<(), indelible_format::json::walk::Malformed>(())
    /// ```
    #[must_use]
    pub fn new<P, K>(paths: impl IntoIterator<Item = P>) -> Self
    where
        P: IntoIterator<Item = K>,
        K: AsRef<str>,
    {
        let mut plan = Self::default();
        for path in paths {
            let path: Vec<K> = path.into_iter().collect();
            plan.add(&path, true, None);
        }
        plan.finish()
    }

    /// Adds a path. Paths added earlier are better sources of their slot; a path holds one slot, the first it is given.
    pub(crate) fn add<K: AsRef<str>>(&mut self, path: &[K], identity: bool, slot: Option<u8>) {
        if path.is_empty() {
            return;
        }
        let mut node = &mut self.root;
        for key in path {
            node = node.child_mut(key.as_ref());
        }
        node.identity |= identity;
        if node.slot.is_none() {
            node.slot = slot.map(|slot| (slot, self.ranks));
            self.ranks += 1;
        }
    }

    /// Sorts it; call once, after the last path.
    #[must_use]
    pub(crate) fn finish(mut self) -> Self {
        self.root.finish();
        self
    }

    pub(crate) const fn root(&self) -> &Node {
        &self.root
    }
}

impl Node {
    fn child_mut(&mut self, key: &str) -> &mut Self {
        let at = self.children.iter().position(|(name, _)| &**name == key).unwrap_or_else(|| {
            self.children.push((key.into(), Self::default()));
            self.children.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "`at` was found or made just above")]
        &mut self.children[at].1
    }

    fn finish(&mut self) {
        self.children.sort_by(|(a, _), (b, _)| json::compare_keys(a, b));
        self.ascii = self.children.iter().all(|(key, _)| key.is_ascii());
        for (_, child) in &mut self.children {
            child.finish();
            self.moves_below |= child.identity || child.moves_below;
        }
    }

    pub(crate) const fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The child for the next member's key, still escaped as in canonical JSON. `cursor` starts at 0 for every object.
    #[inline]
    pub(crate) fn child(&self, cursor: &mut usize, key: &[u8]) -> Option<&Self> {
        if !self.ascii || key.contains(&b'\\') {
            return self.child_slow(key);
        }
        while let Some((name, child)) = self.children.get(*cursor) {
            match name.as_bytes().cmp(key) {
                std::cmp::Ordering::Less => *cursor += 1,
                std::cmp::Ordering::Equal => return Some(child),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    #[cold]
    fn child_slow(&self, key: &[u8]) -> Option<&Self> {
        let key = json::unescape(std::str::from_utf8(key).ok()?);
        self.children.iter().find(|(name, _)| **name == *key).map(|(_, child)| child)
    }
}

//! Plans: which paths of a record are identity, and where its well-known fields are.
//!
//! A plan is a trie over object keys, walked in step with the record: every member's key is looked up once among the children
//! of where the walk stands. Most keys of a record are in no plan, so that answer has to be the quick one: keys are kept in
//! buckets by first byte and length, and most buckets are empty.

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
    /// `BUCKETS` of them, or none when there are no children.
    buckets: Vec<Vec<(Box<str>, Self)>>,
    /// The value at this path moves to the identity part, whole.
    pub(crate) identity: bool,
    /// Some path below this one moves.
    pub(crate) moves_below: bool,
    /// The field this path holds, and how good a source of it the path is (less is better).
    pub(crate) slot: Option<(u8, u16)>,
}

const BUCKETS: usize = 64;

#[inline]
fn bucket_of(key: &[u8]) -> usize {
    let first = key.first().copied().unwrap_or(0);
    (usize::from(first) ^ (key.len() << 3)) % BUCKETS
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
        plan
    }

    /// Adds a path. Paths added earlier are better sources of their slot; a path holds one slot, the first it is given.
    pub(crate) fn add<K: AsRef<str>>(&mut self, path: &[K], identity: bool, slot: Option<u8>) {
        if path.is_empty() {
            return;
        }
        let mut node = &mut self.root;
        for key in path {
            node.moves_below |= identity;
            node = node.child_mut(key.as_ref());
        }
        node.identity |= identity;
        if node.slot.is_none() {
            node.slot = slot.map(|slot| (slot, self.ranks));
            self.ranks += 1;
        }
    }

    pub(crate) const fn root(&self) -> &Node {
        &self.root
    }
}

impl Node {
    fn child_mut(&mut self, key: &str) -> &mut Self {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        #[expect(clippy::indexing_slicing, reason = "there are BUCKETS of them")]
        let bucket = &mut self.buckets[bucket_of(key.as_bytes())];
        let at = bucket.iter().position(|(name, _)| &**name == key).unwrap_or_else(|| {
            bucket.push((key.into(), Self::default()));
            bucket.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "`at` was found or made just above")]
        &mut bucket[at].1
    }

    pub(crate) const fn has_children(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// The child for a member's key, which is still escaped as in canonical JSON.
    #[inline]
    pub(crate) fn child(&self, key: &[u8]) -> Option<&Self> {
        if memchr::memchr(b'\\', key).is_some() {
            return self.find(json::unescape(std::str::from_utf8(key).ok()?).as_bytes());
        }
        self.find(key)
    }

    #[inline]
    fn find(&self, key: &[u8]) -> Option<&Self> {
        let bucket = self.buckets.get(bucket_of(key))?;
        bucket.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, child)| child)
    }
}

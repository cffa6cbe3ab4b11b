"""RFC 6962 trees: docs/format/commitment.md."""
import functools
from hashlib import sha256

from .report import Malformed

GROUP_LEAVES = 256
EMPTY_ROOT = sha256(b"").digest()


def node_hash(left, right):
    return sha256(b"\x01" + left + right).digest()


def root_of_peaks(peaks):
    return functools.reduce(lambda right, left: node_hash(left, right), reversed(peaks)) if peaks else EMPTY_ROOT


class Tree:
    """RFC 6962 tree that keeps the roots of its complete subtrees, the largest first; those of its groups; and the leaves behind these."""

    def __init__(self):
        self.size = 0
        self.peaks = []
        self.groups = bytearray()
        self.leaves = []

    def append(self, leaf):
        size, peaks, leaves = self.size, self.peaks, self.leaves
        leaves.append(leaf)
        if len(leaves) == GROUP_LEAVES:
            leaves.clear()
            while size & GROUP_LEAVES - 1:
                leaf = node_hash(peaks.pop(), leaf)
                size &= size - 1
            self.groups += leaf
            size //= GROUP_LEAVES
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def append_group(self, root):
        """Goes on behind a whole group whose leaves nobody needs. The size is a multiple of 256."""
        self.groups += root
        self.size += GROUP_LEAVES
        place = self.size // GROUP_LEAVES
        while not place & 1:
            root = node_hash(self.peaks.pop(), root)
            place >>= 1
        self.peaks.append(root)

    def skip_to(self, size):
        """Goes on behind leaves that nobody knows: no root means anything from here on."""
        self.size, self.peaks, self.leaves = size, [bytes(32)] * size.bit_count(), [bytes(32)] * (size % GROUP_LEAVES)
        self.groups = self.groups.ljust(32 * (size // GROUP_LEAVES), b"\x00")

    def root(self):
        return root_of_peaks(self.peaks)


class Frontier:
    """RFC 6962 tree that grows by leaves and by whole subtrees, and keeps no more than its root needs."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def append(self, root, level=0):
        """Goes on by 2^level leaves of which this is the root. The size is a multiple of as many."""
        place = self.size >> level
        self.size += 1 << level
        while place & 1:
            root, place = node_hash(self.peaks.pop(), root), place >> 1
        self.peaks.append(root)

    def fill(self, end, roots):
        """Goes on up to `end`, by the roots of the largest complete subtrees that the leaves until there are made of."""
        for root in roots:
            if self.size >= end:
                raise Malformed(f"more hashes than it takes to reach position {end}")
            aligned = (self.size & -self.size).bit_length() - 1 if self.size else 64
            self.append(root, min(aligned, (end - self.size).bit_length() - 1))
        if self.size != end:
            raise Malformed(f"the hashes lead to position {self.size}, not to {end}")

    def root(self):
        return root_of_peaks(self.peaks)


def root_of_inclusion(leaf, index, size, path):
    """The root that `path` leads to from `leaf`, or None when a path for (index, size) has another length. RFC 9162 §2.1.3.2."""
    if index >= size:
        return None
    last, root = size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            root = node_hash(sibling, root)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        index, last = index >> 1, last >> 1
    return root if last == 0 else None

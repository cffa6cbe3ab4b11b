"""Beginnings of logs that have expired: what stays of them, and what log 0 has to say about it. docs/format/store.md § What has expired."""
from dataclasses import dataclass, field
from hashlib import sha256

from .merkle import GROUP_LEAVES, Tree, node_hash
from .notes import base64_bytes
from .octets import Fields
from .report import Malformed
from .state import take_producers, take_tenants
from .tenants import tenant_root

MAGIC = b"IDLEXPD\x01"
LEVELS = GROUP_LEAVES.bit_length() - 1


@dataclass
class Beginning:
    """A log before `below`. `anchors`: size → peaks of the tree of its group's leaves before it, the largest first."""
    log: int
    below: int
    roots: list
    tenants: dict
    producers: dict
    gaps: list
    anchors: dict
    held: bytes

    def tree(self, groups=None):
        """The tree of the first groups, or of all."""
        tree = Tree()
        for root in self.roots[:groups]:
            tree.append_group(root)
        return tree

    def root_at(self, size):
        """The root of `size`, which is no multiple of 256; None: nothing was kept to tell it."""
        if size not in self.anchors:
            return None
        tree = self.tree(size // GROUP_LEAVES)
        tree.peaks += self.anchors[size]
        return tree.root()


def parse_expired(data):
    fields = Fields(data[:-32])
    if fields.bytes(8) != MAGIC or sha256(data[:-32]).digest() != data[-32:]:
        raise Malformed("it has another magic, or is not the one of its digest")
    log, below = fields.number(4), fields.number(8)
    if below % GROUP_LEAVES:
        raise Malformed(f"{below} is not where a group ends")
    roots = fields.hashes(below // GROUP_LEAVES)
    tenants, producers = take_tenants(fields), take_producers(fields)
    gaps = [(fields.text(), *(fields.number(8) for _ in range(3))) for _ in range(fields.number(4))]
    anchors = {}
    for _ in range(fields.number(4)):
        size = fields.number(8)
        if anchors and size <= max(anchors) or not 0 < size < below or size % GROUP_LEAVES == 0:
            raise Malformed(f"an anchor of size {size} is out of order, or is none")
        anchors[size] = _peaks(fields, size % GROUP_LEAVES, roots[size // GROUP_LEAVES])
    held = fields.bytes(32)
    fields.end("digest of what is held")
    return Beginning(log, below, roots, tenants, producers, gaps, anchors, held)


def _peaks(fields, within, root):
    """Takes an anchor's nodes, which have to lead from `within` leaves to the root of their group. Gives the peaks among them."""
    level = (within & -within).bit_length() - 1
    index, node = (within >> level) - 1, fields.bytes(32)
    peaks = [node]
    for sibling in fields.hashes(LEVELS - level):
        if index & 1:
            peaks.append(sibling)
            node = node_hash(sibling, node)
        else:
            node = node_hash(node, sibling)
        index >>= 1
    if node != root:
        raise Malformed("an anchor's nodes do not lead to the root of its group")
    return peaks[::-1]


@dataclass
class Expiry:
    """What an `expired` entry says."""
    log: int
    below: int
    root: bytes
    sha256: bytes
    before: str
    held: int
    tenants: object  # (seed, root over their counts at `below`); None: it says nothing of them


def expiry_of(entry, seed):
    """`seed`: of the group that the entry lies in."""
    numbers = [entry[name] for name in ("log", "below", "held", "count", "policy")]
    if any(type(number) is not int or number < 0 for number in numbers) or not isinstance(entry["before"], str):
        raise Malformed("`expired` does not say what has expired")
    return Expiry(entry["log"], entry["below"], base64_bytes(entry["root"], 32), base64_bytes(entry["sha256"], 32), entry["before"],
                  entry["held"], (seed, base64_bytes(entry["tenants"], 32)) if "tenants" in entry else None)


@dataclass
class Met:
    """An expired beginning as the manifest told of it, and its file. `held`: events in sparse segments; None: not all of them were counted.
    `stays`: over the positions that the file says stay, and over those that were met."""
    said: object
    root: bytes
    tenants: dict
    stays: bytes
    held: object = None
    positions: object = field(default_factory=sha256)

    def stay(self, seq):
        if self.held is not None:
            self.held += 1
            self.positions.update(seq.to_bytes(8, "little"))


def check_expiries(met, expiries, gone, report):
    """Holds beginnings against log 0. `met`: {log: Met}; `expiries`: {position: Expiry}; `gone`: {log: claims that nothing can judge}."""
    for number, found in met.items():
        said, place = found.said, {"log": number, "seq": found.said.below}
        entry = expiries.get(said.entry)
        if not number or not entry or (entry.log, entry.below, entry.sha256, entry.root) != (number, said.below, said.sha256, found.root):
            report.add("expired-mismatch", f"{said.below} positions are said to have expired, and entry {said.entry} of log 0 does not say so",
                       **place)
            continue
        if found.held is not None and (found.held, found.positions.digest()) != (entry.held, found.stays):
            report.add("expired-mismatch", f"{entry.held} events that have expired were to stay because they are held, as entry {said.entry} of "
                       f"log 0 says; {found.held} are there, or others", **place)
        if entry.tenants and tenant_root(entry.tenants[0], found.tenants) != entry.tenants[1]:
            report.add("tenant-counts", f"the root of the tenants' counts at {said.below}, in entry {said.entry} of log 0, is not that of what "
                       "stays of them", **place)
        unknown = f"; {gone[number]} older checkpoints and heads cannot be compared any more" if number in gone else ""
        report.add("expired", f"PRUNED: what was received before {entry.before} has expired, {said.below} positions, as entry {said.entry} of "
                   f"log 0 says{unknown}", level="note", **place)

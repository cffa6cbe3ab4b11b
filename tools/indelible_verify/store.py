"""store.json, and what is known of each log while the store is read: docs/format/store.md."""
import json
import os
from dataclasses import dataclass, field

from .canonical import canonical_object
from .commitments import Salts
from .merkle import EMPTY_ROOT, Tree
from .octets import read_bytes
from .policy import stated_policy
from .report import Malformed, NotCanonical
from .restored import Succession, parse_predecessor, parse_recorder
from .tenants import tenant_root


@dataclass
class Log:
    """What is known of one log while its entries stream by."""
    number: int
    name: str
    origin: str
    created: bool = False
    tree: Tree = field(default_factory=Tree)
    boundaries: dict = field(default_factory=lambda: {0: EMPTY_ROOT})  # size → root, at the end of each frame, and of what is sealed
    asked: dict = field(default_factory=dict)  # size → root, for the sizes of outside checkpoints
    counted: dict = field(default_factory=dict)  # size → {seed: root of the tenants' counts}, for the sizes that log 0 has counts of
    counts_from: int = 0  # size of the newest entry `tenants`
    roots_agree: bool = True
    salts_group: int = -1
    salts: Salts = None
    tenants: dict = field(default_factory=dict)  # tenant → next tenant_seq
    hidden: int = 0  # positions whose tenant cannot be read
    signed: int = 0
    sealed: int = 0  # positions that are in segments, or have expired
    sparse: bool = False  # rows of what has expired are being read: some events, and hashes in place of the others
    lost_at: int = None  # from here on a segment could not be read, and no root can be known

    def append(self, leaf):
        self.tree.append(leaf)
        if self.asked and self.tree.size in self.asked:
            self.asked[self.tree.size] = self.tree.root()
        if self.counted and self.tree.size in self.counted and not self.sparse:
            self.count_tenants()

    def append_group(self, root):
        self.tree.append_group(root)
        if self.tree.size in self.asked:
            self.asked[self.tree.size] = self.tree.root()

    def ask(self, size):
        """Has the root of this size kept when the log gets there."""
        if size > self.tree.size:
            self.asked.setdefault(size)
        elif size == self.tree.size:
            self.asked[size] = self.tree.root()

    def ask_counts(self, size, seed):
        """Has the tenants counted when the log gets to this size, under a root that this seed blinds."""
        self.counted.setdefault(size, {}).setdefault(seed)
        if size == self.tree.size:
            self.count_tenants()

    def count_tenants(self):
        """Of a tenant that may be behind a hidden position, nobody can tell the number."""
        for seed in self.counted.get(self.tree.size, {}) if not self.hidden else ():
            self.counted[self.tree.size][seed] = tenant_root(seed, self.tenants)

    def lose(self, end):
        """Goes on at position `end`: what is before it cannot be read."""
        if self.lost_at is None:
            self.lost_at = self.tree.size
        self.hidden += end - self.tree.size
        self.tree.skip_to(end)
        self.roots_agree = False


class Store:
    """store.json, checked."""

    def __init__(self, directory, report):
        text = read_bytes(os.path.join(directory, "store.json"))
        self.logs, self.identity, self.public_key, self.retention = {}, None, None, None
        self.succession = Succession(None, [])
        try:
            self._parse(text.removesuffix(b"\n"))
        except (NotCanonical, Malformed, KeyError, TypeError, AttributeError, ValueError) as error:
            report.add("store-identity", f"store.json is not as store.md says: {error!r}")

    def _parse(self, text):
        canonical_object(text)
        stated = json.loads(text)
        if stated["format"] != 1:
            raise Malformed("format is not 1")
        recorder = parse_recorder(stated)
        predecessors = [parse_predecessor(before) for before in stated.get("predecessors", [])]
        self.identity, self.public_key = bytes.fromhex(recorder.store), recorder.public_key
        self.succession = Succession(recorder, predecessors)
        self.logs = {number: Log(number, name, origin) for number, (origin, name) in recorder.logs.items()}
        self.retention = stated_policy(stated)

"""The sealed part of a store: manifest, segments, state. docs/format/store.md and docs/format/segment.md."""
import os
import struct
from contextlib import suppress
from hashlib import sha256

from .bounds import Bounds
from .entries import Entries
from .expired import Met, parse_expired
from .extraction import columns_of
from .manifest import Manifest, parse_manifest
from .merkle import GROUP_LEAVES, Tree
from .octets import read_bytes
from .records import CONTROL, EVENT
from .report import CannotRead, Malformed, NotCanonical, Report
from .segment_index import IndexBuilder
from .segments import OF_EVENTS, Segment, event_of
from .state import LogState, parse_state
from .store import Log

SEGMENT_BYTES_MAX = 8 << 30
STATE_BYTES_MAX = 1 << 32


class SealedPart:
    """Gives every sealed row to `entries`, and compares what claims to know it already. `segment_taken` is called after each segment."""

    def __init__(self, directory, store, entries, report, segment_taken):
        self.directory, self.store, self.logs, self.entries, self.report = directory, store, store.logs, entries, report
        self.segment_taken = segment_taken
        self.manifest = Manifest()
        self.seeds = {}  # (log, group) → seed of each group that is not complete at the end of a segment
        self.before = {}  # (log, first) → leaves of the first row's group before it, as the rows gave them
        self.beginnings, self.met = {}, {}  # of logs that have expired: what stays of them, and what was met when they were read

    def _text(self):
        try:
            return read_bytes(os.path.join(self.directory, "manifest"))
        except CannotRead as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def read_manifest(self):
        """The manifest as it is now; one that cannot be read counts as none."""
        text = self._text()
        self.text = text
        self.manifest = Manifest()
        if text is not None:
            try:
                self.manifest = parse_manifest(text, self.store.identity)
            except (NotCanonical, Malformed, KeyError, TypeError, AttributeError, ValueError) as error:
                self.report.add("manifest", f"the manifest is not as store.md says: {error!r}")
        return self.manifest

    def is_current(self):
        """Whether the manifest that was read last is still the store's."""
        return self._text() == self.text

    def verify(self):
        """Takes every row that was not taken yet. False: a writer replaced the manifest, and it has to be read again."""
        for number in self.manifest.logs():
            if log := self.logs.get(number):
                if not self._log(log):
                    return False
            else:
                self.report.add("log-unknown", "something is sealed of a log that store.json does not name", log=number)
        for log in self.logs.values():
            log.sealed = log.tree.size
            log.boundaries[log.tree.size] = log.tree.root()
        return self._check_state()

    def _log(self, log):
        beginning = None
        if said := self.manifest.expired.get(log.number):
            try:
                beginning = self._beginning(log, said)
            except Malformed as error:
                if not self.is_current():
                    return False
                self.report.add("expired-mismatch", f"segments/{said.file}: {error}", log=log.number, seq=0)
        for listed in self.manifest.of(log.number):
            if beginning:
                self._pass(log, beginning, listed.first)
            if listed.end > log.tree.size and not self._take(log, listed, beginning):
                return False
        if beginning:
            self._pass(log, beginning, beginning.below)
        return True

    def _take(self, log, listed, beginning):
        """Takes the rows of a segment. False: it is not there because a writer replaced the manifest."""
        if listed.first > log.tree.size:
            self.report.add("manifest", f"positions {log.tree.size} to {listed.first - 1} are in no segment", log=log.number, seq=log.tree.size)
            log.lose(listed.end)
            return True
        log.sparse = listed.first < self.manifest.below(log.number)
        try:
            data = self._bytes(listed)
            if data is None and not self.is_current():
                return False
            if data is None:
                raise Malformed("it is not there")
            self._segment(log, listed, data, beginning)
        except Malformed as error:
            self.report.add("segment-damaged", f"segments/{listed.file}: {error}", log=log.number, seq=log.tree.size)
            log.lose(listed.end)
        finally:
            log.sparse = False
        self.segment_taken()
        return True

    # --- what has expired

    def _beginning(self, log, said):
        """What stays of a beginning."""
        try:
            data = read_bytes(os.path.join(self.directory, "segments", said.file), SEGMENT_BYTES_MAX)
        except CannotRead as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise Malformed("it is not there") from error
        if sha256(data).digest() != said.sha256:
            raise Malformed("it is another file than the one that the manifest names")
        beginning = parse_expired(data)
        if (beginning.log, beginning.below) != (said.log, said.below):
            raise Malformed(f"it is about positions of log {beginning.log} before {beginning.below}, the manifest says otherwise")
        # Rows that were read under another manifest were not counted as rows of what has expired.
        known = self.met.get(log.number)
        if not (known and known.said == said):
            self.met[log.number] = Met(said, beginning.tree().root(), beginning.tenants, beginning.held, None if log.tree.size else 0)
        self.beginnings[log.number] = beginning
        return beginning

    def _pass(self, log, beginning, to):
        """Takes groups of which nothing is there but their roots, up to position `to` or where the log begins."""
        to = min(to, beginning.below)
        if log.tree.size < to and log.tree.size % GROUP_LEAVES:
            raise CannotRead(f"the beginning of log {log.number} expired while it was being verified: run this again")
        while log.tree.size < to:
            log.append_group(beginning.roots[log.tree.size // GROUP_LEAVES])
        if log.tree.size == to == beginning.below:
            log.tenants, log.hidden = dict(beginning.tenants), 0
            log.count_tenants()
            self.entries.producers.union(beginning.producers)
            for gap in beginning.gaps:
                self.entries.producers.declare(*gap)

    # --- segments

    def _bytes(self, listed):
        """The bytes of a segment's file; None: it is not there, neither under its name nor as one that was just replaced."""
        for name in (listed.file, f"{listed.file}.old"):
            try:
                return read_bytes(os.path.join(self.directory, "segments", name), SEGMENT_BYTES_MAX)
            except CannotRead as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
        return None

    def _segment(self, log, listed, data, beginning):
        place = {"log": log.number, "seq": listed.first}
        segment = Segment(data)
        proof = segment.proof
        if (proof.log, proof.first, proof.count) != (listed.log, listed.first, listed.count):
            raise Malformed(f"it holds {proof.count} positions of log {proof.log} from {proof.first} on, the manifest says otherwise")
        if not self.store.succession.may_have_sealed(proof.origin, log.number, listed.end):
            self.report.add("store-identity", f"segments/{listed.file} is of the log {proof.origin}", **place)
        if sha256(data).digest() != listed.sha256:
            self.report.add("segment-damaged", f"segments/{listed.file} is another file than the one that the manifest names", **place)
        start, tree = log.tree.size, log.tree
        if start == listed.first:
            self.before[log.number, start] = list(tree.leaves)
        if proof.before != self.before.get((log.number, listed.first)) and log.lost_at is None:
            self.report.add("segment-proof", f"segments/{listed.file} carries other leaves before its first row than the log has", **place)
        sums = Sums()
        bounds, index, lies = Bounds(segment), IndexBuilder(), 0
        for batch in segment.batches():
            bounds.add(batch)
            index.add(batch)
            for _, seq, kind, record, row in segment.rows(batch):
                if seq < start:  # Read before, in a segment that this one has taken the place of.
                    continue
                lies += self._row(log, seq, kind, record, row, proof.seeds, sums)
        if lies:
            self.report.add("segment-damaged", f"segments/{listed.file}: columns of {lies} rows say other things than their records",
                            **place)
        groups = slice(listed.first // GROUP_LEAVES, listed.end // GROUP_LEAVES)
        if proof.roots != tree.groups[32 * groups.start:32 * groups.stop] and log.lost_at is None:
            self.report.add("segment-proof", f"segments/{listed.file} carries other roots of its groups than its rows give", **place)
        if log.sparse and beginning and proof.roots != b"".join(beginning.roots[groups]):
            self.report.add("segment-proof", f"segments/{listed.file} carries other roots of its groups than what stays of them", **place)
        if start == listed.first and sums.stated() != (listed.keyed, listed.journal_bytes, listed.time, listed.received):
            self.report.add("manifest", f"segments/{listed.file}: its rows give {sums.stated()} as keyed, journal_bytes, time and received",
                            **place)
        if len(data) != listed.bytes:
            self.report.add("manifest", f"segments/{listed.file} has {len(data)} bytes, the manifest says {listed.bytes}", **place)
        differences = bounds.differences()
        if segment.index is not None:
            made = index.finish(proof.count, bounds.columns["id"].zones(), segment.index)
            if sha256(segment.index).hexdigest() != segment.index_digest or segment.index != made:
                differences.append("the index block is not the one that its rows give")
        if not segment.pieces_hold:
            differences.append("the list of dictionary pieces is not the one that its dictionaries give")
        last = (log.number, listed.end // GROUP_LEAVES)
        self.seeds |= {last: proof.seeds[last]} if last in proof.seeds else {}
        for difference in differences:
            self.report.add("segment-index", f"segments/{listed.file}: {difference}", **place)

    def _row(self, log, seq, kind, record, row, seeds, sums):
        """Takes a row; whether its columns say other things than its record."""
        place, lies = {"log": log.number, "seq": seq}, False
        if record is not None:
            taken = self.entries.record(log, seq, record, seeds, place)
            with suppress(Malformed):  # What is no record was reported.
                lies = record[4] != kind or any(row[name] != value for name, value in columns_of(kind, record).items())
        elif kind == EVENT:
            taken = self.entries.event(log, seq, self._event(seq, row), seeds, place)
            lies = row["control"] is not None or row["leaf"] is not None
        else:
            body, other = (row["control"], row["leaf"]) if kind == CONTROL else (row["leaf"], row["control"])
            if body is None:
                raise Malformed(f"position {seq} has no value in the column of its kind")
            taken = self.entries.control(log, seq, body, seeds, place) if kind == CONTROL else self.entries.hash_only(log, body)
            lies = other is not None or any(row[name] is not None for name in OF_EVENTS)
        log.append(taken.leaf)
        sums.add(taken, row["idempotency.key"] is not None)
        if log.sparse and kind == EVENT and log.number in self.met:
            self.met[log.number].stay(seq)
        return lies

    @staticmethod
    def _event(seq, row):
        try:
            return event_of(row)
        except Malformed as error:
            raise Malformed(f"position {seq}: {error}") from error

    # --- the state

    def _check_state(self):
        if not self.manifest.generation:
            return True
        name = f"segments/{self.manifest.generation:08}.state"
        try:
            data = read_bytes(os.path.join(self.directory, name), STATE_BYTES_MAX)
            state = parse_state(data)
        except (CannotRead, Malformed, struct.error, IndexError) as error:
            if not self.is_current():
                return False
            if isinstance(error, CannotRead) and not isinstance(error.__cause__, FileNotFoundError):
                raise
            self.report.add("sealed-state", f"{name}: {error}")
            return True
        logs, producers = state
        for number in sorted(logs.keys() | self.logs.keys()):
            log = self.logs.get(number)
            if log and log.lost_at is not None:
                continue
            found = logs.get(number, LogState(0, [], [], None, {}))
            known = LogState(log.tree.size, log.tree.peaks[:(log.tree.size // GROUP_LEAVES).bit_count()], log.tree.leaves,
                             self.seeds.get((number, log.tree.size // GROUP_LEAVES)), log.tenants) if log else LogState(0, [], [], None, {})
            if found != known:
                self.report.add("sealed-state", f"{name}: log {number} has another size, tree, seed, or other tenants than its rows give",
                                log=number, seq=known.size)
        known = {key: [(start, end - 1) for start, end in ranges] for key, ranges in self.entries.producers.ranges.items()}
        if producers != known and all(log.lost_at is None for log in self.logs.values()):
            self.report.add("sealed-state", f"{name}: it knows other producers, or other numbers of theirs, than the rows")
        return True

    # --- roots of sizes that were asked for too late

    def roots(self, log, sizes):
        """{size: root} of sizes within the sealed part, from the rows once more: the leaves of the last group of each. None where that
        group has expired, and nothing was kept of the size."""
        found = {size: self._kept(log, size) for size in sizes if self._is_gone(log, size)}
        ranges = [range(size - size % GROUP_LEAVES, size) for size in sizes if size not in found]
        leaves = self._leaves(log, [wanted for wanted in ranges if wanted])
        groups, place = Tree(), 0
        for wanted in sorted(ranges, key=lambda wanted: wanted.stop):
            while place < wanted.start // GROUP_LEAVES:
                groups.append_group(bytes(log.tree.groups[32 * place:32 * place + 32]))
                place += 1
            whole = Tree()
            whole.size, whole.peaks = wanted.start, list(groups.peaks)
            for seq in wanted:
                whole.append(leaves[seq])
            found[wanted.stop] = whole.root()
        return found

    def _is_gone(self, log, size):
        """Whether the leaves before `size` in its group are not there any more."""
        there = any(listed.first < size < listed.end for listed in self.manifest.of(log.number))
        return size % GROUP_LEAVES > 0 and size < self.manifest.below(log.number) and not there

    def _kept(self, log, size):
        beginning = self.beginnings.get(log.number)
        return beginning.root_at(size) if beginning else None

    def _leaves(self, log, ranges):
        """{position: leaf} of these ranges. What else there is to say of them was said."""
        leaves, scratch = {}, Log(log.number, log.name, log.origin)
        entries = Entries(self.store, Report())
        for listed in self.manifest.of(log.number):
            rows = [range(max(wanted.start, listed.first) - listed.first, min(wanted.stop, listed.end) - listed.first) for wanted in ranges]
            rows = [wanted for wanted in rows if wanted]
            data = self._bytes(listed) if rows else b""
            if data is None:
                raise CannotRead(f"segments/{listed.file} went away while it was read")
            segment = Segment(data) if rows else None
            for batch in segment.batches(rows) if rows else ():
                for nth, seq, kind, record, row in segment.rows(batch):
                    if any(nth in wanted for wanted in rows):
                        leaves[seq] = self._leaf(entries, scratch, seq, kind, record, row, segment.proof.seeds)
        return leaves

    def _leaf(self, entries, log, seq, kind, record, row, seeds):
        if record is not None:
            return entries.record(log, seq, record, seeds, {}).leaf
        if kind == EVENT:
            return entries.event(log, seq, self._event(seq, row), seeds, {}).leaf
        return entries.control(log, seq, row["control"], seeds, {}).leaf if kind == CONTROL else row["leaf"]


class Sums:
    """What the manifest says of a segment, from its rows."""

    def __init__(self):
        self.keyed = self.journal_bytes = 0
        self.time = self.received = None

    def add(self, taken, keyed):
        self.keyed += keyed
        self.journal_bytes += taken.record_bytes
        if taken.head:
            time, received = taken.head.time, taken.head.received
            self.time = (min(self.time[0], time), max(self.time[1], time)) if self.time else (time, time)
            self.received = (min(self.received[0], received), max(self.received[1], received)) if self.received else (received, received)

    def stated(self):
        return self.keyed, self.journal_bytes, self.time, self.received

"""A tenant's copy: docs/format/tenants.md § A tenant's copy. Read line by line, so that its length does not matter."""
import json
import os
from dataclasses import dataclass

from .canonical import canonical_object
from .commitments import leaf_hash
from .merkle import GROUP_LEAVES, Frontier
from .notes import base64_bytes
from .proof import entry_of_groups, prove
from .records import TAG_HEAD, parse_head
from .report import CannotRead, Malformed, NotCanonical, Report
from .tenants import proven_count

FORMAT = "indelible-tenant/v1"
LINE_BYTES_MAX = 1 << 26


class Refused(Exception):
    """The copy does not hold, and it was reported why. What stands behind was not looked at."""


class Lines:
    """The lines of a copy, each a canonical object."""

    def __init__(self, file):
        self.file = file

    def take(self):
        line = self.file.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise Malformed("a line is too long" if len(line) == LINE_BYTES_MAX else "it ends before its last line")
        canonical_object(line[:-1])
        return json.loads(line, parse_int=_number, parse_float=_number)

    def end(self):
        if self.file.read(1):
            raise Malformed("something follows its last line")


def _number(lexeme):
    if not lexeme.isdecimal() or len(lexeme) > 20 or int(lexeme) >= 1 << 64:
        raise Malformed(f"{lexeme[:24]} is no number of ours")
    return int(lexeme)


def _whole(value):
    if type(value) is not int:
        raise Malformed(f"{value!r} stands where a number should")
    return value


def _check_members(line, *names):
    if line.keys() != set(names):
        raise Malformed(f"a line with the members {sorted(line)} stands where one with {sorted(names)} should")


def _hashes(texts):
    return [base64_bytes(text, 32) for text in texts]


def _told(stated):
    """As `proven_count` takes it."""
    if "count" in stated:
        _check_members(stated, "count", "index", "path")
        return {"count": _whole(stated["count"]), "index": _whole(stated["index"]), "path": _hashes(stated["path"])}
    _check_members(stated, "left", "right")
    return {side: _beside(stated[side]) for side in ("left", "right")}


def _beside(stated):
    if stated is None:
        return None
    _check_members(stated, "commitment", "id", "index", "path")
    return {"commitment": base64_bytes(stated["commitment"], 32), "id": base64_bytes(stated["id"], 32), "index": _whole(stated["index"]),
            "path": _hashes(stated["path"])}


@dataclass
class CountedLog:
    """What the entry says of a log."""
    log: int
    size: int
    root: bytes
    tenants: bytes


def _counted_log(stated):
    return CountedLog(_whole(stated["log"]), _whole(stated["size"]), base64_bytes(stated["root"], 32), base64_bytes(stated["tenants"], 32))


class TenantCopy:
    """`key`: (name, public key) of log 0."""

    def __init__(self, file, key, report):
        self.lines, self.key, self.report = Lines(file), key, report
        self.tenant, self.salts = b"", {}  # salts: group of log 0 → what the copy gives as the tenant's
        self.events_n = self.withheld_n = 0

    def verify(self):
        """What the copy shows, if it holds; else it is `Refused`, or `Malformed` or `NotCanonical`."""
        first = self.lines.take()
        _check_members(first, "format", "heads", "tenant")
        if first["format"] != FORMAT:
            raise Malformed(f"its format is not {FORMAT}")
        self.tenant = first["tenant"].encode()
        found, entry = self._entry(first["heads"], "tenants")
        logs = [self._log(_counted_log(stated), found["index"]) for stated in entry["logs"]]
        last = self.lines.take()
        _check_members(last, "complete", "events")
        if last["complete"] is not True or _whole(last["events"]) != self.events_n:
            self._refuse("tenant-counts", f"its last line says {last['events']} events, it has {self.events_n}")
        self.lines.end()
        if not any(log["count"] for log in logs):
            self.report.add("tenant-counts", "no event of this tenant was counted, and then nothing binds the salt: with another one, the same "
                            "could be shown of any tenant", level="warn")
        return {"tenant": first["tenant"], "origin": found["origin"], "index": found["index"], "size": found["size"],
                "events": self.events_n, "withheld": self.withheld_n, "logs": logs}

    def _refuse(self, code, message, **place):
        self.report.add(code, message, **place)
        raise Refused

    def _entry(self, proof, kind):
        """What a proof says, and the entry that it shows to be in log 0."""
        found = {}
        prove(proof.encode(), self.key, self.report, found)
        if not self.report.ok:
            raise Refused
        if found["origin"] != self.key[0]:
            self._refuse("key-mismatch", f"the key is of {self.key[0]}, an entry `{kind}` of {found['origin']}: the key of log 0 is wanted")
        entry = found["disclosed"].get("control", {})
        if entry.get("type") != kind:
            raise Malformed(f"where an entry `{kind}` should be proven, another is")
        return found, entry

    def _count(self, line, root, position, log):
        """How many events the tenant has, as the tree of this root has it. `position`: where in log 0 the root stands."""
        salt = base64_bytes(line["salt"], 16)
        # A name has one salt under one seed. With any other its leaf would lie elsewhere, and be shown not to be there.
        if self.salts.setdefault(position // GROUP_LEAVES, salt) != salt:
            self._refuse("tenant-counts", "the tenant's salt is not the one before, under the same seed", log=log)
        count = proven_count(self.tenant, salt, _told(line["told"]), root)
        if count is None:
            self._refuse("tenant-counts", "what is told of the tenant's count does not lead to the root that log 0 has", log=log)
        return count

    def _log(self, counted, position):
        line = self.lines.take()
        _check_members(line, "log", "salt", "told")
        if _whole(line["log"]) != counted.log:
            self._refuse("tenant-counts", f"log {line['log']} stands where log {counted.log} should", log=counted.log)
        count = self._count(line, counted.tenants, position, counted.log)
        shown = {"log": counted.log, "size": counted.size, "count": count}
        if count:
            shown["expired"] = self._events(counted, count)
        return shown

    def _events(self, counted, count):
        """Takes the tenant's events in a log, and gives how many before them have expired."""
        line, below, gone = self.lines.take(), 0, 0
        if "expired" in line:
            below, gone = self._expired(line, counted)
            line = self.lines.take()
        tree, due = Frontier(), gone
        while "groups" in line:
            self._event(line, counted, tree, below, due)
            line, due = self.lines.take(), due + 1
        _check_members(line, "end", "hashes")
        if _whole(line["end"]) != counted.size:
            self._refuse("root-mismatch", f"it ends at position {line['end']}, the log has {counted.size}", log=counted.log)
        tree.fill(counted.size, _hashes(line["hashes"]))
        if tree.root() != counted.root:
            self._refuse("root-mismatch", f"hashes and events do not lead to the root of size {counted.size}", log=counted.log)
        if due != count:
            self._refuse("tenant-sequence", f"events up to number {due} are there, of {count}", log=counted.log)
        self.events_n += due - gone
        return gone

    def _expired(self, line, counted):
        """(where the log begins, how many events the tenant has before)."""
        _check_members(line, "expired", "salt", "told")
        found, entry = self._entry(line["expired"], "expired")
        if _whole(entry["log"]) != counted.log:
            self._refuse("expired-mismatch", f"the entry `expired` is about log {entry['log']}", log=counted.log)
        return _whole(entry["below"]), self._count(line, base64_bytes(entry["tenants"], 32), found["index"], counted.log)

    def _event(self, line, counted, tree, below, due):
        _check_members(line, "groups", "hashes", "seq")
        seq = _whole(line["seq"])
        place = {"log": counted.log, "seq": seq}
        if not max(below, tree.size) <= seq < counted.size:
            self._refuse("sequence", f"an event of position {seq}, behind {tree.size} and {below} of {counted.size}", **place)
        tree.fill(seq, _hashes(line["hashes"]))
        entry, values = entry_of_groups(line["groups"])
        tree.append(leaf_hash(entry))
        self.withheld_n += len(line["groups"]) - len(values)
        if TAG_HEAD not in values:
            raise Malformed(f"the head of position {seq} is withheld")
        head = parse_head(values[TAG_HEAD])
        if head.tenant != self.tenant:
            self._refuse("tenant-sequence", "an event of another tenant", **place)
        if head.tenant_seq != due:
            self._refuse("tenant-sequence", f"tenant_seq is {head.tenant_seq}, {due} was due", **place)


def verify_copy(path, key):
    """The result for a tenant's copy. Memory: its longest line."""
    report, result = Report(), {}
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            result = TenantCopy(file, key, report).verify()
    except Refused:
        pass
    except NotCanonical as error:
        report.add("not-canonical", f"copy: {error}")
    except OSError as error:
        raise CannotRead(f"could not read {path}: {error.strerror}") from error
    except (Malformed, KeyError, TypeError, ValueError, AttributeError) as error:
        report.add("record-malformed", f"copy: {error!r}")
    return {"ok": report.ok, **result, "findings": report.findings}

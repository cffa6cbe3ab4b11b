"""Stores that go on from others whose backup was restored: docs/format/backup.md."""
import re
from dataclasses import dataclass

from .notes import base64_bytes, base64_text, verifier_key
from .report import Malformed


@dataclass
class Recorder:
    """Who a store is: under which names and key it records."""
    store: str
    public_key: bytes
    logs: dict  # number → (origin, name)

    def origin(self, log):
        return self.logs[log][0]

    def name(self, log):
        return self.logs[log][1]

    def key(self, log):
        return verifier_key(self.origin(log), self.public_key)

    def log_of(self, origin):
        return next((number for number, (known, _) in self.logs.items() if known == origin), None)


@dataclass
class Predecessor:
    """A store whose backup was restored, and how much of each of its logs was taken over."""
    recorder: Recorder
    until: str
    heads: list  # as stated: {log, root, size} and, if there was one, checkpoint

    def size(self, log):
        return next((head["size"] for head in self.heads if head["log"] == log), 0)


def parse_recorder(stated):
    if not re.fullmatch("[0-9a-f]{32}", stated["store"]):
        raise Malformed("the store id is not 32 hex digits")
    logs = {}
    for log in stated["logs"]:
        if not re.fullmatch("[0-9a-f]{16}", log["uid"]) or type(log["id"]) is not int or log["id"] in logs:
            raise Malformed("a log has no proper id or uid")
        logs[log["id"]] = (f"{stated['prefix']}/{stated['store']}/{log['uid']}", str(log["name"]))
    if 0 not in logs:
        raise Malformed("there is no log 0")
    return Recorder(stated["store"], base64_bytes(stated["public_key"], 32), logs)


def parse_predecessor(stated):
    for head in stated["heads"]:
        base64_bytes(head["root"], 32)
        if any(type(head[name]) is not int or head[name] < 0 for name in ("log", "size")) or not isinstance(head.get("checkpoint", ""), str):
            raise Malformed("a head of a predecessor cannot be")
    predecessor = Predecessor(parse_recorder(stated), str(stated["until"]), stated["heads"])
    if not predecessor.size(0):
        raise Malformed("nothing of log 0 was taken over from a predecessor")
    return predecessor


def expected_entry(before, after, at):
    """The entry `store.restored` that the store `after` must have behind what it took over from `before`."""
    old = before.recorder
    heads = [{**head, "root": base64_text(base64_bytes(head["root"], 32)), "origin": old.logs.get(head["log"], ("",))[0]}
             for head in before.heads]
    return {"at": at, "type": "store.restored", "store": after.store,
            "logs": [{"key": after.key(log), "log": log, "name": after.name(log), "origin": after.origin(log)} for log in after.logs if log in old.logs],
            "predecessor": {"key": old.key(0), "logs": heads, "store": old.store, "until": before.until}}


class Succession:
    """The predecessors of a store, oldest first, and the store itself."""

    def __init__(self, recorder, predecessors):
        self.recorder, self.predecessors = recorder, predecessors

    def recorder_at(self, seq):
        """Who recorded this position of log 0."""
        return next((before.recorder for before in self.predecessors if seq < before.size(0)), self.recorder)

    def may_have_sealed(self, origin, log, end):
        """Whether a segment of a log with rows up to `end` may carry this origin: who wrote it had no rows behind that."""
        if self.recorder.logs.get(log, ("",))[0] == origin:
            return True
        return any(before.recorder.log_of(origin) == log and end <= before.size(log) for before in self.predecessors)

    def of_origin(self, origin):
        """(predecessor, log) that an origin names, or None."""
        return next(((before, before.recorder.log_of(origin)) for before in self.predecessors
                     if before.recorder.log_of(origin) is not None), None)

    def check_entries(self, entries, log_zero, report):
        """`entries`: {(log, seq): entry} of all `store.restored`. Each restoration has its own, where the predecessor ends."""
        entries = dict(entries)
        recorders = [before.recorder for before in self.predecessors] + [self.recorder]
        for before, after in zip(self.predecessors, recorders[1:], strict=True):
            place = before.size(0)
            entry = entries.pop((0, place), None)
            if entry is not None:
                if entry != expected_entry(before, after, entry["at"]):
                    report.add("restored-mismatch", "`store.restored` names another predecessor, or other sizes, roots, origins or keys, than "
                               "store.json", log=0, seq=place)
            elif log_zero.tree.size > place:
                report.add("restored-mismatch", "store.json says that a backup was restored here, and no `store.restored` says so", log=0,
                           seq=place)
            elif log_zero.tree.size == place and after is self.recorder:
                report.add("restore-unfinished", "the store was restored and not opened for writing since", log=0, seq=place)
        for log, seq in entries:
            report.add("restored-mismatch", "`store.restored` stands where store.json knows of no restoration", log=log, seq=seq)

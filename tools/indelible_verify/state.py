"""The state: what a writer has to know of the sealed part when it opens the store. docs/format/store.md."""
from dataclasses import dataclass
from hashlib import sha256

from .merkle import GROUP_LEAVES
from .octets import Fields
from .report import Malformed

MAGIC = b"IDLSEAL\x01"


@dataclass
class LogState:
    """A log at the end of its segments."""
    size: int
    peaks: list
    leaves: list
    seed: object
    tenants: dict


def take_tenants(fields):
    """{name: tenant_seq of its next event}."""
    tenants = {}
    for _ in range(fields.number(4)):
        name = fields.text()
        if name in tenants:
            raise Malformed("a tenant stands twice")
        tenants[name] = fields.number(8)
    return tenants


def take_producers(fields):
    """{(producer, epoch): [(first, last)]}."""
    producers = {}
    for _ in range(fields.number(4)):
        key = (fields.text(), fields.number(8))
        if key in producers:
            raise Malformed("a producer's epoch stands twice")
        intervals = producers[key] = [(fields.number(8), fields.number(8)) for _ in range(fields.number(4))]
        if any(last < first for first, last in intervals):
            raise Malformed("an interval of a producer's numbers ends before it begins")
        if any(first <= before + 1 for (_, before), (first, _) in zip(intervals, intervals[1:], strict=False)):
            raise Malformed("intervals of a producer's numbers touch, or are not in order")
    return producers


def parse_state(data):
    """({log: LogState}, {(producer, epoch): [(first, last)]})."""
    fields = Fields(data[:-32])
    if fields.bytes(8) != MAGIC or sha256(data[:-32]).digest() != data[-32:]:
        raise Malformed("it has another magic, or is not the one of its digest")
    logs = {}
    for _ in range(fields.number(4)):
        number, size = fields.number(4), fields.number(8)
        if logs and number <= max(logs):
            raise Malformed("the logs are not in order")
        peaks, leaves = fields.hashes((size // GROUP_LEAVES).bit_count()), fields.hashes(size % GROUP_LEAVES)
        logs[number] = LogState(size, peaks, leaves, fields.bytes(32) if leaves else None, take_tenants(fields))
    producers = take_producers(fields)
    fields.end("producer")
    return logs, producers

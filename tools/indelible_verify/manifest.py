"""The manifest: what is sealed, what has expired, and where the journal begins. docs/format/store.md."""
import json
import re
from dataclasses import dataclass, field

from .canonical import canonical_object
from .merkle import GROUP_LEAVES
from .notes import base64_bytes
from .octets import ascending
from .report import CannotRead, Malformed

NAME = re.compile(r"(0|[1-9][0-9]{0,9})-([0-9]{12,})-([0-9]{8,})\.(parquet|expired)")
PLAIN, WITH_EXPIRED = 1, 2


@dataclass
class Listed:
    """What the manifest says of one segment."""
    log: int
    first: int
    count: int
    file: str
    bytes: int
    sha256: bytes
    keyed: int
    journal_bytes: int
    time: object
    received: object

    @property
    def end(self):
        return self.first + self.count


@dataclass
class ExpiredBeginning:
    """What the manifest says of the beginning of a log that has expired. `entry`: the position in log 0 that says so."""
    log: int
    below: int
    entry: int
    file: str
    sha256: bytes


@dataclass
class Manifest:
    """What is sealed, and where the journal begins. As it stands here: nothing is."""
    generation: int = 0
    file: int = 1
    lsn: int = 0
    prev: bytes = bytes(32)
    segments: list = field(default_factory=list)
    expired: dict = field(default_factory=dict)  # log → ExpiredBeginning

    def logs(self):
        return sorted({listed.log for listed in self.segments} | self.expired.keys())

    def of(self, log):
        return [listed for listed in self.segments if listed.log == log]

    def below(self, log):
        return self.expired[log].below if log in self.expired else 0


def _number(value):
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Malformed(f"{value!r} is no number of ours")
    return value


def _range(value):
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or any(type(end) is not int for end in value):
        raise Malformed(f"{value!r} is no range of times")
    return tuple(value)


def _check_name(file, kind, log, position):
    name = NAME.fullmatch(file)
    if not name or (int(name[1]), int(name[2]), name[4]) != (log, position, kind):
        raise Malformed(f"{file!r} is not the name of a file of log {log} and position {position} that ends in .{kind}")


def parse_manifest(text, store_id):
    canonical_object(text)
    stated = json.loads(text)
    if _number(stated["format"]) > WITH_EXPIRED:
        raise CannotRead(f"the manifest is of format {stated['format']}, this verifier reads {PLAIN} and {WITH_EXPIRED}")
    if stated["format"] != (WITH_EXPIRED if "expired" in stated else PLAIN) or stated["store"] != store_id.hex():
        raise Malformed("it has no format, or the other one, or is of another store")
    journal = stated["journal"]
    manifest = Manifest(_number(stated["generation"]), _number(journal["file"]), _number(journal["lsn"]), base64_bytes(journal["prev"], 32))
    for expired in stated.get("expired", []):
        _expired(manifest, expired)
    if "expired" in stated and not manifest.expired:
        raise Malformed("it is of the format of stores of which something has expired, and names nothing")
    for segment in stated["segments"]:
        _segment(manifest, segment)
    if not ascending([(listed.log, listed.first) for listed in manifest.segments]):
        raise Malformed("the segments are not in order")
    return manifest


def _expired(manifest, stated):
    numbers = {name: _number(stated[name]) for name in ("log", "below", "entry")}
    expired = ExpiredBeginning(**numbers, file=stated["file"], sha256=base64_bytes(stated["sha256"], 32))
    _check_name(expired.file, "expired", expired.log, expired.below)
    if not expired.below or expired.below % GROUP_LEAVES:
        raise Malformed(f"log {expired.log}: {expired.below} is not where a group ends")
    if manifest.expired and expired.log <= max(manifest.expired):
        raise Malformed("what has expired is not in the order of the logs")
    manifest.expired[expired.log] = expired


def _segment(manifest, stated):
    numbers = {name: _number(stated[name]) for name in ("log", "first", "count", "bytes", "keyed", "journal_bytes")}
    listed = Listed(**numbers, file=stated["file"], sha256=base64_bytes(stated["sha256"], 32), time=_range(stated["time"]),
                    received=_range(stated["received"]))
    _check_name(listed.file, "parquet", listed.log, listed.first)
    if not listed.count or listed.end >= 1 << 64:
        raise Malformed(f"{listed.file} has no rows, or too many")
    before, below = manifest.segments[-1] if manifest.segments else None, manifest.below(listed.log)
    if before and before.log == listed.log and before.end != listed.first and not before.end < listed.first <= below:
        raise Malformed(f"log {listed.log}: what follows position {before.end} begins at {listed.first}")
    if listed.first < below and (listed.first % GROUP_LEAVES or listed.end % GROUP_LEAVES or listed.end > below):
        raise Malformed(f"{listed.file} holds parts of groups of what has expired before {below}")
    manifest.segments.append(listed)

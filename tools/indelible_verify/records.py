"""Heads and records: docs/format/event.md."""
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from .report import Malformed

HEAD = struct.Struct("<6BHQqqQQQ")
ACTION = re.compile(rb"[a-zA-Z0-9_\-:/]+(?:\.[a-zA-Z0-9_\-:/]+)+")
UUID_TEXT = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
RECORD = struct.Struct("<IBBBBI")
GROUP = struct.Struct("<BBI")
EVENT, CONTROL, LEAF = 1, 2, 3
VALUE, SALTED_VALUE, WITHHELD = 0, 1, 2
TAG_HEAD, TAG_IDENTITY, TAG_CONTENT, TAG_RAW = 1, 2, 3, 4


def take_text(data, position, shortest, longest, what):
    """(bytes, position behind) of a str16."""
    end = position + 2 + int.from_bytes(data[position:position + 2], "little")
    if len(data) < position + 2 or len(data) < end or not shortest <= end - position - 2 <= longest:
        raise Malformed(f"{what} has a length that is not allowed")
    text = data[position + 2:end]
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"{what} is not UTF-8") from error
    return text, end


class Head(NamedTuple):
    """The fields of a head that anyone asks for. Texts are bytes, which were found to be UTF-8."""
    outcome: int
    severity: int
    event_class: int
    tenant_seq: int
    time: int
    received: int
    weight: int
    epoch: int
    producer_seq: int
    identifier: bytes
    id_form: int
    tenant: bytes
    action: bytes
    source: bytes
    producer: bytes
    trace: bytes
    frameworks: tuple


def parse_head(head):
    """The fields of a head after every rule of event.md § Head was checked."""
    if len(head) < HEAD.size:
        raise Malformed("head is cut short")
    (version, outcome, severity, event_class, flags, id_form, reserved,
     tenant_seq, time, received, weight, epoch, producer_seq) = HEAD.unpack_from(head)
    if version != 1 or outcome > 4 or not 1 <= severity <= 6 or not 1 <= event_class <= 3:
        raise Malformed("head has a version, outcome, severity or class that is not defined")
    if flags > 1 or id_form > 1 or reserved or not weight:
        raise Malformed("head has reserved bits set, or weight 0")
    identifier, position = head[HEAD.size:HEAD.size + 16], HEAD.size + 16
    if id_form == 1:
        identifier, position = take_text(head, HEAD.size, 1, 256, "id")
        if UUID_TEXT.fullmatch(identifier):
            raise Malformed("an id that is a UUID stands as text")
    tenant, position = take_text(head, position, 1, 128, "tenant")
    action, position = take_text(head, position, 1, 128, "action")
    if not ACTION.fullmatch(action):
        raise Malformed("action is not noun.verb")
    source, position = take_text(head, position, 0, 64, "source")
    producer, position = take_text(head, position, 0, 128, "producer_id")
    if not producer and epoch:
        raise Malformed("producer_epoch without a producer")
    trace, position = head[position:position + 24 * flags], position + 24 * flags
    if position >= len(head) or head[position] > 16:
        raise Malformed("head is cut short, or has too many frameworks")
    count, position, frameworks = head[position], position + 1, []
    for _ in range(count):
        framework, position = take_text(head, position, 1, 32, "framework")
        frameworks.append(framework)
    if position != len(head):
        raise Malformed("head does not end at its length")
    return Head(outcome, severity, event_class, tenant_seq, time, received, weight, epoch, producer_seq, identifier, id_form, tenant,
                action, source, producer, trace, tuple(frameworks))


@dataclass
class Event:
    """An event record cut into its parts. `groups`: [(tag, form, body)]; `spans`: None where they follow from the values."""
    groups: list
    bytes_without_spans: int
    idempotency: bytes = b""
    spans_n: int = 0
    spans: bytes = None


def parse_event(record, flags, groups_n, spans_n):
    if not 1 <= groups_n <= 16 or flags > 1 or len(record) < 12 + 6 * groups_n:
        raise Malformed("event record has a group count or flags that are not allowed")
    position, groups, previous_tag = 12 + 6 * groups_n + 32 * flags, [], 0
    for tag, form, length in GROUP.iter_unpack(record[12:12 + 6 * groups_n]):
        if tag <= previous_tag or form > WITHHELD or (not groups and tag != TAG_HEAD):
            raise Malformed("group table is out of order or has an unknown form")
        body, position, previous_tag = record[position:position + length], position + length, tag
        if len(body) != length or (form == SALTED_VALUE and length < 16) or (form == WITHHELD and length != 32):
            raise Malformed("group body has a length that is not allowed")
        groups.append((tag, form, body))
    digests = record[12 + 6 * groups_n:12 + 6 * groups_n + 32 * flags]
    return Event(groups, position, digests, spans_n, record[position:])

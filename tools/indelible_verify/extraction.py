"""What the columns of a row say if its record is given: docs/format/segment.md § Columns."""
import json

from .canonical import array_elements, canonical_object, object_members
from .records import (
    CONTROL,
    EVENT,
    LEAF,
    SALTED_VALUE,
    TAG_CONTENT,
    TAG_HEAD,
    TAG_IDENTITY,
    TAG_RAW,
    WITHHELD,
    parse_event,
    parse_head,
    take_text,
)
from .report import Malformed, NotCanonical
from .segments import CLASSES, NAMES, OUTCOMES, SEVERITIES
from .spans import TARGETS_SPANNED_MAX

NOT_OF_THE_RECORD = ("seq", "log", "kind", "record")
WORDS = [{number: word for word, number in words.items()} for words in (OUTCOMES, SEVERITIES, CLASSES)]


def columns_of(kind, record):
    """{column: value} that the row of this record has in all columns but position, log, kind and record."""
    row = dict.fromkeys(name for name in NAMES if name not in NOT_OF_THE_RECORD)
    if kind == CONTROL:
        row["control"] = record[12:] if _is_utf8(record[12:]) else None
    elif kind == LEAF:
        row["leaf"] = record[12:]
    elif kind == EVENT:
        _event(row, parse_event(record, *record[5:8]))
    return row


def _is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _event(row, event):
    if event.idempotency:
        row["idempotency.key"], row["idempotency.statement"] = event.idempotency[:16], event.idempotency[16:]
    values = {tag: body[16:] if form == SALTED_VALUE else body for tag, form, body in event.groups if form != WITHHELD}
    raw_form = next((form for tag, form, _ in event.groups if tag == TAG_RAW), None)
    try:
        head = parse_head(values.get(TAG_HEAD, b""))
    except Malformed:
        return  # A head that cannot be read has no columns, and the rest has none without it.
    row["id" if head.id_form == 0 else "id_text"] = head.identifier
    for name, words, number in zip(("outcome", "severity", "class"), WORDS, (head.outcome, head.severity, head.event_class), strict=True):
        row[name] = words[number]
    row |= {"time": head.time, "received": head.received, "tenant": head.tenant, "tenant_seq": head.tenant_seq, "action": head.action,
            "source": head.source, "weight": head.weight}
    if head.producer:
        row |= {"producer.id": head.producer, "producer.epoch": head.epoch, "producer.seq": head.producer_seq}
    if head.trace:
        row |= {"trace.trace_id": head.trace[:16], "trace.span_id": head.trace[16:]}
    row["frameworks"] = list(head.frameworks) or None
    if TAG_RAW in values and raw_form != SALTED_VALUE:
        try:
            media_type, end = take_text(values[TAG_RAW], 0, 0, 0xFFFF, "media type")
            row |= {"raw.media_type": media_type, "raw.bytes": values[TAG_RAW][end:]}
        except Malformed:
            pass
    for tag, take in ((TAG_IDENTITY, _identity), (TAG_CONTENT, _content)):
        try:
            if tag in values:
                take(row, *canonical_object(values[tag]))
        except NotCanonical:
            pass  # Reported where the record is taken.


def _string(text, start, end):
    return json.loads(text[start:end].encode("latin-1")).encode() if text[start] == '"' else None


def _texts(text, start, names):
    found = {key: _string(text, begin, end) for key, begin, end in object_members(text, start)[0] if key in names}
    return {name: found.get(name) for name in names}


def _identity(row, text, members):
    for key, start, end in members:
        if key == "details":
            row["identity_details"] = text[start:end].encode("latin-1")
        elif key == "session":
            row["session"] = _string(text, start, end)
        elif key in ("actor", "origin") and text[start] == "{":
            names = ("id", "type", "name", "email") if key == "actor" else ("ip", "user_agent", "host")
            row |= {f"{key}.{name}": value for name, value in _texts(text, start, names).items()}


def _content(row, text, members):
    for key, start, end in members:
        if key == "details":
            row["details"] = text[start:end].encode("latin-1")
        elif key == "targets" and text[start] == "[":
            targets = [_texts(text, begin, ("type", "id", "name")) for begin, _ in array_elements(text, start) if text[begin] == "{"]
            for name in ("type", "id", "name"):
                row[f"targets.{name}"] = [target[name] for target in targets[:TARGETS_SPANNED_MAX]] or None

"""Spans: where the well-known fields stand. docs/format/event.md."""
from .canonical import array_elements, object_members
from .octets import varint

TARGETS_SPANNED_MAX = 60
SPAN_FIELDS = {"actor": {"email": 1, "id": 2, "name": 3, "type": 4}, "origin": {"host": 6, "ip": 7, "user_agent": 8}}
TARGET_FIELDS = {"id": 18, "name": 19, "type": 20}
SHORT_VARINTS = [varint(value) for value in range(1 << 12)]


def _string_spans(text, start, fields):
    return [(fields[key], begin + 1, end - begin - 2) for key, begin, end in object_members(text, start)[0]
            if key in fields and text[begin] == '"']


def identity_spans(text, members):
    spans = []
    for key, start, end in members:
        if key in SPAN_FIELDS and text[start] == "{":
            spans += _string_spans(text, start, SPAN_FIELDS[key])
        elif key == "details":
            spans.append((5, start, end - start))
        elif key == "session" and text[start] == '"':
            spans.append((9, start + 1, end - start - 2))
    return spans


def content_spans(text, members):
    spans, targets_n = [], 0
    for key, start, end in members:
        if key == "details":
            spans.append((16, start, end - start))
        elif key == "targets" and text[start] == "[":
            for begin, stop in array_elements(text, start):
                if text[begin] == "{" and targets_n < TARGETS_SPANNED_MAX:
                    targets_n += 1
                    spans.append((17, begin, stop - begin))
                    spans += _string_spans(text, begin, TARGET_FIELDS)
    return spans


def encode_spans(spans):
    numbers = [number for span in spans for number in span]  # a field number is a varint of one byte, too
    if numbers and max(numbers) >= len(SHORT_VARINTS):
        return b"".join(map(varint, numbers))
    return b"".join([SHORT_VARINTS[number] for number in numbers])

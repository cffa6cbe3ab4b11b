"""Canonical JSON: docs/format/event.md."""
import json
import re

from .octets import ascending
from .report import Malformed, NotCanonical

CONTROL_BYTES_MAX = 16 << 10
NESTING_MAX = 128

# Anything outside strings but no white space; in strings only the escapes RFC 8785 writes. Whether it is JSON at all is the scanner's part.
CANONICAL_TEXT = re.compile(
    r'(?:[^"\s]*+"[^"\\\x00-\x1f]*+(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\\x00-\x1f]*+)*+")*+[^"\s]*+')
# A member's key and colon, and its value when that is a string, in text that CANONICAL_TEXT has passed.
MEMBER = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)":(?:"[^"\\]*+(?:\\.[^"\\]*+)*+")?+')
NESTING_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def _utf16_units(key):
    return key.encode("latin-1").decode().encode("utf-16-be")


def check_key_order(keys):
    """RFC 8785 §3.2.3 order, strict, so that no key stands twice. Keys are in the byte-per-character form of `canonical_object`."""
    if not "".join(keys).isascii():
        keys = [_utf16_units(key) for key in keys]
    if not ascending(keys):
        raise NotCanonical("object keys stand twice or out of order")


def _ordered_object(pairs):
    if len(pairs) > 1:
        check_key_order([key for key, _ in pairs])


def _refuse_constant(name):
    raise NotCanonical(f"{name} is no JSON value")


# Numbers are verbatim lexemes: they need not become numbers.
_scan_value = json.JSONDecoder(object_pairs_hook=_ordered_object, parse_float=str, parse_int=str,
                               parse_constant=_refuse_constant).scan_once


def object_members(text, start):
    """([(key, start, end) of each member's value], end of the object) for the object that begins at `start`."""
    position, members = start + 1, []
    if text[start] != "{":
        raise NotCanonical("not an object")
    if text[position] == "}":
        return members, position + 1
    while True:
        member = MEMBER.match(text, position)
        if not member:
            raise NotCanonical("member expected")
        key, position, end = member[1], member.end(1) + 2, member.end()
        if end == position:
            _, end = _scan_value(text, position)
        members.append((json.loads(f'"{key}"') if "\\" in key else key, position, end))
        if text[end] == "}":
            return members, end + 1
        if text[end] != ",":
            raise NotCanonical("comma expected")
        position = end + 1


def array_elements(text, start):
    """(start, end) of each element of the (already checked) array that begins at `start`."""
    position = start + 1
    while text[position] != "]":
        _, end = _scan_value(text, position)
        yield position, end
        position = end + (text[end] == ",")


def nesting_depth(text):
    depth = deepest = 0
    for token in NESTING_TOKEN.finditer(text):
        mark = text[token.start()]
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def canonical_object(body):
    """(text, members) of a canonical JSON object. In `text` one character is one byte (Latin-1), so places are byte offsets."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise NotCanonical("not UTF-8") from error
    text = body.decode("latin-1")
    if not CANONICAL_TEXT.fullmatch(text):
        raise NotCanonical("white space, or an escape that is not the canonical one")
    if text.count("{") + text.count("[") > NESTING_MAX and nesting_depth(text) > NESTING_MAX:
        raise NotCanonical(f"nested deeper than {NESTING_MAX} levels")
    try:
        members, end = object_members(text, 0)
        if len(members) > 1:
            check_key_order([key for key, _, _ in members])
    except NotCanonical:
        raise
    except (StopIteration, IndexError, ValueError) as error:
        raise NotCanonical("not a JSON object") from error
    if end != len(text):
        raise NotCanonical("bytes behind the object")
    return text, members


def parse_control(body):
    """The values of a control entry after its form was checked. Integers too long to be one of ours stay text."""
    _, members = canonical_object(body)
    if len(body) > CONTROL_BYTES_MAX or not {"at", "type"} <= {key for key, _, _ in members}:
        raise Malformed("control entry is too long, or lacks `type` or `at`")
    entry = json.loads(body, parse_int=lambda lexeme: int(lexeme) if len(lexeme) < 24 else lexeme, parse_float=str)
    if not isinstance(entry["type"], str) or not isinstance(entry["at"], str):
        raise Malformed("`type` and `at` of a control entry are strings")
    return entry

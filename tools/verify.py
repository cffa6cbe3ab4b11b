#!/usr/bin/env python3
"""Independent verifier of an Indelible store, written from docs/format/*.md alone.

    python3 tools/verify.py DATA_DIR [--against FILE ...] [--key VERIFIER_KEY] [--state FILE] [--trust-store-key] [-o json]
    python3 tools/verify.py --proof e.tlog-proof --key VERIFIER_KEY

What it proves when it ends with `ok`
  * Every value in the journal is the one that was committed: the commitments, leaves and RFC 6962 roots are computed again
    from the values and seeds, and are those of the frames, the signed notes, the checkpoint files and the `heads` entries.
  * Nothing was left out, put in, or moved between the first entry and the newest signed size of each log: frames chain,
    positions and tenant numbers are contiguous, no producer's event stands twice.
  * With a checkpoint from outside (`--against`, `--state`): the store is that history or an extension of it. With a key from
    outside (`--key`): the owner of that key signed it.

What it does not prove
  * Without anything from outside (`unanchored`) whoever holds the directory may have made all of it anew, signatures included.
  * Entries behind the newest signature (`unsigned-tail`) are only as safe as the disk.
  * That the log's owner showed everybody the same history: that takes witnesses.
  * That an event is true; only that it is what was written then.
  * Values withheld or expired: only their commitments could be checked, and nothing in format 1 authorises it, so they fail (`withheld`).
  * Records in carry frames (`carry-unchecked`): their form is checked, but the roots of such a frame do not bind them.
  * Caches that can be built again: `tree/`, `dedupe/`, `status` (used only to know where a live writer is).

Exit codes: 0 ok · 1 cannot read · 2 usage · 3 verification failed. Memory: the frontier of each tree, a root per frame, and
the last number of each tenant and producer; frames are read one at a time. Not part of the trusted path: crc32c, which
finds accidents, while the hashes find intent.
"""
import argparse
import base64
import bisect
import fcntl
import functools
import json
import operator
import os
import re
import struct
import sys
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECTOR = 512
FRAME_BYTES_MAX = 16 << 20
CONTROL_BYTES_MAX = 16 << 10
NOTE_BYTES_MAX = 1 << 20
NESTING_MAX = 128
TARGETS_SPANNED_MAX = 60
GROUP_LEAVES = 256
EMPTY_ROOT = sha256(b"").digest()
LEVELS = {"producer-gap": "warn", "unsigned-tail": "note", "unanchored": "note", "carry-unchecked": "note"}


class CannotRead(Exception):
    """A file that is needed could not be read; the store was not judged."""


class Malformed(ValueError):
    """Bytes that the format pages do not allow."""


class NotCanonical(ValueError):
    """JSON that is not in the canonical form of event.md, or no JSON."""


def ascending(keys):
    """Strictly, so no key stands twice."""
    return all(map(operator.lt, keys, keys[1:]))


class Report:
    """Findings in the order they were made. Only level `fail` makes the verdict bad."""

    def __init__(self):
        self.findings = []

    def add(self, code, message, log=None, seq=None, lsn=None):
        places = {"log": log, "seq": seq, "lsn": lsn}
        self.findings.append({"code": code, "level": LEVELS.get(code, "fail"), "message": message,
                              **{name: place for name, place in places.items() if place is not None}})

    @property
    def ok(self):
        return all(finding["level"] != "fail" for finding in self.findings)


# ---------------------------------------------------------------------------------------------------------- crc32c

CASTAGNOLI = 0x82F63B78


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


CRC_TABLE = _crc_table()
# 1 + x^123 + x^145 + x^178 + x^195 + x^266 is a multiple of the (bit-reflected) Castagnoli polynomial; so is the same with every
# exponent multiplied by a power of two (squaring). With so few terms a long message is folded by shifts of one large integer.
CRC_SPARSE = (123, 145, 178, 195, 266)


def crc32c(data):
    """CRC-32C (Castagnoli) of `data`. Cost: a few passes over the bytes, then a loop over the last 50."""
    bits = 8 * len(data)
    message = int.from_bytes(data, "little") ^ 0xFFFFFFFF  # the initial value is the exclusive-or of the first 32 bits
    scale = 1 << bits.bit_length()
    while scale:
        step, *others = [exponent * scale for exponent in CRC_SPARSE]
        while others[-1] + step <= bits:
            low = folded = message & (1 << step) - 1
            for exponent in others:
                folded ^= low << exponent - step
            message = message >> step ^ folded
            bits -= step
        scale >>= 1
    while bits % 8:
        message, bits = message >> 1 ^ (CASTAGNOLI if message & 1 else 0), bits - 1
    state = message & 0xFFFFFFFF
    for byte in (message >> 32).to_bytes(bits // 8, "little"):
        state = (state >> 8 | byte << 24) ^ CRC_TABLE[state & 0xFF]
    return state ^ 0xFFFFFFFF


# ---------------------------------------------------------------------------------------------------- Merkle tree

def node_hash(left, right):
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """RFC 6962 tree that keeps only the roots of its complete subtrees, the largest first."""

    def __init__(self):
        self.size = 0
        self.peaks = []

    def append(self, leaf):
        size, peaks = self.size, self.peaks
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self):
        return functools.reduce(lambda right, left: node_hash(left, right), reversed(self.peaks)) if self.peaks else EMPTY_ROOT


def root_of_inclusion(leaf, index, size, path):
    """The root that `path` leads to from `leaf`, or None when a path for (index, size) has another length. RFC 9162 §2.1.3.2."""
    if index >= size:
        return None
    last, root = size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            root = node_hash(sibling, root)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        index, last = index >> 1, last >> 1
    return root if last == 0 else None


# ------------------------------------------------------------------------------------- keys, signed notes, checkpoints

def base64_bytes(text, length=None):
    """Decodes standard base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
        exact = base64.b64encode(data) == (text.encode() if isinstance(text, str) else text)
    except (TypeError, ValueError) as error:
        raise Malformed("not base64") from error
    if not exact or length not in (None, len(data)):
        raise Malformed("not base64 of the right length")
    return data


def base64_text(data):
    return base64.b64encode(data).decode()


def key_id(name, public_key):
    return sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def verifier_key(name, public_key):
    return f"{name}+{key_id(name, public_key).hex()}+{base64_text(bytes([1]) + public_key)}"


def parse_verifier_key(text):
    """(name, public key) of a C2SP verifier key string of an Ed25519 key."""
    name, _, rest = text.strip().partition("+")
    identifier, _, material = rest.partition("+")
    data = base64_bytes(material, 33)
    if not name or data[0] != 1 or identifier != key_id(name, data[1:]).hex():
        raise Malformed("not the verifier key of an Ed25519 key")
    return name, data[1:]


@dataclass(frozen=True)
class Checkpoint:
    """A parsed, not yet believed, C2SP checkpoint."""
    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple  # of (key name, key id, signature)

    def signature_state(self, public_key):
        """`valid`, `invalid`, `other-key` (the origin's name with a key id that is not this key's), or `absent`."""
        wanted, names = key_id(self.origin, public_key), [name for name, _, _ in self.signatures]
        ours = [signature for name, identifier, signature in self.signatures if (name, identifier) == (self.origin, wanted)]
        if not ours:
            return "other-key" if self.origin in names else "absent"
        try:
            for signature in ours:
                Ed25519PublicKey.from_public_bytes(public_key).verify(signature, self.text)
        except (InvalidSignature, ValueError):
            return "invalid"
        return "valid"


def parse_checkpoint(note):
    if len(note) > NOTE_BYTES_MAX:
        raise Malformed("note is too long")
    try:
        full = note.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note is not UTF-8") from error
    split = full.rfind("\n\n")
    if split < 0 or not full.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f]", full):
        raise Malformed("not a signed note")
    signatures = []
    for line in full[split + 2:].split("\n")[:-1]:
        parts = re.fullmatch("\u2014 ([^\\s+]+) (\\S+)", line)
        data = base64_bytes(parts[2]) if parts else b""
        if len(data) < 5:
            raise Malformed("not a signature line of a signed note")
        signatures.append((parts[1], data[:4], data[4:]))
    if not signatures:
        raise Malformed("note has no signature")
    lines = full[:split].split("\n")
    if len(lines) != 3 or not lines[0] or not re.fullmatch("(?:0|[1-9][0-9]{0,18})", lines[1]):
        raise Malformed("note is not a checkpoint of origin, size, root")
    return Checkpoint(lines[0], int(lines[1]), base64_bytes(lines[2], 32), full[:split + 1].encode(), tuple(signatures))


# ------------------------------------------------------------------------------------------------- canonical JSON

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


# ---------------------------------------------------------------------------------------------------------- spans

SPAN_FIELDS = {"actor": {"email": 1, "id": 2, "name": 3, "type": 4}, "origin": {"host": 6, "ip": 7, "user_agent": 8}}
TARGET_FIELDS = {"id": 18, "name": 19, "type": 20}
ONE_BYTE = [bytes([value]) for value in range(256)]


def varint(value):
    if value < 128:
        return ONE_BYTE[value]
    return ONE_BYTE[value & 127 | 128] + varint(value >> 7)


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


# ----------------------------------------------------------------------------------------- head, commitments, records

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


def parse_head(head):
    """(tenant, tenant_seq, producer id, epoch, producer seq) after every rule of event.md § Head was checked."""
    if len(head) < HEAD.size:
        raise Malformed("head is cut short")
    (version, outcome, severity, event_class, flags, id_form, reserved,
     tenant_seq, _, _, weight, epoch, producer_seq) = HEAD.unpack_from(head)
    if version != 1 or outcome > 4 or not 1 <= severity <= 6 or not 1 <= event_class <= 3:
        raise Malformed("head has a version, outcome, severity or class that is not defined")
    if flags > 1 or id_form > 1 or reserved or not weight:
        raise Malformed("head has reserved bits set, or weight 0")
    position = HEAD.size + 16
    if id_form == 1:
        identifier, position = take_text(head, HEAD.size, 1, 256, "id")
        if UUID_TEXT.fullmatch(identifier):
            raise Malformed("an id that is a UUID stands as text")
    tenant, position = take_text(head, position, 1, 128, "tenant")
    action, position = take_text(head, position, 1, 128, "action")
    if not ACTION.fullmatch(action):
        raise Malformed("action is not noun.verb")
    _, position = take_text(head, position, 0, 64, "source")
    producer, position = take_text(head, position, 0, 128, "producer_id")
    if not producer and epoch:
        raise Malformed("producer_epoch without a producer")
    position += 24 * flags
    if position >= len(head) or head[position] > 16:
        raise Malformed("head is cut short, or has too many frameworks")
    count, position = head[position], position + 1
    for _ in range(count):
        _, position = take_text(head, position, 1, 32, "framework")
    if position != len(head):
        raise Malformed("head does not end at its length")
    return tenant, tenant_seq, producer, epoch, producer_seq


def commitment(tag, salt, value):
    return sha256(b"indelible/v1" + ONE_BYTE[tag] + salt + value).digest()


def event_entry(commitments):
    """`commitments`: [(tag, C(tag))], tags ascending."""
    return bytes([1, len(commitments)]) + b"".join([ONE_BYTE[tag] + digest for tag, digest in commitments])


def leaf_hash(entry):
    return sha256(b"\x00" + entry).digest()


class Salts:
    """The salts of one group of 256 leaves; a tag's keystream is made when it is first needed."""

    def __init__(self, seed):
        self.seed = seed
        self.keystreams = {}

    def salt(self, tag, seq):
        keystream = self.keystreams.get(tag)
        if keystream is None:
            subseed = HKDF(SHA256(), 32, salt=b"indelible/v1", info=b"salt" + ONE_BYTE[tag]).derive(self.seed)
            cipher = Cipher(algorithms.ChaCha20(subseed, bytes(16)), mode=None)
            keystream = self.keystreams[tag] = cipher.encryptor().update(bytes(16 * GROUP_LEAVES))
        place = 16 * (seq % GROUP_LEAVES)
        return keystream[place:place + 16]


@dataclass
class Event:
    """An event record cut into its parts. `groups`: [(tag, form, body)]."""
    groups: list
    spans_n: int
    spans: bytes


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
    return Event(groups, spans_n, record[position:])


# ------------------------------------------------------------------------------------------------------ store, journal

def read_bytes(path, limit=1 << 26):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CannotRead(f"could not read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise CannotRead(f"{path} is larger than {limit} bytes")
    return data


@dataclass
class Log:
    """What is known of one log while the journal streams by."""
    number: int
    name: str
    origin: str
    created: bool = False
    tree: Tree = field(default_factory=Tree)
    boundaries: dict = field(default_factory=lambda: {0: EMPTY_ROOT})  # size → root, at the end of each frame
    asked: dict = field(default_factory=dict)  # size → root, for the sizes of outside checkpoints
    roots_agree: bool = True
    salts_group: int = -1
    salts: Salts = None
    tenants: dict = field(default_factory=dict)  # tenant → next tenant_seq
    hidden: int = 0  # positions whose tenant cannot be read
    signed: int = 0


class Store:
    """store.json, checked."""

    def __init__(self, directory, report):
        text = read_bytes(os.path.join(directory, "store.json"))
        self.logs, self.identity, self.public_key = {}, None, None
        try:
            self._parse(text.removesuffix(b"\n"))
        except (NotCanonical, Malformed, KeyError, TypeError, AttributeError, ValueError) as error:
            report.add("store-identity", f"store.json is not as store.md says: {error!r}")

    def _parse(self, text):
        canonical_object(text)
        stated = json.loads(text)
        if stated["format"] != 1 or not re.fullmatch("[0-9a-f]{32}", stated["store"]):
            raise Malformed("format is not 1, or the store id is not 32 hex digits")
        self.identity, self.public_key = bytes.fromhex(stated["store"]), base64_bytes(stated["public_key"], 32)
        for log in stated["logs"]:
            if not re.fullmatch("[0-9a-f]{16}", log["uid"]) or type(log["id"]) is not int or log["id"] in self.logs:
                raise Malformed("a log has no proper id or uid")
            origin = f"{stated['prefix']}/{stated['store']}/{log['uid']}"
            self.logs[log["id"]] = Log(log["id"], str(log["name"]), origin)
        if 0 not in self.logs:
            raise Malformed("there is no log 0")


@dataclass
class FileHeader:
    number: int
    bytes: int
    store: bytes
    first_lsn: int
    prev: bytes
    states: list  # of (log, size, root)


@dataclass
class Frame:
    lsn: int
    store: bytes
    prev: bytes
    hash: bytes
    bytes: int
    carry: bool
    records_n: int
    logs: list  # of (log, count, first_seq, root)
    seeds: dict  # (log, group) → seed
    notes: list  # of (log, note)
    payload: bytes
    problem: str = ""  # what the tables have against the format although the checksums hold
    padding_clean: bool = True


FRAME = struct.Struct("<4s5IQ32sq16s6I")
FRAME_LOG = struct.Struct("<IIQ32s")
HEADER = struct.Struct("<8sIIQ16sQ32sqI12s")


def header_of(descriptor, number):
    """The file's header, or None while the file is not in use (journal.md: its header is not valid for its own number)."""
    fixed = os.pread(descriptor, HEADER.size, 0)
    if len(fixed) < HEADER.size:
        return None
    magic, size, crc, stated, store, first_lsn, prev, _, logs_n, reserved = HEADER.unpack(fixed)
    end = HEADER.size + 48 * logs_n
    if magic != b"IDLWAL\x00\x01" or size % SECTOR or not end <= size <= 1 << 20 or stated != number or any(reserved):
        return None
    data = os.pread(descriptor, end, 0)
    if len(data) < end or crc32c(data[:12] + data[16:]) != crc:
        return None
    rows = list(FRAME_LOG.iter_unpack(data[HEADER.size:]))
    if any(row[1] for row in rows) or not ascending([row[0] for row in rows]):
        return None
    states = [(log, leaves, root) for log, _, leaves, root in rows]
    return FileHeader(number, size, store, first_lsn, prev, states)


def parse_tables(meta, logs_n, seeds_n, notes_n):
    position = FRAME.size + 48 * (logs_n + seeds_n)
    if position > len(meta):
        raise Malformed("tables are longer than meta_bytes")
    logs = list(FRAME_LOG.iter_unpack(meta[FRAME.size:FRAME.size + 48 * logs_n]))
    seeds = list(FRAME_LOG.iter_unpack(meta[FRAME.size + 48 * logs_n:position]))
    notes = []
    for _ in range(notes_n):
        if position + 8 > len(meta):
            raise Malformed("notes are longer than meta_bytes")
        log, length = struct.unpack_from("<II", meta, position)
        notes.append((log, meta[position + 8:position + 8 + length]))
        position += 8 + length
    if position != len(meta):
        raise Malformed("tables do not end at meta_bytes")
    for keys in ([row[0] for row in logs], [(row[0], row[2]) for row in seeds], [row[0] for row in notes]):
        if not ascending(keys):
            raise Malformed("a table is not in ascending order")
    if any(not count for _, count, _, _ in logs) or any(reserved for _, reserved, _, _ in seeds):
        raise Malformed("a log without records, or a reserved field in use, in the tables")
    return logs, {(log, group): seed for log, _, group, seed in seeds}, notes


def frame_at(descriptor, offset, limit):
    """The frame at `offset` whose checksums hold, or None."""
    fixed = os.pread(descriptor, FRAME.size, offset)
    if len(fixed) < FRAME.size:
        return None
    (magic, frame_bytes, meta_bytes, payload_bytes, payload_crc, meta_crc, lsn, prev, _, store,
     logs_n, seeds_n, notes_n, records_n, flags, reserved) = FRAME.unpack(fixed)
    if magic != b"IDF1" or frame_bytes % SECTOR or frame_bytes > FRAME_BYTES_MAX or offset + frame_bytes > limit:
        return None
    if meta_bytes < FRAME.size or meta_bytes + payload_bytes > frame_bytes:
        return None
    data = os.pread(descriptor, frame_bytes, offset)
    meta, payload = data[:meta_bytes], data[meta_bytes:meta_bytes + payload_bytes]
    if len(data) < frame_bytes or crc32c(meta[:20] + meta[24:]) != meta_crc or crc32c(payload) != payload_crc:
        return None
    frame = Frame(lsn, store, prev, sha256(meta).digest(), frame_bytes, bool(flags & 1), records_n, [], {}, [], payload)
    frame.padding_clean = not any(data[meta_bytes + payload_bytes:])
    try:
        frame.logs, frame.seeds, frame.notes = parse_tables(meta, logs_n, seeds_n, notes_n)
        if flags > 3 or reserved:
            raise Malformed("reserved bits are in use")
    except Malformed as error:
        frame.problem = str(error)
    return frame


class Journal:
    """Walks the files of `journal/` and yields their headers and frames in order, until the tail or the first break."""

    def __init__(self, directory, store_id, report):
        self.directory, self.store_id, self.report = os.path.join(directory, "journal"), store_id, report
        self.frames_n = self.lsn = self.torn_tail_bytes = 0
        self.prev = bytes(32)
        self.durable = self._durable_point(directory)
        try:
            found = [name for name in os.listdir(self.directory) if re.fullmatch(r"[0-9]{8,}\.wal", name)]
            self.files = {int(name[:-4]): os.open(os.path.join(self.directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                          for name in sorted(found)}
        except OSError as error:
            raise CannotRead(f"could not read {self.directory}: {error.strerror}") from error

    def _durable_point(self, directory):
        """(file number, end offset) of what is durable while a writer is alive, else None."""
        try:
            with os.fdopen(os.open(os.path.join(directory, "lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            status = read_bytes(os.path.join(directory, "status"))
        except OSError:
            return None
        valid = len(status) == 64 and status[:8] == b"IDLSTAT1" and status[8:24] == self.store_id
        if not valid or crc32c(status[:60]) != int.from_bytes(status[60:], "little"):
            return None
        return struct.unpack_from("<QQ", status, 24)

    def _end(self, number):
        size = os.fstat(self.files[number]).st_size
        return min(size, self.durable[1]) if self.durable and number == self.durable[0] else size

    def _headers(self):
        """Headers of the files in use, in order. Files behind the last valid header are made ahead and not in use yet."""
        headers = {number: header_of(descriptor, number) for number, descriptor in sorted(self.files.items())
                   if not self.durable or number <= self.durable[0]}
        for number, header in headers.items():
            if header and header.store != self.store_id:
                self.report.add("store-identity", f"journal file {number} belongs to store {header.store.hex()}")
                headers[number] = None
        in_use = [number for number, header in headers.items() if header]
        for number, header in headers.items():
            if not header and in_use and number < in_use[-1]:
                self.report.add("file-header", f"journal file {number} has no valid header but later files are in use")
        return [headers[number] for number in in_use]

    def walk(self):
        headers, offset, number = self._headers(), 0, 0
        for place, header in enumerate(headers):
            if header.first_lsn != self.lsn:
                self.report.add("journal-corrupt", f"journal file {header.number} begins at frame {header.first_lsn}, "
                                f"the frames from {self.lsn} on are missing", lsn=self.lsn)
                return
            if header.prev != self.prev:
                self.report.add("frame-chain", f"journal file {header.number} does not follow from the frame before it", lsn=self.lsn)
            yield header
            number, offset = header.number, header.bytes
            while frame := self._next_frame(number, offset):
                offset += frame.bytes
                if frame.problem:
                    self.report.add("journal-corrupt", f"frame cannot be read: {frame.problem}", lsn=frame.lsn)
                    return
                yield frame
            following = headers[place + 1] if place + 1 < len(headers) else None
            if following and following.first_lsn != self.lsn:
                self._name_break(number, offset)
                self.report.add("journal-corrupt", f"journal file {number} ends before frame {following.first_lsn}, "
                                f"where file {following.number} begins", lsn=self.lsn)
                return
        self._judge_tail(number, offset)

    def _next_frame(self, number, offset):
        frame = frame_at(self.files[number], offset, self._end(number))
        if not frame or frame.store != self.store_id or frame.lsn != self.lsn:
            return None
        if frame.prev != self.prev:
            # A verifier reads on, to report all it can; a writer or reader stops here.
            self.report.add("frame-chain", "frame does not name the hash of the frame before it", lsn=frame.lsn)
        if not frame.padding_clean:
            self.report.add("frame-crc", "bytes behind the payload are not zero", lsn=frame.lsn)
        self.frames_n += 1
        self.lsn, self.prev = frame.lsn + 1, frame.hash
        return frame

    def _name_break(self, number, offset):
        """Says what stands where frame `self.lsn` should."""
        frame = frame_at(self.files[number], offset, self._end(number))
        if frame and frame.store == self.store_id:
            self.report.add("frame-chain", f"frame {frame.lsn} stands where frame {self.lsn} should", lsn=self.lsn)
        else:
            self.report.add("frame-crc", f"no valid frame at offset {offset} of journal file {number}", lsn=self.lsn)

    def _judge_tail(self, number, offset):
        """Torn or corrupt? A frame of this store that should come later, behind the tail, means it was acknowledged data."""
        at_tail = frame_at(self.files[number], offset, self._end(number)) if number else None
        recycled = bool(at_tail and at_tail.store == self.store_id and at_tail.lsn < self.lsn)
        if at_tail and at_tail.store == self.store_id and at_tail.lsn > self.lsn:
            self._name_break(number, offset)
            return
        if self.durable and (number, offset) < self.durable:
            if number:
                self._name_break(number, offset)
            self.report.add("journal-corrupt", "the status file says the journal is durable beyond this place", lsn=self.lsn)
            return
        if self.durable:
            return
        for later in sorted(self.files):
            if later < number:
                continue
            behind = self._frame_behind(later, offset + SECTOR if later == number else 0, self.lsn if later == number else self.lsn + 1)
            if behind:
                if later == number:
                    self._name_break(number, offset)
                else:
                    self.report.add("file-header", f"journal file {later} holds frames but has no valid header")
                self.report.add("journal-corrupt", f"frame {behind.lsn} stands in file {later} behind the missing frame {self.lsn}",
                                lsn=self.lsn)
                return
        if number and not recycled:
            self.torn_tail_bytes = self._bytes_used(number) - offset if self._bytes_used(number) > offset else 0

    def _frame_behind(self, number, offset, lsn_least):
        descriptor, end, block = self.files[number], self._end(number), 1 << 20
        while offset < end:
            data = os.pread(descriptor, block, offset)
            place = data.find(b"IDF1")
            while place >= 0:
                frame = frame_at(descriptor, offset + place, end) if place % SECTOR == 0 else None
                if frame and frame.store == self.store_id and frame.lsn >= lsn_least:
                    return frame
                place = data.find(b"IDF1", place + 1)
            offset += block
        return None

    def _bytes_used(self, number):
        """Offset behind the last byte that is not zero."""
        end = self._end(number)
        while end > 0:
            start = max(0, end - (1 << 20))
            kept = os.pread(self.files[number], end - start, start).rstrip(b"\x00")
            if kept:
                return start + len(kept)
            end = start
        return 0

    def close(self):
        for descriptor in self.files.values():
            os.close(descriptor)


# ------------------------------------------------------------------------------------------------------- producers

class Producers:
    """Which numbers of each (producer, epoch) were seen, as disjoint ranges [start, end)."""

    def __init__(self):
        self.ranges = {}
        self.declared = []  # of (epoch, first, last) from `gap` entries

    def seen(self, producer, epoch, number):
        """Takes note of a number; False when it was seen before."""
        ranges = self.ranges.setdefault((producer, epoch), [])
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] = number + 1
            return True
        place = bisect.bisect_right(ranges, number, key=operator.itemgetter(0))
        if place and number < ranges[place - 1][1]:
            return False
        if place and ranges[place - 1][1] == number:
            ranges[place - 1][1] = number + 1
        else:
            ranges.insert(place, [number, number + 1])
            place += 1
        if place < len(ranges) and ranges[place][0] == number + 1:
            ranges[place - 1][1] = ranges.pop(place)[1]
        return True

    def gaps(self):
        """(producer, epoch, first, last) of each missing range that no `gap` entry covers. Producers in gap entries are opaque,
        so an entry covers by its epoch and numbers alone."""
        for (producer, epoch), ranges in self.ranges.items():
            expected = 0
            for start, end in ranges:
                if start > expected and not self._covered(epoch, expected, start):
                    yield producer, epoch, expected, start - 1
                expected = end

    def _covered(self, epoch, start, end):
        for first, last in sorted((first, last) for stated, first, last in self.declared if stated == epoch):
            if first <= start <= last:
                start = last + 1
        return start >= end


# -------------------------------------------------------------------------------------------------------- verifier

class StoreVerifier:
    """One pass over a store. `anchors`: [(what it is, log number or None, note)] from outside; `key`: (name, public key) or None."""

    def __init__(self, directory, anchors=(), key=None):
        self.report = Report()
        self.directory = directory
        self.store = Store(directory, self.report)
        self.logs = self.store.logs
        self.events_n = self.withheld_n = self.carried_n = 0
        self.producers = Producers()
        # A key tells who signed, not that nothing newer was signed: only a checkpoint from outside anchors.
        self.anchored = bool(anchors)
        self.anchors = []
        if self.store.identity and self.logs:
            if key:
                self._check_key(*key)
            for what, number, note in anchors:
                self._ask_anchor(what, number, note)

    def run(self):
        if self.store.identity and self.logs:
            # Before the journal: with a writer alive, what is signed now is durable by the time the journal is read.
            checkpoints = self._read_checkpoints()
            journal = Journal(self.directory, self.store.identity, self.report)
            try:
                for item in journal.walk():
                    self._file_header(item) if isinstance(item, FileHeader) else self._frame(item)
            finally:
                journal.close()
            self._conclude(checkpoints)
            return self._result(journal)
        return self._result(None)

    # --- outside evidence

    def _check_key(self, name, public_key):
        if public_key != self.store.public_key:
            self.report.add("key-mismatch", "the store's public key is not the one given from outside")
        elif name not in {log.origin for log in self.logs.values()}:
            self.report.add("key-mismatch", f"the key given from outside is named {name}, which is no log of this store")

    def _ask_anchor(self, what, number, note):
        try:
            checkpoint = parse_checkpoint(note)
        except Malformed as error:
            self.report.add("checkpoint-signature", f"{what}: {error}")
            return
        log = next((log for log in self.logs.values() if log.origin == checkpoint.origin), None)
        if not log or number not in (None, log.number):
            self.report.add("anchor-mismatch", f"{what}: origin {checkpoint.origin} is not that of the log in this store")
            return
        state = checkpoint.signature_state(self.store.public_key)
        if state == "invalid":
            self.report.add("checkpoint-signature", f"{what}: the signature does not hold", log=log.number)
            return
        if state != "valid":
            self.report.add("key-mismatch", f"{what}: not signed by the key this store has now", log=log.number)
        log.asked[checkpoint.size] = log.tree.root() if checkpoint.size == 0 else None
        self.anchors.append((what, log, checkpoint))

    def _read_checkpoints(self):
        folder = os.path.join(self.directory, "checkpoint")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        notes = []
        for name in sorted(name for name in names if re.fullmatch("0|[1-9][0-9]{0,9}", name)):
            if int(name) in self.logs:
                notes.append((self.logs[int(name)], read_bytes(os.path.join(folder, name))))
            else:
                self.report.add("log-unknown", f"checkpoint/{name} is of a log that store.json does not name", log=int(name))
        return notes

    # --- the journal, frame by frame

    def _file_header(self, header):
        states = {log: (size, root) for log, size, root in header.states}
        for number in sorted(states.keys() | self.logs.keys()):
            log = self.logs.get(number)
            if not log:
                self.report.add("log-unknown", f"journal file {header.number} names a log that store.json does not", log=number)
            elif states.get(number, (0, EMPTY_ROOT)) != (log.tree.size, log.tree.root()) and log.roots_agree:
                self.report.add("file-header", f"journal file {header.number} states another size or root than the frames before it",
                                log=number, lsn=header.first_lsn)

    def _frame(self, frame):
        for number, note in frame.notes:
            if number in self.logs:
                self._signed_state(self.logs[number], note, "note in frame", frame.lsn)
            else:
                self.report.add("log-unknown", "note of a log that store.json does not name", log=number, lsn=frame.lsn)
        next_seq = {}
        for number, count, first_seq, _ in frame.logs:
            next_seq[number] = first_seq
            if number not in self.logs:
                self.report.add("log-unknown", "frame changes a log that store.json does not name", log=number, lsn=frame.lsn)
            elif first_seq + count > self.logs[number].tree.size if frame.carry else first_seq != self.logs[number].tree.size:
                self.report.add("sequence", f"frame begins at position {first_seq}, the log ends at {self.logs[number].tree.size}",
                                log=number, seq=first_seq, lsn=frame.lsn)
        self._records(frame, next_seq)
        for number, count, first_seq, root in frame.logs:
            if next_seq[number] != first_seq + count:
                self.report.add("sequence", f"frame states {count} records and holds {next_seq[number] - first_seq}",
                                log=number, seq=first_seq, lsn=frame.lsn)
            if number in self.logs:
                self._frame_root(self.logs[number], root, frame)

    def _frame_root(self, log, root, frame):
        computed = log.tree.root()
        agrees = computed == root
        if log.roots_agree and not agrees:
            self.report.add("root-mismatch", f"root of the values is {base64_text(computed)} at size {log.tree.size}, the frame says "
                            f"{base64_text(root)}; later roots of this log differ for the same reason", log=log.number, lsn=frame.lsn)
        log.roots_agree = agrees
        log.boundaries[log.tree.size] = computed

    def _records(self, frame, next_seq):
        payload, position = frame.payload, 0
        for _ in range(frame.records_n):
            length, kind, flags, groups_n, spans_n, number = (
                RECORD.unpack_from(payload, position) if position + RECORD.size <= len(payload) else (0,) * 6)
            if length < RECORD.size or position + length > len(payload):
                self.report.add("record-malformed", "record reaches beyond its frame", lsn=frame.lsn)
                return
            record = payload[position:position + length]
            position += length
            log, seq = self.logs.get(number), next_seq.get(number)
            if seq is None:
                self.report.add("sequence", "record of a log that its frame does not list", log=number, lsn=frame.lsn)
                continue
            next_seq[number] = seq + 1
            if not log:
                continue
            try:
                if kind == EVENT:
                    event = parse_event(record, flags, groups_n, spans_n)
                    leaf = leaf_hash(event_entry(self._commitments(log, seq, event, frame)))
                    self._event(log, seq, event, frame)
                elif kind in (CONTROL, LEAF) and not (flags or groups_n or spans_n) and (kind == CONTROL or length == 44):
                    leaf = record[12:] if kind == LEAF else leaf_hash(b"\x02" + record[12:])
                    self._control(log, seq, record[12:], frame) if kind == CONTROL else self._hide(log)
                else:
                    raise Malformed("record has a kind, flags, counts or length that are not allowed")
            except Malformed as error:
                self.report.add("record-malformed", str(error), log=number, seq=seq, lsn=frame.lsn)
                leaf = bytes(32)  # stands for a leaf that cannot be known; the root will differ
            if frame.carry:
                self.carried_n += 1
                continue
            log.tree.append(leaf)
            if log.asked and log.tree.size in log.asked:
                log.asked[log.tree.size] = log.tree.root()
        if position != len(payload):
            self.report.add("record-malformed", "bytes behind the last record of the frame", lsn=frame.lsn)

    def _hide(self, log):
        log.hidden += 1
        self.withheld_n += 1

    def _salts(self, log, seq, frame):
        group = seq // GROUP_LEAVES
        seed = frame.seeds.get((log.number, group))
        if log.salts_group == group and seed in (None, log.salts.seed):
            return log.salts if seed else None
        if seed and log.salts_group == group:
            self.report.add("seed-missing", f"the seed of group {group} is not the one of the frames before", log=log.number, lsn=frame.lsn)
        if seed:
            log.salts_group, log.salts = group, Salts(seed)
        return log.salts if seed else None

    def _commitments(self, log, seq, event, frame):
        commitments, salts = [], None
        for tag, form, body in event.groups:
            if form == VALUE:
                salts = salts or self._salts(log, seq, frame)
                if not salts:
                    self.report.add("seed-missing", "the frame does not hold the seed of this position's group",
                                    log=log.number, seq=seq, lsn=frame.lsn)
                    return commitments
                commitments.append((tag, commitment(tag, salts.salt(tag, seq), body)))
            else:
                self.withheld_n += form == WITHHELD
                commitments.append((tag, body if form == WITHHELD else commitment(tag, body[:16], body[16:])))
        return commitments

    def _event(self, log, seq, event, frame):
        """Checks what the values say: head, canonical form, spans, tenant and producer numbers."""
        self.events_n += not frame.carry
        place = {"log": log.number, "seq": seq, "lsn": frame.lsn}
        spans, readable, head = [], True, None
        for tag, form, body in event.groups:
            if form == WITHHELD:
                continue
            value = body[16:] if form == SALTED_VALUE else body
            try:
                if tag == TAG_HEAD:
                    head = parse_head(value)
                elif tag == TAG_IDENTITY or tag == TAG_CONTENT:
                    text, members = canonical_object(value)
                    if not members:
                        raise Malformed("an empty group is absent, not {}")
                    spans += identity_spans(text, members) if tag == TAG_IDENTITY else content_spans(text, members)
                elif tag == TAG_RAW:
                    take_text(value, 0, 0, 0xFFFF, "media type")
            except Malformed as error:
                self.report.add("record-malformed", f"group {tag}: {error}", **place)
            except NotCanonical as error:
                readable = False
                self.report.add("not-canonical", f"group {tag}: {error}", **place)
        if readable and (len(spans) != event.spans_n or encode_spans(spans) != event.spans):
            self.report.add("span-mismatch", "the spans are not those of the identity and content stored", **place)
        if head and not frame.carry:
            self._numbers(log, place, *head)
        elif not frame.carry:
            log.hidden += 1

    def _numbers(self, log, place, tenant, tenant_seq, producer, epoch, producer_seq):
        expected = log.tenants.get(tenant, 0)
        if tenant_seq != expected and not expected < tenant_seq <= expected + log.hidden:
            self.report.add("tenant-sequence", f"tenant_seq is {tenant_seq}, {expected} was due", **place)
        log.tenants[tenant] = tenant_seq + 1
        if producer and not self.producers.seen(producer, epoch, producer_seq):
            self.report.add("producer-duplicate", f"number {producer_seq} of a producer's epoch {epoch} stands a second time", **place)

    # --- control entries

    def _control(self, log, seq, body, frame):
        place = {"log": log.number, "seq": seq, "lsn": frame.lsn}
        try:
            entry = parse_control(body)
            kind, problem = entry["type"], None
            if log.number == 0 and (seq == 0) != (kind == "store.created"):
                self.report.add("store-identity", "the first entry of log 0, and no other, is `store.created`", **place)
            if kind == "store.created":
                problem = self._creation(entry, 0) or (entry["store"] != self.store.identity.hex() and "another store")
            elif kind == "log.created":
                if log.number != 0:
                    raise Malformed("`log.created` belongs in log 0")
                if entry["log"] not in self.logs:
                    self.report.add("log-unknown", f"log {entry['log']} was created but store.json does not name it", **place)
                else:
                    problem = self._creation(entry, entry["log"])
            elif kind == "heads":
                self._heads(entry["logs"], place)
            elif kind == "gap" and entry.get("producer"):
                self.producers.declared.append((int(entry["epoch"]), int(entry["first_seq"]), int(entry["last_seq"])))
            if problem:
                self.report.add("store-identity", f"`{kind}` names {problem} than store.json", **place)
        except NotCanonical as error:
            self.report.add("not-canonical", f"control entry: {error}", **place)
        except (Malformed, KeyError, TypeError, ValueError) as error:
            self.report.add("record-malformed", f"control entry: {error!r}", **place)

    def _creation(self, entry, number):
        log = self.logs[number]
        log.created = True
        if entry["origin"] != log.origin:
            return "another origin"
        if number != 0 and entry.get("name") != log.name:
            return "another name"
        return "another key" if entry["key"] != verifier_key(log.origin, self.store.public_key) else None

    def _heads(self, heads, place):
        for head in heads:
            log, root = self.logs.get(head["log"]), base64_bytes(head["root"], 32)
            if not log:
                self.report.add("log-unknown", f"`heads` names log {head['log']}, store.json does not", **place)
            elif log.boundaries.get(head["size"]) != root:
                self.report.add("heads-mismatch", f"log {log.number} had no durable state of size {head['size']} with the root "
                                "that `heads` states", **place)

    # --- signed states and the verdict

    def _signed_state(self, log, note, what, lsn=None):
        """A signed note must name a state that some earlier frame left behind."""
        place = {"log": log.number, "lsn": lsn}
        try:
            checkpoint = parse_checkpoint(note)
        except Malformed as error:
            self.report.add("checkpoint-signature", f"{what}: {error}", **place)
            return
        if checkpoint.origin != log.origin:
            self.report.add("checkpoint-mismatch", f"{what}: origin {checkpoint.origin} is not the log's", **place)
        elif checkpoint.signature_state(self.store.public_key) != "valid":
            self.report.add("checkpoint-signature", f"{what}: no valid signature of the store's key", **place)
        elif checkpoint.size > log.tree.size:
            self.report.add("checkpoint-ahead", f"{what}: size {checkpoint.size} is signed, the log has {log.tree.size}", **place)
        elif log.boundaries.get(checkpoint.size) != checkpoint.root:
            self.report.add("checkpoint-mismatch", f"{what}: the signed root of size {checkpoint.size} is not that of the values", **place)
        else:
            log.signed = max(log.signed, checkpoint.size)

    def _conclude(self, checkpoints):
        for log, note in checkpoints:
            self._signed_state(log, note, f"checkpoint/{log.number}")
        for what, log, checkpoint in self.anchors:
            if checkpoint.size > log.tree.size:
                self.report.add("anchor-ahead", f"{what}: size {checkpoint.size} was seen, the log has {log.tree.size}: it was cut or "
                                "rolled back", log=log.number)
            elif log.asked[checkpoint.size] != checkpoint.root:
                self.report.add("anchor-mismatch", f"{what}: another root at size {checkpoint.size}: the history was changed", log=log.number)
        for producer, epoch, first, last in self.producers.gaps():
            self.report.add("producer-gap", f"numbers {first} to {last} of epoch {epoch} of producer {producer.decode()!r} are missing and no "
                            "`gap` entry tells why")
        for log in self.logs.values():
            if log.tree.size and not log.created:
                self.report.add("log-unknown", "the log has entries but log 0 does not tell of its creation", log=log.number)
            if log.tree.size > log.signed:
                self.report.add("unsigned-tail", f"{log.tree.size - log.signed} entries behind the newest valid signature", log=log.number)
        if self.withheld_n:
            self.report.add("withheld", f"{self.withheld_n} positions or groups are only hashes here; their values were not checked")
        if self.carried_n:
            self.report.add("carry-unchecked", f"{self.carried_n} carried records were checked in form, not against the tree")
        if not self.anchored:
            self.report.add("unanchored", "nothing from outside was given: a store made anew or rolled back as a whole is not excluded")

    def _result(self, journal):
        logs = [{"log": log.number, "name": log.name, "size": log.tree.size, "signed": log.signed, "root": base64_text(log.tree.root())}
                for log in self.logs.values()]
        return {"ok": self.report.ok, "anchored": self.anchored, "logs": logs, "frames": journal.frames_n if journal else 0,
                "events": self.events_n, "torn_tail_bytes": journal.torn_tail_bytes if journal else 0, "findings": self.report.findings}


# ----------------------------------------------------------------------------------------------------- single proofs

def parse_proof(data):
    """(extra, index, path, checkpoint note) of a C2SP tlog-proof."""
    head, separator, note = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if not separator or lines[0] != b"c2sp.org/tlog-proof@v1" or len(lines) < 3 or not lines[1].startswith(b"extra "):
        raise Malformed("not a tlog-proof with an `extra` line")
    index = re.fullmatch(rb"index (0|[1-9][0-9]{0,18})", lines[2])
    if not index or len(lines) > 3 + 64:
        raise Malformed("tlog-proof has no proper index, or too long a path")
    return base64_bytes(lines[1][6:]), int(index[1]), [base64_bytes(line, 32) for line in lines[3:]], note


def disclosed_entry(extra):
    """(entry, what was disclosed) of the `extra` line. What it says is only believed once the proof holds."""
    text, members = canonical_object(extra)
    keys, stated = [key for key, _, _ in members], json.loads(extra, parse_int=str, parse_float=str)
    if stated.get("format") != "indelible/v1" or keys not in (["format", "groups"], ["control", "format"]):
        raise Malformed("extra is not that of format indelible/v1")
    if keys[0] == "control":
        control = text[members[0][1]:members[0][2]].encode("latin-1")
        return b"\x02" + control, {"control": parse_control(control)}
    commitments, disclosed, previous_tag = [], {}, 0
    for group in stated["groups"]:
        tag = int(group["tag"])
        if not previous_tag < tag <= 255 or (not previous_tag and tag != TAG_HEAD) or len(commitments) == 16:
            raise Malformed("groups are out of order")
        previous_tag = tag
        if set(group) == {"tag", "commitment"}:
            commitments.append((tag, base64_bytes(group["commitment"], 32)))
            continue
        value = base64_bytes(group["value"])
        commitments.append((tag, commitment(tag, base64_bytes(group["salt"], 16), value)))
        if tag == TAG_HEAD:
            parse_head(value)
        if tag in (TAG_IDENTITY, TAG_CONTENT):
            canonical_object(value)
        disclosed[str(tag)] = base64_text(value) if tag not in (TAG_IDENTITY, TAG_CONTENT) else value.decode()
    if not commitments:
        raise Malformed("an event has at least its head")
    return event_entry(commitments), {"groups": disclosed}


def verify_proof(data, key):
    """The result for one .tlog-proof. `key` may be that of the log or of the store (log 0): the public key is the same."""
    report, result = Report(), {}
    name, public_key = key
    try:
        extra, index, path, note = parse_proof(data)
        checkpoint = parse_checkpoint(note)
        result = {"origin": checkpoint.origin, "index": index, "size": checkpoint.size}
        if name != checkpoint.origin and name.rpartition("/")[0] != checkpoint.origin.rpartition("/")[0]:
            report.add("key-mismatch", f"the key is of {name}, the checkpoint of {checkpoint.origin}")
        state = checkpoint.signature_state(public_key)
        if state == "other-key":
            report.add("key-mismatch", "the checkpoint is signed by another key")
        elif state != "valid":
            report.add("checkpoint-signature", "the checkpoint has no valid signature of the key given")
        entry, disclosed = disclosed_entry(extra)
        if root_of_inclusion(leaf_hash(entry), index, checkpoint.size, path) != checkpoint.root:
            report.add("root-mismatch", "the path does not lead from this entry to the signed root", seq=index)
        elif report.ok:
            result["disclosed"] = disclosed
    except NotCanonical as error:
        report.add("not-canonical", f"extra: {error}")
    except (Malformed, KeyError, TypeError, ValueError) as error:
        report.add("record-malformed", f"proof: {error!r}")
    return {"ok": report.ok, **result, "findings": report.findings}


# ------------------------------------------------------------------------------------------------------------ command

def anchors_of(arguments, store_id):
    """[(what, log number or None, note)] of --against and --state, and the findings about the state file itself."""
    anchors, findings = [], []
    for given in arguments.against:
        is_note = "\n" in given and "\u2014 " in given
        anchors.append(("given note" if is_note else given, None, given.encode() if is_note else read_bytes(given)))
    if arguments.state:
        try:
            state = json.loads(read_bytes(arguments.state))
            if state["format"] != 1 or state["store"] != store_id:
                findings.append(f"{arguments.state} is the trusted state of another store or format")
            else:
                anchors += [(f"{arguments.state}: log {log}", int(log), note.encode()) for log, note in state["checkpoints"].items()]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CannotRead(f"{arguments.state} is not a trusted-state file: {error!r}") from error
    return anchors, findings


def verify_store(arguments, key):
    store = Store(arguments.data_dir, Report())
    identity = store.identity.hex() if store.identity else None
    if arguments.trust_store_key and store.logs and not key:
        key = (store.logs[0].origin, store.public_key)
    anchors, findings = anchors_of(arguments, identity)
    verifier = StoreVerifier(arguments.data_dir, anchors, key)
    verifier.anchored |= bool(arguments.state)
    for message in findings:
        verifier.report.add("anchor-mismatch", message)
    return verifier.run()


def print_readable(result):
    for log in result.get("logs", []):
        print(f"log {log['log']} {log['name']}: {log['size']} entries, {log['signed']} signed, root {log['root']}")
    if "frames" in result:
        print(f"{result['frames']} frames, {result['events']} events, {result['torn_tail_bytes']} bytes of torn tail")
    if "disclosed" in result:
        print(f"position {result['index']} of {result['origin']} at size {result['size']}: {json.dumps(result['disclosed'])}")
    for finding in result["findings"]:
        places = " ".join(f"{name} {finding[name]}" for name in ("log", "seq", "lsn") if name in finding)
        # Messages may quote what the store holds; a terminal must not obey it.
        print(f"{finding['level']}: {finding['code']}: {ascii(finding['message'])[1:-1]}" + (f" ({places})" if places else ""))
    print("ok" if result["ok"] else "FAILED")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify an Indelible store or a single proof, independently of its writer.")
    parser.add_argument("data_dir", nargs="?", metavar="DATA_DIR")
    parser.add_argument("--against", nargs="+", action="extend", default=[], metavar="FILE", help="checkpoints kept outside: files or notes")
    parser.add_argument("--key", help="the store's verifier key, known from outside")
    parser.add_argument("--state", metavar="FILE", help="the trusted-state file of this store")
    parser.add_argument("--trust-store-key", action="store_true", help="take the key in store.json as if given with --key")
    parser.add_argument("--proof", metavar="FILE", help="verify one .tlog-proof instead of a store; needs --key")
    parser.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    arguments = parser.parse_args(arguments)
    try:
        key = parse_verifier_key(arguments.key) if arguments.key else None
    except Malformed as error:
        parser.error(f"--key: {error}")
    if bool(arguments.data_dir) == bool(arguments.proof) or (arguments.proof and not key):
        parser.error("give either DATA_DIR, or --proof FILE with --key")
    try:
        result = verify_proof(read_bytes(arguments.proof), key) if arguments.proof else verify_store(arguments, key)
    except (CannotRead, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result)) if arguments.output == "json" else print_readable(result)
    return 0 if result["ok"] else 3


if __name__ == "__main__":
    sys.exit(main())

"""The independent verifier accepts every intact store and names every attack.

The stores are made by the small reference writer below. It shares no code with the verifier but its CRC: it computes trees by the recursive
definition of RFC 6962, HKDF by hand, CRC bit by bit, and notes spans while it writes the JSON.

    cd tools && python -m unittest          # needs requirements.txt; INDELIBLE_CORPUS as everywhere
"""
import base64
import contextlib
import fcntl
import glob
import hashlib
import hmac
import io
import json
import os
import random
import shutil
import struct
import tempfile
import unittest

import pymerkle
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from indelible_verify.canonical import canonical_object
from indelible_verify.command import main
from indelible_verify.commitments import leaf_hash
from indelible_verify.merkle import Tree, root_of_inclusion
from indelible_verify.notes import parse_verifier_key
from indelible_verify.octets import crc32c
from indelible_verify.proof import verify_proof
from indelible_verify.report import NotCanonical
from indelible_verify.verifier import StoreVerifier

STORE_ID = bytes(range(16))
OTHER_STORE_ID = bytes(range(1, 17))
UIDS = {0: "00000000000000aa", 1: "00000000000000bb", 2: "00000000000000cc"}
NAMES = {0: "control", 1: "main", 2: "telemetry"}
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
FILE_BYTES = 1 << 20
CORPUS = os.environ.get("INDELIBLE_CORPUS", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared/data"))


# ------------------------------------------------------------------------------------------------ reference writer

def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def crc32c_simple(data):
    """The simple twin of crc32c. Frames are large for a bit-by-bit loop in Python; test_crc_is_its_simple_twin entitles the writer to the
    fast one."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def rfc6962_root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + rfc6962_root(leaves[:left]) + rfc6962_root(leaves[left:]))


def rfc6962_path(index, leaves):
    if len(leaves) <= 1:
        return []
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if index < left:
        return rfc6962_path(index, leaves[:left]) + [rfc6962_root(leaves[left:])]
    return rfc6962_path(index - left, leaves[left:]) + [rfc6962_root(leaves[:left])]


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def leb128(value):
    out = bytearray()
    while True:
        out.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def json_with_spans(value, fields):
    """Canonical JSON of a dict and the spans of `fields`: {path: number}; `*` is any element of an array."""
    out, spans = bytearray(), []

    def put(item, path):
        start, number, slot = len(out), fields.get(path), len(spans)
        if number is not None:
            spans.append(None)
        if isinstance(item, dict) and any(known[:len(path)] == path and len(known) > len(path) for known in fields):
            out.extend(b"{")
            for place, key in enumerate(sorted(item)):
                out.extend(b"," * bool(place) + canonical(key) + b":")
                put(item[key], (*path, key))
            out.extend(b"}")
        elif isinstance(item, list) and (*path, "*") in fields:
            out.extend(b"[")
            for place, element in enumerate(item):
                out.extend(b"," * bool(place))
                put(element, (*path, "*"))
            out.extend(b"]")
        else:
            out.extend(canonical(item))
        if number is not None:
            quoted = isinstance(item, str) and path[-1] != "details"
            spans[slot] = (number, start + quoted, len(out) - start - 2 * quoted)

    put(value, ())
    return bytes(out), spans


IDENTITY = {("actor", "email"): 1, ("actor", "id"): 2, ("actor", "name"): 3, ("actor", "type"): 4, ("details",): 5,
            ("origin", "host"): 6, ("origin", "ip"): 7, ("origin", "user_agent"): 8, ("session",): 9}
CONTENT = {("details",): 16, ("targets", "*"): 17, ("targets", "*", "id"): 18, ("targets", "*", "name"): 19, ("targets", "*", "type"): 20}


def str16(text):
    data = text.encode()
    return struct.pack("<H", len(data)) + data


def event(number, *, tenant="acme", tenant_seq=None, producer="", epoch=0, producer_seq=0, log=1, **changes):
    """One event of a plan. `changes` replace the JSON of `identity` and `content`."""
    identity = {"actor": {"email": "zoë@example.org", "id": f"u-{number}", "name": "Zoë \"Z\"", "type": "user"},
                "details": {"größe": [1, 2.50, None]}, "origin": {"host": "h", "ip": "192.0.2.1", "user_agent": "a\u0001\n"}, "session": ""}
    content = {"details": {"n": number, "text": "value \U0001f600"}, "more": [True],
               "targets": [{"id": str(number), "name": "file", "type": "doc"}, {"id": "b", "x": 1}]}
    return {"log": log, "number": number, "tenant": tenant, "tenant_seq": tenant_seq, "producer": producer, "epoch": epoch,
            "producer_seq": producer_seq, "identity": identity, "content": content, "raw": None, **changes}


def head_bytes(entry, tenant_seq):
    textual = entry["number"] % 2
    head = struct.pack("<6BHQqqQQQ", 1, 1, 2, 2, 1 if entry["number"] % 3 == 0 else 0, textual, 0, tenant_seq, 1_700_000_000_000_000_000,
                       1_700_000_000_000_000_001, 1, entry["epoch"], entry["producer_seq"])
    head += str16(f"id-{entry['number']}") if textual else struct.pack("<QQ", 7, entry["number"])
    head += str16(entry["tenant"]) + str16("user.login") + str16("") + str16(entry["producer"])
    head += bytes(24) if entry["number"] % 3 == 0 else b""
    return head + bytes([2]) + str16("SOX") + str16("HIPAA")


class Salts:
    def __init__(self, seed):
        self.seed = seed

    def salt(self, tag, seq):
        extracted = hmac.digest(b"indelible/v1", self.seed, "sha256")
        subseed = hmac.digest(extracted, b"salt" + bytes([tag]) + b"\x01", "sha256")
        keystream = Cipher(algorithms.ChaCha20(subseed, bytes(16)), mode=None).encryptor().update(bytes(4096))
        return keystream[16 * (seq % 256):16 * (seq % 256) + 16]


def origin(log, store=STORE_ID):
    return f"localhost/{store.hex()}/{UIDS[log]}"


def public_bytes(key):
    return key.public_key().public_bytes_raw()


def vkey(log, key=KEY, store=STORE_ID):
    material = b"\x01" + public_bytes(key)
    return f"{origin(log, store)}+{sha256(origin(log, store).encode() + bytes([10]) + material)[:4].hex()}+{b64(material)}"


def signed_note(log, size, root, key=KEY, store=STORE_ID):
    text = f"{origin(log, store)}\n{size}\n{b64(root)}\n"
    identifier = sha256(origin(log, store).encode() + b"\n\x01" + public_bytes(key))[:4]
    return f"{text}\n\u2014 {origin(log, store)} {b64(identifier + key.sign(text.encode()))}\n".encode()


class ReferenceStore:
    """Writes a data directory from `plan`, a list of frames, each a list of events (`event`) and of (log, control entry dict), or
    a range of positions of log 1 to carry.

    Hooks bend one thing while all that depends on it is still computed: `entry`, `root`, `notes`, `spans`, `record`, `frame`.
    `seed_of` and the key are fixed, so two writers of one plan write the same bytes."""

    def __init__(self, directory, plan, *, key=KEY, store=STORE_ID, frames_per_file=1000, predecessors=None, **hooks):
        self.directory, self.key, self.store_id, self.hooks = directory, key, store, hooks
        self.leaves, self.entries = {log: [] for log in UIDS}, {log: [] for log in UIDS}
        self.records = {}  # (log, seq) → record, for carry frames
        self.opened = {}  # (log, seq) → groups as [(tag, salt, value)]
        self.notes = {}
        self.tenants, self.prev, self.files, self.places = {}, bytes(32), [], {}
        os.makedirs(f"{directory}/journal")
        os.makedirs(f"{directory}/checkpoint")
        for lsn, frame in enumerate(plan):
            if lsn % frames_per_file == 0:
                self._start_file(lsn)
            self._append(lsn, frame)
        for number, data in enumerate(self.files, 1):
            self.write(f"journal/{number:08}.wal", bytes(data) + bytes(FILE_BYTES - len(data)))
        self.write(f"journal/{len(self.files) + 1:08}.wal", bytes(FILE_BYTES))
        self.checkpoints = {log: self.note(log) for log in UIDS if self.leaves[log]}
        for log, note in self.checkpoints.items():
            self.write(f"checkpoint/{log}", note)
        logs = [{"id": log, "name": NAMES[log], "uid": UIDS[log]} for log in UIDS]
        self.stated = {"created": "2026-01-01T00:00:00Z", "format": 1, "logs": logs, "prefix": "localhost",
                       "public_key": b64(public_bytes(key)), "store": store.hex()} | ({"predecessors": predecessors} if predecessors else {})
        self.write("store.json", canonical(self.stated))
        self.write("lock", b"")

    def hook(self, name, value, *place):
        return self.hooks[name](value, *place) if name in self.hooks else value

    def write(self, name, data):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)

    def note(self, log):
        return signed_note(log, len(self.leaves[log]), rfc6962_root(self.leaves[log]), self.key, self.store_id)

    def _start_file(self, lsn):
        logs = b"".join(struct.pack("<IIQ", log, 0, len(leaves)) + rfc6962_root(leaves) for log, leaves in self.leaves.items() if leaves)
        body = struct.pack("<Q16sQ32sqI12s", len(self.files) + 1, self.store_id, lsn, self.prev, 5, len(logs) // 48, b"") + logs
        head = b"IDLWAL\x00\x01" + struct.pack("<I", 512)
        self.files.append(bytearray((head + struct.pack("<I", crc32c(head + body)) + body).ljust(512, b"\x00")))

    def _record(self, lsn, seq, entry, salts):
        if isinstance(entry, tuple):
            body = canonical(entry[1])
            self.entries[entry[0]].append(b"\x02" + body)
            return struct.pack("<IBBBBI", 12 + len(body), 2, 0, 0, 0, entry[0]) + body
        if "leaf" in entry:
            return struct.pack("<IBBBBI", 44, 3, 0, 0, 0, entry["log"]) + entry["leaf"]
        key = (entry["log"], entry["tenant"])
        tenant_seq = self.tenants.get(key, 0) if entry["tenant_seq"] is None else entry["tenant_seq"]
        self.tenants[key] = tenant_seq + 1
        groups, spans = [(1, head_bytes(entry, tenant_seq))], []
        for tag, name, fields in ((2, "identity", IDENTITY), (3, "content", CONTENT)):
            if isinstance(entry[name], bytes):
                groups.append((tag, entry[name]))
            elif entry[name] is not None:
                body, found = json_with_spans(entry[name], fields)
                groups.append((tag, body))
                spans += found
        if entry["raw"] is not None:
            groups.append((4, entry["raw"]))
        forms = entry.get("forms", {})
        opened = [(tag, salts.salt(tag, seq), value) for tag, value in groups]
        commitments = [(tag, sha256(b"indelible/v1" + bytes([tag]) + salt + value)) for tag, salt, value in opened]
        self.entries[entry["log"]].append(b"\x01" + bytes([len(groups)]) + b"".join(bytes([tag]) + digest for tag, digest in commitments))
        self.opened[entry["log"], seq] = opened
        stored = [{0: value, 1: salt + value, 2: digest}[forms.get(tag, 0)]
                  for (tag, salt, value), (_, digest) in zip(opened, commitments, strict=True)]
        withheld = {name for tag, name in ((2, range(1, 10)), (3, range(16, 21))) if forms.get(tag) == 2}
        spans = self.hook("spans", [span for span in spans if not any(span[0] in fields for fields in withheld)], lsn, seq)
        table = b"".join(struct.pack("<BBI", tag, forms.get(tag, 0), len(body)) for (tag, _), body in zip(groups, stored, strict=True))
        tail = b"".join(bytes([number]) + leb128(offset) + leb128(length) for number, offset, length in spans)
        idempotency = bytes(32) if entry["number"] % 5 == 0 else b""
        body = table + idempotency + b"".join(stored) + tail
        return struct.pack("<IBBBBI", 12 + len(body), 1, bool(idempotency), len(groups), len(spans), entry["log"]) + body

    def _append(self, lsn, frame):
        # What is durable before this frame is signed in it, as the real writer does.
        notes = {log: self.note(log) for log in UIDS if self.leaves[log]} if lsn % 2 else {}
        self.notes[lsn] = notes = self.hook("notes", notes, lsn)
        rows, seeds, payload, records_n = {}, {}, b"", 0
        carry = isinstance(frame, range)
        if carry:
            rows[1], records_n = [len(frame), frame.start], len(frame)
            payload = b"".join(self.records[1, seq] for seq in frame)
            seeds = {(1, group): sha256(b"seed\x01" + struct.pack("<Q", group)) for group in {seq // 256 for seq in frame}}
        for entry in () if carry else frame:
            log = entry[0] if isinstance(entry, tuple) else entry["log"]
            seq = len(self.leaves[log])
            rows.setdefault(log, [0, seq])[0] += 1
            seed = self.hook("seed", sha256(b"seed" + bytes([log]) + struct.pack("<Q", seq // 256)), lsn)
            if seed:
                seeds[log, seq // 256] = seed
            record = self.hook("record", self._record(lsn, seq, entry, Salts(seed or bytes(32))), lsn, seq)
            self.records[log, seq] = record
            self.leaves[log].append(entry["leaf"] if "leaf" in entry else sha256(b"\x00" + self.entries[log][-1]))
            payload, records_n = payload + record, records_n + 1
        tables = b"".join(struct.pack("<IIQ", log, count, first) + self.hook("root", rfc6962_root(self.leaves[log]), lsn, log)
                          for log, (count, first) in sorted(rows.items()))
        tables += b"".join(struct.pack("<IIQ", log, 0, group) + seed for (log, group), seed in sorted(seeds.items()))
        tables += b"".join(struct.pack("<II", log, len(note)) + note for log, note in sorted(notes.items()))
        meta_bytes = 112 + len(tables)
        frame_bytes = -(-(meta_bytes + len(payload)) // 512) * 512
        start = b"IDF1" + struct.pack("<IIII", frame_bytes, meta_bytes, len(payload), crc32c(payload))
        rest = struct.pack("<Q32sq16s6I", lsn, self.prev, 9, self.store_id, len(rows), len(seeds), len(notes), records_n, int(carry), 0) + tables
        meta = start + struct.pack("<I", crc32c(start + rest)) + rest
        self.prev = sha256(meta)
        self.places[lsn] = (len(self.files), len(self.files[-1]), frame_bytes)
        self.files[-1] += (meta + payload).ljust(frame_bytes, b"\x00")


def created(key=KEY, store=STORE_ID):
    at = "2026-01-01T00:00:00.000000000Z"
    first = {"type": "store.created", "at": at, "store": store.hex(), "origin": origin(0, store), "key": vkey(0, key, store)}
    return [(0, first)] + [(0, {"type": "log.created", "at": at, "log": log, "name": NAMES[log], "origin": origin(log, store),
                                "key": vkey(log, key, store)}) for log in (1, 2)]


def plan_of(events_n, frame_events=60, **options):
    events = [event(number, **options) for number in range(events_n)]
    return [created(), *(events[start:start + frame_events] for start in range(0, events_n, frame_events))]


# -------------------------------------------------------------------------------------------------------- the tests

class StoreTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.stores = 0

    def store(self, plan, **options):
        self.stores += 1
        return ReferenceStore(os.path.join(self.root, str(self.stores)), plan, **options)

    def verify(self, store, anchors=(), key=None):
        return StoreVerifier(store.directory, [("anchor", None, note) for note in anchors], key).run()

    def codes(self, store, **options):
        return {finding["code"] for finding in self.verify(store, **options)["findings"] if finding["level"] != "note"}

    def assert_intact(self, store, **options):
        result = self.verify(store, **options)
        self.assertEqual([finding for finding in result["findings"] if finding["level"] != "note"], [])
        self.assertTrue(result["ok"])
        return result

    def assert_found(self, code, store, **options):
        result = self.verify(store, **options)
        self.assertIn(code, {finding["code"] for finding in result["findings"]})
        self.assertFalse(result["ok"])
        return result

    def edit(self, store, lsn, change):
        """Rewrites one frame in place by `change(bytearray)`, its checksums included, nothing else."""
        number, offset, length = store.places[lsn]
        path = f"{store.directory}/journal/{number:08}.wal"
        with open(path, "r+b") as file:
            file.seek(offset)
            frame = bytearray(file.read(length))
            change(frame)
            meta_bytes, payload_bytes = struct.unpack_from("<II", frame, 8)
            struct.pack_into("<I", frame, 16, crc32c(bytes(frame[meta_bytes:meta_bytes + payload_bytes])))
            struct.pack_into("<I", frame, 20, crc32c(bytes(frame[:20] + frame[24:meta_bytes])))
            file.seek(offset)
            file.write(frame)


class IntactStores(StoreTest):
    """Intact logs never raise a false alarm."""

    def test_sizes_around_a_group(self):
        for size in (0, 1, 255, 256, 257):
            with self.subTest(size=size):
                store = self.store(plan_of(size))
                result = self.assert_intact(store, anchors=store.checkpoints.values(), key=parse_verifier_key(vkey(0)))
                oracle = pymerkle.InmemoryTree(algorithm="sha256")
                for entry in store.entries[1]:
                    oracle.append_entry(entry)
                main = result["logs"][1]
                self.assertEqual((main["size"], main["signed"]), (size, size))
                self.assertEqual(base64.b64decode(main["root"]), oracle.get_root())
                self.assertEqual(result["events"], size)
                self.assertTrue(result["anchored"])
                self.assertEqual(result["findings"], [])

    def test_unanchored_is_said_and_is_no_failure(self):
        result = self.assert_intact(self.store(plan_of(3)))
        self.assertEqual([finding["code"] for finding in result["findings"]], ["unanchored"])
        self.assertFalse(result["anchored"])

    def test_many_files_many_logs_and_tenants(self):
        plan = plan_of(40, frame_events=4)
        plan += [[event(100 + number, log=1 + number % 2, tenant=f"t{number % 3}") for number in range(9)] for _ in range(3)]
        result = self.assert_intact(self.store(plan, frames_per_file=3))
        self.assertEqual(result["frames"], 14)

    def test_every_old_checkpoint_of_any_size_still_anchors(self):
        store = self.store(plan_of(130))
        notes = [signed_note(1, size, rfc6962_root(store.leaves[1][:size])) for size in (0, 1, 59, 60, 61, 129, 130)]
        self.assert_intact(store, anchors=notes)

    def test_withheld_and_salted_groups_and_leaf_records(self):
        plan = plan_of(3)
        plan.append([event(3, forms={2: 2, 3: 1}), event(4, forms={1: 1, 2: 1, 3: 2}), {"log": 1, "leaf": bytes(32)}, event(6, tenant_seq=6)])
        result = self.verify(self.store(plan))
        self.assertEqual({"withheld"}, {finding["code"] for finding in result["findings"] if finding["level"] == "fail"})

    def test_events_with_raw_and_with_head_alone(self):
        plan = plan_of(0) + [[event(1, raw=str16("text/plain") + b"\xff\x00"), event(2, identity=None, content=None), event(4, identity=None)]]
        self.assert_intact(self.store(plan))

    def test_carried_records_change_no_tree(self):
        plan = plan_of(300)
        result = self.verify(self.store([*plan, range(250, 270), [event(300)]]))
        self.assertTrue(result["ok"], result["findings"])
        self.assertEqual({finding["code"] for finding in result["findings"]}, {"carry-unchecked", "unanchored"})
        self.assertEqual((result["events"], result["logs"][1]["size"]), (301, 301))

    def test_only_sixty_targets_are_spanned(self):
        targets = [{"id": str(number), "name": 5, "type": {"a": "b"}} for number in range(70)]

        def first_sixty(spans, lsn, seq):
            kept = [place for place, span in enumerate(spans) if span[0] == 17][60]
            return [span for span in spans[:kept] if not (span[0] in (19, 20))]
        self.assert_intact(self.store(plan_of(0) + [[event(2, content={"targets": targets})]], spans=first_sixty))

    def test_a_torn_tail_is_reported_and_is_no_failure(self):
        store = self.store(plan_of(10))
        number, offset, length = store.places[1]
        with open(f"{store.directory}/journal/{number:08}.wal", "r+b") as file:
            file.seek(offset)
            frame = bytearray(file.read(length))
            struct.pack_into("<Q", frame, 24, 2)
            file.seek(offset + length)
            file.write(frame[:700])
        self.assertEqual(self.assert_intact(store)["torn_tail_bytes"], len(frame[:700].rstrip(b"\x00")))

    def test_remains_of_a_recycled_file_are_no_torn_tail(self):
        store = self.store(plan_of(10))
        number, offset, length = store.places[0]
        _, last, last_length = store.places[1]
        with open(f"{store.directory}/journal/{number:08}.wal", "r+b") as file:
            file.seek(offset)
            remains = file.read(length)
            file.seek(last + last_length)
            file.write(remains)
        self.assertEqual(self.assert_intact(store)["torn_tail_bytes"], 0)

    def test_a_live_writer_is_read_up_to_its_status(self):
        store = self.store(plan_of(120))
        for log in UIDS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{store.directory}/checkpoint/{log}")
        number, offset, length = store.places[1]
        status = struct.pack("<8s16sQQQ12s", b"IDLSTAT1", STORE_ID, number, offset + length, 2, b"")
        store.write("status", status + struct.pack("<I", crc32c(status)))
        with open(f"{store.directory}/lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.assert_intact(store)["logs"][1]["size"], 60)
            with open(f"{store.directory}/journal/{number:08}.wal", "r+b") as file:
                file.seek(offset + 200)
                file.write(b"damage")
            self.assert_found("journal-corrupt", store)
            with open(f"{store.directory}/journal/{number:08}.wal", "r+b") as file:
                file.seek(0)
                file.write(bytes(store.files[number - 1]))
        self.assertEqual(self.assert_intact(store)["logs"][1]["size"], 120)


class Attacks(StoreTest):
    """Any edit, deletion, insertion, reorder, truncation, rollback or re-signing is named."""

    def setUp(self):
        super().setUp()
        self.plan = plan_of(150)
        self.original = self.store(self.plan)
        self.assert_intact(self.original)

    def forged(self, plan, **hooks):
        """The attacker writes everything anew from `plan` but has no key: the old signatures stay."""
        forged = self.store(plan, notes=lambda notes, lsn: self.original.notes.get(lsn, {}), **hooks)
        for log, note in self.original.checkpoints.items():
            forged.write(f"checkpoint/{log}", note)
        return forged

    def test_edited_value_with_all_but_signatures_recomputed(self):
        self.plan[1][5] = event(5, content={"details": "another"})
        found = self.assert_found("checkpoint-mismatch", self.forged(self.plan), anchors=[self.original.checkpoints[1]])
        self.assertIn("anchor-mismatch", {finding["code"] for finding in found["findings"]})
        self.assertNotIn("root-mismatch", {finding["code"] for finding in found["findings"]})

    def test_edited_value_with_only_checksums_recomputed(self):
        store = self.original
        self.edit(store, 1, lambda frame: frame.__setitem__(slice(0, None), frame.replace(b'"n":5,', b'"n":6,')))
        self.assert_found("root-mismatch", store)

    def test_deleted_event(self):
        del self.plan[1][5]
        self.assert_found("checkpoint-ahead", self.forged(self.plan))
        self.plan[1].append(event(149))  # made up for, so that the sizes are right
        self.assert_found("checkpoint-mismatch", self.forged(self.plan))

    def test_deleted_record_leaves_a_hole(self):
        def drop_first(record, lsn, seq):
            return b"" if (lsn, seq) == (1, 5) else record
        codes = {finding["code"] for finding in self.assert_found("root-mismatch", self.store(self.plan, record=drop_first))["findings"]}
        self.assertLessEqual({"record-malformed", "sequence", "tenant-sequence"}, codes)

    def test_inserted_event(self):
        self.plan[2].insert(3, event(999))
        self.assert_found("checkpoint-mismatch", self.forged(self.plan))

    def test_swapped_events(self):
        self.plan[1][5], self.plan[1][6] = event(6, tenant_seq=6), event(5, tenant_seq=5)
        codes = {finding["code"] for finding in self.assert_found("checkpoint-mismatch", self.forged(self.plan))["findings"]}
        self.assertIn("tenant-sequence", codes)

    def test_swapped_frames(self):
        def both(data):
            (_, one, length_one), (_, two, length_two) = self.original.places[2], self.original.places[3]
            return data[:one] + data[two:two + length_two] + data[one:one + length_one] + data[two + length_two:]
        path = f"{self.original.directory}/journal/00000001.wal"
        with open(path, "r+b") as file:
            data = both(file.read())
            file.seek(0)
            file.write(data)
        self.assert_found("frame-chain", self.original)

    def test_truncated_with_the_checkpoint_in_place(self):
        with open(f"{self.original.directory}/journal/00000001.wal", "r+b") as file:
            file.truncate(self.original.places[3][1])
        self.assertEqual(self.codes(self.original), {"checkpoint-ahead"})

    def test_rolled_back_with_its_checkpoints(self):
        older = self.store(self.plan[:-1])
        self.assert_intact(older)
        self.assertEqual(self.codes(older, anchors=[self.original.checkpoints[1]]), {"anchor-ahead"})

    def test_signed_anew_with_another_key(self):
        other = self.store([created(OTHER_KEY), *self.plan[1:]], key=OTHER_KEY)
        self.assert_intact(other)
        self.assert_found("key-mismatch", other, key=parse_verifier_key(vkey(0)))
        self.assert_found("key-mismatch", other, anchors=[self.original.checkpoints[1]])
        self.assert_found("key-mismatch", self.original, key=parse_verifier_key(vkey(0, store=OTHER_STORE_ID)))

    def test_another_store_whole(self):
        other = self.store([created(store=OTHER_STORE_ID), *self.plan[1:]], store=OTHER_STORE_ID)
        self.assert_intact(other)
        self.assert_found("anchor-mismatch", other, anchors=[self.original.checkpoints[1]])

    def test_spans_that_point_elsewhere(self):
        for bend in (lambda spans: spans[1:], lambda spans: [(*spans[0][:2], 1), *spans[1:]], lambda spans: spans + [(16, 0, 1)]):
            store = self.store(self.plan, spans=lambda spans, lsn, seq: bend(spans) if (lsn, seq) == (2, 70) else spans)
            found = self.assert_found("span-mismatch", store)["findings"]
            self.assertEqual([finding.get("seq") for finding in found if finding["level"] == "fail"], [70])

    def test_altered_root(self):
        store = self.store(self.plan, root=lambda root, lsn, log: bytes(32) if lsn == 2 else root)
        found = [finding for finding in self.assert_found("root-mismatch", store)["findings"] if finding["level"] == "fail"]
        self.assertEqual([(finding["code"], finding["lsn"]) for finding in found], [("root-mismatch", 2)])

    def test_altered_note(self):
        def bend(notes, lsn):
            return {log: note.replace(b"\n120\n", b"\n119\n") for log, note in notes.items()}
        self.assertEqual(self.codes(self.store(self.plan, notes=bend)), {"checkpoint-signature"})

    def test_note_and_checkpoint_of_another_log(self):
        def swap(notes, lsn):
            return {0: notes[1], 1: notes[0]} if len(notes) > 1 else notes
        self.assertEqual(self.codes(self.store(self.plan, notes=swap)), {"checkpoint-mismatch"})

    def test_note_over_a_state_that_never_was(self):
        def bend(notes, lsn):
            return {1: signed_note(1, 30, bytes(32))} if lsn == 3 else notes
        self.assertEqual(self.codes(self.store(self.plan, notes=bend)), {"checkpoint-mismatch"})
        self.assertEqual(self.codes(self.store(self.plan, notes=lambda notes, lsn: {1: signed_note(1, 999, bytes(32))} if lsn == 3 else notes)),
                         {"checkpoint-ahead"})

    def test_missing_and_other_seed(self):
        self.assert_found("seed-missing", self.store(self.plan, seed=lambda seed, lsn: None if lsn == 2 else seed))
        self.assert_found("seed-missing", self.store(self.plan, seed=lambda seed, lsn: bytes(32) if lsn == 2 else seed))

    def test_frame_edited_without_relinking(self):
        self.edit(self.original, 1, lambda frame: frame.__setitem__(64, frame[64] ^ 1))
        self.assertEqual(self.codes(self.original), {"frame-chain"})

    def test_damage_before_a_valid_frame_is_corruption_not_a_torn_tail(self):
        number, offset, length = self.original.places[2]
        with open(f"{self.original.directory}/journal/{number:08}.wal", "r+b") as file:
            file.seek(offset + length - 600)
            byte = file.read(1)
            file.seek(offset + length - 600)
            file.write(bytes([byte[0] ^ 1]))
        self.assertEqual(self.codes(self.original), {"frame-crc", "journal-corrupt", "checkpoint-ahead"})

    def test_missing_and_foreign_files(self):
        store = self.store(self.plan, frames_per_file=1)
        shutil.copy(f"{store.directory}/journal/00000002.wal", f"{self.root}/kept")
        os.unlink(f"{store.directory}/journal/00000002.wal")
        self.assert_found("journal-corrupt", store)
        store.write("journal/00000002.wal", bytes(FILE_BYTES))
        self.assert_found("file-header", store)
        shutil.copy(f"{self.root}/kept", f"{store.directory}/journal/00000002.wal")
        self.assert_intact(store)
        os.unlink(f"{store.directory}/journal/00000001.wal")
        self.assert_found("journal-corrupt", store)
        other = self.store([created(store=OTHER_STORE_ID)], store=OTHER_STORE_ID)
        shutil.copy(f"{other.directory}/journal/00000001.wal", f"{store.directory}/journal/00000001.wal")
        self.assert_found("store-identity", store)

    def test_heads_and_creation_entries(self):
        at = "2026-01-01T00:00:00.000000000Z"
        root = rfc6962_root(self.original.leaves[1][:60])
        for head, expected in (((60, root), set()), ((60, bytes(32)), {"heads-mismatch"}), ((59, root), {"heads-mismatch"})):
            entry = (0, {"type": "heads", "at": at, "logs": [{"log": 1, "size": head[0], "root": b64(head[1])}]})
            self.assertEqual(self.codes(self.store([*self.plan[:2], [entry], *self.plan[2:]])), expected)
        wrong = created()
        wrong[1] = (0, {**wrong[1][1], "key": vkey(0)})
        self.assertEqual(self.codes(self.store([wrong, *self.plan[1:]])), {"store-identity"})
        self.assertEqual(self.codes(self.store([[(0, {"type": "future", "at": at})], *self.plan[1:]])), {"store-identity", "log-unknown"})
        self.assertEqual(self.codes(self.store([[*created(), (0, {"at": at})], *self.plan[1:]])), {"record-malformed"})

    def test_events_that_break_the_rules(self):
        for changes, expected in (({"identity": b'{"session":"a","actor":{}}'}, {"not-canonical"}), ({"identity": b'{ }'}, {"not-canonical"}),
                                  ({"content": b"{}"}, {"record-malformed"}), ({"tenant": ""}, {"record-malformed"}),
                                  ({"epoch": 5}, {"record-malformed"}), ({"tenant_seq": 7}, {"tenant-sequence"})):
            with self.subTest(changes=changes):
                self.assertEqual(self.codes(self.store(plan_of(0) + [[event(2, **changes)]])), expected)

    def test_producers(self):
        def codes(*numbers, gaps=(), of="p"):
            at = "2026-01-01T00:00:00.000000000Z"
            events = [event(2, producer="p", epoch=1, producer_seq=number) for number in numbers]
            notices = [(1, {"type": "gap", "at": at, "reason": "shed", "class": "telemetry", "count": last - first + 1, "producer": of,
                            "epoch": 1, "first_seq": first, "last_seq": last}) for first, last in gaps]
            return self.codes(self.store(plan_of(0) + [events + notices]))
        self.assertEqual(codes(0, 1, 2), set())
        self.assertEqual(codes(2, 0, 1, 4, 3), set())
        self.assertEqual(codes(0, 1, 1), {"producer-duplicate"})
        self.assertEqual(codes(0, 3, 1, 3, 2), {"producer-duplicate"})
        self.assertEqual(codes(1, 2), {"producer-gap"})
        self.assertEqual(codes(0, 4), {"producer-gap"})
        self.assertEqual(codes(0, 4, gaps=[(1, 2)]), {"producer-gap"})
        self.assertEqual(codes(0, 4, gaps=[(2, 3), (1, 1)]), set())
        self.assertEqual(codes(0, 4, gaps=[(2, 3), (1, 1)], of="q"), {"producer-gap"})

    def test_any_flipped_bit_of_a_signed_store_is_found_and_none_stops_the_verifier(self):
        store = self.store(plan_of(30, frame_events=7), frames_per_file=3)
        draw = random.Random(20_260_101)
        for _ in range(250):
            number, offset, length = store.places[draw.randrange(len(store.places))]
            if draw.random() < 0.1:
                offset, length = 0, 104
            path, place, mask = f"{store.directory}/journal/{number:08}.wal", offset + draw.randrange(length), 1 << draw.randrange(8)
            with open(path, "r+b") as file:
                file.seek(place)
                before = file.read(1)
                file.seek(place)
                file.write(bytes([before[0] ^ mask]))
                file.flush()
                self.assertFalse(self.verify(store)["ok"], f"{path} byte {place} mask {mask}")
                file.seek(place)
                file.write(before)
        self.assert_intact(store)

    def test_any_change_of_a_record_with_checksums_made_right_is_found(self):
        draw = random.Random(20_260_102)
        for _ in range(100):
            store = self.store(plan_of(6))

            def flip(frame):
                meta_bytes, payload_bytes = struct.unpack_from("<II", frame, 8)
                self.place = draw.randrange(24, meta_bytes + payload_bytes)
                frame[self.place] ^= 1 << draw.randrange(8)
            self.edit(store, 1, flip)
            result = self.verify(store, anchors=store.checkpoints.values())
            idempotency_or_clock = {finding["level"] for finding in result["findings"]} <= {"note"}
            if idempotency_or_clock:
                # `written` of the last frame and idempotency marks are not bound by any root, and nothing follows this frame's meta.
                meta_bytes = struct.unpack_from("<I", self.frame(store, 1), 8)[0]
                self.assertTrue(64 <= self.place < 72 or self.place in self.idempotency_places(store, 1, meta_bytes) or self.place == 104,
                                f"byte {self.place}")
            shutil.rmtree(store.directory)

    def frame(self, store, lsn):
        number, offset, length = store.places[lsn]
        with open(f"{store.directory}/journal/{number:08}.wal", "rb") as file:
            file.seek(offset)
            return file.read(length)

    def idempotency_places(self, store, lsn, meta_bytes):
        frame, position, places = self.frame(store, lsn), meta_bytes, set()
        for _ in range(struct.unpack_from("<I", frame, 100)[0]):
            length, _, flags, groups_n = struct.unpack_from("<IBBB", frame, position)
            start = position + 12 + 6 * groups_n
            places |= set(range(start, start + 32)) if flags else set()
            position += length
        return places


class Restored(StoreTest):
    """A store that goes on from one whose backup was restored."""

    UNTIL = "2026-01-02T00:00:00.000000000Z"

    def setUp(self):
        super().setUp()
        self.old_plan = plan_of(200)
        self.old = self.store(self.old_plan)
        self.longer = self.store(plan_of(260))
        self.heads = [{"log": log, "size": len(leaves), "root": b64(rfc6962_root(leaves)), "checkpoint": self.old.note(log).decode()}
                      for log, leaves in self.old.leaves.items() if leaves]

    def predecessor(self, **changes):
        return {**{name: self.old.stated[name] for name in ("created", "logs", "prefix", "public_key", "store")},
                "heads": self.heads, "until": self.UNTIL, **changes}

    def entry(self, **changes):
        return {"type": "store.restored", "at": "2026-01-03T00:00:00.000000000Z", "store": OTHER_STORE_ID.hex(),
                "logs": [{"key": vkey(log, OTHER_KEY, OTHER_STORE_ID), "log": log, "name": NAMES[log], "origin": origin(log, OTHER_STORE_ID)}
                         for log in UIDS],
                "predecessor": {"key": vkey(0), "store": STORE_ID.hex(), "until": self.UNTIL,
                                "logs": [{**head, "origin": origin(head["log"])} for head in self.heads]}, **changes}

    def restored(self, entries=None, predecessors=None):
        entries = [(0, self.entry())] if entries is None else entries
        more = [event(number) for number in range(200, 230)]
        return self.store([*self.old_plan, *([entries] if entries else []), more], key=OTHER_KEY, store=OTHER_STORE_ID,
                          predecessors=[self.predecessor()] if predecessors is None else predecessors)

    def test_an_intact_one_raises_no_alarm_and_old_checkpoints_anchor_it(self):
        store = self.restored()
        self.assert_intact(store)
        self.assert_intact(store, anchors=[self.old.note(1), self.old.note(0), store.note(1)])
        self.assert_intact(store, key=parse_verifier_key(vkey(0, OTHER_KEY, OTHER_STORE_ID)))

    def test_what_was_lost_between_backup_and_loss_is_named(self):
        found = self.verify(self.restored(), anchors=[self.longer.note(1)])["findings"]
        short = [finding for finding in found if finding["code"] == "restored-short"]
        self.assertEqual([(finding["log"], finding["seq"]) for finding in short], [(1, 200)])
        self.assertIn("the 60 that came", short[0]["message"])

    def test_a_predecessors_checkpoint_with_another_root_or_key_is_found(self):
        store = self.restored()
        self.assertEqual(self.codes(store, anchors=[signed_note(1, 100, bytes(32))]), {"anchor-mismatch"})
        self.assertEqual(self.codes(store, anchors=[signed_note(1, 200, rfc6962_root(self.old.leaves[1]), OTHER_KEY)]), {"key-mismatch"})

    def test_the_predecessors_key_does_not_vouch_for_what_came_after(self):
        self.assertEqual(self.codes(self.restored(), key=parse_verifier_key(vkey(0))), {"key-mismatch"})

    def test_store_json_and_the_entry_must_agree(self):
        bent = self.heads[1] | {"root": b64(bytes(32))}
        for predecessors in ([self.predecessor(until="2026-01-02T00:00:01.000000000Z")],
                             [self.predecessor(heads=[self.heads[0], bent])],
                             [self.predecessor(heads=[self.heads[0], self.heads[1] | {"size": 199}])],
                             [self.predecessor(heads=[self.heads[0] | {"size": 2}, self.heads[1]])],
                             [self.predecessor(store=OTHER_STORE_ID.hex())],
                             []):
            self.assert_found("restored-mismatch", self.restored(predecessors=predecessors))
        for entry in (self.entry(store=STORE_ID.hex()), self.entry(logs=[]), self.entry(predecessor={})):
            self.assert_found("restored-mismatch", self.restored([(0, entry)]))

    def test_a_missing_or_second_entry_is_found(self):
        heads = (0, {"type": "heads", "at": self.UNTIL, "logs": []})
        self.assert_found("restored-mismatch", self.restored([heads]))
        self.assert_found("restored-mismatch", self.restored([heads, (0, self.entry())]))
        self.assert_found("restored-mismatch", self.restored([(0, self.entry())] * 2))

    def test_one_that_was_not_opened_since_is_only_noted(self):
        store = self.store(self.old_plan, key=OTHER_KEY, store=OTHER_STORE_ID, predecessors=[self.predecessor()])
        self.assertIn("restore-unfinished", {finding["code"] for finding in self.assert_intact(store)["findings"]})

    def test_a_predecessor_that_cannot_be_is_refused(self):
        for predecessor in ({}, self.predecessor(heads=[]), self.predecessor(store="x"), self.predecessor(heads=[{"log": 0, "size": -1}])):
            self.assert_found("store-identity", self.restored(predecessors=[predecessor]))


class Proofs(StoreTest):
    """A .tlog-proof is believed only when entry, path, checkpoint and key agree."""

    def setUp(self):
        super().setUp()
        self.source = self.store(plan_of(13))
        self.key = parse_verifier_key(vkey(1))

    def proof(self, seq=5, *, withhold=(), log=1, extra=None, path=None, note=None, index=None):
        leaves = self.source.leaves[log]
        if extra is None and log == 0:
            extra = {"format": "indelible/v1", "control": json.loads(self.source.entries[0][seq][1:])}
        elif extra is None:
            groups = [{"tag": tag, "commitment": b64(sha256(b"indelible/v1" + bytes([tag]) + salt + value))} if tag in withhold
                      else {"tag": tag, "salt": b64(salt), "value": b64(value)} for tag, salt, value in self.source.opened[log, seq]]
            extra = {"format": "indelible/v1", "groups": groups}
        lines = ["c2sp.org/tlog-proof@v1", f"extra {b64(canonical(extra))}", f"index {seq if index is None else index}"]
        lines += [b64(step) for step in (rfc6962_path(seq, leaves) if path is None else path)]
        return "\n".join(lines).encode() + b"\n\n" + (note or self.source.checkpoints[log])

    def codes(self, proof, key=None):
        result = verify_proof(proof, key or self.key)
        self.assertEqual(result["ok"], not result["findings"])
        return [finding["code"] for finding in result["findings"]]

    def test_good_proofs(self):
        for seq in range(13):
            self.assertEqual(self.codes(self.proof(seq)), [])
        self.assertEqual(self.codes(self.proof(4, withhold=(2, 3))), [])
        self.assertEqual(self.codes(self.proof(4, withhold=(1, 2, 3)), parse_verifier_key(vkey(0))), [])
        self.assertEqual(self.codes(self.proof(1, log=0)), [])
        disclosed = verify_proof(self.proof(4, withhold=(2,)), self.key)["disclosed"]["groups"]
        self.assertEqual(sorted(disclosed), ["1", "3"])
        self.assertEqual(json.loads(disclosed["3"])["details"]["n"], 4)

    def test_altered_proofs(self):
        path = rfc6962_path(5, self.source.leaves[1])
        self.assertEqual(self.codes(self.proof(path=path[:-1])), ["root-mismatch"])
        self.assertEqual(self.codes(self.proof(path=[*path, bytes(32)])), ["root-mismatch"])
        self.assertEqual(self.codes(self.proof(path=[bytes(32), *path[1:]])), ["root-mismatch"])
        self.assertEqual(self.codes(self.proof(index=4)), ["root-mismatch"])
        self.assertEqual(self.codes(self.proof(index=13)), ["root-mismatch"])
        value = b64(canonical({"session": "other"}))
        groups = [{"tag": tag, "salt": b64(salt), "value": value if tag == 2 else b64(body)} for tag, salt, body in self.source.opened[1, 5]]
        self.assertEqual(self.codes(self.proof(extra={"format": "indelible/v1", "groups": groups})), ["root-mismatch"])
        note = self.source.checkpoints[1]
        self.assertEqual(self.codes(self.proof(note=note.replace(b"\n13\n", b"\n14\n"))), ["checkpoint-signature"])
        self.assertEqual(self.codes(self.proof(note=signed_note(1, 13, rfc6962_root(self.source.leaves[1]), OTHER_KEY))), ["key-mismatch"])
        self.assertEqual(self.codes(self.proof(), parse_verifier_key(vkey(1, store=OTHER_STORE_ID)))[0], "key-mismatch")
        self.assertEqual(self.codes(b"no proof"), ["record-malformed"])
        self.assertEqual(self.codes(self.proof(extra={"format": "indelible/v1", "groups": []})), ["record-malformed"])
        self.assertEqual(self.codes(self.proof(extra={"format": "indelible/v2", "groups": groups})), ["record-malformed"])

    def test_any_flipped_bit_is_found(self):
        draw, good = random.Random(3), self.proof()
        for _ in range(400):
            bent = bytearray(good)
            bent[draw.randrange(len(bent))] ^= 1 << draw.randrange(8)
            self.assertNotEqual(self.codes(bytes(bent)), [])

    def test_a_node_is_not_a_leaf(self):
        leaves = [sha256(b"\x00" + bytes([number])) for number in range(4)]
        left, right = (sha256(b"\x01" + leaves[place] + leaves[place + 1]) for place in (0, 2))
        root = rfc6962_root(leaves)
        self.assertEqual(root_of_inclusion(leaves[0], 0, 4, [leaves[1], right]), root)
        # The node above leaves 0 and 1 with the shorter path reaches the root, but no path of size 4 is that short …
        self.assertIsNone(root_of_inclusion(left, 0, 4, [right]))
        self.assertEqual(root_of_inclusion(left, 0, 2, [right]), root)  # … and size 2 was never signed with that root.
        # An entry made of the node's two children hashes to another leaf than the node.
        self.assertNotEqual(leaf_hash(leaves[0] + leaves[1]), left)
        self.assertNotEqual(leaf_hash(b"\x01" + leaves[0] + leaves[1]), left)


class Oracles(unittest.TestCase):
    """Parts of the verifier agree with other people's code and data."""

    def corpus(self, folder):
        path = os.path.join(CORPUS, folder)
        if not os.path.isdir(path):
            self.assertNotIn("CI", os.environ, f"{path} is absent: set INDELIBLE_CORPUS")
            self.skipTest(f"{path} is absent: set INDELIBLE_CORPUS")
        return path

    def test_trees_and_paths_agree_with_pymerkle(self):
        tree, oracle, leaves = Tree(), pymerkle.InmemoryTree(algorithm="sha256"), []
        self.assertEqual(tree.root(), oracle.get_root())
        for number in range(300):
            entry = b"entry %d" % number
            leaves.append(leaf_hash(entry))
            tree.append(leaves[-1])
            oracle.append_entry(entry)
            self.assertEqual(tree.root(), oracle.get_root())
        for size in (1, 2, 3, 7, 8, 9, 255, 256, 257, 300):
            for index in {0, size // 2, size - 2, size - 1} - {-1}:
                path = oracle.prove_inclusion(index + 1, size).path[1:]
                self.assertEqual(path, rfc6962_path(index, leaves[:size]))
                self.assertEqual(root_of_inclusion(leaves[index], index, size, path), oracle.get_root(size))

    def test_inclusion_agrees_with_the_vectors_of_transparency_dev(self):
        checked = 0
        for path in glob.glob(os.path.join(self.corpus("merkle-rfc6962"), "inclusion", "**", "*.json"), recursive=True):
            with open(path) as file:
                vector = json.load(file)
            steps = [base64.b64decode(step) for step in vector["proof"] or []]
            leaf, expected = base64.b64decode(vector["leafHash"]), base64.b64decode(vector["root"])
            root = root_of_inclusion(leaf, vector["leafIdx"], vector["treeSize"], steps)
            # A hash of another length cannot come up here: leaves are computed, steps and roots are decoded as 32 bytes.
            lengths = {len(digest) for digest in (leaf, expected, *steps)}
            self.assertEqual(root != expected or lengths != {32}, vector["wantErr"], path)
            checked += 1
        self.assertGreater(checked, 10)

    def test_crc_is_its_simple_twin(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)  # the check value of RFC 3720's CRC
        draw = random.Random(1)
        for length in [*range(140), 777, 4096, 20_001]:
            data = draw.randbytes(length)
            self.assertEqual(crc32c(data), crc32c_simple(data))

    def test_json_that_must_be_refused_is_refused(self):
        folder = os.path.join(self.corpus("json-nst"), "test_parsing")
        for path in glob.glob(f"{folder}/n_*.json"):
            with open(path, "rb") as file:
                body = file.read()
            for wrapped in (body, b'{"a":' + body + b"}"):
                if path.endswith(("n_structure_no_data.json", "n_object_trailing_comment.json")):
                    continue
                with self.assertRaises(NotCanonical, msg=path):
                    canonical_object(wrapped)

    def test_what_rfc8785_writes_is_canonical(self):
        for path in glob.glob(os.path.join(self.corpus("jcs-rfc8785"), "output", "*.json")):
            with open(path, "rb") as file:
                canonical_object(b'{"a":' + file.read().removesuffix(b"\n") + b"}")

    def test_canonical_form(self):
        good = (b"{}", b'{"a":-0.0E+400}', b'{"a":9007199254740993}', '{"\U0001f600":1,"\ufb33":2}'.encode(), b'{"a":"/\\u0000\\u001f\\b\x7f"}',
                b'{"a":' + b"[" * 127 + b"]" * 127 + b"}", b'{"a":"' + b"[" * 500 + b'"}', b'{"":{"":""}}', b'{"a":' + b"1" * 9000 + b"}")
        bad = (b"", b"[]", b'{"a":1 }', b'{"a":1,"a":1}', b'{"b":1,"a":1}', '{"\ufb33":2,"\U0001f600":1}'.encode(), b'{"a":"\\/"}',
               b'{"a":"\\u0041"}', b'{"a":"\\u000A"}', b'{"a":"\\u000a"}', b'{"a":"\\u000c"}', b'{"a":"\\u001F"}', b'{"a":"\\ud800"}',
               b'{"a":"\xed\xa0\x80"}', b'{"a":NaN}', b'{"a":01}', b'{"a":1}{}', b'{"a":' + b"[" * 128 + b"]" * 128 + b"}",
               b'{"a":{"b":{"d":1,"c":2}}}', b'{"a":[{"x":1,"x":2}]}', b'{"a":' * 90_000, b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b"{", b'{"a":\t1}')
        for body in good:
            canonical_object(body)
        for body in bad:
            with self.assertRaises(NotCanonical, msg=body[:60]):
                canonical_object(body)

    def test_each_control_character_has_one_escape(self):
        short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
        for code in range(32):
            for escape in {f"\\u{code:04x}", f"\\u{code:04X}", short.get(code, "")} - {""}:
                body = f'{{"a":"{escape}"}}'.encode()
                if escape == short.get(code, f"\\u{code:04x}"):
                    canonical_object(body)
                else:
                    self.assertRaises(NotCanonical, canonical_object, body)


class Command(StoreTest):
    """Exit codes and output are what scripts rely on."""

    def run_command(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([*arguments])
            except SystemExit as stop:
                code = stop.code
        return code, out.getvalue()

    def test_exit_codes(self):
        store = self.store(plan_of(20))
        note = f"{self.root}/checkpoint"
        shutil.copy(f"{store.directory}/checkpoint/1", note)
        code, out = self.run_command(store.directory, "--against", note, "--key", vkey(0), "-o", "json")
        self.assertEqual((code, json.loads(out)["ok"], json.loads(out)["anchored"]), (0, True, True))
        self.assertEqual(self.run_command(store.directory, "--against", store.checkpoints[1].decode())[0], 0)
        self.assertEqual(self.run_command(store.directory, "--key", vkey(0, OTHER_KEY))[0], 3)
        self.assertEqual(self.run_command(store.directory, "--against", f"{self.root}/absent")[0], 1)
        self.assertEqual(self.run_command(f"{self.root}/absent")[0], 1)
        self.assertEqual(self.run_command(store.directory, "--key", "nonsense")[0], 2)
        self.assertEqual(self.run_command()[0], 2)
        self.assertEqual(self.run_command("--proof", note)[0], 2)
        self.assertEqual(self.run_command("--proof", note, "--key", vkey(0))[0], 3)
        code, out = self.run_command(store.directory, "--trust-store-key")
        self.assertEqual((code, "unanchored" in out, out.splitlines()[-1]), (0, True, "ok"))

    def test_trusted_state(self):
        plan = plan_of(130)
        newer, older = self.store(plan), self.store(plan[:-1])
        state = f"{self.root}/state.json"
        for store_id, expected in ((STORE_ID, "anchor-ahead"), (OTHER_STORE_ID, "anchor-mismatch")):
            with open(state, "wb") as file:
                file.write(canonical({"checkpoints": {str(log): note.decode() for log, note in newer.checkpoints.items()}, "format": 1,
                                      "store": store_id.hex()}))
            code, out = self.run_command(older.directory, "--state", state, "-o", "json")
            self.assertEqual((code, [finding["code"] for finding in json.loads(out)["findings"]]), (3, [expected]))
            if store_id == STORE_ID:
                self.assertEqual(self.run_command(newer.directory, "--state", state)[0], 0)

    def test_store_json_that_cannot_be_right(self):
        store = self.store(plan_of(1))
        for text in (b"{}", b"nonsense", b'{"format":2}'):
            store.write("store.json", text)
            code, out = self.run_command(store.directory, "-o", "json")
            self.assertEqual((code, [finding["code"] for finding in json.loads(out)["findings"]][:1]), (3, ["store-identity"]))


if __name__ == "__main__":
    unittest.main()

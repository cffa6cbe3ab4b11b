"""Stores whose beginning has expired: what stays is enough for the rest, and both verifiers name what was done to it.

    cd tools && python -m unittest test_expired    # needs the built command and the test kit's example beside it, and requirements.txt
"""
import base64
import collections
import glob
import hashlib
import json
import os
import random
import subprocess
import tempfile
import unittest

from indelible_verify.entries import Entries
from indelible_verify.expired import parse_expired
from indelible_verify.merkle import GROUP_LEAVES, Tree
from indelible_verify.notes import parse_checkpoint
from indelible_verify.producers import Producers
from indelible_verify.report import Malformed, Report
from indelible_verify.segments import Segment, event_of
from indelible_verify.store import Log
from indelible_verify.verifier import StoreVerifier
from test_sealed import BINARY, Copies, Home, needs, written_anew
from test_verify import ReferenceStore, b64, plan_of

EXAMPLE = os.path.join(os.path.dirname(BINARY), "examples", "expired_store")
BELOW = 1024


class ExpiredStores(Copies):
    """Of log 1 groups 0 to 3 have expired; 1 and 3 hold an event each that is held, positions 300 and 800."""

    def check_needs(self):
        needs(self, EXAMPLE, "INDELIBLE_BINARY")

    @classmethod
    def make_store(cls):
        subprocess.run([EXAMPLE, cls.folder], check=True)
        return Home(cls.folder)

    def said(self, *arguments):
        """What the writer's verifier says, without what this machine knows of the store."""
        self.home.environment["INDELIBLE_STATE"] = tempfile.mkdtemp(dir=self.folder)
        return json.loads(self.home.run("verify", *arguments, "-o", "json"))

    def notes(self):
        return [self.read(path) for path in sorted(glob.glob(f"{self.folder}/checkpoint-*"))]

    @staticmethod
    def sparse(directory, first=256):
        return glob.glob(f"{directory}/segments/1-{first:012}-*.parquet")[0]

    def edit_listed(self, directory, path, **changes):
        """Changes what the manifest says of one segment."""
        def change(manifest):
            next(listed for listed in manifest["segments"] if listed["file"] == os.path.basename(path)).update(changes)
        self.edit_manifest(directory, change)

    def replace(self, directory, path, data, **changes):
        """Puts other bytes in a segment's place, and the manifest right."""
        self.write(path, data)
        self.edit_listed(directory, path, bytes=len(data), sha256=base64.b64encode(hashlib.sha256(data).digest()).decode(), **changes)

    def forge(self, directory, below, body):
        """Puts another `.expired` file of log 1 in the place of the one there, and the manifest right but for the entry."""
        old = glob.glob(f"{directory}/segments/1-*.expired")[0]
        data = body + hashlib.sha256(body).digest()
        name = f"1-{below:012}-{old.rpartition('-')[2]}"
        os.unlink(old)
        self.write(f"{directory}/segments/{name}", data)
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.edit_manifest(directory, lambda manifest: manifest["expired"][0].update(below=below, file=name, sha256=digest))

    # --- intact

    def test_what_has_expired_raises_no_alarm(self):
        result = self.verify(self.home.data)
        self.assertTrue(result["ok"], result["findings"])
        said = self.said()
        places = {(finding["code"], finding["level"], finding.get("log")) for finding in result["findings"]}
        self.assertEqual(places, {("expired", "note", 1), ("expired", "note", 2), ("producer-gap", "warn", None), ("unanchored", "note", None)})
        self.assertEqual(sorted((finding["code"], finding["level"]) for finding in result["findings"]),
                         sorted((finding["code"], finding["level"]) for finding in said["findings"]))
        self.assertTrue(all(finding["message"].startswith("PRUNED") for finding in result["findings"] if finding["code"] == "expired"))
        self.assertEqual(str(result["events"]), str(said["events"]))
        self.assertEqual([base64.b64decode(log["root"]).hex() for log in result["logs"]], [log["root"] for log in said["logs"]])

    def test_merged_segments_are_read_beside_sparse_ones(self):
        directory = self.copy()
        before = self.verify(directory)
        self.home.environment["INDELIBLE_STATE"] = tempfile.mkdtemp(dir=self.folder)
        merged = 0
        for number in range(3):
            self.home.run("--data", directory, "emit", "door.open", "--detail", f"n={9_000 + number}")
            merged += int(json.loads(self.home.run("--data", directory, "seal", "-o", "json"))["merged"])
        self.assertGreaterEqual(merged, 3, "small segments are taken into the next ones")
        kinds = collections.Counter()
        for path in glob.glob(f"{directory}/segments/1-*.parquet"):
            file = Segment(self.read(path)).file
            leaves = file.metadata.num_rows - file.read(columns=["leaf"]).column("leaf").null_count
            kinds["sparse" if leaves else "whole"] += 1
        self.assertTrue(kinds["sparse"] >= 2 and kinds["whole"] >= 1, kinds)
        result = self.verify(directory)
        said = json.loads(self.home.run("--data", directory, "verify", "-o", "json"))
        self.assertTrue(result["ok"] and said["ok"], result["findings"])
        self.assertEqual((result["events"], str(result["events"])), (before["events"] + 3, str(said["events"])))
        self.assertEqual([base64.b64decode(log["root"]).hex() for log in result["logs"]], [log["root"] for log in said["logs"]])
        # What is found in a merged one is found.
        data = bytearray(self.read(self.sparse(directory, 1024)))
        data[data.index(b"door.open")] ^= 1
        self.replace(directory, self.sparse(directory, 1024), bytes(data))
        self.home.environment["INDELIBLE_STATE"] = tempfile.mkdtemp(dir=self.folder)
        self.both_find("segment-damaged", directory)

    def test_each_old_checkpoint_is_judged_as_the_writer_judges_it(self):
        seen = set()
        for day, note in enumerate(self.notes()):
            result = StoreVerifier(self.home.data, [("kept", None, note)]).run()
            said = self.said("--against", f"{self.folder}/checkpoint-{day:02}")
            levels = [sorted(finding["level"] for finding in report["findings"] if finding["code"] == "expired") for report in (result, said)]
            self.assertEqual((result["ok"], result["anchored"], levels[0]), (said["ok"], said["anchored"], levels[1]), day)
            size = parse_checkpoint(note).size
            # Group 1 and 3 are there, of 650 the nodes were kept, of 130 and 520 nothing.
            self.assertEqual(result["anchored"], size not in (130, 520), size)
            seen.add(result["anchored"])
        self.assertEqual(seen, {True, False})

    def test_one_checkpoint_that_holds_is_an_anchor_beside_one_of_which_nothing_was_kept(self):
        notes = self.notes()
        result = StoreVerifier(self.home.data, [("old", None, notes[0]), ("new", None, notes[-1])]).run()
        self.assertTrue(result["ok"] and result["anchored"])
        self.assertEqual([finding["level"] for finding in result["findings"] if finding["code"] == "expired"], ["warn", "note", "note"])

    def test_a_checkpoint_of_another_history_is_named_where_something_was_kept(self):
        verifier = StoreVerifier(self.home.data)
        log = verifier.logs[1]
        self.assertTrue(verifier.run()["ok"])
        found = verifier.sealed.roots(log, {0, 130, 256, 300, 512, 650, 651, 768, 1024, 1100})
        self.assertEqual({size for size, root in found.items() if root is None}, {130, 651})
        for note in self.notes():
            checkpoint = parse_checkpoint(note)
            self.assertIn(verifier.sealed.roots(log, {checkpoint.size})[checkpoint.size], (None, checkpoint.root))

    # --- changed

    def test_a_manifest_without_what_has_expired(self):
        directory = self.copy()
        self.edit_manifest(directory, lambda manifest: manifest.pop("expired") and manifest.update(format=1))
        self.both_find("manifest", directory)

    def test_a_manifest_of_another_format_than_what_it_says(self):
        directory = self.copy()
        self.edit_manifest(directory, lambda manifest: manifest.update(format=1))
        self.both_find("manifest", directory)

    def test_a_file_that_is_whole_and_not_the_one_of_its_entry(self):
        """Its own digest fits, once beside the manifest's and once beside the entry's."""
        for manifest_too in (False, True):
            directory = self.copy()
            manifest = self.read(f"{directory}/manifest")
            path = glob.glob(f"{directory}/segments/1-*.expired")[0]
            body = self.read(path)[:-32]
            self.assertEqual(body.count(text16(b"t1")), 1)
            self.forge(directory, BELOW, body.replace(text16(b"t1"), text16(b"t9")))
            if not manifest_too:
                self.write(f"{directory}/manifest", manifest)
            self.both_find("expired-mismatch", directory)

    def test_a_file_that_is_named_otherwise_than_it_is(self):
        for name in ("1-000000000512-", "2-000000001024-"):
            directory = self.copy()
            old = glob.glob(f"{directory}/segments/1-*.expired")[0]
            new = f"{name}{old.rpartition('-')[2]}"
            os.rename(old, f"{directory}/segments/{new}")
            self.edit_manifest(directory, lambda manifest, new=new: manifest["expired"][0].update(file=new))
            self.both_find("manifest", directory)

    def test_events_dropped_as_if_they_had_expired(self):
        """The beginning is made longer by a segment; all that stays of it is as expiry would have left it, but no entry says so."""
        directory = self.copy()
        dropped = Segment(self.read(self.sparse(directory, BELOW)))
        beginning = parse_expired(self.read(glob.glob(f"{directory}/segments/1-*.expired")[0]))
        tenants, producers = dict(beginning.tenants), Producers()
        producers.union(beginning.producers)
        for batch in dropped.batches():
            for _, _, _, _, row in dropped.rows(batch):
                tenants[row["tenant"]] = row["tenant_seq"] + 1
                if row["producer.id"] is not None:
                    producers.seen(row["producer.id"], row["producer.epoch"], row["producer.seq"])
        below = BELOW + dropped.proof.count
        os.unlink(self.sparse(directory, BELOW))
        self.edit_manifest(directory, lambda manifest: manifest.update(
            segments=[listed for listed in manifest["segments"] if (listed["log"], listed["first"]) != (1, BELOW)]))
        ranges = {key: [(start, end - 1) for start, end in found] for key, found in producers.ranges.items()}
        self.forge(directory, below, expired_file(1, b"".join(beginning.roots) + dropped.proof.roots, tenants, ranges, [], b""))
        self.assertEqual(self.both_find("expired-mismatch", directory), {"expired-mismatch"})

    def test_an_event_that_is_held_dropped_with_its_segment(self):
        directory = self.copy()
        path = self.sparse(directory)
        os.unlink(path)
        self.edit_manifest(directory, lambda manifest: manifest.update(
            segments=[listed for listed in manifest["segments"] if listed["file"] != os.path.basename(path)]))
        self.assertEqual(self.both_find("expired-mismatch", directory), {"expired-mismatch"})

    def rows(self, path):
        """(columns, leaf of each row) of a segment."""
        segment = Segment(self.read(path))
        verifier = StoreVerifier(self.home.data)
        entries, log, leaves = Entries(verifier.store, Report()), Log(1, "main", verifier.logs[1].origin), []
        for batch in segment.batches():
            for _, seq, _, _, row in segment.rows(batch):
                leaves.append(row["leaf"] or entries.event(log, seq, event_of(row), segment.proof.seeds, {}).leaf)
        table = segment.file.read()
        return {name: table.column(name).to_pylist() for name in table.schema.names}, leaves

    def test_an_event_that_is_held_replaced_by_its_hash(self):
        """The same tree, by files that are all in order: only the number of those that stay tells."""
        directory = self.copy()
        path = self.sparse(directory)
        columns, leaves = self.rows(path)
        nth = columns["kind"].index("event")
        for name, values in columns.items():
            if name not in ("seq", "log", "kind"):
                values[nth] = None
        columns["kind"][nth], columns["leaf"][nth] = "leaf", leaves[nth]
        self.replace(directory, path, written_anew(self.read(path), columns), journal_bytes=44 * len(leaves), time=None, received=None)
        self.assertEqual(self.codes(directory), {"expired-mismatch"})
        self.assertIn("expired-mismatch", self.home.verify(directory)[1])

    def test_rows_of_a_sparse_segment_changed_and_all_around_them_made_right(self):
        for kind in ("event", "leaf"):
            directory = self.copy()
            path = self.sparse(directory)
            columns, leaves = self.rows(path)
            nth = columns["kind"].index(kind)
            if kind == "leaf":
                columns["leaf"][nth] = leaves[nth] = bytes(32)
            else:
                columns["action"][nth] = "door.shut"
                self.replace(directory, path, written_anew(self.read(path), columns))
                leaves = self.rows(path)[1]
            tree = Tree()
            for leaf in leaves:
                tree.append(leaf)

            def change(block, tree=tree):
                block[-64:-32] = tree.groups  # one root, one seed
            self.replace(directory, path, written_anew(self.read(path), columns, change))
            self.both_find("segment-proof", directory)

    def test_two_sparse_segments_swapped(self):
        directory = self.copy()
        one, other = self.sparse(directory), self.sparse(directory, 768)
        kept = self.read(one)
        self.write(one, self.read(other))
        self.write(other, kept)
        self.both_find("segment-damaged", directory)

    # --- the policy

    def edit_policy(self, directory, change):
        store = json.loads(self.read(f"{directory}/store.json"))
        change(store)
        self.write(f"{directory}/store.json", json.dumps(store, separators=(",", ":"), sort_keys=True).encode())

    def test_a_policy_that_log_0_does_not_announce(self):
        for change in (lambda store: store["retention"]["keep"][0].update(days=1), lambda store: store["retention"].update(entry=0),
                       lambda store: store["retention"]["rules"].append({"class": "critical", "log": "telemetry"}),
                       lambda store: store["retention"]["keep"].pop()):
            directory = self.copy()
            self.edit_policy(directory, change)
            self.assertEqual(self.both_find("store-identity", directory), {"store-identity"})

    def test_a_policy_that_was_announced_and_not_taken_up(self):
        directory = self.copy()
        self.edit_policy(directory, lambda store: store.pop("retention"))
        said = self.said("--data", directory)
        for result in (self.verify(directory), said):
            self.assertTrue(result["ok"])
            self.assertIn(("store-identity", "warn"), {(finding["code"], finding["level"]) for finding in result["findings"]})


class EntriesOfLog0(unittest.TestCase):
    """Entries of log 0 about policies, holds and expiry, in stores of the reference writer."""

    def test_entries_that_lack_what_they_say(self):
        needs(self, BINARY, "INDELIBLE_BINARY")
        at, policy = "2026-01-01T00:00:00.000000000Z", {"keep": [{"days": 3, "log": "main"}], "minima": [], "rules": []}
        hold = {"name": "case", "query": "", "reason": ""}
        expired = {"log": 1, "below": 256, "before": at, "count": 1, "held": 0, "policy": 3, "root": b64(bytes(32)), "sha256": b64(bytes(32))}
        for kind, good in (("retention", policy), ("hold.created", hold), ("hold.released", {"name": "case", "reason": ""}), ("expired", expired)):
            for name in (None, *good):
                entry = {"type": kind, "at": at, **{key: value for key, value in good.items() if key != name}}
                with self.subTest(kind=kind, without=name), tempfile.TemporaryDirectory() as folder:
                    home = Home(folder)
                    ReferenceStore(home.data, plan_of(0) + [[(0, entry)]])
                    found = {finding["code"] for finding in StoreVerifier(home.data).run()["findings"] if finding["level"] == "fail"}
                    expected = {"record-malformed"} if name else set()
                    self.assertEqual((found, home.verify(home.data)[1]), (expected, expected))


def text16(text):
    return len(text).to_bytes(2, "little") + text


def expired_file(log, roots, tenants, producers, gaps, anchors, held=()):
    """An `.expired` file but for its digest, as the page has it. `roots` and `anchors`: the bytes (with the number of the latter); `held`:
    positions of the events that stay."""
    def number(value, size=8):
        return value.to_bytes(size, "little")
    body = b"IDLEXPD\x01" + number(log, 4) + number(len(roots) // 32 * GROUP_LEAVES) + roots + number(len(tenants), 4)
    body += b"".join(text16(name) + number(following) for name, following in tenants.items()) + number(len(producers), 4)
    for (name, epoch), intervals in producers.items():
        body += text16(name) + number(epoch) + number(len(intervals), 4) + b"".join(number(end) for pair in intervals for end in pair)
    body += number(len(gaps), 4) + b"".join(text16(name) + b"".join(map(number, numbers)) for name, *numbers in gaps)
    return body + (anchors or number(0, 4)) + hashlib.sha256(b"".join(map(number, held))).digest()


class Files(unittest.TestCase):
    """The file, by its page."""

    LEAVES = [hashlib.sha256(number.to_bytes(8, "little")).digest() for number in range(4 * GROUP_LEAVES)]

    def example(self, sizes):
        tree, groups = Tree(), []
        for leaf in self.LEAVES:
            tree.append(leaf)
            if tree.size % GROUP_LEAVES == 0:
                groups.append(bytes(tree.groups[-32:]))
        anchors = len(sizes).to_bytes(4, "little") + b"".join(size.to_bytes(8, "little") + self.nodes(size) for size in sizes)
        body = expired_file(3, b"".join(groups), {b"acme": 7}, {(b"p", 3): [(5, 5)]}, [(b"p", 3, 6, 9)], anchors)
        return body + hashlib.sha256(body).digest()

    def nodes(self, size):
        """By the words of the page, from all leaves of the group."""
        def node(level, index):
            tree, start = Tree(), size - size % GROUP_LEAVES + (index << level)
            for leaf in self.LEAVES[start:start + (1 << level)]:
                tree.append(leaf)
            return tree.root()
        within = size % GROUP_LEAVES
        zeros = next((bit for bit in range(8) if within >> bit & 1), 8)
        reached = (within >> zeros) - 1
        nodes = [node(zeros, reached)]
        for level in range(zeros, 8):
            nodes.append(node(level, reached ^ 1))
            reached >>= 1
        return b"".join(nodes)

    def test_the_root_at_every_size_that_was_kept(self):
        sizes = [size for size in range(1, 4 * GROUP_LEAVES) if size % GROUP_LEAVES]
        beginning, tree = parse_expired(self.example(sizes)), Tree()
        for leaf in self.LEAVES:
            tree.append(leaf)
            if tree.size in sizes:
                self.assertEqual(beginning.root_at(tree.size), tree.root(), tree.size)
        self.assertEqual(beginning.tree().root(), tree.root())
        self.assertEqual((beginning.log, beginning.tenants, beginning.producers, beginning.gaps),
                         (3, {b"acme": 7}, {(b"p", 3): [(5, 5)]}, [(b"p", 3, 6, 9)]))
        self.assertIsNone(parse_expired(self.example([300])).root_at(301))

    def test_the_example_of_the_writer_has_the_same_bytes(self):
        # The same digest stands in the writer's own test: crates/indelible/src/seal/expired.rs.
        self.assertEqual(hashlib.sha256(self.example([1, 300, 384])).hexdigest(), "8adb6853b95e5397a75a9c7b51b44299a64d0cc517b0970a737bd0f84f50ab2b")

    def test_any_other_bytes_are_refused(self):
        good, draw = self.example([1, 300]), random.Random(20_260_301)
        for cut in range(len(good)):
            with self.assertRaises(Malformed):
                parse_expired(good[:cut])
        for place in range(len(good) - 32):
            body = bytearray(good[:-32])
            body[place] ^= 1 << draw.randrange(8)
            with self.assertRaises(Malformed):
                parse_expired(bytes(body) + good[-32:])
        for sizes in ([300, 300], [512], [1, 1024], [301, 300]):
            with self.assertRaises(Malformed):
                parse_expired(self.example(sizes))
        for place in (20, len(good) - 65):  # A group's root, and a node, with a digest that fits.
            body = bytearray(good[:-32])
            body[place] ^= 1
            with self.assertRaises(Malformed):
                parse_expired(bytes(body) + hashlib.sha256(body).digest())
        behind = good[:-32] + b"\x00"
        with self.assertRaises(Malformed):
            parse_expired(behind + hashlib.sha256(behind).digest())

    def test_numbers_that_are_taken_in_are_those_of_both(self):
        draw = random.Random(20_260_302)
        for _ in range(200):
            one, other = ({draw.randrange(30) for _ in range(draw.randrange(12))} for _ in range(2))
            producers, twin = Producers(), Producers()
            for number in one:
                producers.seen(b"p", 1, number)
            for number in sorted(one | other):
                twin.seen(b"p", 1, number)
            producers.union({(b"p", 1): [(number, number) for number in sorted(other)]})
            self.assertEqual(producers.ranges.get((b"p", 1)) or None, twin.ranges.get((b"p", 1)))


if __name__ == "__main__":
    unittest.main()

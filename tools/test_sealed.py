"""Sealed stores of the real writer: intact ones raise no alarm, and what was changed gets the code that the writer's own verifier gives.

    cd tools && python -m unittest          # needs the built command (INDELIBLE_BINARY, else the target folder) and requirements.txt
"""
import base64
import contextlib
import fcntl
import glob
import hashlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import forge
from indelible_verify import sealed, segments
from indelible_verify.canonical import canonical_object
from indelible_verify.command import main
from indelible_verify.parquet import Container, Thrift, block_of
from indelible_verify.records import EVENT, GROUP, RECORD, parse_event
from indelible_verify.segment_index import FIELDS, ID, IndexBuilder, elias_gamma, enclosing_pages, fields_of, rice
from indelible_verify.segments import COLUMNS, Segment, event_of, quoted
from indelible_verify.spans import content_spans, encode_spans, identity_spans
from indelible_verify.verifier import StoreVerifier
from test_verify import CORPUS, ReferenceStore, b64, event, plan_of, str16, vkey

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("INDELIBLE_BINARY") or os.path.join(
    HERE, "..", os.environ.get("CARGO_TARGET_DIR", "target"), "debug", "indelible")


def needs(test, path, name):
    if not os.path.exists(path):
        test.assertNotIn("CI", os.environ, f"{path} is absent: set {name}")
        test.skipTest(f"{path} is absent: set {name}")


class Home:
    """A user's home with the command and a store in it."""

    def __init__(self, root):
        self.root, self.data = root, os.path.join(root, "audit")
        self.environment = {"HOME": root, "INDELIBLE_DATA": self.data, "INDELIBLE_STATE": os.path.join(root, "state"), "TMPDIR": root}

    def run(self, *arguments, codes=(0,)):
        done = subprocess.run([BINARY, *arguments], env=self.environment, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def verify(self, directory):
        """(verdict, codes of level fail) of the writer's own verifier."""
        said = json.loads(self.run("--data", directory, "verify", "-o", "json", codes=(0, 3)))
        return said["ok"], {finding["code"] for finding in said["findings"] if finding["level"] == "fail"}


class Copies(unittest.TestCase):
    """One store, made once, and copies of it to which something is done. Whoever inherits says what it needs, and makes the store."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.home = None

    def setUp(self):
        needs(self, BINARY, "INDELIBLE_BINARY")
        self.check_needs()
        if not self.home:
            type(self).home = self.make_store()
        self.copies = 0

    def copy(self):
        type(self).copies = getattr(type(self), "copies", 0) + 1
        directory = os.path.join(self.folder, f"copy-{type(self).copies}")
        shutil.copytree(self.home.data, directory)
        return directory

    def verify(self, directory):
        return StoreVerifier(directory).run()

    def codes(self, directory):
        return {finding["code"] for finding in self.verify(directory)["findings"] if finding["level"] == "fail"}

    def both_find(self, code, directory):
        """Both verifiers give this code, and refuse the store. The copy is gone afterwards."""
        ok, theirs = self.home.verify(directory)
        found = self.codes(directory)
        self.assertIn(code, found)
        self.assertIn(code, theirs)
        self.assertFalse(ok)
        shutil.rmtree(directory)
        return found

    @staticmethod
    def segment(directory, log=1):
        return glob.glob(f"{directory}/segments/{log}-*.parquet")[0]

    @staticmethod
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    @staticmethod
    def write(path, data):
        with open(path, "wb") as file:
            file.write(data)

    def edit_manifest(self, directory, change):
        manifest = json.loads(self.read(f"{directory}/manifest"))
        change(manifest)
        self.write(f"{directory}/manifest", json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode())

    def write_segment(self, directory, data):
        """Makes this the segment of log 1, and what the manifest says of the file right."""
        self.write(self.segment(directory), data)
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.edit_manifest(directory, lambda manifest: manifest["segments"][1].update(bytes=len(data), sha256=digest))

    def edit_block(self, directory, name, change, with_digest=True):
        """Changes a block of the segment of log 1 in place; `with_digest`: the footer's SHA-256 of it is made right."""
        data = bytearray(self.read(self.segment(directory)))
        offset, length, digest = Container(bytes(data), COLUMNS).entries[name].split(" ")
        block = bytearray(data[int(offset):int(offset) + int(length)])
        change(block)
        data[int(offset):int(offset) + int(length)] = block
        if with_digest:
            data = data.replace(digest.encode(), hashlib.sha256(block).hexdigest().encode())
        self.write_segment(directory, data)


class LargeDictionaries(Copies):
    def check_needs(self):
        """Nothing but the command."""

    @classmethod
    def make_store(cls):
        home = Home(cls.folder)
        home.run("init")
        events = os.path.join(cls.folder, "events.ndjson")
        with open(events, "w", encoding="utf-8") as file:
            for nth in range(6_000):
                session = hashlib.sha256(str(nth % 4_500).encode()).hexdigest()[:24]
                file.write(json.dumps({"action": "data.read", "actor": {"id": "a"}, "session": session}) + "\n")
        home.run("import", events)
        home.run("seal")
        return home

    def test_an_intact_store_raises_no_alarm(self):
        self.assertEqual([finding["code"] for finding in self.verify(self.home.data)["findings"]], ["unanchored"])
        self.assertEqual(self.home.verify(self.home.data), (True, set()))

    def test_a_list_of_dictionary_pieces_edited_with_its_digest_made_right(self):
        # Behind magic, count, column and start: the number of pieces, then bytes, bytes of texts, texts and checksum of the first.
        for place in (0, 8, 12, 16, 20, 24, 28, 32, 36, -1):
            directory = self.copy()

            def flip(block, place=place):
                block[place] ^= 1
            self.edit_block(directory, "indelible.pieces", flip)
            self.assertEqual(self.both_find("segment-index", directory), {"segment-index"})
        directory = self.copy()
        self.edit_block(directory, "indelible.pieces", flip, with_digest=False)
        self.both_find("segment-index", directory)


class SealedStores(Copies):
    def check_needs(self):
        needs(self, os.path.join(CORPUS, "cloudtrail-invictus"), "INDELIBLE_CORPUS")

    @classmethod
    def make_store(cls):
        home = Home(cls.folder)
        home.run("init")
        home.run("import", os.path.join(CORPUS, "cloudtrail-invictus"), codes=(0, 4))
        home.run("seal")
        for action in ("user.login", "user.logout"):
            home.run("emit", action, "--actor", "zo\u00eb \"Z\" \\ \u0001", "--target", "host:db-1")
        home.run("seal")
        home.run("emit", "user.login")
        return home

    # --- intact

    def test_an_intact_store_raises_no_alarm(self):
        result = self.verify(self.home.data)
        self.assertEqual([finding["code"] for finding in result["findings"]], ["unanchored"])
        said = json.loads(self.home.run("verify", "-o", "json"))
        self.assertEqual((result["ok"], str(result["events"])), (said["ok"], str(said["events"])))
        self.assertGreater(result["events"], 2900)

    def test_old_checkpoints_within_the_sealed_part_anchor_and_others_do_not(self):
        home = Home(os.path.join(self.folder, "old"))
        os.mkdir(home.root)
        home.run("init")
        notes = []
        for number in range(5):
            home.run("emit", f"a.n{number}")
            notes.append(("kept", None, home.run("checkpoint").encode()))
        home.run("seal")
        home.run("emit", "a.last")
        result = StoreVerifier(home.data, notes).run()
        self.assertTrue(result["ok"] and result["anchored"], result["findings"])
        # A signed file that is older than what is sealed is found true by reading the rows once more.
        self.write(f"{home.data}/checkpoint/1", notes[2][2])
        self.assertTrue(self.verify(home.data)["ok"])
        os.unlink(self.segment(home.data))
        self.assertIn("segment-damaged", self.codes(home.data))

    def test_any_size_within_the_sealed_part_gives_the_root_it_had(self):
        verifier = StoreVerifier(self.home.data)
        log, draw = verifier.logs[1], random.Random(7)
        sizes = {0, 1, 255, 256, 257, 512, 2900, 2902} | {draw.randrange(2902) for _ in range(5)}
        for size in sizes - {0}:
            log.ask(size)
        self.assertTrue(verifier.run()["ok"])
        found = verifier.sealed.roots(log, sizes)
        self.assertEqual({size: root for size, root in found.items() if size}, {size: log.asked[size] for size in sizes - {0}})

    def test_a_segment_that_is_being_replaced_has_its_other_name(self):
        directory = self.copy()
        os.rename(self.segment(directory), f"{self.segment(directory)}.old")
        self.assertEqual(self.codes(directory), set())

    def test_a_manifest_that_is_replaced_meanwhile_is_read_again(self):
        home = Home(os.path.join(self.folder, "live"))
        os.mkdir(home.root)
        home.run("init")
        home.run("emit", "a.first")
        home.run("seal")
        home.run("emit", "a.second")
        verify_sealed, rounds = sealed.SealedPart.verify, []

        def seal_first(part):
            taken = verify_sealed(part)
            if not rounds:
                home.run("seal")
                home.run("emit", "a.third")
            rounds.append(taken)
            return taken
        with mock.patch.object(sealed.SealedPart, "verify", seal_first):
            result = self.verify(home.data)
        self.assertEqual((len(rounds), result["ok"], result["events"]), (2, True, 3), result["findings"])

    def test_a_live_writer_that_has_sealed_all_it_wrote(self):
        home = Home(os.path.join(self.folder, "idle"))
        os.mkdir(home.root)
        home.run("init")
        home.run("emit", "a.first")
        status = self.read(f"{home.data}/status")
        home.run("seal")
        self.write(f"{home.data}/status", status)
        with open(f"{home.data}/lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.verify(home.data)
        self.assertEqual((result["ok"], result["events"]), (True, 1), result["findings"])

    def test_lists_are_read_in_every_batch(self):
        for rows in (1024, 700):
            with mock.patch.object(segments, "BATCH_ROWS", rows):
                self.assertEqual(self.codes(self.home.data), set())

    def test_without_pyarrow_the_message_says_what_to_do(self):
        err = io.StringIO()
        with mock.patch.dict(sys.modules, {"pyarrow": None}), contextlib.redirect_stderr(err):
            self.assertEqual(main([self.home.data]), 1)
        self.assertIn("pip install pyarrow", err.getvalue())

    def test_the_command_runs_from_anywhere(self):
        done = subprocess.run([sys.executable, os.path.join(HERE, "verify.py"), self.home.data], cwd="/", capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "ok"), done.stderr)

    # --- changed

    def test_a_flipped_byte_of_a_page(self):
        draw = random.Random(20_260_201)
        pages_end = int(Container(self.read(self.segment(self.home.data)), COLUMNS).entries["indelible.index"].split(" ")[0])
        for _ in range(12):
            directory = self.copy()
            data, place = bytearray(self.read(self.segment(directory))), draw.randrange(4, pages_end)
            data[place] ^= 1 << draw.randrange(8)
            self.write(self.segment(directory), data)
            self.both_find("segment-damaged", directory)

    def test_any_flipped_bit_of_a_segment_is_found_and_none_stops_the_verifier(self):
        draw = random.Random(20_260_202)
        home = Home(os.path.join(self.folder, "small"))
        os.mkdir(home.root)
        home.run("init")
        for number in range(3):
            home.run("emit", "user.login", "--actor", "ada", "--detail", f"n={number}")
        home.run("seal")
        path = self.segment(home.data)
        good = self.read(path)

        def meaning(data):
            container = Container(data, COLUMNS)
            pages = [(page.first_row, page.rows, page.entries, page.nulls) for chunk in container.chunks for page in chunk.pages]
            return container.rows, pages, block_of(data, container.entries, "indelible.proof")
        for _ in range(400):
            data, place = bytearray(good), draw.randrange(len(good))
            data[place] ^= 1 << draw.randrange(8)
            self.write_segment(home.data, data)
            if self.verify(home.data)["ok"]:
                # What nobody relies on may change: the width of an integer. And an index may go, by a key that becomes another: then a reader
                # reads more.
                self.assertEqual(meaning(bytes(data)), meaning(good), place)

    def test_a_file_that_is_another_if_only_by_a_byte_that_nobody_reads(self):
        directory = self.copy()
        data = bytearray(self.read(self.segment(directory)))
        place = data.rindex(b"indelible", 0, data.rindex(b"indelible."))  # Who made the file, in its footer.
        data[place] ^= 1
        self.write(self.segment(directory), data)
        self.assertIn("segment-damaged", self.codes(directory))
        digest = base64.b64encode(bytes(32)).decode()
        directory = self.copy()
        self.edit_manifest(directory, lambda manifest: manifest["segments"][1].update(sha256=digest))
        self.assertEqual(self.both_find("segment-damaged", directory), {"segment-damaged"})

    def test_two_segments_swapped(self):
        directory = self.copy()
        one, other = self.segment(directory, 0), self.segment(directory, 1)
        os.rename(one, f"{one}.kept")
        os.rename(other, one)
        os.rename(f"{one}.kept", other)
        self.both_find("segment-damaged", directory)

    def test_a_segment_that_is_gone(self):
        directory = self.copy()
        os.unlink(self.segment(directory))
        self.both_find("segment-damaged", directory)

    def test_the_manifest_dropped(self):
        directory = self.copy()
        os.unlink(f"{directory}/manifest")
        self.both_find("journal-corrupt", directory)

    def test_a_manifest_that_cannot_be_read(self):
        for text in (b"", b"{}", b'{"format":1}', self.read(f"{self.home.data}/manifest")[:-3]):
            directory = self.copy()
            self.write(f"{directory}/manifest", text)
            self.both_find("manifest", directory)

    def test_a_segment_dropped_from_the_manifest(self):
        directory = self.copy()
        self.edit_manifest(directory, lambda manifest: manifest["segments"].pop())
        self.both_find("sealed-state", directory)

    def test_a_manifest_that_says_other_things_of_a_segment(self):
        def first_later(manifest):
            manifest["segments"][1]["first"] += 1
            manifest["segments"][1]["file"] = manifest["segments"][1]["file"].replace("-000000000000-", "-000000000001-")
        directory = self.copy()
        self.edit_manifest(directory, first_later)
        self.both_find("manifest", directory)
        for change in ({"count": 5}, {"log": 2}):
            directory = self.copy()
            self.edit_manifest(directory, lambda manifest, change=change: manifest["segments"][1].update(change))
            self.assertTrue(self.codes(directory) & {"segment-damaged", "manifest"})
        for change in ({"bytes": 5}, {"keyed": 1}, {"journal_bytes": 1}, {"time": None}, {"received": [0, 1]}):
            directory = self.copy()
            self.edit_manifest(directory, lambda manifest, change=change: manifest["segments"][1].update(change))
            self.assertEqual(self.codes(directory), {"manifest"}, change)

    def test_a_manifest_that_says_another_beginning_of_the_journal(self):
        for change, code in (({"lsn": 3}, "journal-corrupt"), ({"prev": "A" * 43 + "="}, "file-header")):
            directory = self.copy()
            self.edit_manifest(directory, lambda manifest, change=change: manifest["journal"].update(change))
            self.both_find(code, directory)

    def test_an_edited_state(self):
        directory = self.copy()
        path = glob.glob(f"{directory}/segments/*.state")[0]
        good = self.read(path)
        for place in (20, len(good) // 2, len(good) - 40):
            data = bytearray(good)
            data[place] ^= 1
            for digest in (data[-32:], hashlib.sha256(data[:-32]).digest()):
                self.write(path, data[:-32] + digest)
                self.assertEqual(self.codes(directory), {"sealed-state"}, place)
        self.both_find("sealed-state", directory)
        directory = self.copy()
        os.unlink(glob.glob(f"{directory}/segments/*.state")[0])
        self.both_find("sealed-state", directory)

    def test_a_proof_block_edited_with_its_digest_made_right(self):
        group_root = 12 + len("localhost/") + 32 + 1 + 16 + 20
        for place, code in ((group_root, "segment-proof"), (-1, "checkpoint-mismatch"), (20, "store-identity"), (2, "segment-damaged")):
            directory = self.copy()

            def flip(block, place=place):
                block[place] ^= 1
            self.edit_block(directory, "indelible.proof", flip)
            self.both_find(code, directory)
        directory = self.copy()
        self.edit_block(directory, "indelible.proof", flip, with_digest=False)
        self.both_find("segment-damaged", directory)

    def test_an_index_block_edited_with_its_digest_made_right(self):
        directory = self.copy()

        def flip(block):
            block[-1] ^= 1
        self.edit_block(directory, "indelible.index", flip)
        self.assertEqual(self.both_find("segment-index", directory), {"segment-index"})

    def test_bounds_that_hide_rows(self):
        directory = self.copy()
        data = bytearray(self.read(self.segment(directory)))
        # The greatest time in the footer, eight bytes little-endian, lowered by one nanosecond wherever it stands there.
        container = Container(bytes(data), COLUMNS)
        chunk = next(chunk for chunk in container.chunks if chunk.path == "time")
        greatest = bytes(chunk.said[1])
        lowered = (int.from_bytes(greatest, "little") - 1).to_bytes(8, "little")
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        data[start:] = data[start:].replace(greatest, lowered)
        self.write_segment(directory, data)
        self.assertEqual(self.both_find("segment-index", directory), {"segment-index"})

    def test_what_other_readers_believe_and_a_segment_does_not_say(self):
        """The rows stay as they are; whoever opens the file with something else would see others, or not all."""
        data = self.read(self.segment(self.home.data))
        names = [path for path, _, _ in COLUMNS]
        text = forge.BYTES

        def meta(footer, name):
            return footer[4][1][1][0][1][1][1][names.index(name)][3][1]

        def node(footer, name):
            return next(node for node in footer[2][1][1] if node[4][1] == name)

        def key(footer, name):
            footer[5][1][1].append({1: (text, name), 2: (text, b"/////w==")})
        lies = {
            "a bloom filter": lambda footer: meta(footer, "details").update({14: (forge.I64, 4)}),
            "bounds in their older form": lambda footer: meta(footer, "time")[12][1].update({1: (text, bytes(8)), 2: (text, bytes(8))}),
            "bounds that are cut": lambda footer: meta(footer, "time")[12][1].update({7: (2, False)}),
            "another name": lambda footer: meta(footer, "details").update({3: (forge.LIST, (text, [b"session"]))}),
            "a sort order": lambda footer: footer[4][1][1][0].update({4: (forge.LIST, (forge.STRUCT, []))}),
            "signed positions": lambda footer: node(footer, b"tenant_seq").update({6: (forge.I32, 10)}),
            "milliseconds": lambda footer: node(footer, b"time").update({6: (forge.I32, 9)}),
            "another writer": lambda footer: footer.update({6: (text, b"parquet-mr version 1.8.0")}),
            "a type of Arrow's": lambda footer: key(footer, b"ARROW:schema"),
            "a key twice": lambda footer: key(footer, b"indelible.version"),
            "encryption": lambda footer: footer.update({8: (forge.STRUCT, {})})}
        for lie, tell in lies.items():
            with self.subTest(lie):
                directory, footer = self.copy(), forge.footer_of(data)[0]
                tell(footer)
                self.write_segment(directory, forge.with_footer(data, footer))
                self.assertEqual(self.both_find("segment-damaged", directory), {"segment-damaged"})
        for lie, changed in (("encodings", {2: (forge.LIST, (forge.I32, [0, 3, 8]))}), ("sizes", {6: (forge.I64, 1 << 20)})):
            with self.subTest(lie):
                directory, footer = self.copy(), forge.footer_of(data)[0]
                group, wanted = footer[4][1][1][0], meta(footer, "details")
                group[2] = (forge.I64, group[2][1] + changed.get(6, wanted[6])[1] - wanted[6][1])
                wanted.update(changed)
                self.write_segment(directory, forge.with_footer(data, footer))
                self.assertEqual(self.both_find("segment-index", directory), {"segment-index"})

    def test_pages_that_other_readers_find_and_the_page_index_does_not_name(self):
        data = self.read(self.segment(self.home.data))
        footer, start = forge.footer_of(data)
        column = footer[4][1][1][0][1][1][1][[path for path, _, _ in COLUMNS].index("details")]
        meta, pages = column[3][1], forge.pages_of(data, column[3][1])
        first, header, body = pages[0]
        forged, real = forge.page(header, body), data[first:first + meta[7][1]]
        index = forge.Tree(data, column[4][1]).members
        for place in index[1][1][1]:
            place[1] = (forge.I64, place[1][1] - first + start + len(forged))
        written = forge.encoded(index)
        column |= {4: (forge.I64, start + len(forged) + len(real)), 5: (forge.I32, len(written))}
        meta |= {7: (forge.I64, len(forged) + len(real)), 9: (forge.I64, start)}
        group = footer[4][1][1][0]
        group[6] = (forge.I64, group[6][1] + len(forged))
        directory = self.copy()
        self.write_segment(directory, forge.with_footer(data, footer, forged + real + written))
        self.assertEqual(self.both_find("segment-damaged", directory), {"segment-damaged"})

    def test_a_group_that_one_of_its_members_hides(self):
        """Nobody has an e-mail address here; to some readers that column says whether there is an actor."""
        home = Home(os.path.join(self.folder, "groups"))
        os.mkdir(home.root)
        home.run("init")
        for number in range(3):
            home.run("emit", "user.login", "--actor", "ada", "--detail", f"n={number}")
        home.run("seal")

        def hide(path, header, body):
            if path != b"actor.email" or 8 not in header:
                return header, body
            numbers = header[8][1]
            skipped, length = numbers[6][1], numbers[5][1]
            levels = forge.unsigned(numbers[1][1] << 1) + b"\0"
            body = body[:skipped] + levels + body[skipped + length:]
            return header | {2: (forge.I32, len(body)), 8: (forge.STRUCT, numbers | {5: (forge.I32, len(levels))})}, body
        data = self.read(self.segment(home.data))
        for change, wanted in ((None, set()), (hide, {"segment-index"})):
            self.write_segment(home.data, written_anew(data, {}, pages=change))
            ok, theirs = home.verify(home.data)
            self.assertEqual((self.codes(home.data), theirs, ok), (wanted, wanted, not wanted))

    def test_a_file_of_somebody_else_in_the_place_of_a_segment(self):
        import pyarrow
        import pyarrow.parquet
        directory = self.copy()
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(self.read(self.segment(directory))))
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        self.write_segment(directory, sink.getvalue().to_pybytes())
        self.both_find("segment-damaged", directory)
        # Of another store, with as many events at the same positions.
        homes = [Home(os.path.join(self.folder, name)) for name in ("ours", "theirs")]
        for home in homes:
            os.mkdir(home.root)
            home.run("init")
            for number in range(3):
                home.run("emit", f"a.n{number}")
            home.run("seal")
        ours, theirs = (home.data for home in homes)
        self.write_segment(ours, self.read(self.segment(theirs)))
        self.assertIn("store-identity", self.codes(ours))
        ok, found = homes[0].verify(ours)
        self.assertFalse(ok)
        self.assertIn("store-identity", found)

    def test_a_page_that_swells_is_refused_without_the_memory_for_it(self):
        directory = self.copy()
        self.verify_in(60 << 20, directory, 0)
        data = self.read(self.segment(directory))
        # Of a kilobyte of its page come more than a megabyte.
        details = ["{}"] * (Segment(data).proof.count - 1) + ['{"a":"' + "a" * (64 << 20) + '"}']
        swollen = written_anew(data, {"details": details}, compression="zstd")
        self.assertLess(len(swollen), len(data))
        self.write_segment(directory, swollen)
        self.verify_in(60 << 20, directory, 3)
        self.both_find("segment-damaged", directory)

    def verify_in(self, memory, directory, code):
        """The writer's verifier, which has so much memory and would be aborted if it asked for more, ends with this code."""
        done = subprocess.run([BINARY, "--data", directory, "verify"], env=self.home.environment, capture_output=True, text=True, check=False,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory, memory)))
        self.assertEqual(done.returncode, code, done.stderr)

    def test_a_store_that_was_never_sealed_by_this_journal(self):
        """The segments of an older copy: every one is whole, and the journal does not follow."""
        directory = self.copy()
        home = Home(os.path.join(self.folder, "other"))
        os.mkdir(home.root)
        home.run("init")
        home.run("emit", "a.b")
        home.run("seal")
        self.write_segment(directory, self.read(self.segment(home.data)))
        self.both_find("segment-damaged", directory)


    def test_columns_that_say_other_things_than_the_records(self):
        """Every leaf is right, as the records stand in `record`; but who reads the columns would see another log."""
        home = Home(os.path.join(self.folder, "columns"))
        os.mkdir(home.root)
        home.run("init")
        for number in range(3):
            home.run("emit", "user.login", "--actor", "ada", "--detail", f"n={number}", "--id", f"id-{number}")
        home.run("seal")
        for change, columns in ((None, {}), ("action", {"action": "user.innocent"}), ("details", {"details": "{}"}), ("id_text", {"id_text": "x"}),
                                ("session", {"session": "s"}), ("control", {"control": "{}"}), ("frameworks", {"frameworks": ["sox"]})):
            directory = os.path.join(home.root, str(change))
            shutil.copytree(home.data, directory)
            self.rewrite(directory, columns)
            ok, theirs = home.verify(directory)
            wanted = {"segment-damaged"} if change else set()
            self.assertEqual((self.codes(directory), theirs, ok), (wanted, wanted, not change), change)

    def rewrite(self, directory, columns):
        """Writes the segment of log 1 anew with whole records beside its columns, and `columns` changed in the row before the last."""
        data = self.read(self.segment(directory))
        segment, changed = Segment(data), {"record": []}
        for batch in segment.batches():
            changed["record"] += [record or record_of(event_of(row), 1) for _, _, _, record, row in segment.rows(batch)]
        rows = segment.file.read()
        for name, value in columns.items():
            changed[name] = rows.column(name).to_pylist()
            changed[name][-2] = value
        self.write_segment(directory, written_anew(data, changed))


class OddRecords(unittest.TestCase):
    """What columns cannot say stands in `record`: a store of the reference writer, full of such records, sealed by the real one."""

    def test_sealed_by_the_real_writer_it_is_the_same_log(self):
        needs(self, BINARY, "INDELIBLE_BINARY")
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        home = Home(folder)
        targets = [{"id": str(number), "name": 5, "type": "t"} for number in range(70)]
        odd = [{"content": {"targets": targets}}, {"content": {"targets": [], "details": None}}, {"content": {"targets": [5, {}, {"id": "x"}]}},
               {"content": {"targets": {"id": 1}}}, {"identity": {"actor": {}, "session": 5}}, {"identity": {"actor": {"id": None, "name": ""}}},
               {"identity": None}, {"content": None}, {"identity": {"origin": {"ip": "\u2028\x7f/", "other": 1}}}, {"raw": str16("a/b") + b"\xff"},
               {"raw": str16("a/b") + b"\xff", "forms": {4: 1}}, {"forms": {1: 1}}, {"forms": {2: 1, 3: 2}}, {"forms": {2: 2}},
               {"forms": {3: 2, 2: 1}}]
        plan = [*plan_of(300), [event(1000 + number, **changes) for number, changes in enumerate(odd)],
                [event(2000 + number, tenant=f"t{number % 3}", producer="p", epoch=3, producer_seq=number) for number in range(20)],
                [{"log": 1, "leaf": bytes(32)}], [event(3000, tenant="other")]]
        # The reference writer notes spans of any type; here they are derived.
        store = ReferenceStore(home.data, plan, spans=lambda spans, lsn, seq: [], record=lambda record, lsn, seq: with_spans(record))
        name, identifier, _ = vkey(0).split("+", 2)
        store.write("key", f"PRIVATE+KEY+{name}+{identifier}+{b64(bytes([1]) + b'k' * 32)}\n".encode())
        for secret in glob.glob(f"{home.data}/**", recursive=True):
            os.chmod(secret, 0o700 if os.path.isdir(secret) else 0o600)
        before = StoreVerifier(home.data).run()
        home.run("seal")
        after = StoreVerifier(home.data).run()
        self.assertEqual({finding["code"] for finding in after["findings"] if finding["level"] == "fail"}, {"withheld"}, after["findings"])
        self.assertEqual((after["logs"][1], after["events"]), (before["logs"][1], before["events"]))
        whole = [row for batch in Segment(SealedStores.read(SealedStores.segment(home.data))).batches() for row in batch.lists["record"] if row]
        self.assertGreater(len(whole), len(odd) - 4)


def written_anew(data, columns, change=None, compression="none", pages=None):
    """A segment with pages as pyarrow writes them, other values in some columns, and no index. `change`: what to do to its proof block; `pages`:
    what to do to its pages."""
    import pyarrow
    import pyarrow.parquet
    container = Container(data, COLUMNS)
    offset, length = map(int, container.entries["indelible.proof"].split(" ")[:2])
    block = bytearray(data[offset:offset + length])
    if change:
        change(block)
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.names.index(name), field, pyarrow.array(values, field.type))
    sink = pyarrow.BufferOutputStream()
    with pyarrow.parquet.ParquetWriter(sink, table.schema, data_page_version="2.0", write_page_index=True, write_page_checksum=True,
                                       compression=compression, store_schema=False) as writer:
        writer.write_table(table)
    digest = hashlib.sha256(block).hexdigest().encode()
    return forge.as_ours(sink.getvalue().to_pybytes(), data, {b"indelible.version": b"1"}, {b"indelible.proof": (bytes(block), digest)},
                         pages)


def with_spans(record):
    """The record with the spans that its values have."""
    if record[4] != EVENT:
        return record
    event = parse_event(record, *record[5:8])
    return record_of(event, int.from_bytes(record[8:12], "little"))


def record_of(event, log):
    """An event as the journal stores it."""
    spans = []
    for tag, form, body in event.groups:
        if tag in (2, 3) and form != 2:
            spans += (identity_spans if tag == 2 else content_spans)(*canonical_object(body[16:] if form == 1 else body))
    table = b"".join(GROUP.pack(tag, form, len(body)) for tag, form, body in event.groups)
    body = table + event.idempotency + b"".join(body for _, _, body in event.groups) + encode_spans(spans)
    return RECORD.pack(RECORD.size + len(body), 1, bool(event.idempotency), len(event.groups), len(spans), log) + body


class Parts(unittest.TestCase):
    """Small parts, by the examples of their page."""

    def test_rice_and_gamma(self):
        self.assertEqual([rice(value, 2) for value in (0, 1, 2, 5)], ["100", "110", "101", "0110"])
        self.assertEqual(rice(3, 0), "0001")
        self.assertEqual([elias_gamma(value) for value in (1, 2, 3, 4)], ["1", "010", "011", "00100"])

    def test_enclosing_pages_are_those_of_its_simple_twin(self):
        draw = random.Random(5)
        for _ in range(300):
            pages = [tuple(sorted((draw.randrange(30), draw.randrange(30)))) for _ in range(draw.randrange(1, 14))]
            enclosing = sum(sum(low <= least <= high for low, high in pages) for least, _ in pages)
            self.assertEqual(enclosing_pages(pages), enclosing, pages)

    def test_ids_are_indexed_if_they_lie_in_many_pages_and_may_be_if_in_some(self):
        def made(lap, stored=b""):
            # Each page's least id lies in `lap` pages, but for the first ones.
            builder, pages = IndexBuilder(), [(bytes([nth]) + bytes(15), bytes([nth + lap - 1]) + bytes(15)) for nth in range(200)]
            builder.blocks[FIELDS["id"]][bytes(16)].append(0)
            return builder.finish(1, pages, stored)
        indexed, plain = made(50), made(1)
        self.assertEqual((fields_of(indexed), fields_of(plain), fields_of(b"")), ({ID}, set(), set()))
        for lap, alone, beside_indexed in ((4, plain, plain), (5, plain, indexed), (8, plain, indexed), (9, indexed, indexed)):
            self.assertEqual((made(lap), made(lap, indexed)), (alone, beside_indexed), lap)

    def test_an_index_without_terms(self):
        self.assertEqual(len(IndexBuilder().finish(0, [])), 24)

    def test_texts_are_escaped_as_rfc8785_says(self):
        for code in [*range(128), 0xE9, 0x1F600]:
            text = chr(code)
            self.assertEqual(quoted(text.encode()), json.dumps(text, ensure_ascii=False).encode())

    def test_thrift_that_is_cut_short_or_endless_is_refused(self):
        for data in (b"", b"\x15", b"\x18\x05ab", b"\x19\xfc\xff\xff\xff\x0f", b"\x1c" * 100, b"\x16" + b"\xff" * 20, b"\x1d\x00",
                     b"\x19" * 5000):
            with self.assertRaises(ValueError, msg=data):
                Thrift(data).struct()

    def test_bytes_that_are_no_segment_are_refused(self):
        for data in (b"", b"PAR1", b"PAR1\x00\x00\x00\x00PAR1", b"PAR1" + b"\xff" * 8 + b"PAR1"):
            with self.assertRaises(ValueError):
                Segment(data)


if __name__ == "__main__":
    unittest.main()

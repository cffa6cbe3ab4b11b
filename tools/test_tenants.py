"""What log 0 states about tenants' events, and the copy that a tenant gets: the truth raises no alarm, and every lie is named.

The statements and copies of the first half are made by a small reference writer, which shares no code with the verifier; those of the second
by the command.

    cd tools && python -m unittest test_tenants    # needs the built command and the test kit's example beside it, and requirements.txt
"""
import base64
import contextlib
import glob
import hashlib
import hmac
import io
import json
import os
import random
import subprocess
import unittest
from types import SimpleNamespace

from indelible_verify.command import main
from indelible_verify.expired import Beginning, Met, check_expiries, expiry_of, parse_expired
from indelible_verify.manifest import ExpiredBeginning
from indelible_verify.merkle import Frontier, Tree
from indelible_verify.notes import parse_verifier_key
from indelible_verify.producers import Producers
from indelible_verify.report import Malformed, Report
from indelible_verify.sealed import SealedPart
from indelible_verify.segments import Segment
from indelible_verify.store import Log
from indelible_verify.tenant_copy import verify_copy
from indelible_verify.tenants import (
    count_commitment,
    proven_count,
    tenant_id,
    tenant_leaves,
    tenant_root,
    tenant_salt,
)
from test_expired import EXAMPLE
from test_sealed import BINARY, Copies, Home, needs, written_anew
from test_verify import (
    OTHER_KEY,
    OTHER_STORE_ID,
    StoreTest,
    b64,
    canonical,
    event,
    plan_of,
    rfc6962_path,
    rfc6962_root,
    sha256,
    signed_note,
    vkey,
)

AT = "2026-01-01T00:00:00.000000000Z"


# ------------------------------------------------------------------------------------------------ reference writer

def hkdf(seed, info, length):
    extracted, out, block, nth = hmac.digest(b"indelible/v1", seed, "sha256"), b"", b"", 1
    while len(out) < length:
        block = hmac.digest(extracted, block + info + bytes([nth]), "sha256")
        out, nth = out + block, nth + 1
    return out[:length]


class CountTree:
    """The tree over {name: count}, by the words of the page."""

    def __init__(self, seed, counts):
        self.seed, self.counts = seed, {name: count for name, count in counts.items() if count}
        pairs = [(self.identity(name), sha256(b"indelible/v1count" + self.salt(name) + count.to_bytes(8, "little")))
                 for name, count in self.counts.items()]
        wanted = 64
        while wanted < len(pairs):
            wanted *= 2
        for nth in range(wanted - len(pairs)):
            filler = hkdf(seed, b"filler" + nth.to_bytes(8, "little"), 64)
            pairs.append((filler[:32], filler[32:]))
        self.pairs = sorted(pairs)
        self.leaves = [sha256(b"\x00" + identity + commitment) for identity, commitment in self.pairs]

    def salt(self, name):
        return hkdf(self.seed, b"tenant" + name.encode(), 16)

    def identity(self, name, salt=None):
        return sha256(b"indelible/v1tenant" + (salt or self.salt(name)) + name.encode())

    def root(self):
        return rfc6962_root(self.leaves)

    def path(self, index):
        return [b64(node) for node in rfc6962_path(index, self.leaves)]

    def told(self, name, salt=None):
        """What a copy says of a tenant. `salt`: another than the right one, so that the tenant seems not to be there."""
        identity = self.identity(name, salt)
        places = [index for index, pair in enumerate(self.pairs) if pair[0] == identity]
        if places:
            told = {"count": self.counts[name], "index": places[0], "path": self.path(places[0])}
        else:
            behind = sum(pair[0] < identity for pair in self.pairs)
            told = {"left": self.beside(behind - 1), "right": self.beside(behind)}
        return {"salt": b64(salt or self.salt(name)), "told": told}

    def beside(self, index):
        if not 0 <= index < len(self.pairs):
            return None
        identity, commitment = self.pairs[index]
        return {"commitment": b64(commitment), "id": b64(identity), "index": index, "path": self.path(index)}


def seed_of(seq):
    """The reference store's, of log 0."""
    return sha256(b"seed\x00" + (seq // 256).to_bytes(8, "little"))


def counts_of(store, log):
    return {tenant: following for (number, tenant), following in store.tenants.items() if number == log}


def between(leaves, start, end):
    """Roots of the largest complete subtrees that these positions are made of."""
    roots = []
    while start < end:
        width = 1
        while start % (2 * width) == 0 and start + 2 * width <= end:
            width *= 2
        roots.append(b64(rfc6962_root(leaves[start:start + width])))
        start += width
    return roots


class CopyTest(StoreTest):
    """Stores with statements in them, by the reference writer."""

    def stating(self, plan, *changes, bend=None, **options):
        """The store of `plan` with an entry `tenants` behind it, and then what is in `changes`. `bend` gets the entry's logs."""
        source, self.seq = self.store(plan), 0
        self.seq = len(source.leaves[0])
        logs = [{"log": log, "root": b64(rfc6962_root(source.leaves[log])), "size": len(source.leaves[log]),
                 "tenants": b64(CountTree(seed_of(self.seq), counts_of(source, log)).root())} for log in (1, 2)]
        self.logs = (bend(logs) or logs) if bend else logs
        return self.store([*plan, [(0, {"at": AT, "logs": self.logs, "type": "tenants"})], *changes], **options)

    @staticmethod
    def plan(events_n=130):
        """Events of three tenants in both logs: every fifth in log 2, which `initech` has nothing in."""
        names = [("acme", "globex")[number % 2] if number % 5 == 0 or number % 7 else "initech" for number in range(events_n)]
        events = [event(number, tenant=name, log=1 if number % 5 else 2) for number, name in enumerate(names)]
        return plan_of(0) + [events[start:start + 40] for start in range(0, events_n, 40)]


class Statements(CopyTest):
    """Entries `tenants` in the journal."""

    def test_true_ones_raise_no_alarm(self):
        for events_n in (0, 1, 130):
            plan = self.plan(events_n)
            self.assert_intact(self.stating(plan, [event(900, tenant="acme")]))
        for _ in range(3):
            logs = []
            self.stating(plan, bend=lambda logs, kept=logs: kept.extend(logs))
            plan = [*plan, [(0, {"at": AT, "logs": logs, "type": "tenants"}), event(len(plan) + 500)]]
        self.assert_intact(self.store(plan, frames_per_file=2))

    def test_every_false_one_is_named(self):
        def swapped(logs):
            logs[0]["tenants"], logs[1]["tenants"] = logs[1]["tenants"], logs[0]["tenants"]

        def more(logs):
            logs[0]["size"] += 1

        def another_log(logs):
            return [*logs, {**logs[0], "log": 3}]
        for bend, expected in ((lambda logs: logs[0].update(tenants=b64(bytes(32))), {"tenant-counts"}), (swapped, {"tenant-counts"}),
                               (lambda logs: logs[:1], {"tenant-counts"}), (lambda logs: logs[1:], {"tenant-counts"}),
                               (lambda logs: logs[::-1], {"tenant-counts"}), (lambda logs: [*logs, logs[1]], {"tenant-counts"}),
                               (another_log, {"tenant-counts", "log-unknown"}),
                               (lambda logs: logs[1].update(root=b64(bytes(32))), {"heads-mismatch"}),
                               (more, {"tenant-counts", "heads-mismatch"})):
            store = self.stating(self.plan(), [event(900, tenant="acme")], bend=bend)
            self.assertEqual(self.codes(store), expected)

    def test_a_size_that_the_log_had_before_is_not_where_it_stands(self):
        plan, earlier = self.plan(), []
        self.stating(plan[:-1], bend=earlier.extend)
        self.assertEqual(self.codes(self.stating(plan, bend=lambda logs: earlier)), {"tenant-counts"})

    def test_the_command_says_the_same(self):
        needs(self, BINARY, "INDELIBLE_BINARY")
        home, earlier = Home(self.root), []
        self.stating(self.plan()[:-1], bend=earlier.extend)
        for bend, expected in ((None, set()), (lambda logs: logs[0].update(tenants=b64(bytes(32))), {"tenant-counts"}),
                               (lambda logs: logs[:1], {"tenant-counts"}), (lambda logs: earlier, {"tenant-counts"}),
                               (lambda logs: logs[1].update(root=b64(bytes(32))), {"heads-mismatch"}),
                               (lambda logs: logs[0].update(size=logs[0]["size"] + 1), {"tenant-counts", "heads-mismatch"})):
            store = self.stating(self.plan(), [event(900, tenant="acme")], bend=bend)
            home.environment["INDELIBLE_STATE"] = f"{store.directory}.state"
            self.assertEqual((self.codes(store), home.verify(store.directory)[1]), (expected, expected))

    def test_it_is_the_first_record_of_its_frame(self):
        plan, logs = self.plan(), []
        self.stating(plan, bend=logs.extend)
        entry = (0, {"at": AT, "logs": logs, "type": "tenants"})
        self.assert_intact(self.store([*plan, [entry, event(900)]]))
        # Under the seed of the same group, and nothing in between that anybody counts.
        self.assertEqual(self.codes(self.store([*plan, [(0, {"at": AT, "logs": [], "type": "heads"}), entry]])), {"tenant-counts"})
        self.assertEqual(self.codes(self.store([*plan, [event(900), entry]])), {"tenant-counts"})

    def test_what_cannot_be_read_is_malformed(self):
        for change in ({"tenants": "AA=="}, {"tenants": None}, {"size": -1}, {"size": "0"}, {"log": True}, {"root": b64(bytes(31))}):
            store = self.stating(self.plan(3), bend=lambda logs, change=change: logs[0].update(change))
            self.assertEqual(self.codes(store), {"record-malformed"}, change)

    def test_without_its_seed_nothing_can_be_compared(self):
        plan = self.plan()
        self.assertEqual(self.codes(self.stating(plan, seed=lambda seed, lsn: None if lsn == len(plan) else seed)), {"seed-missing"})

    def test_a_tenant_whose_head_is_withheld_cannot_be_counted(self):
        plan = [*self.plan(), [event(900, tenant="acme", forms={1: 2})]]
        store = self.stating(plan, bend=lambda logs: logs[0].update(tenants=b64(bytes(32))))
        self.assertEqual(self.codes(store), {"withheld"})


class Beginnings(unittest.TestCase):
    """Counts where the beginning of a log has expired."""

    COUNTS = {"acme": 300, "globex": 212}

    def beginning(self):
        roots, counts = [bytes([nth]) * 32 for nth in range(2)], {name.encode(): count for name, count in self.COUNTS.items()}
        return Beginning(1, 512, roots, counts, {}, [], {}, sha256(b""))

    def test_only_those_where_it_ends_can_be_told(self):
        part, seed, log = object.__new__(SealedPart), bytes(32), Log(1, "main", "")
        part.entries = SimpleNamespace(producers=Producers())
        for size in (0, 256, 300, 512, 513):
            log.ask_counts(size, seed)
        part._pass(log, self.beginning(), 1_000)
        log.tenants[b"acme"] += 1
        log.append(bytes(32))
        told = {size: found[seed] for size, found in log.counted.items()}
        self.assertEqual(told, {0: CountTree(seed, {}).root(), 256: None, 300: None, 512: CountTree(seed, self.COUNTS).root(),
                                513: CountTree(seed, {"acme": 301, "globex": 212}).root()})

    def test_an_entry_that_counts_otherwise_than_what_stays_is_named(self):
        beginning, seed = self.beginning(), bytes([7]) * 32
        root, said = beginning.tree().root(), ExpiredBeginning(1, 512, 9, "", bytes(32))
        entry = {"at": AT, "before": AT, "below": 512, "count": 512, "held": 0, "log": 1, "policy": 3, "root": b64(root), "sha256": b64(bytes(32))}
        for counted, expected in (({}, []), ({"tenants": b64(CountTree(seed, self.COUNTS).root())}, []),
                                  ({"tenants": b64(CountTree(seed, {"acme": 300}).root())}, ["tenant-counts"]),
                                  ({"tenants": b64(CountTree(bytes(32), self.COUNTS).root())}, ["tenant-counts"])):
            report = Report()
            met = Met(said, root, beginning.tenants, beginning.held, 0)
            check_expiries({1: met}, {9: expiry_of({**entry, **counted}, seed)}, {}, report)
            self.assertEqual([finding["code"] for finding in report.findings if finding["level"] == "fail"], expected)


class Trees(unittest.TestCase):
    """The tree of counts, and the tree that grows by subtrees."""

    def test_the_vector_of_the_page(self):
        seed, counts = bytes(range(32)), {b"acme": 3, b"globex": 41, "\u00fcn\u00ef".encode(): 1}
        salt = tenant_salt(seed, b"acme")
        self.assertEqual(salt.hex(), "783020af212833fcbf623ad71c350281")
        identity, commitment = tenant_id(salt, b"acme"), count_commitment(salt, 3)
        self.assertEqual(identity.hex(), "1286270740415c27ad7be6d0161eb25ece5d11602bf4f380f04edcfe87801f38")
        self.assertEqual(commitment.hex(), "e841efed30716d683b32d92e1ce21cd043f491c2ea501fd8292e75ff5ead67b0")
        leaves = tenant_leaves(seed, counts)
        self.assertEqual((leaves.index((identity, commitment)), len(leaves)), (5, 64))
        self.assertEqual(tenant_root(seed, counts).hex(), "9f388f9ab4dccf511c78490709032c5d05a17c2649db70cde955d2a8b3549d94")

    def test_any_number_of_tenants_is_as_the_page_says(self):
        draw = random.Random(20_260_401)
        for tenants_n in (0, 1, 2, 63, 64, 65, 200):
            seed, counts = draw.randbytes(32), {f"t{number}": draw.randrange(1, 1 << 64) for number in range(tenants_n)}
            tree = CountTree(seed, {**counts, "none": 0})
            encoded = {name.encode(): count for name, count in {**counts, "none": 0}.items()}
            self.assertEqual(tenant_root(seed, encoded), tree.root())
            for name in ["none", *draw.sample(sorted(counts), min(5, tenants_n))]:
                self.assertEqual(self.proven(tree, name), counts.get(name, 0))

    @staticmethod
    def proven(tree, name, **changes):
        def decoded(told):
            return told and {key: base64.b64decode(value) if key in ("id", "commitment") else
                             [base64.b64decode(node) for node in value] if key == "path" else value for key, value in told.items()}
        told = tree.told(name)["told"]
        told = decoded(told) if "count" in told else {side: decoded(told[side]) for side in told}
        return proven_count(name.encode(), tree.salt(name), {**told, **changes}, tree.root())

    def test_neighbours_that_are_none_show_nothing(self):
        tree = CountTree(bytes(32), {"acme": 3})
        first = {"index": 0, "id": tree.pairs[0][0], "commitment": tree.pairs[0][1], "path": rfc6962_path(0, tree.leaves)}
        last = {"index": 63, "id": tree.pairs[63][0], "commitment": tree.pairs[63][1], "path": rfc6962_path(63, tree.leaves)}
        nobody = next(name for name in map(str, range(99)) if None not in tree.told(name)["told"].values())
        self.assertEqual(self.proven(tree, nobody), 0)
        for changes in ({"left": None}, {"right": None}, {"left": first}, {"right": last}, {"left": None, "right": None},
                        {"left": first, "right": last}, {"left": last, "right": None}, {"left": None, "right": first}):
            self.assertIsNone(self.proven(tree, nobody, **changes), changes)
        for changes in ({"count": 2}, {"count": 0}, {"index": 64}):
            self.assertIsNone(self.proven(tree, "acme", **changes), changes)

    def test_a_tree_grows_by_subtrees_as_by_leaves(self):
        draw, leaves = random.Random(20_260_402), [sha256(bytes([number])) for number in range(200)]
        for _ in range(60):
            size = draw.randrange(201)
            stops = sorted({draw.randrange(size + 1) for _ in range(draw.randrange(5))} | {size})
            grown, tree, start = Frontier(), Tree(), 0
            for stop in stops:
                grown.fill(stop, [base64.b64decode(root) for root in between(leaves, start, stop)])
                start = stop
            for leaf in leaves[:size]:
                tree.append(leaf)
            self.assertEqual((grown.size, grown.root()), (size, tree.root()))
        for roots in ([], [bytes(32)] * 3):
            self.assertRaises(Malformed, Frontier().fill, 2, roots)


class ReferenceCopies(CopyTest):
    """A tenant's copy holds only if all of the tenant's events are in it."""

    def setUp(self):
        super().setUp()
        self.source = self.stating(self.plan(), [event(900, tenant="acme")])
        self.key = parse_verifier_key(vkey(0))

    def proof(self, seq, log=0, note=None):
        leaves = self.source.leaves[log]
        extra = {"control": json.loads(self.source.entries[log][seq][1:]), "format": "indelible/v1"}
        lines = ["c2sp.org/tlog-proof@v1", f"extra {b64(canonical(extra))}", f"index {seq}", *map(b64, rfc6962_path(seq, leaves))]
        return "\n".join(lines) + "\n\n" + (note or self.source.checkpoints[log]).decode()

    def tree(self, log):
        known = self.store(self.plan())
        return CountTree(seed_of(self.seq), counts_of(known, log))

    def of_log(self, tenant, stated, hide=(), show=(), withhold=()):
        """Lines of one log. `hide`: nth events of the tenant to leave out; `show`: positions of others' events to put in."""
        log, leaves, start, lines = stated["log"], self.source.leaves[stated["log"]], 0, []
        mine = [seq for seq in range(stated["size"]) if self.tenant_of(self.source, log, seq) == tenant]
        for seq in sorted([seq for nth, seq in enumerate(mine) if nth not in hide] + list(show)):
            groups = [{"commitment": b64(sha256(b"indelible/v1" + bytes([tag]) + salt + value)), "tag": tag} if tag in withhold
                      else {"salt": b64(salt), "tag": tag, "value": b64(value)} for tag, salt, value in self.source.opened[log, seq]]
            lines.append({"groups": groups, "hashes": between(leaves, start, seq), "seq": seq})
            start = seq + 1
        return [*lines, {"end": stated["size"], "hashes": between(leaves, start, stated["size"])}]

    @staticmethod
    def tenant_of(store, log, seq):
        head = store.opened[log, seq][0][2]
        start = 72 if head[5] == 0 else 58 + int.from_bytes(head[56:58], "little")
        return head[start + 2:start + 2 + int.from_bytes(head[start:start + 2], "little")].decode()

    def lines(self, tenant="acme", **options):
        lines = [{"format": "indelible-tenant/v1", "heads": self.proof(self.seq), "tenant": tenant}]
        for stated in self.logs:
            told = self.tree(stated["log"]).told(tenant)
            lines.append({"log": stated["log"], **told})
            if "count" in told["told"]:
                lines += self.of_log(tenant, stated, **options if stated["log"] == 1 else {})
        return [*lines, {"complete": True, "events": sum("seq" in line for line in lines)}]

    def result(self, lines, key=None):
        path = os.path.join(self.root, "copy")
        with open(path, "wb") as file:
            file.write(lines if isinstance(lines, bytes) else b"".join(canonical(line) + b"\n" for line in lines))
        return verify_copy(path, key or self.key)

    def refused(self, lines, key=None):
        result = self.result(lines, key)
        self.assertFalse(result["ok"])
        self.assertNotIn("events", result)
        return [finding["code"] for finding in result["findings"]]

    def expired(self, tenant="acme", **changes):
        """The lines of a copy whose log 1 has expired below 256, and where its lines are. The statement lies in another group of log 0."""
        def heads(nth):
            return (0, {"at": f"{AT[:-4]}{nth:03}Z", "logs": [], "type": "heads"})
        plan = self.plan(500)
        known = self.store(plan)
        before = {name: sum(self.tenant_of(known, 1, seq) == name for seq in range(256)) for name in ("acme", "globex", "initech")}
        entry = {"at": AT, "before": AT, "below": 256, "count": 256, "held": 0, "log": 1, "policy": 0, "root": b64(bytes(32)),
                 "sha256": b64(bytes(32)), "tenants": b64(CountTree(seed_of(3), before).root()), "type": "expired", **changes}
        plan = [*plan, [(0, entry)], [heads(nth) for nth in range(260)]]
        self.source = self.stating(plan)
        lines = [{"format": "indelible-tenant/v1", "heads": self.proof(self.seq), "tenant": tenant}]
        for stated in self.logs:
            told = CountTree(seed_of(self.seq), counts_of(known, stated["log"])).told(tenant)
            lines.append({"log": stated["log"], **told})
            if "count" in told["told"]:
                gone = before[tenant] if stated["log"] == 1 else 0
                lines += [{"expired": self.proof(3), **CountTree(seed_of(3), before).told(tenant)}] * (stated["log"] == 1)
                lines += self.of_log(tenant, stated, hide=range(gone))
        return [*lines, {"complete": True, "events": sum("seq" in line for line in lines)}], before

    # --- that hold

    def test_what_has_expired_counts(self):
        for tenant in ("acme", "globex", "initech"):
            lines, before = self.expired(tenant)
            result = self.result(lines)
            self.assertEqual((result["ok"], result["logs"][0]["expired"]), (True, before[tenant]), result["findings"])
            self.assertEqual(sum(log["count"] for log in result["logs"]), before[tenant] + result["events"])
            self.assertNotEqual(lines[1]["salt"], lines[2]["salt"])  # Entries of different groups have different seeds.

    def test_every_tenant_has_all_of_its_events(self):
        total = 0
        for tenant, logs in (("acme", 2), ("globex", 2), ("initech", 1)):
            result = self.result(self.lines(tenant))
            self.assertEqual((result["ok"], result["findings"], result["tenant"], result["index"]), (True, [], tenant, self.seq))
            counts = [log["count"] for log in result["logs"]]
            self.assertEqual((sum(map(bool, counts)), sum(counts), result["withheld"]), (logs, result["events"], 0))
            total += result["events"]
        self.assertEqual(total, 130)

    def test_groups_may_be_withheld_and_heads_may_not(self):
        result = self.result(self.lines(withhold=(2, 3)))
        self.assertEqual((result["ok"], result["withheld"]), (True, 2 * result["logs"][0]["count"]))
        self.assertEqual(self.refused(self.lines(withhold=(1,))), ["record-malformed"])

    def test_who_has_no_event_is_told_that_this_shows_little(self):
        result = self.result(self.lines("nobody"))
        self.assertEqual((result["ok"], result["events"]), (True, 0))
        self.assertEqual([(finding["code"], finding["level"]) for finding in result["findings"]], [("tenant-counts", "warn")])

    # --- that do not

    def test_what_has_expired_is_what_log_0_says(self):
        lines, _ = self.expired()
        self.assertEqual(self.refused(lines[:2] + lines[3:]), ["tenant-sequence"])
        self.assertEqual(self.refused(lines[:3] + lines[2:]), ["record-malformed"])
        self.assertEqual(self.refused(lines[:2] + [lines[2] | {"salt": lines[1]["salt"]}] + lines[3:]), ["tenant-counts"])
        self.assertEqual(self.refused(lines[:2] + [lines[2] | {"expired": lines[0]["heads"]}] + lines[3:]), ["record-malformed"])
        below = [{"seq": 3, "hashes": between(self.source.leaves[1], 0, 3), "groups": lines[3]["groups"]}]
        self.assertEqual(self.refused(lines[:3] + below + lines[3:]), ["sequence"])
        self.assertEqual(self.refused(self.expired(log=2)[0]), ["expired-mismatch"])
        self.assertEqual(self.refused(self.expired(tenants=b64(bytes(32)))[0]), ["tenant-counts"])
        # An event that lies behind what has expired is missing, or one before is counted twice.
        self.assertEqual(self.refused(self.expired(below=512)[0]), ["sequence"])

    def test_an_event_left_out_or_put_in(self):
        last = self.result(self.lines())["logs"][0]["count"] - 1
        for hide in ({0}, {1}, {10}, {last}, set(range(20, 100))):
            self.assertEqual(self.refused(self.lines(hide=hide)), ["tenant-sequence"], hide)
        other = next(seq for seq in range(100) if self.tenant_of(self.source, 1, seq) != "acme")
        self.assertEqual(self.refused(self.lines(show=[other])), ["tenant-sequence"])
        for name in ("seq", "end"):
            lines = self.lines()
            del lines[next(nth for nth, line in enumerate(lines) if name in line)]
            self.assertEqual(len(self.refused(lines)), 1)

    def test_an_event_that_is_another(self):
        lines = self.lines()
        groups = next(line for line in lines if "seq" in line)["groups"]
        groups[1]["value"] = b64(canonical({"session": "other"}))
        self.assertEqual(self.refused(lines), ["root-mismatch"])

    def test_a_count_that_is_another(self):
        for change in ({"count": 48}, {"index": 3}, {"path": []}, {"path": [b64(bytes(32))] * 41}):
            lines = self.lines()
            lines[1]["told"].update(change)
            self.assertEqual(self.refused(lines), ["tenant-counts"], change)
        lines = self.lines()
        lines[-1]["events"] += 1
        self.assertEqual(self.refused(lines), ["tenant-counts"])

    def test_a_tenant_that_is_said_not_to_be_there(self):
        """With a salt that nobody's leaf was made of, there are always two leaves side by side where the tenant's would be."""
        tree = self.tree(2)
        for salt, code in ((bytes(16), "tenant-counts"), (tree.salt("globex"), "tenant-counts")):
            lines = self.lines()
            second = next(nth for nth, line in enumerate(lines) if line.get("log") == 2)
            forged = [*lines[:second], {"log": 2, **tree.told("acme", salt)}, lines[-1] | {"events": second - 3}]
            self.assertEqual(self.refused(forged), [code])

    def test_another_logs_line_or_another_end(self):
        lines = self.lines()
        lines[1]["log"] = 2
        self.assertEqual(self.refused(lines), ["tenant-counts"])
        lines = self.lines()
        next(line for line in lines if "end" in line)["end"] -= 1
        self.assertEqual(self.refused(lines), ["root-mismatch"])

    def test_keys_and_entries_of_others(self):
        self.assertEqual(self.refused(self.lines(), parse_verifier_key(vkey(1))), ["key-mismatch"])
        self.assertEqual(self.refused(self.lines(), parse_verifier_key(vkey(0, OTHER_KEY))), ["key-mismatch"])
        self.assertIn("key-mismatch", self.refused(self.lines(), parse_verifier_key(vkey(0, store=OTHER_STORE_ID))))
        lines, size = self.lines(), len(self.source.leaves[0])
        lines[0]["heads"] = self.proof(self.seq, note=signed_note(0, size, bytes(32)))
        self.assertEqual(self.refused(lines), ["root-mismatch"])
        lines[0]["heads"] = self.proof(0)
        self.assertEqual(self.refused(lines), ["record-malformed"])
        # The same statement in a log that no verifier compares it with.
        plan = self.plan()
        self.source = self.store([*plan, [(1, {"at": AT, "logs": self.logs, "type": "tenants"})]])
        lines[0]["heads"] = self.proof(len(self.source.leaves[1]) - 1, 1)
        self.assertEqual(self.refused(lines), ["key-mismatch"])

    def test_files_that_are_none(self):
        good = b"".join(canonical(line) + b"\n" for line in self.lines())
        self.assertTrue(self.result(good)["ok"])
        for bad in (b"", b"\n", good[:-1], good[:-30], good + b"\n", good + good, good.replace(b'{"complete"', b'{ "complete"'),
                    good.replace(b'{"complete":true', b'{"complete":false'), good.replace(b'"tenant":"acme"', b'"tenant":7'),
                    good.replace(b'"end":', b'"end":-'), good.replace(b"\n", b"\r\n"), good.replace(b"tenant/v1", b"tenant/v2"),
                    b"[]\n" + good, good.replace(b'"told":{', b'"told":{"also":1,', 1), b"[" * 90_000):
            self.assertEqual(len(self.refused(bad)), 1)

    def test_any_flipped_bit_is_found(self):
        draw, good = random.Random(20_260_403), b"".join(canonical(line) + b"\n" for line in self.lines("initech"))
        for _ in range(300):
            bent = bytearray(good)
            bent[draw.randrange(len(bent))] ^= 1 << draw.randrange(8)
            self.refused(bytes(bent))

    def test_exit_codes(self):
        path = os.path.join(self.root, "copy")

        def run(*arguments):
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
                try:
                    return main([*arguments]), out.getvalue()
                except SystemExit as stop:
                    return stop.code, out.getvalue()
        self.result(self.lines())
        code, out = run("--tenant", path, "--key", vkey(0))
        self.assertEqual((code, out.splitlines()[-1]), (0, "ok"))
        self.assertIn("'acme': ", out)
        self.assertEqual(json.loads(run("--tenant", path, "--key", vkey(0), "-o", "json")[1])["tenant"], "acme")
        self.result(self.lines()[:-1])
        self.assertEqual(run("--tenant", path, "--key", vkey(0))[0], 3)
        self.assertEqual(run("--tenant", path)[0], 2)
        self.assertEqual(run("--tenant", path, "--proof", path, "--key", vkey(0))[0], 2)
        self.assertEqual(run("--tenant", f"{path}-absent", "--key", vkey(0))[0], 1)


# ----------------------------------------------------------------------------------------------------- by the command

class BothVerify(Copies):
    """Copies that the command writes, judged by both verifiers."""

    @staticmethod
    def export(home, tenant, path):
        """(path, key) of a copy."""
        said = json.loads(home.run("tenant", "export", tenant, "--out", path, "-o", "json"))
        return path, said["key"]

    def theirs(self, path, key):
        """What the command says of a copy; None where it refuses it."""
        said = self.home.run("verify", "--tenant", path, "--key", key, "-o", "json", codes=(0, 3, 4))
        return json.loads(said) if said.startswith("{") and json.loads(said).get("ok") else None

    def assert_agreed(self, path, key):
        ours, theirs = verify_copy(path, parse_verifier_key(key)), self.theirs(path, key)
        self.assertTrue(ours["ok"] and theirs, ours["findings"])
        self.assertEqual((ours["tenant"], ours["origin"]), (theirs["tenant"], theirs["origin"]))
        for mine, other in zip(ours["logs"], theirs["logs"], strict=True):
            self.assertEqual({name: str(other[name]) for name in mine}, {name: str(value) for name, value in mine.items()})
        return ours

    def both_refuse(self, path, key, lines):
        bent = f"{self.folder}/bent.copy"
        self.write(bent, b"".join(lines))
        result = verify_copy(bent, parse_verifier_key(key))
        self.assertFalse(result["ok"])
        self.assertIsNone(self.theirs(bent, key), result["findings"])
        return {finding["code"] for finding in result["findings"]}

    def lines(self, path):
        return self.read(path).splitlines(keepends=True)


class CommandCopies(BothVerify):
    """A store and copies that the command wrote: the three statements are sealed, there are events behind them."""

    def check_needs(self):
        """The command is all."""

    @classmethod
    def make_store(cls):
        home, cls.exports = Home(cls.folder), []
        home.run("init")
        for round_n, (tenant, actions) in enumerate((("acme", 5), ("globex", 3), ("acme", 2))):
            for nth in range(actions):
                home.run("emit", "door.open", "--tenant", tenant, "--detail", f"n={nth}", "--class", "telemetry" if nth == 2 else "normal")
            cls.exports.append((tenant, *cls.export(home, tenant, f"{cls.folder}/{round_n}.copy")))
        home.run("seal")
        home.run("emit", "door.open", "--tenant", "globex")
        return home

    # --- copies

    def test_copies_of_every_moment_hold(self):
        totals = [self.assert_agreed(path, key)["events"] for _, path, key in self.exports]
        self.assertEqual(totals, [5, 3, 7])

    def test_a_copy_out_of_segments_and_journal_holds(self):
        home = Home(self.folder)
        home.data = home.environment["INDELIBLE_DATA"] = self.copy()
        home.environment["INDELIBLE_STATE"] = f"{home.data}.state"
        for tenant, events_n in (("globex", 4), ("acme", 7)):
            self.assertEqual(self.assert_agreed(*self.export(home, tenant, f"{home.data}.{tenant}"))["events"], events_n)
        # Without an event nothing is shown: neither says that none is missing.
        path, key = self.export(home, "nobody", f"{home.data}.nobody")
        said = json.loads(home.run("verify", "--tenant", path, "--key", key, "-o", "json", codes=(4,)))
        self.assertFalse(said["ok"])
        self.assertEqual([finding["code"] for finding in verify_copy(path, parse_verifier_key(key))["findings"]], ["tenant-counts"])
        self.assertEqual(self.codes(home.data), set())
        self.assertEqual(home.verify(home.data), (True, set()))

    def test_no_line_can_go_and_none_can_come_twice(self):
        _, path, key = self.exports[2]
        lines = self.lines(path)
        for nth in range(len(lines)):
            self.both_refuse(path, key, lines[:nth] + lines[nth + 1:])
            self.both_refuse(path, key, lines[:nth] + [lines[nth]] + lines[nth:])

    def test_an_event_in_a_hash(self):
        """The last event, with the number of those that are there made right."""
        _, path, key = self.exports[0]
        lines = [json.loads(line) for line in self.lines(path)]
        end = next(nth for nth, line in enumerate(lines) if "end" in line)
        last = lines.pop(end - 1)
        entry = b"\x01" + bytes([len(last["groups"])])
        for group in last["groups"]:
            tag, salt, value = bytes([group["tag"]]), base64.b64decode(group["salt"]), base64.b64decode(group["value"])
            entry += tag + sha256(b"indelible/v1" + tag + salt + value)
        # Position 3 of a log of four: nothing but its leaf comes between position 2 and the end.
        self.assertEqual((last["seq"], lines[end - 1]["end"], last["hashes"], lines[end - 1]["hashes"]), (3, 4, [], []))
        lines[end - 1]["hashes"] = [b64(sha256(b"\x00" + entry))]
        lines[-1]["events"] -= 1
        self.assertEqual(self.both_refuse(path, key, [canonical(line) + b"\n" for line in lines]), {"tenant-sequence"})

    def test_any_flipped_bit(self):
        _, path, key = self.exports[1]
        draw, good = random.Random(20_260_404), self.read(path)
        for _ in range(60):
            bent = bytearray(good)
            bent[draw.randrange(len(bent))] ^= 1 << draw.randrange(8)
            self.both_refuse(path, key, [bytes(bent)])

    # --- statements that are sealed

    def state(self, directory, change):
        """Changes the entries `tenants` of the segment of log 0: `change` gets all of them."""
        path = self.segment(directory, 0)
        texts = [text and json.loads(text) for text in Segment(self.read(path)).file.read().column("control").to_pylist()]
        change([entry for entry in texts if entry and entry["type"] == "tenants"])
        data = written_anew(self.read(path), {"control": [entry and canonical(entry).decode() for entry in texts]})
        self.write(path, data)
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.edit_manifest(directory, lambda manifest: manifest["segments"][0].update(bytes=len(data), sha256=digest))

    def test_sealed_statements_raise_no_alarm(self):
        self.assertEqual([finding["code"] for finding in self.verify(self.home.data)["findings"]], ["unanchored"])
        directory, found = self.copy(), []
        self.state(directory, found.extend)
        self.assertEqual([[log["log"] for log in entry["logs"]] for entry in found], [[1, 2]] * 3)
        self.assertNotIn("tenant-counts", self.codes(directory))

    def test_sealed_statements_that_are_false(self):
        def swapped(entries):
            one, two = entries[1]["logs"]
            one["tenants"], two["tenants"] = two["tenants"], one["tenants"]

        def exchanged(entries):
            entries[0]["logs"], entries[2]["logs"] = entries[2]["logs"], entries[0]["logs"]
        for change in (swapped, exchanged, lambda entries: entries[0]["logs"][0].update(tenants=b64(bytes(32))),
                       lambda entries: entries[2]["logs"].pop(),
                       lambda entries: entries[1]["logs"][0].update(size=entries[1]["logs"][0]["size"] + 1),
                       lambda entries: entries[2]["logs"][0].update(size=1_000)):
            directory = self.copy()
            self.state(directory, change)
            self.both_find("tenant-counts", directory)


class ExpiredCounts(BothVerify):
    """The store of test_expired: the entries `expired` count the tenants `t0`, `t1` and `t2` in what has expired."""

    def check_needs(self):
        needs(self, EXAMPLE, "INDELIBLE_BINARY")

    @classmethod
    def make_store(cls):
        subprocess.run([EXAMPLE, cls.folder], check=True)
        return Home(cls.folder)

    def exported(self):
        home = Home(self.folder)
        home.data = home.environment["INDELIBLE_DATA"] = self.copy()
        home.environment["INDELIBLE_STATE"] = f"{home.data}.state"
        return [self.export(home, f"t{nth}", f"{home.data}.{nth}") for nth in range(3)], home

    def test_copies_hold_and_begin_behind_what_has_expired(self):
        exports, home = self.exported()
        with contextlib.ExitStack() as files:
            beginning = parse_expired(files.enter_context(open(glob.glob(f"{home.data}/segments/1-*.expired")[0], "rb")).read())
        for nth, (path, key) in enumerate(exports):
            main_log, telemetry = self.assert_agreed(path, key)["logs"]
            self.assertEqual(main_log["expired"], beginning.tenants[f"t{nth}".encode()])
            self.assertGreater(telemetry["expired"], 0)
        self.assertEqual(self.codes(home.data), set())

    def test_a_copy_without_what_log_0_says_of_the_beginning(self):
        [(path, key), *_], _ = self.exported()
        lines = self.lines(path)
        places = [nth for nth, line in enumerate(lines) if b'"expired"' in line]
        self.assertEqual(len(places), 2)
        for place in places:
            self.both_refuse(path, key, lines[:place] + lines[place + 1:])
        swapped = list(lines)
        swapped[places[0]], swapped[places[1]] = lines[places[1]], lines[places[0]]
        self.assertEqual(self.both_refuse(path, key, swapped), {"expired-mismatch"})


if __name__ == "__main__":
    unittest.main()

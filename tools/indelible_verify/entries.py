"""What one entry of a log says, from the journal or from a segment: the leaf of its values, and every rule they must keep."""
from dataclasses import dataclass

from .canonical import canonical_object, parse_control
from .commitments import Salts, commitment, event_entry, leaf_hash
from .expired import expiry_of
from .merkle import GROUP_LEAVES
from .notes import base64_bytes
from .policy import policy_of
from .producers import Producers
from .records import (
    CONTROL,
    EVENT,
    LEAF,
    RECORD,
    SALTED_VALUE,
    TAG_CONTENT,
    TAG_HEAD,
    TAG_IDENTITY,
    TAG_RAW,
    VALUE,
    WITHHELD,
    parse_event,
    parse_head,
    take_text,
)
from .report import Malformed, NotCanonical
from .spans import content_spans, encode_spans, identity_spans

HOLDS = {"hold.created": ("name", "query", "reason"), "hold.released": ("name", "reason")}


@dataclass
class Stated:
    """What an entry states about a log. `counts`: (seed, root of the tenants' counts), of an entry `tenants`."""
    kind: str
    log: int
    size: int
    root: bytes
    place: dict
    counts: object = None


def stated_of(kind, stated, place, counts=None):
    if any(type(stated[name]) is not int or not 0 <= stated[name] < 1 << 64 for name in ("log", "size")):
        raise Malformed(f"`{kind}` names no log, or no size")
    return Stated(kind, stated["log"], stated["size"], base64_bytes(stated["root"], 32), place, counts)


@dataclass
class Taken:
    """What became of an entry: its leaf, the bytes of its record, and the fields of its head if it is an event that has them."""
    leaf: bytes
    record_bytes: int
    head: object = None


class Entries:
    """Takes the entries of all logs, each log's in order."""

    def __init__(self, store, report):
        self.store, self.logs, self.report = store, store.logs, report
        self.producers = Producers()
        self.events_n = self.withheld_n = self.carried_n = 0
        self.heads, self.counts = [], []  # `Stated` of `heads` and `tenants` entries, and of the latter, that nobody has looked at yet
        self.restored = {}  # (log, seq) → entry `store.restored`
        self.expiries, self.policies = {}, {}  # position in log 0 → what an `expired` or a `retention` entry says

    def record(self, log, seq, record, seeds, place, carried=False):
        """Takes a whole record. `seeds`: {(log, group): seed} of the frame or segment around it."""
        length, kind, flags, groups_n, spans_n, number = RECORD.unpack_from(record)
        try:
            if kind == EVENT:
                return self.event(log, seq, parse_event(record, flags, groups_n, spans_n), seeds, place, carried)
            if kind == CONTROL and not (flags or groups_n or spans_n):
                return self.control(log, seq, record[12:], seeds, place, carried)
            if kind == LEAF and not (flags or groups_n or spans_n) and length == 44:
                return self.hash_only(log, record[12:], carried)
            raise Malformed("record has a kind, flags, counts or length that are not allowed")
        except Malformed as error:
            self.report.add("record-malformed", str(error), **place)
            return self._taken(bytes(32), length, carried)  # stands for a leaf that cannot be known; the root will differ

    def event(self, log, seq, event, seeds, place, carried=False):
        taken = self._taken(leaf_hash(event_entry(self._commitments(log, seq, event, seeds, place))), 0, carried)
        spans, taken.head = self._values(log, event, place, carried)
        taken.record_bytes = event.bytes_without_spans + len(spans)
        return taken

    def control(self, log, seq, body, seeds, place, carried=False):
        taken = self._taken(leaf_hash(b"\x02" + body), RECORD.size + len(body), carried)
        self._control(log, seq, body, seeds, place, carried)
        return taken

    def hash_only(self, log, leaf, carried=False):
        if not log.sparse:
            log.hidden += 1
            self.withheld_n += 1
        return self._taken(leaf, RECORD.size + 32, carried)

    def _taken(self, leaf, record_bytes, carried):
        self.carried_n += carried
        return Taken(leaf, record_bytes)

    # --- leaves

    def _salts(self, log, seq, seeds, place):
        group = seq // GROUP_LEAVES
        seed = seeds.get((log.number, group))
        if log.salts_group == group and seed in (None, log.salts.seed):
            return log.salts if seed else None
        if seed and log.salts_group == group:
            self.report.add("seed-missing", f"the seed of group {group} is not the one before", **place)
        if seed:
            log.salts_group, log.salts = group, Salts(seed)
        return log.salts if seed else None

    def _commitments(self, log, seq, event, seeds, place):
        commitments, salts = [], None
        for tag, form, body in event.groups:
            if form == VALUE:
                salts = salts or self._salts(log, seq, seeds, place)
                if not salts:
                    self.report.add("seed-missing", "the seed of this position's group is not there", **place)
                    return commitments
                commitments.append((tag, commitment(tag, salts.salt(tag, seq), body)))
            else:
                self.withheld_n += form == WITHHELD
                commitments.append((tag, body if form == WITHHELD else commitment(tag, body[:16], body[16:])))
        return commitments

    # --- events

    def _values(self, log, event, place, carried):
        """(spans, fields of the head) after head, canonical form, spans, tenant and producer numbers were checked."""
        self.events_n += not carried
        spans, readable, head = [], True, None
        for tag, form, body in event.groups:
            if form == WITHHELD:
                continue
            value = body[16:] if form == SALTED_VALUE else body
            try:
                if tag == TAG_HEAD:
                    head = parse_head(value)
                elif tag in (TAG_IDENTITY, TAG_CONTENT):
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
        encoded = encode_spans(spans)
        # A row of a segment without `record` has no spans of its own: they follow from the values.
        if readable and event.spans is not None and (len(spans) != event.spans_n or encoded != event.spans):
            self.report.add("span-mismatch", "the spans are not those of the identity and content stored", **place)
        if head and not carried:
            self._numbers(log, place, head)
        elif not carried:
            log.hidden += 1
        return encoded if event.spans is None else event.spans, head

    def _numbers(self, log, place, head):
        expected = log.tenants.get(head.tenant, 0)
        if not log.sparse and head.tenant_seq != expected and not expected < head.tenant_seq <= expected + log.hidden:
            self.report.add("tenant-sequence", f"tenant_seq is {head.tenant_seq}, {expected} was due", **place)
        log.tenants[head.tenant] = head.tenant_seq + 1
        if head.producer and not self.producers.seen(head.producer, head.epoch, head.producer_seq):
            self.report.add("producer-duplicate", f"number {head.producer_seq} of a producer's epoch {head.epoch} stands a second time",
                            **place)

    # --- control entries

    def _control(self, log, seq, body, seeds, place, carried):
        try:
            entry = parse_control(body)
            kind, problem = entry["type"], None
            if log.number == 0 and (seq == 0) != (kind == "store.created"):
                self.report.add("store-identity", "the first entry of log 0, and no other, is `store.created`", **place)
            if kind == "store.created":
                other = entry["store"] != self.store.succession.recorder_at(seq).store
                problem = self._creation(entry, 0, seq) or (other and "another store")
            elif kind == "log.created":
                if log.number != 0:
                    raise Malformed("`log.created` belongs in log 0")
                if entry["log"] not in self.logs:
                    self.report.add("log-unknown", f"log {entry['log']} was created but store.json does not name it", **place)
                else:
                    problem = self._creation(entry, entry["log"], seq)
            elif kind == "store.restored":
                self.restored[log.number, seq] = entry
            elif kind == "heads":
                self.heads += [stated_of(kind, head, place) for head in entry["logs"]]
            elif kind == "gap" and entry.get("producer"):
                self.producers.declare(entry["producer"].encode(), int(entry["epoch"]), int(entry["first_seq"]), int(entry["last_seq"]))
            elif log.number == 0 and not carried:  # No root binds what is carried.
                self._of_log_zero(seq, kind, entry, seeds.get((0, seq // GROUP_LEAVES)), place)
            if problem:
                self.report.add("store-identity", f"`{kind}` names {problem} than store.json", **place)
        except NotCanonical as error:
            self.report.add("not-canonical", f"control entry: {error}", **place)
        except (Malformed, KeyError, TypeError, ValueError) as error:
            self.report.add("record-malformed", f"control entry: {error!r}", **place)

    def _of_log_zero(self, seq, kind, entry, seed, place):
        if seed is None and (kind == "tenants" or kind == "expired" and "tenants" in entry):
            self.report.add("seed-missing", "the seed of this position's group is not there", **place)
        elif kind == "tenants":
            self._tenants(entry, seed, place)
        elif kind == "expired":
            self.expiries[seq] = expiry_of(entry, seed)
        elif kind == "retention":
            self.policies[seq] = policy_of(entry)
        elif kind in HOLDS and any(not isinstance(entry[name], str) for name in HOLDS[kind]):
            raise Malformed(f"`{kind}` says other things than texts")

    def _tenants(self, entry, seed, place):
        stated = [stated_of("tenants", log, place, (seed, base64_bytes(log["tenants"], 32))) for log in entry["logs"]]
        if [said.log for said in stated] != sorted(number for number, log in self.logs.items() if number and log.created):
            self.report.add("tenant-counts", "`tenants` names other logs than those that log 0 created before it, or in another order", **place)
        self.heads += stated
        self.counts += stated

    def _creation(self, entry, number, seq):
        self.logs[number].created = True
        recorder = self.store.succession.recorder_at(seq)
        if number not in recorder.logs or entry["origin"] != recorder.origin(number):
            return "another origin"
        if number != 0 and entry.get("name") != recorder.name(number):
            return "another name"
        return "another key" if entry["key"] != recorder.key(number) else None

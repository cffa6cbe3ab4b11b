"""One pass over a store: what is sealed, then the journal, then all that was signed or stated about either."""
import os
import re
from dataclasses import dataclass

from .entries import Entries
from .expired import check_expiries
from .journal import FileHeader, Journal
from .merkle import EMPTY_ROOT
from .notes import base64_bytes, base64_text, parse_checkpoint
from .octets import read_bytes
from .policy import check_policy
from .records import RECORD
from .report import CannotRead, Malformed, Report
from .sealed import SealedPart
from .store import Log, Store


@dataclass
class Claim:
    """Somebody states that a log had this root at this size."""
    log: Log
    size: int
    root: bytes
    what: str
    place: dict
    mismatch: str
    ahead: str
    signs: bool = False  # by the store's key, so that the entries up to there count as signed
    anywhere: bool = False  # at any size; otherwise only where a frame ended, or in what is sealed
    outside: bool = False


class StoreVerifier:
    """`anchors`: [(what it is, log number or None, note)] from outside; `key`: (name, public key) or None."""

    def __init__(self, directory, anchors=(), key=None):
        self.report = Report()
        self.directory = directory
        self.store = Store(directory, self.report)
        self.logs = self.store.logs
        self.entries = Entries(self.store, self.report)
        self.sealed = SealedPart(directory, self.store, self.entries, self.report, self._ask_heads)
        # A key tells who signed, not that nothing newer was signed: only a checkpoint from outside anchors.
        self.anchored = bool(anchors)
        self.pending, self.late = [], []
        self.counts = []  # `Stated` of `tenants` entries, to compare once all logs were read
        self.gone = {}  # log → how many claims about it nothing is left to judge by
        self.outside_gone = self.outside_holds = False
        if self.store.identity and self.logs:
            if key:
                self._check_key(*key)
            self._ask_predecessors()
            for what, number, note in anchors:
                self._ask_anchor(what, number, note)

    def run(self):
        if self.store.identity and self.logs:
            # Before the journal: with a writer alive, what is signed now is durable by the time the journal is read.
            checkpoints = self._read_checkpoints()
            journal = self._read_sealed()
            try:
                for item in journal.walk():
                    self._file_header(item) if isinstance(item, FileHeader) else self._frame(item)
            finally:
                journal.close()
            self._conclude(checkpoints)
            return self._result(journal)
        return self._result(None)

    def _read_sealed(self):
        """Takes all that is sealed. Gives the journal, opened where the manifest says that it begins."""
        while True:
            manifest = self.sealed.read_manifest()
            if not self.sealed.verify():
                continue
            try:
                journal = Journal(self.directory, self.store.identity, self.report, manifest)
            except CannotRead:
                if self.sealed.is_current():
                    raise
                continue
            # Files are removed only after the manifest was replaced: those of a manifest that still counts are all open now.
            if self.sealed.is_current():
                return journal
            journal.close()

    def _ask_heads(self):
        """Heads in entries that are sealed. Logs are read one after the other, so they may be ahead of theirs."""
        heads, self.entries.heads = self.entries.heads, []
        for stated in heads:
            if claim := self._head(stated):
                claim.anywhere = True
                claim.log.ask(claim.size)
                self.pending.append(claim)
        self._ask_counts(lambda log, size: size >= max(log.counts_from, log.tree.size))

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
        if number is None and (found := self.store.succession.of_origin(checkpoint.origin)):
            self._ask_anchor_of_predecessor(what, checkpoint, *found)
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
        log.ask(checkpoint.size)
        self.pending.append(Claim(log, checkpoint.size, checkpoint.root, what, {"log": log.number}, "anchor-mismatch", "anchor-ahead",
                                  anywhere=True, outside=True))

    def _ask_anchor_of_predecessor(self, what, checkpoint, before, number):
        """A checkpoint of a store whose backup was restored here is judged by that store's key, as far as its log was taken over."""
        state = checkpoint.signature_state(before.recorder.public_key)
        if state == "invalid":
            self.report.add("checkpoint-signature", f"{what}: the signature does not hold", log=number)
            return
        if state != "valid":
            self.report.add("key-mismatch", f"{what}: not signed by the key that store.json gives the predecessor", log=number)
        size = before.size(number)
        if checkpoint.size > size:
            self.report.add("restored-short", f"{what}: it is over {checkpoint.size} entries, the backup that was restored had {size}: the "
                            f"{checkpoint.size - size} that came between backup and loss are not here", log=number, seq=size)
        elif number in self.logs:
            self._claim_taken_over(number, checkpoint.size, checkpoint.root, what, "anchor-mismatch", "anchor-ahead")

    def _claim_taken_over(self, number, size, root, what, mismatch, ahead, signs=False):
        log = self.logs[number]
        log.ask(size)
        self.pending.append(Claim(log, size, root, what, {"log": number}, mismatch, ahead, signs=signs, anywhere=True))

    def _ask_predecessors(self):
        """What store.json says was taken over, and the predecessors' own checkpoints."""
        for before in self.store.succession.predecessors:
            for head in before.heads:
                number, size = head["log"], head["size"]
                if number not in self.logs:
                    continue
                self._claim_taken_over(number, size, base64_bytes(head["root"], 32), "what was taken over", "restored-mismatch",
                                       "restored-mismatch")
                if "checkpoint" in head:
                    self._ask_checkpoint_of_predecessor(before, number, size, head["checkpoint"])

    def _ask_checkpoint_of_predecessor(self, before, number, size, note):
        what = "the predecessor's checkpoint"
        try:
            checkpoint = parse_checkpoint(note.encode())
            if checkpoint.origin != before.recorder.logs.get(number, ("",))[0]:
                raise Malformed("it is about another log")
            if checkpoint.signature_state(before.recorder.public_key) != "valid":
                raise Malformed("no valid signature of the predecessor's key")
        except Malformed as error:
            self.report.add("checkpoint-signature", f"{what}: {error}", log=number)
            return
        if checkpoint.size > size:
            self.report.add("restored-mismatch", f"{size} entries were taken over, the predecessor signed {checkpoint.size}", log=number, seq=size)
            return
        self._claim_taken_over(number, checkpoint.size, checkpoint.root, what, "checkpoint-mismatch", "checkpoint-ahead", signs=True)

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
        heads, self.entries.heads = self.entries.heads, []
        for stated in heads:
            if claim := self._head(stated):
                self._judge(claim)
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
        for nth in range(frame.records_n):
            length, number = (RECORD.unpack_from(payload, position)[::5] if position + RECORD.size <= len(payload) else (0, 0))
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
            if log:
                taken = self.entries.record(log, seq, record, frame.seeds, {"log": number, "seq": seq, "lsn": frame.lsn}, frame.carry)
                if self.entries.counts:
                    self._ask_counts(lambda log, size, first=nth == 0: first and size == log.tree.size)
                if not frame.carry:
                    log.append(taken.leaf)
        if position != len(payload):
            self.report.add("record-malformed", "bytes behind the last record of the frame", lsn=frame.lsn)

    # --- signed and stated sizes

    def _head(self, stated):
        log = self.logs.get(stated.log)
        if log:
            return Claim(log, stated.size, stated.root, f"`{stated.kind}`", stated.place, "heads-mismatch", "heads-mismatch")
        self.report.add("log-unknown", f"`{stated.kind}` names log {stated.log}, store.json does not", **stated.place)
        return None

    def _ask_counts(self, may_be_of):
        """Has the tenants counted that entries are about. `may_be_of`: whether they may be about this size of a log."""
        counts, self.entries.counts = self.entries.counts, []
        for stated in counts:
            log = self.logs.get(stated.log)
            if log and may_be_of(log, stated.size):
                log.counts_from = stated.size
                log.ask_counts(stated.size, stated.counts[0])
                self.counts.append(stated)
            elif log:
                self.report.add("tenant-counts", f"`tenants` is about log {log.number} at size {stated.size}, which is not where it stands",
                                **stated.place)

    def _check_counts(self):
        for stated in self.counts:
            log, (seed, root) = self.logs[stated.log], stated.counts
            counted = log.counted[stated.size][seed]
            if counted not in (None, root):
                self.report.add("tenant-counts", f"`tenants`: the root of the counts in log {log.number} at size {stated.size} is not that of its "
                                "events", **stated.place)
            elif counted is None and stated.size > log.tree.size:
                self.report.add("tenant-counts", f"`tenants` is about log {log.number} at size {stated.size}, it has {log.tree.size}",
                                **stated.place)

    def _signed_state(self, log, note, what, lsn=None):
        """A signed note must name a state that some earlier frame left behind, or one that is sealed."""
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
        else:
            self._judge(Claim(log, checkpoint.size, checkpoint.root, what, place, "checkpoint-mismatch", "checkpoint-ahead", signs=True))

    def _judge(self, claim):
        log, size = claim.log, claim.size
        if size > log.tree.size:
            self.report.add(claim.ahead, f"{claim.what}: size {size} was signed or stated, the log has {log.tree.size}", **claim.place)
            return
        if log.lost_at is not None and size > log.lost_at:
            return  # What was lost was reported; nothing is known of this root.
        root = log.boundaries.get(size)
        if root is None and (claim.anywhere or size < log.sealed):
            root = log.asked.get(size)
            if root is None and size < log.sealed:
                self.late.append(claim)
                return
        if root != claim.root:
            self.report.add(claim.mismatch, f"{claim.what}: the root of size {size} is not that of the values: the log was changed, or never "
                            "ended there", **claim.place)
        elif claim.signs:
            log.signed = max(log.signed, size)
        elif claim.outside:
            self.outside_holds |= size > 0

    def _judge_late(self):
        """Claims about what is sealed that were not known when it was read."""
        late, self.late = self.late, []
        for log in {claim.log.number: claim.log for claim in late}.values():
            sizes = {claim.size for claim in late if claim.log is log}
            try:
                log.asked |= self.sealed.roots(log, sizes)
            except (Malformed, KeyError) as error:
                self.report.add("segment-damaged", f"a segment cannot be read a second time: {error}", log=log.number)
                log.lost_at = 0
        for claim in late:
            lost_at = claim.log.lost_at
            if claim.log.asked.get(claim.size) is None and (lost_at is None or claim.size <= lost_at):
                self._give_up(claim)
            else:
                self._judge(claim)

    def _give_up(self, claim):
        """It is about a size within what has expired, of which nothing was kept: neither right nor wrong."""
        self.gone[claim.log.number] = self.gone.get(claim.log.number, 0) + 1
        if claim.outside:
            self.outside_gone = True
            self.report.add("expired", f"{claim.what}: size {claim.size} lies within what has expired, and nothing was kept to compare it with",
                            level="warn", log=claim.log.number, seq=claim.size)

    def _conclude(self, checkpoints):
        for claim in self.pending:
            self._judge(claim)
        for log, note in checkpoints:
            self._signed_state(log, note, f"checkpoint/{log.number}")
        self._judge_late()
        self.store.succession.check_entries(self.entries.restored, self.logs[0], self.report)
        self._check_counts()
        check_expiries(self.sealed.met, self.entries.expiries, self.gone, self.report)
        check_policy(self.store.retention, self.entries.policies, lambda: Store(self.directory, Report()).retention, self.report)
        for producer, epoch, first, last in self.entries.producers.gaps():
            self.report.add("producer-gap", f"numbers {first} to {last} of epoch {epoch} of producer {producer.decode()!r} are missing and no "
                            "`gap` entry tells why")
        for log in self.logs.values():
            if log.tree.size and not log.created:
                self.report.add("log-unknown", "the log has entries but log 0 does not tell of its creation", log=log.number)
            if log.tree.size > log.signed:
                self.report.add("unsigned-tail", f"{log.tree.size - log.signed} entries behind the newest valid signature", log=log.number)
        if self.entries.withheld_n:
            self.report.add("withheld", f"{self.entries.withheld_n} positions or groups are only hashes here; their values were not checked")
        if self.entries.carried_n:
            self.report.add("carry-unchecked", f"{self.entries.carried_n} carried records were checked in form, not against the tree")
        self.anchored = self.anchored and (self.outside_holds or not self.outside_gone)
        if not self.anchored:
            self.report.add("unanchored", "nothing from outside was given, or nothing that can be compared: a store made anew or rolled back as a "
                            "whole is not excluded")

    def _result(self, journal):
        logs = [{"log": log.number, "name": log.name, "size": log.tree.size, "signed": log.signed, "root": base64_text(log.tree.root())}
                for log in self.logs.values()]
        return {"ok": self.report.ok, "anchored": self.anchored, "logs": logs, "frames": journal.frames_n if journal else 0,
                "events": self.entries.events_n, "torn_tail_bytes": journal.torn_tail_bytes if journal else 0, "findings": self.report.findings}

"""The journal: docs/format/journal.md."""
import fcntl
import os
import re
import struct
from dataclasses import dataclass
from hashlib import sha256

from .octets import ascending, crc32c, read_bytes
from .report import CannotRead, Malformed

SECTOR = 512
FRAME_BYTES_MAX = 16 << 20
FRAME = struct.Struct("<4s5IQ32sq16s6I")
FRAME_LOG = struct.Struct("<IIQ32s")
HEADER = struct.Struct("<8sIIQ16sQ32sqI12s")


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

    def __init__(self, directory, store_id, report, start):
        """`start`: the manifest, which says where the journal begins; files before that are left over."""
        self.directory, self.store_id, self.report = os.path.join(directory, "journal"), store_id, report
        self.frames_n = self.torn_tail_bytes = 0
        self.lsn, self.prev = start.lsn, start.prev
        self.durable = self._durable_point(directory)
        if self.durable and self.durable[0] < start.file:
            self.durable = (0, 0)  # All that was durable is sealed by now, and nothing behind it was written yet.
        try:
            found = [name for name in os.listdir(self.directory) if re.fullmatch(r"[0-9]{8,}\.wal", name) and int(name[:-4]) >= start.file]
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
                code = "frame-chain" if place else "file-header"
                self.report.add(code, f"journal file {header.number} does not follow from the frame before it", lsn=self.lsn)
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

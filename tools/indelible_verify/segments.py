"""Segments: docs/format/segment.md. Rows become records again; columns are decoded by pyarrow, which only sealed stores need."""
import re
import struct
from hashlib import sha256

from .merkle import GROUP_LEAVES
from .parquet import Container, block_of
from .pieces import pieces_hold
from .records import CONTROL, EVENT, HEAD, LEAF, RECORD, VALUE, Event
from .report import CannotRead, Malformed

VERSION = "1"
BATCH_ROWS = 8192
ORIGIN_BYTES_MAX = 512
OUTCOMES = {word: number for number, word in enumerate([b"unknown", b"success", b"failure", b"denied", b"error"])}
SEVERITIES = {word: number for number, word in enumerate([b"info", b"low", b"medium", b"high", b"critical", b"fatal"], 1)}
CLASSES = {word: number for number, word in enumerate([b"critical", b"normal", b"telemetry"], 1)}
KINDS = {b"event": EVENT, b"control": CONTROL, b"leaf": LEAF}
ESCAPED = re.compile(rb'["\\\x00-\x1f]')
ESCAPES = {bytes([code]): b"\\u%04x" % code for code in range(32)} | {
    b'"': b'\\"', b"\\": b"\\\\", b"\b": b"\\b", b"\t": b"\\t", b"\n": b"\\n", b"\f": b"\\f", b"\r": b"\\r"}


def pyarrow_modules():
    """(pyarrow, pyarrow.parquet, pyarrow.compute). Only a sealed store asks for them."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise CannotRead(f"this store has sealed segments, and reading Parquet needs pyarrow ({error}): pip install pyarrow") from error
    return pyarrow, pyarrow.parquet, pyarrow.compute


# ------------------------------------------------------------------------------------------------------------- columns

# The leaves of the schema, in the order of the page: path in the file, name here, type.
COLUMNS = [
    ("seq", "seq", "uint64"), ("log", "log", "uint32"), ("kind", "kind", "string"), ("id", "id", "16"), ("id_text", "id_text", "string"),
    ("time", "time", "time"), ("received", "received", "time"), ("tenant", "tenant", "string"), ("tenant_seq", "tenant_seq", "uint64"),
    ("action", "action", "string"), ("outcome", "outcome", "string"), ("severity", "severity", "string"), ("class", "class", "string"),
    ("source", "source", "string"), ("weight", "weight", "uint64"), ("producer.id", "producer.id", "string"),
    ("producer.epoch", "producer.epoch", "uint64"), ("producer.seq", "producer.seq", "uint64"), ("trace.trace_id", "trace.trace_id", "16"),
    ("trace.span_id", "trace.span_id", "8"), ("frameworks.list.element", "frameworks", "string"), ("actor.id", "actor.id", "string"),
    ("actor.type", "actor.type", "string"), ("actor.name", "actor.name", "string"), ("actor.email", "actor.email", "string"),
    ("session", "session", "string"), ("origin.ip", "origin.ip", "string"), ("origin.user_agent", "origin.user_agent", "string"),
    ("origin.host", "origin.host", "string"), ("identity_details", "identity_details", "string"),
    ("targets.list.element.type", "targets.type", "string"), ("targets.list.element.id", "targets.id", "string"),
    ("targets.list.element.name", "targets.name", "string"), ("details", "details", "string"),
    ("raw.media_type", "raw.media_type", "string"), ("raw.bytes", "raw.bytes", "bytes"), ("idempotency.key", "idempotency.key", "16"),
    ("idempotency.statement", "idempotency.statement", "16"), ("control", "control", "string"), ("leaf", "leaf", "32"),
    ("record", "record", "bytes")]
NAMES = [name for _, name, _ in COLUMNS]
LISTS = {"frameworks", "targets.type", "targets.id", "targets.name"}
# What a row that is no event has no value in. The digests stand in `record` rows of any kind.
OF_EVENTS = [name for name in NAMES if name not in ("seq", "log", "kind", "control", "leaf", "record")]


class Batch:
    """Some rows, column by column: `arrays` for arithmetic over pages, `lists` for one value after the other."""

    def __init__(self, arrow, first_row, batch):
        self.first_row, self.rows = first_row, batch.num_rows
        self.arrays, self.lists = {}, {}
        for _, name, kind in COLUMNS:
            array = self._array(arrow, batch, name)
            if kind in ("string", "bytes"):
                array = self._mapped(arrow, array, lambda values: values.cast(arrow.binary()))
            elif kind == "time":
                array = array.cast(arrow.int64())
            self.arrays[name] = array
            self.lists[name] = [None] * self.rows if array.null_count == self.rows else array.to_pylist()

    @staticmethod
    def _array(arrow, batch, name):
        top, _, member = name.partition(".")
        array = batch.column(top)
        if isinstance(array, arrow.ExtensionArray):
            array = array.storage
        if array.offset and arrow.types.is_list(array.type):
            array = array.take(arrow.array(range(len(array))))  # Part of a longer array: offsets would not begin where it does.
        if not member:
            return array
        if arrow.types.is_list(array.type):
            # Values, offsets and nulls of the elements, with one member in each element's place.
            offsets, values = array.offsets, array.values
            child = values.flatten()[values.type.get_field_index(member)]
            return arrow.ListArray.from_arrays(offsets, child, mask=array.is_null() if array.null_count else None)
        return array.flatten()[array.type.get_field_index(member)]

    @staticmethod
    def _mapped(arrow, array, change):
        if not arrow.types.is_list(array.type):
            return change(array)
        return arrow.ListArray.from_arrays(array.offsets, change(array.values), mask=array.is_null() if array.null_count else None)


def check_schema(arrow, schema):
    """That the columns are those of the page, with their types."""
    types = {"string": arrow.string(), "bytes": arrow.binary(), "uint64": arrow.uint64(), "uint32": arrow.uint32(),
             "time": arrow.timestamp("ns", tz="UTC"), "16": arrow.binary(16), "8": arrow.binary(8), "32": arrow.binary(32)}
    found = []

    def walk(path, name, kind):
        if arrow.types.is_struct(kind):
            for nth in range(kind.num_fields):
                walk(f"{path}.{kind.field(nth).name}", f"{name}.{kind.field(nth).name}", kind.field(nth).type)
        elif arrow.types.is_list(kind):
            walk(f"{path}.list.element", name, kind.value_type)
        else:
            found.append((path, name, kind.storage_type if isinstance(kind, arrow.BaseExtensionType) else kind))
    for column in schema:
        walk(column.name, column.name, column.type)
    if found != [(path, name, types[kind]) for path, name, kind in COLUMNS]:
        raise Malformed("its columns are not those of a segment")


# ---------------------------------------------------------------------------------------------------------- proof block

class Proof:
    """The proof block, cut into its parts."""

    def __init__(self, block):
        if block[:8] != b"INDLSEG1" or len(block) < 12:
            raise Malformed("the proof block has another magic")
        length = int.from_bytes(block[8:12], "little")
        if length > ORIGIN_BYTES_MAX or len(block) < 32 + length:
            raise Malformed("the proof block is cut short")
        try:
            self.origin = block[12:12 + length].decode()
        except UnicodeDecodeError as error:
            raise Malformed("the origin in the proof block is not UTF-8") from error
        self.log, self.first, self.count = struct.unpack_from("<IQQ", block, 12 + length)
        end, rest = self.first + self.count, block[32 + length:]
        group = self.first // GROUP_LEAVES
        before, roots = self.first % GROUP_LEAVES, end // GROUP_LEAVES - group
        seeds = (end - 1) // GROUP_LEAVES - group + 1 if self.count else 0
        if end >= 1 << 64 or len(rest) != 32 * (before + roots + seeds):
            raise Malformed("the proof block has another length than its rows ask for")
        hashes = [rest[place:place + 32] for place in range(0, len(rest), 32)]
        self.before, self.roots = hashes[:before], rest[32 * before:32 * (before + roots)]
        self.seeds = {(self.log, group + nth): seed for nth, seed in enumerate(hashes[before + roots:])}


# -------------------------------------------------------------------------------------------------------------- records

def text16(text):
    return len(text).to_bytes(2, "little") + text


def quoted(text):
    if ESCAPED.search(text):
        text = ESCAPED.sub(lambda found: ESCAPES[found[0]], text)
    return b'"' + text + b'"'


def json_object(*members):
    """An object of those members that are there: (key with colon, JSON or None), keys in canonical order."""
    return b"{" + b",".join([key + value for key, value in members if value is not None]) + b"}"


def json_texts(*members):
    """The same of texts; None without any."""
    there = [key + quoted(text) for key, text in members if text is not None]
    return b"{" + b",".join(there) + b"}" if there else None


def group_of(tag, body):
    return (tag, VALUE, body)


def event_of(row):
    """The event record of a row, as its columns say it. `row`: {name: value}."""
    try:
        producer = (row["producer.id"], row["producer.epoch"], row["producer.seq"])
        trace = (row["trace.trace_id"], row["trace.span_id"])
        raw = (row["raw.media_type"], row["raw.bytes"])
        digests = (row["idempotency.key"], row["idempotency.statement"])
        if any(None in parts and parts != (None,) * len(parts) for parts in (producer, trace, raw, digests)):
            raise Malformed("a part of what belongs together is missing")
        if (row["id"] is None) == (row["id_text"] is None):
            raise Malformed("it has two ids, or none")
        identifier, form = (row["id"], 0) if row["id_text"] is None else (text16(row["id_text"]), 1)
        frameworks = row["frameworks"] or []
        head = HEAD.pack(1, OUTCOMES[row["outcome"]], SEVERITIES[row["severity"]], CLASSES[row["class"]], trace[0] is not None, form, 0,
                         row["tenant_seq"], row["time"], row["received"], row["weight"], producer[1] or 0, producer[2] or 0)
        head += b"".join([identifier, text16(row["tenant"]), text16(row["action"]), text16(row["source"]), text16(producer[0] or b""),
                          trace[0] or b"", trace[1] or b"", bytes([len(frameworks)]), *map(text16, frameworks)])
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise Malformed(f"its columns make no event: {error!r}") from error
    identity = json_object(
        (b'"actor":', json_texts((b'"email":', row["actor.email"]), (b'"id":', row["actor.id"]), (b'"name":', row["actor.name"]),
                                 (b'"type":', row["actor.type"]))),
        (b'"details":', row["identity_details"]),
        (b'"origin":', json_texts((b'"host":', row["origin.host"]), (b'"ip":', row["origin.ip"]),
                                  (b'"user_agent":', row["origin.user_agent"]))),
        (b'"session":', quoted(row["session"]) if row["session"] is not None else None))
    targets = None
    if row["targets.id"]:
        targets = b"[" + b",".join([
            json_texts((b'"id":', identifier), (b'"name":', name), (b'"type":', kind)) or b"{}"
            for identifier, name, kind in zip(row["targets.id"], row["targets.name"], row["targets.type"], strict=True)]) + b"]"
    content = json_object((b'"details":', row["details"]), (b'"targets":', targets))
    groups = [group_of(1, head)]
    if identity != b"{}":
        groups.append(group_of(2, identity))
    if content != b"{}":
        groups.append(group_of(3, content))
    if raw[0] is not None:
        groups.append(group_of(4, text16(raw[0]) + raw[1]))
    digests = digests[0] + digests[1] if digests[0] is not None else b""
    size = RECORD.size + 6 * len(groups) + len(digests) + sum(len(body) for _, _, body in groups)
    return Event(groups, size, digests)


class Segment:
    """One file. `Malformed` where it is not a segment that its own footer and proof describe."""

    def __init__(self, data):
        self.arrow, parquet, self.compute = pyarrow_modules()
        self.container = Container(data, COLUMNS)
        if self.container.entries.get("indelible.version") != VERSION:
            raise Malformed(f"it is of version {self.container.entries.get('indelible.version')}, this verifier reads {VERSION}")
        block, digest = block_of(data, self.container.entries, "indelible.proof")
        if sha256(block).hexdigest() != digest:
            raise Malformed("the proof block is not the one of its digest")
        self.proof = Proof(block)
        self.index, self.index_digest = None, None
        if "indelible.index" in self.container.entries:
            self.index, self.index_digest = block_of(data, self.container.entries, "indelible.index")
        self.pieces_hold = True
        if "indelible.pieces" in self.container.entries:
            block, digest = block_of(data, self.container.entries, "indelible.pieces")
            self.pieces_hold = sha256(block).hexdigest() == digest and pieces_hold(self.arrow, block, self.container.chunks)
        try:
            self.file = parquet.ParquetFile(self.arrow.BufferReader(data), page_checksum_verification=True)
            check_schema(self.arrow, self.file.schema_arrow)
        except (self.arrow.ArrowException, OSError, ValueError) as error:
            raise Malformed(f"pyarrow cannot read it: {error}") from error
        if self.container.rows != self.proof.count or self.file.metadata.num_rows != self.proof.count:
            raise Malformed(f"it has {self.container.rows} rows, its proof has {self.proof.count}")
        if self.container.chunks and [chunk.path for chunk in self.container.chunks] != [path for path, _, _ in COLUMNS]:
            raise Malformed("its columns are not those of a segment")

    def batches(self, wanted=None):
        """All rows, `BATCH_ROWS` at a time; or the batches that hold rows of these ranges."""
        row = 0
        try:
            for found in self.file.iter_batches(batch_size=BATCH_ROWS):
                end = row + found.num_rows
                if wanted is None or any(rows.start < end and row < rows.stop for rows in wanted):
                    yield Batch(self.arrow, row, found)
                row = end
        except (self.arrow.ArrowException, OSError, ValueError) as error:
            if isinstance(error, Malformed):
                raise
            raise Malformed(f"pyarrow cannot read it: {error}") from error
        if row != self.proof.count:
            raise Malformed(f"it gives {row} rows, its proof has {self.proof.count}")

    def rows(self, batch):
        """(row, position, kind, whole record or None, {column: value}) of each row of a batch."""
        lists = [batch.lists[name] for name in NAMES]
        for nth, values in enumerate(zip(*lists, strict=True), batch.first_row):
            row = dict(zip(NAMES, values, strict=True))
            seq = self.proof.first + nth
            kind = KINDS.get(row["kind"])
            if row["seq"] != seq or row["log"] != self.proof.log or not kind:
                raise Malformed(f"row {nth} is not position {seq} of log {self.proof.log}")
            if row["record"] is not None:
                record = row["record"]
                if len(record) < RECORD.size or RECORD.unpack_from(record)[::5] != (len(record), self.proof.log):
                    raise Malformed(f"position {seq} is no record of its log")
            yield nth, seq, kind, row["record"], row

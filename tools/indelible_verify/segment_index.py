"""The index block of a segment, made again from its rows: docs/format/segment.md § Index block."""
import struct
import zlib
from collections import defaultdict
from hashlib import sha256

from .octets import ONE_BYTE

MAGIC = b"INDLIDX1"
BLOCK_ROWS = 1024
BUCKET_HASHES, BUCKET_POSTINGS, BITS_MAX = 64, 1024, 24
# Pages that an id lies in, on average: with more ids are indexed, with fewer they are not, in between either may be.
ID_PAGES_MANY, ID_PAGES_FEW = 8, 4
# Number of the field, and the column (or list) whose values are its terms.
FIELDS = {"actor.id": 1, "targets.id": 3, "session": 4, "origin.ip": 5, "action": 6, "tenant": 7, "id": 8, "id_text": 9,
          "trace.trace_id": 10}
TENANT_AND_ACTION, ID = 2, 8


class IndexBuilder:
    """Takes all rows in order, then gives the block."""

    def __init__(self):
        self.blocks = {number: defaultdict(list) for number in (*FIELDS.values(), TENANT_AND_ACTION)}

    def add(self, batch):
        """Batches may begin and end anywhere: a block's terms may come in two parts."""
        first, end = batch.first_row, batch.first_row + batch.rows
        for block in range(first // BLOCK_ROWS, -(-end // BLOCK_ROWS)):
            part = slice(max(block * BLOCK_ROWS - first, 0), (block + 1) * BLOCK_ROWS - first)
            for name, number in FIELDS.items():
                values = batch.lists[name][part]
                if name == "targets.id":
                    values = [value for elements in values if elements for value in elements]
                self._terms(number, set(values), block)
            pairs = set(zip(batch.lists["tenant"][part], batch.lists["action"][part], strict=True))
            self._terms(TENANT_AND_ACTION, {len(tenant).to_bytes(2, "little") + tenant + action for tenant, action in pairs
                                            if tenant is not None and action is not None}, block)

    def _terms(self, number, terms, block):
        blocks = self.blocks[number]
        for term in terms:
            if term is not None:
                blocks[term].append(block)

    def finish(self, rows, id_pages, stored=b""):
        """`id_pages`: (least, greatest) of each page of `id` that has ids; `stored`: the block to compare with."""
        pages = enclosing_pages(id_pages)
        if pages <= (ID_PAGES_FEW if ID in fields_of(stored) else ID_PAGES_MANY) * len(id_pages):
            self.blocks[ID].clear()
        parts = [(number, *part_of(number, self.blocks[number], rows)) for number in sorted(self.blocks) if self.blocks[number]]
        head = MAGIC + struct.pack("<III", rows, BLOCK_ROWS, len(parts))
        offset = len(head) + 16 * len(parts) + 4
        for number, bits, terms_n, part in parts:
            head += struct.pack("<BBHIII", number, bits, 0, terms_n, offset, len(part))
            offset += len(part)
        return head + struct.pack("<I", zlib.crc32(head)) + b"".join(part for *_, part in parts)


def fields_of(block):
    """The numbers of the fields that a block says it has."""
    count = int.from_bytes(block[16:20], "little")
    return set(block[20:20 + 16 * min(count, len(FIELDS) + 1):16])


def enclosing_pages(id_pages):
    """The number of pages that each page's least id lies in, of all together."""
    least, greatest = sorted(low for low, _ in id_pages), sorted(high for _, high in id_pages)
    enclosing = above = 0
    # Pages that begin at or below the id, less those that end below it.
    for place, low in enumerate(least):
        while above < len(greatest) and greatest[above] < low:
            above += 1
        begun = place + 1
        while begun < len(least) and least[begun] == low:
            begun += 1
        enclosing += begun - above
    return enclosing


def part_of(number, terms, rows):
    """(b, number of terms, bytes) of one field's part."""
    hashed = defaultdict(set)
    for term, blocks in terms.items():
        hashed[int.from_bytes(sha256(ONE_BYTE[number] + term).digest()[:8], "little")].update(blocks)
    postings, bits = sum(map(len, hashed.values())), 0
    while bits < BITS_MAX and (len(hashed) > BUCKET_HASHES << bits or postings > BUCKET_POSTINGS << bits):
        bits += 1
    buckets = defaultdict(lambda: defaultdict(set))
    for value, blocks in hashed.items():
        buckets[value >> 64 - bits][value >> 48 - bits & 0xFFFF] |= blocks
    blocks_n, offset, offsets, written = -(-rows // BLOCK_ROWS), 0, [0], []
    terms_n = 0
    for bucket in range(1 << bits):
        if bucket in buckets:
            terms_n += len(buckets[bucket])
            written.append(bucket_of(number, bucket, buckets[bucket], blocks_n))
            offset += len(written[-1])
        offsets.append(offset)
    return bits, terms_n, struct.pack(f"<{len(offsets)}I", *offsets) + b"".join(written)


def bucket_of(number, bucket, terms, blocks_n):
    bits, before, width = [], 0, 16 - (len(terms).bit_length() - 1)
    for remainder in sorted(terms):
        blocks = sorted(terms[remainder])
        gamma = blocks_n // len(blocks)
        bits += [rice(remainder - before, width), elias_gamma(len(blocks))]
        before, last, block_width = remainder, -1, gamma.bit_length() - 1
        for block in blocks:
            bits.append(rice(block - last - 1, block_width))
            last = block
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    body = struct.pack("<H", len(terms)) + int(text[::-1], 2).to_bytes(len(text) // 8, "little")
    return struct.pack("<I", zlib.crc32(struct.pack("<BI", number, bucket) + body)) + body


def low_bits(value, width):
    """The lowest bits, the lowest first."""
    return f"{value & (1 << width) - 1:0{width}b}"[::-1] if width else ""


def rice(value, width):
    return "0" * (value >> width) + "1" + low_bits(value, width)


def elias_gamma(value):
    width = value.bit_length() - 1
    return "0" * width + "1" + low_bits(value, width)

"""The parts of a Parquet file that readers rely on and that no Parquet library shows: pages, their places, and their bounds.

Footer, page headers and page indexes are read here by themselves (Thrift's compact protocol); values are decoded by pyarrow. What the
two say must fit together: docs/format/segment.md § Row group and pages.
"""
import zlib
from dataclasses import dataclass, field

from .footer import PLAIN, RLE, check_footer, check_header, check_indexes
from .levels import Levels
from .report import Malformed

MAGIC = b"PAR1"
NESTING_MAX = 16
ROWS_MAX = 1 << 20
PAGE_ROWS = 256
PAGE_ROWS_MAX = 65_536
PAGE_BYTES_MAX = 4 << 20
EXPANSION_MAX = 1024
DATA_PAGE_V2, DICTIONARY_PAGE = 3, 2
RLE_DICTIONARY, PLAIN_DICTIONARY = 8, 2
ASCENDING, DESCENDING = 1, 2


class Thrift:
    """Values of the compact protocol from `data`; a struct becomes {field number: value}."""

    def __init__(self, data, position=0, end=None):
        self.data, self.position, self.end = data, position, len(data) if end is None else end

    def struct(self, depth=0):
        fields, number, last = {}, 0, 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number in fields:
                raise Malformed("a field stands twice")
            if not head >> 4 and 0 < number - last < 16 or number <= last:
                raise Malformed("members are not in order, or a number is longer than it must be")
            kind, last = head & 15, number
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind, depth):
        if depth > NESTING_MAX:
            raise Malformed("nested too deep")
        if kind in (1, 2):
            if (value := self._byte()) > 2:
                raise Malformed("neither true nor false")
            return value == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._take(8)
        if kind == 8:
            return self._take(self._unsigned())
        if kind in (9, 10):
            head = self._byte()
            count = self._unsigned() if head >> 4 == 15 else head >> 4
            if count > self.end - self.position:
                raise Malformed("a list is longer than its bytes")
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise Malformed("a type that Parquet does not use")

    def _byte(self):
        return self._take(1)[0]

    def _take(self, count):
        start, self.position = self.position, self.position + count
        if self.position > self.end:
            raise Malformed("cut short")
        return self.data[start:self.position]

    def _unsigned(self):
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if shift and not byte:
                    raise Malformed("a number is longer than it must be")
                return value
            shift += 7
            if shift > 63:
                raise Malformed("a number is too long")

    def _signed(self):
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)


@dataclass
class Page:
    """A data page. `said`: (least, greatest) of the column index, None for a page of nulls; `nulls_said`: its count of nulls."""
    first_row: int
    rows: int
    entries: int
    nulls: int
    said: object = None
    nulls_said: int = None


@dataclass
class Chunk:
    """One column: its pages, and what the footer says of it as a whole. `dictionary`: of its page, the bytes in front of the values, the
    values as they are stored, and how many there are."""
    path: str
    entries: int
    nulls: int
    said: object
    pages: list = field(default_factory=list)
    has_zones: bool = False
    order: int = 0
    dictionary: object = None
    encodings_said: set = field(default_factory=set)
    encodings: set = field(default_factory=lambda: {RLE})
    raw_bytes_said: int = 0
    raw_bytes: int = 0
    has_words: bool = False
    levels: object = None


def block_of(data, entries, name):
    """The bytes of the block that the footer's key `name` leads to, and whether the digest there is theirs."""
    words = entries.get(name, "").split(" ")
    if len(words) != 3 or not words[0].isdecimal() or not words[1].isdecimal():
        raise Malformed(f"the footer does not say where {name} is")
    offset, length = int(words[0]), int(words[1])
    if offset + length > len(data):
        raise Malformed(f"{name} lies outside of the file")
    return data[offset:offset + length], words[2]


class Container:
    """Footer, pages and page indexes of a file of one row group. Raises `Malformed` for what is not allowed."""

    def __init__(self, data, columns):
        length = int.from_bytes(data[-8:-4], "little")
        if data[:4] != MAGIC or data[-4:] != MAGIC or len(data) < 12 + length:
            raise Malformed("it does not begin and end as Parquet does")
        try:
            reader = Thrift(data, len(data) - 8 - length, len(data) - 8)
            footer = reader.struct()
            self.entries = {entry[1].decode(): entry.get(2, b"").decode() for entry in footer.get(5, [])}
            self.rows = footer[3]
            groups = footer.get(4, [])
            if len(self.entries) != len(footer.get(5, [])) or not 0 <= self.rows <= ROWS_MAX or len(groups) != bool(self.rows):
                raise Malformed("the footer has too many rows or row groups, or a key twice")
            if reader.position != reader.end:
                raise Malformed("something stands behind the footer")
            check_footer(footer, columns)
            self.chunks = [self._chunk(data, column) for column in groups[0][1]] if groups else []
        except (KeyError, TypeError, AttributeError, IndexError, UnicodeDecodeError, OverflowError) as error:
            raise Malformed(f"footer or page index: {error!r}") from error

    def _chunk(self, data, column):
        if column.get(1):
            raise Malformed("a column stands in another file")
        meta = column[3]
        statistics = meta.get(12, {})
        said = (statistics[6], statistics[5]) if 5 in statistics and 6 in statistics else None
        chunk = Chunk(b".".join(meta[3]).decode(), meta[5], statistics.get(3), said)
        chunk.levels = Levels(chunk.path)
        chunk.encodings_said, chunk.raw_bytes_said = set(meta[2]), meta[6]
        start = meta.get(11) or meta[9]
        index = self._index(data, column[4], column[5])
        places, zones = index[1], self._index(data, column[6], column[7]) if 6 in column else None
        check_indexes(f"column {chunk.path}", index, zones)
        chunk.has_zones, chunk.order = zones is not None, zones.get(4, 0) if zones else 0
        found = self._pages(data, chunk, start, start + meta[7])
        if [(place[1], place[2], place[3]) for place in places] != found:
            raise Malformed(f"column {chunk.path}: the offset index does not name its pages")
        if found[0][0] != meta[9] or (chunk.dictionary is not None) != (11 in meta):
            raise Malformed(f"column {chunk.path}: its dictionary or its first page stands elsewhere than the footer says")
        if zones and any(len(zones.get(number, [])) != len(found) for number in (1, 2, 3, 5)):
            raise Malformed(f"column {chunk.path}: the column index does not name its pages")
        for nth, page in enumerate(chunk.pages if zones else []):
            page.said, page.nulls_said = None if zones[1][nth] else (zones[2][nth], zones[3][nth]), zones[5][nth]
        return chunk

    @staticmethod
    def _index(data, offset, length):
        reader = Thrift(data, offset, offset + length)
        index = reader.struct()
        if reader.position != reader.end:
            raise Malformed("something stands behind a page index")
        return index

    def _pages(self, data, chunk, position, end):
        """Walks the pages. Gives the (offset, bytes, first row) that an offset index has to say of each."""
        places, row = [], 0
        if end > len(data):
            raise Malformed(f"column {chunk.path} lies outside of the file")
        while position < end:
            reader = Thrift(data, position, end)
            header = reader.struct()
            behind = reader.position + header[3]
            stored = data[reader.position:behind]
            if behind > end or header[3] < 0 or header.get(4) is None or zlib.crc32(stored) != header[4] & 0xFFFFFFFF:
                raise Malformed(f"column {chunk.path}: the page at offset {position} is not the one of its checksum")
            if header[2] > max(PAGE_BYTES_MAX, EXPANSION_MAX * len(stored)):
                raise Malformed(f"column {chunk.path}: the page at offset {position} is too long once decompressed")
            check_header(f"column {chunk.path}: the page at offset {position}", header)
            chunk.raw_bytes += reader.position - position + header[2]
            if header[1] == DATA_PAGE_V2 and 8 in header:
                numbers = header[8]
                chunk.encodings.add(numbers[4])
                chunk.has_words |= numbers[4] in (RLE_DICTIONARY, PLAIN_DICTIONARY)
                entries, nulls, rows = numbers[1], numbers[2], numbers[3]
                if rows <= 0 or row % PAGE_ROWS:
                    raise Malformed(f"column {chunk.path}: a page begins at row {row}, or has none")
                chunk.pages.append(Page(row, rows, entries, nulls))
                if row + rows > self.rows:
                    raise Malformed(f"column {chunk.path}: more rows than the segment's {self.rows}")
                chunk.levels.page(row, stored, numbers)
                places.append((position, behind - position, row))
                row += rows
            elif header[1] != DICTIONARY_PAGE or chunk.pages:
                raise Malformed(f"column {chunk.path}: a page that is not of version 2")
            else:
                if chunk.dictionary is not None:
                    raise Malformed(f"column {chunk.path}: two dictionaries")
                chunk.encodings.add(PLAIN)
                chunk.dictionary = (reader.position - position, stored, header[7][1])
            position = behind
        if row != self.rows or position != end:
            raise Malformed(f"column {chunk.path}: pages hold {row} rows, the file has {self.rows}")
        return places

"""Changes segments as somebody would who knows the format: what is not meant to be a lie stays right. Only tests use it."""
import zlib

I32, I64, BYTES, LIST, STRUCT = 5, 6, 8, 9, 12


class Tree:
    """A struct of Thrift's compact protocol, with its kinds: {number of the member: (kind, value)}; a list is (kind of its elements, [value])."""

    def __init__(self, data, position=0):
        self.data, self.position = data, position
        self.members = self._struct()

    def _byte(self):
        self.position += 1
        return self.data[self.position - 1]

    def _unsigned(self):
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _signed(self):
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def _struct(self):
        members, number = {}, 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            members[number] = (kind, kind == 1 if kind in (1, 2) else self._value(kind))
        return members

    def _value(self, kind):
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, I32, I64):
            return self._signed()
        if kind == BYTES:
            length = self._unsigned()
            self.position += length
            return bytes(self.data[self.position - length:self.position])
        if kind == LIST:
            head = self._byte()
            count = self._unsigned() if head >> 4 == 15 else head >> 4
            return head & 15, [self._value(head & 15) for _ in range(count)]
        return self._struct()


def unsigned(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def signed(value):
    return unsigned(value << 1 if value >= 0 else (-value << 1) - 1)


def encoded(members):
    """The bytes of a struct."""
    out, last = b"", 0
    for number, (kind, value) in sorted(members.items()):
        if kind in (1, 2):
            kind = 1 if value else 2
        out += bytes([number - last << 4 | kind]) if 0 < number - last < 16 else bytes([kind]) + signed(number)
        out += b"" if kind in (1, 2) else encoded_value(kind, value)
        last = number
    return out + b"\0"


def encoded_value(kind, value):
    if kind in (1, 2, 3):
        return bytes([value])
    if kind in (4, I32, I64):
        return signed(value)
    if kind == BYTES:
        return unsigned(len(value)) + value
    if kind == LIST:
        of, values = value
        head = bytes([len(values) << 4 | of]) if len(values) < 15 else bytes([0xF0 | of]) + unsigned(len(values))
        return head + b"".join(encoded_value(of, value) for value in values)
    return encoded(value)


def footer_of(data):
    """The members of the footer, and where it begins."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return Tree(data, start).members, start


def with_footer(data, footer, inserted=b""):
    """The file with this footer, and something in front of it."""
    written = encoded(footer)
    return data[:footer_of(data)[1]] + inserted + written + len(written).to_bytes(4, "little") + b"PAR1"


def pages_of(data, meta):
    """(offset, header, body) of each page of a column, its dictionary first."""
    position = meta[11][1] if 11 in meta else meta[9][1]
    end, found = position + meta[7][1], []
    while position < end:
        tree = Tree(data, position)
        behind = tree.position + tree.members[3][1]
        found.append((position, tree.members, data[tree.position:behind]))
        position = behind
    return found


def page(header, body):
    """A page with the length and the checksum of its body."""
    crc = zlib.crc32(body)
    return encoded(header | {3: (I32, len(body)), 4: (I32, crc - (1 << 32) if crc >> 31 else crc)}) + body


def kept(members, numbers):
    return {number: members[number] for number in numbers if number in members}


def as_ours(made, ours, entries, blocks, change=None):
    """What pyarrow made of the rows of `ours`, without what a segment does not say. `blocks`: what stands behind the pages, by the key of the
    footer that leads there; `entries`: other keys. `change`: what to do to each page, by path, header and body."""
    footer, model = footer_of(made)[0], footer_of(ours)[0]
    group = footer[4][1][1][0]
    data, rebuilt = bytearray(b"PAR1"), []
    for column in group[1][1][1]:
        meta, places, row, encodings, raw = column[3][1], [], 0, {3}, 0
        start, data_start = len(data), None
        for _, header, body in pages_of(made, meta):
            header = kept(header, (1, 2, 3, 4, 7, 8))
            if 7 in header:
                header[7] = (STRUCT, {1: header[7][1][1], 2: (I32, 0)})
                encodings.add(0)
            else:
                header[8] = (STRUCT, kept(header[8][1], range(1, 8)))
                data_start = len(data) if data_start is None else data_start
                encodings.add(header[8][1][4][1])
            if change:
                header, body = change(b".".join(meta[3][1][1]), header, body)
            written = page(header, body)
            raw += len(written) - len(body) + header[2][1]
            if 8 in header:
                places.append({1: (I64, len(data)), 2: (I32, len(written)), 3: (I64, row)})
                row += header[8][1][3][1]
            data += written
        statistics = kept(meta[12][1], (3, 5, 6))
        if 5 in statistics and 6 in statistics:
            statistics |= {7: (1, True), 8: (1, True)}
        changed = {2: (LIST, (I32, sorted(encodings))), 6: (I64, raw), 7: (I64, len(data) - start), 9: (I64, data_start),
                   12: (STRUCT, kept(statistics, (3, 5, 6, 7, 8) if 7 in statistics else (3,)))}
        if data_start > start:
            changed[11] = (I64, start)
        meta = kept(meta, (1, 2, 3, 4, 5, 6, 7, 9, 12)) | changed
        zones = Tree(made, column[6][1]).members if 6 in column else None
        rebuilt.append((meta, places, zones and kept(zones, range(1, 6)) | {4: (I32, 0)}))
    keys = [{1: (BYTES, key), 2: (BYTES, value)} for key, value in entries.items()]
    for key, (block, digest) in blocks.items():
        keys.append({1: (BYTES, key), 2: (BYTES, b"%d %d %s" % (len(data), len(block), digest))})
        data += block
    columns = []
    for meta, places, zones in rebuilt:
        column = {2: (I64, 0), 3: (STRUCT, meta)}
        for number, index in ((4, {1: (LIST, (STRUCT, places))}), (6, zones)):
            if index is not None:
                written = encoded(index)
                column |= {number: (I64, len(data)), number + 1: (I32, len(written))}
                data += written
        columns.append(column)
    sums = [sum(meta[number][1] for meta, *_ in rebuilt) for number in (6, 7)]
    group = {1: (LIST, (STRUCT, columns)), 2: (I64, sums[0]), 3: group[3], 5: (I64, 4), 6: (I64, sums[1])}
    footer = {1: model[1], 2: model[2], 3: footer[3], 4: (LIST, (STRUCT, [group])), 5: (LIST, (STRUCT, keys)), 6: model[6], 7: model[7]}
    written = encoded(footer)
    return bytes(data) + written + len(written).to_bytes(4, "little") + b"PAR1"

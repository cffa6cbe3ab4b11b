"""Bytes: files, checksums, numbers of variable length."""
import operator
import os

from .report import CannotRead, Malformed

CASTAGNOLI = 0x82F63B78
ONE_BYTE = [bytes([value]) for value in range(256)]


def ascending(keys):
    """Strictly, so no key stands twice."""
    return all(map(operator.lt, keys, keys[1:]))


def read_bytes(path, limit=1 << 26):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CannotRead(f"could not read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise CannotRead(f"{path} is larger than {limit} bytes")
    return data


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


CRC_TABLE = _crc_table()
# 1 + x^123 + x^145 + x^178 + x^195 + x^266 is a multiple of the (bit-reflected) Castagnoli polynomial; so is the same with every
# exponent multiplied by a power of two (squaring). With so few terms a long message is folded by shifts of one large integer.
CRC_SPARSE = (123, 145, 178, 195, 266)


def crc32c(data):
    """CRC-32C (Castagnoli) of `data`. Cost: a few passes over the bytes, then a loop over the last 50."""
    bits = 8 * len(data)
    message = int.from_bytes(data, "little") ^ 0xFFFFFFFF  # the initial value is the exclusive-or of the first 32 bits
    scale = 1 << bits.bit_length()
    while scale:
        step, *others = [exponent * scale for exponent in CRC_SPARSE]
        while others[-1] + step <= bits:
            low = folded = message & (1 << step) - 1
            for exponent in others:
                folded ^= low << exponent - step
            message = message >> step ^ folded
            bits -= step
        scale >>= 1
    while bits % 8:
        message, bits = message >> 1 ^ (CASTAGNOLI if message & 1 else 0), bits - 1
    state = message & 0xFFFFFFFF
    for byte in (message >> 32).to_bytes(bits // 8, "little"):
        state = (state >> 8 | byte << 24) ^ CRC_TABLE[state & 0xFF]
    return state ^ 0xFFFFFFFF


def varint(value):
    if value < 128:
        return ONE_BYTE[value]
    return ONE_BYTE[value & 127 | 128] + varint(value >> 7)


SHORT_VARINTS = [varint(value) for value in range(1 << 12)]


class Fields:
    """Takes values from the front."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def bytes(self, count):
        start, self.position = self.position, self.position + count
        if self.position > len(self.data):
            raise Malformed("cut short")
        return self.data[start:self.position]

    def number(self, count):
        return int.from_bytes(self.bytes(count), "little")

    def hashes(self, count):
        data = self.bytes(32 * count)
        return [data[place:place + 32] for place in range(0, len(data), 32)]

    def text(self):
        """As bytes, which are UTF-8."""
        text = self.bytes(self.number(2))
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise Malformed("a text is not UTF-8") from error
        return text

    def end(self, last):
        if self.position != len(self.data):
            raise Malformed(f"bytes behind the last {last}")

"""The list of dictionary pieces of a segment, compared with the dictionaries: docs/format/segment.md § Dictionary pieces."""
import struct
import zlib

MAGIC = b"INDLPCS1"
PIECE_BYTES_MAX = 1 << 20


def pieces_hold(arrow, block, chunks):
    """Whether all that the block says of dictionaries is so."""
    try:
        return _hold(arrow.Codec("zstd"), block, chunks)
    except (struct.error, IndexError, TypeError, arrow.ArrowException, OSError, ValueError):
        return False


def _hold(codec, block, chunks):
    magic, count = struct.unpack_from("<8sI", block)
    at, before = 12, -1
    for _ in range(count):
        number, start, pieces = struct.unpack_from("<III", block, at)
        at += 12
        front, stored, values = chunks[number].dictionary
        if number <= before or start != front or pieces < 2:
            return False
        before, place = number, 0
        for _ in range(pieces):
            length, raw, texts, crc = struct.unpack_from("<IIII", block, at)
            at += 16
            frame = stored[place:place + length]
            place += length
            values -= texts
            if len(frame) != length or zlib.crc32(frame) != crc or raw > PIECE_BYTES_MAX or texts != _texts(codec, frame, raw):
                return False
        if place != len(stored) or values:
            return False
    return magic == MAGIC and count > 0 and at == len(block)


def _texts(codec, frame, raw):
    """How many texts, each behind its length, a frame holds: just these and nothing else."""
    plain = codec.decompress(frame, decompressed_size=raw, asbytes=True)
    at = count = 0
    while at < len(plain):
        at += 4 + struct.unpack_from("<I", plain, at)[0]
        count += 1
    return count if at == len(plain) == raw else None

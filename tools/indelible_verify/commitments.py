"""Commitments, entries, leaves, salts: docs/format/commitment.md."""
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .merkle import GROUP_LEAVES
from .octets import ONE_BYTE


def commitment(tag, salt, value):
    return sha256(b"indelible/v1" + ONE_BYTE[tag] + salt + value).digest()


def event_entry(commitments):
    """`commitments`: [(tag, C(tag))], tags ascending."""
    return bytes([1, len(commitments)]) + b"".join([ONE_BYTE[tag] + digest for tag, digest in commitments])


def leaf_hash(entry):
    return sha256(b"\x00" + entry).digest()


class Salts:
    """The salts of one group of 256 leaves; a tag's keystream is made when it is first needed."""

    def __init__(self, seed):
        self.seed = seed
        self.keystreams = {}

    def salt(self, tag, seq):
        keystream = self.keystreams.get(tag)
        if keystream is None:
            subseed = HKDF(SHA256(), 32, salt=b"indelible/v1", info=b"salt" + ONE_BYTE[tag]).derive(self.seed)
            cipher = Cipher(algorithms.ChaCha20(subseed, bytes(16)), mode=None)
            keystream = self.keystreams[tag] = cipher.encryptor().update(bytes(16 * GROUP_LEAVES))
        place = 16 * (seq % GROUP_LEAVES)
        return keystream[place:place + 16]

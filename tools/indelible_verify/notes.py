"""Keys, signed notes and checkpoints of C2SP: docs/format/proofs.md."""
import base64
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .report import Malformed

NOTE_BYTES_MAX = 1 << 20


def base64_bytes(text, length=None):
    """Decodes standard base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
        exact = base64.b64encode(data) == (text.encode() if isinstance(text, str) else text)
    except (TypeError, ValueError) as error:
        raise Malformed("not base64") from error
    if not exact or length not in (None, len(data)):
        raise Malformed("not base64 of the right length")
    return data


def base64_text(data):
    return base64.b64encode(data).decode()


def key_id(name, public_key):
    return sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def verifier_key(name, public_key):
    return f"{name}+{key_id(name, public_key).hex()}+{base64_text(bytes([1]) + public_key)}"


def parse_verifier_key(text):
    """(name, public key) of a C2SP verifier key string of an Ed25519 key."""
    name, _, rest = text.strip().partition("+")
    identifier, _, material = rest.partition("+")
    data = base64_bytes(material, 33)
    if not name or data[0] != 1 or identifier != key_id(name, data[1:]).hex():
        raise Malformed("not the verifier key of an Ed25519 key")
    return name, data[1:]


@dataclass(frozen=True)
class Checkpoint:
    """A parsed, not yet believed, C2SP checkpoint."""
    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple  # of (key name, key id, signature)

    def signature_state(self, public_key):
        """`valid`, `invalid`, `other-key` (the origin's name with a key id that is not this key's), or `absent`."""
        wanted, names = key_id(self.origin, public_key), [name for name, _, _ in self.signatures]
        ours = [signature for name, identifier, signature in self.signatures if (name, identifier) == (self.origin, wanted)]
        if not ours:
            return "other-key" if self.origin in names else "absent"
        try:
            for signature in ours:
                Ed25519PublicKey.from_public_bytes(public_key).verify(signature, self.text)
        except (InvalidSignature, ValueError):
            return "invalid"
        return "valid"


def parse_checkpoint(note):
    if len(note) > NOTE_BYTES_MAX:
        raise Malformed("note is too long")
    try:
        full = note.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note is not UTF-8") from error
    split = full.rfind("\n\n")
    if split < 0 or not full.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f]", full):
        raise Malformed("not a signed note")
    signatures = []
    for line in full[split + 2:].split("\n")[:-1]:
        parts = re.fullmatch("\u2014 ([^\\s+]+) (\\S+)", line)
        data = base64_bytes(parts[2]) if parts else b""
        if len(data) < 5:
            raise Malformed("not a signature line of a signed note")
        signatures.append((parts[1], data[:4], data[4:]))
    if not signatures:
        raise Malformed("note has no signature")
    lines = full[:split].split("\n")
    if len(lines) != 3 or not lines[0] or not re.fullmatch("(?:0|[1-9][0-9]{0,18})", lines[1]):
        raise Malformed("note is not a checkpoint of origin, size, root")
    return Checkpoint(lines[0], int(lines[1]), base64_bytes(lines[2], 32), full[:split + 1].encode(), tuple(signatures))

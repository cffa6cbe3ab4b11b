"""Single proofs: docs/format/proofs.md."""
import json
import re

from .canonical import canonical_object, parse_control
from .commitments import commitment, event_entry, leaf_hash
from .merkle import root_of_inclusion
from .notes import base64_bytes, base64_text, parse_checkpoint
from .records import TAG_CONTENT, TAG_HEAD, TAG_IDENTITY, parse_head
from .report import Malformed, NotCanonical, Report


def parse_proof(data):
    """(extra, index, path, checkpoint note) of a C2SP tlog-proof."""
    head, separator, note = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if not separator or lines[0] != b"c2sp.org/tlog-proof@v1" or len(lines) < 3 or not lines[1].startswith(b"extra "):
        raise Malformed("not a tlog-proof with an `extra` line")
    index = re.fullmatch(rb"index (0|[1-9][0-9]{0,18})", lines[2])
    if not index or len(lines) > 3 + 64:
        raise Malformed("tlog-proof has no proper index, or too long a path")
    return base64_bytes(lines[1][6:]), int(index[1]), [base64_bytes(line, 32) for line in lines[3:]], note


def disclosed_entry(extra):
    """(entry, what was disclosed) of the `extra` line. What it says is only believed once the proof holds."""
    text, members = canonical_object(extra)
    keys, stated = [key for key, _, _ in members], json.loads(extra, parse_int=str, parse_float=str)
    if stated.get("format") != "indelible/v1" or keys not in (["format", "groups"], ["control", "format"]):
        raise Malformed("extra is not that of format indelible/v1")
    if keys[0] == "control":
        control = text[members[0][1]:members[0][2]].encode("latin-1")
        return b"\x02" + control, {"control": parse_control(control)}
    entry, values = entry_of_groups(stated["groups"])
    texts = {tag: value.decode() if tag in (TAG_IDENTITY, TAG_CONTENT) else base64_text(value) for tag, value in values.items()}
    return entry, {"groups": {str(tag): text for tag, text in texts.items()}}


def entry_of_groups(groups):
    """(entry, {tag: value that was disclosed}) of the groups of an event."""
    commitments, disclosed, previous_tag = [], {}, 0
    for group in groups:
        tag = int(group["tag"])
        if not previous_tag < tag <= 255 or (not previous_tag and tag != TAG_HEAD) or len(commitments) == 16:
            raise Malformed("groups are out of order")
        previous_tag = tag
        if set(group) == {"tag", "commitment"}:
            commitments.append((tag, base64_bytes(group["commitment"], 32)))
            continue
        value = base64_bytes(group["value"])
        commitments.append((tag, commitment(tag, base64_bytes(group["salt"], 16), value)))
        if tag == TAG_HEAD:
            parse_head(value)
        if tag in (TAG_IDENTITY, TAG_CONTENT):
            canonical_object(value)
        disclosed[tag] = value
    if not commitments:
        raise Malformed("an event has at least its head")
    return event_entry(commitments), disclosed


def prove(data, key, report, result):
    """Puts into `result` what a .tlog-proof says, and what it discloses if it holds. `key` may be that of the log or of the store (log 0):
    the public key is the same."""
    name, public_key = key
    extra, index, path, note = parse_proof(data)
    checkpoint = parse_checkpoint(note)
    result |= {"origin": checkpoint.origin, "index": index, "size": checkpoint.size}
    if name != checkpoint.origin and name.rpartition("/")[0] != checkpoint.origin.rpartition("/")[0]:
        report.add("key-mismatch", f"the key is of {name}, the checkpoint of {checkpoint.origin}")
    state = checkpoint.signature_state(public_key)
    if state == "other-key":
        report.add("key-mismatch", "the checkpoint is signed by another key")
    elif state != "valid":
        report.add("checkpoint-signature", "the checkpoint has no valid signature of the key given")
    entry, disclosed = disclosed_entry(extra)
    if root_of_inclusion(leaf_hash(entry), index, checkpoint.size, path) != checkpoint.root:
        report.add("root-mismatch", "the path does not lead from this entry to the signed root", seq=index)
    elif report.ok:
        result["disclosed"] = disclosed


def verify_proof(data, key):
    """The result for one .tlog-proof."""
    report, result = Report(), {}
    try:
        prove(data, key, report, result)
    except NotCanonical as error:
        report.add("not-canonical", f"extra: {error}")
    except (Malformed, KeyError, TypeError, ValueError) as error:
        report.add("record-malformed", f"proof: {error!r}")
    return {"ok": report.ok, **result, "findings": report.findings}

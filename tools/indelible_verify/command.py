"""The command line."""
import argparse
import json
import sys

from .notes import parse_verifier_key
from .octets import read_bytes
from .proof import verify_proof
from .report import CannotRead, Malformed, Report
from .store import Store
from .tenant_copy import verify_copy
from .verifier import StoreVerifier


def anchors_of(arguments, store_id):
    """[(what, log number or None, note)] of --against and --state, and the findings about the state file itself."""
    anchors, findings = [], []
    for given in arguments.against:
        is_note = "\n" in given and "\u2014 " in given
        anchors.append(("given note" if is_note else given, None, given.encode() if is_note else read_bytes(given)))
    if arguments.state:
        try:
            state = json.loads(read_bytes(arguments.state))
            if state["format"] != 1 or state["store"] != store_id:
                findings.append(f"{arguments.state} is the trusted state of another store or format")
            else:
                anchors += [(f"{arguments.state}: log {log}", int(log), note.encode())
                            for log, note in state["checkpoints"].items()]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CannotRead(f"{arguments.state} is not a trusted-state file: {error!r}") from error
    return anchors, findings


def verify_store(arguments, key):
    store = Store(arguments.data_dir, Report())
    identity = store.identity.hex() if store.identity else None
    if arguments.trust_store_key and store.logs and not key:
        key = (store.logs[0].origin, store.public_key)
    anchors, findings = anchors_of(arguments, identity)
    verifier = StoreVerifier(arguments.data_dir, anchors, key)
    verifier.anchored |= bool(arguments.state)
    for message in findings:
        verifier.report.add("anchor-mismatch", message)
    return verifier.run()


def print_readable(result):
    for log in result["logs"] if "anchored" in result else ():
        print(f"log {log['log']} {log['name']}: {log['size']} entries, {log['signed']} signed, root {log['root']}")
    if "frames" in result:
        print(f"{result['frames']} frames, {result['events']} events, {result['torn_tail_bytes']} bytes of torn tail")
    if "disclosed" in result:
        print(f"position {result['index']} of {result['origin']} at size {result['size']}: {json.dumps(result['disclosed'])}")
    if "tenant" in result:
        counts = ", ".join(f"{log['count']} in log {log['log']}" for log in result["logs"])
        print(f"tenant {ascii(result['tenant'])}: {result['events']} events here, {result['withheld']} of their groups withheld; counted by entry "
              f"{result['index']} of {result['origin']}: {counts}")
    for finding in result["findings"]:
        places = " ".join(f"{name} {finding[name]}" for name in ("log", "seq", "lsn") if name in finding)
        # Messages may quote what the store holds; a terminal must not obey it.
        print(f"{finding['level']}: {finding['code']}: {ascii(finding['message'])[1:-1]}" + (f" ({places})" if places else ""))
    print("ok" if result["ok"] else "FAILED")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify an Indelible store, a single proof or a tenant's copy, independently of its writer.")
    parser.add_argument("data_dir", nargs="?", metavar="DATA_DIR")
    parser.add_argument("--against", nargs="+", action="extend", default=[], metavar="FILE", help="checkpoints kept outside: files or notes")
    parser.add_argument("--key", help="the store's verifier key, known from outside")
    parser.add_argument("--state", metavar="FILE", help="the trusted-state file of this store")
    parser.add_argument("--trust-store-key", action="store_true", help="take the key in store.json as if given with --key")
    parser.add_argument("--proof", metavar="FILE", help="verify one .tlog-proof instead of a store; needs --key")
    parser.add_argument("--tenant", metavar="FILE", help="verify a tenant's copy instead of a store; needs --key, that of log 0")
    parser.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    arguments = parser.parse_args(arguments)
    try:
        key = parse_verifier_key(arguments.key) if arguments.key else None
    except Malformed as error:
        parser.error(f"--key: {error}")
    if [bool(what) for what in (arguments.data_dir, arguments.proof, arguments.tenant)].count(True) != 1:
        parser.error("give one of DATA_DIR, --proof FILE and --tenant FILE")
    if not (arguments.data_dir or key):
        parser.error("--proof and --tenant need --key")
    try:
        if arguments.proof:
            result = verify_proof(read_bytes(arguments.proof), key)
        else:
            result = verify_copy(arguments.tenant, key) if arguments.tenant else verify_store(arguments, key)
    except (CannotRead, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result)) if arguments.output == "json" else print_readable(result)
    return 0 if result["ok"] else 3

#!/usr/bin/env python3
"""Independent verifier of an Indelible store, written from docs/format/*.md alone.

    python3 tools/verify.py DATA_DIR [--against FILE ...] [--key VERIFIER_KEY] [--state FILE] [--trust-store-key] [-o json]
    python3 tools/verify.py --proof e.tlog-proof --key VERIFIER_KEY
    python3 tools/verify.py --tenant acme.copy --key VERIFIER_KEY

What it proves when it ends with `ok`
  * Every value, in segments and in the journal, is the one that was committed: the commitments, leaves and RFC 6962 roots are
    computed again from the values and seeds, and are those of proof blocks, frames, signed notes, checkpoint files and `heads`.
  * What is kept to find sealed rows, and to open the store, hides and adds nothing: columns are those of their records, and
    bounds, indexes, the manifest and the state are made again from the rows and compared. The retention policy is the one that
    log 0 announced.
  * Nothing was left out, put in, or moved between the first entry and the newest signed size of each log: frames chain,
    positions and tenant numbers are contiguous, no producer's event stands twice.
  * What log 0 states about how many events each tenant has is so. Of a tenant's copy (`--tenant`): it has all events that log 0 counted and
    that have not expired.
  * With a checkpoint from outside (`--against`, `--state`): the store is that history or an extension of it. With a key from
    outside (`--key`): the owner of that key signed it.

What it does not prove
  * Of a tenant's copy: that log 0 is the same for all, and counts truly; verifying the store finds out the latter.
  * Without anything from outside (`unanchored`) whoever holds the directory may have made all of it anew, signatures included.
  * Entries behind the newest signature (`unsigned-tail`) are only as safe as the disk.
  * That the log's owner showed everybody the same history: that takes witnesses.
  * That an event is true; only that it is what was written then.
  * Values withheld: only their commitments could be checked, and nothing in format 1 authorises it, so they fail (`withheld`).
  * What has expired: that it went as log 0 says (`expired`), and that what stays leads to the same tree, but not that the policy, or
    the clock, was the right one. Which events stay because they are held is bound by their number alone.
  * Records in carry frames (`carry-unchecked`): their form is checked, but the roots of such a frame do not bind them.
  * That pyarrow, which decodes the columns of segments, does so rightly; pages, their checksums and places are checked here.
  * Caches that can be built again: `tree/`, `dedupe/`, `status` (used only to know where a live writer is).

Needs the package `cryptography`, and `pyarrow` if something is sealed. The code is in `indelible_verify/`, a file for each subject.

Exit codes: 0 ok · 1 cannot read · 2 usage · 3 verification failed. Memory: one segment with its index, or one frame; a root per
group of 256 entries, a root per frame, and the last number of each tenant and producer. Not part of the trusted path: CRCs,
which find accidents, while the hashes find intent.
"""
import sys

from indelible_verify.command import main

if __name__ == "__main__":
    sys.exit(main())

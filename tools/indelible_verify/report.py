"""Findings, and the two ways in which bytes can be wrong."""

LEVELS = {"producer-gap": "warn", "unsigned-tail": "note", "unanchored": "note", "carry-unchecked": "note",
          "restore-unfinished": "note"}


class CannotRead(Exception):
    """A file that is needed could not be read; the store was not judged."""


class Malformed(ValueError):
    """Bytes that the format pages do not allow."""


class NotCanonical(ValueError):
    """JSON that is not in the canonical form of event.md, or no JSON."""


class Report:
    """Findings in the order they were made. Only level `fail` makes the verdict bad."""

    def __init__(self):
        self.findings = []

    def add(self, code, message, log=None, seq=None, lsn=None, level=None):
        places = {"log": log, "seq": seq, "lsn": lsn}
        self.findings.append({"code": code, "level": level or LEVELS.get(code, "fail"), "message": message,
                              **{name: place for name, place in places.items() if place is not None}})

    @property
    def ok(self):
        return all(finding["level"] != "fail" for finding in self.findings)

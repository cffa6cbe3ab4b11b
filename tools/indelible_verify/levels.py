"""Which groups and lists are there, as the levels of their members say: docs/format/segment.md § Row group and pages.

Readers ask one member whether the group around it is there, and not all the same. So each must say what the values of all give.
"""
from .report import Malformed

GROUPS = ("producer", "trace", "actor", "origin", "raw", "idempotency")
# By the number of names in a path: greatest level, and the levels that a segment has; with two names that of the group's null is looked at.
LISTS = {3: (3, {0, 3}), 4: (4, {0, 3, 4})}


def runs_of(data, width, count):
    """(level, how often) of a hybrid of runs and packed levels, until there are `count`."""
    def whole(end):
        if end > len(data):
            raise Malformed("levels end too early")

    position = 0
    while count:
        head = shift = 0
        while True:
            whole(position + 1)
            byte = data[position]
            head, shift, position = head | (byte & 127) << shift, shift + 7, position + 1
            if byte < 128:
                break
        if not head >> 1:
            raise Malformed("a run of nothing")
        if not head & 1:
            whole(position + 1)
            taken = min(head >> 1, count)
            yield data[position], taken
            position, count = position + 1, count - taken
            continue
        for _ in range(min(head >> 1, -(-count // 8))):
            whole(position + width)
            eight = int.from_bytes(data[position:position + width], "little")
            taken = min(8, count)
            for nth in range(taken):
                yield eight >> nth * width & (1 << width) - 1, 1
            position, count = position + width, count - taken
    # Packed levels that are not needed may follow.


class Levels:
    """Of one column: `values` and `groups` have a bit for each row that has a value, and for each in which its group is there."""

    def __init__(self, path):
        self.names, self.values, self.groups, self.is_strange = path.split("."), 0, 0, False

    def page(self, row, body, numbers):
        """Takes a page that begins at `row`: its levels stand in front, first those of repetition."""
        entries, rows, levels_bytes, skipped = numbers[1], numbers[3], numbers[5], numbers[6]
        depth = len(self.names)
        # A list has an entry for each of its elements, and one where it is missing.
        if entries < rows or entries > rows and depth < 3:
            raise Malformed(f"column {'.'.join(self.names)}: {entries} entries in the {rows} rows of the page of row {row}")
        if depth == 1:
            return
        maximum, ours = LISTS.get(depth, (2, {0, 1, 2}))
        values, groups, found = [], [], set()
        for level, count in runs_of(body[skipped:skipped + levels_bytes], maximum.bit_length(), entries):
            found.add(level)
            if depth == 2:
                values.append("1" * count if level == maximum else "0" * count)
                groups.append("1" * count if level else "0" * count)
        if max(found) > maximum:
            raise Malformed(f"column {'.'.join(self.names)}: a level that the column has not, in the page of row {row}")
        self.is_strange |= not found <= ours
        if depth == 2:
            self.values |= int("".join(values)[::-1], 2) << row
            self.groups |= int("".join(groups)[::-1], 2) << row


def differences(chunks):
    """What the levels of columns say and is not so, in words."""
    for chunk in chunks:
        if chunk.levels.is_strange:
            yield f"column {chunk.path}: lists or elements are missing in a way that no segment has"
    for group in GROUPS:
        members = [chunk for chunk in chunks if chunk.levels.names[0] == group]
        values = 0
        for chunk in members:
            values |= chunk.levels.values
        for chunk in members:
            if chunk.levels.groups != values:
                yield f"column {chunk.path}: a group is there where none of its members is, or is not there where one is"

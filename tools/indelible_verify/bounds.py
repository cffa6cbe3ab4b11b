"""Bounds and counts of pages and columns, made again from the values and compared: docs/format/segment.md § Row group and pages."""
import struct

from .levels import differences
from .parquet import ASCENDING, DESCENDING, PAGE_ROWS_MAX
from .segments import COLUMNS

TYPES = {name: kind for _, name, kind in COLUMNS}


def decoded(kind, bound):
    """A bound as the values compare; None for one that cannot be."""
    layout = {"uint64": "<Q", "time": "<q", "uint32": "<I"}.get(kind)
    if layout is None:
        return bytes(bound)
    return struct.unpack(layout, bound)[0] if len(bound) == struct.calcsize(layout) else None


class Column:
    """One column while its batches go by."""

    def __init__(self, name, chunk):
        self.name, self.chunk, self.place = name, chunk, 0
        self.found = [[None, None, 0, 0] for _ in chunk.pages]  # least, greatest, entries, nulls
        self.wants_bounds = chunk.said is not None or chunk.has_zones or name == "id"

    def add(self, compute, batch):
        array, start = batch.arrays[self.name], 0
        while start < batch.rows:
            page = self.chunk.pages[self.place]
            stop = min(batch.rows, page.first_row + page.rows - batch.first_row)
            self._part(compute, array.slice(start, stop - start), self.found[self.place])
            start = stop
            self.place += page.first_row + page.rows == batch.first_row + stop

    def _part(self, compute, part, found):
        entries = len(part)
        if hasattr(part, "flatten") and hasattr(part, "offsets"):
            lengths = compute.fill_null(compute.list_value_length(part), 0)
            part = part.flatten()
            entries = len(part) + compute.sum(compute.equal(lengths, 0)).as_py()
        values = len(part) - part.null_count
        found[2] += entries
        found[3] += entries - values
        if values and self.wants_bounds:
            bounds = compute.min_max(part)
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            found[0] = low if found[0] is None else min(found[0], low)
            found[1] = high if found[1] is None else max(found[1], high)

    def differences(self):
        """What the file says of this column and is not so, in words."""
        kind, bounds = TYPES[self.name], []
        for page, (low, high, entries, nulls) in zip(self.chunk.pages, self.found, strict=True):
            bounds.append((low, high))
            where = f"column {self.name}, the page of row {page.first_row}"
            if (page.entries, page.nulls) != (entries, nulls) or page.nulls_said not in (None, nulls):
                yield f"{where}: it has {entries} values and nulls, {nulls} of them nulls, and says otherwise"
            if self.chunk.has_zones:
                said = tuple(decoded(kind, bound) for bound in page.said) if page.said else (None, None)
                if said != (low, high):
                    yield f"{where}: its bounds are not those of its values"
            if page.rows > PAGE_ROWS_MAX and low != high:
                yield f"{where}: a page this long says the same in every row"
        there = [pair for pair in bounds if pair[0] is not None]
        for order, step in ((ASCENDING, 1), (DESCENDING, -1)):
            lows, highs = [low for low, _ in there][::step], [high for _, high in there][::step]
            if self.chunk.order == order and (lows != sorted(lows) or highs != sorted(highs)):
                yield f"column {self.name}: the bounds of its pages are not in the order that is said"
        entries, nulls = (sum(found[place] for found in self.found) for place in (2, 3))
        if self.chunk.entries != entries or self.chunk.nulls != nulls:
            yield f"column {self.name}: it has {entries} values and nulls, {nulls} of them nulls, and the footer says otherwise"
        sizes = (self.chunk.encodings, self.chunk.raw_bytes)
        if sizes != (self.chunk.encodings_said, self.chunk.raw_bytes_said) or (self.chunk.dictionary is not None) > self.chunk.has_words:
            yield f"column {self.name}: its encodings or sizes are not those of its pages, or no page uses its dictionary"
        if self.chunk.said is not None:
            whole = (min(low for low, _ in there), max(high for _, high in there)) if there else None
            if tuple(decoded(kind, bound) for bound in self.chunk.said) != whole:
                yield f"column {self.name}: its bounds in the footer are not those of its values"

    def zones(self):
        return [(low, high) for low, high, _, _ in self.found if low is not None]


class Bounds:
    """All columns of a segment."""

    def __init__(self, segment):
        self.compute = segment.compute
        self.chunks = segment.container.chunks
        self.columns = {name: Column(name, chunk) for (_, name, _), chunk in zip(COLUMNS, segment.container.chunks, strict=False)}

    def add(self, batch):
        for column in self.columns.values():
            column.add(self.compute, batch)

    def differences(self):
        of_columns = [difference for column in self.columns.values() for difference in column.differences()]
        return of_columns + list(differences(self.chunks))

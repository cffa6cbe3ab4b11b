"""What may stand in a segment's footer, page headers and page indexes: docs/format/segment.md § Row group and pages.

Other readers of Parquet believe more than is needed to rebuild records: filters, bounds in an older form, orders, keys that say how to take
the columns. So what a segment's writer does not put there is refused, and a file means the same rows to everybody.
"""
from .report import Malformed

UNSIGNED = {"uint64": (14, 64), "uint32": (13, 32)}
REQUIRED, OPTIONAL, REPEATED = range(3)
PLAIN, RLE = 0, 3
FIRST_BYTE = 4


def only(where, members, allowed, needed=None):
    """That a struct has these members and no others."""
    if not set(members) <= set(allowed) or not set(allowed if needed is None else needed) <= set(members):
        raise Malformed(f"{where} says other things than a segment's: members {sorted(members)}")


def nodes_of(columns):
    """The schema element of each node of the tree, as its members by number. `columns`: (path, name, type) of each leaf."""
    tree = {}
    for path, _, kind in columns:
        at = tree
        *groups, leaf = path.split(".")
        for group in groups:
            at = at.setdefault(group, {})
        at[leaf] = kind
    yield {4: b"segment", 5: len(tree)}
    yield from _nodes(tree)


def _nodes(tree):
    for name, child in tree.items():
        node = {4: name.encode(), 3: OPTIONAL}
        if isinstance(child, dict):
            node[5] = len(child)
            if name == "list":
                node[3] = REPEATED
            elif "list" in child:
                node |= {6: 3, 10: {3: {}}}
            yield node
            yield from _nodes(child)
            continue
        if name in ("log", "kind") or (name == "seq" and len(tree) > 3):
            node[3] = REQUIRED
        if child == "string":
            node |= {1: 6, 6: 0, 10: {1: {}}}
        elif child == "bytes":
            node[1] = 6
        elif child == "time":
            node |= {1: 2, 10: {8: {1: True, 2: {3: {}}}}}
        elif child in UNSIGNED:
            converted, bits = UNSIGNED[child]
            node |= {1: 1 if bits == 32 else 2, 6: converted, 10: {10: {1: bits, 2: False}}}
        else:
            node |= {1: 7, 2: int(child)} | ({10: {14: {}}} if name == "id" else {})
        yield node


def check_footer(footer, columns):
    """The footer, but for what depends on pages."""
    only("the footer", footer, range(1, 8))
    if footer[1] != 2 or footer[2] != list(nodes_of(columns)):
        raise Malformed("its columns are not those of a segment, or not of their types")
    for entry in footer[5]:
        only("a key of the footer", entry, (1, 2))
        if not entry[1].startswith(b"indelible."):
            raise Malformed(f"the footer has the key {entry[1]!r}")
    if not footer[6].startswith(b"indelible ") or footer[7] != [{1: {}}] * len(columns):
        raise Malformed("the footer says another writer, or another order of values")
    for group in footer[4]:
        _check_group(group, footer[3], columns)


def _check_group(group, rows, columns):
    only("the row group", group, (1, 2, 3, 5, 6))
    metas, position = [column.get(3, {}) for column in group[1]], FIRST_BYTE
    for column, meta, (path, _, _) in zip(group[1], metas, columns, strict=True):
        where = f"column {path} in the footer"
        only(where, column, (2, 3, 4, 5, 6, 7), (2, 3, 4, 5))
        only(where, meta, (1, 2, 3, 4, 5, 6, 7, 9, 11, 12), (1, 2, 3, 4, 5, 6, 7, 9, 12))
        only(where, meta[12], (3, 5, 6, 7, 8), (3, 5, 6, 7, 8) if len(meta[12]) > 1 else (3,))
        start = meta.get(11, meta[9])
        if column[2] or not all(meta[12].get(exact, True) for exact in (7, 8)) or start != position or meta.get(11, -1) >= meta[9]:
            raise Malformed(f"{where}: it does not begin where the one before ends, or its bounds are not exact")
        position += meta[7]
    sums = [sum(meta[number] for meta in metas) for number in (6, 7)]
    if [group[2], group[6], group[3], group[5]] != [*sums, rows, FIRST_BYTE]:
        raise Malformed("the row group has other sizes, rows or another place than its columns")


def check_header(where, header):
    """The header of a page."""
    if header.get(1) == 2:
        only(where, header, (1, 2, 3, 4, 7))
        only(where, header[7], (1, 2))
        if header[7][2] != PLAIN:
            raise Malformed(f"{where}: a dictionary that is not PLAIN")
    elif header.get(1) == 3:
        only(where, header, (1, 2, 3, 4, 8))
        only(where, header[8], range(1, 8))


def check_indexes(where, places, zones):
    """The page indexes of a column."""
    only(f"{where}: the offset index", places, (1,))
    for place in places[1]:
        only(f"{where}: the offset index", place, (1, 2, 3))
    if zones is not None:
        only(f"{where}: the column index", zones, range(1, 6))
        if zones[4]:
            raise Malformed(f"{where}: the order of its pages' bounds is not said in a segment")

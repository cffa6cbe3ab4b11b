"""How many events each tenant has in a log, under one root: docs/format/tenants.md."""
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .merkle import node_hash, root_of_inclusion

LEAVES_MIN = 64
HEIGHT_MAX = 40


def derive(seed, info, length):
    return HKDF(SHA256(), length, salt=b"indelible/v1", info=info).derive(seed)


def tenant_salt(seed, tenant):
    """Names of tenants are bytes of UTF-8, here and below."""
    return derive(seed, b"tenant" + tenant, 16)


def tenant_id(salt, tenant):
    return sha256(b"indelible/v1tenant" + salt + tenant).digest()


def count_commitment(salt, count):
    return sha256(b"indelible/v1count" + salt + count.to_bytes(8, "little")).digest()


def count_leaf(identity, commitment):
    return sha256(b"\x00" + identity + commitment).digest()


def tenant_leaves(seed, counts):
    """[(id, commitment)] in their order. `counts`: {tenant: events}."""
    leaves = []
    for tenant, count in counts.items():
        if count:
            salt = tenant_salt(seed, tenant)
            leaves.append((tenant_id(salt, tenant), count_commitment(salt, count)))
    wanted = max(LEAVES_MIN, 1 << max(0, len(leaves) - 1).bit_length())
    for nth in range(wanted - len(leaves)):
        filler = derive(seed, b"filler" + nth.to_bytes(8, "little"), 64)
        leaves.append((filler[:32], filler[32:]))
    return sorted(leaves)


def tenant_root(seed, counts):
    row = [count_leaf(*leaf) for leaf in tenant_leaves(seed, counts)]
    while len(row) > 1:
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row), 2)]
    return row[0]


def proven_count(tenant, salt, told, root):
    """What a proof shows: the tenant's count, 0 when it has no leaf, None when it shows nothing.

    `told`: {"count", "index", "path"}, or {"left": neighbour or None, "right": neighbour or None} with neighbours
    {"index", "id", "commitment", "path"}."""
    own = tenant_id(salt, tenant)
    if "count" in told:
        leaf = count_leaf(own, count_commitment(salt, told["count"]))
        return told["count"] if told["count"] > 0 and is_in(leaf, told["index"], told["path"], root) else None
    left, right = told["left"], told["right"]
    if not left and not right:
        return None
    height = len((left or right)["path"])
    for beside in filter(None, (left, right)):
        if len(beside["path"]) != height or not is_in(count_leaf(beside["id"], beside["commitment"]), beside["index"], beside["path"], root):
            return None
    follows = left["index"] + 1 if left else 0
    ordered = (not left or left["id"] < own) and (not right or own < right["id"])
    return 0 if ordered and follows == (right["index"] if right else 1 << height) else None


def is_in(leaf, index, path, root):
    return len(path) <= HEIGHT_MAX and root_of_inclusion(leaf, index, 1 << len(path), path) == root

"""The retention policy: store.json has to say what log 0 says. docs/format/store.md."""
from .report import Malformed

MEMBERS = ("keep", "minima", "rules")
CLASSES = ("critical", "normal", "telemetry")
DAYS_MAX = (1 << 32) - 1


def policy_of(stated):
    """The members of a policy, of the entry or of store.json; `Malformed` if they are not one."""
    for item in stated["keep"]:
        _check(item, "log")
    for item in stated["minima"]:
        _check(item, "framework")
    for rule in stated["rules"]:
        texts = [rule[name] for name in ("tenant", "framework", "class") if name in rule]
        if not isinstance(rule["log"], str) or any(not isinstance(text, str) for text in texts) or rule.get("class", "normal") not in CLASSES:
            raise Malformed("a rule of the policy is none")
    return {name: stated[name] for name in MEMBERS}


def _check(item, name):
    if not isinstance(item[name], str) or type(item["days"]) is not int or not 0 <= item["days"] <= DAYS_MAX:
        raise Malformed(f"the policy gives a {name} no days")


def stated_policy(store):
    """(position of its entry, policy) of store.json; None if it has none."""
    if "retention" not in store:
        return None
    stated = store["retention"]
    if type(stated["entry"]) is not int or stated["entry"] < 0 or stated.keys() != {"entry", *MEMBERS}:
        raise Malformed("`retention` names no entry, or has other members than it")
    return stated["entry"], policy_of(stated)


def check_policy(stated, policies, reread, report):
    """`policies`: {position: policy} of log 0; `reread`: what store.json says now, asked only if it seems to lag behind."""
    if stated and policies.get(stated[0]) != stated[1]:
        report.add("store-identity", f"the retention policy of store.json is not that of entry {stated[0]} of log 0", log=0, seq=stated[0])
    newest, known = max(policies, default=None), stated[0] if stated else -1
    if newest is not None and newest > known:
        now = reread()
        if not now or now[0] < newest:
            report.add("store-identity", f"entry {newest} of log 0 announced another retention policy than that of store.json, and it was not "
                       "taken up", level="warn", log=0, seq=newest)

"""The configuration in docs/clients, for the tests that run it: what a page shows is what was tried."""
import os
import re
import subprocess

PAGES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "clients")


def blocks(page, language=""):
    """The fenced blocks of a language on a page, in their order."""
    with open(os.path.join(PAGES, page + ".md"), encoding="utf-8") as file:
        text = file.read()
    return [body for found, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if found == language]


def spans(pattern):
    """What stands in code on any page and fits."""
    found = set()
    for name in os.listdir(PAGES):
        with open(os.path.join(PAGES, name), encoding="utf-8") as file:
            found.update(re.findall("`(" + pattern + ")[^`]*`", file.read()))
    return found


def put(text, **places):
    """The text with other values in place of those that a reader replaces, too. Each has to be there."""
    for old, new in places.items():
        if old not in text:
            raise AssertionError(f"{old} is not in\n{text}")
        text = text.replace(old, str(new))
    return text


def run(code, **names):
    """Runs a block of Python; gives the names that it leaves behind."""
    exec(compile(code, "docs/clients", "exec"), names)  # pylint: disable=exec-used
    return names


def shell(script, cwd=None, **variables):
    """Runs a block of shell; gives what it prints."""
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(["sh", "-e", "-c", script], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{script}\nended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def exported(script, **variables):
    """The environment that a block of `export` lines makes."""
    printed = shell(script + "\nenv -0", **variables)
    return dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)

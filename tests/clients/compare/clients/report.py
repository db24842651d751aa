"""What the Python clients share: how results are shown, and what all clients ask for."""

import hashlib
import pathlib
import time

HERE = pathlib.Path(__file__).resolve().parent.parent

#: The tables and views that are on both servers.
TABLES = ("every_type", "many", "nation", "orders", "region", "totals")

#: Runs until somebody stops it.
ENDLESS = (
    "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11"
)


def say(key, value):
    """One line of the output: what is shown, a tab, and how the client shows it."""
    print(f"{key}\t{plain(value)}", flush=True)


def plain(value):
    """A value with its type, the same in every run."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        brackets = "[]" if isinstance(value, list) else "()"
        return brackets[0] + ", ".join(map(plain, value)) + brackets[1]
    return repr(value).replace("\n", "\\n")


def lines(name):
    """The lines of `values` or `errors`: name and SQL."""
    for line in (HERE / f"{name}.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t", 1)


def digest(rows):
    """Stands for many rows."""
    seen = hashlib.sha256()
    count = 0
    for row in rows:
        seen.update(plain(tuple(row)).encode())
        count += 1
    return count, seen.hexdigest()[:16]


def seconds(began, limit):
    """Whether something ended in time, which is all that is equal in two runs."""
    took = time.monotonic() - began
    return "in time" if took < limit else f"after {took:.0f} s"

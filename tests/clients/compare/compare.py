"""Compares what one client showed of PostgreSQL with what it showed of Limnos.

    compare.py CLIENT POSTGRES_OUTPUT LIMNOS_OUTPUT

Each line of an output is a name, a tab and a value. Names whose values may differ stand in `differences.tsv` with the
reason; any other difference is printed and ends this with status 1. A listed one that is none any more is told, so that
the list can shrink, and is no failure.
"""

import fnmatch
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
#: As much of a value as somebody reads.
SHOWN_CHARACTERS = 600
#: The name of the line that the runner adds when a client didn't end with status 0.
ENDED = "client ended"


def read(path):
    """The lines of an output by name; what is no such line is what a client said of itself."""
    values = {}
    said = []
    for line in pathlib.Path(path).read_bytes().decode(errors="replace").split("\n"):
        name, tab, value = line.partition("\t")
        if not tab:
            said.append(line)
        elif name in values:
            sys.exit(f"two lines are called {name}")
        else:
            values[name] = value
    return values, said


def allowed(client):
    """The patterns of names that may differ in a client, with their reasons."""
    for line in (HERE / "differences.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            clients, name, reason = line.split("\t")
            if any(fnmatch.fnmatchcase(client, pattern) for pattern in clients.split()):
                yield clients, name, reason


def around_difference(one, other):
    """The part of a long value where it begins to differ."""
    same = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    begin = max(0, same - SHOWN_CHARACTERS // 2) if max(len(one), len(other)) > SHOWN_CHARACTERS else 0
    return one[begin : begin + SHOWN_CHARACTERS], other[begin : begin + SHOWN_CHARACTERS]


def main(client, postgres, limnos):
    expected, expected_said = read(postgres)
    actual, said = read(limnos)
    patterns = list(allowed(client))
    used = set()
    failed = 0
    listed = 0
    for name in [*expected, *(name for name in actual if name not in expected)]:
        one = expected.get(name, "(nothing)")
        other = actual.get(name, "(nothing)")
        if one == other:
            continue
        fits = [pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern[1])]
        used.update(fits)
        if fits:
            listed += 1
            continue
        failed += 1
        one, other = around_difference(one, other)
        print(f"{name}\n    PostgreSQL  {one}\n    Limnos      {other}")
    if failed and said != expected_said:
        print("\n".join(said[-20:]))
    if not expected or ENDED in expected:
        sys.exit("the client fails on PostgreSQL, too:\n" + "\n".join(expected_said[-20:]))
    for clients, name, reason in patterns:
        # A pattern for several clients may be needed by another one.
        if clients == client and (clients, name, reason) not in used:
            print(f"note: {name} is equal now ({reason})")
    print(f"{len(expected)} values, {listed} differ as listed, {failed} differ otherwise")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

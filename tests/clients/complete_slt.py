#!/usr/bin/env python3
"""Fills in the expected answers of .slt files from a real PostgreSQL, so that no answer is our own opinion.

    python3 tests/clients/complete_slt.py "host=127.0.0.1 port=5432 user=postgres dbname=postgres" sql/slt/select/*.slt

Each file is run from its first to its last record in a database of its own, made and dropped here. Records marked
`skipif postgres` are left as they are, those marked `onlyif postgres` run here only. What is written is what the harness
compares (tests/harness/slt.rs): columns separated by a tab, NULL, (empty), t and f, line breaks as \\n; numbers with a
fraction are cut to ten digits after the point and lose trailing zeros, because how many digits a division keeps is not
what these files are about.

An error's line (`statement error 42703: ."nope"`) is written by hand, because wording may differ where it must; this
program only checks that PostgreSQL's `SQLSTATE: message` matches it.
"""

import decimal
import re
import sys

import psycopg

INTEGERS, FLOATS, BOOLEAN, DATE = {20, 21, 23, 26}, {700, 701, 1700}, {16}, {1082}
TIMESTAMPS, TEXTS = {1114, 1184}, {18, 19, 25, 705, 1042, 1043}


def letter(oid):
    """The column type's letter in the head of a query record."""
    groups = ((INTEGERS, "I"), (FLOATS, "R"), (BOOLEAN, "B"), (DATE, "D"), (TIMESTAMPS, "P"), (TEXTS, "T"))
    return next((letter for oids, letter in groups if oid in oids), "?")


def canonical_number(text):
    """A number with at most ten digits after the point and no trailing zeros; one with an exponent stays as it is."""
    if "." not in text or "e" in text.lower():
        return text
    with decimal.localcontext() as context:
        context.prec = 1000
        number = decimal.Decimal(text).quantize(decimal.Decimal("1e-10"), rounding=decimal.ROUND_HALF_UP)
    text = format(number, "f").rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def render(value, kind):
    """One value as a .slt file holds it."""
    if value is None:
        return "NULL"
    text = value.decode()
    if text == "":
        return "(empty)"
    if kind == "R":
        return canonical_number(text)
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") if kind in "T?" else text


def answer(connection, sql):
    """Runs one record: ("rows", types, lines) or ("error", text) or ("done",)."""
    result = connection.pgconn.exec_(sql.encode())
    status = psycopg.pq.ExecStatus(result.status)
    if status == psycopg.pq.ExecStatus.FATAL_ERROR:
        sqlstate = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()
        message = result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY).decode()
        return "error", f"{sqlstate}: {message}"
    if status != psycopg.pq.ExecStatus.TUPLES_OK:
        return ("done",)
    kinds = [letter(result.ftype(column)) for column in range(result.nfields)]
    lines = [
        [render(result.get_value(row, column), kind) for column, kind in enumerate(kinds)]
        for row in range(result.ntuples)
    ]
    return "rows", "".join(kinds), lines


def complete(connection, path):
    """Rewrites one file; returns how many records did not do what their head says."""
    lines = open(path, encoding="utf-8").read().split("\n")
    out, failures, index = [], 0, 0
    skip = False
    while index < len(lines):
        line = lines[index]
        head = line.split()
        if head[:1] in (["skipif"], ["onlyif"]):
            skip = head == ["skipif", "postgres"] or (head[0] == "onlyif" and head[1] != "postgres")
            out.append(line)
            index += 1
            continue
        if head[:1] not in (["statement"], ["query"]):
            out.append(line)
            index += 1
            continue
        end = index + 1
        while end < len(lines) and lines[end].strip() and lines[end] != "----":
            end += 1
        sql = "\n".join(lines[index + 1 : end])
        rest = end
        if rest < len(lines) and lines[rest] == "----":
            while rest < len(lines) and lines[rest].strip():
                rest += 1
        if skip:
            out.extend(lines[index:rest])
            skip, index = False, rest
            continue
        got = answer(connection, sql)
        if head[1:2] == ["error"]:
            pattern = line.split("error", 1)[1].strip()
            sqlstate = re.fullmatch(r"\(([0-9A-Z]{5})\)", pattern)
            pattern = sqlstate.group(1) + ":" if sqlstate else pattern
            if got[0] != "error" or not re.search(pattern, got[1]):
                failures += 1
                print(f"{path}:{index + 1}: expected {pattern!r}, PostgreSQL: {got}")
            out.extend(lines[index:end])
        elif got[0] == "error":
            failures += 1
            print(f"{path}:{index + 1}: PostgreSQL refuses: {got[1]}\n    {sql}")
            out.extend(lines[index:rest])
        elif head[0] == "statement":
            out.extend(lines[index:end])
        elif got[0] != "rows":
            failures += 1
            print(f"{path}:{index + 1}: no rows from {sql}")
            out.extend(lines[index:rest])
        else:
            modes = [word for word in head[1:] if word in ("rowsort", "nosort", "valuesort")]
            out.append(" ".join(["query", got[1], *modes]))
            out.extend(lines[index + 1 : end])
            rows = sorted(got[2]) if "rowsort" in modes else got[2]
            out.append("----")
            out.extend("\t".join(row) for row in rows)
        index = rest
    text = "\n".join(out)
    open(path, "w", encoding="utf-8").write(text)
    return failures


def main():
    where, paths, failures = sys.argv[1], sys.argv[2:], 0
    admin = psycopg.connect(where, autocommit=True)
    for path in paths:
        admin.execute("DROP DATABASE IF EXISTS slt_answers")
        admin.execute("CREATE DATABASE slt_answers TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'")
        with psycopg.connect(where + " dbname=slt_answers", autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute("SET client_min_messages = 'error'")
            failures += complete(connection, path)
    admin.execute("DROP DATABASE IF EXISTS slt_answers")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

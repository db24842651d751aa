"""psycopg 3: text and binary results, parameters, server-side prepared statements, pipeline, errors, cancel."""

import datetime as dt
import decimal
import threading
import time

import psycopg

with psycopg.connect("", autocommit=True) as connection:
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        row = cursor.execute(
            "SELECT 1::smallint, 2::int, 3::bigint, 1.5::real, 2.5::float8, 12.50::numeric(10,2), 'text', true,"
            " DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56.5', TIME '12:34:56', NULL::int, '\\x00ff'::bytea,"
            " ARRAY[1, 2, NULL], ARRAY['a', 'b c']"
        ).fetchone()
        expected = (
            1, 2, 3, 1.5, 2.5, decimal.Decimal("12.50"), "text", True, dt.date(2024, 2, 29),
            dt.datetime(2024, 2, 29, 12, 34, 56, 500000), dt.time(12, 34, 56), None, b"\x00\xff", [1, 2, None], ["a", "b c"],
        )
        assert row == expected, (binary, row)
        row = cursor.execute("SELECT TIMESTAMPTZ '2024-02-29 12:00:00+02', INTERVAL '1 day 2 hours'").fetchone()
        assert row[0] == dt.datetime(2024, 2, 29, 10, tzinfo=dt.timezone.utc), row
        assert row[1] == dt.timedelta(days=1, hours=2), row

        # Parameters come in as Python values.
        row = cursor.execute(
            "SELECT %s::int, %s::text, %s::numeric(10,2), %s::date, %s::timestamp, %s::boolean, %s::float8, %s::text",
            (7, "it's", decimal.Decimal("1.25"), dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 2, 3), False, 0.1, None),
        ).fetchone()
        assert row == (7, "it's", decimal.Decimal("1.25"), dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 2, 3), False, 0.1, None), row
        count = cursor.execute("SELECT count(*) FROM orders WHERE o_orderdate >= %s AND year = %s", (dt.date(1995, 6, 1), 1995)).fetchone()[0]
        assert count > 0
        assert cursor.execute("SELECT count(*) FROM nation WHERE n_name = ANY(%s)", (["FRANCE", "GERMANY"],)).fetchone()[0] == 2

    # Prepared on the server after a few runs, and on demand.
    for number in range(10):
        assert connection.execute("SELECT n_name FROM nation WHERE n_nationkey = %s", (number,), prepare=True).fetchone()

    # An error ends the statement only; in a transaction it ends the transaction.
    try:
        connection.execute("SELECT 1 / 0")
        raise AssertionError("no error")
    except psycopg.errors.DivisionByZero as error:
        assert error.sqlstate == "22012"
    try:
        connection.execute("SELECT * FROM nosuch")
        raise AssertionError("no error")
    except psycopg.errors.UndefinedTable as error:
        assert "nosuch" in str(error)
    with connection.transaction():
        assert connection.execute("SELECT 1").fetchone() == (1,)

    # A big result row by row.
    with connection.cursor() as cursor:
        rows = 0
        for _ in cursor.stream("SELECT x FROM generate_series(1, 300000) AS t(x)"):
            rows += 1
        assert rows == 300000, rows

    # Of its own: after stream() psycopg can't pipeline, with PostgreSQL neither.
    with psycopg.connect("", autocommit=True) as piped:
        with piped.pipeline():
            results = [piped.execute("SELECT %s::int", (number,)) for number in range(50)]
    assert [result.fetchone()[0] for result in results] == list(range(50))

    began = time.monotonic()
    threading.Timer(0.5, connection.cancel).start()
    try:
        connection.execute(
            "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11"
        )
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - began < 5
    assert connection.execute("SELECT 1").fetchone() == (1,)

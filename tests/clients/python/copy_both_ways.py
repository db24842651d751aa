"""COPY both ways: psycopg's text, binary, rows and raw blocks; asyncpg's records and files; several statements in one text."""

import asyncio
import datetime as dt
import decimal
import io

import asyncpg
import psycopg

ROWS = [
    (1, "plain", decimal.Decimal("1.50"), dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 12, 34, 56, 500000), True),
    (2, 'a,"b"\n\\N\t', None, None, None, None),
    (None, "", decimal.Decimal("-0.01"), dt.date(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59), False),
]
COLUMNS = "a int, b text, c numeric(10,2), d date, e timestamp, f boolean"


def with_psycopg():
    with psycopg.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS copied")
        cursor.execute(f"CREATE TABLE copied ({COLUMNS})")
        # Rows, as text and as binary.
        for options in ("", " (FORMAT binary)"):
            cursor.execute("TRUNCATE copied")
            with cursor.copy(f"COPY copied FROM STDIN{options}") as copy:
                if options:
                    copy.set_types(["int4", "text", "numeric", "date", "timestamp", "bool"])
                for row in ROWS:
                    copy.write_row(row)
            assert cursor.rowcount == len(ROWS), cursor.rowcount
            assert cursor.execute("SELECT * FROM copied ORDER BY a NULLS LAST").fetchall() == ROWS
            with cursor.copy(f"COPY copied TO STDOUT{options}") as copy:
                copy.set_types(["int4", "text", "numeric", "date", "timestamp", "bool"])
                assert list(copy.rows()) == ROWS
        # Blocks that end anywhere.
        with cursor.copy("COPY copied TO STDOUT (FORMAT csv, HEADER)") as copy:
            text = b"".join(copy)
        assert text.startswith(b"a,b,c,d,e,f\n1,plain,1.50,2024-02-29,"), text
        cursor.execute("TRUNCATE copied")
        with cursor.copy("COPY copied FROM STDIN (FORMAT csv, HEADER match)") as copy:
            for start in range(0, len(text), 5):
                copy.write(text[start : start + 5])
        assert cursor.execute("SELECT * FROM copied ORDER BY a NULLS LAST").fetchall() == ROWS
        # What is wrong, and where; the connection goes on.
        for sql, data, state, context in (
            ("COPY copied (a, b) FROM STDIN", b"1\tx\ny\tz\n", "22P02", 'COPY copied, line 2, column a: "y"'),
            ("COPY copied (a, b) FROM STDIN", b"1\n", "22P04", 'COPY copied, line 1: "1"'),
        ):
            try:
                with cursor.copy(sql) as copy:
                    copy.write(data)
                raise AssertionError(sql)
            except psycopg.Error as error:
                assert (error.sqlstate, error.diag.context) == (state, context), (error.sqlstate, error.diag.context)
        try:
            with cursor.copy("COPY copied (a) FROM STDIN") as copy:
                copy.write(b"7\n")
                raise KeyError("the client gives up")
        except KeyError:
            pass
        assert cursor.execute("SELECT count(*) FROM copied").fetchone() == (3,)


async def with_asyncpg():
    connection = await asyncpg.connect()
    await connection.execute("TRUNCATE copied")
    status = await connection.copy_records_to_table("copied", records=ROWS)
    assert status == "COPY 3", status
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM copied ORDER BY a NULLS LAST")] == ROWS
    out = io.BytesIO()
    assert await connection.copy_from_table("copied", output=out, format="csv", columns=["a", "b"]) == "COPY 3"
    await connection.execute("TRUNCATE copied")
    out.seek(0)
    assert await connection.copy_to_table("copied", source=out, format="csv", columns=["a", "b"]) == "COPY 3"
    out = io.BytesIO()
    await connection.copy_from_query("SELECT a, b FROM copied WHERE a > $1", 1, output=out)
    assert out.getvalue() == b'2\ta,"b"\\n\\\\N\\t\n', out.getvalue()
    await connection.execute("DROP TABLE copied")
    await connection.close()


with_psycopg()
asyncio.run(with_asyncpg())

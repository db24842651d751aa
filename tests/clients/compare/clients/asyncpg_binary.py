"""asyncpg: everything in binary, every statement described, types introspected, cursors by portals, a pool."""

import asyncio
import datetime as dt
import decimal
import uuid

import asyncpg
from report import ENDLESS, TABLES, digest, lines, say


def failure(error):
    """What an error is, the same in every run."""
    return f"error {error.sqlstate}" if isinstance(error, asyncpg.PostgresError) else f"{type(error).__name__}: {error}"


async def attempt(name, run):
    try:
        say(name, await run())
    except Exception as error:
        say(name, failure(error))


async def main():
    connection = await asyncpg.connect()
    for name, sql in lines("values"):
        try:
            statement = await connection.prepare(sql)
            attribute = statement.get_attributes()[0]
            say(f"type.{name}", (attribute.name, attribute.type.name, attribute.type.kind, attribute.type.schema))
            say(f"value.{name}", await statement.fetchval())
        except Exception as error:
            say(f"value.{name}", failure(error))

    for name, kind, value in (
        ("bool", "boolean", True), ("int2", "smallint", 7), ("int4", "int", 7), ("int8", "bigint", 2**40),
        ("float4", "real", 0.5), ("float8", "double precision", 0.1), ("numeric", "numeric", decimal.Decimal("-1234567.000125")),
        ("text", "text", "it's"), ("varchar", "varchar", "x"), ("date", "date", dt.date(2024, 2, 29)), ("time", "time", dt.time(12, 34, 56)),
        ("timestamp", "timestamp", dt.datetime(2024, 2, 29, 12, 34, 56, 789000)),
        ("timestamptz", "timestamptz", dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)),
        ("interval", "interval", dt.timedelta(days=1, seconds=2)), ("bytea", "bytea", b"\x00\xff"),
        ("uuid", "uuid", uuid.UUID(int=7)), ("json", "json", '{"a": 1}'), ("jsonb", "jsonb", '{"a": 1}'),
        ("ints", "int[]", [1, None, 2]), ("texts", "text[]", ["a", "b c"]), ("null", "int", None),
    ):
        try:
            statement = await connection.prepare(f"SELECT $1::{kind}")
            say(f"parameter.{name}", ([p.name for p in statement.get_parameters()], await statement.fetchval(value)))
        except Exception as error:
            say(f"parameter.{name}", failure(error))
    for name, sql, values in (
        ("compared", "SELECT count(*) FROM nation WHERE n_regionkey = $1", (3,)),
        ("between", "SELECT count(*) FROM orders WHERE o_orderdate BETWEEN $1 AND $2", (dt.date(1995, 1, 1), dt.date(1996, 1, 1))),
        ("price", "SELECT count(*) FROM orders WHERE o_totalprice > $1", (decimal.Decimal("100000.50"),)),
        ("any", "SELECT count(*) FROM nation WHERE n_name = ANY($1)", (["FRANCE", "GERMANY"],)),
        ("limit", "SELECT n_name FROM nation ORDER BY n_name LIMIT $1 OFFSET $2", (1, 4)),
        ("sum", "SELECT n_nationkey + $1 FROM nation ORDER BY 1 LIMIT 1", (5,)),
        ("untyped", "SELECT $1", ("x",)),
        ("like", "SELECT count(*) FROM nation WHERE n_name LIKE $1 || '%'", ("U",)),
        ("coalesce", "SELECT coalesce($1, 'none')", (None,)),
    ):
        try:
            statement = await connection.prepare(sql)
            say(f"inferred.{name}", ([p.name for p in statement.get_parameters()], await statement.fetchval(*values)))
        except Exception as error:
            say(f"inferred.{name}", failure(error))

    async def rows(sql, *values):
        return [tuple(row) for row in await connection.fetch(sql, *values)]

    scalars = "id, c_bool, c_int2, c_int8, c_float4, c_float8, c_numeric, c_text, c_varchar, c_char, c_date, c_time, c_timestamp, c_timestamptz, c_bytea"
    await attempt("rows", lambda: rows(f"SELECT {scalars} FROM every_type ORDER BY id"))
    await attempt("rows.arrays", lambda: rows("SELECT c_ints, c_texts FROM every_type ORDER BY id"))
    for name, sql in lines("errors"):
        try:
            await connection.fetch(sql)
            say(f"error.{name}", "none")
        except asyncpg.PostgresError as error:
            say(f"error.{name}", (type(error).__name__, error.sqlstate))
    async with connection.transaction():
        say("cursor", digest([tuple(row) async for row in connection.cursor("SELECT * FROM many ORDER BY id", prefetch=500)]))
        cursor = await connection.cursor("SELECT n_name FROM nation ORDER BY n_nationkey")
        say("cursor.first", [tuple(row) for row in await cursor.fetch(2)])
        try:
            say("cursor.forward", await cursor.forward(3))
            say("cursor.then", tuple(await cursor.fetchrow()))
        except asyncpg.PostgresError as error:
            say("cursor.forward", error.sqlstate)
    say("all", digest([tuple(row) for row in await connection.fetch("SELECT * FROM many ORDER BY id")]))
    try:
        async with connection.transaction():
            await connection.fetchval("SELECT 1 / 0")
    except asyncpg.PostgresError as error:
        say("transaction.error", error.sqlstate)
    say("transaction.after", await connection.fetchval("SELECT 1"))
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            say("isolation", (await connection.fetchval("SHOW transaction_isolation"), await connection.fetchval("SHOW transaction_read_only")))
            async with connection.transaction():
                say("nested", await connection.fetchval("SELECT 1"))
    except asyncpg.PostgresError as error:
        say("nested", error.sqlstate)
    try:
        await connection.fetch(ENDLESS, timeout=0.5)
        say("cancel", "not cancelled")
    except asyncio.TimeoutError:
        say("cancel", "timeout")
    say("cancel.after", await connection.fetchval("SELECT 1"))
    say("many", await connection.execute("SELECT 1; SELECT 2"))
    try:
        import io
        out = io.BytesIO()
        say("copy", await connection.copy_from_query("SELECT id, c_text FROM every_type ORDER BY id", output=out, format="csv"))
        say("copied", out.getvalue())
    except asyncpg.PostgresError as error:
        say("copy", error.sqlstate)
    say("server", (tuple(connection.get_server_version())[:1], connection.get_settings().server_encoding, connection.get_settings().TimeZone))
    await attempt("tables", lambda: rows("SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY($1) ORDER BY 1", list(TABLES)))
    await connection.reset()
    await connection.close()

    pool = await asyncpg.create_pool(min_size=5, max_size=20)
    sums = await asyncio.gather(*(pool.fetchval("SELECT sum(o_totalprice) FROM orders WHERE month = $1", 1 + n % 12) for n in range(60)))
    say("pool", sums[:12])
    await pool.close()


asyncio.run(main())

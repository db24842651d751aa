"""asyncpg: binary only, describes every statement, introspects types, uses portals for cursors."""

import asyncio
import datetime as dt
import decimal

import asyncpg


async def main():
    connection = await asyncpg.connect()
    row = await connection.fetchrow(
        "SELECT 1::smallint AS a, 2::int AS b, 3::bigint AS c, 2.5::float8 AS d, 12.50::numeric(10,2) AS e, 'text'::text AS f,"
        " true AS g, DATE '2024-02-29' AS h, TIMESTAMP '2024-02-29 12:34:56.5' AS i, NULL::int AS j,"
        " INTERVAL '1 day' AS l"
    )
    assert tuple(row) == (
        1, 2, 3, 2.5, decimal.Decimal("12.50"), "text", True, dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29, 12, 34, 56, 500000), None, dt.timedelta(days=1),
    ), row
    assert await connection.fetchval("SELECT $1::int + $2::int", 40, 2) == 42
    assert await connection.fetchval("SELECT count(*) FROM nation WHERE n_regionkey = $1", 3) == 5
    assert await connection.fetchval("SELECT max(o_orderdate) FROM orders WHERE o_orderdate < $1", dt.date(1995, 1, 1)) < dt.date(1995, 1, 1)

    statement = await connection.prepare("SELECT n_name FROM nation WHERE n_nationkey = $1")
    assert [attribute.type.name for attribute in statement.get_attributes()][0] in ("text", "varchar")
    names = [await statement.fetchval(number) for number in range(25)]
    assert len(set(names)) == 25

    async with connection.transaction():
        rows = 0
        async for _ in connection.cursor("SELECT x FROM generate_series(1, 5000) AS t(x)", prefetch=100):
            rows += 1
        assert rows == 5000

    for sql, error in (
        ("SELECT 1 / 0", asyncpg.DivisionByZeroError),
        ("SELECT * FROM nosuch", asyncpg.UndefinedTableError),
        ("SELEC 1", asyncpg.PostgresSyntaxError),
    ):
        try:
            await connection.fetch(sql)
            raise AssertionError(sql)
        except error:
            pass
    try:
        await connection.fetch(
            "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11",
            timeout=0.5,
        )
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    pool = await asyncpg.create_pool(min_size=5, max_size=20)
    sums = await asyncio.gather(*(pool.fetchval("SELECT sum(o_totalprice) FROM orders WHERE month = $1", 1 + n % 12) for n in range(60)))
    assert len(set(sums)) == 12
    await pool.close()


asyncio.run(main())

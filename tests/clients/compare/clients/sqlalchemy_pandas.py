"""SQLAlchemy over three drivers: reflection, values, streams, transactions; pandas' read_sql and to_sql on top of it."""

import asyncio
import datetime as dt
import decimal
import os

import pandas
import sqlalchemy as sa
from report import TABLES, digest, say
from sqlalchemy.ext.asyncio import create_async_engine

place = f"{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"

#: The columns that the queries below name.
COLUMNS = {
    "orders": ["o_totalprice", "o_orderdate", "o_orderstatus", "o_orderpriority"],
    "nation": ["n_name"],
    "many": ["id", "title", "price", "sold_on"],
    "every_type": ["id", "c_text", "c_numeric", "c_date"],
}


def attempt(name, run):
    """Shows what `run` gives, or the SQLSTATE that it ends with."""
    try:
        say(name, run())
    except sa.exc.DBAPIError as error:
        original = error.orig
        say(name, f"error {getattr(original, 'sqlstate', None) or getattr(original, 'pgcode', None)}: {str(original).splitlines()[0]}")
    except Exception as error:
        say(name, f"{type(error).__name__}: {error}")


for driver in ("psycopg", "psycopg2"):
    engine = sa.create_engine(f"postgresql+{driver}://{place}")
    inspector = sa.inspect(engine)
    attempt(f"{driver}.version", lambda: engine.dialect.server_version_info[:1])
    attempt(f"{driver}.schemas", lambda: [name for name in inspector.get_schema_names() if name in ("public", "information_schema")])
    attempt(f"{driver}.default schema", lambda: inspector.default_schema_name)
    attempt(f"{driver}.tables", lambda: sorted(name for name in inspector.get_table_names() if name in TABLES))
    attempt(f"{driver}.views", lambda: [name for name in inspector.get_view_names() if name in TABLES])
    attempt(f"{driver}.has table", lambda: (inspector.has_table("many"), inspector.has_table("totals"), inspector.has_table("nosuch")))
    attempt(f"{driver}.view definition", lambda: "sum" in inspector.get_view_definition("totals"))
    for table in TABLES:
        attempt(f"{driver}.columns.{table}", lambda: [(c["name"], repr(c["type"]), c["nullable"], c["default"], c["comment"]) for c in inspector.get_columns(table)])
    for what in ("get_pk_constraint", "get_foreign_keys", "get_indexes", "get_unique_constraints", "get_check_constraints", "get_table_comment", "get_table_options"):
        attempt(f"{driver}.{what}", lambda: getattr(inspector, what)("every_type"))
    attempt(f"{driver}.enums", lambda: inspector.get_enums())
    attempt(f"{driver}.materialized views", lambda: inspector.get_materialized_view_names())
    attempt(f"{driver}.sequences", lambda: inspector.get_sequence_names())

    metadata = sa.MetaData()
    try:
        metadata.reflect(engine, only=[name for name in TABLES if name != "totals"])
    except Exception as error:
        say(f"{driver}.reflect", f"{type(error).__name__}: {error}")
        # The rest goes on without.
        metadata.clear()
        for name, columns in COLUMNS.items():
            sa.Table(name, metadata, *(sa.Column(column) for column in columns))
    say(f"{driver}.reflected", sorted((t.name, len(t.columns)) for t in metadata.sorted_tables))
    orders, every_type, many = metadata.tables["orders"], metadata.tables["every_type"], metadata.tables["many"]
    with engine.connect() as connection:
        run = connection.execute
        attempt(f"{driver}.where", lambda: run(sa.select(sa.func.count(), sa.func.sum(orders.c.o_totalprice)).where(orders.c.o_orderdate >= dt.date(1995, 1, 1), orders.c.o_orderstatus.in_(["O", "F"]))).all())
        attempt(f"{driver}.group", lambda: run(sa.select(orders.c.o_orderpriority, sa.func.count().label("n")).group_by(orders.c.o_orderpriority).order_by(sa.desc("n")).limit(3)).all())
        attempt(f"{driver}.ilike", lambda: run(sa.select(metadata.tables["nation"].c.n_name).where(metadata.tables["nation"].c.n_name.ilike("united%")).order_by(metadata.tables["nation"].c.n_name)).all())
        attempt(f"{driver}.rows", lambda: [tuple(row) for row in run(sa.select(every_type).order_by(every_type.c.id))])
        attempt(f"{driver}.literal", lambda: run(sa.select(sa.literal(decimal.Decimal("1.50")), sa.literal(True), sa.literal(dt.datetime(2024, 2, 29, 1, 2)), sa.literal("x"), sa.literal(2.5))).all())
        attempt(f"{driver}.cast", lambda: run(sa.select(sa.cast(sa.literal("7"), sa.Integer), sa.cast(sa.literal(1), sa.String), sa.extract("year", sa.cast("2024-02-29", sa.Date)))).all())
        attempt(f"{driver}.json", lambda: run(sa.select(sa.cast({"a": 1}, sa.JSON))).all())
        connection.rollback()
        attempt(f"{driver}.error", lambda: run(sa.text("SELECT * FROM nosuch")).all())
        attempt(f"{driver}.aborted", lambda: run(sa.text("SELECT 1")).all())
        connection.rollback()
        attempt(f"{driver}.after", lambda: run(sa.text("SELECT :n + 1"), {"n": 1}).all())
        connection.rollback()
        attempt(f"{driver}.stream", lambda: digest(tuple(row) for row in connection.execution_options(stream_results=True, max_row_buffer=500).execute(sa.select(many).order_by(many.c.id))))
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        attempt(f"{driver}.isolation", lambda: connection.get_isolation_level())

    if driver == "psycopg":
        attempt("pandas.read_sql", lambda: pandas.read_sql("SELECT * FROM every_type ORDER BY id", engine).dtypes.astype(str).to_dict())
        attempt("pandas.values", lambda: pandas.read_sql("SELECT * FROM every_type ORDER BY id", engine).to_csv(index=False))
        attempt("pandas.parameters", lambda: pandas.read_sql(sa.text("SELECT n_name FROM nation WHERE n_regionkey = :key ORDER BY 1"), engine, params={"key": 3})["n_name"].tolist())
        attempt("pandas.read_sql_table", lambda: pandas.read_sql_table("many", engine, parse_dates=["sold_on"]).describe(include="number").to_csv())
        attempt("pandas.chunks", lambda: [len(part) for part in pandas.read_sql("SELECT * FROM many", engine.connect().execution_options(stream_results=True), chunksize=30000)])
        frame = pandas.DataFrame({"a": [1, 2, None], "b": ["x", None, "z"], "c": [1.5, 2.5, 3.5], "d": [dt.datetime(2024, 1, 1), None, dt.datetime(2024, 2, 29, 12)], "e": [True, False, True]})
        attempt("pandas.to_sql", lambda: frame.to_sql("from_pandas", engine, index=False, if_exists="replace"))
        attempt("pandas.to_sql.read", lambda: pandas.read_sql("SELECT * FROM from_pandas ORDER BY c", engine).to_csv(index=False))
        attempt("pandas.to_sql.append", lambda: frame.to_sql("from_pandas", engine, index=False, if_exists="append", method="multi"))
        attempt("pandas.to_sql.count", lambda: pandas.read_sql("SELECT count(*) AS n, count(a) AS a FROM from_pandas", engine).to_csv(index=False))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS from_pandas"))
    engine.dispose()


async def main():
    engine = create_async_engine(f"postgresql+asyncpg://{place}")
    scalars = "id, c_bool, c_int2, c_int8, c_float4, c_float8, c_numeric, c_text, c_date, c_time, c_timestamp, c_timestamptz, c_bytea"

    async def rows(connection, sql, values=None):
        return [tuple(row) for row in await connection.execute(sa.text(sql), values)]

    async def streamed(connection):
        result = await connection.stream(sa.text("SELECT * FROM many ORDER BY id"))
        return digest([tuple(row) async for row in result])

    async def inspected(connection, ask):
        return await connection.run_sync(lambda sync: ask(sa.inspect(sync)))

    for name, run in {
        "rows": lambda c: rows(c, f"SELECT {scalars} FROM every_type ORDER BY id"),
        "count": lambda c: rows(c, "SELECT count(*) FROM orders"),
        "error": lambda c: rows(c, "SELECT 1 / 0"),
        "parameter": lambda c: rows(c, "SELECT n_name FROM nation WHERE n_nationkey = :key", {"key": 7}),
        "tables": lambda c: inspected(c, lambda i: sorted(name for name in i.get_table_names() if name in TABLES)),
        "columns": lambda c: inspected(c, lambda i: [(column["name"], repr(column["type"])) for column in i.get_columns("every_type")]),
        "stream": streamed,
    }.items():
        async with engine.connect() as connection:
            try:
                say(f"asyncpg.{name}", await run(connection))
            except sa.exc.DBAPIError as error:
                say(f"asyncpg.{name}", f"error {error.orig.sqlstate}")
            except Exception as error:
                say(f"asyncpg.{name}", f"{type(error).__name__}: {error}")
    await engine.dispose()


asyncio.run(main())

"""polars' read_database_uri by connectorx, which reads in binary COPY, plain binary, cursor and text mode, and over ADBC."""

import os

import connectorx
import polars
from report import say

uri = f"postgresql://{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
SCALARS = "id, c_bool, c_int2, c_int8, c_float4, c_float8, c_numeric, c_text, c_varchar, c_char, c_date, c_time, c_timestamp, c_timestamptz, c_bytea"


def attempt(name, run):
    try:
        frame = run()
        say(f"{name}.schema", {column: str(kind) for column, kind in frame.schema.items()})
        say(name, frame.rows() if frame.height < 100 else (frame.height, frame.select(polars.all().hash().sum()).rows()))
    except Exception as error:
        say(name, f"{type(error).__name__}: {str(error).splitlines()[0]}")


for engine in ("connectorx", "adbc"):
    for name, sql in (
        ("rows", f"SELECT {SCALARS} FROM every_type ORDER BY id"),
        ("arrays", "SELECT c_ints FROM every_type WHERE id < 3 ORDER BY id"),
        ("many", "SELECT * FROM many ORDER BY id"),
        ("group", "SELECT o_orderpriority, count(*) AS n, sum(o_totalprice) AS s, avg(o_totalprice) AS a FROM orders GROUP BY 1 ORDER BY 1"),
        ("error", "SELECT * FROM nosuch"),
    ):
        attempt(f"{engine}.{name}", lambda: polars.read_database_uri(sql, uri, engine=engine))
for protocol in ("binary", "csv", "cursor", "simple"):
    attempt(f"protocol.{protocol}", lambda: polars.read_database_uri("SELECT * FROM many ORDER BY id", uri, protocol=protocol))
    attempt(f"protocol.{protocol}.rows", lambda: polars.read_database_uri(f"SELECT {SCALARS} FROM every_type ORDER BY id", uri, protocol=protocol))
attempt("partitioned", lambda: polars.read_database_uri("SELECT id, price FROM many", uri, partition_on="id", partition_num=3).sort("id"))
try:
    table = connectorx.read_sql(uri, "SELECT n_nationkey, n_name FROM nation ORDER BY 1", return_type="arrow")
    say("arrow", (table.num_rows, str(table.schema)))
except BaseException as error:
    say("arrow", f"{type(error).__name__}: {str(error).splitlines()[0]}")

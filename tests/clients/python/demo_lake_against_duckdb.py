"""The crawled demo lake answers as DuckDB does over the same files: Parquet, gzip CSV, JSON lines, flow logs, TSV."""

import decimal
import os
import pathlib
import urllib.request

import duckdb
import psycopg

connection = psycopg.connect("", autocommit=True)
local = duckdb.connect()

# Where each table's files are is what SHOW CREATE TABLE says.
tables = {}
for (name,) in connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type <> 'VIEW'"):
    ddl = "\n".join(row[0] for row in connection.execute(f'SHOW CREATE TABLE "{name}"'))
    location = ddl.split("LOCATION", 1)[1].split("'")[1].removeprefix("file://")
    tables[name] = pathlib.Path(location)
assert {"lineitem", "orders", "customer", "nation", "part", "partsupp", "region", "supplier"} <= set(tables), tables
assert any("vpc" in name for name in tables) and any("event" in name for name in tables), tables


def same(title, ours, theirs):
    assert len(ours) == len(theirs), (title, len(ours), len(theirs), ours[:3], theirs[:3])
    for left, right in zip(ours, theirs):
        for a, b in zip(left, right):
            numbers = (int, float, decimal.Decimal)
            if isinstance(a, numbers) and isinstance(b, numbers):
                equal = abs(float(a) - float(b)) <= 1e-6 * max(1.0, abs(float(b)))
            else:
                equal = str(a) == str(b)
            assert equal, (title, left, right)


def source(name):
    path = tables[name]
    files = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file() and not file.name.startswith((".", "_"))]
    suffix = "".join(files[0].suffixes)
    pattern = str(path / "**" / ("*" + files[0].suffix)) if path.is_dir() else str(path)
    if ".parquet" in suffix:
        return f"read_parquet('{pattern}')"
    if ".json" in suffix or ".ndjson" in suffix:
        return f"read_json_auto('{pattern}')"
    if ".log" in suffix:
        return f"read_csv('{pattern}', delim = ' ', header = true, nullstr = '-')"
    if ".tsv" in suffix:
        # Text is text: only where numbers stand beside it is `-` taken for a missing value.
        return f"read_csv('{pattern}', delim = '\\t', header = true)"
    return f"read_csv('{pattern}')"


for name in tables:
    ours = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()
    theirs = local.execute(f"SELECT count(*) FROM {source(name)}").fetchall()
    same(name, ours, theirs)
    # Every column that DuckDB finds is there, and holds as many values that are not NULL.
    described = local.execute(f"DESCRIBE SELECT * FROM {source(name)}").fetchall()
    ours_columns = {row[0] for row in connection.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s", (name,))}
    for column, *_ in described:
        # Columns of logs that are known have the names of their documentation, without hyphens.
        own = next((found for found in (column.lower(), column.lower().replace("-", "_")) if found in ours_columns), None)
        assert own, (name, column, ours_columns)
        ours = connection.execute(f'SELECT count("{own}") FROM "{name}"').fetchall()
        theirs = local.execute(f'SELECT count("{column}") FROM {source(name)}').fetchall()
        same(f"{name}.{column}", ours, theirs)

for table, sql in [
    ("lineitem", "SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice * (1 - l_discount)), count(*) FROM {} GROUP BY 1, 2 ORDER BY 1, 2"),
    ("lineitem", "SELECT count(*), min(l_shipdate), max(l_shipdate) FROM {} WHERE l_shipdate BETWEEN DATE '1995-03-01' AND DATE '1995-03-31'"),
    ("orders", "SELECT extract(year FROM o_orderdate) AS y, count(*), sum(o_totalprice) FROM {} GROUP BY 1 ORDER BY 1"),
    ("customer", "SELECT c_mktsegment, count(*), avg(c_acctbal) FROM {} GROUP BY 1 ORDER BY 1"),
]:
    same(sql, connection.execute(sql.format(table)).fetchall(), local.execute(sql.format(source(table))).fetchall())

flow = next(name for name in tables if "vpc" in name)
for sql in [
    "SELECT action, count(*), sum(packets), sum(bytes) FROM {} GROUP BY 1 ORDER BY 1 NULLS LAST",
    "SELECT dstport, count(*) FROM {} WHERE action = 'REJECT' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5",
    'SELECT "log-status", count(*), min(start), max("end") FROM {} GROUP BY 1 ORDER BY 1',
]:
    ours = sql.replace("log-status", "log_status").format(f'"{flow}"')
    same(sql, connection.execute(ours).fetchall(), local.execute(sql.format(source(flow))).fetchall())

events = next(name for name in tables if "event" in name)
for ours, theirs in [
    ("SELECT event, count(*) FROM {} GROUP BY 1 ORDER BY 1", None),
    ("SELECT \"user\"['plan'], count(*), sum(total) FROM {} WHERE event = 'checkout' GROUP BY 1 ORDER BY 1", "SELECT \"user\".plan, count(*), sum(total) FROM {} WHERE event = 'checkout' GROUP BY 1 ORDER BY 1"),
    ("SELECT request['status'], avg(request['duration_ms']) FROM {} GROUP BY 1 ORDER BY 1", "SELECT request.status, avg(request.duration_ms) FROM {} GROUP BY 1 ORDER BY 1"),
    ("SELECT sum(cardinality(items)) FROM {}", "SELECT sum(len(items)) FROM {}"),
]:
    same(ours, connection.execute(ours.format(f'"{events}"')).fetchall(), local.execute((theirs or ours).format(source(events))).fetchall())

with urllib.request.urlopen(f"http://{os.environ['LIMNOS_HTTP']}/healthz", timeout=5) as answer:
    assert answer.status == 200

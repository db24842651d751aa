"""psqlODBC by pyodbc: metadata functions, values, parameters, fetching by cursors, errors, a transaction."""

import datetime as dt
import decimal
import os
import pathlib

import pyodbc
from report import TABLES, digest, lines, say

DRIVER = next(str(path) for path in pathlib.Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))
base = f"Driver={DRIVER};Server={os.environ['PGHOST']};Port={os.environ['PGPORT']};Database={os.environ['PGDATABASE']};Uid={os.environ['PGUSER']};Pwd=x;"


def attempt(name, run):
    try:
        say(name, run())
    except pyodbc.Error as error:
        say(name, f"error {error.args[0]}: {error.args[1].split(';')[0] if len(error.args) > 1 else ''}")
        connection.rollback()
    except Exception as error:
        say(name, f"{type(error).__name__}: {error}")


def rows(found):
    return [tuple(row) for row in found]


for way, options in (("plain", ""), ("prepared", "UseServerSidePrepare=1;"), ("cursor", "UseDeclareFetch=1;Fetch=500;"), ("bytea", "ByteaAsLongVarBinary=1;BoolsAsChar=0;")):
    connection = pyodbc.connect(base + options, autocommit=way != "cursor")
    cursor = connection.cursor()
    attempt(f"{way}.rows", lambda: rows(cursor.execute("SELECT * FROM every_type ORDER BY id")))
    attempt(f"{way}.description", lambda: [(c[0], c[1].__name__, *c[2:]) for c in cursor.execute("SELECT * FROM every_type").description])
    attempt(f"{way}.many", lambda: digest(cursor.execute("SELECT * FROM many ORDER BY id")))
    for name, sql in lines("values"):
        attempt(f"{way}.{name}", lambda: cursor.execute(sql).fetchone()[0])
    for name, value in {
        "int": 7, "large": 2**40, "float": 0.1, "numeric": decimal.Decimal("1.25"), "text": "it's", "date": dt.date(2024, 2, 29),
        "timestamp": dt.datetime(2024, 2, 29, 12, 34, 56), "bytea": b"\x00\xff", "null": None, "bool": True,
    }.items():
        kind = {"int": "int", "large": "bigint", "float": "double precision", "numeric": "numeric(10,2)", "text": "text", "bool": "boolean", "null": "int"}.get(name, name)
        attempt(f"{way}.parameter.{name}", lambda: cursor.execute(f"SELECT ?::{kind}", value).fetchone()[0])
    attempt(f"{way}.where", lambda: rows(cursor.execute("SELECT count(*) FROM orders WHERE o_orderdate >= ? AND o_totalprice < ?", dt.date(1995, 6, 1), decimal.Decimal("100000.00"))))
    attempt(f"{way}.by name", lambda: rows(cursor.execute("SELECT n_nationkey FROM nation WHERE n_name = ?", "FRANCE")))
    connection.close()

connection = pyodbc.connect(base)
cursor = connection.cursor()
attempt("tables", lambda: [r for r in rows(cursor.tables(schema="public")) if r[2] in TABLES])
attempt("catalogs", lambda: [tuple(r)[:1] for r in cursor.tables(catalog="%", schema="", table="") if r[0] == os.environ["PGDATABASE"]])
attempt("table types", lambda: sorted(r[3] for r in cursor.tables(catalog="", schema="", table="", tableType="%")))
for table in TABLES:
    # Behind the standard's eighteen columns the driver has its own, the table's OID among them.
    attempt(f"columns.{table}", lambda: [row[:18] for row in rows(cursor.columns(table=table, schema="public"))])
attempt("keys", lambda: rows(cursor.primaryKeys("every_type")))
attempt("foreign keys", lambda: rows(cursor.foreignKeys("every_type")))
attempt("statistics", lambda: [tuple(r)[:3] for r in cursor.statistics("region")])
attempt("special columns", lambda: rows(cursor.rowIdColumns("every_type")))
attempt("types", lambda: sorted((r[0], r[1]) for r in cursor.getTypeInfo()))
attempt("procedures", lambda: rows(cursor.procedures(procedure="nosuch")))
for name, sql in lines("errors"):
    attempt(f"error.{name}", lambda: cursor.execute(sql) and None)
attempt("after", lambda: rows(cursor.execute("SELECT 1")))
for info in ("SQL_DBMS_NAME", "SQL_DATABASE_NAME", "SQL_IDENTIFIER_QUOTE_CHAR", "SQL_SCHEMA_TERM", "SQL_DATA_SOURCE_READ_ONLY", "SQL_MAX_IDENTIFIER_LEN", "SQL_USER_NAME"):
    attempt(f"info.{info}", lambda: connection.getinfo(getattr(pyodbc, info)))
connection.close()

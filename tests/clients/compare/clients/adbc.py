"""ADBC's driver for PostgreSQL, which is libpq and binary COPY: Arrow tables, parameters, metadata, ingestion."""

import os

import adbc_driver_postgresql.dbapi as dbapi
import pyarrow
from report import TABLES, lines, say

uri = f"postgresql://{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"


def attempt(name, run):
    try:
        say(name, run())
    except Exception as error:
        say(name, f"{type(error).__name__} {getattr(error, 'sqlstate', '')}: {str(error).splitlines()[0]}")
        connection.rollback()


connection = dbapi.connect(uri)
cursor = connection.cursor()


def arrow(sql, *parameters):
    cursor.execute(sql, *parameters)
    table = cursor.fetch_arrow_table()
    return str(table.schema.remove_metadata()), table.to_pylist() if table.num_rows < 100 else (table.num_rows, table.column(0).slice(0, 3).to_pylist())


for use_copy in (True, False):
    cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": str(use_copy).lower()})
    way = "copy" if use_copy else "plain"
    for name, sql in lines("values"):
        attempt(f"{way}.{name}", lambda: arrow(sql))
    attempt(f"{way}.rows", lambda: arrow("SELECT * FROM every_type ORDER BY id"))
    attempt(f"{way}.many", lambda: arrow("SELECT * FROM many ORDER BY id"))
for name, sql in lines("errors"):
    attempt(f"error.{name}", lambda: cursor.execute(sql) and None)
attempt("parameter", lambda: arrow("SELECT n_name FROM nation WHERE n_nationkey = $1", (7,)))
attempt("parameters", lambda: arrow("SELECT $1::int, $2::text", (7, "x")))
attempt("schema", lambda: str(connection.adbc_get_table_schema("every_type")))


def objects():
    found = connection.adbc_get_objects(depth="columns", catalog_filter=os.environ["PGDATABASE"], db_schema_filter="public").read_all().to_pylist()
    return [
        (table["table_name"], table["table_type"], [(c["column_name"], c["ordinal_position"], c["remarks"]) for c in table["table_columns"]])
        for catalog in found for schema in catalog["catalog_db_schemas"] or []
        for table in sorted(schema["db_schema_tables"] or [], key=lambda t: t["table_name"]) if table["table_name"] in TABLES
    ]


attempt("objects", objects)
attempt("table types", lambda: sorted(connection.adbc_get_table_types()))
attempt("ingest", lambda: cursor.adbc_ingest("from_adbc", pyarrow.table({"a": [1, 2, None], "b": ["x", None, "z"]}), mode="create"))
attempt("ingested", lambda: arrow("SELECT * FROM from_adbc ORDER BY a"))
attempt("drop", lambda: cursor.execute("DROP TABLE IF EXISTS from_adbc") and None)
connection.commit()
connection.close()

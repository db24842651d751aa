"""psycopg 3: values as text and in binary, parameters, prepared statements, a pipeline, cursors on both sides, errors, a cancel."""

import datetime as dt
import decimal
import threading
import time
import uuid

import psycopg
from psycopg.types.json import Json
from report import ENDLESS, TABLES, digest, lines, say, seconds

connection = psycopg.connect("", autocommit=True)

for form, binary in (("text", False), ("binary", True)):
    for name, sql in lines("values"):
        cursor = connection.cursor(binary=binary)
        try:
            value = cursor.execute(sql).fetchone()[0]
        except psycopg.Error as error:
            value = f"error {error.sqlstate}"
        except Exception as error:
            value = f"not understood: {error!r}"
        if not binary and cursor.description:
            column = cursor.description[0]
            say(f"type.{name}", (column.name, column.type_code, column.precision, column.scale, column.internal_size))
        say(f"{form}.{name}", value)

parameters = {
    "bool": (True, "boolean"), "int": (7, "int"), "large": (2**40, "bigint"), "float": (0.1, "double precision"),
    "numeric": (decimal.Decimal("1.25"), "numeric(10,2)"), "text": ("it's", "text"), "varchar": ("x", "varchar(5)"),
    "date": (dt.date(2024, 2, 29), "date"), "time": (dt.time(12, 34, 56), "time"),
    "timestamp": (dt.datetime(2024, 2, 29, 12, 34, 56, 789000), "timestamp"),
    "timestamptz": (dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc), "timestamptz"),
    "interval": (dt.timedelta(days=1, seconds=2), "interval"), "bytea": (b"\x00\xff", "bytea"),
    "uuid": (uuid.UUID(int=7), "uuid"), "json": (Json({"a": 1}), "json"), "ints": ([1, 2], "int[]"),
    "texts": (["a", "b c"], "text[]"), "null": (None, "int"), "null.text": (None, "text"),
}
for name, (value, kind) in parameters.items():
    for form in ("%s", "%b", "%t"):
        try:
            say(f"parameter.{name}.{form[1]}", connection.execute(f"SELECT {form}::{kind}", (value,)).fetchone()[0])
        except Exception as error:
            say(f"parameter.{name}.{form[1]}", f"{type(error).__name__} {getattr(error, 'sqlstate', error)}")
say("where", connection.execute("SELECT count(*) FROM orders WHERE o_orderdate >= %s AND o_totalprice < %s", (dt.date(1995, 6, 1), 100000)).fetchone())
say("any", connection.execute("SELECT n_name FROM nation WHERE n_name = ANY(%s) ORDER BY 1", (["FRANCE", "GERMANY"],)).fetchall())
say("like", connection.execute("SELECT n_name FROM nation WHERE n_name LIKE %s ORDER BY 1", ("U%",)).fetchall())
say("limit", connection.execute("SELECT n_name FROM nation ORDER BY n_nationkey LIMIT %s OFFSET %s", (2, 3)).fetchall())
say("rows", connection.execute("SELECT * FROM every_type ORDER BY id").fetchall())
say("rows.binary", connection.cursor(binary=True).execute("SELECT * FROM every_type ORDER BY id").fetchall())
say("columns", [(c.name, c.type_display) for c in connection.execute("SELECT * FROM every_type LIMIT 0").description])

for name, sql in lines("errors"):
    try:
        connection.execute(sql)
        say(f"error.{name}", "none")
    except psycopg.Error as error:
        say(f"error.{name}", error.sqlstate)
        say(f"message.{name}", error.diag.message_primary)
        say(f"position.{name}", error.diag.statement_position)
say("after errors", connection.execute("SELECT 1").fetchone())

say("prepared", [connection.execute("SELECT n_name FROM nation WHERE n_nationkey = %s", (n,), prepare=True).fetchone()[0] for n in range(10)])
with psycopg.connect("", autocommit=True) as piped:
    with piped.pipeline():
        results = [piped.execute("SELECT %s::int", (number,)) for number in range(50)]
    say("pipeline", [result.fetchone()[0] for result in results])
    try:
        with piped.pipeline() as pipeline:
            piped.execute("SELECT 1")
            piped.execute("SELECT 1 / 0")
            piped.execute("SELECT 2")
    except psycopg.Error as error:
        say("pipeline.error", error.sqlstate)
    say("pipeline.after", piped.execute("SELECT 3").fetchone())
    piped.cursor().executemany("SELECT %s::int", [(1,), (2,)])

say("stream", digest(psycopg.connect("").cursor().stream("SELECT * FROM many ORDER BY id")))
say("all", digest(connection.execute("SELECT * FROM many ORDER BY id")))
try:
    with psycopg.connect("") as other, other.cursor("named") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT * FROM many ORDER BY id")
        say("cursor", digest(cursor))
    with psycopg.connect("") as other, other.cursor("scrolls", scrollable=True) as cursor:
        cursor.execute("SELECT n_name FROM nation ORDER BY n_nationkey")
        cursor.scroll(10)
        say("cursor.moved", cursor.fetchone())
        cursor.scroll(-5)
        say("cursor.back", cursor.fetchmany(2))
except psycopg.Error as error:
    say("cursor.error", error.sqlstate)
for form in ("", " (FORMAT csv, HEADER)", " (FORMAT binary)"):
    try:
        with connection.cursor().copy(f"COPY (SELECT * FROM every_type ORDER BY id) TO STDOUT{form}") as copy:
            say(f"copy{form}", b"".join(bytes(part) for part in copy))
    except psycopg.Error as error:
        say(f"copy{form}", error.sqlstate)

with psycopg.connect("") as other:
    say("status", (other.info.transaction_status.name, other.execute("SELECT 1").fetchone(), other.info.transaction_status.name))
    try:
        other.execute("SELECT 1 / 0")
    except psycopg.Error as error:
        say("transaction.error", (error.sqlstate, other.info.transaction_status.name))
    try:
        other.execute("SELECT 1")
    except psycopg.Error as error:
        say("transaction.aborted", error.sqlstate)
    other.rollback()
    say("transaction.after", (other.execute("SELECT 2").fetchone(), other.info.transaction_status.name))
    try:
        with other.transaction():
            other.execute("SELECT 1")
        say("savepoint", "kept")
    except psycopg.Error as error:
        say("savepoint", error.sqlstate)
    other.rollback()

for name, sql in (("cancel", ENDLESS), ("cancel.sleep", "SELECT pg_sleep(30)")):
    began = time.monotonic()
    threading.Timer(0.5, connection.cancel).start()
    try:
        connection.execute(sql)
        say(name, "not cancelled")
    except psycopg.Error as error:
        say(name, (error.sqlstate, error.diag.message_primary, seconds(began, 8)))
    say(f"{name}.after", connection.execute("SELECT 1").fetchone())
connection.execute("SET statement_timeout = 300")
try:
    connection.execute(ENDLESS)
except psycopg.Error as error:
    say("timeout", (error.sqlstate, error.diag.message_primary))
connection.execute("RESET statement_timeout")

for name in ("server_version", "server_encoding", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "is_superuser", "session_authorization", "in_hot_standby"):
    say(f"status.{name}", connection.info.parameter_status(name))
notices = []
connection.add_notice_handler(lambda notice: notices.append((notice.sqlstate, notice.severity, notice.message_primary)))
connection.execute("DROP TABLE IF EXISTS nosuch")
say("notice", notices)
say("tables", [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s) ORDER BY 1", (list(TABLES),))])
say("information_schema", connection.execute(
    "SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, numeric_precision,"
    " numeric_scale, datetime_precision, udt_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY(%s) ORDER BY 1, 3",
    (list(TABLES),)).fetchall())
connection.close()
for _ in range(20):
    with psycopg.connect("") as again:
        again.execute("SELECT 1")
say("reconnected", "20 times")

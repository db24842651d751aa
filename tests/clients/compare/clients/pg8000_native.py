"""pg8000, which is Python alone: DB-API and its own interface, values, parameters, errors, transactions."""

import datetime as dt
import decimal
import os
import uuid

import pg8000.dbapi
import pg8000.native
from report import TABLES, digest, lines, say

place = {"user": os.environ["PGUSER"], "host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]), "database": os.environ["PGDATABASE"]}
connection = pg8000.native.Connection(**place)


def state(error):
    return error.args[0]["C"] if isinstance(error.args[0], dict) else str(error)


for name, sql in lines("values"):
    try:
        value = connection.run(sql)[0][0]
        column = connection.columns[0]
        say(f"type.{name}", (column["name"], column["type_oid"], column["type_size"], column["type_modifier"]))
        say(f"value.{name}", value)
    except pg8000.native.DatabaseError as error:
        say(f"value.{name}", f"error {state(error)}")
for name, kind, value in (
    ("bool", "boolean", True), ("int", "int", 7), ("large", "bigint", 2**40), ("float", "double precision", 0.1),
    ("numeric", "numeric(10,2)", decimal.Decimal("1.25")), ("text", "text", "it's"), ("date", "date", dt.date(2024, 2, 29)),
    ("time", "time", dt.time(12, 34, 56)), ("timestamp", "timestamp", dt.datetime(2024, 2, 29, 12, 34, 56, 789000)),
    ("timestamptz", "timestamptz", dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)), ("interval", "interval", dt.timedelta(days=1, seconds=2)),
    ("bytea", "bytea", b"\x00\xff"), ("uuid", "uuid", uuid.UUID(int=7)), ("ints", "int[]", [1, None]), ("texts", "text[]", ["a", "b c"]), ("null", "int", None),
):
    try:
        say(f"parameter.{name}", connection.run(f"SELECT CAST(:value AS {kind})", value=value)[0][0])
    except pg8000.native.DatabaseError as error:
        say(f"parameter.{name}", f"error {state(error)}")
say("where", connection.run("SELECT count(*) FROM orders WHERE o_orderdate >= :since AND o_totalprice < :price", since=dt.date(1995, 6, 1), price=100000))
say("rows", connection.run("SELECT * FROM every_type ORDER BY id"))
for name, sql in lines("errors"):
    try:
        connection.run(sql)
        say(f"error.{name}", "none")
    except pg8000.native.DatabaseError as error:
        say(f"error.{name}", state(error))
        say(f"message.{name}", error.args[0]["M"])
        say(f"position.{name}", error.args[0].get("P"))
prepared = connection.prepare("SELECT n_name FROM nation WHERE n_nationkey = :key")
say("prepared", [prepared.run(key=key)[0][0] for key in range(10)])
prepared.close()
say("all", digest(connection.run("SELECT * FROM many ORDER BY id")))
connection.run("BEGIN")
try:
    connection.run("SELECT 1 / 0")
except pg8000.native.DatabaseError as error:
    say("transaction.error", state(error))
try:
    connection.run("SELECT 1")
except pg8000.native.DatabaseError as error:
    say("transaction.aborted", state(error))
connection.run("ROLLBACK")
say("transaction.after", connection.run("SELECT 1"))
say("tables", connection.run("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name = ANY(:names) ORDER BY 1", names=list(TABLES)))
connection.close()
for _ in range(10):
    again = pg8000.dbapi.connect(**place)
    cursor = again.cursor()
    cursor.execute("SELECT %s::int + 1", (1,))
    cursor.fetchall()
    again.rollback()
    again.close()
say("reconnected", "10 times")

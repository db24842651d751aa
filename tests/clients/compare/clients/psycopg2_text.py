"""psycopg2: parameters put into the text by the client, named cursors, COPY, notices, errors, a cancel."""

import datetime as dt
import decimal
import io
import threading
import time
import uuid

import psycopg2
import psycopg2.extras
from report import ENDLESS, TABLES, digest, lines, say, seconds

psycopg2.extras.register_uuid()
connection = psycopg2.connect("")
connection.autocommit = True
cursor = connection.cursor()

for name, sql in lines("values"):
    try:
        cursor.execute(sql)
        column = cursor.description[0]
        say(f"type.{name}", (column.name, column.type_code, column.precision, column.scale, column.internal_size))
        say(f"value.{name}", cursor.fetchone()[0])
    except psycopg2.Error as error:
        say(f"value.{name}", f"error {error.pgcode}")

for name, value in {
    "bool": True, "int": 7, "large": 2**40, "float": 0.1, "numeric": decimal.Decimal("1.25"), "text": "it's \\ %",
    "date": dt.date(2024, 2, 29), "time": dt.time(12, 34, 56), "timestamp": dt.datetime(2024, 2, 29, 12, 34, 56, 789000),
    "timestamptz": dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc), "interval": dt.timedelta(days=1, seconds=2),
    "bytea": b"\x00\xff", "uuid": uuid.UUID(int=7), "json": psycopg2.extras.Json({"a": 1}), "ints": [1, 2], "texts": ["a", "b c"], "null": None,
}.items():
    try:
        cursor.execute("SELECT %s", (value,))
        say(f"parameter.{name}", cursor.fetchone()[0])
    except psycopg2.Error as error:
        say(f"parameter.{name}", f"error {error.pgcode}")
cursor.execute("SELECT count(*) FROM orders WHERE o_orderdate >= %(since)s AND o_orderstatus IN %(states)s", {"since": dt.date(1995, 6, 1), "states": ("O", "F")})
say("where", cursor.fetchone())
cursor.execute("SELECT * FROM every_type ORDER BY id")
say("rows", cursor.fetchall())

for name, sql in lines("errors"):
    try:
        cursor.execute(sql)
        say(f"error.{name}", "none")
    except psycopg2.Error as error:
        say(f"error.{name}", error.pgcode)
        say(f"message.{name}", error.diag.message_primary)
        say(f"position.{name}", error.diag.statement_position)
cursor.execute("SELECT 1; SELECT 2")
say("two statements", cursor.fetchall())
say("status", cursor.statusmessage)

with psycopg2.connect("") as other:
    with other.cursor() as inside:
        inside.execute("SELECT 1")
        say("transaction", other.get_transaction_status())
        try:
            inside.execute("SELECT 1 / 0")
        except psycopg2.Error as error:
            say("transaction.error", (error.pgcode, other.get_transaction_status()))
        try:
            inside.execute("SELECT 1")
        except psycopg2.Error as error:
            say("transaction.aborted", error.pgcode)
        other.rollback()
        inside.execute("SELECT 2")
        say("transaction.after", inside.fetchone())
other.close()
other = psycopg2.connect("")
other.set_session(readonly=True, isolation_level="REPEATABLE READ")
with other.cursor() as inside:
    inside.execute("SHOW transaction_read_only")
    say("readonly", inside.fetchone())
other.rollback()
try:
    with other.cursor("named") as inside:
        inside.itersize = 1000
        inside.execute("SELECT * FROM many ORDER BY id")
        say("cursor", digest(inside))
except psycopg2.Error as error:
    say("cursor", error.pgcode)
other.close()
cursor.execute("SELECT * FROM many ORDER BY id")
say("all", digest(cursor))
copied = io.StringIO()
try:
    cursor.copy_expert("COPY (SELECT * FROM every_type ORDER BY id) TO STDOUT WITH CSV HEADER", copied)
    say("copy", copied.getvalue())
except psycopg2.Error as error:
    say("copy", error.pgcode)

began = time.monotonic()
threading.Timer(0.5, connection.cancel).start()
try:
    cursor.execute(ENDLESS)
    say("cancel", "not cancelled")
except psycopg2.Error as error:
    say("cancel", (error.pgcode, seconds(began, 8)))
cursor.execute("SELECT 1")
say("cancel.after", cursor.fetchone())
cursor.execute("DROP TABLE IF EXISTS nosuch")
say("notices", connection.notices)
say("server", (connection.server_version >= 150000, connection.protocol_version, connection.encoding, connection.get_parameter_status("TimeZone")))
cursor.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' AND table_name = ANY(%s) ORDER BY 1", (list(TABLES),))
say("tables", cursor.fetchall())
connection.close()
for _ in range(20):
    again = psycopg2.connect("")
    again.close()
say("reconnected", "20 times")

"""pgcli below its prompt: what it loads for its completion, statements, and its own \\d and kin, which ask otherwise than psql."""

import os

from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial
from report import TABLES, say

pg = PGExecute(os.environ["PGDATABASE"], os.environ["PGUSER"], "", os.environ["PGHOST"], os.environ["PGPORT"], "")
special = PGSpecial()


def attempt(name, run):
    try:
        say(name, run())
    except Exception as error:
        say(name, f"{type(error).__name__} {str(error).splitlines()[0]}")


def run(statement):
    shown = []
    for title, rows, headers, status, *_, success, _ in pg.run(statement, special, on_error_resume=True):
        rows = [tuple(row) for row in rows] if rows is not None and not isinstance(rows, str) else rows
        shown.append((title, rows, list(headers) if headers and not isinstance(headers, str) else headers, status.splitlines()[0] if status and success else bool(status)))
    return shown


attempt("schemata", lambda: sorted(name for name in pg.schemata() if name in ("public", "information_schema")))
attempt("search path", lambda: pg.search_path())
attempt("tables", lambda: sorted(row for row in pg.tables() if row[1] in TABLES))
attempt("views", lambda: sorted(row for row in pg.views() if row[1] in TABLES))
attempt("table columns", lambda: sorted(tuple(row) for row in pg.table_columns() if row[1] in TABLES))
attempt("view columns", lambda: sorted(tuple(row) for row in pg.view_columns() if row[1] in TABLES))
attempt("foreign keys", lambda: list(pg.foreignkeys()))
attempt("databases", lambda: os.environ["PGDATABASE"] in pg.databases())
attempt("datatypes", lambda: sorted(row for row in pg.datatypes() if row[0] == "public"))
attempt("functions", lambda: len(list(pg.functions())) > 0)
attempt("casing", lambda: len(list(pg.casing())) >= 0)
attempt("view definition", lambda: "sum" in pg.view_definition("totals").lower())
for statement in (
    "SELECT n_name FROM nation ORDER BY n_nationkey LIMIT 3", "SELECT 1; SELECT 2", "SELECT * FROM nosuch", "SELECT 1",
    "SELECT id, c_bool, c_int8, c_numeric, c_text, c_date, c_timestamp FROM every_type ORDER BY id",
    "\\d many", "\\d+ many", "\\d totals", "\\dt nation", "\\dv totals", "\\dn public", "\\df nosuch", "\\du limnos", "\\dT nosuch", "\\l lake", "\\di many", "\\dp nation", "\\sf nosuch",
):
    attempt(statement, lambda: run(statement))

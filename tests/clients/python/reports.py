"""A report's workbook as openpyxl reads it, and its page: types, formats, a frozen header, a filter, charts, no formula."""

import datetime as dt
import os
import pathlib

import openpyxl
import psycopg

lake = pathlib.Path(os.environ["LIMNOS_DEMO"]) / "logs"
out = lake / "reports_by_openpyxl"

with psycopg.connect(autocommit=True) as connection:
    connection.execute("DROP REPORT IF EXISTS for_openpyxl")
    connection.execute(
        f"""
        CREATE REPORT for_openpyxl TITLE 'Orders' TIME ZONE 'Asia/Seoul'
          TO '{out}/{{scheduled_date}}.xlsx', '{out}/page.html'
          CHART LINE (month, total) ON by_month TITLE 'By month'
          CHART BAR (status, orders) ON "by:status"
          AS (
            by_month AS (SELECT date_trunc('month', o_orderdate)::date AS month, sum(o_totalprice) AS total
                         FROM orders GROUP BY 1 ORDER BY 1),
            "by:status" AS (SELECT o_orderstatus AS status, count(*) AS orders FROM orders GROUP BY 1 ORDER BY 1),
            kinds AS (SELECT 1234567 AS n, 12345678901234567890.12::numeric(30,2) AS long, true AS yes, NULL::int AS nothing,
                             TIMESTAMPTZ '2026-01-31 12:00:00+00' AS at, '=1+1' AS formula, DATE '1800-01-01' AS early)
          )
        """
    )
    connection.execute("RUN REPORT for_openpyxl AT '2026-01-01 20:00+00'")
    orders = dict(connection.execute("SELECT o_orderstatus, count(*) FROM orders GROUP BY 1").fetchall())
    connection.execute("DROP REPORT for_openpyxl")

book = openpyxl.load_workbook(out / "2026-01-02.xlsx")
assert book.sheetnames == ["by_month", "by_status", "kinds"], book.sheetnames
for sheet in book:
    assert sheet.freeze_panes == "A2", sheet.freeze_panes
    assert sheet["A1"].font.bold, sheet.title
    assert sheet.auto_filter.ref.startswith("A1:"), sheet.auto_filter.ref
    assert sheet.column_dimensions["A"].width > 8, sheet.column_dimensions["A"].width

months = book["by_month"]
assert isinstance(months["A2"].value, dt.datetime) and months["A2"].number_format == "yyyy-mm-dd", months["A2"].value
assert isinstance(months["B2"].value, (int, float)) and months["B2"].number_format.startswith("#,##0"), months["B2"].number_format
assert len(months._charts) == 1, "the chart of by_month"
counted = {row[0]: row[1] for row in book["by_status"].iter_rows(min_row=2, values_only=True)}
assert counted == orders, (counted, orders)
assert len(book["by_status"]._charts) == 1, "the chart of by:status"

kinds = [cell for cell in book["kinds"][2]]
values = [cell.value for cell in kinds]
expected = [1234567, "12345678901234567890.12", True, None, dt.datetime(2026, 1, 31, 21, 0), "=1+1", "1800-01-01"]
assert values == expected, values
assert kinds[5].data_type in ("s", "inlineStr"), f"a text became a formula: {kinds[5].data_type}"

page = (out / "page.html").read_text()
assert page.count("<svg") == 2 and "<script" not in page and "http:" not in page and "https:" not in page, "the page"
assert sorted(path.name for path in out.iterdir()) == ["2026-01-02.xlsx", "page.html"], list(out.iterdir())

"""TPC-DS by DuckDB's extension: generate.py SCALE FOLDER -> FOLDER/tables/TABLE/part-0.parquet, FOLDER/queries/qNN.sql

Run with the folder `generators` of the environment before all others on PYTHONPATH. The queries are the benchmark's own, so
they are made here and not kept with the source.
"""

import glob
import os
import sys

import duckdb
import duckdb_extension_tpcds

scale, folder = float(sys.argv[1]), sys.argv[2]
extension = glob.glob(f"{next(iter(duckdb_extension_tpcds.__path__))}/extensions/*/tpcds.duckdb_extension")[0]
os.makedirs(folder, exist_ok=True)
database = os.path.join(folder, "making.duckdb")
connection = duckdb.connect(database, config={"allow_unsigned_extensions": "true"})
connection.execute(f"LOAD '{extension}'")
connection.execute(f"CALL dsdgen(sf = {scale})")
for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
    os.makedirs(f"{folder}/tables/{table}", exist_ok=True)
    connection.execute(f"COPY {table} TO '{folder}/tables/{table}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)")
os.makedirs(f"{folder}/queries", exist_ok=True)
for number, sql in connection.execute("SELECT query_nr, query FROM tpcds_queries()").fetchall():
    with open(f"{folder}/queries/q{number:02}.sql", "w") as file:
        file.write(sql.strip() + "\n")
connection.close()
os.remove(database)

"""One engine behind a pipe: JSON lines in, JSON lines out. Usage: peer.py duckdb|chdb|datafusion THREADS MEMORY_BYTES [SETTINGS]

    {"do": "table", "name": ..., "files": ..., "format": "parquet" | "csv", "columns": [[name, type], ...], "memory": null | kind}
    {"do": "query", "sql": ..., "rows": true | false}  ->  {"ms": ..., "count": ..., "kinds": [...], "rows": [[text | null, ...], ...]}
    {"do": "s3", "endpoint": ..., "bucket": ..., "key": ..., "secret": ...}

An answer is {"error": ...} when the engine said no. A query's time is from its text to its last row in this process; making
texts of the rows comes after. A row's values are texts as PostgreSQL writes them; a kind is "exact", "float" or "text".
SETTINGS are the
engine's own, name=value with & between. `files` is a glob. Memory, processor time and the like are read from outside: an engine has this process to itself.
"""

import decimal
import glob
import json
import math
import os
import sys
import tempfile
import time


def text_of(value):
    """A value as PostgreSQL writes it."""
    if value is None:
        return None
    if value is True or value is False:
        return "t" if value else "f"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else value.isoformat()
    return str(value)


def arrow_answer(table, with_rows):
    """What is said of rows in Arrow."""
    import pyarrow.types as types

    def kind(data_type):
        if types.is_floating(data_type):
            return "float"
        return "exact" if types.is_integer(data_type) or types.is_decimal(data_type) else "text"

    answer = {"count": table.num_rows, "kinds": [kind(field.type) for field in table.schema]}
    if with_rows:
        columns = [[text_of(value) for value in column.to_pylist()] for column in table.columns]
        answer["rows"] = [list(row) for row in zip(*columns)]
    return answer


class DuckDb:
    def __init__(self, threads, memory, settings):
        import duckdb

        self.spill = tempfile.TemporaryDirectory()
        config = {"threads": threads, "memory_limit": f"{memory}B", "temp_directory": self.spill.name}
        self.connection = duckdb.connect(config={**config, "allow_unsigned_extensions": "true"})
        for name, value in settings.items():
            self.connection.execute(f"SET {name} = '{value}'")
        # As PostgreSQL has it, and Limnos.
        self.connection.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        self.version = f"DuckDB {duckdb.__version__}"

    def s3(self, endpoint, bucket, key, secret):
        import duckdb_extension_httpfs

        folder = next(iter(duckdb_extension_httpfs.__path__))
        extension = glob.glob(f"{folder}/extensions/*/httpfs.duckdb_extension")[0]
        self.connection.execute(f"LOAD '{extension}'")
        host = endpoint.split("//")[1]
        self.connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false, "
            "REGION 'us-east-1')"
        )

    def table(self, name, files, format, columns, memory):
        if format == "csv":
            typed = ", ".join(f"'{column}': '{kind}'" for column, kind in columns)
            source = f"read_csv('{files}', header = true, columns = {{{typed}}})"
        else:
            source = f"read_parquet('{files}')"
        kind = "TABLE" if memory else "VIEW"
        self.connection.execute(f"CREATE {kind} {name} AS SELECT * FROM {source}")

    def query(self, sql):
        return self.connection.execute(sql).to_arrow_table()

    def answer(self, result, with_rows):
        return arrow_answer(result, with_rows)


class ChDb:
    """ClickHouse in the process."""

    def __init__(self, threads, memory, settings):
        import chdb
        from chdb import session

        self.session = session.Session()
        all_settings = {
            **settings,
            "max_threads": threads,
            "max_memory_usage": memory,
            "max_bytes_before_external_group_by": memory // 2,
            "max_bytes_before_external_sort": memory // 2,
            # The SQL standard's meaning where ClickHouse has its own.
            "join_use_nulls": 1,
            "aggregate_functions_null_for_empty": 1,
            "union_default_mode": "DISTINCT",
            "cast_keep_nullable": 1,
            "prefer_column_name_to_alias": 1,
            "data_type_default_nullable": 1,
            "schema_inference_make_columns_nullable": 1,
            "allow_experimental_correlated_subqueries": 1,
        }
        for name, value in all_settings.items():
            try:
                self.session.query(f"SET {name} = {value!r}")
            except Exception:  # a setting that this release no longer has is its default
                pass
        self.location = None
        self.version = f"ClickHouse {self.session.query('SELECT version()', 'TSV').data().strip()} (chdb {chdb.__version__})"

    def s3(self, endpoint, bucket, key, secret):
        self.location = lambda files: f"s3('{endpoint}/{files.removeprefix('s3://')}', '{key}', '{secret}', 'Parquet')"

    def table(self, name, files, format, columns, memory):
        names = {"bigint": "Int64", "int": "Int32", "double": "Float64", "date": "Date32", "timestamp": "DateTime64(6)"}

        def type_of(kind):
            return kind.replace("decimal", "Decimal") if kind.startswith("decimal") else names.get(kind, "String")

        if self.location:
            source = self.location(files)
        elif format == "csv":
            structure = ", ".join(f"{column} {type_of(kind)}" for column, kind in columns)
            source = f"file('{files}', 'CSVWithNames', '{structure}')"
        else:
            source = f"file('{files}', 'Parquet')"
        if memory:
            engine = "MergeTree ORDER BY tuple()" if memory == "mergetree" else "Memory"
            self.session.query(f"CREATE TABLE {name} ENGINE = {engine} AS SELECT * FROM {source}")
        else:
            self.session.query(f"CREATE VIEW {name} AS SELECT * FROM {source}")

    def query(self, sql):
        # A text, since Arrow has a DateTime as a number.
        return self.session.query(sql.rstrip().rstrip(";"), "TSVWithNamesAndTypes").bytes()

    def answer(self, result, with_rows):
        def kind(type_name):
            if "Float" in type_name:
                return "float"
            return "exact" if "Int" in type_name or "Decimal" in type_name else "text"

        escapes = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}

        def value_of(field, type_name):
            if field == "\\N":
                return None
            if "Bool" in type_name:
                return field[0]
            if "Float" in type_name:
                return "NaN" if field == "nan" else field
            if "\\" in field:
                characters = iter(field)
                field = "".join(
                    (lambda next_one: escapes.get(next_one, next_one))(next(characters)) if character == "\\" else character
                    for character in characters
                )
            if "DateTime" in type_name and "." in field:
                # PostgreSQL writes no zeros at the end.
                field = field.rstrip("0").rstrip(".")
            return field

        lines = result.decode("utf-8", "replace").split("\n")
        types = lines[1].split("\t") if len(lines) > 1 else []
        rows = lines[2:-1]
        answer = {"count": len(rows), "kinds": [kind(name) for name in types]}
        if with_rows:
            answer["rows"] = [[value_of(*pair) for pair in zip(row.split("\t"), types)] for row in rows]
        return answer


class DataFusion:
    def __init__(self, threads, memory, settings):
        import datafusion

        config = datafusion.SessionConfig().with_target_partitions(threads).with_default_catalog_and_schema("bench", "public")
        config = config.set("datafusion.sql_parser.default_null_ordering", "nulls_max")
        # 0.5 is a decimal for the others.
        config = config.set("datafusion.sql_parser.parse_float_as_decimal", "true")
        for name, value in settings.items():
            config = config.set(name, value)
        runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(memory)
        self.context = datafusion.SessionContext(config, runtime)
        self.threads = threads
        self.version = f"DataFusion {datafusion.__version__} (Python)"

    def s3(self, endpoint, bucket, key, secret):
        from datafusion.object_store import AmazonS3

        store = AmazonS3(
            bucket_name=bucket, region="us-east-1", access_key_id=key, secret_access_key=secret, endpoint=endpoint, allow_http=True
        )
        self.context.register_object_store("s3://", store, host=bucket)

    def table(self, name, files, format, columns, memory):
        # A folder is a table; a glob isn't.
        folder = os.path.dirname(files) + "/"
        if format == "csv":
            kinds = ", ".join(f"{column} {'varchar' if kind == 'string' else kind}" for column, kind in columns)
            self.sql(f"CREATE EXTERNAL TABLE {name} ({kinds}) STORED AS CSV LOCATION '{folder}' OPTIONS ('format.has_header' 'true')")
        else:
            source = f"{name}_files" if memory else name
            self.sql(f"CREATE EXTERNAL TABLE {source} STORED AS PARQUET LOCATION '{folder}'")
            if memory:
                partitions = self.context.sql(f"SELECT * FROM {source}").collect_partitioned()
                partitions = [partition for partition in partitions if partition]
                self.context.register_record_batches(name, partitions)

    def sql(self, sql):
        self.context.sql(sql).collect()

    def query(self, sql):
        frame = self.context.sql(sql)
        return frame.schema(), frame.collect()

    def answer(self, result, with_rows):
        import pyarrow

        schema, batches = result
        # A plan's schema may call a column nullable and its batches not.
        schema = batches[0].schema if batches else schema
        return arrow_answer(pyarrow.Table.from_batches(batches, schema), with_rows)


def main():
    engines = {"duckdb": DuckDb, "chdb": ChDb, "datafusion": DataFusion}
    # What an engine prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    settings = [setting.split("=", 1) for setting in "".join(sys.argv[4:5]).split("&") if setting]
    engine = engines[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), dict(settings))
    say({"version": engine.version})
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        try:
            if what == "query":
                began = time.perf_counter()
                result = engine.query(request["sql"])
                ms = (time.perf_counter() - began) * 1e3
                say({"ms": ms, **engine.answer(result, request["rows"])})
                del result
            else:
                getattr(engine, what)(**request)
                say({})
        except Exception as error:
            say({"error": str(error).strip()[:2000] or type(error).__name__})


main()

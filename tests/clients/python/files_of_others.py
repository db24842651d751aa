"""Files of other programs are read as they meant them, and ours are read by other programs as we meant them.

pyarrow and fastavro write each format with each compression; Limnos must answer the values that went in. Then Limnos writes
(CREATE TABLE AS), and pyarrow, fastavro and DuckDB must read the values that it answers itself.
"""

import bz2
import datetime as dt
import decimal
import gzip
import json
import lzma
import os
import pathlib
import shutil

import duckdb
import fastavro
import psycopg
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as feather
import pyarrow.orc as po
import pyarrow.parquet as pq

lake = pathlib.Path(os.environ["LIMNOS_DEMO"]) / "logs" / "files_of_others"
shutil.rmtree(lake, ignore_errors=True)
lake.mkdir(parents=True)
connection = psycopg.connect("", autocommit=True)
connection.execute("SET timezone = 'UTC'")

ROWS = 500
D = decimal.Decimal
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("small", pa.int32()),
        ("flag", pa.bool_()),
        ("ratio", pa.float64()),
        ("price", pa.decimal128(18, 4)),
        ("name", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us")),
        ("raw", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("city", pa.string()), ("zip", pa.int32())])),
    ]
)
HIVE = {
    "id": "bigint", "small": "int", "flag": "boolean", "ratio": "double", "price": "decimal(18,4)", "name": "string", "day": "date",
    "at": "timestamp", "raw": "binary", "tags": "array<string>", "place": "struct<city:string,zip:int>",
}


def rows():
    for n in range(ROWS):
        null = n % 11 == 3
        yield {
            "id": n,
            "small": None if null else (n * 7919) % 100_003 - 50_000,
            "flag": None if n % 13 == 5 else n % 2 == 0,
            "ratio": None if null else n / 7,
            "price": None if null else D(n * 12_345 - 1_000_000).scaleb(-4),
            "name": None if n % 17 == 2 else ["", "a,b", 'say "hi"', "línea\n2", "tab\there", f"name {n}"][n % 6],
            "day": None if null else dt.date(1999, 12, 25) + dt.timedelta(days=n),
            "at": None if null else dt.datetime(1969, 12, 31, 23, 59, 59, 123_456) + dt.timedelta(hours=31 * n),
            "raw": None if null else bytes([n % 256, 0, 255]),
            "tags": None if null else [] if n % 5 == 0 else ["x", None, f"t{n}"],
            "place": None if null else {"city": f"c{n % 9}", "zip": None if n % 4 == 0 else n},
        }


TABLE = pa.Table.from_pylist(list(rows()), schema=SCHEMA)
FLAT = [field.name for field in SCHEMA if field.name not in ("raw", "tags", "place")]


def plain(value):
    """A value as both sides can be compared: JSON text of a struct as what it says, binary as bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, str) and value[:1] == "{":
        return json.loads(value)
    return value


def ask(sql):
    return [tuple(plain(value) for value in row) for row in connection.execute(sql)]


def same(title, ours, theirs):
    assert len(ours) == len(theirs), (title, len(ours), len(theirs))
    for mine, other in zip(ours, theirs):
        assert mine == other, (title, mine, other)


def expected(columns):
    return [tuple(row[name] for name in columns) for row in TABLE.to_pylist()]


def reads(title, folder, stored_as, columns, properties=""):
    """A table over `folder` answers TABLE's values."""
    table = f"others_{title}"
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    definition = ", ".join(f'"{name}" {HIVE[name]}' for name in columns)
    location = f"{lake}/{folder}/"
    connection.execute(f"CREATE EXTERNAL TABLE {table} ({definition}) {stored_as} LOCATION '{location}' {properties}")
    names = ", ".join(f'"{name}"' for name in columns)
    same(title, ask(f"SELECT {names} FROM {table} ORDER BY id"), expected(columns))
    (count,) = ask(f"SELECT count(*), count(small), min(id), max(id) FROM {table} WHERE id >= 100")
    assert count == (ROWS - 100, sum(row["small"] is not None for row in TABLE.to_pylist()[100:]), 100, ROWS - 1), (title, count)


ALL = [field.name for field in SCHEMA]

# Parquet: every codec that pyarrow has, both page versions, with and without dictionaries.
for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
    for version, dictionary in (("1.0", True), ("2.0", False)):
        title = f"parquet_{codec}_{version[0]}"
        (lake / title).mkdir()
        pq.write_table(TABLE, lake / title / "a.parquet", compression=codec, data_page_version=version, use_dictionary=dictionary, row_group_size=120)
        reads(title, title, "STORED AS PARQUET", ALL)
(lake / "parquet_int96").mkdir()
pq.write_table(TABLE, lake / "parquet_int96" / "a.parquet", use_deprecated_int96_timestamps=True)
reads("parquet_int96", "parquet_int96", "STORED AS PARQUET", ALL)

# ORC.
for codec in ("uncompressed", "zlib", "snappy", "lz4", "zstd"):
    title = f"orc_{codec}"
    (lake / title).mkdir()
    po.write_table(TABLE, str(lake / title / "a.orc"), compression=codec, stripe_size=4096)
    reads(title, title, "STORED AS ORC", ALL)

# Avro.
AVRO = fastavro.parse_schema(
    {
        "type": "record",
        "name": "row",
        "fields": [
            {"name": name, "type": ["null", of]}
            for name, of in {
                "id": "long", "small": "int", "flag": "boolean", "ratio": "double",
                "price": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
                "name": "string", "day": {"type": "int", "logicalType": "date"},
                "at": {"type": "long", "logicalType": "local-timestamp-micros"}, "raw": "bytes",
                "tags": {"type": "array", "items": ["null", "string"]},
                "place": {"type": "record", "name": "place", "fields": [{"name": "city", "type": ["null", "string"]}, {"name": "zip", "type": ["null", "int"]}]},
            }.items()
        ],
    }
)
for codec in ("null", "deflate", "bzip2", "xz", "snappy", "zstandard"):
    title = f"avro_{codec}"
    (lake / title).mkdir()
    with open(lake / title / "a.avro", "wb") as file:
        fastavro.writer(file, AVRO, list(rows()), codec=codec, sync_interval=2000)
    reads(title, title, "STORED AS AVRO", ALL)

# Arrow IPC.
for codec in ("uncompressed", "lz4", "zstd"):
    title = f"arrow_{codec}"
    (lake / title).mkdir()
    feather.write_feather(TABLE, str(lake / title / "a.arrow"), compression=codec, chunksize=120)
    (count,) = ask(f"SELECT count(*), sum(id) FROM '{lake}/{title}/a.arrow'")
    assert count == (ROWS, ROWS * (ROWS - 1) // 2), (title, count)

# Delimited text and JSON, packed by Python's own libraries. An empty text and NULL are one in CSV: only what isn't.
lines = []
for row in TABLE.to_pylist():
    cells = [row["id"], row["small"], row["ratio"], row["day"]]
    lines.append(",".join("" if cell is None else str(cell) for cell in cells))
text = ("\n".join(lines) + "\n").encode()
documents = "".join(json.dumps({name: row[name] for name in ("id", "small", "name", "tags", "place")}) + "\n" for row in TABLE.to_pylist()).encode()
half = len(documents[: len(documents) // 2].rsplit(b"\n", 1)[0]) + 1
PACKED = {
    "plain": lambda data, _: data,
    "gzip": lambda data, _: gzip.compress(data),
    "gzip_members": lambda data, cut: gzip.compress(data[:cut]) + gzip.compress(data[cut:]),
    "bzip2": lambda data, _: bz2.compress(data),
    "xz": lambda data, _: lzma.compress(data),
    "zstd": lambda data, _: pa.Codec("zstd").compress(data, asbytes=True),
    "lz4": lambda data, _: pa.Codec("lz4").compress(data, asbytes=True),
}
cut = len(text[: len(text) // 2].rsplit(b"\n", 1)[0]) + 1
for name, pack in PACKED.items():
    for kind, data, at in (("csv", text, cut), ("json", documents, half)):
        (lake / f"{kind}_{name}").mkdir()
        (lake / f"{kind}_{name}" / f"a.{kind}").write_bytes(pack(data, at))
    reads(f"csv_{name}", f"csv_{name}", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','", ["id", "small", "ratio", "day"])
    reads(f"json_{name}", f"json_{name}", "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'", ["id", "small", "name", "tags", "place"])

# What we write, others read.
source = "others_parquet_snappy_1"
theirs = duckdb.connect()


def writes(title, options, columns, read):
    table = f"ours_{title}"
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    names = ", ".join(f'"{name}"' for name in columns)
    folder = lake / f"ours_{title}"
    connection.execute(f"CREATE TABLE {table} WITH ({options}, external_location = '{folder}/') AS SELECT {names} FROM {source}")
    same(f"{title}, read by us", ask(f"SELECT {names} FROM {table} ORDER BY id"), expected(columns))
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name[0] not in "._")
    assert files, title
    read_rows = sorted((row for file in files for row in read(str(file))), key=lambda row: row[0])
    same(f"{title}, read by others", read_rows, expected(columns))


def by_pyarrow(module, columns):
    return lambda file: [tuple(row[name] for name in columns) for row in module.read_table(file).select(columns).to_pylist()]


def by_duckdb(function, columns):
    return lambda file: theirs.execute(f"SELECT {', '.join(columns)} FROM {function}('{file}')").fetchall()


for codec in ("NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4"):
    options = f"format = 'PARQUET', write_compression = '{codec}'"
    writes(f"parquet_{codec}", options, ALL, by_pyarrow(pq, ALL))
    duck = [name for name in ALL if name != "at"]
    writes(f"parquet_{codec}_duckdb", options, duck, by_duckdb("read_parquet", duck))


def avro(columns):
    def read(file):
        with open(file, "rb") as data:
            return [tuple(row[name] for name in columns) for row in fastavro.reader(data)]

    return read


naive = [name for name in ALL if name != "at"]
writes("avro", "format = 'AVRO'", naive, avro(naive))
writes("orc", "format = 'ORC'", ["id", "small", "flag", "ratio", "name"], by_pyarrow(po, ["id", "small", "flag", "ratio", "name"]))


def json_lines(opener, columns):
    return lambda file: [tuple(json.loads(line).get(name) for name in columns) for line in opener(file, "rt", encoding="utf-8")]


for codec, opener in (("GZIP", gzip.open), ("NONE", open), ("BZIP2", bz2.open)):
    columns = ["id", "small", "flag", "name", "tags", "place"]
    writes(f"json_{codec}", f"format = 'JSON', write_compression = '{codec}'", columns, json_lines(opener, columns))

for (table,) in ask("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'ours_%' OR table_name LIKE 'others_%'"):
    connection.execute(f"DROP TABLE {table}")

"""Makes the ORC, Avro and Parquet files here: the same rows in each format, codec and encoding.

    pip install pyarrow==26.0.1 duckdb==2.0.0 fastavro==1.13.1 cramjam backports.zstd
    python3 make.py

They are committed, so that tests read what other programs wrote; run this again only to change them.
"""

import base64
import datetime as dt
import decimal
import os

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.ipc
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

os.chdir(os.path.dirname(os.path.abspath(__file__)))
D = decimal.Decimal
UTC = dt.timezone.utc

schema = pa.schema([
    ("id", pa.int32()),
    ("tiny", pa.int8()),
    ("small", pa.int16()),
    ("big", pa.int64()),
    ("flag", pa.bool_()),
    ("half", pa.float32()),
    ("real", pa.float64()),
    ("price", pa.decimal128(12, 2)),
    ("wide", pa.decimal128(38, 10)),
    ("name", pa.string()),
    ("code", pa.binary()),
    ("day", pa.date32()),
    ("at", pa.timestamp("us")),
    ("moment", pa.timestamp("us", tz="UTC")),
    ("tags", pa.list_(pa.string())),
    ("counts", pa.map_(pa.string(), pa.int32())),
    ("Place", pa.struct([("City", pa.string()), ("zip", pa.int32())])),
])
rows = [
    {
        "id": 1, "tiny": -128, "small": 32767, "big": 9223372036854775807, "flag": True, "half": 0.5, "real": -2.25,
        "price": D("12.34"), "wide": D("1234567890123456789012345678.0123456789"), "name": "Ünï", "code": b"\x00\xff",
        "day": dt.date(2024, 2, 29), "at": dt.datetime(2024, 3, 5, 10, 20, 30, 123456),
        "moment": dt.datetime(2024, 7, 1, 0, 0, 0, 1, tzinfo=UTC), "tags": ["a", None, ""],
        "counts": [("x", 1), ("y", None)], "Place": {"City": "Oslo", "zip": 150},
    },
    {"id": 2},
    {
        "id": 3, "tiny": 127, "small": -32768, "big": -9223372036854775808, "flag": False, "half": -1.0, "real": 1e300,
        "price": D("-0.01"), "wide": D("-0.0000000001"), "name": "", "code": b"", "day": dt.date(1969, 12, 31),
        "at": dt.datetime(1969, 12, 31, 23, 59, 58, 500000), "moment": dt.datetime(1900, 1, 1, tzinfo=UTC), "tags": [],
        "counts": [], "Place": {"City": None, "zip": None},
    },
    {
        "id": 4, "tiny": 0, "small": 0, "big": 0, "flag": True, "half": 0.0, "real": 0.0, "price": D("0.00"),
        "wide": D("0"), "name": "x" * 40, "code": b"blob", "day": dt.date(9999, 12, 31),
        "at": dt.datetime(2262, 4, 11), "moment": dt.datetime(2000, 1, 1, tzinfo=UTC), "tags": ["b" * 20],
        "counts": [("z", 7)], "Place": None,
    },
]
table = pa.Table.from_pylist(rows, schema=schema)


def folder(name):
    os.makedirs(name, exist_ok=True)
    return name


# ORC ------------------------------------------------------------------------------------------------------------------
for codec in ["uncompressed", "zlib", "snappy", "lz4", "zstd"]:
    orc.write_table(table, f"{folder('orc')}/{codec}.orc", compression=codec)
orc.write_table(table, "orc/dictionary.orc", compression="zlib", dictionary_key_size_threshold=1.0)
# The older run length encoding, and columns that only have places.
orc.write_table(table, "orc/version_0_11.orc", compression="zlib", file_version="0.11")
places = table.select(["id", "name", "price"]).rename_columns(["_col0", "_col1", "_col2"])
orc.write_table(places, f"{folder('orc_places')}/places.orc", compression="zlib")
# Many stripes in order; every thousandth kind is NULL.
count = 3000
many = pa.table({
    "id": pa.array(range(count), pa.int64()),
    "kind": pa.array([None if i % 1000 == 0 else f"kind {i // 500}" for i in range(count)]),
    "at": pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(minutes=i) for i in range(count)], pa.timestamp("us")),
    # A stripe ends when some stream has more than 64 kB.
    "filler": pa.array(["filler " * 40] * count),
})
orc.write_table(many, f"{folder('orc_stripes')}/stripes.orc", compression="zlib", stripe_size=1024, batch_size=500)
orc.write_table(table.slice(0, 0), f"{folder('orc_empty')}/empty.orc")
# A wall clock in Central European Time: the writer's zone is three letters in the footer of a stripe.
times = pa.table({"at": pa.array([dt.datetime(2024, 1, 15, 12), dt.datetime(2024, 7, 15, 12)], pa.timestamp("us"))})
sink = pa.BufferOutputStream()
orc.write_table(times, sink)
plain = sink.getvalue().to_pybytes()
assert plain.count(b"GMT") == 1
with open(f"{folder('orc_zone')}/zone.orc", "wb") as out:
    out.write(plain.replace(b"GMT", b"MET"))
print("orc_zone as pyarrow reads it:", orc.read_table("orc_zone/zone.orc").to_pydict())

# Avro -----------------------------------------------------------------------------------------------------------------
def optional(kind):
    return ["null", kind]


avro_schema = fastavro.parse_schema({
    "type": "record", "name": "Row", "namespace": "lake", "fields": [
        {"name": "id", "type": "int"},
        {"name": "tiny", "type": optional("int")},
        {"name": "small", "type": optional("int")},
        {"name": "big", "type": optional("long")},
        {"name": "flag", "type": optional("boolean")},
        {"name": "half", "type": optional("float")},
        {"name": "real", "type": ["double", "null"]},
        {"name": "price", "type": optional({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2})},
        {"name": "wide", "type": optional(
            {"type": "fixed", "name": "Wide", "size": 20, "logicalType": "decimal", "precision": 38, "scale": 10})},
        {"name": "name", "type": optional("string")},
        {"name": "code", "type": optional("bytes")},
        {"name": "day", "type": optional({"type": "int", "logicalType": "date"})},
        {"name": "at", "type": optional({"type": "long", "logicalType": "local-timestamp-micros"})},
        {"name": "moment", "type": optional({"type": "long", "logicalType": "timestamp-micros"})},
        {"name": "tags", "type": optional({"type": "array", "items": optional("string")})},
        {"name": "counts", "type": optional({"type": "map", "values": optional("int")})},
        {"name": "Place", "type": optional({"type": "record", "name": "Place", "fields": [
            {"name": "City", "type": optional("string")}, {"name": "zip", "type": optional("int")}]})},
        {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "noon", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "either", "type": ["int", "string"]},
    ],
})


def record(row):
    made = {field["name"]: row.get(field["name"]) for field in avro_schema["fields"]}
    if made["counts"] is not None:
        made["counts"] = dict(made["counts"])
    made.update(color="BLUE", key="00010203-0405-0607-0809-0a0b0c0d0e0f", noon=dt.time(12), either=1)
    return made


for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]:
    with open(f"{folder('avro')}/{codec}.avro", "wb") as out:
        fastavro.writer(out, avro_schema, [record(row) for row in rows], codec=codec)

# Parquet --------------------------------------------------------------------------------------------------------------
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(table, f"{folder('parquet')}/{codec}.parquet", compression=codec, write_page_checksum=True)
pq.write_table(table, "parquet/page_v2.parquet", compression="zstd", data_page_version="2.0")
pq.write_table(table, "parquet/int96.parquet", use_deprecated_int96_timestamps=True)
pq.write_table(table, "parquet/row_groups.parquet", row_group_size=1)
flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
pq.write_table(
    table, "parquet/encodings.parquet", use_dictionary=False, compression="none", data_page_version="2.0",
    column_encoding={
        "id": "DELTA_BINARY_PACKED", "big": "DELTA_BINARY_PACKED", "name": "DELTA_BYTE_ARRAY",
        "code": "DELTA_LENGTH_BYTE_ARRAY", "half": "BYTE_STREAM_SPLIT", "real": "BYTE_STREAM_SPLIT",
        "price": "BYTE_STREAM_SPLIT", "flag": "RLE",
    },
)
pq.write_table(table.slice(0, 0), f"{folder('parquet_empty')}/empty.parquet")
# Encrypted: with a footer in plain text, and altogether.
class Kms(pe.KmsClient):
    """Wraps keys in nothing."""

    def wrap_key(self, key, master):
        return base64.b64encode(key)

    def unwrap_key(self, key, master):
        return base64.b64decode(key)


for name, is_plain in [("columns", True), ("footer", False)]:
    config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["name"]}, plaintext_footer=is_plain)
    crypto = pe.CryptoFactory(lambda _: Kms()).file_encryption_properties(pe.KmsConnectionConfig(), config)
    small = table.select(["id", "name"])
    with pq.ParquetWriter(f"{folder('parquet_encrypted')}/{name}.parquet", small.schema,
                          encryption_properties=crypto) as writer:
        writer.write_table(small)
con = duckdb.connect()
con.execute("CREATE TABLE t AS SELECT * FROM 'parquet/none.parquet'")
for codec in ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4", "lz4_raw"]:
    version = "V2" if codec in ("zstd", "lz4_raw") else "V1"
    con.execute(f"COPY t TO '{folder('parquet_duckdb')}/{codec}.parquet' (CODEC '{codec}', PARQUET_VERSION {version})")

# Arrow IPC ------------------------------------------------------------------------------------------------------------
for codec in [None, "lz4", "zstd"]:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(f"{folder('arrow')}/{codec or 'none'}.arrow", schema, options=options) as out:
        out.write_table(table)

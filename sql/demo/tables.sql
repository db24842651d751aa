-- The tables of the demo lake. `limnos demo` puts its folder in the place of ${lake} and runs this once.

CREATE EXTERNAL TABLE IF NOT EXISTS region (
    r_regionkey bigint,
    r_name string,
    r_comment string
) COMMENT 'TPC-H: the regions of the world' STORED AS PARQUET LOCATION '${lake}/tpch/region/';

CREATE EXTERNAL TABLE IF NOT EXISTS nation (
    n_nationkey bigint,
    n_name string,
    n_regionkey bigint,
    n_comment string
) COMMENT 'TPC-H: the nations' STORED AS PARQUET LOCATION '${lake}/tpch/nation/';

CREATE EXTERNAL TABLE IF NOT EXISTS supplier (
    s_suppkey bigint,
    s_name string,
    s_address string,
    s_nationkey bigint,
    s_phone string,
    s_acctbal decimal(15,2),
    s_comment string
) COMMENT 'TPC-H: who sells parts to us' STORED AS PARQUET LOCATION '${lake}/tpch/supplier/';

CREATE EXTERNAL TABLE IF NOT EXISTS customer (
    c_custkey bigint,
    c_name string,
    c_address string,
    c_nationkey bigint,
    c_phone string,
    c_acctbal decimal(15,2),
    c_mktsegment string,
    c_comment string
) COMMENT 'TPC-H: who buys from us' STORED AS PARQUET LOCATION '${lake}/tpch/customer/';

CREATE EXTERNAL TABLE IF NOT EXISTS part (
    p_partkey bigint,
    p_name string,
    p_mfgr string,
    p_brand string,
    p_type string,
    p_size int,
    p_container string,
    p_retailprice decimal(15,2),
    p_comment string
) COMMENT 'TPC-H: what is sold' STORED AS PARQUET LOCATION '${lake}/tpch/part/';

CREATE EXTERNAL TABLE IF NOT EXISTS partsupp (
    ps_partkey bigint,
    ps_suppkey bigint,
    ps_availqty int,
    ps_supplycost decimal(15,2),
    ps_comment string
) COMMENT 'TPC-H: which supplier has which part' STORED AS PARQUET LOCATION '${lake}/tpch/partsupp/';

CREATE EXTERNAL TABLE IF NOT EXISTS orders (
    o_orderkey bigint,
    o_custkey bigint,
    o_orderstatus string,
    o_totalprice decimal(15,2),
    o_orderdate date,
    o_orderpriority string,
    o_clerk string,
    o_shippriority int,
    o_comment string
) COMMENT 'TPC-H: orders, partitioned by the month of o_orderdate'
PARTITIONED BY (year int, month int) STORED AS PARQUET LOCATION '${lake}/tpch/orders/';

CREATE EXTERNAL TABLE IF NOT EXISTS lineitem (
    l_orderkey bigint,
    l_partkey bigint,
    l_suppkey bigint,
    l_linenumber int,
    l_quantity decimal(15,2),
    l_extendedprice decimal(15,2),
    l_discount decimal(15,2),
    l_tax decimal(15,2),
    l_returnflag string,
    l_linestatus string,
    l_shipdate date,
    l_commitdate date,
    l_receiptdate date,
    l_shipinstruct string,
    l_shipmode string,
    l_comment string
) COMMENT 'TPC-H: the lines of orders, partitioned by the month of l_shipdate'
PARTITIONED BY (year int, month int) STORED AS PARQUET LOCATION '${lake}/tpch/lineitem/';

MSCK REPAIR TABLE orders;

MSCK REPAIR TABLE lineitem;

CREATE EXTERNAL TABLE IF NOT EXISTS orders_csv (
    o_orderkey bigint,
    o_custkey bigint,
    o_orderstatus string,
    o_totalprice decimal(15,2),
    o_orderdate date,
    o_orderpriority string,
    o_clerk string,
    o_shippriority int,
    o_comment string
) COMMENT 'The rows of orders once more, as gzip CSV'
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"')
STORED AS TEXTFILE LOCATION '${lake}/tpch/orders_csv/'
TBLPROPERTIES ('skip.header.line.count' = '1');

CRAWL '${lake}/logs/' INTO DATABASE default;

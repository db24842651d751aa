//! All queries of TPC-H.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use limnos_columnar::Table;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator, RegionArrow,
    SupplierArrow,
};

use super::harness::{Both, table};

fn coded(batches: impl RecordBatchIterator) -> Table {
    let schema = Arc::clone(batches.schema());
    table(&schema, batches.collect::<Vec<RecordBatch>>(), 8192)
}

pub(super) fn tables(scale: f64) -> Vec<(&'static str, Table)> {
    vec![
        ("region", coded(RegionArrow::new(RegionGenerator::new(scale, 1, 1)))),
        ("nation", coded(NationArrow::new(NationGenerator::new(scale, 1, 1)))),
        ("supplier", coded(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)))),
        ("customer", coded(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)))),
        ("part", coded(PartArrow::new(PartGenerator::new(scale, 1, 1)))),
        ("partsupp", coded(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)))),
        ("orders", coded(OrderArrow::new(OrderGenerator::new(scale, 1, 1)))),
        ("lineitem", coded(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)))),
    ]
}

#[tokio::test]
async fn tpch_has_the_same_answers() {
    let both = Both::new(&tables(0.01));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/tpch");
    let mut on_codes = Vec::new();
    for number in 1..=22 {
        let sql = std::fs::read_to_string(folder.join(format!("q{number:02}.sql"))).unwrap();
        let sql = sql.trim().trim_end_matches(';');
        if both.same(sql).await > 0 {
            on_codes.push(number);
        }
    }
    // Those that aggregate one table, by keys with few values or none.
    assert!(on_codes.contains(&1) && on_codes.contains(&6), "{on_codes:?}");
}

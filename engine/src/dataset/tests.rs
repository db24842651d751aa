//! A dataset's scan answers what DataFusion's own table in memory answers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringViewArray,
};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, JoinType, cast, col, lit, not};
use datafusion::physical_plan::displayable;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use limnos_columnar::{Options, SortKey, Table, TableBuilder};

use super::provider::DatasetTable;

const ROWS: i64 = 5000;

fn rows() -> RecordBatch {
    let scattered = |row: i64| row.wrapping_mul(7_919) % 1000;
    let null = |row: i64| (row % 11 != 3).then_some(row);
    let floats = [0.0, -0.0, f64::NAN, 1.5, -2.5, f64::INFINITY];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new((0..ROWS).collect::<Int64Array>())),
        ("small", Arc::new((0..ROWS).map(|row| null(row).map(|row| scattered(row) as i32)).collect::<Int32Array>())),
        (
            "kind",
            Arc::new(
                (0..ROWS).map(|row| null(row).map(|row| format!("kind {}", row % 7))).collect::<StringViewArray>(),
            ),
        ),
        ("text", Arc::new((0..ROWS).map(|row| Some(format!("some text of row {row}"))).collect::<StringViewArray>())),
        ("price", {
            let prices = (0..ROWS).map(|row| i128::from(scattered(row)) * 100).collect::<Decimal128Array>();
            Arc::new(prices.with_precision_and_scale(15, 2).expect("15 digits"))
        }),
        ("day", Arc::new((0..ROWS).map(|row| Some((row / 10) as i32)).collect::<Date32Array>())),
        ("f", Arc::new((0..ROWS).map(|row| null(row).map(|row| floats[row as usize % 6])).collect::<Float64Array>())),
        ("b", Arc::new((0..ROWS).map(|row| null(row).map(|row| row % 3 == 0)).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns")
}

fn dataset(order_by: Vec<SortKey>) -> Table {
    let options = Options { chunk_rows: 512, order_by, ..Options::default() };
    let mut builder = TableBuilder::new(&rows().schema(), options).expect("a builder");
    for part in 0..4 {
        builder.begin_part(format!("part {part}")).expect("no part is open");
        builder.push(&rows().slice(part * ROWS as usize / 4, ROWS as usize / 4)).expect("rows");
        builder.end_part().expect("a part is open");
    }
    builder.finish().expect("a table")
}

fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(200);
    config.options_mut().optimizer.enable_dynamic_filter_pushdown = true;
    SessionContext::new_with_config(config)
}

fn ours(context: &SessionContext) -> DataFrame {
    context.read_table(Arc::new(DatasetTable::new("d", dataset(Vec::new())))).expect("a table")
}

fn theirs(context: &SessionContext) -> DataFrame {
    let rows = rows();
    context.read_table(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).expect("a table"))).expect("a table")
}

async fn lines(frame: DataFrame) -> Vec<String> {
    let batches = frame.collect().await.expect("rows");
    let mut lines: Vec<String> =
        pretty_format_batches(&batches).expect("text").to_string().lines().map(str::to_owned).collect();
    lines.sort();
    lines.retain(|line| !line.starts_with('+'));
    lines
}

fn filters() -> Vec<Expr> {
    vec![
        col("id").gt(lit(4000_i64)),
        col("id").lt(lit(-1_i64)),
        col("small").in_list(vec![lit(1_i32), lit(7_i32), lit(900_i32)], false),
        col("small").in_list(vec![lit(1_i32), lit(7_i32), lit(900_i32)], true),
        col("small").is_null().or(col("small").lt_eq(lit(10_i32))),
        not(col("kind").eq(lit("kind 3"))),
        col("kind").like(lit("%5")).or(col("kind").is_null()),
        col("text").like(lit("%99")),
        col("kind").gt(lit("kind 2")).and(col("text").like(lit("%1%"))),
        col("price").between(
            lit(datafusion::common::ScalarValue::Decimal128(Some(5000), 15, 2)),
            lit(datafusion::common::ScalarValue::Decimal128(Some(9000), 15, 2)),
        ),
        col("f").eq(lit(0.0)),
        col("f").gt(lit(1.0)),
        col("f").in_list(vec![lit(0.0), lit(f64::NAN)], false),
        col("b"),
        not(col("b")),
        col("b").is_not_true(),
        (col("id") + col("small")).gt(lit(3000_i64)),
        cast(col("small"), arrow::datatypes::DataType::Utf8).eq(lit("77")),
        lit(true),
        lit(datafusion::common::ScalarValue::Boolean(None)),
    ]
}

#[tokio::test]
async fn filters_leave_the_same_rows() {
    let context = context();
    for filter in filters() {
        let asked = |frame: DataFrame| frame.filter(filter.clone()).expect("a filter");
        assert_eq!(lines(asked(ours(&context))).await, lines(asked(theirs(&context))).await, "{filter}");
        let narrow = |frame| asked(frame).select_columns(&["kind", "id"]).expect("columns");
        assert_eq!(lines(narrow(ours(&context))).await, lines(narrow(theirs(&context))).await, "{filter}");
        let grouped = |frame: DataFrame| {
            asked(frame)
                .aggregate(
                    vec![col("kind")],
                    vec![count(col("small")), sum(col("price")), count(col("f")), max(col("text"))],
                )
                .expect("groups")
        };
        assert_eq!(lines(grouped(ours(&context))).await, lines(grouped(theirs(&context))).await, "{filter}");
        let counted = |frame: DataFrame| asked(frame).aggregate(vec![], vec![count(lit(1))]).expect("a count");
        assert_eq!(lines(counted(ours(&context))).await, lines(counted(theirs(&context))).await, "{filter}");
    }
}

/// What a condition has left out is not divided by.
#[tokio::test]
async fn conditions_are_asked_of_the_rows_that_are_left() {
    let context = context();
    let divided = (col("small").not_eq(lit(0_i32))).and((lit(100_i32) / col("small")).gt(lit(10_i32)));
    let plain = col("small").between(lit(1_i32), lit(9_i32));
    let of = |filter| ours(&context).filter(filter).expect("a filter");
    assert_eq!(lines(of(divided)).await, lines(of(plain)).await);
}

#[tokio::test]
async fn joins_and_top_n_answer_the_same_with_what_they_learn() {
    let context = context();
    let top = |frame: DataFrame| {
        frame
            .sort(vec![col("price").sort(false, true), col("id").sort(true, true)])
            .expect("a sort")
            .limit(3, Some(20))
            .expect("a limit")
    };
    assert_eq!(lines(top(ours(&context))).await, lines(top(theirs(&context))).await);
    let join = |left: DataFrame, right: DataFrame| {
        let few = left
            .filter(col("text").like(lit("%77")))
            .expect("a filter")
            .select(vec![col("small").alias("s"), col("kind").alias("k")])
            .expect("columns");
        few.join(right, JoinType::Inner, &["s", "k"], &["small", "kind"], None).expect("a join")
    };
    assert_eq!(
        lines(join(ours(&context), ours(&context))).await,
        lines(join(theirs(&context), theirs(&context))).await
    );
}

#[tokio::test]
async fn counts_and_bounds_are_known_without_a_scan() {
    let context = context();
    let aggregates = vec![count(lit(1_i64)), count(col("kind")), min(col("day")), max(col("price")), max(col("kind"))];
    let frame = ours(&context).aggregate(vec![], aggregates.clone()).expect("aggregates");
    let plan = frame.clone().create_physical_plan().await.expect("a plan");
    let plan = displayable(plan.as_ref()).indent(false).to_string();
    assert!(!plan.contains("DatasetScan"), "{plan}");
    let expected = theirs(&context).aggregate(vec![], aggregates).expect("aggregates");
    assert_eq!(lines(frame).await, lines(expected).await);
}

#[tokio::test]
async fn explain_says_what_is_read() {
    let context = context();
    let frame = ours(&context)
        .filter(col("id").gt_eq(lit(4900_i64)))
        .expect("a filter")
        .select_columns(&["kind"])
        .expect("columns");
    let plan = frame.create_physical_plan().await.expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(
        text.contains("DatasetScan: dataset=d, chunks=1 of 12, projection=[kind], predicate=id@0 >= 4900"),
        "{text}"
    );
    assert!(!text.contains("FilterExec"), "{text}");
    let rows = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx()).await.expect("rows");
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    // The same plan once more is another execution.
    let rows = datafusion::physical_plan::collect(plan, context.task_ctx()).await.expect("rows");
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
}

#[tokio::test]
async fn an_order_is_used_and_true() {
    let context = context();
    let key = SortKey { column: 5, descending: false, nulls_first: false };
    let table = context.read_table(Arc::new(DatasetTable::new("d", dataset(vec![key])))).expect("a table");
    let frame =
        table.sort(vec![col("day").sort(true, false)]).expect("a sort").select_columns(&["day"]).expect("columns");
    let plan = frame.clone().create_physical_plan().await.expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(!text.contains("SortExec"), "{text}");
    let batches = frame.collect().await.expect("rows");
    let days: Vec<i32> = batches
        .iter()
        .flat_map(|batch| {
            let days: &Date32Array = batch.column(0).as_any().downcast_ref().expect("days");
            days.values().to_vec()
        })
        .collect();
    assert!(days.len() == ROWS as usize && days.is_sorted());
}

#[tokio::test]
async fn a_limit_ends_the_scan() {
    let context = context();
    let frame = ours(&context).limit(0, Some(10)).expect("a limit");
    assert_eq!(frame.count().await.expect("a count"), 10);
    let frame =
        ours(&context).filter(col("kind").eq(lit("kind 1"))).expect("a filter").limit(5, Some(10)).expect("a limit");
    assert_eq!(frame.count().await.expect("a count"), 10);
}

//! Reading a filter's columns first changes no answer: generated queries over files with NULLs, nested columns and drifted
//! schemas say the same with it, without it, and by its rule. EXPLAIN says what was chosen, and why.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use limnos_tests::client::rows;
use limnos_tests::lake::{batch, write_parquet};
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len() as u64) as usize]
    }
}

const ROWS: i64 = 3000;

/// `id` runs through; every column but `id` has NULLs, `gone` is all NULL in some row groups.
fn columns(file: i64, dice: &mut Dice) -> Vec<(&'static str, ArrayRef)> {
    let ids = file * ROWS..(file + 1) * ROWS;
    let mut some = |one_in: u64| dice.roll(one_in) != 0;
    let numbers: Int32Array = ids.clone().map(|id| some(7).then_some((id % 997) as i32)).collect();
    let kinds: StringArray =
        ids.clone().map(|id| some(5).then(|| ["red", "green", "blue", ""][(id / 50 % 4) as usize])).collect();
    let notes: StringArray =
        ids.clone().map(|id| some(9).then(|| format!("a note of {id} {}", "x".repeat(60)))).collect();
    let floats: Float64Array =
        ids.clone().map(|id| some(8).then_some(if id % 101 == 0 { f64::NAN } else { id as f64 / 8.0 })).collect();
    let days: Date32Array = ids.clone().map(|id| some(6).then_some(19_000 + (id / 100) as i32)).collect();
    let flags: BooleanArray = ids.clone().map(|id| some(4).then_some(id % 3 == 0)).collect();
    let gone: StringArray = ids.clone().map(|id| (id / 500 % 2 == 0 && some(3)).then_some("there")).collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        ids.clone().map(|id| some(5).then(|| (0..id % 4).map(|item| (item != 2).then_some(item as i32)))),
    );
    let inner: ArrayRef = Arc::new(ids.clone().map(|id| some(6).then(|| format!("in {id}"))).collect::<StringArray>());
    let count: ArrayRef = Arc::new(ids.clone().map(|id| some(6).then_some(id)).collect::<Int64Array>());
    let nested = StructArray::from(vec![
        (Arc::new(Field::new("label", DataType::Utf8, true)), inner),
        (Arc::new(Field::new("size", DataType::Int64, true)), count),
    ]);
    vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids))),
        ("number", Arc::new(numbers)),
        ("kind", Arc::new(kinds)),
        ("note", Arc::new(notes)),
        ("ratio", Arc::new(floats)),
        ("day", Arc::new(days)),
        ("flag", Arc::new(flags)),
        ("gone", Arc::new(gone)),
        ("items", Arc::new(lists)),
        ("inside", Arc::new(nested)),
    ]
}

/// Three files: one as the table says, one with columns that are narrower, spelled otherwise and in another order, one
/// without some.
fn write_files(folder: &Path) {
    let mut dice = Dice(7);
    let write = |name: &str, columns| write_parquet(&folder.join(name), &[batch(columns).unwrap()], 500).unwrap();
    write("a.parquet", columns(0, &mut dice));
    let mut drifted = columns(1, &mut dice);
    drifted[0].1 = arrow::compute::cast(&drifted[0].1, &DataType::Int32).unwrap();
    drifted[1].0 = "Number";
    drifted[4].1 = arrow::compute::cast(&drifted[4].1, &DataType::Float32).unwrap();
    drifted.reverse();
    write("b.parquet", drifted);
    let mut fewer = columns(2, &mut dice);
    fewer.retain(|(name, _)| !["kind", "day", "items"].contains(name));
    write("c.parquet", fewer);
}

const COLUMNS: &[&str] =
    &["id", "number", "kind", "note", "ratio", "day", "flag", "gone", "items", "inside", "(inside).label", "part"];

fn condition(dice: &mut Dice, depth: u64) -> String {
    if depth > 0 && dice.roll(3) == 0 {
        let (left, right) = (condition(dice, depth - 1), condition(dice, depth - 1));
        return match dice.roll(3) {
            0 => format!("({left} OR {right})"),
            1 => format!("NOT ({left} AND {right})"),
            _ => format!("({left} AND {right})"),
        };
    }
    let op = dice.pick(&["=", "<>", "<", "<=", ">", ">="]);
    match dice.roll(14) {
        0 => format!("id {op} {}", dice.roll(9500)),
        1 => format!("number {op} {}", dice.roll(1100)),
        2 => format!("kind {op} '{}'", dice.pick(&["red", "green", "", "none"])),
        3 => format!("kind IN ('{}', 'blue', 'other')", dice.pick(&["red", "green"])),
        4 => format!("ratio {op} {}", dice.roll(1200)),
        5 => format!("day {op} date '2022-0{}-15'", dice.roll(4) + 1),
        6 => dice.pick(&["flag", "NOT flag", "flag IS NULL", "flag IS NOT TRUE"]).to_owned(),
        7 => format!("{} IS {}NULL", dice.pick(COLUMNS), dice.pick(&["", "NOT "])),
        8 => format!("note LIKE '%{}%'", dice.roll(100)),
        9 => format!("id BETWEEN {0} AND {0} + {1}", dice.roll(9000), dice.roll(300)),
        10 => format!("(inside).size {op} {}", dice.roll(9000)),
        11 => format!("part {op} '{}'", dice.pick(&["one", "two"])),
        12 => format!("kind IS DISTINCT FROM '{}'", dice.pick(&["red", "blue"])),
        _ => format!("number IN ({}, {}, NULL)", dice.roll(1000), dice.roll(1000)),
    }
}

fn query(dice: &mut Dice) -> String {
    let columns: Vec<&str> = (0..dice.roll(4) + 1).map(|_| dice.pick(COLUMNS)).collect();
    let filter = condition(dice, 2);
    match dice.roll(8) {
        0 => format!("SELECT count(*), count(note), min(id), max(number) FROM t WHERE {filter}"),
        1 => format!("SELECT kind, count(*), sum(number) FROM t WHERE {filter} GROUP BY kind"),
        2 => format!("SELECT id, {} FROM t WHERE {filter} ORDER BY id DESC, part LIMIT {}", columns[0], dice.roll(40)),
        3 => format!("SELECT count(*) FROM t JOIN t AS o USING (id) WHERE o.{filter_of}", filter_of = "id < 700"),
        _ => format!("SELECT {} FROM t WHERE {filter}", columns.join(", ")),
    }
}

async fn answer(client: &Client, choice: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    rows(client, &format!("SET late_materialization = {choice}")).await.unwrap();
    let mut rows = rows(client, sql).await.map_err(|error| format!("{error:?}"))?;
    rows.sort();
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_with_and_without() {
    let lake = tempfile::tempdir().unwrap();
    for part in ["one", "two"] {
        write_files(&lake.path().join(format!("t/part={part}")));
    }
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let table = format!(
        "CREATE EXTERNAL TABLE t (id bigint, number int, kind string, note string, ratio double, day date, flag boolean,
           gone string, items array<int>, inside struct<label:string,size:bigint>)
         PARTITIONED BY (part string) STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE t",
        lake.path().join("t").display()
    );
    rows(&client, &table).await.unwrap();
    // The same without drift: by the rule only such a table is read late.
    let mut dice = Dice(42);
    write_parquet(&lake.path().join("same/part=one/a.parquet"), &[batch(columns(0, &mut dice)).unwrap()], 500).unwrap();
    let same = table.replace("/t'", "/same'").replace("TABLE t", "TABLE same");
    rows(&client, &same).await.unwrap();
    let (mut answered, mut forced, mut chosen) = (0, 0, 0);
    for number in 0..300 {
        // Every few one that the rule lets be late.
        let sql = match number % 20 {
            0 => format!("SELECT * FROM same WHERE id < {}", number / 4),
            _ => query(&mut dice),
        };
        let is_same = number % 3 == 0;
        let sql = if is_same { sql.replace("FROM t ", "FROM same ").replace("JOIN t ", "JOIN same ") } else { sql };
        let off = answer(&client, "off", &sql).await;
        let on = answer(&client, "on", &sql).await;
        assert_eq!(on, off, "query {number}: {sql}");
        forced += usize::from(explained(&client, &sql).await.contains("late_materialization=on"));
        let auto = answer(&client, "auto", &sql).await;
        assert_eq!(auto, off, "query {number}: {sql}");
        chosen += usize::from(explained(&client, &sql).await.contains("late_materialization=on"));
        answered += usize::from(off.is_ok());
    }
    assert!(answered > 250, "{answered} queries have an answer");
    assert!(forced > 100, "{forced} queries were forced");
    assert!(chosen > 0, "{chosen} were chosen");
    server.shutdown().await;
}

async fn explained(client: &Client, sql: &str) -> String {
    let Ok(lines) = rows(client, &format!("EXPLAIN {sql}")).await else { return String::new() };
    lines.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_was_chosen_and_why() {
    let lake = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    write_parquet(&lake.path().join("t/a.parquet"), &[batch(columns(0, &mut dice)).unwrap()], 500).unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let table = format!(
        "CREATE EXTERNAL TABLE t (id bigint, number int, kind string, note string) STORED AS PARQUET LOCATION '{}'",
        lake.path().join("t").display()
    );
    rows(&client, &table).await.unwrap();
    for (setting, sql, said) in [
        ("auto", "SELECT * FROM t WHERE id < 20", "on (0.67% of rows expected, other columns are"),
        ("auto", "SELECT * FROM t WHERE id < 2000", "off (67% of rows expected)"),
        ("auto", "SELECT * FROM t WHERE note LIKE '%7%'", "off (other columns are 0."),
        ("auto", "SELECT * FROM t WHERE kind LIKE '%7%'", "off (how many rows pass is not known)"),
        ("auto", "SELECT id FROM t WHERE id < 20", "off (no column but the filter's is read)"),
        ("off", "SELECT * FROM t WHERE id < 20", "off (late_materialization)"),
        ("on", "SELECT * FROM t WHERE kind LIKE '%7%'", "on (late_materialization)"),
        ("on", "SELECT * FROM t WHERE id / number < 20", "off (the filter may fail)"),
        ("on", "SELECT * FROM t WHERE id > 20 ORDER BY id LIMIT 3", "off (the filter changes while the query runs)"),
    ] {
        rows(&client, &format!("SET late_materialization = {setting}")).await.unwrap();
        let plan = explained(&client, sql).await;
        assert!(plan.contains(&format!("late_materialization={said}")), "{sql}: {said} in\n{plan}");
    }
    server.shutdown().await;
}

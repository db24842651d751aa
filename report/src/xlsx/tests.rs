//! Workbooks, read back by another library.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use calamine::{Data, Reader, Xlsx};

use super::*;
use crate::{ChartKind, Charts};

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn section(name: &str, batch: &RecordBatch, charts: Charts) -> Section {
    let row_count = batch.num_rows() as u64;
    Section { name: name.to_owned(), schema: batch.schema(), batches: vec![batch.clone()], row_count, charts }
}

fn written(sections: &[Section]) -> Result<Vec<u8>> {
    let mut workbook = Workbook::new("t", chrono_tz::Asia::Seoul, None)?;
    for section in sections {
        workbook.begin_sheet(&section.name, &section.schema)?;
        for batch in &section.batches {
            workbook.write(batch)?;
        }
        workbook.end_sheet(section)?;
    }
    let mut bytes = Vec::new();
    workbook.finish(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn values_are_what_they_are() {
    let decimals = Decimal128Array::from(vec![Some(123_456), Some(1_234_567_890_123_456_789), None]);
    let batch = rows(vec![
        ("n", Arc::new(Int64Array::from(vec![Some(1_234_567), Some(i64::MAX), None]))),
        ("d", Arc::new(decimals.with_precision_and_scale(38, 2).unwrap())),
        ("f", Arc::new(Float64Array::from(vec![0.1 + 0.2, f64::NAN, 1e300]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        // 2026-01-31, 1850-01-01, the last day that Excel knows.
        ("day", Arc::new(Date32Array::from(vec![20_484, -43_829, 2_932_896]))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_769_860_800_000_000), None, Some(0)]).with_timezone("UTC"),
            ),
        ),
        ("t", Arc::new(StringArray::from(vec!["=1+1", "+cmd|' /C calc'!A0", "a\u{1}\nb"]))),
    ]);
    let bytes = written(&[section("s", &batch, Charts::Chosen(Vec::new()))]).unwrap();
    let mut read: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    let range = read.worksheet_range("s").unwrap();
    let cell = |row: u32, column: u32| range.get_value((row, column)).cloned().unwrap_or(Data::Empty);
    assert_eq!(cell(1, 0), Data::Float(1_234_567.0));
    assert_eq!(cell(2, 0), Data::String("9223372036854775807".to_owned()));
    assert_eq!(cell(3, 0), Data::Empty);
    assert_eq!(cell(1, 1), Data::Float(1234.56));
    assert_eq!(cell(2, 1), Data::String("12345678901234567.89".to_owned()));
    assert_eq!(cell(1, 2), Data::Float(0.1 + 0.2));
    assert_eq!(cell(2, 2), Data::String("NaN".to_owned()));
    assert_eq!(cell(1, 3), Data::Bool(true));
    let moment = |data: Data| match data {
        Data::DateTime(moment) => moment.as_f64(),
        other => panic!("not a moment: {other:?}"),
    };
    assert!((moment(cell(1, 4)) - 46_053.0).abs() < 1e-9);
    assert_eq!(cell(2, 4), Data::String("1850-01-01".to_owned()));
    assert!((moment(cell(3, 4)) - 2_958_465.0).abs() < 1e-9);
    // Noon in UTC is nine in the evening in Seoul.
    assert!((moment(cell(1, 5)) - 46_053.875).abs() < 1e-9, "{:?}", cell(1, 5));
    assert_eq!(cell(1, 6), Data::String("=1+1".to_owned()));
    assert_eq!(cell(2, 6), Data::String("+cmd|' /C calc'!A0".to_owned()));
    assert_eq!(cell(3, 6), Data::String("a\u{fffd}\nb".to_owned()));
    assert!(read.worksheet_formula("s").unwrap().is_empty());
}

#[test]
fn sheets_and_charts_are_there() {
    let batch = rows(vec![
        ("day", Arc::new(Date32Array::from(vec![20_484, 20_484, 20_485]))),
        ("region", Arc::new(StringArray::from(vec!["EU", "US", "EU"]))),
        ("sales", Arc::new(Int64Array::from(vec![1, 2, 3]))),
    ]);
    let chart = |kind, series: Option<&str>| Chart {
        kind,
        x: Some("day".to_owned()),
        y: vec!["sales".to_owned()],
        series: series.map(str::to_owned),
        title: None,
    };
    let charts: Vec<Chart> =
        (ChartKind::ALL.into_iter()).flat_map(|kind| [chart(kind, None), chart(kind, Some("region"))]).collect();
    let sections = [
        section("daily/sales", &batch, Charts::Chosen(charts)),
        section("DAILY_sales", &batch, Charts::Auto),
        section("none", &batch.slice(0, 0), Charts::Auto),
    ];
    let bytes = written(&sections).unwrap();
    let read: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    let names = read.sheet_names();
    assert_eq!(names[0], "daily_sales");
    assert!(names.contains(&"DAILY_sales (2)".to_owned()), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.contains("data")).count(), 6, "{names:?}");
}

#[test]
fn what_excel_cannot_hold_is_refused() {
    let batch = rows(vec![("t", Arc::new(StringArray::from(vec!["x".repeat(32_768)])))]);
    let error = written(&[section("s", &batch, Charts::Auto)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an XLSX cell holds at most 32767 characters, row 1 of column \"t\" of query \"s\" has 32768"
    );
    let fields: Vec<arrow::datatypes::Field> =
        (0..16_385).map(|number| arrow::datatypes::Field::new(format!("c{number}"), DataType::Int8, true)).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let mut workbook = Workbook::new("t", chrono_tz::UTC, None).unwrap();
    let error = workbook.begin_sheet("wide", &schema).unwrap_err();
    assert_eq!(error.to_string(), "an XLSX sheet holds at most 16384 columns, query \"wide\" has more");
}

#[test]
fn digits_that_excel_would_change_are_text() {
    let cases = [
        ("123456789012345", true),
        ("1234567890123456", false),
        ("1000000000000000000", true),
        ("0.1", true),
        ("0.30000000000000004", true),
        ("12345678901234567.89", false),
        ("-0.00000000000000012345", true),
        ("1e300", true),
    ];
    for (text, expected) in cases {
        assert_eq!(fits(text), expected, "{text}");
    }
}

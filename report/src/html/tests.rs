//! Pages whose values are hostile, and what they say of what they leave out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};

use super::*;
use crate::{Charts, Error};

const HOSTILE: &str = "</script><script>alert(1)</script>\" onload='x' \0\u{1b}\u{202e}&lt; javascript:x";

fn page(columns: Vec<(&str, ArrayRef)>, row_count: Option<u64>, charts: Charts) -> Result<String> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let row_count = row_count.unwrap_or(batch.num_rows() as u64);
    let section = Section { name: HOSTILE.to_owned(), schema: batch.schema(), batches: vec![batch], row_count, charts };
    let second = Section { name: "second".to_owned(), ..section.clone() };
    html(&Document {
        name: "r".to_owned(),
        title: HOSTILE.to_owned(),
        description: Some(HOSTILE.to_owned()),
        generated_at: chrono::DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
        scheduled_at: chrono::DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
        time_zone: chrono_tz::Asia::Seoul,
        parameters: vec![(HOSTILE.to_owned(), HOSTILE.to_owned())],
        sections: vec![section, second],
    })
}

fn chart(kind: ChartKind, x: &str, y: &str, series: Option<&str>) -> Chart {
    let x = (kind != ChartKind::Number).then(|| x.to_owned());
    Chart { kind, x, y: vec![y.to_owned()], series: series.map(str::to_owned), title: Some(HOSTILE.to_owned()) }
}

#[test]
fn no_value_becomes_markup() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(HOSTILE), Some("plain"), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for kind in ChartKind::ALL {
        let charts = vec![chart(kind, HOSTILE, "n", None), chart(kind, "n", "n", Some(HOSTILE))];
        let page = page(vec![(HOSTILE, Arc::clone(&texts)), ("n", Arc::clone(&numbers))], None, Charts::Chosen(charts))
            .unwrap();
        assert!(!page.contains("<script"), "{kind}");
        assert!(!page.contains("onload='"), "{kind}");
        assert!(!page.contains(['\0', '\u{1b}', '\u{202e}']), "{kind}");
        assert!(page.contains("&amp;lt; javascript:x"), "{kind}");
        // Every quote in the body is one of ours: attributes are in pairs.
        let body = page.split_once("<body>").unwrap().1;
        for tag in body.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
            assert_eq!(tag.matches('"').count() % 2, 0, "{kind}: {tag}");
        }
        // Nothing is loaded from anywhere.
        for loads in ["src=", "href=", "url(", "@import", "http:", "https:"] {
            assert!(!page.contains(loads), "{kind}: {loads}");
        }
    }
}

#[test]
fn what_is_left_out_is_told() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_500));
    let page = page(vec![("n", numbers)], Some(2_345_678), Charts::Chosen(Vec::new())).unwrap();
    assert!(page.contains("The first 1,000 of 2,345,678 rows."));
    assert_eq!(page.matches("<tr>").count(), 2 * 1_001);
}

#[test]
fn values_are_shown_as_they_are_read() {
    let page = page(
        vec![
            ("customer_id", Arc::new(Int64Array::from(vec![Some(1_234_567), None]))),
            ("amount", Arc::new(Int64Array::from(vec![Some(-1_234_567), None]))),
            ("ratio", Arc::new(Float64Array::from(vec![2.0 / 3.0, f64::NAN]))),
            ("day", Arc::new(Date32Array::from(vec![Some(20_484), None]))),
        ],
        None,
        Charts::Chosen(Vec::new()),
    )
    .unwrap();
    for cell in [
        "<td class=\"n\">1234567</td>",
        "<td class=\"n\">-1,234,567</td>",
        "<td class=\"n null\">NULL</td>",
        "<td class=\"n\" title=\"0.6666666666666666\">0.666667</td>",
        "<td class=\"n\">NaN</td>",
        "<td class=\"d\">2026-01-31</td>",
        "<td class=\"null\">NULL</td>",
    ] {
        assert!(page.contains(cell), "{cell}");
    }
    assert!(page.contains("2026-01-01 09:00:00 Asia/Seoul"));
}

#[test]
fn charts_survive_any_numbers() {
    let odd = [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, 1e-300, 0.0, -0.0];
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(odd));
    let none: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>; odd.len()]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX, 0, 1, 2, 3, 4]));
    for kind in ChartKind::ALL {
        let charts = [("days", "numbers"), ("numbers", "numbers"), ("days", "none"), ("none", "none")]
            .map(|(x, y)| chart(kind, x, y, None));
        let columns = vec![("numbers", Arc::clone(&numbers)), ("none", Arc::clone(&none)), ("days", Arc::clone(&days))];
        let page = page(columns, None, Charts::Chosen(charts.to_vec())).unwrap();
        for drawn in page.split("<svg").skip(1).filter_map(|rest| rest.split_once("</svg>")).map(|(drawn, _)| drawn) {
            let attributes = drawn.split('"').skip(1).step_by(2);
            let places = attributes.filter(|text| !text.contains(|c: char| c.is_whitespace() && c != ' '));
            for place in places {
                assert!(!place.contains("NaN") && !place.contains("inf"), "{kind}: {place}");
            }
        }
    }
    let error =
        page(vec![("numbers", numbers)], None, Charts::Chosen(vec![chart(ChartKind::Bar, "x", "numbers", None)]));
    assert!(matches!(error, Err(Error::NoSuchColumn { .. })));
}

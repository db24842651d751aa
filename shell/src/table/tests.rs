use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;

fn column(name: &str, is_number: bool) -> Column {
    Column { name: name.to_owned(), is_number }
}

fn show(settings: &Settings, columns: &[Column], rows: &[&[Option<&str>]], title: Option<&str>) -> String {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true)).collect();
    let arrays = (0..columns.len())
        .map(|index| Arc::new(rows.iter().map(|row| row[index]).collect::<StringArray>()) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("they fit");
    let sample = [batch];
    let mut table = make(settings, &Answer { columns, sample: &sample, title, screen_width: Some(20) });
    let mut out = String::new();
    table.begin(&mut out);
    table.rows(&sample[0], &mut out);
    table.end(&mut out);
    out
}

fn with(changes: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in changes {
        settings.set(name, Some(value)).expect("it is known");
    }
    settings
}

const ROWS: [&[Option<&str>]; 2] = [&[Some("1"), Some("ab\nc")], &[Some("-20"), None]];

fn columns() -> Vec<Column> {
    vec![column("id", true), column("name", false)]
}

/// What psql 15 shows of the same answers.
#[test]
fn tables_are_psqls() {
    let cases = [
        (vec![], " id  | name \n-----+------\n   1 | ab  +\n     | c\n -20 | \n(2 rows)\n\n"),
        (
            vec![("border", "2"), ("null", "-")],
            "+-----+------+\n| id  | name |\n+-----+------+\n|   1 | ab  +|\n|     | c    |\n| -20 | -    |\n+-----+------+\n(2 rows)\n\n",
        ),
        (vec![("border", "0")], "id  name \n--- ----\n  1 ab  +\n    c\n-20 \n(2 rows)\n\n"),
        (vec![("tuples_only", "on")], "   1 | ab  +\n     | c\n -20 | \n\n"),
        (
            vec![("expanded", "on")],
            "-[ RECORD 1 ]\nid   | 1\nname | ab +\n     | c\n-[ RECORD 2 ]\nid   | -20\nname | \n\n",
        ),
        (vec![("format", "unaligned")], "id|name\n1|ab\nc\n-20|\n(2 rows)\n"),
        (vec![("format", "csv")], "id,name\n1,\"ab\nc\"\n-20,\n"),
        (vec![("format", "json")], "[\n{\"id\":1,\"name\":\"ab\\nc\"},\n{\"id\":-20,\"name\":null}\n]\n"),
        (vec![("format", "markdown")], "| id | name |\n| ---: | --- |\n| 1 | ab<br>c |\n| -20 |  |\n"),
    ];
    for (changes, expected) in cases {
        assert_eq!(show(&with(&changes), &columns(), &ROWS, None), expected, "{changes:?}");
    }
}

#[test]
fn wide_characters_take_two_columns_and_control_characters_none() {
    let rows: [&[Option<&str>]; 2] = [&[Some("漢字"), Some("x")], &[Some("\u{1b}[31m"), Some("y")]];
    let columns = [column("a", false), column("b", false)];
    assert_eq!(
        show(&Settings::default(), &columns, &rows, None),
        "    a    | b \n---------+---\n 漢字    | x\n \\x1B[31m | y\n(2 rows)\n\n"
            .replace("    a    | b \n---------+---\n 漢字    ", "    a     | b \n----------+---\n 漢字     ")
    );
}

#[test]
fn too_wide_answers_are_expanded_when_asked_to() {
    let rows: [&[Option<&str>]; 1] = [&[Some("1"), Some("twenty characters and more")]];
    let settings = with(&[("expanded", "auto")]);
    assert!(show(&settings, &columns(), &rows, None).starts_with("-[ RECORD 1 ]"));
    assert!(show(&settings, &columns(), &ROWS, None).starts_with(" id "));
}

#[test]
fn titles_stand_in_the_middle() {
    let shown = show(&Settings::default(), &columns(), &[], Some("T"));
    assert_eq!(shown, "     T\n id | name \n----+------\n(0 rows)\n\n");
}

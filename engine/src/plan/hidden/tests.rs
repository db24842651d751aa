//! Tests of [`super`]: names and their marks. What queries mean is in `sql/slt/select/hidden_columns.slt`.

use super::*;

#[test]
fn marks_are_taken_apart_and_not_shown() {
    let marked = Marked::of("orders\u{1f}12.5").expect("it is marked");
    assert_eq!(marked.name, "orders");
    let names: Vec<(HiddenKind, String)> = marked.columns_named().collect();
    let expected = [(HiddenKind::Path, "$path\u{1f}12"), (HiddenKind::FileModifiedTime, "$file_modified_time\u{1f}12")];
    assert_eq!(names, expected.map(|(kind, name)| (kind, name.to_owned())));
    assert!(Marked::of("orders").is_none() && Marked::of("orders\u{1f}12").is_none());
    for (text, shown) in [
        ("projection=[x, $path\u{1f}3, y]", "projection=[x, $path, y]"),
        ("table \"t\u{1f}3.1\" and \"$path\u{1f}0\"", "table \"t\" and \"$path\""),
        ("t.$path\u{1f}3.", "t.$path."),
        ("plain", "plain"),
    ] {
        assert_eq!(without_marks(text), shown);
    }
}

#[test]
fn kinds_have_their_own_bits() {
    let all = HiddenKind::ALL.iter().fold(0, |kinds, kind| kinds | kind.bit());
    assert_eq!(all, 0b1111);
    assert!(HiddenKind::ALL.into_iter().all(|kind| HiddenKind::of(kind.name()) == Some(kind)));
}

//! What PostgreSQL 15 prints for the same values, and that text and binary say the same.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, IntervalMonthDayNano, Schema, i256};
use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::pg::parameter;
use limnos_engine::input::InputContext;
use limnos_engine::session::{Settings, Zone};

fn context(zone: &str) -> InputContext {
    InputContext { zone: Zone::of_setting(zone), ..InputContext::default() }
}

fn utc_or(zone: &str) -> Style {
    Style { zone: Zone::of_setting(zone), ..Style::default() }
}

/// The cells of one column, as they go over the wire.
fn encode(array: ArrayRef, format: Format, zone: &str) -> Vec<Option<Bytes>> {
    let field = Field::new("c", array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let encoder = RowEncoder::new(&schema, |_| format, utc_or(zone));
    let mut rows = encoder.rows(&batch).unwrap();
    let mut out = BytesMut::new();
    let count = encoder.write(&mut rows, &mut out, u64::MAX, usize::MAX).unwrap();
    assert_eq!(count, batch.num_rows() as u64);
    let mut out = out.freeze();
    let mut cells = Vec::new();
    while out.has_remaining() {
        assert_eq!(out.get_u8(), b'D');
        let length = out.get_i32() as usize;
        let mut row = out.split_to(length - 4);
        assert_eq!(row.get_i16(), 1);
        cells.push(match row.get_i32() {
            -1 => None,
            length => Some(row.split_to(length as usize)),
        });
        assert!(row.is_empty());
    }
    cells
}

fn texts(array: impl Array + 'static, zone: &str) -> Vec<String> {
    let show = |cell: Option<Bytes>| cell.map_or("<null>".to_owned(), |cell| String::from_utf8(cell.to_vec()).unwrap());
    encode(Arc::new(array), Format::Text, zone).into_iter().map(show).collect()
}

#[test]
fn floats() {
    let numbers = vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        100.0,
        1e14,
        1e15,
        1e20,
        1.5e300,
        1e-4,
        1e-5,
        1.25e-7,
        123456789012345.6,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        5e-324,
    ];
    let expected = [
        "0",
        "-0",
        "1",
        "-1.5",
        "0.1",
        "100",
        "100000000000000",
        "1e+15",
        "1e+20",
        "1.5e+300",
        "0.0001",
        "1e-05",
        "1.25e-07",
        "123456789012345.6",
        "NaN",
        "Infinity",
        "-Infinity",
        "5e-324",
    ];
    assert_eq!(texts(Float64Array::from(numbers), "UTC"), expected);
    let numbers = vec![100_000.0_f32, 1e6, 123_456.0, 1_234_567.0, 1e-5, 0.1, 3.4e38];
    let expected = ["100000", "1e+06", "123456", "1.234567e+06", "1e-05", "0.1", "3.4e+38"];
    assert_eq!(texts(Float32Array::from(numbers), "UTC"), expected);
}

#[test]
fn numerics_keep_their_scale_and_all_digits() {
    let array = Decimal128Array::from(vec![150, -5, 0, 12_345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(texts(array, "UTC"), ["1.50", "-0.05", "0.00", "123.45"]);
    let array = Decimal128Array::from(vec![i128::pow(10, 38) - 1]).with_precision_and_scale(38, 38).unwrap();
    assert_eq!(texts(array, "UTC"), [format!("0.{}", "9".repeat(38))]);
    let big = i256::from_string(&"9".repeat(76)).unwrap();
    let array = Decimal256Array::from(vec![big, -big]).with_precision_and_scale(76, 1).unwrap();
    assert_eq!(texts(array, "UTC"), [format!("{}.9", "9".repeat(75)), format!("-{}.9", "9".repeat(75))]);
    let array = Decimal128Array::from(vec![12, 0]).with_precision_and_scale(5, -2).unwrap();
    assert_eq!(texts(array, "UTC"), ["1200", "0"]);
    assert_eq!(texts(UInt64Array::from(vec![u64::MAX]), "UTC"), ["18446744073709551615"]);
}

#[test]
fn dates_and_times() {
    let array = Date32Array::from(vec![0, 19_782, -719_163, -719_162, i32::MAX, i32::MIN, 2_932_897]);
    let expected = ["1970-01-01", "2024-02-29", "0001-12-31 BC", "0001-01-01", "infinity", "-infinity", "10000-01-01"];
    assert_eq!(texts(array, "UTC"), expected);

    let array = TimestampNanosecondArray::from(vec![0, 1_500_000_000, -1, 123_456_789]);
    let expected =
        ["1970-01-01 00:00:00", "1970-01-01 00:00:01.5", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00.123456"];
    assert_eq!(texts(array, "UTC"), expected);

    let instant = || TimestampSecondArray::from(vec![1_720_000_000]).with_timezone("UTC");
    for (zone, expected) in [
        ("UTC", "2024-07-03 09:46:40+00"),
        ("Europe/Vienna", "2024-07-03 11:46:40+02"),
        ("Asia/Kolkata", "2024-07-03 15:16:40+05:30"),
        ("America/St_Johns", "2024-07-03 07:16:40-02:30"),
        ("5.5", "2024-07-03 15:16:40+05:30"),
    ] {
        assert_eq!(texts(instant(), zone), [expected]);
    }
    assert_eq!(texts(Time64MicrosecondArray::from(vec![0, 86_399_000_100]), "UTC"), ["00:00:00", "23:59:59.0001"]);
}

#[test]
fn what_postgres_cannot_hold_is_an_error() {
    let array: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
    let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let encoder = RowEncoder::new(&schema, |_| Format::Text, Style::default());
    let mut out = BytesMut::new();
    let error = encoder.write(&mut encoder.rows(&batch).unwrap(), &mut out, 1, 1).unwrap_err();
    assert_eq!(error.code.sqlstate(), "22008");
    assert!(out.is_empty(), "half a row must not be sent");
}

#[test]
fn intervals_in_postgres_style() {
    let cases = [
        ((14, 3, 14_706_700_000_000), "1 year 2 mons 3 days 04:05:06.7"),
        ((0, 0, 0), "00:00:00"),
        ((-1, 0, 0), "-1 mons"),
        ((0, 1, 0), "1 day"),
        ((-13, 2, -1_000_000_000), "-1 years -1 mons +2 days -00:00:01"),
        ((0, -1, 1_000_000_000), "-1 days +00:00:01"),
        ((0, 0, 360_000_000_000_000), "100:00:00"),
    ];
    for ((months, days, nanoseconds), expected) in cases {
        let array = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(months, days, nanoseconds)]);
        assert_eq!(texts(array, "UTC"), [expected]);
    }
}

#[test]
fn arrays_and_bytes() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for item in [Some("a"), None, Some("b c"), Some(""), Some("null"), Some("q\"\\"), Some("x,y")] {
        builder.values().append_option(item);
    }
    builder.append(true);
    builder.append(true);
    builder.append(false);
    let expected = [r#"{a,NULL,"b c","","null","q\"\\","x,y"}"#, "{}", "<null>"];
    assert_eq!(texts(builder.finish(), "UTC"), expected);
    assert_eq!(texts(BinaryArray::from(vec![&b"\x00\xff"[..]]), "UTC"), ["\\x00ff"]);
    assert_eq!(texts(BooleanArray::from(vec![true, false]), "UTC"), ["t", "f"]);
}

#[test]
fn nested_values_are_json() {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"\n\u{1}"), None]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 1]));
    let at: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0, 0]).with_timezone("UTC"));
    let fields = Fields::from(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", at.data_type().clone(), true),
    ]);
    let array = StructArray::new(fields, vec![names, days, at], None);
    let expected = [
        r#"{"name":"a\"\n\u0001","day":"1970-01-01","at":"1970-01-01T00:00:00+00:00"}"#,
        r#"{"name":null,"day":"1970-01-02","at":"1970-01-01T00:00:00+00:00"}"#,
    ];
    assert_eq!(texts(array, "UTC"), expected);

    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), Some(vec![])]);
    let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let outer = ListArray::new(field, OffsetBuffer::from_lengths([2]), Arc::new(inner), None);
    assert_eq!(texts(outer, "UTC"), ["[[1,null],[]]"]);
}

#[test]
fn dictionaries_and_nulls() {
    let array: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("y"), Some("x")].into_iter().collect();
    assert_eq!(texts(array, "UTC"), ["x", "<null>", "y", "x"]);
    assert_eq!(texts(NullArray::new(2), "UTC"), ["<null>", "<null>"]);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["a", "b"])).unwrap();
    assert_eq!(texts(runs, "UTC"), ["a", "a", "b"]);
}

#[test]
fn writing_stops_where_it_is_told_and_goes_on_from_there() {
    let array: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100));
    let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int32, true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let encoder = RowEncoder::new(&schema, |_| Format::Text, Style::default());
    let mut rows = encoder.rows(&batch).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(encoder.write(&mut rows, &mut out, 7, usize::MAX).unwrap(), 7);
    let bytes_max = out.len() + 1;
    assert_eq!(encoder.write(&mut rows, &mut out, u64::MAX, bytes_max).unwrap(), 1);
    assert_eq!(encoder.write(&mut rows, &mut out, u64::MAX, usize::MAX).unwrap(), 92);
    assert!(rows.is_done());
}

/// U+0085 is white space to Unicode and a letter like others to PostgreSQL's arrays.
#[test]
fn spaces_of_unicode_are_part_of_an_element() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("\u{85}"), Some("\u{a0}x\u{2003}"), Some("\u{b}"), Some(" ")]);
    text_is_binary(Arc::new(builder.finish()), "UTC");
}

/// Both formats of one value, read back as the parameter they would be, are the same value.
fn text_is_binary(array: ArrayRef, zone: &str) {
    let data_type = array.data_type().clone();
    let oid = PgType::of_data_type(&data_type).oid();
    let text = encode(array.clone(), Format::Text, zone);
    let binary = encode(array.clone(), Format::Binary, zone);
    for (row, (text, binary)) in text.iter().zip(&binary).enumerate() {
        let expected = array.slice(row, 1);
        let from_text = parameter::decode(text.as_ref(), Format::Text, oid, &data_type, &context(zone));
        let from_binary = parameter::decode(binary.as_ref(), Format::Binary, oid, &data_type, &context(zone)).unwrap();
        assert_eq!(&from_binary, &expected, "binary of {text:?}");
        assert_eq!(&from_text.unwrap(), &expected, "text {text:?}");
    }
}

proptest! {
    #[test]
    fn integers_agree(values in proptest::collection::vec(any::<Option<i64>>(), 1..20)) {
        text_is_binary(Arc::new(Int64Array::from(values)), "UTC");
    }

    #[test]
    fn floats_agree(values in proptest::collection::vec(any::<f64>(), 1..20), small in any::<f32>()) {
        text_is_binary(Arc::new(Float64Array::from(values)), "UTC");
        text_is_binary(Arc::new(Float32Array::from(vec![small])), "UTC");
    }

    #[test]
    fn numerics_agree(
        values in proptest::collection::vec(-(10_i128.pow(38) - 1)..10_i128.pow(38), 1..20),
        shift in 0_u32..38,
        scale in 0_i8..=38,
    ) {
        let values: Vec<i128> = values.into_iter().map(|value| value / 10_i128.pow(shift)).collect();
        let array = Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap();
        text_is_binary(Arc::new(array), "UTC");
    }

    #[test]
    fn strings_and_bytes_agree(text in "[^\0]*", bytes in any::<Vec<u8>>()) {
        text_is_binary(Arc::new(StringArray::from(vec![text])), "UTC");
        text_is_binary(Arc::new(BinaryArray::from(vec![bytes.as_slice()])), "UTC");
    }

    #[test]
    fn dates_and_instants_agree(days in -700_000_i32..2_900_000, microseconds in -62_135_596_800_000_000_i64..253_402_300_799_999_999, time in 0_i64..86_400_000_000) {
        text_is_binary(Arc::new(Date32Array::from(vec![days])), "UTC");
        text_is_binary(Arc::new(TimestampMicrosecondArray::from(vec![microseconds])), "UTC");
        text_is_binary(Arc::new(Time64MicrosecondArray::from(vec![time])), "UTC");
        let instants = TimestampMicrosecondArray::from(vec![microseconds.max(-2_000_000_000_000_000)]).with_timezone("UTC");
        text_is_binary(Arc::new(instants), "Asia/Kolkata");
    }

    #[test]
    fn arrays_agree(items in proptest::collection::vec(proptest::option::of("[^\0]*"), 0..6)) {
        let values = StringArray::from(items);
        let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let array = ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), Arc::new(values), None);
        text_is_binary(Arc::new(array), "UTC");
    }

    /// Whatever bytes a client binds, the answer is a value or an error.
    #[test]
    fn no_parameter_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), type_index in 0_usize..40, binary: bool) {
        let oids = [16, 21, 23, 20, 26, 700, 701, 1700, 25, 17, 2950, 1082, 1083, 1114, 1184, 1186, 114, 1007, 1231, 1009];
        let oid = oids[type_index % oids.len()];
        let data_type = parameter::declared_type(oid).unwrap_or(DataType::Utf8);
        let format = if binary { Format::Binary } else { Format::Text };
        let _ = parameter::decode(Some(&Bytes::from(bytes)), format, oid, &data_type, &context("UTC"));
    }
}

#[test]
fn every_layout_of_a_string_is_the_same_string() {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    for data_type in [DataType::LargeUtf8, DataType::Utf8View] {
        let array = cast(&array, &data_type).unwrap();
        assert_eq!(encode(array, Format::Binary, "UTC"), [Some(Bytes::from("a")), Some(Bytes::from("b"))]);
    }
}

#[test]
fn styles_of_dates_and_intervals() {
    let settings = |name: &str, value: &str| {
        let mut settings = Settings::default();
        settings.set("TimeZone", &["Europe/Berlin".to_owned()]).unwrap();
        settings.set(name, &[value.to_owned()]).unwrap();
        settings
    };
    let show = |array: ArrayRef, settings: &Settings| {
        let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
        let mut session = Session::new("ada", "lake");
        session.settings = settings.clone();
        text_rows(&batch, &session).unwrap().remove(0).remove(0).unwrap()
    };
    let instant = || -> ArrayRef { Arc::new(TimestampSecondArray::from(vec![1_719_792_001]).with_timezone("UTC")) };
    let local = || -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![1_719_792_001_500])) };
    let day = || -> ArrayRef { Arc::new(Date32Array::from(vec![19_905])) };
    for (style, expected) in [
        ("ISO", ["2024-07-01 02:00:01+02", "2024-07-01 00:00:01.5", "2024-07-01"]),
        ("SQL, DMY", ["01/07/2024 02:00:01 CEST", "01/07/2024 00:00:01.5", "01/07/2024"]),
        ("SQL, YMD", ["07/01/2024 02:00:01 CEST", "07/01/2024 00:00:01.5", "07/01/2024"]),
        ("German", ["01.07.2024 02:00:01 CEST", "01.07.2024 00:00:01.5", "01.07.2024"]),
        ("Postgres, MDY", ["Mon Jul 01 02:00:01 2024 CEST", "Mon Jul 01 00:00:01.5 2024", "07-01-2024"]),
        ("Postgres, DMY", ["Mon 01 Jul 02:00:01 2024 CEST", "Mon 01 Jul 00:00:01.5 2024", "01-07-2024"]),
    ] {
        let settings = settings("DateStyle", style);
        let shown = [instant(), local(), day()].map(|array| show(array, &settings));
        assert_eq!(shown, expected, "{style}");
    }
    let interval = |months, days, microseconds: i64| -> ArrayRef {
        let value = IntervalMonthDayNano::new(months, days, microseconds * 1_000);
        Arc::new(IntervalMonthDayNanoArray::from(vec![value]))
    };
    for (style, value, expected) in [
        ("sql_standard", interval(14, 3, 14_706_700_000), "+1-2 +3 +4:05:06.7"),
        ("sql_standard", interval(14, 0, 0), "1-2"),
        ("sql_standard", interval(0, -1, -3_600_000_000), "-1 1:00:00"),
        ("sql_standard", interval(0, 0, 0), "0"),
        ("iso_8601", interval(14, 3, 14_706_700_000), "P1Y2M3DT4H5M6.7S"),
        ("iso_8601", interval(0, 0, -500_000), "PT-0.5S"),
        ("iso_8601", interval(0, 0, 0), "PT0S"),
        ("postgres_verbose", interval(14, 3, 14_706_700_000), "@ 1 year 2 mons 3 days 4 hours 5 mins 6.7 secs"),
        ("postgres_verbose", interval(0, -1, 3_600_000_000), "@ 1 day -1 hours ago"),
        ("postgres_verbose", interval(0, 0, 0), "@ 0"),
        ("postgres_verbose", interval(0, 0, -1_000_000), "@ 1 sec ago"),
    ] {
        assert_eq!(show(value, &settings("IntervalStyle", style)), expected, "{style}");
    }
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"a\\\x00\xff"[..]]));
    assert_eq!(show(bytes, &settings("bytea_output", "escape")), r"a\\\000\377");
    let third = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0 / 3.0])) };
    for (digits, expected) in
        [("0", "0.333333333333333"), ("-10", "0.33333"), ("-15", "0.3"), ("3", "0.3333333333333333")]
    {
        assert_eq!(show(third(), &settings("extra_float_digits", digits)), expected, "{digits}");
    }
    let large: ArrayRef = Arc::new(Float32Array::from(vec![1_234_567.0]));
    assert_eq!(show(large, &settings("extra_float_digits", "0")), "1.23457e+06");
}

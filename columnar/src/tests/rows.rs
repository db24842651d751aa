//! Batches of all types, made from a seed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;

use crate::{Options, SortKey, Table, TableBuilder};

/// A generator of numbers that is the same everywhere.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn text(numbers: &mut Numbers, different: u64) -> String {
    let value = numbers.below(different);
    match value % 5 {
        0 => String::new(),
        1 => format!("{value}"),
        2 => format!("a longer text that no view holds {value}"),
        3 => format!("{value}é\u{0}ß"),
        _ => "x".repeat((value % 700) as usize),
    }
}

/// A column of `rows` rows. How its values are spread is a matter of chance as well.
pub(super) fn column(data_type: &DataType, rows: usize, numbers: &mut Numbers) -> ArrayRef {
    let nulls = match numbers.below(4) {
        0 => Some(NullBuffer::from((0..rows).map(|_| numbers.below(3) > 0).collect::<Vec<_>>())),
        1 if numbers.below(4) == 0 => Some(NullBuffer::new_null(rows)),
        _ => None,
    };
    let spread = [1, 2, 200, 1000, 70_000, 1 << 40, u64::MAX][numbers.below(7) as usize];
    let base = if numbers.below(2) == 0 { 0 } else { numbers.next() as i64 };
    let mut integer = || base.wrapping_add(numbers.below(spread) as i64);
    macro_rules! integers {
        ($type:ty, $native:ty) => {
            Arc::new(
                PrimitiveArray::<$type>::new((0..rows).map(|_| integer() as $native).collect(), nulls)
                    .with_data_type(data_type.clone()),
            ) as ArrayRef
        };
    }
    match data_type {
        DataType::Int8 => integers!(Int8Type, i8),
        DataType::Int16 => integers!(Int16Type, i16),
        DataType::Int32 => integers!(Int32Type, i32),
        DataType::Int64 => integers!(Int64Type, i64),
        DataType::UInt8 => integers!(UInt8Type, u8),
        DataType::UInt16 => integers!(UInt16Type, u16),
        DataType::UInt32 => integers!(UInt32Type, u32),
        DataType::UInt64 => integers!(UInt64Type, u64),
        DataType::Date32 => integers!(Date32Type, i32),
        DataType::Date64 => integers!(Date64Type, i64),
        DataType::Time32(TimeUnit::Second) => integers!(Time32SecondType, i32),
        DataType::Time64(TimeUnit::Microsecond) => integers!(Time64MicrosecondType, i64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integers!(TimestampNanosecondType, i64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integers!(TimestampMicrosecondType, i64),
        DataType::Duration(TimeUnit::Millisecond) => integers!(DurationMillisecondType, i64),
        DataType::Decimal32(..) => integers!(Decimal32Type, i32),
        DataType::Decimal64(..) => integers!(Decimal64Type, i64),
        DataType::Decimal128(..) => {
            let wide = numbers.below(3) == 0;
            let value = |numbers: &mut Numbers| {
                let low = i128::from(base.wrapping_add(numbers.below(spread) as i64));
                if wide { low.wrapping_mul(i128::from(numbers.next() as i64)) } else { low }
            };
            Arc::new(
                Decimal128Array::new((0..rows).map(|_| value(numbers)).collect(), nulls)
                    .with_data_type(data_type.clone()),
            )
        }
        DataType::Decimal256(..) => {
            let values =
                (0..rows).map(|_| i256::from_parts(u128::from(numbers.next()) << 3, i128::from(numbers.next() as i64)));
            Arc::new(Decimal256Array::new(values.collect(), nulls).with_data_type(data_type.clone()))
        }
        DataType::Float16 => cast(&column(&DataType::Float32, rows, numbers), data_type).expect("floats narrow"),
        DataType::Float32 => {
            let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.5, -2.5];
            Arc::new(Float32Array::new((0..rows).map(|_| odd[numbers.below(8) as usize]).collect(), nulls))
        }
        DataType::Float64 => {
            let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.5];
            let kinds = 1 + numbers.below(8) as usize;
            let value = |numbers: &mut Numbers| {
                odd.get(numbers.below(9) as usize % kinds).copied().unwrap_or(f64::from(numbers.next() as i32))
            };
            Arc::new(Float64Array::new((0..rows).map(|_| value(numbers)).collect(), nulls))
        }
        DataType::Boolean => {
            let kinds = 1 + numbers.below(2);
            let values: Vec<bool> = (0..rows).map(|_| numbers.below(1 + kinds) == 0).collect();
            Arc::new(BooleanArray::new(values.into(), nulls))
        }
        DataType::Utf8View => {
            let different = [1, 3, 300, 1 << 30][numbers.below(4) as usize];
            let valid = |row| nulls.as_ref().is_none_or(|nulls: &NullBuffer| nulls.is_valid(row));
            Arc::new((0..rows).map(|row| valid(row).then(|| text(numbers, different))).collect::<StringViewArray>())
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::BinaryView
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::Dictionary(..) => {
            cast(&column(&DataType::Utf8View, rows, numbers), data_type).expect("text is cast")
        }
        DataType::FixedSizeBinary(size) => {
            let values: Vec<Vec<u8>> = (0..rows).map(|_| (0..*size).map(|_| numbers.next() as u8).collect()).collect();
            let built = FixedSizeBinaryArray::try_from_iter(values.into_iter());
            built.map_or_else(|_| new_empty_array(data_type), |built| Arc::new(built) as ArrayRef)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = (0..rows).map(|_| {
                IntervalMonthDayNano::new(numbers.below(30) as i32, numbers.next() as i32, numbers.next() as i64)
            });
            Arc::new(IntervalMonthDayNanoArray::new(values.collect(), nulls))
        }
        DataType::Interval(IntervalUnit::YearMonth) => integers!(IntervalYearMonthType, i32),
        DataType::Null => Arc::new(NullArray::new(rows)),
        DataType::List(field) => {
            let lengths: Vec<usize> = (0..rows).map(|_| numbers.below(4) as usize).collect();
            let values = column(field.data_type(), lengths.iter().sum(), numbers);
            Arc::new(ListArray::new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, nulls))
        }
        DataType::Map(field, sorted) => {
            let lengths: Vec<usize> = (0..rows).map(|_| numbers.below(3) as usize).collect();
            let total = lengths.iter().sum();
            let DataType::Struct(fields) = field.data_type() else { panic!("maps have entries") };
            let keys: ArrayRef = Arc::new((0..total).map(|row| Some(format!("key {row}"))).collect::<StringArray>());
            let entries =
                StructArray::new(fields.clone(), vec![keys, column(fields[1].data_type(), total, numbers)], None);
            Arc::new(MapArray::new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), entries, nulls, *sorted))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| column(field.data_type(), rows, numbers)).collect();
            Arc::new(
                StructArray::try_new_with_length(fields.clone(), columns, nulls, rows).expect("columns of one length"),
            )
        }
        other => panic!("no values of type {other}"),
    }
}

/// All types that tables may have.
pub(super) fn types() -> Vec<DataType> {
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let label = HashMap::from([("limnos.type".to_owned(), "uuid".to_owned())]);
    let labelled = Field::new("labelled", DataType::Utf8View, true).with_metadata(label);
    let row = DataType::Struct(
        vec![Arc::new(labelled), field("n", DataType::Decimal128(38, 10)), field("v", DataType::Boolean)].into(),
    );
    let entries = DataType::Struct(
        vec![Arc::new(Field::new("keys", DataType::Utf8, false)), field("values", row.clone())].into(),
    );
    vec![
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Date32,
        DataType::Date64,
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
        DataType::Duration(TimeUnit::Millisecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Decimal32(9, 2),
        DataType::Decimal64(18, 2),
        DataType::Decimal128(15, 2),
        DataType::Decimal128(38, 0),
        DataType::Decimal256(76, 10),
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(16),
        DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8)),
        DataType::Null,
        DataType::List(field("item", DataType::Int64)),
        DataType::List(field("item", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)))),
        DataType::List(field("item", row.clone())),
        DataType::Map(field("entries", entries).as_ref().clone().with_nullable(false).into(), false),
        row,
    ]
}

/// A schema of all types, with labels.
pub(super) fn schema() -> SchemaRef {
    let fields: Vec<Field> = types()
        .into_iter()
        .enumerate()
        .map(|(place, data_type)| {
            let label = HashMap::from([("limnos.pg_type".to_owned(), format!("type {place}"))]);
            Field::new(format!("c{place}"), data_type, true).with_metadata(label)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, HashMap::from([("of".to_owned(), "table".to_owned())])))
}

pub(super) fn batch(schema: &SchemaRef, rows: usize, numbers: &mut Numbers) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| column(field.data_type(), rows, numbers)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("columns of the schema")
}

/// A table of parts, each of batches.
pub(super) fn table(schema: &SchemaRef, parts: &[Vec<RecordBatch>], chunk_rows: usize, order_by: &[SortKey]) -> Table {
    let options = Options { chunk_rows, order_by: order_by.to_vec(), ..Options::default() };
    let mut builder = TableBuilder::new(schema, options).expect("a builder");
    for (place, batches) in parts.iter().enumerate() {
        builder.begin_part(format!("part {place}")).expect("no part is open");
        for batch in batches {
            builder.push(batch).expect("rows of the table");
        }
        builder.end_part().expect("a part is open");
    }
    builder.finish().expect("a table")
}

/// All rows of a table in one batch.
pub(super) fn all(table: &Table) -> RecordBatch {
    let batches = table.batches().collect::<crate::Result<Vec<_>>>().expect("rows");
    arrow::compute::concat_batches(table.schema(), &batches).expect("one schema")
}

/// All rows of some batches, in the types that a table keeps.
pub(super) fn expected(table: &Table, parts: &[Vec<RecordBatch>]) -> RecordBatch {
    let stored: Vec<RecordBatch> = parts
        .iter()
        .flatten()
        .map(|batch| {
            let fields = table.schema().fields().iter().zip(batch.columns());
            let columns = fields.map(|(field, array)| cast(array, field.data_type()).expect("a stored type")).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(table.schema()), columns, &options)
                .expect("the table's columns")
        })
        .collect();
    arrow::compute::concat_batches(table.schema(), &stored).expect("one schema")
}

/// Equal to the bit, NaN and -0.0 included.
pub(super) fn assert_equal(left: &RecordBatch, right: &RecordBatch) {
    assert_eq!(left.schema(), right.schema());
    assert_eq!(left.num_rows(), right.num_rows());
    for (place, (left, right)) in left.columns().iter().zip(right.columns()).enumerate() {
        let exact = |array: &ArrayRef| match array.data_type() {
            DataType::Float64 => crate::native::retype(array, &DataType::Int64).expect("of one width"),
            DataType::Float32 => crate::native::retype(array, &DataType::Int32).expect("of one width"),
            DataType::Float16 => crate::native::retype(array, &DataType::Int16).expect("of one width"),
            _ => Arc::clone(array),
        };
        assert_eq!(exact(left).to_data(), exact(right).to_data(), "column {place}");
    }
}

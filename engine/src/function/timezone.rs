//! `timezone(zone, moment)`, which is what `moment AT TIME ZONE zone` stands for: a `timestamp` read as local time there becomes
//! an instant, and an instant becomes the local time there. DataFusion's own only ever gives an instant.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset, TimeZone};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::row_function::failure;
use crate::{Error, ErrorCode};

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(TimeZoneFunction { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeZoneFunction {
    signature: Signature,
}

fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

impl ScalarUDFImpl for TimeZoneFunction {
    fn name(&self) -> &str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        // Text is read as an instant, as in PostgreSQL.
        let instant = matches!(arg_types.get(1), Some(DataType::Timestamp(_, Some(_))))
            || arg_types.get(1).is_some_and(DataType::is_string);
        Ok(if instant { LOCAL } else { instant_type() })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [zone, moment] = args.args.as_slice() else { return exec_err!("timezone takes two arguments") };
        let constant = matches!((zone, moment), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let zones = cast(&zone.to_array(rows)?, &DataType::Utf8)?;
        let moments = moment.to_array(rows)?;
        let to_local = args.return_field.data_type() == &LOCAL;
        let read_as = if to_local { instant_type() } else { LOCAL };
        let moments = cast(&moments, &read_as)?;
        let mut last: Option<(String, Tz)> = None;
        let mut converted = TimestampMicrosecondArray::builder(rows);
        for (zone, moment) in zones.as_string::<i32>().iter().zip(moments.as_primitive::<TimestampMicrosecondType>()) {
            let (Some(zone), Some(moment)) = (zone, moment) else {
                converted.append_null();
                continue;
            };
            let known = match &last {
                Some((name, known)) if name == zone => *known,
                _ => {
                    let known: Tz = zone.parse().map_err(|_| unknown(zone))?;
                    last = Some((zone.to_owned(), known));
                    known
                }
            };
            converted.append_value(shifted(known, moment, to_local).ok_or_else(out_of_range)?);
        }
        let converted = converted.finish();
        let converted: ArrayRef = Arc::new(if to_local { converted } else { converted.with_timezone("UTC") });
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
        } else {
            ColumnarValue::Array(converted)
        })
    }
}

fn shifted(zone: Tz, moment: i64, to_local: bool) -> Option<i64> {
    let time = DateTime::from_timestamp_micros(moment)?.naive_utc();
    let offset = |seconds: i32| i64::from(seconds) * 1_000_000;
    if to_local {
        return moment.checked_add(offset(zone.offset_from_utc_datetime(&time).fix().local_minus_utc()));
    }
    let local = match zone.offset_from_local_datetime(&time) {
        chrono::LocalResult::Single(at) => at.fix().local_minus_utc(),
        // An hour that is there twice: the later instant, standard time, as PostgreSQL has it.
        chrono::LocalResult::Ambiguous(first, second) => {
            first.fix().local_minus_utc().min(second.fix().local_minus_utc())
        }
        // An hour that clocks skip: the time before they were put forward goes on.
        chrono::LocalResult::None => {
            let before = time.checked_sub_signed(chrono::TimeDelta::hours(3))?;
            zone.offset_from_local_datetime(&before).latest()?.fix().local_minus_utc()
        }
    };
    moment.checked_sub(offset(local))
}

fn unknown(zone: &str) -> datafusion::error::DataFusionError {
    failure(Error::new(ErrorCode::InvalidParameterValue, format!("time zone \"{zone}\" not recognized")))
}

fn out_of_range() -> datafusion::error::DataFusionError {
    failure(Error::new(ErrorCode::DatetimeFieldOverflow, "timestamp out of range"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_put_forward_and_back() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        let micros = |text: &str| {
            chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp_micros()
        };
        for (moment, to_local, expected) in [
            ("2024-07-01 12:00", false, "2024-07-01 10:00"),
            ("2024-07-01 10:00", true, "2024-07-01 12:00"),
            ("2024-03-31 02:30", false, "2024-03-31 01:30"),
            ("2024-10-27 02:30", false, "2024-10-27 01:30"),
        ] {
            assert_eq!(shifted(zone, micros(moment), to_local), Some(micros(expected)), "{moment}");
        }
    }
}

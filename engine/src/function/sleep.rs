//! `pg_sleep(seconds)`: waits without holding a thread, and ends at once when the query is cancelled, because the stream
//! that waits is dropped.

use std::time::Duration;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Longest sleep, a day: past every timeout that makes sense, short of overflowing the timer.
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

pub(super) fn function() -> ScalarUDF {
    let sleep = PgSleep { signature: Signature::exact(vec![DataType::Float64], Volatility::Volatile) };
    AsyncScalarUDF::new(std::sync::Arc::new(sleep)).into_scalar_udf()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PgSleep {
    signature: Signature,
}

impl ScalarUDFImpl for PgSleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// PostgreSQL's `void` is sent as an empty text.
    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("pg_sleep can't be called here")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for PgSleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.args[0].to_array(args.number_rows)?;
        for i in 0..rows.len() {
            if let ScalarValue::Float64(Some(seconds)) = ScalarValue::try_from_array(&rows, i)?
                && seconds > 0.0
            {
                tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(SLEEP_MAX).min(SLEEP_MAX)).await;
            }
        }
        Ok(ColumnarValue::Array(std::sync::Arc::new(arrow::array::StringArray::from(vec![""; rows.len()]))))
    }
}

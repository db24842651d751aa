//! Reports: queries whose answers become files.
//!
//! ```text
//! RUN REPORT ── values of parameters ── places of files (template) ── each query, once, through the engine
//!            ── all writers take each batch (output) ── every file is made ── the files appear, one after the other
//!            ── the run's end is noted, with who is to be told; the server tells them
//! ```
//! - It runs with the rights of the report's owner, in the catalog's state at its begin.
//! - Nothing is at a file's place until all queries have answered and all files are made. A file that is there is replaced
//!   whole, so running the same time again leaves what running it once does. Each file appears whole; between the first and the
//!   last of several a crash may fall, and a run of the same time puts that right.
//! - What fails leaves a text beside each file's place that says why (`sales.xlsx.error.txt`), which the next success removes.

mod output;
mod parameter;
mod run;
mod template;

pub(crate) use output::{Format, check_layout};
pub(crate) use parameter::zone_of;
pub(crate) use run::{Asked, ran_schema, run};
pub(crate) use template::{Fill, Template};

use bytes::Bytes;
use limnos_catalog::{ReportChart, ReportFile};
use limnos_report::{Chart, ChartKind};
use object_store::ObjectStoreExt as _;
use sha2::{Digest as _, Sha256};

use crate::scan::store::{Stores, store_error};
use crate::{Error, ErrorCode, Result};

/// A file that a run has written, if it is still that one.
pub(crate) async fn read_file(stores: &Stores, file: &ReportFile, bytes_max: u64) -> Result<Bytes> {
    if file.size > bytes_max {
        let message =
            format!("file \"{}\" has {} bytes, more than the {bytes_max} that go along", file.location, file.size);
        return Err(Error::new(ErrorCode::ProgramLimitExceeded, message));
    }
    let location = stores.resolve(&file.location)?;
    let failed = |error: &object_store::Error| store_error(&file.location, error);
    let bytes = location.store.get(&location.path).await.map_err(|error| failed(&error))?;
    let bytes = bytes.bytes().await.map_err(|error| failed(&error))?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if sha256 != file.sha256 {
        let message = format!("file \"{}\" was replaced since", file.location);
        return Err(Error::new(ErrorCode::FileChanged, message));
    }
    Ok(bytes)
}

/// The chart that a definition's words mean.
pub(crate) fn chart_of(chart: &ReportChart) -> Chart {
    let kind = chart.kind.parse().unwrap_or(ChartKind::Line);
    let mut columns = chart.columns.iter().cloned();
    let x = if kind == ChartKind::Number { None } else { columns.next() };
    Chart { kind, x, y: columns.next().into_iter().collect(), series: columns.next(), title: chart.title.clone() }
}

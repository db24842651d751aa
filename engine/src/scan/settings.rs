//! [`ScanSettings`]: what a session says of how its scans read. None of it changes an answer.

use crate::session::Settings;
use crate::session::settings::LateMaterialization;

/// Carried to scans in the configuration of a query's session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanSettings {
    /// `read_ahead`: see [`super::ahead`].
    pub(crate) read_ahead: bool,
    /// `late_materialization`: see [`super::parquet`].
    pub(crate) late: LateMaterialization,
    /// `dataset_aggregation`: see `dataset::aggregate`.
    pub(crate) dataset_aggregation: bool,
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self::of(&Settings::default())
    }
}

impl ScanSettings {
    /// Those of a session.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            read_ahead: settings.read_ahead(),
            late: settings.late_materialization(),
            dataset_aggregation: settings.dataset_aggregation(),
        }
    }
}

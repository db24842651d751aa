//! What commands say of tables whose partitions are projected: their properties are checked when they are set, and the
//! catalog's partitions of such a table are told to be out of use.

use limnos_catalog::{Table, TableDefinition, TableName};

use crate::prune::projection::{Projection, validate};
use crate::scan::store::Stores;
use crate::{Error, ErrorCode, Notice, Result};

/// Checks the projection properties of a table that is to be made or changed, and that its folders lie inside the roots.
/// What has no effect is told.
///
/// # Errors
/// [`ErrorCode::InvalidTableDefinition`] naming table, property and value; a template outside the roots.
pub(super) fn check(stores: &Stores, name: &TableName, definition: &TableDefinition) -> Result<Vec<Notice>> {
    let notices = validate(name, definition)?;
    let Some(projection) = Projection::of(name, definition)? else { return Ok(notices) };
    if let Some(sample) = projection.sample_location() {
        let folder = stores.resolve(&sample)?;
        let own = stores.resolve(projection.table_location())?;
        if folder.store_url != own.store_url {
            let message =
                format!("\"storage.location.template\" of table \"{name}\" leads to another store than its location");
            return Err(Error::new(ErrorCode::FeatureNotSupported, message)
                .with_detail(format!(
                    "The location is in \"{}\", the template in \"{}\".",
                    own.store_url, folder.store_url
                ))
                .with_hint("Give the table a LOCATION in the store of its template."));
        }
    }
    Ok(notices)
}

/// Whether queries take the partitions of `table` from its properties. A definition that can't be read is told by the queries
/// that it fails.
pub(super) fn is_projected(table: &Table) -> bool {
    matches!(Projection::of(&table.name, table), Ok(Some(_)))
}

/// What to say when the catalog's partitions of a projected table are shown or changed.
pub(super) fn notice(table: &Table) -> Option<Notice> {
    is_projected(table).then(|| {
        let message = format!("partitions of table \"{}\" are projected from its properties", table.name);
        Notice::warning(format!("{message}; queries do not use those in the catalog"))
    })
}

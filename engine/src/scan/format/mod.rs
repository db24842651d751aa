//! One module per file format.

/// stub until merge
pub fn text_source(
    _definition: &limnos_catalog::TableDefinition,
    _schema: datafusion::datasource::table_schema::TableSchema,
) -> crate::Result<std::sync::Arc<dyn datafusion::datasource::physical_plan::FileSource>> {
    Err(crate::Error::unsupported("text"))
}

//! Documents that are tables all the same: sheets of Excel and elements of XML, read as a whole into memory.
//!
//! ```text
//! read_excel('book.xlsx', sheet => 'orders', range => 'B2:D100', header => false)
//! read_xml('orders.xml', row => 'order')
//! ```
//! A [`DocumentCall`] says which; [`open`] reads the file, once for each time that a query is planned. What is larger than
//! [`DOCUMENT_BYTES_MAX`] is refused: nothing of such a file can be left out when it is read, and it takes memory that no pool
//! counts. Who has more of it converts it.

mod excel;
mod rows;
mod xml;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::scan::format::input;
use crate::scan::store::{Stores, store_error};
use crate::{Error, ErrorCode, Result};

/// Largest file, as it lies in the store, and, of XML, unpacked.
const DOCUMENT_BYTES_MAX: u64 = 32 << 20;

/// What kind of document a function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DocumentKind {
    /// `read_excel`
    Excel,
    /// `read_xml`
    Xml,
}

/// A document, and what of it is the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentCall {
    pub(crate) kind: DocumentKind,
    pub(crate) path: String,
    /// Of Excel: the sheet's name; the first one if nothing is said.
    pub(crate) sheet: Option<String>,
    /// Of Excel: whether the first row has the names; true if nothing is said.
    pub(crate) header: Option<bool>,
    /// Of Excel: the cells, `A1:D10`.
    pub(crate) range: Option<String>,
    /// Of XML: the elements that are rows.
    pub(crate) row: Option<String>,
}

/// Reads the document's table.
///
/// # Errors
/// Outside the roots, not there, too large, or not what it is taken for.
pub(crate) async fn open(stores: &Stores, call: &DocumentCall) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let location = stores.resolve(&call.path)?;
    let name = location.url_of(&location.path);
    let object = match input::head(&location.store, &location.path, &name).await {
        Ok(object) => object,
        Err(error) if error.code == ErrorCode::UndefinedFile => {
            return Err(Error::new(ErrorCode::UndefinedFile, format!("file \"{}\" does not exist", call.path)));
        }
        Err(error) => return Err(error),
    };
    if object.size > DOCUMENT_BYTES_MAX {
        return Err(too_large(&call.path));
    }
    let call = call.clone();
    let bytes = match call.kind {
        DocumentKind::Excel => {
            let body = location.store.get_opts(&object.location, object_store::GetOptions::default()).await;
            let body = body.map_err(|error| store_error(&name, &error))?;
            let bytes = body.bytes().await.map_err(|error| store_error(&name, &error))?.to_vec();
            excel::check(&bytes).await.map_err(|error| in_file(error, &call.path))?;
            bytes
        }
        DocumentKind::Xml => {
            let mut chunks = input::open(&location.store, &object, &name, |_| ()).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.try_next().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
                    return Err(too_large(&call.path));
                }
            }
            bytes
        }
    };
    // A parser of others on a file of anyone's: a panic ends this statement alone, and takes no worker with it.
    let path = call.path.clone();
    let work = tokio::task::spawn_blocking(move || {
        let rows = match call.kind {
            DocumentKind::Excel => excel::rows(bytes, &call)?,
            DocumentKind::Xml => {
                let text = std::str::from_utf8(&bytes).map_err(|_| {
                    Error::new(ErrorCode::CharacterNotInRepertoire, "the file is not in UTF-8")
                        .with_hint("Convert the file to UTF-8.")
                })?;
                xml::rows(text, call.row.as_deref())?
            }
        };
        rows.into_batches()
    });
    match work.await {
        Ok(table) => table.map_err(|error| in_file(error, &path)),
        Err(_) => Err(in_file(Error::new(ErrorCode::DataCorrupted, "the document cannot be read"), &path)),
    }
}

fn in_file(mut error: Error, path: &str) -> Error {
    let place = format!("File \"{path}\".");
    error.detail = Some(match error.detail {
        Some(detail) => format!("{place} {detail}"),
        None => place,
    });
    error
}

fn too_large(path: &str) -> Error {
    Error::new(ErrorCode::ProgramLimitExceeded, format!("file \"{path}\" is too large to be read as a document"))
        .with_detail(format!("Documents may have {} MB.", DOCUMENT_BYTES_MAX >> 20))
        .with_hint("Convert it to CSV, JSON or Parquet.")
}

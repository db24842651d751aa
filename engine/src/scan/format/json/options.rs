//! [`JsonOptions`]: what a table says of its JSON, in the properties of Hive's JsonSerDe, OpenX's and ours.
//!
//! | property | |
//! |---|---|
//! | `limnos.json.layout`, `limnos.json.path` | where the records are ([`Layout`]); without them arrays are told from lines |
//! | `strip.outer.array` | arrays are told from lines anyway; `false` takes lines for records, be they arrays |
//! | `case.insensitive` | `false`: keys are columns of exactly that name. Columns' names are lower case, `mapping` gives them others |
//! | `mapping.name` | the key that the column, or the field inside one, of that name is read from |
//! | `dots.in.keys`, `ConvertDotsInJsonKeysToUnderscores` | `true`: the key `a.b` is the column `a_b` |
//! | `ignore.malformed.json` | `true`: what isn't an object is a row of NULLs. `limnos.on_error` goes before it |
//! | `use.null.for.invalid.data` | `true`: a value that isn't of its type is NULL. The same |

use std::collections::BTreeMap;

use limnos_catalog::StorageDescriptor;

use super::records::Layout;
use crate::{Error, ErrorCode, Result};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// Where the records are.
    pub layout: Layout,
    /// Which key is which column.
    pub keys: KeyRules,
    /// What isn't an object is a row of NULLs, unless `limnos.on_error` says something.
    pub malformed_is_null: bool,
    /// What isn't of its type is NULL, unless `limnos.on_error` says something.
    pub invalid_is_null: bool,
}

/// Which key of an object is which column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Letter case counts.
    pub case_sensitive: bool,
    /// Dots in keys are underscores in names.
    pub dots_are_underscores: bool,
    /// Fields' names, in lower case, and the keys that they are read from.
    pub mapping: BTreeMap<String, String>,
}

impl From<Layout> for JsonOptions {
    fn from(layout: Layout) -> Self {
        Self { layout, keys: KeyRules::default(), malformed_is_null: false, invalid_is_null: false }
    }
}

impl JsonOptions {
    /// Reads the properties in the table above.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for a value that a property can't have.
    pub fn new(storage: &StorageDescriptor) -> Result<Self> {
        let says = |name: &str| says(storage, name);
        let dots = says("dots.in.keys")?.or(says("ConvertDotsInJsonKeysToUnderscores")?);
        let mapping = storage
            .properties
            .iter()
            .filter_map(|(name, key)| Some((name.strip_prefix("mapping.")?.to_lowercase(), key.clone())));
        let layout = match (super::layout(storage)?, says("strip.outer.array")?) {
            (Layout::Detect, Some(false)) => Layout::Lines,
            (layout, _) => layout,
        };
        Ok(Self {
            layout,
            keys: KeyRules {
                case_sensitive: says("case.insensitive")? == Some(false),
                dots_are_underscores: dots == Some(true),
                mapping: mapping.collect(),
            },
            malformed_is_null: says("ignore.malformed.json")? == Some(true),
            invalid_is_null: says("use.null.for.invalid.data")? == Some(true),
        })
    }
}

/// Whether a property, whatever the case of its name, is `true`.
fn says(storage: &StorageDescriptor, name: &str) -> Result<Option<bool>> {
    let Some((_, value)) = storage.properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(Error::new(
            ErrorCode::InvalidParameterValue,
            format!("invalid value for property \"{name}\": \"{value}\""),
        )
        .with_hint("Available values: true, false.")),
    }
}

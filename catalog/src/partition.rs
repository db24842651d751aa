//! [`Partition`] and [`PartitionList`]: the folders of a partitioned table and their key values.

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// One value per partition key, in the keys' order, unescaped, as the folder spells it (`01` stays `01`).
    /// `None` is `__HIVE_DEFAULT_PARTITION__`, a NULL.
    pub values: Vec<Option<String>>,
    /// Its folder: a URL of its own, or `None` where it is the table's location and the standard Hive path.
    pub location: Option<String>,
}

/// All partitions of one table at one version, column by column.
#[derive(Debug, Default)]
pub struct PartitionList {
    /// `values[k][i]` is the value of key `k` in partition `i`.
    pub values: Vec<Vec<Option<Box<str>>>>,
    /// `locations[i]`, as in [`Partition::location`].
    pub locations: Vec<Option<Box<str>>>,
}

impl PartitionList {
    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.locations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }
}

/// The name Hive gives a folder whose key is NULL.
pub const HIVE_DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The path of a partition under its table's location, `year=2024/month=01/`, escaped as Hive does
/// (`FileUtils.escapePathName`).
pub fn hive_path<'a>(_keys_and_values: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    todo!()
}

/// Splits one path segment `key=value` into its key (lower case) and unescaped value (`None` for the default
/// partition); `None` if it isn't of that form.
pub fn parse_hive_segment(_segment: &str) -> Option<(String, Option<String>)> {
    todo!()
}

//! [`Provenance`]: each effective setting, and where it comes from: a flag, the environment, a line of the file, the default.
//!
//! A layer is turned into a table of TOML as it is, so a setting that is added is shown without a word here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use toml::{Table, Value};

use super::{Config, ConfigError, Layer, Sources, environment_layer, read_file, setting_names};

/// What is shown of a secret.
const MASK: &str = "********";

/// Parts of names whose values are not shown.
const SECRET_PARTS: [&str; 4] = ["secret", "password", "token", "private_key"];

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// As in the file, with `_` for the dot of a table.
    pub name: String,
    /// Its value; secrets are masked.
    pub value: String,
    /// `default`, `FILE:LINE`, `LIMNOS_NAME`, `--name`.
    pub source: String,
}

impl Sources {
    /// Every setting with its value and its source, by name.
    ///
    /// # Errors
    /// As [`Sources::layers`] and [`Config::from_layer`].
    pub fn provenance(self, environment: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Provenance>, ConfigError> {
        let path = self.config.clone().or_else(|| environment("LIMNOS_CONFIG").map(PathBuf::from));
        let (file, text) = match &path {
            Some(path) => (read_file(path)?, fs::read_to_string(path).unwrap_or_default()),
            None => (Layer::default(), String::new()),
        };
        let flags = values(&self.flags);
        let from_environment = values(&environment_layer(&environment)?);
        let from_file = values(&file);
        let merged = self.layers(&environment)?;
        let defaults = defaults(merged)?;
        let mut names = setting_names();
        names.extend(flags.keys().chain(from_environment.keys()).chain(from_file.keys()).cloned());
        names.sort_unstable();
        names.dedup();
        let shown_path = path.map(|path| path.display().to_string()).unwrap_or_default();
        let found = |name: String| {
            let (value, source) = if let Some(value) = flags.get(&name) {
                (value.clone(), format!("--{}", name.replace('_', "-")))
            } else if let Some(value) = from_environment.get(&name) {
                (value.clone(), format!("LIMNOS_{}", name.to_ascii_uppercase()))
            } else if let Some(value) = from_file.get(&name) {
                let line = line_of(&text, &name).map(|line| format!(":{line}")).unwrap_or_default();
                (value.clone(), format!("{shown_path}{line}"))
            } else {
                (defaults.get(name.as_str()).cloned().unwrap_or_default(), "default".to_owned())
            };
            let is_secret = SECRET_PARTS.iter().any(|part| name.contains(part)) && !value.is_empty();
            Provenance { value: if is_secret { MASK.to_owned() } else { without_password(&name, value) }, name, source }
        };
        Ok(names.into_iter().map(found).collect())
    }
}

/// A catalog's URL may hold a password.
fn without_password(name: &str, value: String) -> String {
    if name != "catalog" || value.is_empty() {
        return value;
    }
    limnos_catalog::Location::parse(&value).map_or_else(|_| MASK.to_owned(), |location| location.to_string())
}

/// What a layer says, by name. Lists of tables that may hold secrets are only counted.
fn values(layer: &Layer) -> BTreeMap<String, String> {
    let table = Table::try_from(layer).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(inner.into_iter().map(|(key, value)| (format!("{name}_{key}"), text(&value))));
            }
            value => {
                found.insert(name, text(&value));
            }
        }
    }
    let counted = [
        ("users", layer.users.as_ref().map(|users| users.keys().cloned().collect::<Vec<_>>().join(", "))),
        ("hba", layer.hba.as_ref().map(|rules| format!("{} rules", rules.len()))),
        ("ident", layer.ident.as_ref().map(|rules| format!("{} rules", rules.len()))),
        ("webhooks", layer.webhooks.as_ref().map(|hooks| hooks.keys().cloned().collect::<Vec<_>>().join(", "))),
        (
            "roots",
            layer.roots.as_ref().map(|roots| roots.iter().map(|root| root.url.clone()).collect::<Vec<_>>().join(", ")),
        ),
    ];
    found.extend(counted.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    found
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What holds where nothing is said. A setting that follows from others is shown as it follows.
fn defaults(layer: Layer) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let data_dir = layer.data_dir.is_some();
    let shown = Layer { data_dir: Some(PathBuf::from("DATA_DIR")), ..Layer::default() };
    let config = Config::from_layer(layer.over(shown))?;
    let span = |span: Option<std::time::Duration>| span.map_or_else(|| "0".to_owned(), |span| format!("{span:?}"));
    let size = |size: Option<super::ByteSize>| size.map_or_else(|| "0".to_owned(), |size| size.to_string());
    let mut found = BTreeMap::from([
        ("catalog", config.catalog.to_string()),
        ("warehouse", config.warehouse),
        ("pg", config.pg.to_string()),
        ("http", config.http.to_string()),
        ("memory_limit", config.memory_limit.to_string()),
        ("threads", config.threads.to_string()),
        ("spill_limit", config.spill_limit.to_string()),
        ("footer_cache_bytes", config.footer_cache.to_string()),
        ("partition_cache_bytes", config.partition_cache.to_string()),
        ("result_cache_bytes", config.result_cache.to_string()),
        ("listing_cache_bytes", config.listing_cache.to_string()),
        ("block_cache_memory_bytes", config.block_cache_memory.to_string()),
        (
            "block_cache_bytes",
            config.block_cache.map_or_else(|| "a tenth of the free disk".to_owned(), |size| size.to_string()),
        ),
        ("scan_limit", size(config.scan_limit)),
        ("catalog_name", config.catalog_name),
        ("max_connections", config.max_connections.to_string()),
        ("superuser_reserved_connections", config.superuser_reserved_connections.to_string()),
        ("authentication_timeout", span(Some(config.authentication_timeout))),
        ("idle_session_timeout", span(config.idle_session_timeout)),
        ("idle_in_transaction_session_timeout", span(config.idle_in_transaction_session_timeout)),
        ("statement_timeout", span(config.statement_timeout)),
        ("shutdown_deadline", span(Some(config.shutdown_deadline))),
        ("auth", if config.auth == super::Auth::Trust { "trust" } else { "scram-sha-256" }.to_owned()),
        ("log_level", config.log_level),
        ("log_format", if config.log_format == super::LogFormat::Text { "text" } else { "json" }.to_owned()),
        ("tls_min_version", "1.2".to_owned()),
        ("tls_required", "false".to_owned()),
    ]);
    if !data_dir {
        found.insert("data_dir", String::new());
    }
    Ok(found)
}

/// The line, from 1, that sets `name`: `name = `, or `key = ` below `[table]` for `table_key`.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let mut table = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('[') {
            table = head.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            if table == name {
                return Some(index + 1);
            }
            continue;
        }
        let Some((key, _)) = line.split_once('=') else { continue };
        let key = key.trim().replace('.', "_").replace('"', "");
        let full = if table.is_empty() { key } else { format!("{table}_{key}") };
        if full == name {
            return Some(index + 1);
        }
    }
    None
}

/// Reads a file of settings and checks all of it that doesn't depend on this machine's folders.
///
/// # Errors
/// As [`Sources::layers`], and values that can't be.
pub fn check_file(path: &std::path::Path) -> Result<(), ConfigError> {
    let layer = read_file(path)?;
    let shown = Layer { data_dir: Some(PathBuf::from("DATA_DIR")), ..Layer::default() };
    let config = Config::from_layer(layer.over(shown))?;
    config.check_listeners()?;
    config.check_limits()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn settings_say_where_they_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limnos.toml");
        let text = "# a comment\ndata_dir = \"/d\"\nthreads = 3\nmemory_limit = \"1GiB\"\n\n[s3]\nregion = \"eu\"\nsecret_access_key = \"hidden\"\n\n[users]\nann = \"pw\"\n";
        fs::write(&path, text).unwrap();
        let sources = Sources {
            config: Some(path.clone()),
            flags: Layer { catalog_name: Some("pond".to_owned()), ..Layer::default() },
        };
        let environment = |name: &str| (name == "LIMNOS_THREADS").then(|| OsString::from("2"));
        let found = sources.provenance(environment).unwrap();
        let of = |name: &str| {
            let setting = found.iter().find(|setting| setting.name == name).unwrap();
            (setting.value.as_str(), setting.source.replace(&path.display().to_string(), "FILE"))
        };
        assert_eq!(of("catalog_name"), ("pond", "--catalog-name".to_owned()));
        assert_eq!(of("threads"), ("2", "LIMNOS_THREADS".to_owned()));
        assert_eq!(of("memory_limit"), ("1GiB", "FILE:4".to_owned()));
        assert_eq!(of("s3_region"), ("eu", "FILE:7".to_owned()));
        assert_eq!(of("s3_secret_access_key"), (MASK, "FILE:8".to_owned()));
        assert_eq!(of("users"), ("ann", "FILE:10".to_owned()));
        assert_eq!(of("pg"), ("127.0.0.1:5439", "default".to_owned()));
        assert!(found.iter().all(|setting| !setting.value.contains("hidden") && !setting.value.contains("pw")));
    }
}

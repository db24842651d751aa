//! [`Remotes`]: clients of buckets and containers, with the options that are theirs.
//!
//! Options are named as the environment variables of each provider, without their prefix. Those of a root win over `[s3]`,
//! these over the environment. Keys of S3 are looked for in that order, then in a profile ([`super::profile`]), then where
//! `object_store` looks: web identity, container, instance. Keys that are given whole are never mixed with a part of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::connector::Connector;
use super::profile::ProfileOptions;
use super::steady::SteadyStore;
use crate::{Error, ErrorCode, Result};

/// Names and values, as users give them.
pub type Options = BTreeMap<String, String>;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a request is made again, and until when: with the deadline of an answer behind it, within a minute.
const RETRIES_MAX: usize = 8;
const RETRY_TIMEOUT: Duration = Duration::from_secs(40);

/// Longest pause between two tries. They grow from a tenth of a second, with a part left to chance.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// An option of ours: whose keys in the files of AWS's tools.
const PROFILE: &str = "profile";

/// Options that would lead elsewhere than the root's URL says.
const REFUSED: [&str; 6] =
    ["bucket", "bucket_name", "aws_bucket", "aws_bucket_name", "container_name", "azure_container_name"];

/// Options whose values may be shown. All others may be secrets.
const SHOWN: [&str; 6] =
    ["endpoint", "region", "allow_http", "virtual_hosted_style_request", "skip_signature", PROFILE];

/// Who a store is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// Amazon, and what speaks like it.
    S3,
    /// Azure's Blob Storage and Data Lake.
    Azure,
    /// Google's Cloud Storage.
    Google,
}

impl Provider {
    fn label(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Azure => "Azure",
            Self::Google => "Google Cloud Storage",
        }
    }

    /// Refuses options that don't exist: a misspelled one would be as if it weren't given.
    pub(super) fn check(self, options: &Options) -> Result<()> {
        for name in options.keys() {
            let lower = name.to_lowercase();
            let is_known = match self {
                Self::S3 => lower == PROFILE || lower.parse::<AmazonS3ConfigKey>().is_ok(),
                Self::Azure => lower.parse::<AzureConfigKey>().is_ok(),
                Self::Google => lower.parse::<GoogleConfigKey>().is_ok(),
            };
            if !is_known || REFUSED.contains(&lower.as_str()) {
                let message = format!("unrecognized {} option \"{name}\"", self.label());
                let hint = match self {
                    Self::S3 => "Options are named as the AWS_* environment variables, without the prefix.",
                    Self::Azure => {
                        "Options are named as the AZURE_STORAGE_* environment variables, without the prefix."
                    }
                    Self::Google => "Options are named as the GOOGLE_* environment variables, without the prefix.",
                };
                return Err(Error::new(ErrorCode::UndefinedParameter, message).with_hint(hint));
            }
        }
        Ok(())
    }
}

/// Makes clients.
#[derive(Debug)]
pub(super) struct Remotes {
    /// The runtime that does network I/O.
    pub(super) io: Option<tokio::runtime::Handle>,
    pub(super) profile: ProfileOptions,
}

/// A client, and what tells its store apart from others of the same URL.
pub(super) struct Remote {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) endpoint: String,
}

impl Remotes {
    /// The client of the bucket or container that `url` names, `s3://bucket` for one.
    ///
    /// # Errors
    /// Options that don't fit together; a profile that isn't there. The text never holds the value of an option.
    pub(super) fn open(&self, provider: Provider, url: &str, options: &Options) -> Result<Remote> {
        let options: Options = options.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let opened = match provider {
            Provider::S3 => self.open_s3(url, &options)?,
            Provider::Azure => self.open_azure(url, &options),
            Provider::Google => self.open_google(url, &options),
        };
        let (store, endpoint) = opened.map_err(|error| {
            let label = provider.label();
            Error::new(ErrorCode::IoError, format!("{label} store \"{url}\" cannot be opened"))
                .with_detail(redacted(error.to_string(), &options))
        })?;
        Ok(Remote { store: Arc::new(SteadyStore::new(store)), endpoint })
    }

    fn open_s3(&self, url: &str, options: &Options) -> Result<object_store::Result<(Arc<dyn ObjectStore>, String)>> {
        let bucket = url.split_once("://").map_or(url, |(_, bucket)| bucket);
        let brings_keys = ["access_key_id", "aws_access_key_id", "skip_signature", "aws_skip_signature", PROFILE]
            .iter()
            .any(|name| options.get(*name).is_some_and(|value| value != "false"));
        let mut client = client_options();
        let mut builder = AmazonS3Builder::new();
        let (mut has_keys, mut has_region, mut has_endpoint) = (brings_keys, false, false);
        let environment = environment("AWS_").filter(|(key, _)| !(brings_keys && is_key(key)));
        let given = options.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        for (key, value) in environment.chain(given) {
            has_keys |= matches!(key, AmazonS3ConfigKey::AccessKeyId);
            has_region |= matches!(key, AmazonS3ConfigKey::Region | AmazonS3ConfigKey::DefaultRegion);
            has_endpoint |= matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint);
            match key {
                AmazonS3ConfigKey::Client(key) => client = client.with_config(key, value),
                key => builder = builder.with_config(key, value),
            }
        }
        let named = options.get(PROFILE).map(String::as_str);
        if (named.is_some() || !has_keys)
            && let Some(profile) = self.profile.open(named)?
        {
            if let Some(credentials) = profile.credentials {
                builder = builder.with_credentials(credentials);
            }
            if let Some(region) = profile.region.filter(|_| !has_region) {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = profile.endpoint.filter(|_| !has_endpoint) {
                builder = builder.with_endpoint(endpoint);
            }
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
        let built = builder
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_retry(retries())
            .with_http_connector(Connector::new(self.io.clone()))
            .build();
        Ok(built.map(|store| (Arc::new(store) as Arc<dyn ObjectStore>, endpoint)))
    }

    fn open_azure(&self, url: &str, options: &Options) -> object_store::Result<(Arc<dyn ObjectStore>, String)> {
        let mut client = client_options();
        let mut builder = MicrosoftAzureBuilder::new();
        let given = options.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        for (key, value) in environment("AZURE_").chain(given) {
            match key {
                AzureConfigKey::Client(key) => client = client.with_config(key, value),
                key => builder = builder.with_config(key, value),
            }
        }
        let told = |builder: &MicrosoftAzureBuilder, key| builder.get_config_value(&key).unwrap_or_default();
        let endpoint = told(&builder, AzureConfigKey::AccountName) + " " + &told(&builder, AzureConfigKey::Endpoint);
        let store = builder
            .with_url(format!("{url}/"))
            .with_client_options(client)
            .with_retry(retries())
            .with_http_connector(Connector::new(self.io.clone()))
            .build()?;
        Ok((Arc::new(store), endpoint))
    }

    fn open_google(&self, url: &str, options: &Options) -> object_store::Result<(Arc<dyn ObjectStore>, String)> {
        let mut client = client_options();
        let mut builder = GoogleCloudStorageBuilder::new();
        let given = options.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
        for (key, value) in environment("GOOGLE_").chain(given) {
            match key {
                GoogleConfigKey::Client(key) => client = client.with_config(key, value),
                key => builder = builder.with_config(key, value),
            }
        }
        let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl).unwrap_or_default();
        let store = builder
            .with_url(format!("{url}/"))
            .with_client_options(client)
            .with_retry(retries())
            .with_http_connector(Connector::new(self.io.clone()))
            .build()?;
        Ok((Arc::new(store), endpoint))
    }
}

/// The whole-request timeout of 30 s would cut long bodies on slow links; what stalls is cut by [`super::steady`] and
/// [`super::connector`] instead.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_config(ClientConfigKey::ConnectTimeout, format!("{}s", CONNECT_TIMEOUT.as_secs()))
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: PAUSE_MAX, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT }
}

/// The variables of one provider in the environment that are options of its.
fn environment<K: std::str::FromStr>(prefix: &str) -> impl Iterator<Item = (K, String)> {
    std::env::vars_os().filter_map(move |(name, value)| {
        let (name, value) = (name.to_str()?, value.to_str()?);
        if !name.starts_with(prefix) || value.is_empty() {
            return None;
        }
        Some((name.to_lowercase().parse().ok()?, value.to_owned()))
    })
}

/// Whether an option says who asks.
fn is_key(key: &AmazonS3ConfigKey) -> bool {
    use AmazonS3ConfigKey as Key;
    matches!(
        key,
        Key::AccessKeyId
            | Key::SecretAccessKey
            | Key::Token
            | Key::SkipSignature
            | Key::WebIdentityTokenFile
            | Key::RoleArn
            | Key::RoleSessionName
            | Key::ContainerCredentialsRelativeUri
            | Key::ContainerCredentialsFullUri
            | Key::ContainerAuthorizationTokenFile
    )
}

/// `text` without the values of options that aren't on the list of those that may be shown.
fn redacted(text: String, options: &Options) -> String {
    let secrets = options.iter().filter(|(name, value)| !SHOWN.contains(&name.as_str()) && !value.is_empty());
    secrets.fold(text, |text, (_, value)| text.replace(value.as_str(), "***"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_those_of_the_provider() {
        Provider::S3.check(&options(&[("Endpoint", "x"), ("profile", "p"), ("aws_region", "r")])).unwrap();
        Provider::Azure.check(&options(&[("account_name", "a"), ("access_key", "k"), ("sas_key", "s")])).unwrap();
        Provider::Google.check(&options(&[("service_account", "/x.json"), ("skip_signature", "true")])).unwrap();
        for (provider, name) in [
            (Provider::S3, "acces_key_id"),
            (Provider::S3, "bucket"),
            (Provider::S3, "account_name"),
            (Provider::Azure, "region"),
            (Provider::Azure, "container_name"),
            (Provider::Google, "profile"),
        ] {
            let error = provider.check(&options(&[(name, "CANARY")])).unwrap_err();
            assert_eq!(error.code, ErrorCode::UndefinedParameter);
            assert!(error.message.contains(name) && !format!("{error:?}").contains("CANARY"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn stores_of_each_provider_open_and_keep_their_secrets() {
        let remotes = Remotes { io: None, profile: ProfileOptions::default() };
        let key = "Q0FOQVJZLUNBTkFSWS1DQU5BUlk=";
        for (provider, url, given) in [
            (Provider::S3, "s3://lake", options(&[("access_key_id", "k"), ("secret_access_key", key)])),
            (Provider::S3, "s3://lake", options(&[("skip_signature", "true"), ("region", "eu-west-1")])),
            (Provider::Azure, "az://lake", options(&[("account_name", "a"), ("access_key", key)])),
            (Provider::Azure, "abfss://lake@a.dfs.core.windows.net", options(&[("access_key", key)])),
            (Provider::Google, "gs://lake", options(&[("skip_signature", "true")])),
        ] {
            let remote = remotes.open(provider, url, &given).unwrap_or_else(|error| panic!("{url}: {error:?}"));
            assert!(!format!("{:?}", remote.store).contains(key), "{url}");
        }
        for (provider, url, given, detail) in [
            (Provider::Azure, "az://lake", options(&[("access_key", key)]), "Account"),
            (Provider::Azure, "az://lake", options(&[("account_name", "a"), ("access_key", "CANARY!")]), ""),
            (Provider::Azure, "abfss://lake@a.example.org", options(&[("access_key", key)]), "a.example.org"),
            (Provider::Google, "gs://lake", options(&[("service_account_key", "{\"CANARY!\": 1}")]), ""),
            (Provider::S3, "s3://lake", options(&[("access_key_id", "CANARY!")]), ""),
        ] {
            let error = remotes.open(provider, url, &given).err().unwrap_or_else(|| panic!("{url} {detail}"));
            let shown = format!("{error:?}");
            assert!(shown.contains(url) && shown.contains(detail) && !shown.contains("CANARY"), "{shown}");
        }
        let error = remotes.open(Provider::S3, "s3://lake", &options(&[("profile", "none")])).err().unwrap();
        assert_eq!(error.message, "AWS profile \"none\" does not exist");
    }
}

//! [`Profile`]: keys from the files that AWS's own tools write, `~/.aws/credentials` and `~/.aws/config`, which
//! `object_store` doesn't read.
//!
//! The files are read again when they change: tools that fetch keys for some hours write them there.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;

use crate::{Error, ErrorCode, Result};

/// A file of profiles beyond this is none: they have some lines each.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where profiles are, and which one is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileOptions {
    /// `AWS_PROFILE`; `None` is `default`, which may be missing.
    pub name: Option<String>,
    /// `~/.aws/credentials`, or `AWS_SHARED_CREDENTIALS_FILE`.
    pub credentials_file: Option<PathBuf>,
    /// `~/.aws/config`, or `AWS_CONFIG_FILE`.
    pub config_file: Option<PathBuf>,
}

/// What a profile says of one bucket's store.
pub(super) struct Profile {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Option<Arc<ProfileCredentials>>,
}

/// The keys of a profile.
pub(super) struct ProfileCredentials {
    name: String,
    files: [Option<PathBuf>; 2],
    cached: Mutex<Option<Cached>>,
}

/// When both files were changed last, and what was in them then.
type Cached = ([Option<SystemTime>; 2], Arc<AwsCredential>);

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileCredentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A profile's settings. No `Debug`: they hold secrets.
type Settings = HashMap<String, String>;

impl ProfileOptions {
    /// The profile `name`, or the one that these options name. `None` where nobody named one and there is no `default`.
    ///
    /// # Errors
    /// A profile that was named and isn't there, or needs what is not built.
    pub(super) fn open(&self, name: Option<&str>) -> Result<Option<Profile>> {
        let named = name.or(self.name.as_deref());
        let name = named.unwrap_or("default").to_owned();
        let files = [self.credentials_file.clone(), self.config_file.clone()];
        let Some(settings) = read(&files, &name)? else {
            return match named {
                None => Ok(None),
                Some(_) => Err(missing(&files, &name)),
            };
        };
        let setting = |key: &str| settings.get(key).cloned();
        let (region, endpoint) = (setting("region"), setting("endpoint_url"));
        let credentials = match credential(&settings, &name) {
            Ok(credential) => {
                let cached = Mutex::new(Some((modified(&files), Arc::new(credential))));
                Some(Arc::new(ProfileCredentials { name, files, cached }))
            }
            // Nobody asked for this one: there are other places of keys, such as the machine's own role.
            Err(_) if named.is_none() => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Profile { region, endpoint, credentials }))
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let now = modified(&self.files);
        if let Some((then, credential)) = self.cached.lock().as_ref()
            && *then == now
        {
            return Ok(Arc::clone(credential));
        }
        let settings = read(&self.files, &self.name).and_then(|settings| match settings {
            Some(settings) => credential(&settings, &self.name),
            None => Err(missing(&self.files, &self.name)),
        });
        let credential = settings.map(Arc::new).map_err(|error| object_store::Error::Unauthenticated {
            path: format!("AWS profile \"{}\"", self.name),
            source: Box::new(error),
        })?;
        *self.cached.lock() = Some((now, Arc::clone(&credential)));
        Ok(credential)
    }
}

fn modified(files: &[Option<PathBuf>; 2]) -> [Option<SystemTime>; 2] {
    files.each_ref().map(|file| file.as_ref()?.metadata().ok()?.modified().ok())
}

fn missing(files: &[Option<PathBuf>; 2], name: &str) -> Error {
    let looked: Vec<String> = files.iter().flatten().map(|file| format!("\"{}\"", file.display())).collect();
    Error::new(ErrorCode::UndefinedObject, format!("AWS profile \"{name}\" does not exist"))
        .with_detail(format!("It was looked for in {}.", looked.join(" and ")))
}

fn credential(settings: &Settings, name: &str) -> Result<AwsCredential> {
    let setting = |key: &str| settings.get(key).filter(|value| !value.is_empty()).cloned();
    if let (Some(key_id), Some(secret_key)) = (setting("aws_access_key_id"), setting("aws_secret_access_key")) {
        return Ok(AwsCredential { key_id, secret_key, token: setting("aws_session_token") });
    }
    let other = ["role_arn", "sso_session", "sso_start_url", "credential_process"];
    let error = match other.iter().find(|key| settings.contains_key(**key)) {
        Some(key) => Error::unsupported(format!("AWS profile \"{name}\" has \"{key}\", which is not supported")),
        None => Error::new(ErrorCode::UndefinedObject, format!("AWS profile \"{name}\" has no keys")),
    };
    Err(error.with_hint("A profile needs aws_access_key_id and aws_secret_access_key; the AWS CLI can write them."))
}

/// The settings of profile `name` in both files, those of the first before those of the second. `None` if neither has it.
fn read(files: &[Option<PathBuf>; 2], name: &str) -> Result<Option<Settings>> {
    let mut settings: Option<Settings> = None;
    for (index, file) in files.iter().enumerate() {
        let Some(text) = file.as_deref().map(read_text).transpose()?.flatten() else { continue };
        if let Some(found) = section(&text, name, index == 1) {
            let settings = settings.get_or_insert_default();
            for (key, value) in found {
                settings.entry(key).or_insert(value);
            }
        }
    }
    Ok(settings)
}

/// A file that isn't there has no profiles.
fn read_text(file: &Path) -> Result<Option<String>> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorCode::IoError, format!("file \"{}\" cannot be read: {error}", file.display()))
    };
    match file.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX => {
            return Err(failed(std::io::Error::other("it is no file of AWS profiles")));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(file).map(Some).map_err(failed)
}

/// The settings of one section. In the config file all but `default` are called `[profile x]`. Settings of settings, which
/// are indented, are left out.
fn section(text: &str, name: &str, is_config: bool) -> Option<Settings> {
    let mut settings: Option<Settings> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let header = header.0.trim();
            let title = match header.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])) {
                Some(rest) if is_config => rest.trim(),
                _ if is_config && header != "default" => "",
                _ => header,
            };
            is_inside = title.trim_matches(['"', '\'']) == name;
            if is_inside {
                settings.get_or_insert_default();
            }
        } else if is_inside
            && !is_indented
            && let (Some(settings), Some((key, value))) = (&mut settings, line.split_once('='))
        {
            // A comment begins at white space and a number sign; secrets may hold one elsewhere.
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default();
            settings.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = D\naws_secret_access_key=CANARY/1+2=\n\n\
        [ lake ]\nAWS_ACCESS_KEY_ID=L ; mine\naws_secret_access_key = CANARY#x # comment\naws_session_token = CANARY-T\n\
        [empty]\n";
    const CONFIG: &str = "[default]\nregion = eu-central-1\ns3 =\n  addressing_style = path\n  region = wrong\n\
        [profile lake]\nregion=us-west-2\nendpoint_url = http://minio:9000\naws_access_key_id = other\n\
        [profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n[lake2]\nregion = none\n";

    fn options(folder: &Path) -> ProfileOptions {
        std::fs::write(folder.join("credentials"), CREDENTIALS).unwrap();
        std::fs::write(folder.join("config"), CONFIG).unwrap();
        ProfileOptions {
            name: None,
            credentials_file: Some(folder.join("credentials")),
            config_file: Some(folder.join("config")),
        }
    }

    #[tokio::test]
    async fn profiles_are_found_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        let default = options.open(None).unwrap().unwrap();
        assert_eq!(default.region.as_deref(), Some("eu-central-1"));
        let keys = default.credentials.unwrap().get_credential().await.unwrap();
        assert_eq!((keys.key_id.as_str(), keys.secret_key.as_str(), &keys.token), ("D", "CANARY/1+2=", &None));
        options.name = Some("lake".to_owned());
        let lake = options.open(None).unwrap().unwrap();
        assert_eq!((lake.region.as_deref(), lake.endpoint.as_deref()), (Some("us-west-2"), Some("http://minio:9000")));
        let provider = lake.credentials.unwrap();
        let keys = provider.get_credential().await.unwrap();
        assert_eq!((keys.key_id.as_str(), keys.secret_key.as_str()), ("L", "CANARY#x"));
        assert_eq!(keys.token.as_deref(), Some("CANARY-T"));
        assert!(!format!("{provider:?}").contains("CANARY"));
        // A tool writes new keys; one that takes them away is told.
        let file = folder.path().join("credentials");
        let later = std::fs::metadata(&file).unwrap().modified().unwrap() + std::time::Duration::from_secs(5);
        std::fs::write(&file, CREDENTIALS.replace("=L ", "=NEW ")).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(provider.get_credential().await.unwrap().key_id, "NEW");
        std::fs::write(&file, "").unwrap();
        let error = provider.get_credential().await.unwrap_err();
        assert!(error.to_string().contains("lake") && !format!("{error:?}").contains("CANARY"), "{error}");
    }

    #[test]
    fn a_profile_that_was_asked_for_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        for (name, message) in [
            ("none", "AWS profile \"none\" does not exist"),
            ("lake2", "AWS profile \"lake2\" does not exist"),
            ("empty", "AWS profile \"empty\" has no keys"),
            ("role", "AWS profile \"role\" has \"role_arn\", which is not supported"),
        ] {
            assert_eq!(options.open(Some(name)).err().unwrap().message, message);
        }
        assert!(ProfileOptions::default().open(None).unwrap().is_none());
        let nowhere = ProfileOptions { credentials_file: Some("/no/such/file".into()), ..ProfileOptions::default() };
        assert!(nowhere.open(None).unwrap().is_none());
        assert!(nowhere.open(Some("x")).err().unwrap().detail.unwrap().contains("/no/such/file"));
    }
}

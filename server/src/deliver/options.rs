//! [`DeliveryOptions`]: the tables `[smtp]` and `[webhooks.NAME]` of the configuration file, checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, Span};

/// Who can be told of reports, and how.
#[derive(Clone, Default)]
pub struct DeliveryOptions {
    /// `None`: there is no e-mail.
    pub smtp: Option<SmtpOptions>,
    /// By name.
    pub webhooks: BTreeMap<String, WebhookOptions>,
}

/// A server that takes e-mail. No `Debug`: it holds a password.
#[derive(Clone)]
pub struct SmtpOptions {
    /// Its name, which its certificate has to have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// `None` doesn't log in.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Whose letters they are.
    pub from: String,
    /// Most bytes of a letter's files.
    pub attachments_max_bytes: u64,
}

/// A program that is told of runs. No `Debug`: it holds a secret, and so may its URL.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Where.
    pub url: String,
    /// What messages are signed with.
    pub secret: Option<String>,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// How an SMTP connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From its first word on (port 465).
    Tls,
    /// After STARTTLS, which must be there (port 587).
    #[default]
    Starttls,
    /// Not at all; on this machine only.
    None,
}

/// `[smtp]`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpLayer {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: SmtpTls,
    user: Option<String>,
    /// Else `LIMNOS_SMTP_PASSWORD`.
    password_file: Option<PathBuf>,
    from: String,
    attachments_max: Option<ByteSize>,
}

/// `[webhooks.NAME]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookLayer {
    url: String,
    /// Else `LIMNOS_WEBHOOK_NAME_SECRET`.
    secret_file: Option<PathBuf>,
    timeout: Option<Span>,
}

/// Bytes of a letter's files unless it is said otherwise: most servers take letters of 20 MB, and base64 adds a third.
const ATTACHMENTS_MAX: ByteSize = ByteSize(10 << 20);

/// How long a webhook may take unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

impl DeliveryOptions {
    /// The options of both tables.
    ///
    /// # Errors
    /// What is wrong, for people; a secret that can't be read; a connection that others could listen to.
    pub fn of(
        smtp: Option<SmtpLayer>,
        webhooks: Option<BTreeMap<String, WebhookLayer>>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let secret = |file: Option<PathBuf>, variable: &str| match file {
            Some(path) => std::fs::read_to_string(&path)
                .map(|text| Some(text.trim_end_matches(['\n', '\r']).to_owned()))
                .map_err(|error| format!("\"{}\" cannot be read: {error}", path.display())),
            None => Ok(environment(variable).and_then(|value| value.into_string().ok())),
        };
        let smtp = match smtp {
            None => None,
            Some(layer) => {
                let is_here = ["localhost", "127.0.0.1", "::1"].contains(&layer.host.as_str());
                if layer.tls == SmtpTls::None && !is_here {
                    return Err(format!(
                        "smtp.tls = \"none\" is for this machine only, and smtp.host is \"{}\"",
                        layer.host
                    ));
                }
                if layer.from.parse::<lettre::message::Mailbox>().is_err() {
                    return Err(format!("smtp.from \"{}\" is not an address", layer.from));
                }
                let default_port = match layer.tls {
                    SmtpTls::Tls => 465,
                    SmtpTls::Starttls => 587,
                    SmtpTls::None => 25,
                };
                let password = secret(layer.password_file, "LIMNOS_SMTP_PASSWORD")?;
                if layer.user.is_some() && password.is_none() {
                    return Err(
                        "smtp.user has no password: name smtp.password_file or set LIMNOS_SMTP_PASSWORD".to_owned()
                    );
                }
                Some(SmtpOptions {
                    host: layer.host,
                    port: layer.port.unwrap_or(default_port),
                    tls: layer.tls,
                    user: layer.user,
                    password,
                    from: layer.from,
                    attachments_max_bytes: layer.attachments_max.unwrap_or(ATTACHMENTS_MAX).0,
                })
            }
        };
        let mut checked = BTreeMap::new();
        for (name, layer) in webhooks.unwrap_or_default() {
            let url = reqwest::Url::parse(&layer.url)
                .map_err(|error| format!("webhooks.{name}.url is not valid: {error}"))?;
            let host = url.host_str().unwrap_or_default();
            let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
            if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
                return Err(format!("webhooks.{name}.url must begin with https://; http:// is for this machine only"));
            }
            let variable = format!("LIMNOS_WEBHOOK_{}_SECRET", name.to_uppercase().replace('-', "_"));
            let options = WebhookOptions {
                url: layer.url,
                secret: secret(layer.secret_file, &variable)?.filter(|secret| !secret.is_empty()),
                timeout: layer.timeout.map_or(TIMEOUT, |span| span.0),
            };
            checked.insert(name.to_lowercase(), options);
        }
        Ok(Self { smtp, webhooks: checked })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        smtp: Option<SmtpLayer>,
        webhooks: Option<BTreeMap<String, WebhookLayer>>,
    }

    fn read(text: &str) -> Result<DeliveryOptions, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        DeliveryOptions::of(file.smtp, file.webhooks, |name| {
            (name == "LIMNOS_WEBHOOK_MY_HOOK_SECRET").then(|| OsString::from("s3cret"))
        })
    }

    #[test]
    fn what_others_could_listen_to_is_refused() {
        let refused = [
            ("[smtp]\nhost='mail.example.com'\ntls='none'\nfrom='a@b.c'", "for this machine only"),
            ("[smtp]\nhost='mail.example.com'\nfrom='nobody'", "is not an address"),
            ("[smtp]\nhost='mail.example.com'\nfrom='a@b.c'\nuser='u'", "has no password"),
            ("[smtp]\nhost='h'\nfrom='a@b.c'\npassword='x'", "unknown field"),
            ("[webhooks.x]\nurl='http://example.com/'", "must begin with https"),
            ("[webhooks.x]\nurl='ftp://localhost/'", "must begin with https"),
            ("[webhooks.x]\nurl='nowhere'", "is not valid"),
            ("[webhooks.x]\nurl='https://example.com/'\nsecret_file='/nowhere/at/all'", "cannot be read"),
        ];
        for (text, expected) in refused {
            let Err(error) = read(text) else { panic!("{text}") };
            assert!(error.contains(expected), "{text}: {error}");
        }
        let options = read(
            "[smtp]\nhost='mail.example.com'\nfrom='Reports <a@b.c>'\n[webhooks.my-hook]\nurl='http://127.0.0.1:1/x'\ntimeout='2s'",
        );
        let options = options.unwrap();
        assert_eq!(options.smtp.as_ref().unwrap().port, 587);
        let hook = &options.webhooks["my-hook"];
        assert_eq!((hook.secret.as_deref(), hook.timeout), (Some("s3cret"), Duration::from_secs(2)));
    }
}

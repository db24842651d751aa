//! The parts of the file about who gets in: `[tls]`, `[[hba]]` and `[[ident]]`, and what they come to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Auth, ConfigError};
use crate::auth::AuthMethod;
use crate::auth::hba::{AddressPattern, ClientCertificate, IdentRule, Method, Rule, Rules, Transport};
use crate::tls::{TlsOptions, TlsVersion};

/// The table `[tls]` of the file.
#[derive(Debug, Clone, Default, Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[group(skip)]
pub struct TlsLayer {
    /// PEM file of the server's certificate and those that lead to its authority; makes PostgreSQL clients welcome over TLS
    #[arg(id = "tls_certificate", long = "tls-certificate", value_name = "FILE")]
    pub certificate: Option<PathBuf>,

    /// PEM file of the certificate's key, which nobody else may read
    #[arg(id = "tls_key", long = "tls-key", value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// PEM file of the authorities that sign clients' certificates
    #[arg(id = "tls_client_ca", long = "tls-client-ca", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Oldest version of TLS that is spoken [default: 1.2]
    #[arg(id = "tls_min_version", long = "tls-min-version", value_enum)]
    pub min_version: Option<MinVersion>,

    /// Turn away PostgreSQL clients that don't use TLS
    #[arg(id = "tls_required", long = "tls-required", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub required: Option<bool>,
}

/// The oldest version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
pub enum MinVersion {
    /// TLS 1.2
    #[value(name = "1.2")]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[value(name = "1.3")]
    #[serde(rename = "1.3")]
    Tls13,
}

/// One name, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Names {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::One("all".to_owned())
    }
}

impl Names {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// A table `[[hba]]` of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HbaLayer {
    /// `host`, `hostssl`, `hostnossl`.
    #[serde(rename = "type", default)]
    transport: HbaType,
    #[serde(default)]
    database: Names,
    #[serde(default, alias = "user")]
    role: Names,
    #[serde(default)]
    address: Names,
    method: HbaMethod,
    clientcert: Option<ClientCert>,
    map: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HbaType {
    #[default]
    Host,
    Hostssl,
    Hostnossl,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum HbaMethod {
    #[serde(rename = "trust")]
    Trust,
    #[serde(rename = "reject")]
    Reject,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "cert")]
    Cert,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClientCert {
    VerifyCa,
    VerifyFull,
}

/// A table `[[ident]]` of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentLayer {
    map: String,
    certificate: String,
    role: String,
}

impl TlsLayer {
    pub(super) fn over(self, under: Self) -> Self {
        let Self { certificate, key, client_ca, min_version, required } = self;
        Self {
            certificate: certificate.or(under.certificate),
            key: key.or(under.key),
            client_ca: client_ca.or(under.client_ca),
            min_version: min_version.or(under.min_version),
            required: required.or(under.required),
        }
    }

    /// The options, if TLS is asked for.
    pub(super) fn into_options(self) -> Result<Option<TlsOptions>, ConfigError> {
        let Self { certificate, key, client_ca, min_version, required } = self;
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let min_version = match min_version {
                    Some(MinVersion::Tls13) => TlsVersion::Tls13,
                    _ => TlsVersion::Tls12,
                };
                Ok(Some(TlsOptions { certificate, key, client_ca, min_version }))
            }
            (None, None) if client_ca.is_none() && min_version.is_none() && required != Some(true) => Ok(None),
            _ => Err(ConfigError::new("TLS needs both a certificate and its key")
                .with_hint("Set certificate and key in [tls], or --tls-certificate and --tls-key.")),
        }
    }
}

impl HbaLayer {
    fn into_rule(self) -> Result<Rule, ConfigError> {
        let address = |text: &String| text.parse::<AddressPattern>().map_err(ConfigError::new);
        let rule = Rule {
            transport: match self.transport {
                HbaType::Host => Transport::Any,
                HbaType::Hostssl => Transport::Tls,
                HbaType::Hostnossl => Transport::Plain,
            },
            databases: self.database.as_slice().iter().map(|name| name.as_str().into()).collect(),
            roles: self.role.as_slice().iter().map(|name| name.as_str().into()).collect(),
            addresses: self.address.as_slice().iter().map(address).collect::<Result<_, _>>()?,
            method: match self.method {
                HbaMethod::Trust => Method::Trust,
                HbaMethod::Reject => Method::Reject,
                HbaMethod::ScramSha256 => Method::ScramSha256,
                HbaMethod::Cert => Method::Cert,
            },
            client_certificate: match self.clientcert {
                None => ClientCertificate::Optional,
                Some(ClientCert::VerifyCa) => ClientCertificate::Signed,
                Some(ClientCert::VerifyFull) => ClientCertificate::NamesRole,
            },
            map: self.map,
        };
        if rule.databases.is_empty() || rule.roles.is_empty() || rule.addresses.is_empty() {
            return Err(ConfigError::new("an empty list fits nobody").with_hint("Write \"all\", or leave the key out."));
        }
        if rule.needs_client_certificates() && rule.transport != Transport::Tls {
            return Err(ConfigError::new("client certificates can only be checked over TLS")
                .with_hint("Set its type to \"hostssl\"."));
        }
        if rule.map.is_some() && rule.method != Method::Cert && rule.client_certificate != ClientCertificate::NamesRole
        {
            return Err(ConfigError::new("a map is about the names in client certificates")
                .with_hint("It goes with the method \"cert\" or clientcert = \"verify-full\"."));
        }
        Ok(rule)
    }
}

/// The rules that the file asks for, or those that `auth` stands for.
pub(super) fn rules(
    auth: Auth,
    hba: Option<Vec<HbaLayer>>,
    ident: Option<Vec<IdentLayer>>,
    tls: Option<&TlsOptions>,
    tls_required: bool,
) -> Result<Rules, ConfigError> {
    let idents = ident.unwrap_or_default().into_iter();
    let idents = idents.map(|IdentLayer { map, certificate, role }| IdentRule { map, certificate, role }).collect();
    let rules = match hba {
        None => Rules::everyone(match auth {
            Auth::Trust => AuthMethod::Trust,
            Auth::ScramSha256 => AuthMethod::ScramSha256,
        }),
        Some(hba) => {
            let numbered = hba.into_iter().enumerate().map(|(index, layer)| {
                layer.into_rule().map_err(|error| ConfigError {
                    message: format!("rule {} of [[hba]]: {}", index + 1, error.message),
                    ..error
                })
            });
            Rules::new(numbered.collect::<Result<_, _>>()?, idents)
        }
    };
    for (index, rule) in rules.iter().enumerate() {
        let refuse = |message: String| ConfigError::new(format!("rule {} of [[hba]]: {message}", index + 1));
        if rule.transport == Transport::Tls && tls.is_none() {
            return Err(refuse("it is about TLS, which is not configured".to_owned())
                .with_hint("Name a certificate and its key in [tls]."));
        }
        if rule.needs_client_certificates() && tls.is_some_and(|tls| tls.client_ca.is_none()) {
            return Err(refuse("it needs client certificates, but nothing says who signs them".to_owned())
                .with_hint("Name their authority in client_ca of [tls]."));
        }
        if let Some(map) = rule.map.as_deref().filter(|map| !rules.has_map(map)) {
            return Err(refuse(format!("there is no [[ident]] of map \"{map}\"")));
        }
    }
    Ok(if tls_required { rules.with_tls_required() } else { rules })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Config, parse_file};
    use super::*;

    const TLS: &str = "data_dir = \"/d\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";

    fn config(file: &str) -> Result<Config, ConfigError> {
        Config::from_layer(parse_file(file)?)
    }

    fn refused(file: &str, message: &str) {
        let error = config(file).unwrap_err();
        assert!(error.message.contains(message), "{file}: {error}");
    }

    #[test]
    fn rules_are_read_in_their_order() {
        let file = format!(
            "{TLS}client_ca = \"/a\"\n[[hba]]\ntype = \"hostssl\"\nrole = [\"ann\", \"+analysts\"]\naddress = \"10.0.0.0/8\"\n\
             method = \"scram-sha-256\"\nclientcert = \"verify-full\"\n[[hba]]\ntype = \"hostssl\"\nmethod = \"cert\"\nmap = \"people\"\n\
             [[hba]]\nmethod = \"reject\"\n[[ident]]\nmap = \"people\"\ncertificate = \"*@example.com\"\nrole = \"*\"\n"
        );
        let config = config(&file).unwrap();
        let rules: Vec<_> = config.rules.iter().collect();
        assert_eq!(rules.len(), 3);
        assert_eq!((rules[0].transport, rules[0].method), (Transport::Tls, Method::ScramSha256));
        assert_eq!(rules[0].client_certificate, ClientCertificate::NamesRole);
        assert_eq!(rules[0].roles.len(), 2);
        assert_eq!((rules[1].method, rules[1].map.as_deref()), (Method::Cert, Some("people")));
        assert_eq!((rules[2].transport, rules[2].addresses.as_slice()), (Transport::Any, &[AddressPattern::All][..]));
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        let rule = |text: &str| format!("{TLS}[[hba]]\nmethod = \"reject\"\n[[hba]]\n{text}\n");
        for (text, message) in [
            ("address = \"10.1.0.0/8\"\nmethod = \"trust\"", "rule 2 of [[hba]]: address \"10.1.0.0/8\" has bits"),
            ("type = \"hostssl\"\nmethod = \"cert\"", "nothing says who signs them"),
            ("method = \"cert\"", "can only be checked over TLS"),
            ("method = \"trust\"\nmap = \"x\"", "a map is about the names in client certificates"),
            ("role = []\nmethod = \"trust\"", "an empty list fits nobody"),
            ("method = \"md5\"", "unknown variant `md5`"),
            ("method = \"trust\"\nadress = \"all\"", "unknown field `adress`"),
            ("role = \"ann\"", "missing field `method`"),
        ] {
            refused(&rule(text), message);
        }
        refused("data_dir = \"/d\"\n[[hba]]\ntype = \"hostssl\"\nmethod = \"trust\"", "TLS, which is not configured");
        refused("data_dir = \"/d\"\n[tls]\ncertificate = \"/c\"", "both a certificate and its key");
        refused("data_dir = \"/d\"\n[tls]\nrequired = true", "both a certificate and its key");
        refused("data_dir = \"/d\"\n[tls]\ncertificat = \"/c\"", "unknown key \"tls.certificat\"");
        let unmapped = format!("{TLS}client_ca = \"/a\"\n[[hba]]\ntype = \"hostssl\"\nmethod = \"cert\"\nmap = \"x\"");
        refused(&unmapped, "there is no [[ident]] of map \"x\"");
    }

    #[test]
    fn trusting_other_machines_is_for_loopback() {
        let folder = tempfile::tempdir().unwrap();
        let check = |address: &str, listen: &str| {
            let file = format!(
                "data_dir = \"{}\"\npg = \"{listen}\"\nauth = \"scram-sha-256\"\n[users]\nann = \"x\"\n[[hba]]\naddress = \"{address}\"\n\
                 method = \"trust\"\n",
                folder.path().display()
            );
            config(&file).unwrap().check().map_err(|error| error.message)
        };
        assert!(check("all", "0.0.0.0:5439").unwrap_err().contains("trusts other machines"));
        assert!(check("10.0.0.0/8", "0.0.0.0:5439").is_err());
        check("loopback", "0.0.0.0:5439").unwrap();
        check("all", "127.0.0.1:5439").unwrap();
    }
}

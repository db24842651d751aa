//! libpq's file of passwords: lines of `host:port:database:user:password`, `*` for any, `\` before a `:` or `\` that is
//! meant as such. The first line that fits is the one.

use std::path::Path;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::url::host_text;
use crate::{Error, Result};

/// The password for where `config` goes; `None` if the file has none, or isn't there and needn't be.
pub(super) fn find(path: &Path, is_required: bool, config: &Config) -> Result<Option<String>> {
    let refuse = |reason: String| Error::Invalid {
        message: format!("password file \"{}\" {reason}", path.display()),
        hint: None,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) if !is_required => return Ok(None),
        Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let is_open = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if is_open {
            return Err(refuse("may be read by others; make it yours alone with chmod 600".to_owned()));
        }
    }
    let user = config.get_user().map(str::to_owned);
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        // As libpq: a socket is this machine.
        Some(host @ Host::Unix(_)) => host_text(host),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let is_socket = matches!(config.get_hosts().first(), Some(Host::Unix(_)));
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields = split(line);
        let [host_field, port_field, database_field, user_field, password] = fields.as_slice() else { continue };
        let fits = |field: &str, value: &str| field == "*" || field == value;
        if (fits(host_field, &host) || is_socket && host_field == "localhost")
            && fits(port_field, &port)
            && fits(database_field, database)
            && (user_field == "*" || user.as_deref() == Some(user_field))
        {
            return Ok(Some(password.clone()));
        }
    }
    Ok(None)
}

fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let field = fields.len() - 1;
        match character {
            // The password is the rest of the line.
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields[field].extend(characters.next()),
            other => fields[field].push(other),
        }
    }
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn finds_the_first_line_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(
            &path,
            "# ours\nnonsense\nother:5432:*:*:no\nh:5433:lake:ann:p\\:a\\\\ss:word\nlocalhost:*:*:*:socket\n*:*:*:ann:any\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let find_for = |url: &str| find(&path, true, &url.parse().unwrap()).unwrap();
        assert_eq!(find_for("postgres://ann@h:5433/lake").as_deref(), Some("p:a\\ss:word"));
        assert_eq!(find_for("postgres://ann@h:5433/other").as_deref(), Some("any"));
        assert_eq!(find_for("postgres://bob@%2Frun/lake").as_deref(), Some("socket"));
        assert_eq!(find_for("postgres://bob@h/lake"), None);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = find(&path, false, &"postgres://h/".parse().unwrap()).unwrap_err().to_string();
        assert!(error.ends_with("may be read by others; make it yours alone with chmod 600"), "{error}");
        let nowhere = folder.path().join("none");
        assert_eq!(find(&nowhere, false, &"postgres://h/".parse().unwrap()).unwrap(), None);
        assert!(find(&nowhere, true, &"postgres://h/".parse().unwrap()).is_err());
    }
}

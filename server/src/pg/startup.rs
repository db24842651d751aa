//! From the first byte to the first ReadyForQuery: encryption, cancel requests, the startup packet, then, after
//! [`login`](super::login), the session's settings. Every error ends the connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use limnos_engine::Session;
use limnos_engine::session::Encryption;
use limnos_engine::session::Settings;
use limnos_engine::session::settings::REPORTED;
use pgwire::messages::startup::NegotiateProtocolVersion;

use super::error::PgError;
use super::frontend::Reader;
use super::wire::{Stop, Wire};
use super::{PgOptions, Server};
use crate::auth::Identity;
use crate::limits;
use crate::tls::{self, Tls};

const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;

/// The newest minor version of protocol 3 that is spoken. There is no 3.1.
const MINOR_MAX: u16 = 2;

/// A startup packet.
#[derive(Debug)]
pub(crate) struct Startup {
    /// The minor version agreed on.
    pub(crate) minor: u16,
    /// The role.
    pub(crate) user: String,
    pub(crate) database: String,
    /// Over TLS, what there is to know of it.
    pub(crate) secured: Option<Secured>,
    /// What else it says, to be set in the session.
    settings: Vec<(String, String)>,
}

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    encryption: Arc<Encryption>,
    /// The hash of the server's certificate that logins can be bound to.
    pub(crate) end_point: Option<Arc<[u8]>>,
    /// The names in the client's certificate, if it has shown one.
    pub(crate) client_names: Option<Vec<String>>,
}

/// How a TLS connection begins: with a record of a handshake. A startup packet begins with a length, whose first byte is 0.
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads the connection's opening up to its startup packet; `None` when it was a cancel request.
pub(crate) async fn open(wire: &mut Wire, server: &Server) -> Result<Option<Startup>, Stop> {
    let (mut ssl_asked, mut gss_asked) = (false, false);
    let tls = server.options.tls.as_deref();
    let mut secured = None;
    if wire.first_byte().await? == TLS_HANDSHAKE {
        // PostgreSQL 17's direct negotiation. Without its name in ALPN it could be a client of another protocol that is led
        // here; as in PostgreSQL, there is nothing to say to one that doesn't know ours.
        let Some(tls) = tls else { return Err(Stop::Gone) };
        let (direct, protocol) = start_tls(wire, tls).await?;
        if protocol.as_deref() != Some(tls::ALPN) {
            tracing::info!("direct TLS connection without ALPN");
            return Err(Stop::Gone);
        }
        (ssl_asked, gss_asked, secured) = (true, true, Some(direct));
    }
    loop {
        let mut packet = Reader::new(wire.read_startup().await?);
        let code = packet.i32()?;
        match code {
            SSL_REQUEST | GSSENC_REQUEST => {
                let asked = if code == SSL_REQUEST { &mut ssl_asked } else { &mut gss_asked };
                if std::mem::replace(asked, true) {
                    return Err(PgError::protocol("encryption was requested twice").into());
                }
                packet.finish()?;
                // What follows the request before its answer would be taken for encrypted by the client and for plain
                // text by the server (CVE-2021-23214).
                if wire.has_unread() {
                    return Err(PgError::protocol("received unencrypted data after encryption request")
                        .with_detail("This could be a client bug, or a man-in-the-middle attack.")
                        .into());
                }
                match tls.filter(|_| code == SSL_REQUEST && secured.is_none()) {
                    Some(tls) => {
                        wire.send_byte(b'S');
                        wire.flush().await?;
                        secured = Some(start_tls(wire, tls).await?.0);
                    }
                    None => {
                        wire.send_byte(b'N');
                        wire.flush().await?;
                    }
                }
            }
            CANCEL_REQUEST => {
                let pid = packet.i32()?;
                server.keys.cancel(pid, &packet.rest());
                return Ok(None);
            }
            version if version >> 16 == 3 => return startup(wire, packet, version, secured).map(Some),
            version => {
                let (major, minor) = (version >> 16, version & 0xffff);
                let message =
                    format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}");
                return Err(PgError::new("0A000", message).into());
            }
        }
    }
}

/// Encrypts the connection, with the certificate as it is now. Gives the protocol of ALPN, too.
async fn start_tls(wire: &mut Wire, tls: &Tls) -> Result<(Secured, Option<Vec<u8>>), Stop> {
    let loaded = tls.current();
    wire.start_tls(Arc::clone(&loaded.config), |connection| {
        let secured = Secured {
            encryption: Arc::new(tls::encryption(connection)),
            end_point: loaded.end_point.clone(),
            client_names: tls::client_certificate(connection).map(tls::names),
        };
        (secured, connection.alpn_protocol().map(<[u8]>::to_vec))
    })
    .await
}

fn startup(wire: &mut Wire, mut packet: Reader, version: i32, secured: Option<Secured>) -> Result<Startup, Stop> {
    let mut fields = BTreeMap::new();
    loop {
        let name = packet.string()?;
        if name.is_empty() {
            break;
        }
        if fields.len() >= limits::STARTUP_SETTINGS_MAX {
            return Err(PgError::protocol("too many settings in startup packet").into());
        }
        let value = packet.string()?;
        fields.insert(name, value);
    }
    packet.finish()?;

    let asked = version & 0xffff;
    let minor = if asked >= i32::from(MINOR_MAX) { MINOR_MAX } else { 0 };
    let unknown: Vec<String> = fields.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    fields.retain(|name, _| !name.starts_with("_pq_."));
    if asked != i32::from(minor) || !unknown.is_empty() {
        wire.send(&NegotiateProtocolVersion::new((3 << 16) | i32::from(minor), unknown));
    }

    let user = fields.remove("user").filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| PgError::new("28000", "no PostgreSQL user name specified in startup packet"))?;
    let database = fields.remove("database").filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    match fields.remove("replication").as_deref() {
        None | Some("false" | "off" | "no" | "0") => {}
        Some(_) => return Err(PgError::new("0A000", "replication connections are not supported").into()),
    }
    let mut settings = fields.remove("options").map_or(Ok(Vec::new()), |options| command_line(&options))?;
    settings.extend(fields);
    Ok(Startup { minor, user, database, secured, settings })
}

/// `-c name=value --name=value`: what libpq's `PGOPTIONS` holds. A backslash takes the next character as it is.
fn command_line(options: &str) -> Result<Vec<(String, String)>, PgError> {
    let mut arguments = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        let argument = arguments.last_mut().expect("there is always one");
        match character {
            '\\' => argument.extend(characters.next()),
            character if character.is_ascii_whitespace() => arguments.push(String::new()),
            character => argument.push(character),
        }
    }
    let mut arguments = arguments.into_iter().filter(|argument| !argument.is_empty());
    let mut settings = Vec::new();
    while let Some(argument) = arguments.next() {
        let setting = match argument.strip_prefix("--").or_else(|| argument.strip_prefix("-c")) {
            Some("") => arguments.next().unwrap_or_default(),
            Some(setting) => setting.to_owned(),
            None => String::new(),
        };
        let Some((name, value)) = setting.split_once('=') else {
            let message = format!("invalid command-line argument for server process: {argument}");
            return Err(PgError::new("42601", message));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// The session that an authenticated client gets.
///
/// One server has one database. Its name is accepted, and the user's own name too: that is what psql and libpq send
/// when none is given, and a user should not have to learn the database's name to type `psql -h host`.
///
/// # Errors
/// `3D000` for another database, and what the settings refuse.
pub(crate) fn session(startup: &Startup, identity: Identity, options: &PgOptions) -> Result<Session, PgError> {
    if startup.database != options.catalog_name && startup.database != startup.user {
        return Err(PgError::new("3D000", format!("database \"{}\" does not exist", startup.database))
            .with_hint(format!("The database of this server is called \"{}\".", options.catalog_name)));
    }
    let mut session = Session::new(identity.user, options.catalog_name.clone());
    session.encryption = startup.secured.as_ref().map(|secured| Arc::clone(&secured.encryption));
    for (name, value) in &startup.settings {
        session.settings.set(name, std::slice::from_ref(value))?;
        if name.eq_ignore_ascii_case("search_path") {
            // `SET search_path` moves the session, too.
            let first = value.split(',').map(|item| item.trim().trim_matches('"')).find(|item| *item != "$user");
            match first {
                None | Some("" | "public") => {}
                Some(database) => session.database = database.to_owned(),
            }
        }
    }
    Ok(session)
}

/// What ALTER ROLE .. SET has said of the role, where the client says nothing else. A value that is refused by now is passed
/// over: it must not keep anybody out.
pub(crate) fn role_settings(session: &mut Session, startup: &Startup, settings: Vec<(String, String)>) {
    let said = |name: &str| startup.settings.iter().any(|(said, _)| Settings::canonical_name(said) == name);
    for (name, value) in settings.into_iter().filter(|(name, _)| !said(name)) {
        if let Err(error) = session.settings.set_startup(&name, &value) {
            tracing::warn!(user = session.user, name, %error, "a setting of the role is not valid");
            continue;
        }
        if name == "search_path" {
            let first = session.settings.search_path().into_iter().find(|item| item != "$user");
            session.database = first.filter(|name| name != "public").unwrap_or_else(|| "default".to_owned());
        }
    }
}

/// What ParameterStatus says at the start: first what never changes in a session, then the settings that are reported.
pub(crate) fn parameter_statuses(session: &Session) -> Vec<(&'static str, String)> {
    const FIXED: &[(&str, &str)] = &[
        ("server_version", "15.12"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "off"),
        ("in_hot_standby", "off"),
        ("default_transaction_read_only", "off"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("application_name", ""),
    ];
    let mut statuses = vec![("session_authorization", session.user.clone())];
    for (name, value) in FIXED {
        // Where the settings know it they are right: SHOW and ParameterStatus must not differ.
        statuses.push((name, session.settings.show(name).unwrap_or_else(|_| (*value).to_owned())));
    }
    for name in REPORTED {
        if !statuses.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            statuses.extend(session.settings.show(name).ok().map(|value| (*name, value)));
        }
    }
    statuses
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_as_a_command_line() {
        let settings =
            command_line(r"-c statement_timeout=5s  --time-zone=Europe/Vienna -capplication_name=a\ b\\c").unwrap();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            settings,
            [("statement_timeout", "5s"), ("time_zone", "Europe/Vienna"), ("application_name", r"a b\c")]
        );
        for bad in ["-x", "-c", "-c name", "name=value"] {
            assert_eq!(command_line(bad).unwrap_err().sqlstate, "42601", "{bad}");
        }
    }
}

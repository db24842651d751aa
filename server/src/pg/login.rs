//! Authentication: which rule of [`Rules`](crate::auth::Rules) fits a connection, and the exchange it asks for.
//!
//! Until [`authenticate`] says so nothing a client sends is executed, and every error ends the connection. A wrong password
//! and a role that doesn't exist look the same, and are answered ever more slowly.

use std::net::SocketAddr;

use bytes::Bytes;
use pgwire::messages::startup::Authentication;

use super::PgOptions;
use super::error::PgError;
use super::frontend::Reader;
use super::startup::Startup;
use super::wire::{Stop, Wire};
use crate::auth::hba::{Asked, ClientCertificate, Method, Rule};
use crate::auth::scram::{self, Channel};
use crate::auth::{Identity, Standing};

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// Makes the client prove who it is. AuthenticationOk is in the output after that, and nowhere else.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    startup: &Startup,
    ends: Ends,
    options: &PgOptions,
) -> Result<Identity, Stop> {
    let role = &startup.user;
    let standing = options.users.standing(role);
    let rule = rule(startup, &standing, ends, options)?;
    let names = startup.secured.as_ref().and_then(|secured| secured.client_names.as_deref());
    if rule.needs_client_certificates() && names.is_none() {
        return Err(refused(role, ends, "no client certificate", "connection requires a valid client certificate"));
    }
    match rule.method {
        Method::Trust | Method::Cert => {}
        Method::ScramSha256 => scram_sha_256(wire, startup, ends, options).await?,
        Method::Reject => unreachable!("a rule that rejects ends the connection above"),
    }
    let must_be_named = rule.method == Method::Cert || rule.client_certificate == ClientCertificate::NamesRole;
    if must_be_named && !options.rules.certificate_is_of(rule, names.unwrap_or_default(), role) {
        let (_, delay) = options.throttle.failed(ends.client.ip(), role);
        tracing::warn!(role, address = %ends.client.ip(), certificate = ?names, "the client's certificate is not the role's");
        tokio::time::sleep(delay).await;
        let message = format!("certificate authentication failed for user \"{role}\"");
        return Err(PgError::new("28000", message).into());
    }
    wire.send(&Authentication::Ok);
    Ok(Identity { user: role.clone(), superuser: standing.superuser, connection_limit: standing.connection_limit })
}

/// The rule that fits. PostgreSQL's words, but that our rules aren't in a `pg_hba.conf`.
fn rule<'a>(startup: &Startup, standing: &Standing, ends: Ends, options: &'a PgOptions) -> Result<&'a Rule, Stop> {
    let asked = Asked {
        role: &startup.user,
        memberships: &standing.memberships,
        // The database's other name, which [`super::startup::session`] takes.
        database: if startup.database == startup.user { &options.catalog_name } else { &startup.database },
        client: ends.client.ip(),
        server: ends.server.ip(),
        tls: startup.secured.is_some(),
    };
    let who = || {
        let encryption = if asked.tls { "SSL encryption" } else { "no encryption" };
        let (host, Startup { user, database, .. }) = (ends.client.ip().to_canonical(), startup);
        format!("host \"{host}\", user \"{user}\", database \"{database}\", {encryption}")
    };
    match options.rules.decide(&asked) {
        Some(rule) if rule.method != Method::Reject => Ok(rule),
        Some(_) => Err(refused(asked.role, ends, "rejected", &format!("hba rule rejects connection for {}", who()))),
        None => Err(refused(asked.role, ends, "no rule", &format!("no hba entry for {}", who()))),
    }
}

fn refused(role: &str, ends: Ends, reason: &str, message: &str) -> Stop {
    tracing::warn!(role, address = %ends.client.ip(), reason, "connection refused");
    PgError::new("28000", message).into()
}

async fn scram_sha_256(wire: &mut Wire, startup: &Startup, ends: Ends, options: &PgOptions) -> Result<(), Stop> {
    let (role, address) = (startup.user.as_str(), ends.client.ip());
    let end_point = startup.secured.as_ref().and_then(|secured| secured.end_point.clone());
    let mut mechanisms = vec![scram::MECHANISM.to_owned()];
    if end_point.is_some() {
        // The better one first, as PostgreSQL does.
        mechanisms.insert(0, scram::MECHANISM_PLUS.to_owned());
    }
    wire.send(&Authentication::SASL(mechanisms));
    wire.flush().await?;
    let mut initial = Reader::new(wire.read_authentication().await?);
    let channel = match (initial.string()?.as_str(), &end_point) {
        (scram::MECHANISM_PLUS, Some(hash)) => Channel::EndPoint(hash),
        (scram::MECHANISM, Some(_)) => Channel::Declined,
        (scram::MECHANISM, None) => Channel::Unbound,
        _ => return Err(PgError::protocol("client selected an invalid SASL authentication mechanism").into()),
    };
    let length = initial.i32()?;
    // A client that leaves out its first message is asked for it with an empty challenge.
    let client_first = if length == -1 {
        initial.finish()?;
        wire.send(&Authentication::SASLContinue(Bytes::new()));
        wire.flush().await?;
        wire.read_authentication().await?
    } else {
        let data = initial.bytes(length)?;
        initial.finish()?;
        data
    };
    let verifier = options.users.verifier(role);
    let started = scram::Exchange::start(verifier, channel, scram_text(&client_first)?);
    let (exchange, server_first) = started.map_err(|failure| failed(failure, role, ends))?;
    wire.send(&Authentication::SASLContinue(Bytes::from(server_first)));
    wire.flush().await?;
    let client_final = wire.read_authentication().await?;
    if let Some(at) = options.throttle.not_before(address, role) {
        tokio::time::sleep_until(at).await;
    }
    match exchange.finish(scram_text(&client_final)?) {
        Ok(server_final) => {
            options.throttle.succeeded(address, role);
            wire.send(&Authentication::SASLFinal(Bytes::from(server_final)));
            Ok(())
        }
        Err(failure) => {
            if failure == scram::Failure::WrongProof {
                let (failures, delay) = options.throttle.failed(address, role);
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(role, %address, failures, delay_ms, "password authentication failed");
                tokio::time::sleep(delay).await;
            }
            Err(failed(failure, role, ends).into())
        }
    }
}

fn failed(failure: scram::Failure, role: &str, ends: Ends) -> PgError {
    match failure {
        scram::Failure::Malformed(detail) => PgError::protocol("malformed SCRAM message").with_detail(detail),
        scram::Failure::WrongProof => {
            PgError::new("28P01", format!("password authentication failed for user \"{role}\""))
        }
        scram::Failure::Downgraded => {
            tracing::warn!(role, address = %ends.client.ip(), "SCRAM channel binding was hidden from the client");
            PgError::new("28000", "SCRAM channel binding negotiation error").with_detail(
                "The client supports SCRAM channel binding but thinks the server does not.  \
                 However, this server does support channel binding.",
            )
        }
        scram::Failure::WrongChannel => {
            tracing::warn!(role, address = %ends.client.ip(), "SCRAM channel binding check failed");
            PgError::new("28000", "SCRAM channel binding check failed")
        }
    }
}

fn scram_text(bytes: &[u8]) -> Result<&str, PgError> {
    super::parameter::utf8(bytes).map_err(|_| PgError::protocol("malformed SCRAM message"))
}

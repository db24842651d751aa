//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), and of SCRAM-SHA-256-PLUS with the channel binding
//! `tls-server-end-point` (RFC 5929). Client messages come in as text, server messages go out as text; nothing here knows
//! the PostgreSQL protocol or TLS.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::random;
use crate::limits;

/// The mechanism's name.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The mechanism with channel binding: who stands between client and server can't log in, whatever certificate it shows.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The one kind of channel binding, as GS2 headers name it.
const END_POINT: &str = "p=tls-server-end-point";

/// How a stored verifier begins.
pub const VERIFIER_PREFIX: &str = "SCRAM-SHA-256$";

/// Bounds of a stored verifier's iteration count: below, guessing is too cheap; above, a login costs the client minutes.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=10_000_000;

type Key = [u8; 32];

/// What is kept instead of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
    /// A mock verifier never matches, whatever is sent.
    mock: bool,
}

/// Doesn't show the keys.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// PostgreSQL's form, as in `pg_authid.rolpassword`.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VERIFIER_PREFIX}{}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

impl FromStr for Verifier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || "it is not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey".to_owned();
        let rest = text.strip_prefix(VERIFIER_PREFIX).ok_or_else(malformed)?;
        let (head, keys) = rest.split_once('$').ok_or_else(malformed)?;
        let (iterations, salt) = head.split_once(':').ok_or_else(malformed)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or_else(malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| malformed())?;
        if !ITERATIONS.contains(&iterations) {
            return Err(format!("its iteration count must be between {} and {}", ITERATIONS.start(), ITERATIONS.end()));
        }
        let key = |text: &str| -> Result<Key, String> {
            BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)
        };
        let salt = BASE64.decode(salt).map_err(|_| malformed())?;
        if salt.is_empty() {
            return Err(malformed());
        }
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)?, mock: false })
    }
}

impl Verifier {
    /// A verifier with a fresh salt.
    pub fn from_password(password: &str) -> Self {
        Self::derive(password, random::<16>().to_vec(), limits::SCRAM_ITERATIONS)
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        // PostgreSQL takes the raw bytes where SASLprep refuses the text, and so do its clients.
        let prepared = stringprep::saslprep(password);
        let password = prepared.as_deref().unwrap_or(password);
        let salted = salted_password(password.as_bytes(), &salt, iterations);
        let client_key = hmac(&salted, &[b"Client Key"]);
        Self {
            iterations,
            salt,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
            mock: false,
        }
    }

    /// What an unknown user is shown: always the same salt for the same name, and no way in.
    pub(super) fn mock(user: &str, secret: &Key) -> Self {
        Self {
            iterations: limits::SCRAM_ITERATIONS,
            salt: hmac(secret, &[b"salt", user.as_bytes()])[..16].to_vec(),
            stored_key: random(),
            server_key: random(),
            mock: true,
        }
    }
}

/// What is stored of `password`: its verifier, or itself if it is one.
///
/// # Errors
/// What is wrong with a text that looks like a verifier and isn't one.
pub fn verifier_of(password: &str) -> Result<String, String> {
    if password.starts_with(VERIFIER_PREFIX) {
        let verifier: Verifier = password.parse().map_err(|error| format!("the password is not usable: {error}"))?;
        return Ok(verifier.to_string());
    }
    Ok(Verifier::from_password(password).to_string())
}

/// Why an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The client doesn't follow the RFC, with what is wrong.
    Malformed(&'static str),
    /// The proof is wrong, or the user doesn't exist.
    WrongProof,
    /// The client was made to believe that there is no channel binding: someone stands in between.
    Downgraded,
    /// The client bound its login to another connection: likewise.
    WrongChannel,
}

/// What a login is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Nothing: channel binding was not offered.
    Unbound,
    /// Nothing: it was offered, but the client chose the mechanism without it.
    Declined,
    /// The server's certificate, whose hash this is.
    EndPoint(&'a [u8]),
}

impl Channel<'_> {
    /// Whether the GS2 flag of the client's first message goes with it (RFC 5802, section 6).
    fn check(self, flag: &str) -> Result<(), Failure> {
        match (self, flag) {
            // 'y' says "I could do channel binding, but you don't offer it".
            (Self::Unbound, "n" | "y") | (Self::Declined, "n") | (Self::EndPoint(_), END_POINT) => Ok(()),
            (Self::Declined, "y") => Err(Failure::Downgraded),
            (Self::EndPoint(_), "n" | "y") => {
                Err(Failure::Malformed("The client selected channel binding, but its message does not include it."))
            }
            (Self::EndPoint(_), _) if flag.starts_with("p=") => {
                Err(Failure::Malformed("The kind of channel binding is not supported."))
            }
            (_, _) if flag.starts_with("p=") => {
                Err(Failure::Malformed("The message includes channel binding, which was not selected."))
            }
            _ => Err(Failure::Malformed("The channel binding flag is unknown.")),
        }
    }
}

/// One login: `client-first` -> [`Exchange::start`] -> `server-first` -> `client-final` -> [`Exchange::finish`] ->
/// `server-final`. Made per connection and used once.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    /// `n,,`, `y,,` or `p=...,,` and the binding's bytes, to be repeated by the client in base64.
    binding: Vec<u8>,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// Takes the client's first message; gives the exchange and the server's first message.
    ///
    /// # Errors
    /// [`Failure::Malformed`].
    pub fn start(verifier: Verifier, channel: Channel<'_>, client_first: &str) -> Result<(Self, String), Failure> {
        let server_nonce = BASE64.encode(random::<18>());
        Self::start_with_nonce(verifier, channel, client_first, &server_nonce)
    }

    fn start_with_nonce(
        verifier: Verifier,
        channel: Channel<'_>,
        client_first: &str,
        nonce: &str,
    ) -> Result<(Self, String), Failure> {
        let mut parts = client_first.splitn(3, ',');
        let flag = parts.next().unwrap_or_default();
        let authzid = parts.next().ok_or(Failure::Malformed("The message ends early."))?;
        let bare = parts.next().ok_or(Failure::Malformed("The message ends early."))?;
        channel.check(flag)?;
        if !authzid.is_empty() {
            return Err(Failure::Malformed("The client uses an authorization identity, which is not supported."));
        }
        if bare.starts_with("m=") {
            return Err(Failure::Malformed("The client requires a SCRAM extension that is not supported."));
        }
        // The user name in the message is ignored, as PostgreSQL does: the one in the startup packet counts.
        let mut attributes = bare.split(',');
        if !attributes.next().is_some_and(|name| name.starts_with("n=")) {
            return Err(Failure::Malformed("The user name is missing."));
        }
        let client_nonce = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("r="))
            .ok_or(Failure::Malformed("The nonce is missing."))?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
            return Err(Failure::Malformed("The nonce holds characters that are not printable."));
        }
        let nonce = format!("{client_nonce}{nonce}");
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let exchange = Self {
            verifier,
            binding: [flag.as_bytes(), b",,", if let Channel::EndPoint(hash) = channel { hash } else { &[] }].concat(),
            client_first_bare: bare.to_owned(),
            server_first: server_first.clone(),
            nonce,
        };
        Ok((exchange, server_first))
    }

    /// Takes the client's final message; gives the server's, which proves to the client that the server knows the
    /// password's verifier.
    ///
    /// # Errors
    /// [`Failure::WrongProof`], [`Failure::WrongChannel`] and [`Failure::Malformed`].
    pub fn finish(self, client_final: &str) -> Result<String, Failure> {
        let (without_proof, proof) =
            client_final.rsplit_once(",p=").ok_or(Failure::Malformed("The proof is missing."))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("c="))
            .ok_or(Failure::Malformed("The channel binding data is missing."))?;
        if binding != BASE64.encode(&self.binding) {
            if self.binding.starts_with(b"p=") {
                return Err(Failure::WrongChannel);
            }
            return Err(Failure::Malformed("The channel binding data is not what the first message said."));
        }
        let nonce = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("r="))
            .ok_or(Failure::Malformed("The nonce is missing."))?;
        if !bool::from(nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(Failure::Malformed("The nonce is not the one that was sent."));
        }
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Failure::Malformed("The proof is not 32 bytes in base64."))?;

        let message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = hmac(&self.verifier.stored_key, &[message.as_bytes()]);
        let mut client_key = [0; 32];
        for (byte, (proof, signature)) in client_key.iter_mut().zip(proof.iter().zip(signature)) {
            *byte = proof ^ signature;
        }
        let stored_key: Key = Sha256::digest(client_key).into();
        let matches = bool::from(stored_key.ct_eq(&self.verifier.stored_key));
        if !matches || self.verifier.mock {
            return Err(Failure::WrongProof);
        }
        Ok(format!("v={}", BASE64.encode(hmac(&self.verifier.server_key, &[message.as_bytes()]))))
    }
}

/// RFC 5802's `Hi`: PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let keyed = Hmac::<Sha256>::new_from_slice(password).expect("HMAC takes keys of any length");
    let mut mac = keyed.clone();
    mac.update(salt);
    mac.update(&1_u32.to_be_bytes());
    let mut block: Key = mac.finalize().into_bytes().into();
    let mut sum = block;
    for _ in 1..iterations {
        let mut mac = keyed.clone();
        mac.update(&block);
        block = mac.finalize().into_bytes().into();
        for (sum, byte) in sum.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_messages_panic(first in "[npy=,a-z\\x00-\\xff]{0,40}", last in "[cr=p,A-Za-z/+\\x00-\\xff]{0,80}") {
            for channel in [Channel::Unbound, Channel::Declined, Channel::EndPoint(&[1; 32])] {
                for first in [first.as_str(), "n,,n=,r=abc", "p=tls-server-end-point,,n=,r=abc"] {
                    if let Ok((exchange, _)) = Exchange::start(Verifier::mock("x", &[0; 32]), channel, first) {
                        prop_assert!(exchange.finish(&last).is_err());
                    }
                }
            }
        }
    }

    /// The exchange printed in RFC 7677, section 3.
    #[test]
    fn answers_the_exchange_of_rfc_7677() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::derive("pencil", salt, 4096);
        let (exchange, server_first) = Exchange::start_with_nonce(
            verifier,
            Channel::Unbound,
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
        .unwrap();
        assert_eq!(
            server_first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let server_final = exchange
            .finish(
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            )
            .unwrap();
        assert_eq!(server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    fn login(users: &super::super::Users, user: &str, password: &str) -> Result<(), Failure> {
        login_bound(users, (user, password), Channel::Unbound, ChannelBinding::unsupported())
    }

    fn login_bound(
        users: &super::super::Users,
        (user, password): (&str, &str),
        channel: Channel<'_>,
        binding: ChannelBinding,
    ) -> Result<(), Failure> {
        let mut client = ScramSha256::new(password.as_bytes(), binding);
        let first = String::from_utf8(client.message().to_vec()).unwrap();
        let (exchange, server_first) = Exchange::start(users.verifier(user), channel, &first)?;
        client.update(server_first.as_bytes()).unwrap();
        let last = String::from_utf8(client.message().to_vec()).unwrap();
        let server_final = exchange.finish(&last)?;
        client.finish(server_final.as_bytes()).unwrap();
        Ok(())
    }

    #[test]
    fn a_real_client_logs_in_with_the_right_password_only() {
        let stored = Verifier::from_password("käse \u{ad}x").to_string();
        let users = super::super::Users::from_secrets([("ann", "pa,ss=word"), ("bob", stored.as_str())]).unwrap();
        assert_eq!(login(&users, "ann", "pa,ss=word"), Ok(()));
        // SASLprep maps the soft hyphen to nothing.
        assert_eq!(login(&users, "bob", "käse x"), Ok(()));
        assert_eq!(login(&users, "ann", "pa,ss=wore"), Err(Failure::WrongProof));
        assert_eq!(login(&users, "nobody", "pa,ss=word"), Err(Failure::WrongProof));
    }

    #[test]
    fn a_login_is_bound_to_the_certificate() {
        let users = super::super::Users::from_secrets([("ann", "secret")]).unwrap();
        let login = |channel, binding| login_bound(&users, ("ann", "secret"), channel, binding);
        let (ours, theirs) = (vec![7; 32], vec![8; 32]);
        assert_eq!(login(Channel::EndPoint(&ours), ChannelBinding::tls_server_end_point(ours.clone())), Ok(()));
        assert_eq!(
            login(Channel::EndPoint(&ours), ChannelBinding::tls_server_end_point(theirs)),
            Err(Failure::WrongChannel)
        );
        // Who could bind and was told that it can't has been lied to by someone.
        assert_eq!(login(Channel::Declined, ChannelBinding::unrequested()), Err(Failure::Downgraded));
        assert_eq!(login(Channel::Declined, ChannelBinding::unsupported()), Ok(()));
        assert_eq!(login(Channel::Unbound, ChannelBinding::unrequested()), Ok(()));
        for (channel, binding) in [
            (Channel::EndPoint(&ours), ChannelBinding::unrequested()),
            (Channel::EndPoint(&ours), ChannelBinding::unsupported()),
            (Channel::Declined, ChannelBinding::tls_server_end_point(ours.clone())),
            (Channel::Unbound, ChannelBinding::tls_server_end_point(ours.clone())),
        ] {
            assert!(matches!(login(channel, binding), Err(Failure::Malformed(_))));
        }
        let other = Exchange::start(Verifier::from_password("x"), Channel::EndPoint(&ours), "p=tls-unique,,n=,r=abc");
        assert!(matches!(other, Err(Failure::Malformed(_))));
    }

    #[test]
    fn an_unknown_name_always_shows_the_same_salt() {
        let users = super::super::Users::default();
        assert_eq!(users.verifier("x").salt, users.verifier("x").salt);
        assert_ne!(users.verifier("x").salt, users.verifier("y").salt);
    }

    #[test]
    fn malformed_messages_are_refused() {
        for first in [
            "",
            "n",
            "n,,",
            "n,a=x,n=,r=abc",
            "p=tls-unique,,n=,r=abc",
            "n,,m=1,n=,r=abc",
            "n,,n=",
            "n,,n=,r=",
            "z,,n=,r=a",
        ] {
            let result = Exchange::start(Verifier::from_password("x"), Channel::Unbound, first);
            assert!(matches!(result, Err(Failure::Malformed(_))), "{first:?}");
        }
        for last in ["", "c=biws", "c=biws,r=abc,p=AAAA", "c=eSws,r=,p=", ",p="] {
            let (exchange, _) = Exchange::start(Verifier::from_password("x"), Channel::Unbound, "n,,n=,r=abc").unwrap();
            assert!(matches!(exchange.finish(last), Err(Failure::Malformed(_))), "{last:?}");
        }
    }

    #[test]
    fn verifiers_round_trip_and_bad_ones_are_refused() {
        let verifier = Verifier::from_password("x");
        assert_eq!(verifier.to_string().parse::<Verifier>().unwrap(), verifier);
        for bad in ["SCRAM-SHA-256$", "SCRAM-SHA-256$1:AAAA$AAAA:AAAA", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "md5abc"] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
        assert!(super::super::Users::from_secrets([("u", "SCRAM-SHA-256$oops")]).is_err());
    }
}

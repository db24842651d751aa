//! [`Encryption`]: how a session's connection is encrypted, for `pg_stat_ssl`.

/// A TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
    /// Bits of its key.
    pub bits: i32,
    /// The client, if it has shown a certificate.
    pub client: Option<ClientIdentity>,
}

/// What a client's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Whose it is.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
}

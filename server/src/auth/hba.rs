//! [`Rules`]: who may connect from where, and how they must prove who they are; PostgreSQL's `pg_hba.conf` as the tables
//! `[[hba]]` of our configuration file. In: what is known before authentication. Out: the first rule that fits.
//!
//! ```toml
//! [[hba]]
//! type = "hostssl"              # host, hostssl, hostnossl
//! database = "all"
//! role = ["ann", "+analysts"]   # names; +NAME also takes the members of a role
//! address = "10.0.0.0/8"        # networks; all, loopback, samehost
//! method = "scram-sha-256"      # trust, reject, cert
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::AuthMethod;

/// Which connections a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// All.
    #[default]
    Any,
    /// Those over TLS.
    Tls,
    /// Those that are not encrypted.
    Plain,
}

/// What a rule asks of who fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Nothing: the name they give is believed.
    Trust,
    /// They are turned away.
    Reject,
    /// A password, by SCRAM-SHA-256 or, over TLS, SCRAM-SHA-256-PLUS.
    ScramSha256,
    /// A certificate of the client in which its role is named.
    Cert,
}

/// What a rule asks of the client's certificate beside the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Nothing.
    #[default]
    Optional,
    /// `verify-ca`: there is one, signed by the authority.
    Signed,
    /// `verify-full`: and it names the role.
    NamesRole,
}

/// The roles of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolePattern {
    /// `all`.
    All,
    /// One name.
    Name(String),
    /// `+name`: the role and its members, direct or not.
    MembersOf(String),
}

/// The databases of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabasePattern {
    /// `all`.
    All,
    /// `sameuser`: the one of the role's name.
    SameUser,
    /// One name.
    Name(String),
}

/// The clients' addresses of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPattern {
    /// `all`.
    All,
    /// `loopback`: this machine by a loopback address.
    Loopback,
    /// `samehost`: any address of this machine, seen by both ends of the connection being the same.
    SameHost,
    /// A network, such as `10.0.0.0/8` or `::1/128`.
    Network(Network),
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Plain, TLS, or both.
    pub transport: Transport,
    /// One of these fits.
    pub databases: Vec<DatabasePattern>,
    /// One of these fits.
    pub roles: Vec<RolePattern>,
    /// One of these fits.
    pub addresses: Vec<AddressPattern>,
    /// What is asked.
    pub method: Method,
    /// What is asked of the certificate.
    pub client_certificate: ClientCertificate,
    /// The map of names in certificates to roles; `None` is that they are equal.
    pub map: Option<String>,
}

/// What names in certificates are for roles: one line of PostgreSQL's `pg_ident.conf`, a table `[[ident]]` of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentRule {
    /// The map that it belongs to.
    pub map: String,
    /// The name in the certificate; one `*` stands for any text.
    pub certificate: String,
    /// The role; a `*` is what that of `certificate` stood for. `all` is any role.
    pub role: String,
}

/// A connection that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The role it wants to be.
    pub role: &'a str,
    /// The roles that this one is a member of, direct or not.
    pub memberships: &'a BTreeSet<String>,
    /// The database's name as the client says it.
    pub database: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The server's address on the same connection.
    pub server: IpAddr,
    /// Whether it is over TLS.
    pub tls: bool,
}

/// The rules in their order, and the maps.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    idents: Vec<IdentRule>,
}

impl Rules {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>, idents: Vec<IdentRule>) -> Self {
        Self { rules, idents }
    }

    /// Everyone from everywhere by one method: what holds where no rules are given.
    pub fn everyone(method: AuthMethod) -> Self {
        let method = match method {
            AuthMethod::Trust => Method::Trust,
            AuthMethod::ScramSha256 => Method::ScramSha256,
        };
        Self::new(vec![Rule::everyone(Transport::Any, method)], Vec::new())
    }

    /// The same, but first of all whoever is not encrypted is turned away.
    #[must_use]
    pub fn with_tls_required(mut self) -> Self {
        self.rules.insert(0, Rule::everyone(Transport::Plain, Method::Reject));
        self
    }

    /// The first rule that fits, if any does.
    pub fn decide(&self, asked: &Asked<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(asked))
    }

    /// Whether someone on this machine is `role` by saying so: then HTTP, which asks nobody, opens no other door.
    pub fn trusts_this_machine(&self, role: &str, database: &str) -> bool {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let memberships = BTreeSet::new();
        let asked = Asked { role, memberships: &memberships, database, client: here, server: here, tls: false };
        self.decide(&asked).is_some_and(|rule| rule.method == Method::Trust && !rule.needs_client_certificates())
    }

    /// Whether a password is the only way in.
    pub fn need_passwords(&self) -> bool {
        self.rules.iter().all(|rule| matches!(rule.method, Method::ScramSha256 | Method::Reject))
    }

    /// All rules, for checks.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether a certificate with these names is one of `role`.
    pub fn certificate_is_of(&self, rule: &Rule, names: &[String], role: &str) -> bool {
        match &rule.map {
            None => names.iter().any(|name| name == role),
            Some(map) => self
                .idents
                .iter()
                .filter(|ident| ident.map == *map)
                .any(|ident| names.iter().any(|name| ident.allows(name, role))),
        }
    }

    /// Whether there is a map of this name.
    pub fn has_map(&self, map: &str) -> bool {
        self.idents.iter().any(|ident| ident.map == map)
    }
}

impl Rule {
    fn everyone(transport: Transport, method: Method) -> Self {
        Self {
            transport,
            databases: vec![DatabasePattern::All],
            roles: vec![RolePattern::All],
            addresses: vec![AddressPattern::All],
            method,
            client_certificate: ClientCertificate::Optional,
            map: None,
        }
    }

    fn fits(&self, asked: &Asked<'_>) -> bool {
        let transport = match self.transport {
            Transport::Any => true,
            Transport::Tls => asked.tls,
            Transport::Plain => !asked.tls,
        };
        transport
            && self.addresses.iter().any(|address| address.fits(asked))
            && self.databases.iter().any(|database| match database {
                DatabasePattern::All => true,
                DatabasePattern::SameUser => asked.database == asked.role,
                DatabasePattern::Name(name) => name == asked.database,
            })
            && self.roles.iter().any(|role| match role {
                RolePattern::All => true,
                RolePattern::Name(name) => name == asked.role,
                RolePattern::MembersOf(group) => group == asked.role || asked.memberships.contains(group),
            })
    }

    /// Whether someone on another machine can fit.
    pub fn reaches_others(&self) -> bool {
        self.addresses.iter().any(|address| match address {
            AddressPattern::All => true,
            AddressPattern::Loopback | AddressPattern::SameHost => false,
            AddressPattern::Network(network) => !network.is_loopback(),
        })
    }

    /// Whether it needs certificates of clients.
    pub fn needs_client_certificates(&self) -> bool {
        self.method == Method::Cert || self.client_certificate != ClientCertificate::Optional
    }
}

impl IdentRule {
    fn allows(&self, name: &str, role: &str) -> bool {
        let starred = match self.certificate.split_once('*') {
            None if self.certificate == name => "",
            None => return false,
            Some((before, after)) => {
                let inner = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                // `*@example.com` is somebody there, not nobody.
                match inner.filter(|inner| !inner.is_empty()) {
                    Some(inner) => inner,
                    None => return false,
                }
            }
        };
        self.role == "all" || self.role.replacen('*', starred, 1) == role
    }
}

impl AddressPattern {
    fn fits(self, asked: &Asked<'_>) -> bool {
        let client = asked.client.to_canonical();
        match self {
            Self::All => true,
            Self::Loopback => client.is_loopback(),
            Self::SameHost => client.is_loopback() || client == asked.server.to_canonical(),
            Self::Network(network) => network.contains(client),
        }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                (u32::from(network) ^ u32::from(address)).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                (u128::from(network) ^ u128::from(address)).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    fn is_loopback(self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.is_loopback() && self.prefix >= 8,
            IpAddr::V6(address) => address.is_loopback() && self.prefix == 128,
        }
    }
}

impl FromStr for AddressPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::All),
            "loopback" => return Ok(Self::Loopback),
            "samehost" => return Ok(Self::SameHost),
            _ => {}
        }
        let invalid = || format!("address \"{text}\" is not all, loopback, samehost or a network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most {
            return Err(invalid());
        }
        let network = Network { address, prefix };
        // 10.1.2.3/8 is a slip: either the address or the length is not what was meant.
        let base = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from(
                u32::from(address) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0),
            )),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(
                u128::from(address) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0),
            )),
        };
        if base != address {
            return Err(format!("address \"{text}\" has bits behind its prefix; did you mean {base}/{prefix}?"));
        }
        Ok(Self::Network(network))
    }
}

impl From<&str> for RolePattern {
    fn from(text: &str) -> Self {
        match text.strip_prefix('+') {
            Some(group) => Self::MembersOf(group.to_owned()),
            None if text == "all" => Self::All,
            None => Self::Name(text.to_owned()),
        }
    }
}

impl From<&str> for DatabasePattern {
    fn from(text: &str) -> Self {
        match text {
            "all" => Self::All,
            "sameuser" => Self::SameUser,
            name => Self::Name(name.to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn rule(transport: Transport, role: &str, address: &str, method: Method) -> Rule {
        Rule {
            roles: vec![role.into()],
            addresses: vec![address.parse().unwrap()],
            ..Rule::everyone(transport, method)
        }
    }

    fn decide(rules: &Rules, role: &str, groups: &[&str], client: &str, tls: bool) -> Option<Method> {
        let memberships = groups.iter().map(|&group| group.to_owned()).collect();
        let asked = Asked {
            role,
            memberships: &memberships,
            database: "lake",
            client: client.parse().unwrap(),
            server: "192.168.7.7".parse().unwrap(),
            tls,
        };
        rules.decide(&asked).map(|rule| rule.method)
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::new(
            vec![
                rule(Transport::Any, "bob", "all", Method::Reject),
                rule(Transport::Any, "all", "loopback", Method::Trust),
                rule(Transport::Any, "all", "samehost", Method::Cert),
                rule(Transport::Tls, "+analysts", "10.0.0.0/8", Method::ScramSha256),
                rule(Transport::Plain, "+analysts", "10.1.0.0/16", Method::ScramSha256),
            ],
            Vec::new(),
        );
        assert_eq!(decide(&rules, "bob", &[], "127.0.0.1", false), Some(Method::Reject));
        assert_eq!(decide(&rules, "ann", &[], "127.8.0.1", false), Some(Method::Trust));
        // A dual-stack socket shows IPv4 clients as mapped addresses.
        assert_eq!(decide(&rules, "ann", &[], "::ffff:127.0.0.1", false), Some(Method::Trust));
        assert_eq!(decide(&rules, "ann", &[], "192.168.7.7", false), Some(Method::Cert));
        assert_eq!(decide(&rules, "ann", &["analysts"], "10.200.0.1", true), Some(Method::ScramSha256));
        assert_eq!(decide(&rules, "ann", &["analysts"], "10.200.0.1", false), None);
        assert_eq!(decide(&rules, "ann", &["analysts"], "10.1.0.1", false), Some(Method::ScramSha256));
        assert_eq!(decide(&rules, "analysts", &[], "10.1.0.1", false), Some(Method::ScramSha256));
        assert_eq!(decide(&rules, "ann", &["others"], "10.1.0.1", true), None);
        assert_eq!(decide(&rules.with_tls_required(), "ann", &[], "127.0.0.1", false), Some(Method::Reject));
    }

    #[test]
    fn networks_are_compared_by_their_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.1.128/25", "192.168.1.255", "192.168.1.127"),
            ("1.2.3.4", "1.2.3.4", "1.2.3.5"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("::/0", "fe80::1", "1.1.1.1"),
        ] {
            let AddressPattern::Network(network) = network.parse().unwrap() else { panic!("{network}") };
            assert!(network.contains(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.1.0.0/8", "example.com", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(bad.parse::<AddressPattern>().is_err(), "{bad}");
        }
        assert_eq!(
            "10.1.0.0/8".parse::<AddressPattern>().unwrap_err(),
            "address \"10.1.0.0/8\" has bits behind its prefix; did you mean 10.0.0.0/8?"
        );
    }

    #[test]
    fn names_in_certificates_are_mapped_to_roles() {
        let ident = |certificate: &str, role: &str| IdentRule {
            map: "people".to_owned(),
            certificate: certificate.to_owned(),
            role: role.to_owned(),
        };
        let rules = Rules::new(
            Vec::new(),
            vec![ident("*@example.com", "*"), ident("Ann Example", "ann"), ident("root", "all")],
        );
        let mut rule = Rule::everyone(Transport::Tls, Method::Cert);
        let is_of = |rule: &Rule, name: &str, role: &str| rules.certificate_is_of(rule, &[name.to_owned()], role);
        assert!(is_of(&rule, "ann", "ann") && !is_of(&rule, "ann@example.com", "ann"));
        rule.map = Some("people".to_owned());
        assert!(is_of(&rule, "ann@example.com", "ann") && is_of(&rule, "Ann Example", "ann"));
        assert!(is_of(&rule, "root", "bob"));
        for (name, role) in
            [("ann", "ann"), ("ann@example.com", "bob"), ("@example.com", ""), ("ann@example.com.evil", "ann")]
        {
            assert!(!is_of(&rule, name, role), "{name} {role}");
        }
        rule.map = Some("nosuch".to_owned());
        assert!(!is_of(&rule, "root", "bob"));
    }

    #[test]
    fn rules_that_only_this_machine_can_fit_are_known() {
        for (address, others) in [
            ("all", true),
            ("loopback", false),
            ("samehost", false),
            ("127.0.0.0/8", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", true),
            ("::/0", true),
        ] {
            assert_eq!(rule(Transport::Any, "all", address, Method::Trust).reaches_others(), others, "{address}");
        }
    }
}

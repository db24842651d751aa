//! What is in a certificate: the hash that logins are bound to, the names that clients are known by.

use std::sync::Arc;

use limnos_engine::session::ClientIdentity;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_certificate::X509Certificate;

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const EMAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;

/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The contents of the first element of `input`, its tag, and what is behind it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (bytes, behind) = rest.split_at(count);
        rest = behind;
        bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte))
    };
    (length <= rest.len()).then(|| {
        let (content, behind) = rest.split_at(length);
        (tag, content, behind)
    })
}

fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(input).filter(|found| found.0 == tag).map(|(_, content, behind)| (content, behind))
}

/// The channel binding `tls-server-end-point` (RFC 5929, section 4.1): the certificate's hash, by the function of its
/// signature, but SHA-256 where that is MD5 or SHA-1. `None` where the signature has no such function.
pub fn end_point(certificate: &CertificateDer<'_>) -> Option<Arc<[u8]>> {
    let (whole, _) = expect(certificate, SEQUENCE)?;
    let (_, behind) = expect(whole, SEQUENCE)?;
    let (algorithm, _) = expect(behind, SEQUENCE)?;
    let (id, parameters) = expect(algorithm, OBJECT_ID)?;
    let hash = match id {
        // 1.2.840.113549.1.1.*: RSA with MD5, SHA-1, SHA-256, SHA-384, SHA-512, SHA-224.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11] => sha::<Sha256>,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] => sha::<Sha384>,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13] => sha::<Sha512>,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 14] => sha::<Sha224>,
        // RSASSA-PSS says its hash in its parameters, first; SHA-1 is left out.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 10] => pss_hash(parameters)?,
        // 1.2.840.10045.4.1, 1.2.840.10045.4.3.*: ECDSA with SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2] => sha::<Sha256>,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 1] => sha::<Sha224>,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 3] => sha::<Sha384>,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 4] => sha::<Sha512>,
        _ => return None,
    };
    Some(hash(certificate))
}

type Hash = fn(&[u8]) -> Arc<[u8]>;

fn sha<D: Digest>(bytes: &[u8]) -> Arc<[u8]> {
    D::digest(bytes).to_vec().into()
}

fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (fields, _) = expect(parameters, SEQUENCE)?;
    let Some((content, _)) = expect(fields, 0xa0) else { return Some(sha::<Sha256>) };
    let (algorithm, _) = expect(content, SEQUENCE)?;
    let (id, _) = expect(algorithm, OBJECT_ID)?;
    match id {
        // 2.16.840.1.101.3.4.2.*
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1] => Some(sha::<Sha256>),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2] => Some(sha::<Sha384>),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3] => Some(sha::<Sha512>),
        // 1.3.14.3.2.26
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(sha::<Sha256>),
        _ => None,
    }
}

/// When it ends, seconds since 1970.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    X509Certificate::from_der(certificate).ok().map(|certificate| certificate.validity_not_after().timestamp())
}

/// The names of the one it was made for: the subject's common name, as in PostgreSQL; where there is none, the names that
/// newer certificates have instead, addresses of mail and of hosts.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = X509Certificate::from_der(certificate) else { return Vec::new() };
    if let Some(name) = certificate.subject_common_name() {
        // A NUL in it has fooled others into reading half of it (CVE-2009-4034).
        return if name.contains('\0') { Vec::new() } else { vec![name] };
    }
    let found = certificate.iter_extensions().find(|extension| extension.id.as_ref() == SUBJECT_ALT_NAME);
    let value = found.map(|extension| extension.value.to_bytes()).unwrap_or_default();
    let mut names = Vec::new();
    let Some((mut rest, _)) = expect(&value, SEQUENCE) else { return names };
    while let Some((tag, content, behind)) = element(rest) {
        if let (EMAIL | DNS_NAME, Ok(name)) = (tag, std::str::from_utf8(content))
            && !name.contains('\0')
        {
            names.push(name.to_owned());
        }
        rest = behind;
    }
    names
}

/// What `pg_stat_ssl` shows of a client's certificate.
pub(super) fn identity(certificate: &CertificateDer<'static>) -> Option<ClientIdentity> {
    let parsed = X509Certificate::from_der(certificate).ok()?;
    let name = |name: &x509_certificate::rfc3280::Name| name.user_friendly_str().unwrap_or_default();
    Some(ClientIdentity { subject: name(parsed.subject_name()), issuer: name(parsed.issuer_name()) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> CertificateDer<'static> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().into()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, bytes) in [(&rcgen::PKCS_ECDSA_P256_SHA256, 32), (&rcgen::PKCS_ECDSA_P384_SHA384, 48)] {
            let certificate = made(algorithm);
            let hash = end_point(&certificate).unwrap();
            assert_eq!(hash.len(), bytes);
            if bytes == 32 {
                assert_eq!(*hash, *Sha256::digest(&certificate));
            }
        }
        assert!(end_point(&made(&rcgen::PKCS_ED25519)).is_none());
    }

    /// Certificates as far as they are looked at, for signatures that nobody makes any more.
    #[test]
    fn old_and_rare_signatures_have_their_hash() {
        let certificate = |algorithm: &[u8]| {
            let algorithm = [&[SEQUENCE, u8::try_from(algorithm.len()).unwrap()], algorithm].concat();
            let whole = [&[SEQUENCE, 0], &algorithm[..], &[3, 1, 0]].concat();
            CertificateDer::from([&[SEQUENCE, u8::try_from(whole.len()).unwrap()], &whole[..]].concat())
        };
        let rsa = |last: u8| vec![OBJECT_ID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
        let bytes = |algorithm: &[u8]| end_point(&certificate(algorithm)).map(|hash| hash.len());
        for (last, expected) in [(4, 32), (5, 32), (11, 32), (12, 48), (13, 64), (14, 28)] {
            assert_eq!(bytes(&rsa(last)), Some(expected), "{last}");
        }
        let sha_384 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2];
        let pss = [&rsa(10)[..], &[SEQUENCE, 15, 0xa0, 13, SEQUENCE, 11, OBJECT_ID, 9], &sha_384].concat();
        assert_eq!(bytes(&pss), Some(48));
        assert_eq!(bytes(&[&rsa(10)[..], &[SEQUENCE, 0]].concat()), Some(32));
        assert_eq!(bytes(&rsa(99)), None);
    }

    #[test]
    fn cut_and_lying_bytes_are_nothing() {
        let whole = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..whole.len() {
            let cut = CertificateDer::from(&whole[..end]);
            assert!(end_point(&cut).is_none() && names(&cut).is_empty());
        }
        for lie in [&[SEQUENCE, 0x80][..], &[SEQUENCE, 0x84, 255, 255, 255, 255], &[SEQUENCE, 0x89, 1]] {
            assert!(end_point(&CertificateDer::from(lie)).is_none());
        }
    }

    #[test]
    fn a_common_name_wins_over_other_names() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![
            SanType::Rfc822Name("ann@example.com".try_into().unwrap()),
            SanType::DnsName("ann.example.com".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let nameless = params.clone().self_signed(&key).unwrap();
        assert_eq!(names(nameless.der()), ["ann@example.com", "ann.example.com"]);
        params.distinguished_name.push(DnType::CommonName, "ann");
        assert_eq!(names(params.self_signed(&key).unwrap().der()), ["ann"]);
    }
}

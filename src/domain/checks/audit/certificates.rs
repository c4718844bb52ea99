//! Judges the item about the expiry of certificates.

use std::time::Duration;

use jiff::Timestamp;
use x509_cert::Certificate as X509;
use x509_cert::der::DecodePem;

use super::{Evidence, Judgement, fails, known, passes};

/// The remaining validity below which a certificate fails the item: 14 days, so that an
/// administrator has time to renew the certificate.
const SOON: Duration = Duration::from_hours(14 * 24);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A declared file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The name of the file in the directory of the configuration.
    pub file: String,
    /// The earliest expiry time of the certificates in the file.
    pub ends: Timestamp,
}

/// Returns the earliest expiry time of the certificates in a PEM file. Skips keys and other blocks.
/// `None` if the file has no certificate that can be parsed.
#[must_use]
pub fn ends(pem: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(pem).ok()?;
    let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    let ends = blocks.filter_map(|(body, _)| {
        let certificate = X509::from_pem(format!("{BEGIN}{body}{END}\n")).ok()?;
        let after = certificate.tbs_certificate().validity().not_after.to_unix_duration();
        Timestamp::from_second(i64::try_from(after.as_secs()).ok()?).ok()
    });
    ends.min()
}

/// Returns the warning for a certificate that has expired or expires within 14 days; `None` for any
/// other certificate.
#[must_use]
pub fn warning(certificate: &Certificate, now: Timestamp) -> Option<String> {
    let Certificate { file, ends } = certificate;
    let left = ends.duration_since(now);
    if left.is_negative() {
        return Some(format!("{file} ended on {}", day(*ends)));
    }
    let soon = Duration::try_from(left).is_ok_and(|left| left < SOON);
    soon.then(|| format!("{file} ends on {}, in {} days", day(*ends), left.as_hours() / 24))
}

fn day(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d").to_string()
}

pub(super) fn certificates_current(evidence: &Evidence) -> Judgement {
    let certificates = known!(&evidence.certificates);
    let warnings = certificates.iter().filter_map(|one| warning(one, evidence.now));
    let warnings: Vec<String> = warnings.collect();
    if !warnings.is_empty() {
        return fails(warnings.join("; "));
    }
    match certificates.iter().min_by_key(|certificate| certificate.ends) {
        Some(first) => passes(format!("{} ends on {}", first.file, day(first.ends))),
        None => passes("none is declared in spec.config.files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate for `test.example`, valid from 2026-11-22 to 2026-12-22.
    const PEM: &str = include_str!("tests/certificate.pem");

    #[test]
    fn the_expiry_of_a_certificate_is_read_from_a_file_with_a_key() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let ends = ends(format!("{key}{PEM}").as_bytes()).unwrap();
        let one = Certificate { file: "server.pem".into(), ends };
        let at = |days: i64| {
            ends.checked_sub(Duration::from_hours(24) * u32::try_from(days).unwrap()).unwrap()
        };
        assert_eq!(warning(&one, at(15)), None);
        assert!(warning(&one, at(3)).unwrap().contains("in 3 days"));
        let later = ends.checked_add(Duration::from_secs(1)).unwrap();
        assert!(warning(&one, later).unwrap().contains("ended on"));
        assert_eq!(super::ends(b"no certificate"), None);
        assert_eq!(super::ends(format!("{BEGIN}\n!\n{END}").as_bytes()), None);
    }
}
